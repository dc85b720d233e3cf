//! Rows that are bad records: those whose expressions fail, and those that take back what never came.
//!
//! Invariant: a bad row is counted once, and sent to output 1 where somebody wants it, as JSON.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use thalweg_plan::connector::OLD_HALF;
use thalweg_plan::source::{BadRecord, bad_record_batch};
use thalweg_types::{Change, Result};

use super::batches::never_came;
use crate::operator::Output;

/// What becomes of rows of a table that take back what never came.
#[derive(Debug)]
pub struct Unfounded {
    place: String,
    diverts: bool,
}

impl Unfounded {
    /// Returns what counts them, and sends them on if it `diverts`.
    pub fn new(table: &str, diverts: bool) -> Unfounded {
        Unfounded { place: format!("table `{table}`"), diverts }
    }

    /// Counts such rows.
    ///
    /// # Errors
    /// None that data can cause.
    pub fn refuse(&self, change: &Change, rows: &[u32], out: &mut Output) -> Result<()> {
        out.count_bad(rows.len());
        if !self.diverts || rows.is_empty() {
            return Ok(());
        }
        // What a row is in an update is no column of the table.
        let own = change.rows.schema();
        let own = (0..own.fields().len()).filter(|column| own.field(*column).name() != OLD_HALF);
        let shown = change.rows.project(&own.collect::<Vec<_>>())?;
        let record = |row: &u32| {
            let row = (&shown, *row as usize);
            bad_row(row, &self.place, never_came(row.0, row.1).message())
        };
        let records: Vec<BadRecord> = rows.iter().map(record).collect();
        out.send_to(1, Change::append(bad_record_batch(&records)?));
        Ok(())
    }
}

/// Describes a row: its columns as a JSON object, where it was found, and the reason.
pub fn bad_row((rows, row): (&RecordBatch, usize), place: &str, error: &str) -> BadRecord {
    let fields = rows.schema_ref().fields().iter().zip(rows.columns());
    let fields = fields.map(|(field, column)| {
        let shown = array_value_to_string(column, row).unwrap_or_default();
        let kind = field.data_type();
        let value = match column.is_null(row) {
            true => "null".to_owned(),
            false if kind.is_numeric() || *kind == DataType::Boolean => shown,
            false => quoted(&shown),
        };
        format!("{}:{value}", quoted(field.name()))
    });
    BadRecord {
        record: format!("{{{}}}", fields.collect::<Vec<_>>().join(",")).into_bytes(),
        place: place.to_owned(),
        error: error.to_owned(),
    }
}

/// Writes a text as a JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            control if control < ' ' => quoted += &format!("\\u{:04x}", u32::from(control)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
