//! A line of a script: what stands there.

use arrow::datatypes::TimeUnit;
use serde::Deserialize;
use sonic_rs::LazyValue;
use thalweg_types::EventTime;

use crate::formats::text::read_instant;

/// What a line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Rows come; the JSON objects that they are, a line each.
    Rows(Vec<u8>),
    Watermark(EventTime),
    Clock(EventTime),
    Checkpoint,
    End,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The table that it names.
    pub(super) table: Option<String>,
    pub(super) action: Action,
}

/// A line as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    table: Option<String>,
    #[serde(borrow)]
    row: Option<LazyValue<'a>>,
    #[serde(borrow)]
    rows: Option<Vec<LazyValue<'a>>>,
    watermark: Option<String>,
    clock: Option<String>,
    checkpoint: Option<bool>,
    end: Option<bool>,
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Line, String> {
        // A list would be read as the fields in their order.
        if !text.starts_with(b"{") {
            return Err("not a JSON object: it does not begin with `{`".to_owned());
        }
        let written: Written<'_> = sonic_rs::from_slice(text).map_err(|error| {
            let error = error.to_string();
            // The rest is a drawing.
            error.lines().next().unwrap_or_default().to_owned()
        })?;
        let Written { table, row, rows, watermark, clock, checkpoint, end } = written;
        let row = row.map(|row| objects(&[row]));
        let rows = rows.map(|rows| objects(&rows));
        let watermark = watermark.map(|text| time("watermark", &text)).transpose()?;
        let clock = clock.map(|text| time("clock", &text)).transpose()?;
        let actions = [
            row.map(Action::Rows),
            rows.map(Action::Rows),
            watermark.map(Action::Watermark),
            clock.map(Action::Clock),
            flag("checkpoint", checkpoint)?.then_some(Action::Checkpoint),
            flag("end", end)?.then_some(Action::End),
        ];
        let mut actions = actions.into_iter().flatten();
        let (Some(action), None) = (actions.next(), actions.next()) else {
            let one_of = "\"row\", \"rows\", \"watermark\", \"clock\", \"checkpoint\" and \"end\"";
            return Err(format!("a line has one of {one_of}"));
        };
        let is_of_table = matches!(action, Action::Rows(_) | Action::Watermark(_));
        if table.is_some() && !is_of_table {
            return Err("only rows and a watermark are those of a \"table\"".to_owned());
        }
        Ok(Line { table, action })
    }
}

/// Returns JSON values, a line each.
fn objects(values: &[LazyValue<'_>]) -> Vec<u8> {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_raw_str().as_bytes()).collect();
    values.join(&b'\n')
}

fn time(key: &str, text: &str) -> Result<EventTime, String> {
    let nanos = read_instant(text, TimeUnit::Nanosecond);
    nanos
        .map(EventTime)
        .ok_or_else(|| format!("\"{key}\" is no time such as \"2015-01-01 12:02:00\": \"{text}\""))
}

/// Is a flag there? It cannot be `false`.
fn flag(key: &str, value: Option<bool>) -> Result<bool, String> {
    match value {
        Some(false) => Err(format!("\"{key}\" is true, or left out")),
        other => Ok(other.is_some()),
    }
}
