//! The events of Nexmark as files, in order or not, and as tables of DataFusion.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray,
};
use datafusion::prelude::SessionContext;
use serde_json::Value;

use crate::support::{Dice, Place};

/// The tables, with the declarations that a user finds.
pub(super) const TABLES: [&str; 3] = ["person", "auction", "bid"];
pub(super) const NATIVE: &str = include_str!("../../../nexmark/tables-native.sql");
pub(super) const FILES: &str = include_str!("../../../nexmark/tables-files.sql");

/// How far rows overtake each other where they are out of order; the watermark allows 4 s.
const DISORDER_MS: u64 = 3000;
/// 2015-07-15, when the events begin.
const DAY_MS: i64 = 1_436_918_400_000;

/// Returns the declarations of tables with so many events, `rate` of them in a second of event time.
pub(super) fn native(count: u64, rate: u64) -> String {
    let declared = "'nexmark.events' = '1000000'";
    assert_eq!(NATIVE.matches(declared).count(), TABLES.len());
    let wanted = format!("'nexmark.events' = '{count}', 'nexmark.rate' = '{rate}'");
    NATIVE.replace(declared, &wanted)
}

/// The rows of each table, as the program wrote them.
pub(super) struct Events {
    pub(super) count: u64,
    /// Events in a second of event time.
    pub(super) rate: u64,
    pub(super) lines: Vec<(&'static str, Vec<String>)>,
    /// The files, in the folders `true`, in order, and `false`, out of order.
    files: Place,
}

impl Events {
    /// Lets the program make so many events.
    pub(super) fn new(count: u64, rate: u64) -> Events {
        let place = Place::new();
        let lines = TABLES.map(|table| {
            let script = format!(
                "{} CREATE TABLE out WITH ('connector' = 'filesystem', 'path' = '{table}',
                 'format' = 'json') AS SELECT * FROM {table};",
                native(count, rate)
            );
            place.succeed(&["run", "-e", &script, "--workers", "1"]);
            let mut lines: Vec<String> = Vec::new();
            for (line, count) in place.published(table) {
                lines.extend(std::iter::repeat_n(line, count));
            }
            lines.sort_by_key(|line| time_ms(line));
            (table, lines)
        });
        let events = Events { count, rate, lines: lines.to_vec(), files: Place::new() };
        events.write(true);
        events.write(false);
        events
    }

    /// Puts the files of the tables, and the side input of even keys, into a place. It shares the files
    /// with all others, which only read them.
    pub(super) fn lay(&self, place: &Place, is_ordered: bool) {
        for table in TABLES {
            std::fs::create_dir(place.path(table)).unwrap();
            let file = self.files.path(&format!("{is_ordered}/{table}/events.json"));
            std::fs::hard_link(file, place.path(&format!("{table}/events.json"))).unwrap();
        }
        write_side_input(place);
    }

    fn write(&self, is_ordered: bool) {
        let mut dice = Dice(7);
        for (table, lines) in &self.lines {
            let mut lines: Vec<(i64, &String)> = lines
                .iter()
                .map(|line| {
                    let late = if is_ordered { 0 } else { dice.below(DISORDER_MS) };
                    (time_ms(line) + late as i64, line)
                })
                .collect();
            lines.sort();
            let text: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
            self.files.write(&format!("{is_ordered}/{table}/events.json"), &text);
        }
    }

    /// Returns a context in which each table stands, its time also in milliseconds.
    pub(super) fn context(&self) -> SessionContext {
        let context = SessionContext::new();
        for (table, lines) in &self.lines {
            let rows: Vec<Value> =
                lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            let first = rows[0].as_object().unwrap();
            let mut columns: Vec<(String, ArrayRef)> = Vec::new();
            for name in first.keys() {
                let values = || rows.iter().map(|row| &row[name]);
                let millis = || values().map(|value| value.as_str().map(text_ms));
                if name == "dateTime" || name == "expires" {
                    let prefix = if name == "expires" { "expires_" } else { "" };
                    let counts: Int64Array = millis().collect();
                    columns.push((format!("{prefix}ms"), Arc::new(counts)));
                    let times: TimestampMillisecondArray = millis().collect();
                    columns.push((name.clone(), Arc::new(times)));
                } else if first[name].is_i64() {
                    let numbers: Int64Array = values().map(Value::as_i64).collect();
                    columns.push((name.clone(), Arc::new(numbers)));
                } else {
                    let texts: StringViewArray = values().map(Value::as_str).collect();
                    columns.push((name.clone(), Arc::new(texts)));
                }
            }
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            context.register_batch(*table, batch).unwrap();
        }
        context
    }
}

/// Writes what q13 joins with: a text for each even key.
pub(super) fn write_side_input(place: &Place) {
    let lines = (0..10_000).step_by(2).map(|key| format!("{key},value {key}\n"));
    place.write("side_input.csv", &lines.collect::<String>());
}

/// Returns the event time of a line.
fn time_ms(line: &str) -> i64 {
    let row: Value = serde_json::from_str(line).unwrap();
    text_ms(row["dateTime"].as_str().unwrap())
}

/// Reads `2015-07-15 hh:mm:ss[.mmm]`.
pub(super) fn text_ms(text: &str) -> i64 {
    let clock = text.strip_prefix("2015-07-15 ").unwrap_or_else(|| panic!("{text}"));
    let seconds = clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
    DAY_MS + (seconds * 1000.0).round() as i64
}
