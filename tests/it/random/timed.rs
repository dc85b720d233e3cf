//! Queries that are about time: rows with their windows, and functions over the rows before.
//!
//! For the oracle windows are arithmetic on milliseconds, so no planner of ours is asked about them.

use std::collections::BTreeSet;

use super::expression::{Dialect, Expr, ranked};
use super::schema::{Kind, TIME};

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
            Dialect::Stream => format!("SELECT {names} FROM {}", self.shape.function(&self.table)),
            Dialect::Batch => format!("SELECT {names} FROM ({})", self.shape.oracle(&self.table)),
        }
    }

    pub(super) fn feature(&self) -> &'static str {
        match self.shape {
            Shape::Tumble { .. } => "TUMBLE",
            Shape::Hop { .. } => "HOP",
            Shape::Cumulate { .. } => "CUMULATE",
        }
    }
}

impl Shape {
    fn function(self, table: &str) -> String {
        let seconds = |length: i64| format!("INTERVAL '{length}' SECOND");
        let (name, lengths) = match self {
            Shape::Tumble { size } => ("TUMBLE", seconds(size)),
            Shape::Hop { slide, size } => ("HOP", format!("{}, {}", seconds(slide), seconds(size))),
            Shape::Cumulate { step, size } => {
                ("CUMULATE", format!("{}, {}", seconds(step), seconds(size)))
            }
        };
        format!("TABLE({name}(TABLE {table}, DESCRIPTOR({TIME}), {lengths}))")
    }

    /// Returns the query that counts windows from the epoch: `a` is where one starts, `o` how far the
    /// first one of a row is from another one of it.
    fn oracle(self, table: &str) -> String {
        let ((start, end), (step, size)) = match self {
            Shape::Tumble { size } => ((format!("ms - ms % {size}000"), "a + size"), (size, size)),
            Shape::Hop { slide, size } => {
                ((format!("ms - ms % {slide}000 - o"), "a + size"), (slide, size))
            }
            Shape::Cumulate { step, size } => {
                ((format!("ms - ms % {size}000"), "a + step + o"), (step, size))
            }
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

/// Functions over the rows of a table that came before each row.
#[derive(Clone, Debug)]
pub(super) struct Over {
    pub(super) table: String,
    pub(super) alias: String,
    /// Columns as they are.
    pub(super) passed: Vec<(Expr, String)>,
    /// Functions, the frame of each, and its name.
    pub(super) functions: Vec<(Expr, &'static str, String)>,
    pub(super) partition: Vec<String>,
    pub(super) filter: Vec<Expr>,
}

/// Frames of aggregates.
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
        passed.chain(self.functions.iter().map(|(_, _, name)| name)).cloned().collect()
    }

    pub(super) fn sql(&self, dialect: Dialect) -> String {
        let Over { table, alias, .. } = self;
        let partition = match self.partition.is_empty() {
            true => String::new(),
            false => format!("PARTITION BY {} ", self.partition.join(", ")),
        };
        let order = format!("{partition}ORDER BY {alias}.{TIME}");
        let passed = self.passed.iter();
        let passed = passed.map(|(expr, name)| format!("{} AS {name}", expr.sql(dialect)));
        let functions = self.functions.iter().map(|(function, frame, name)| {
            let function = function.sql(dialect);
            let value = format!("{function} OVER ({order}{frame})");
            match function.as_str() {
                "ROW_NUMBER()" => format!("{} AS {name}", ranked(&value, dialect)),
                _ => format!("{value} AS {name}"),
            }
        });
        let items = passed.chain(functions).collect::<Vec<_>>().join(", ");
        let filter = self.filter.iter().map(|expr| expr.sql(dialect)).collect::<Vec<_>>();
        let filter = match filter.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", filter.join(" AND ")),
        };
        format!("SELECT {items} FROM {table} AS {alias}{filter}")
    }

    pub(super) fn features(&self, found: &mut BTreeSet<&'static str>) {
        found.insert("OVER");
        let frames = self.functions.iter().map(|(_, frame, _)| match *frame {
            "" => "OVER all before",
            frame if frame.contains("ROWS") => "OVER rows",
            _ => "OVER a time",
        });
        found.extend(frames);
        self.functions.iter().for_each(|(function, _, _)| function.features(found));
        self.filter.iter().for_each(|expr| expr.features(found));
    }
}
