//! `thalweg state show --key`: what a checkpoint holds of one key.
//!
//! Invariants: only the files of the key's group are read where the whole key is given; what is
//! shown is what a restore of the checkpoint would go on with, so windows that are over are not
//! there. Aggregates of our own are shown by their values, others by the columns of their state, and what
//! users' functions keep as JSON.

mod distinct;
mod entries;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    UInt32Array,
};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{
    CastOptions, and, cast, cast_with_options, concat_batches, filter_record_batch, take,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use thalweg_connectors::print::Shown;
use thalweg_plan::function::AggregateFunction;
use thalweg_plan::layout::{KeptCall, Layout};
use thalweg_plan::sink::{Sink, WriterContext};
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_plan::{aggregate, sketch};
use thalweg_sql::write::type_name;
use thalweg_state::{GroupTable, StateReader};
use thalweg_storage::CheckpointLog;
use thalweg_storage::checkpoint::Manifest;
use thalweg_storage::checkpoint::manifest::OperatorState;
use thalweg_types::{
    AttemptId, Change, Epoch, Error, EventTime, Groups, JobId, KeyGroup, KeyGroupRange, KeyGroups,
    NodeId, Result, WorkerId, hash,
};

use self::distinct::Kept;
use crate::arguments::{KeyArguments, OutputFormat};
use crate::report;

/// Prints what `manifest` holds of a key.
///
/// # Errors
/// `Invalid` if no operator has such a key, `State` if the checkpoint cannot be read.
pub(crate) async fn show(
    log: &CheckpointLog,
    manifest: &Manifest,
    arguments: &KeyArguments,
) -> Result<ExitCode> {
    let key = conditions(&arguments.key)?;
    let operators = candidates(manifest, arguments.operator.as_deref(), &key)?;
    let mut is_found = false;
    for (operator, state, layout) in operators {
        let lookup = Lookup { manifest, state, layout };
        let rows = lookup.rows(log, &key).await?;
        if rows.num_rows() > 0 {
            is_found = true;
            print(operator, rows, arguments.output).await?;
        }
    }
    if !is_found {
        let (number, key) = (manifest.number, arguments.key.join(", "));
        report::tell(format_args!("checkpoint {number} holds nothing of the key {key}\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// A column of the key and the text of its value.
type Condition<'a> = (&'a str, &'a str);

fn conditions(texts: &[String]) -> Result<Vec<Condition<'_>>> {
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for text in texts {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Error::invalid(format!("--key '{text}' names no value"))
                .remedy("write --key 'user=alice'")
        })?;
        if !names.insert(name.trim()) {
            return Err(Error::invalid(format!("column `{}` is given twice", name.trim())));
        }
        found.push((name.trim(), value));
    }
    Ok(found)
}

type Candidate<'a> = (&'a str, &'a OperatorState, Layout);

/// Returns the operators whose keys have all the columns asked for.
fn candidates<'a>(
    manifest: &'a Manifest,
    operator: Option<&str>,
    key: &[Condition<'_>],
) -> Result<Vec<Candidate<'a>>> {
    let mut keyed: Vec<Candidate<'a>> = Vec::new();
    for (name, state) in &manifest.operators {
        if let Some(layout) = &state.layout
            && operator.is_none_or(|operator| operator == name)
        {
            keyed.push((name, state, Layout::read(layout)?));
        }
    }
    if keyed.is_empty() {
        let which =
            operator.map_or("no operator".to_owned(), |name| format!("no operator `{name}`"));
        let message = format!("checkpoint {} has {which} with a key", manifest.number);
        return Err(Error::invalid(message).remedy(
            "`thalweg state show` lists the operators; a checkpoint of an earlier release says \
             nothing of its keys",
        ));
    }
    let has = |layout: &Layout, name: &str| layout.key.iter().any(|column| column.name == name);
    let keys: Vec<String> = keyed
        .iter()
        .map(|(operator, _, layout)| {
            let names: Vec<&str> = layout.key.iter().map(|column| column.name.as_str()).collect();
            format!("({}) of `{operator}`", names.join(", "))
        })
        .collect();
    for (name, _) in key {
        if !keyed.iter().any(|(_, _, layout)| has(layout, name)) {
            return Err(Error::invalid(format!("no key has a column `{name}`"))
                .remedy(format!("keys are {}", keys.join(", "))));
        }
    }
    keyed.retain(|(_, _, layout)| key.iter().all(|(name, _)| has(layout, name)));
    match keyed.is_empty() {
        true => Err(Error::invalid("no key has all of these columns")
            .remedy(format!("keys are {}", keys.join(", ")))),
        false => Ok(keyed),
    }
}

/// The state of one operator in a checkpoint.
struct Lookup<'a> {
    manifest: &'a Manifest,
    state: &'a OperatorState,
    layout: Layout,
}

impl Lookup<'_> {
    /// Returns what there is of a key.
    async fn rows(&self, log: &CheckpointLog, key: &[Condition<'_>]) -> Result<RecordBatch> {
        let mut values: Vec<Option<ArrayRef>> = Vec::new();
        for column in &self.layout.key {
            let given = key.iter().find(|(name, _)| *name == column.name);
            values.push(given.map(|(name, text)| parsed(name, text, &column.kind)).transpose()?);
        }
        let owned = self.groups_of(&values)?;
        let mut files = Vec::new();
        for chain in self.state.chains.iter().filter(|chain| chain.groups.overlaps(owned)) {
            for file in &chain.files {
                files.push(log.get_state(&file.path).await?);
            }
        }
        let reader = StateReader::open(files, owned)?;
        if self.layout.table.is_empty() {
            return entries::rows(&self.layout, &reader, |rows| self.matching(rows, &values));
        }
        let batches = reader.table(&self.layout.table)?;
        let Some(first) = batches.first() else { return Ok(empty()) };
        let rows = self.matching(&concat_batches(&first.schema(), &batches)?, &values)?;
        self.shown(&rows, &Kept { reader: &reader, key: &values })
    }

    /// Returns the key groups that may hold the key: one if all of it is given.
    fn groups_of(&self, values: &[Option<ArrayRef>]) -> Result<KeyGroupRange> {
        let count = self.manifest.key_groups;
        let whole: Option<Vec<ArrayRef>> = values.iter().cloned().collect();
        let Some(key) = whole else { return Ok(KeyGroupRange { start: 0, end: count }) };
        let mut hashes = Vec::new();
        hash::hash_rows(&key, 1, &mut hashes)?;
        let KeyGroup(group) = KeyGroups { count, workers: 1 }.group_of(hashes[0]);
        Ok(KeyGroupRange { start: group, end: group + 1 })
    }

    /// Keeps the rows of the key.
    fn matching(&self, rows: &RecordBatch, values: &[Option<ArrayRef>]) -> Result<RecordBatch> {
        let mut keep = BooleanArray::from(vec![true; rows.num_rows()]);
        for (at, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let column = rows.column(self.layout.key_at + at);
            let value = take(value, &UInt32Array::from(vec![0; rows.num_rows()]), None)?;
            keep = and(&keep, &eq(column, &cast(&value, column.data_type())?)?)?;
        }
        Ok(filter_record_batch(rows, &keep)?)
    }

    /// Returns rows of state as people read them.
    fn shown(&self, rows: &RecordBatch, kept: &Kept<'_>) -> Result<RecordBatch> {
        let function = |call: &KeptCall| {
            aggregate::named(&call.function).or_else(|| sketch::named(&call.function))
        };
        let functions: Option<Vec<_>> = self.layout.calls.iter().map(function).collect();
        let functions = functions.filter(|functions| !functions.is_empty());
        let open = self.open_windows(rows, functions.is_some())?;
        let heads = self.heads(rows, &open, functions.is_some())?;
        match functions {
            Some(functions) => self.merged((rows, &open), heads, &functions, kept),
            None => self.as_kept(rows, &open, heads),
        }
    }

    /// Returns the rows of windows that are not over; if slices are to be `merged`, each with all
    /// open windows that hold it.
    fn open_windows(&self, rows: &RecordBatch, merged: bool) -> Result<Vec<Open>> {
        let all = 0..rows.num_rows() as u32;
        let Some(window) = &self.layout.window else {
            return Ok(self.in_order(rows)?.map(|row| Open { row, window: None }).collect());
        };
        let complete = self.complete(window, rows.column(window.end).data_type());
        let (starts, ends) = (whole(rows.column(window.start))?, whole(rows.column(window.end))?);
        let mut open = Vec::new();
        for row in all {
            let slice = (starts.value(row as usize), ends.value(row as usize));
            let windows = match window.assigner {
                Assigner::Hop { .. } | Assigner::Cumulate { .. } => {
                    window.assigner.windows_of(slice.0)
                }
                _ => vec![slice],
            };
            let windows = windows.into_iter().filter(|(_, end)| *end > complete);
            let windows: Vec<(i64, i64)> = match merged {
                true => windows.collect(),
                false => windows.take(1).map(|_| slice).collect(),
            };
            open.extend(windows.into_iter().map(|window| Open { row, window: Some(window) }));
        }
        open.sort_by_key(|open| open.window);
        Ok(open)
    }

    /// Returns all rows, by their time where they have one.
    fn in_order(&self, rows: &RecordBatch) -> Result<impl Iterator<Item = u32> + use<>> {
        let mut all: Vec<u32> = (0..rows.num_rows() as u32).collect();
        if let Some(order) = self.layout.order {
            let times = whole(rows.column(order))?;
            all.sort_by_key(|row| times.value(*row as usize));
        }
        Ok(all.into_iter())
    }

    /// Returns the greatest end of a window that is over, as the operator does.
    fn complete(&self, window: &WindowSpec, kind: &DataType) -> i64 {
        let DataType::Timestamp(unit, _) = kind else { return i64::MIN };
        if self.manifest.is_finished {
            return i64::MAX;
        }
        let watermark = |name: &String| self.manifest.watermarks.get(name).copied();
        let least = self.layout.domains.iter().filter_map(watermark).min();
        // No instant before this one is still to come.
        let next = match (window.basis, EventTime(least.unwrap_or(i64::MIN))) {
            (TimeBasis::Processing, _) => EventTime(self.manifest.clock).to_unit(*unit),
            (TimeBasis::Event, EventTime::MIN) => return i64::MIN,
            (TimeBasis::Event, watermark) => watermark.to_unit(*unit).saturating_add(1),
        };
        window.zone.map_or(next, |zone| zone.in_unit(*unit).least_from(next))
    }

    /// Returns the columns of window and key, with their names.
    fn heads(&self, rows: &RecordBatch, open: &[Open], merged: bool) -> Result<Vec<Named>> {
        let mut heads = Vec::new();
        if let Some(window) = &self.layout.window {
            let what = match (window.assigner, merged) {
                (Assigner::Hop { .. } | Assigner::Cumulate { .. }, false) => "slice",
                _ => "window",
            };
            let kind = rows.column(window.end).data_type();
            let bounds = |pick: fn((i64, i64)) -> i64| {
                let values = open.iter().filter_map(|open| open.window).map(pick);
                cast(&Int64Array::from_iter_values(values), kind)
            };
            heads.push((format!("{what}_start"), bounds(|window| window.0)?));
            heads.push((format!("{what}_end"), bounds(|window| window.1)?));
        }
        for (at, column) in self.layout.key.iter().enumerate() {
            let values = rows.column(self.layout.key_at + at);
            heads.push((column.name.clone(), take(values, &rows_of(open), None)?));
        }
        Ok(heads)
    }

    /// Merges the states of each window and key into values.
    fn merged(
        &self,
        (rows, open): (&RecordBatch, &[Open]),
        heads: Vec<Named>,
        functions: &[Arc<dyn AggregateFunction>],
        kept: &Kept<'_>,
    ) -> Result<RecordBatch> {
        let (names, heads): (Vec<String>, Vec<ArrayRef>) = heads.into_iter().unzip();
        let types: Vec<DataType> = heads.iter().map(|head| head.data_type().clone()).collect();
        let (mut table, mut groups) = (GroupTable::new(&types)?, Vec::new());
        table.intern(&heads, open.len(), &mut groups)?;
        let all = Groups::First(table.len());
        let mut columns: Vec<Named> = names.into_iter().zip(table.keys(all)?).collect();
        let mut at = self.layout.values_at;
        for (call, function) in self.layout.calls.iter().zip(functions) {
            if let Some(distinct) = &call.distinct {
                let value = distinct::value(self, kept, distinct, function.as_ref(), &mut table)?;
                columns.push((call.text.clone(), value));
                continue;
            }
            let states = states(rows, open, at, call)?;
            let mut accumulator = function.accumulator()?;
            accumulator.merge(&groups, &states, table.len())?;
            columns.push((call.text.clone(), accumulator.evaluate(all)?));
            at += call.states;
        }
        batch(columns, table.len())
    }

    /// Returns values as the columns that are kept.
    fn as_kept(&self, rows: &RecordBatch, open: &[Open], heads: Vec<Named>) -> Result<RecordBatch> {
        let mut columns = heads;
        if self.layout.table == "rows" {
            // Rows as they came, window and key among their columns.
            columns.clear();
        }
        let schema = rows.schema();
        for at in self.layout.values_at..rows.num_columns() {
            let name = schema.field(at).name().clone();
            columns.push((name, take(rows.column(at), &rows_of(open), None)?));
        }
        batch(columns, open.len())
    }
}

/// A row of state, and an open window that it counts in.
struct Open {
    row: u32,
    window: Option<(i64, i64)>,
}

type Named = (String, ArrayRef);

fn rows_of(open: &[Open]) -> UInt32Array {
    open.iter().map(|open| open.row).collect::<Vec<_>>().into()
}

/// Returns the columns of a call's states.
fn states(rows: &RecordBatch, open: &[Open], at: usize, call: &KeptCall) -> Result<Vec<ArrayRef>> {
    let columns = rows.columns().get(at..at + call.states);
    let columns = columns.ok_or_else(|| {
        Error::state(format!("the state of {} has fewer columns than its layout", call.text))
    })?;
    columns.iter().map(|column| Ok(take(column, &rows_of(open), None)?)).collect()
}

fn whole(column: &ArrayRef) -> Result<Int64Array> {
    use arrow::array::AsArray;
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn batch(columns: Vec<Named>, rows: usize) -> Result<RecordBatch> {
    let field = |(name, column): &Named| Field::new(name, column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
}

fn empty() -> RecordBatch {
    RecordBatch::new_empty(Arc::new(Schema::empty()))
}

/// Returns the value of a column of the key, one row.
fn parsed(name: &str, text: &str, kind: &str) -> Result<ArrayRef> {
    let kind: DataType = kind.parse().map_err(|error| {
        Error::state(format!("the type of column `{name}` cannot be read: {error}"))
    })?;
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&StringArray::from(vec![text]), &kind, &options).map_err(|_| {
        let wanted = type_name(&kind);
        Error::invalid(format!("column `{name}` is of type {wanted}, and '{text}' is not"))
    })
}

/// Prints the rows of one operator.
async fn print(operator: &str, rows: RecordBatch, output: OutputFormat) -> Result<()> {
    let rows = match output {
        OutputFormat::Table => {
            report::say(&format!("operator {operator}\n"))?;
            rows
        }
        _ => with_operator(operator, rows)?,
    };
    let out = Arc::new(Mutex::new(std::io::stdout()));
    let shown = Shown::new(output.style(), None, out).on(report::terminal());
    let mut writer = shown
        .writer(WriterContext {
            job: JobId::from("state"),
            attempt: AttemptId(0),
            node: NodeId(0),
            worker: WorkerId(0),
            workers: 1,
            lineage: String::new(),
            restored: Vec::new(),
        })
        .await?;
    writer.write(Change::append(rows)).await?;
    writer.end_epoch(Epoch(1)).await
}

/// Puts the operator in front of rows, where no heading can name it.
fn with_operator(operator: &str, rows: RecordBatch) -> Result<RecordBatch> {
    let names: ArrayRef = Arc::new(StringArray::from(vec![operator; rows.num_rows()]));
    let schema = rows.schema();
    let own = schema.fields().iter().map(|field| field.name().clone());
    let own = own.zip(rows.columns().iter().cloned());
    let columns = std::iter::once(("operator".to_owned(), names)).chain(own).collect();
    batch(columns, rows.num_rows())
}
