//! Queries that are about time: rows with their windows, what windows send once they are complete, and
//! functions over the rows before.
//!
//! For the oracle windows are arithmetic on milliseconds, so no planner of ours is asked about them, and
//! what is complete is what ends before the watermark, as the texts say by hand.

use std::collections::BTreeSet;

use super::expression::{Dialect, Expr, PLACED, ranked};
use super::query::{Order, listed};
use super::schema::{Kind, TIME};

/// Stands in the oracle's texts for the watermark of a table, in milliseconds.
pub(super) fn watermark(table: &str) -> String {
    format!("<watermark of {table}>")
}

/// The oracle's column that says of a relation of a join that its row is there.
pub(super) const HERE: &str = "here";

/// Returns conditions as `WHERE` or `HAVING` has them; none of no condition.
fn clause(word: &str, conditions: &[String]) -> String {
    match conditions.is_empty() {
        true => String::new(),
        false => format!(" {word} {}", conditions.join(" AND ")),
    }
}

/// The rows of a table, each with the windows that it is in.
#[derive(Clone, Debug)]
pub(super) struct Windowed {
    pub(super) table: String,
    pub(super) columns: Vec<(String, Kind)>,
    pub(super) shape: Shape,
}

/// Windows; all lengths are in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Tumble {
        size: i64,
    },
    /// `size` is a multiple of `slide`.
    Hop {
        slide: i64,
        size: i64,
    },
    /// `size` is a multiple of `step`.
    Cumulate {
        step: i64,
        size: i64,
    },
    Session {
        gap: i64,
    },
}

pub(super) const START: &str = "window_start";
pub(super) const END: &str = "window_end";

impl Windowed {
    /// Returns the names of all columns.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.columns.iter().map(|(name, _)| name.as_str()).chain([START, END]);
        names.map(str::to_owned).collect()
    }

    pub(super) fn sql(&self, dialect: Dialect) -> String {
        let names = self.names().join(", ");
        match dialect {
            Dialect::Stream => {
                format!("SELECT {names} FROM {}", self.shape.function(&self.table, &[]))
            }
            Dialect::Batch => {
                format!("SELECT {names} FROM ({})", self.shape.oracle(&self.table, &[]))
            }
        }
    }

    pub(super) fn feature(&self) -> &'static str {
        match self.shape {
            Shape::Tumble { .. } => "TUMBLE",
            Shape::Hop { .. } => "HOP",
            Shape::Cumulate { .. } => "CUMULATE",
            Shape::Session { .. } => "SESSION",
        }
    }
}

/// What the windows of a table send once the watermark has passed them.
#[derive(Clone, Debug)]
pub(super) struct Fired {
    pub(super) table: String,
    pub(super) alias: String,
    pub(super) shape: Shape,
    /// Columns that are grouped by, and their names.
    pub(super) keys: Vec<(String, String)>,
    /// The names under which windows show their ends, two seconds later: so no planner knows them.
    pub(super) ends: [String; 2],
    pub(super) calls: Vec<(Expr, String)>,
    pub(super) filter: Vec<Expr>,
    pub(super) having: Vec<Expr>,
}

impl Fired {
    pub(super) fn names(&self) -> Vec<String> {
        let keys = self.keys.iter().map(|(_, name)| name).chain(&self.ends);
        keys.chain(self.calls.iter().map(|(_, name)| name)).cloned().collect()
    }

    pub(super) fn sql(&self, dialect: Dialect) -> String {
        let Fired { table, alias, shape, .. } = self;
        let keys: Vec<&str> = self.keys.iter().map(|(column, _)| column.as_str()).collect();
        let text = |expr: &Expr| expr.sql(dialect);
        let mut filter: Vec<_> = self.filter.iter().map(text).collect();
        let from = match dialect {
            Dialect::Stream => shape.function(table, &keys),
            Dialect::Batch => {
                let last = format!("arrow_cast({END}, 'Int64') - 1");
                filter.push(format!("{last} <= {}", watermark(table)));
                format!("({})", shape.oracle(table, &keys))
            }
        };
        let having: Vec<_> = self.having.iter().map(text).collect();
        let shown = self.keys.iter().map(|(column, name)| format!("{column} AS {name}"));
        let ends = [START, END].into_iter().zip(&self.ends);
        let ends = ends.map(|(end, name)| format!("{end} + INTERVAL '2' SECOND AS {name}"));
        let calls = self.calls.iter().map(|(call, name)| format!("{} AS {name}", text(call)));
        let items = shown.chain(ends).chain(calls).collect::<Vec<_>>().join(", ");
        let groups = keys.into_iter().chain([START, END]).collect::<Vec<_>>().join(", ");
        let (filter, having) = (clause("WHERE", &filter), clause("HAVING", &having));
        format!("SELECT {items} FROM {from} AS {alias}{filter} GROUP BY {groups}{having}")
    }

    pub(super) fn features(&self, found: &mut BTreeSet<&'static str>) {
        found.insert(match self.shape {
            Shape::Tumble { .. } => "results of TUMBLE",
            Shape::Hop { .. } => "results of HOP",
            Shape::Cumulate { .. } => "results of CUMULATE",
            Shape::Session { .. } => "results of SESSION",
        });
        let calls = self.calls.iter().map(|(call, _)| call);
        calls.chain(&self.filter).chain(&self.having).for_each(|expr| expr.features(found));
    }
}

impl Shape {
    fn function(self, table: &str, keys: &[&str]) -> String {
        let seconds = |length: i64| format!("INTERVAL '{length}' SECOND");
        let (name, lengths) = match self {
            Shape::Tumble { size } => ("TUMBLE", seconds(size)),
            Shape::Hop { slide, size } => ("HOP", format!("{}, {}", seconds(slide), seconds(size))),
            Shape::Cumulate { step, size } => {
                ("CUMULATE", format!("{}, {}", seconds(step), seconds(size)))
            }
            Shape::Session { gap } => ("SESSION", seconds(gap)),
        };
        let partition = match matches!(self, Shape::Session { .. }) && !keys.is_empty() {
            true => format!(" PARTITION BY {}", keys.join(", ")),
            false => String::new(),
        };
        format!("TABLE({name}(TABLE {table}{partition}, DESCRIPTOR({TIME}), {lengths}))")
    }

    /// Returns the query that counts windows from the epoch: `a` is where one starts, `o` how far the
    /// first one of a row is from another one of it.
    fn oracle(self, table: &str, keys: &[&str]) -> String {
        let ((start, end), (step, size)) = match self {
            Shape::Tumble { size } => ((format!("ms - ms % {size}000"), "a + size"), (size, size)),
            Shape::Hop { slide, size } => {
                ((format!("ms - ms % {slide}000 - o"), "a + size"), (slide, size))
            }
            Shape::Cumulate { step, size } => {
                ((format!("ms - ms % {size}000"), "a + step + o"), (step, size))
            }
            Shape::Session { gap } => return sessions(table, keys, gap),
        };
        let offsets: Vec<_> = (0..size / step).map(|n| format!("({})", n * step * 1000)).collect();
        let time = |expr: &str| format!("arrow_cast({expr}, 'Timestamp(Millisecond, None)')");
        let end = end.replace("size", &format!("{size}000")).replace("step", &format!("{step}000"));
        format!(
            "SELECT *, {} AS {START}, {} AS {END} FROM (SELECT *, {start} AS a FROM (SELECT *, \
             arrow_cast({TIME}, 'Int64') AS ms FROM {table}) CROSS JOIN (VALUES {}) AS v (o)) \
             WHERE {end} > ms",
            time("a"),
            time(&end),
            offsets.join(", "),
        )
    }
}

/// Returns the query that numbers sessions: a row begins one if the row before is more than the gap ago.
fn sessions(table: &str, keys: &[&str], gap: i64) -> String {
    let by = |more: &str| {
        let columns = keys.iter().copied().chain([more]).filter(|column| !column.is_empty());
        let columns = columns.collect::<Vec<_>>().join(", ");
        if columns.is_empty() { String::new() } else { format!("PARTITION BY {columns} ") }
    };
    let (key, session) = (by(""), by("session"));
    format!(
        "SELECT *, MIN({TIME}) OVER ({session}) AS {START}, \
         MAX({TIME}) OVER ({session}) + INTERVAL '{gap}' SECOND AS {END} FROM (SELECT *, \
         SUM(first) OVER ({key}ORDER BY ms ROWS UNBOUNDED PRECEDING) AS session FROM (SELECT *, \
         CASE WHEN ms - LAG(ms) OVER ({key}ORDER BY ms) <= {gap}000 THEN 0 ELSE 1 END AS first \
         FROM (SELECT *, arrow_cast({TIME}, 'Int64') AS ms FROM {table})))"
    )
}

/// Functions over the rows of a table that stand before each row.
#[derive(Clone, Debug)]
pub(super) struct Over {
    pub(super) table: String,
    pub(super) alias: String,
    /// Columns as they are.
    pub(super) passed: Vec<(Expr, String)>,
    pub(super) functions: Vec<Called>,
    pub(super) partition: Vec<String>,
    pub(super) order: Sequence,
    pub(super) filter: Vec<Expr>,
    /// Does a condition read what else nobody may read? Without functions that are read no row waits.
    pub(super) is_read: bool,
}

/// A function over rows before each row.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) function: Expr,
    pub(super) frame: &'static str,
    pub(super) name: String,
    /// The partition and the order, where they are not those of the query.
    pub(super) own: Option<(Vec<String>, Sequence)>,
}

/// What is before what.
#[derive(Clone, Debug)]
pub(super) enum Sequence {
    /// Time, in a table that only grows: a row has its values once the watermark is there.
    Final,
    /// Time, in a table whose rows go, too: values change with each epoch.
    Time,
    /// These columns, which are all there are, so that only the same rows are at the same place.
    Columns(Vec<Order>),
}

/// The column that tells equal rows apart, for the oracle.
const COPY: &str = "copy";

impl Called {
    /// Does the value depend on which of some equal rows it is?
    fn counts_rows(&self) -> bool {
        self.function.is_call_of(PLACED) || self.frame.contains("ROWS")
    }
}

impl Sequence {
    fn sql(&self, partition: &[String], dialect: Dialect) -> String {
        let partition = match partition.is_empty() {
            true => String::new(),
            false => format!("PARTITION BY {} ", partition.join(", ")),
        };
        let order = match self {
            Sequence::Columns(columns) => listed(columns, ", ", |column| column.sql(dialect)),
            Sequence::Final | Sequence::Time => TIME.to_owned(),
        };
        format!("{partition}ORDER BY {order}")
    }
}

/// Frames of aggregates along time; the first three of them have a meaning in any order.
pub(super) const FRAMES: [&str; 5] = [
    "",
    " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
    " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    " RANGE BETWEEN INTERVAL '3' SECOND PRECEDING AND CURRENT ROW",
    " RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW",
];

impl Over {
    pub(super) fn names(&self) -> Vec<String> {
        let passed = self.passed.iter().map(|(_, name)| name);
        passed.chain(self.functions.iter().map(|called| &called.name)).cloned().collect()
    }

    pub(super) fn sql(&self, dialect: Dialect) -> String {
        let Over { table, alias, .. } = self;
        let order = self.order.sql(&self.partition, dialect);
        let passed = self.passed.iter();
        let passed = passed.map(|(expr, name)| format!("{} AS {name}", expr.sql(dialect)));
        let functions = self.functions.iter().map(|called| {
            let Called { frame, name, own, .. } = called;
            let mut order = match own {
                None => order.clone(),
                Some((partition, order)) => order.sql(partition, dialect),
            };
            // Rows that are equal are the same copies in each order, unless their frames end with the last.
            if dialect == Dialect::Batch && self.has_copies() && called.counts_rows() {
                order += &format!(", {alias}.{COPY}");
            }
            let function = called.function.sql(dialect);
            let value = format!("{function} OVER ({order}{frame})");
            match function.as_str() {
                "ROW_NUMBER()" => format!("{} AS {name}", ranked(&value, dialect)),
                _ => format!("{value} AS {name}"),
            }
        });
        let counted = (self.is_final() && self.is_read)
            .then(|| format!("COUNT(*) OVER ({order}) AS {alias}_n"));
        let items = passed.chain(functions).chain(counted).collect::<Vec<_>>().join(", ");
        let filter = self.filter.iter().map(|expr| expr.sql(dialect)).collect::<Vec<_>>();
        let filter = clause("WHERE", &filter);
        let names = self.names().join(", ");
        let table = match (dialect, &self.order) {
            (Dialect::Batch, Sequence::Columns(columns)) => {
                let columns = listed(columns, ", ", |column| column.column.clone());
                let copies = format!("PARTITION BY {columns} ORDER BY {columns}");
                &format!("(SELECT *, ROW_NUMBER() OVER ({copies}) AS {COPY} FROM {table})")
            }
            _ => table,
        };
        match (self.is_final(), dialect) {
            (true, Dialect::Batch) => format!(
                "SELECT {names} FROM (SELECT {items}, arrow_cast({TIME}, 'Int64') AS ms FROM \
                 {table} AS {alias}{filter}) WHERE ms <= {}",
                watermark(table),
            ),
            (true, Dialect::Stream) if self.is_read => format!(
                "SELECT {names} FROM (SELECT {items} FROM {table} AS {alias}{filter}) \
                 WHERE {alias}_n > 0"
            ),
            _ => format!("SELECT {items} FROM {table} AS {alias}{filter}"),
        }
    }

    /// Can rows be equal in all columns? No two rows share their time.
    fn has_copies(&self) -> bool {
        matches!(self.order, Sequence::Columns(_))
    }

    pub(super) fn is_final(&self) -> bool {
        matches!(self.order, Sequence::Final)
    }

    pub(super) fn features(&self, found: &mut BTreeSet<&'static str>) {
        found.insert(match self.order {
            Sequence::Final => "OVER",
            Sequence::Time => "OVER updated",
            Sequence::Columns(_) => "OVER in any order",
        });
        let is_apart = self.functions.iter().any(|called| called.own.is_some());
        found.extend(is_apart.then_some("OVER several orders"));
        let frames = self.functions.iter().map(|called| match called.frame {
            "" => "OVER all before",
            frame if frame.contains("ROWS") => "OVER rows",
            _ => "OVER a time",
        });
        found.extend(frames);
        self.functions.iter().for_each(|called| called.function.features(found));
        self.filter.iter().for_each(|expr| expr.features(found));
    }
}
