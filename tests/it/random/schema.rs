//! Random tables: columns of every everyday type with few distinct values, so that keys meet.
//!
//! A value is a small number, its *code*, and NULL is no code; its kind says what it stands for, as
//! an Arrow value and as a literal. So rows are easy to make and to print.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::support::Dice;

/// A type of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    BigInt,
    Int,
    Text,
    Double,
    Decimal,
    Boolean,
    Timestamp,
    Date,
}

/// A value; `None` is NULL.
pub(super) type Code = Option<i64>;

/// Distinct values of a kind, beside NULL.
const CODES: u64 = 6;
/// The column of event time.
pub(super) const TIME: &str = "ts";
/// The column of an upserted table by which its rows are told apart, so that a probe knows each.
pub(super) const NUMBER: &str = "seq";
const TEXTS: [&str; CODES as usize] = ["", "a", "b", "ab", "A", "x y"];
/// 2024-05-01 00:00:00.
const BASE_MS: i64 = 1_714_521_600_000;
const DAY_MS: i64 = 86_400_000;
/// Between two times that follow each other.
const STEP_MS: i64 = 1_500;
/// Places by which rows come late at most.
const LATE_MAX: i64 = 3;
/// Places by which rows of a table with a changelog are behind when they are taken back, at most.
const GONE_MAX: i64 = 7;

impl Kind {
    pub(super) const ALL: [Kind; 8] = [
        Kind::BigInt,
        Kind::Int,
        Kind::Text,
        Kind::Double,
        Kind::Decimal,
        Kind::Boolean,
        Kind::Timestamp,
        Kind::Date,
    ];

    /// Returns a kind; numbers and texts are more frequent.
    pub(super) fn random(dice: &mut Dice) -> Kind {
        match dice.below(3) {
            0 => Kind::BigInt,
            1 => [Kind::Int, Kind::Text][dice.below(2) as usize],
            _ => Kind::ALL[dice.below(Kind::ALL.len() as u64) as usize],
        }
    }

    /// Returns the type as SQL spells it.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Kind::BigInt => "BIGINT",
            Kind::Int => "INT",
            Kind::Text => "STRING",
            Kind::Double => "DOUBLE",
            Kind::Decimal => "DECIMAL(10, 2)",
            Kind::Boolean => "BOOLEAN",
            Kind::Timestamp => "TIMESTAMP(3)",
            Kind::Date => "DATE",
        }
    }

    fn arrow(self) -> DataType {
        match self {
            Kind::BigInt => DataType::Int64,
            Kind::Int => DataType::Int32,
            Kind::Text => DataType::Utf8View,
            Kind::Double => DataType::Float64,
            Kind::Decimal => DataType::Decimal128(10, 2),
            Kind::Boolean => DataType::Boolean,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            Kind::Date => DataType::Date32,
        }
    }

    /// Returns a value; one in eight is NULL.
    pub(super) fn code(dice: &mut Dice) -> Code {
        (dice.below(8) > 0).then(|| dice.below(CODES) as i64)
    }

    /// Returns the literal of a value that is not NULL, which both dialects read alike.
    pub(super) fn literal(self, code: i64) -> String {
        match self {
            Kind::BigInt => format!("CAST({} AS BIGINT)", code - 2),
            Kind::Int => format!("CAST({} AS INT)", code - 2),
            Kind::Text => format!("'{}'", TEXTS[code as usize]),
            Kind::Double => format!("CAST({:.1} AS DOUBLE)", code as f64 / 2.0 - 1.0),
            Kind::Decimal => format!("CAST({:.2} AS DECIMAL(10, 2))", code as f64 / 2.0 - 1.0),
            Kind::Boolean => ["FALSE", "TRUE"][code as usize % 2].to_owned(),
            Kind::Timestamp => {
                let millis = code * STEP_MS;
                let (minute, second) = (millis / 60_000, millis / 1000 % 60);
                format!("TIMESTAMP '2024-05-01 00:{minute:02}:{second:02}.{:03}'", millis % 1000)
            }
            Kind::Date => format!("DATE '2024-05-{:02}'", code + 1),
        }
    }

    /// Returns NULL of this kind.
    pub(super) fn null(self) -> String {
        format!("CAST(NULL AS {})", self.sql())
    }

    /// Returns the value, NULL or not, as both dialects read it.
    pub(super) fn value(self, code: Code) -> String {
        code.map_or_else(|| self.null(), |code| self.literal(code))
    }

    fn array(self, codes: &[Code]) -> ArrayRef {
        let whole = |f: fn(i64) -> i64| -> ArrayRef {
            Arc::new(codes.iter().map(|code| code.map(f)).collect::<Int64Array>())
        };
        let array: ArrayRef = match self {
            Kind::BigInt | Kind::Int => whole(|code| code - 2),
            Kind::Timestamp => whole(|code| BASE_MS + code * STEP_MS),
            Kind::Text => {
                let texts = codes.iter().map(|code| code.map(|code| TEXTS[code as usize]));
                Arc::new(texts.collect::<StringArray>())
            }
            Kind::Double => {
                let halves = codes.iter().map(|code| code.map(|code| code as f64 / 2.0 - 1.0));
                Arc::new(halves.collect::<Float64Array>())
            }
            Kind::Decimal => {
                let cents = codes.iter().map(|code| code.map(|code| i128::from(code * 50 - 100)));
                let cents = cents.collect::<Decimal128Array>();
                Arc::new(cents.with_precision_and_scale(10, 2).unwrap())
            }
            Kind::Boolean => {
                let flags = codes.iter().map(|code| code.map(|code| code % 2 == 1));
                Arc::new(flags.collect::<BooleanArray>())
            }
            Kind::Date => {
                let days = codes.iter().map(|code| code.map(|c| (BASE_MS / DAY_MS + c) as i32));
                Arc::new(days.collect::<datafusion::arrow::array::Date32Array>())
            }
        };
        cast(&array, &self.arrow()).unwrap()
    }
}

/// A row of a table, with its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) codes: Vec<Code>,
    pub(super) weight: i64,
}

impl Row {
    /// Returns the number of a row of an upserted table, as [`NUMBER`] holds it.
    pub(super) fn number(&self) -> Option<i64> {
        self.codes.last().copied().flatten().map(|code| code - 2)
    }
}

/// What the rows of a table say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    /// Each row is there for good.
    Append,
    /// Rows are taken back, too.
    Changelog,
    /// A row takes the place of that with the same first column, or takes it away.
    Upsert,
}

/// A table. Its first column is the key if rows are upserted; the last one is then [`NUMBER`].
/// If it has event time, that is [`TIME`], which no two rows share and which is nearly in order.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<(String, Kind)>,
    pub(super) comes: Comes,
}

impl Table {
    fn random(number: usize, dice: &mut Dice) -> Table {
        let columns = 2 + dice.below(5);
        // The first two kinds are those of keys, so that most tables can be joined.
        let kind = |column, dice: &mut Dice| match column {
            0 => Kind::BigInt,
            1 => [Kind::Int, Kind::Text, Kind::BigInt][dice.below(3) as usize],
            _ => Kind::random(dice),
        };
        let columns = (0..columns).map(|column| (format!("c{column}"), kind(column, dice)));
        let mut columns: Vec<_> = columns.collect();
        let comes = [
            Comes::Append,
            Comes::Append,
            Comes::Append,
            Comes::Changelog,
            Comes::Changelog,
            Comes::Upsert,
        ][dice.below(6) as usize];
        match comes {
            Comes::Upsert => columns.push((NUMBER.to_owned(), Kind::BigInt)),
            _ if dice.below(2) == 0 => columns.push((TIME.to_owned(), Kind::Timestamp)),
            _ => {}
        }
        Table { name: format!("t{number}"), columns, comes }
    }

    pub(super) fn is_updating(&self) -> bool {
        self.comes != Comes::Append
    }

    pub(super) fn has_time(&self) -> bool {
        self.columns.iter().any(|(name, _)| name == TIME)
    }

    /// Returns rows that come at once; `made` is how many were made before, and `present` what can be
    /// taken back.
    fn rows(&self, present: &mut Vec<Row>, made: &mut i64, dice: &mut Dice) -> Vec<Row> {
        let count = 1 + dice.below(12);
        let row = |at: u64| {
            *made += 1;
            match self.comes {
                Comes::Upsert => self.upsert(*made, at + 1 == count, dice),
                _ => self.row(present, *made, dice),
            }
        };
        (0..count).map(row).collect()
    }

    /// Returns a row, or one of those that are `present` with a weight that takes it back.
    fn row(&self, present: &mut Vec<Row>, number: i64, dice: &mut Dice) -> Row {
        if self.comes == Comes::Changelog && dice.below(5) < 2 {
            // What is taken back later than that is late.
            let time = self.columns.iter().position(|(name, _)| name == TIME);
            let is_recent = |row: &Row| match time.and_then(|time| row.codes[time]) {
                Some(code) => code + GONE_MAX >= number | LATE_MAX,
                None => true,
            };
            let recent: Vec<usize> =
                (0..present.len()).filter(|at| is_recent(&present[*at])).collect();
            if !recent.is_empty() {
                let old = present.swap_remove(recent[dice.below(recent.len() as u64) as usize]);
                return Row { weight: -1, ..old };
            }
        }
        if !self.has_time() && !present.is_empty() && dice.below(5) == 0 {
            // Rows of few columns are seldom equal otherwise.
            let row = present[dice.below(present.len() as u64) as usize].clone();
            present.push(row.clone());
            return row;
        }
        let code = |(name, _): &(String, Kind)| match name.as_str() {
            // Up to three come too late.
            TIME => Some(number ^ LATE_MAX),
            _ => Kind::code(dice),
        };
        let row = Row { codes: self.columns.iter().map(code).collect(), weight: 1 };
        present.push(row.clone());
        row
    }

    /// Returns the row of some key, or that it is gone; the last one of several is there.
    fn upsert(&self, number: i64, is_last: bool, dice: &mut Dice) -> Row {
        let mut codes: Vec<Code> = self.columns.iter().map(|_| Kind::code(dice)).collect();
        codes[0] = Some(dice.below(CODES) as i64);
        *codes.last_mut().unwrap() = Some(number);
        let is_gone = !is_last && dice.below(5) == 0;
        Row { codes, weight: if is_gone { -1 } else { 1 } }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|(name, kind)| Field::new(name, kind.arrow(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Returns rows as a batch.
    pub(super) fn batch(&self, rows: &[&Row]) -> RecordBatch {
        let column = |(at, (_, kind)): (usize, &(String, Kind))| {
            kind.array(&rows.iter().map(|row| row.codes[at]).collect::<Vec<_>>())
        };
        let columns = self.columns.iter().enumerate().map(column).collect();
        RecordBatch::try_new(self.schema(), columns).unwrap()
    }

    /// Returns rows as a query.
    pub(super) fn query(&self, rows: &[&Row]) -> String {
        let columns = self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let line = |codes: &[Code]| {
            let cells = self.columns.iter().zip(codes).map(|((_, kind), code)| kind.value(*code));
            format!("({})", cells.collect::<Vec<_>>().join(", "))
        };
        let lines = rows.iter().map(|row| line(&row.codes)).collect::<Vec<_>>();
        let (lines, filter) = match lines.is_empty() {
            true => (line(&vec![None; columns.len()]), " WHERE FALSE"),
            false => (lines.join(", "), ""),
        };
        format!("SELECT * FROM (VALUES {lines}) AS t ({}){filter}", columns.join(", "))
    }

    /// Returns how many seconds the watermark is behind, so that no row is late.
    fn delay(&self) -> i64 {
        let places = if self.is_updating() { GONE_MAX } else { LATE_MAX };
        places * STEP_MS / 1000 + 1
    }

    /// Returns the columns as `CREATE TABLE` has them.
    pub(super) fn declared(&self) -> String {
        let columns = self.columns.iter().map(|(name, kind)| format!("{name} {}", kind.sql()));
        let delay = self.delay();
        let watermark = format!("WATERMARK FOR {TIME} AS {TIME} - INTERVAL '{delay}' SECOND");
        let watermark = self.has_time().then_some(watermark);
        let is_keyed = self.comes == Comes::Upsert;
        let key = is_keyed.then(|| format!("PRIMARY KEY ({}) NOT ENFORCED", self.columns[0].0));
        columns.chain(watermark).chain(key).collect::<Vec<_>>().join(", ")
    }
}

/// Rows that one table gets at once.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Which table.
    pub(super) table: usize,
    pub(super) rows: Vec<Row>,
}

/// Tables, and how their rows come one after the other.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) tables: Vec<Table>,
    pub(super) steps: Vec<Step>,
}

impl Input {
    pub(super) fn random(dice: &mut Dice) -> Input {
        let tables: Vec<_> =
            (0..2 + dice.below(2)).map(|n| Table::random(n as usize, dice)).collect();
        let steps = 3 + dice.below(5);
        let (mut present, mut made) = (vec![Vec::new(); tables.len()], vec![0; tables.len()]);
        let mut step = |dice: &mut Dice| {
            let table = dice.below(tables.len() as u64) as usize;
            let rows = tables[table].rows(&mut present[table], &mut made[table], dice);
            Step { table, rows }
        };
        let steps = (0..steps).map(|_| step(dice)).collect();
        Input { tables, steps }
    }

    /// Returns the rows of a table that the first `steps` of its steps left.
    pub(super) fn content(&self, table: usize, steps: usize) -> Vec<&Row> {
        let steps = self.steps.iter().filter(|step| step.table == table).take(steps);
        let is_keyed = self.tables[table].comes == Comes::Upsert;
        let mut present: Vec<&Row> = Vec::new();
        for row in steps.flat_map(|step| &step.rows) {
            if is_keyed {
                present.retain(|old| old.codes[0] != row.codes[0]);
                present.extend((row.weight > 0).then_some(row));
                continue;
            }
            match present.iter().position(|old| old.codes == row.codes) {
                Some(old) if row.weight < 0 => drop(present.swap_remove(old)),
                _ => present.push(row),
            }
        }
        present
    }

    /// Returns the watermark of a table after the first `steps` of its steps, in milliseconds.
    pub(super) fn watermark(&self, table: usize, steps: usize) -> Option<i64> {
        let own = &self.tables[table];
        let time = own.columns.iter().position(|(name, _)| name == TIME)?;
        let steps = self.steps.iter().filter(|step| step.table == table).take(steps);
        let newest = steps.flat_map(|step| &step.rows).filter_map(|row| row.codes[time]).max()?;
        Some(BASE_MS + newest * STEP_MS - own.delay() * 1000)
    }

    /// Is each row that is taken back there, and what a probe must see?
    pub(super) fn is_possible(&self) -> bool {
        let mut present: Vec<(usize, &Vec<Code>)> = Vec::new();
        let is_keyed = |step: &&Step| self.tables[step.table].comes == Comes::Upsert;
        let ends = |step: &Step| step.rows.last().is_some_and(|row| row.weight > 0);
        if !self.steps.iter().filter(is_keyed).all(ends) {
            return false;
        }
        let steps = self.steps.iter().filter(|step| !is_keyed(step));
        let rows = steps.flat_map(|step| step.rows.iter().map(|row| (step.table, row)));
        for (table, row) in rows {
            let known = present.iter().position(|known| *known == (table, &row.codes));
            match (row.weight, known) {
                (1, _) => present.push((table, &row.codes)),
                (_, Some(at)) => drop(present.swap_remove(at)),
                (_, None) => return false,
            }
        }
        self.steps.iter().all(|step| !step.rows.is_empty())
    }
}
