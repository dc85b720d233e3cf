//! Lines that say how rows changed, decoded into rows with weights.
//!
//! Invariants: an update is two rows, the old one directly before the new one; a line of which
//! anything is wrong leaves none of its rows behind. Whether a row that is taken back was ever
//! there is not known here.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::compute::filter;
use arrow::datatypes::SchemaRef;
use sonic_rs::{JsonValueTrait, LazyValue, to_object_iter};
use thalweg_plan::connector::{OLD_HALF, TableSpec};
use thalweg_types::{Change, Result};

use super::envelope::{self, Envelope, Included};
use super::facts::Fact;
use super::halves::Halves;
use super::json::{JsonDecoder, reason};
use super::json_dialect::JsonDialect;
use super::lines::lines;
use super::{Decoded, Decoder, Malformed};

/// How a line is read.
#[derive(Debug)]
enum Shape {
    Debezium { has_schema: bool },
    Canal(Included),
    Maxwell,
    Upsert,
}

/// Decodes lines that say how rows changed.
#[derive(Debug)]
pub(super) struct ChangelogDecoder {
    shape: Shape,
    rows: JsonDecoder,
    /// The columns of rows, and all columns.
    schemas: [SchemaRef; 2],
    facts: Vec<Fact>,
    halves: Option<Halves>,
    /// Where each column stands among those of rows, and behind them facts and which halves are old.
    places: Vec<usize>,
    /// Of each row of the block: is it whole, and what does it weigh?
    keep: Vec<bool>,
    weights: Vec<i64>,
}

impl ChangelogDecoder {
    /// Returns a decoder of `columns` of a table in one of these formats; its rows have the schema
    /// `delivered`, in which what a deleted key has no value for can be NULL.
    ///
    /// # Errors
    /// `Invalid` if an option is wrong or a type has no form in JSON.
    pub(super) fn new(
        table: &TableSpec,
        columns: &[usize],
        delivered: SchemaRef,
    ) -> Result<ChangelogDecoder> {
        let options = &table.options;
        let format = super::of(options)?;
        let shape = match Envelope::of(format) {
            Some(Envelope::Debezium) => {
                Shape::Debezium { has_schema: envelope::has_schema(options)? }
            }
            Some(Envelope::Canal) => Shape::Canal(Included::of(options)?),
            Some(Envelope::Maxwell) => Shape::Maxwell,
            None => Shape::Upsert,
        };
        let dialect = JsonDialect::of(options, format)?;
        let physical = table.schema.fields().len();
        let key =
            |place: &usize| columns[*place].checked_sub(physical).map(|at| &table.metadata[at].key);
        let (of_rows, noted): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|place| key(place).is_none());
        let (of_halves, of_facts): (Vec<usize>, Vec<usize>) =
            noted.into_iter().partition(|place| key(place).is_some_and(|key| key == OLD_HALF));
        let own: Vec<usize> = of_rows.iter().map(|place| columns[*place]).collect();
        let rows = JsonDecoder::new(dialect, &table.schema, &own)?;
        let fact =
            |place: &usize| Fact::new(table, &table.metadata[columns[*place] - physical].key);
        let facts = of_facts.iter().map(fact).collect::<Result<_>>()?;
        let halves = of_halves.first().map(|_| Halves::new(table, &own)).transpose()?;
        let schemas = [Arc::new(delivered.project(&of_rows)?), delivered];
        let made: Vec<usize> = of_rows.into_iter().chain(of_facts).chain(of_halves).collect();
        let places = (0..columns.len()).map(|column| made.iter().position(|one| *one == column));
        let places = places.flatten().collect();
        let (keep, weights) = (Vec::new(), Vec::new());
        Ok(ChangelogDecoder { shape, rows, schemas, facts, halves, places, keep, weights })
    }

    /// Adds a row made of objects, the first of which that has a field counts.
    fn push(&mut self, weight: i64, objects: &[&[u8]]) -> Result<(), String> {
        let row = self.begin(weight);
        self.rows.row(objects, row)
    }

    /// Adds the old half of an update, like [`ChangelogDecoder::push`].
    fn old_half(&mut self, objects: &[&[u8]]) -> Result<(), String> {
        if let Some(halves) = &mut self.halves {
            halves.note(self.keep.len());
        }
        self.push(-1, objects)
    }

    /// Begins a row; returns its number.
    fn begin(&mut self, weight: i64) -> usize {
        self.keep.push(true);
        self.weights.push(weight);
        self.keep.len() - 1
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        match &self.shape {
            Shape::Debezium { has_schema: false } => self.debezium(line),
            Shape::Debezium { has_schema: true } => {
                let [payload] = members(line, ["payload"])?;
                self.debezium(text(there(&payload, "payload")?))
            }
            Shape::Canal(included) => {
                let [database, table] = members(line, ["database", "table"])?;
                let fits = [(&included.database, database), (&included.table, table)];
                let fits = fits.iter().all(|(pattern, name)| {
                    let name = name.as_ref().and_then(LazyValue::as_str).unwrap_or_default();
                    pattern.as_ref().is_none_or(|pattern| pattern.is_match(name))
                });
                if fits { self.canal(line) } else { Ok(()) }
            }
            Shape::Maxwell => self.maxwell(line),
            Shape::Upsert => self.upsert(line),
        }
    }

    fn debezium(&mut self, line: &[u8]) -> Result<(), String> {
        let [op, before, after] = members(line, ["op", "before", "after"])?;
        let op = there(&op, "op")?;
        match op.as_str() {
            Some("c" | "r") => self.push(1, &[text(there(&after, "after")?)]),
            Some("u") => {
                self.old_half(&[text(old(&before, "an update")?)])?;
                self.push(1, &[text(there(&after, "after")?)])
            }
            Some("d") => self.push(-1, &[text(old(&before, "a deletion")?)]),
            _ => Err(format!("field `op` is none of c, r, u, d: {}", op.as_raw_str())),
        }
    }

    fn canal(&mut self, line: &[u8]) -> Result<(), String> {
        let [kind, data, old] = members(line, ["type", "data", "old"])?;
        let kind = there(&kind, "type")?;
        let kind = kind.as_str().unwrap_or_default();
        // A table was made; that is no change of a row.
        if kind == "CREATE" {
            return Ok(());
        }
        let data = items(there(&data, "data")?, "data")?;
        if kind != "UPDATE" {
            let weight = weight_of(kind, ("INSERT", "DELETE"))?;
            return data.iter().try_for_each(|row| self.push(weight, &[text(row)]));
        }
        let old = items(there(&old, "old")?, "old")?;
        if old.len() != data.len() {
            let (old, new) = (old.len(), data.len());
            return Err(format!("field `old` has {old} rows and `data` has {new}"));
        }
        data.iter().zip(&old).try_for_each(|(new, old)| self.update(old, new))
    }

    fn maxwell(&mut self, line: &[u8]) -> Result<(), String> {
        let [kind, data, old] = members(line, ["type", "data", "old"])?;
        let (kind, data) = (there(&kind, "type")?, there(&data, "data")?);
        match kind.as_str().unwrap_or_default() {
            "update" => self.update(there(&old, "old")?, data),
            kind => {
                let weight = weight_of(kind, ("insert", "delete"))?;
                self.push(weight, &[text(data)])
            }
        }
    }

    /// Adds an update of which `old` has the fields that it changed.
    fn update(&mut self, old: &LazyValue<'_>, new: &LazyValue<'_>) -> Result<(), String> {
        self.old_half(&[text(old), text(new)])?;
        self.push(1, &[text(new)])
    }

    fn upsert(&mut self, line: &[u8]) -> Result<(), String> {
        let [key, value] = members(line, ["key", "value"])?;
        let key = there(&key, "key")?;
        let value = value.ok_or_else(|| "field `value` is missing".to_owned())?;
        if !value.is_null() {
            return self.push(1, &[text(key), text(&value)]);
        }
        let row = self.begin(-1);
        self.rows.some(text(key), row, &self.schemas[0])
    }

    /// Notes what a line says of the rows from `first` on.
    fn notes(&mut self, line: &[u8], first: usize) -> Result<(), String> {
        let rows = self.keep.len();
        self.facts.iter_mut().try_for_each(|fact| {
            fact.fill(first);
            fact.add(line, rows - first)
        })
    }

    /// Returns the rows that are kept, with what was noted of them.
    fn finish(&mut self) -> Result<RecordBatch> {
        let keep = std::mem::take(&mut self.keep);
        let rows = self.rows.finish(&self.schemas[0], keep.clone())?;
        if self.facts.is_empty() && self.halves.is_none() {
            return Ok(rows);
        }
        let (count, mut columns) = (rows.num_rows(), rows.columns().to_vec());
        let mask = BooleanArray::from(keep);
        for fact in &mut self.facts {
            fact.fill(mask.len());
            columns.push(filter(&fact.finish(), &mask)?);
        }
        if let Some(halves) = &mut self.halves {
            columns.push(halves.finish(&rows, &mask)?);
        }
        let columns = self.places.iter().map(|place| columns[*place].clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(self.schemas[1].clone(), columns, &options)?)
    }

    /// Takes the weights of the rows that are kept.
    fn take_weights(&mut self) -> Int64Array {
        let weights = std::mem::take(&mut self.weights).into_iter().zip(&self.keep);
        weights.filter(|(_, keep)| **keep).map(|(weight, _)| weight).collect::<Vec<_>>().into()
    }
}

impl Decoder for ChangelogDecoder {
    fn decode(&mut self, block: &Buffer) -> Result<Decoded> {
        let mut bad = Vec::new();
        self.rows.begin();
        for (from, to) in lines(block) {
            let line = block[from..to].trim_ascii();
            if line.is_empty() {
                continue;
            }
            let first = self.keep.len();
            let outcome = self.line(line).and_then(|()| self.notes(line, first));
            if let Err(error) = outcome {
                if let Some(last) = self.keep.len().checked_sub(1).filter(|last| *last >= first) {
                    self.rows.complete(last);
                }
                self.keep[first..].fill(false);
                bad.push(Malformed { offset: from, record: line.to_vec(), error });
            }
        }
        let weights = self.take_weights();
        let rows = self.finish()?;
        Ok(Decoded { rows: Change::weighted(rows, weights)?, bad })
    }
}

/// Returns the members of an object that have these names.
fn members<'a, const N: usize>(
    object: &'a [u8],
    names: [&str; N],
) -> Result<[Option<LazyValue<'a>>; N], String> {
    if !object.ends_with(b"}") {
        return Err("not a JSON object: it does not end with `}`".to_owned());
    }
    let mut found = [const { None }; N];
    for entry in to_object_iter(object) {
        let (key, value) = entry.map_err(|error| reason(&error))?;
        if let Some(place) = names.iter().position(|name| *name == key.as_ref()) {
            found[place] = Some(value);
        }
    }
    Ok(found)
}

/// Returns a member that must be there.
fn there<'m, 'a>(
    member: &'m Option<LazyValue<'a>>,
    name: &str,
) -> Result<&'m LazyValue<'a>, String> {
    let member = member.as_ref().ok_or_else(|| format!("field `{name}` is missing"))?;
    if member.is_null() { Err(format!("field `{name}` is NULL")) } else { Ok(member) }
}

/// Returns the row before a change, which not every database hands out.
fn old<'m, 'a>(before: &'m Option<LazyValue<'a>>, what: &str) -> Result<&'m LazyValue<'a>, String> {
    there(before, "before").map_err(|error| {
        format!(
            "{error} in {what}; if this is PostgreSQL, give the table there REPLICA IDENTITY FULL"
        )
    })
}

/// Returns the rows of an array.
fn items<'a>(array: &LazyValue<'a>, name: &str) -> Result<Vec<LazyValue<'a>>, String> {
    let items = array.clone().into_array_iter();
    let items = items.ok_or_else(|| format!("field `{name}` is no array"))?;
    items.map(|item| item.map_err(|error| reason(&error))).collect()
}

fn weight_of(kind: &str, (insert, delete): (&str, &str)) -> Result<i64, String> {
    match kind {
        kind if kind == insert => Ok(1),
        kind if kind == delete => Ok(-1),
        kind => Err(format!("field `type` is an unknown one: `{kind}`")),
    }
}

fn text<'m>(value: &'m LazyValue<'_>) -> &'m [u8] {
    value.as_raw_str().as_bytes()
}

#[cfg(test)]
mod tests;
