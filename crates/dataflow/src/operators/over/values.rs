//! The functions of OVER windows.
//!
//! Invariants: an aggregate whose frames reach back to the first row, or from which rows can be
//! taken, runs along with its group; any other one is computed anew over each frame. Where results are
//! updated, a value depends on the rows of its frame and on nothing else, to the last bit: it is
//! computed again to be taken back.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use thalweg_plan::distinct::state_fields;
use thalweg_plan::node::{AggregateCall, OverFunction, OverNode, Ranking};
use thalweg_types::{Change, Groups, Result};

use super::steps::{Advance, Steps};
use crate::operators::accumulators::{Accumulators, Calls, numbered};
use crate::operators::batches::{batch, groups_of};

/// Rows of frames that are computed anew at once, about.
const ANEW_ROWS: usize = 64 * 1024;

/// How a function is computed.
enum Function {
    Running(usize),
    Anew(usize),
    Number(Ranking),
    Shift { column: usize, default: Option<usize> },
}

/// Computes functions over frames.
pub(super) struct Values {
    functions: Vec<Function>,
    /// Columns that aggregates read, and those columns as rows.
    arguments: Vec<usize>,
    schema: SchemaRef,
    state: Vec<Field>,
    /// By group.
    running: Accumulators,
    has_running: bool,
    /// Do aggregates reach back to the first row, and yet go back to any row, by taking back those
    /// behind it?
    goes_back: bool,
    /// By frame, for a while.
    anew: Accumulators,
    has_anew: bool,
}

impl Values {
    /// Returns the functions of `node`.
    ///
    /// # Errors
    /// `Invalid` if the type of an argument is not supported.
    pub(super) fn new(node: &OverNode, input: &SchemaRef) -> Result<Values> {
        let is_bounded = node.is_bounded();
        let is_exact = |call: &AggregateCall| {
            let is_floating = |column: &usize| input.field(*column).data_type().is_floating();
            let is_kept = call.function.is_retractable() && !call.has_entries();
            is_kept && (node.basis.is_some() || !call.arguments.iter().any(is_floating))
        };
        let mut arguments: Vec<usize> = node
            .calls()
            .flat_map(|call| call.arguments.iter().chain(&call.filter).copied())
            .collect();
        arguments.sort_unstable();
        arguments.dedup();
        let place = |column: &usize| arguments.partition_point(|known| known < column);
        let (mut running, mut anew) = (Vec::new(), Vec::new());
        let functions = node.functions.iter().map(|function| match function {
            OverFunction::Aggregate(call) => {
                let is_anew = is_bounded && !is_exact(call);
                let call = AggregateCall {
                    arguments: call.arguments.iter().map(place).collect(),
                    filter: call.filter.as_ref().map(place),
                    ..call.clone()
                };
                let calls = if is_anew { &mut anew } else { &mut running };
                calls.push(call);
                let at = calls.len() - 1;
                if is_anew { Function::Anew(at) } else { Function::Running(at) }
            }
            OverFunction::Number(ranking) => Function::Number(*ranking),
            OverFunction::Shift { column, default, .. } => {
                Function::Shift { column: *column, default: *default }
            }
        });
        let functions = functions.collect();
        let is_exact = node.calls().all(is_exact);
        let schema: SchemaRef = Arc::new(input.project(&arguments)?);
        let fields = |calls: &[AggregateCall]| -> Vec<FieldRef> {
            state_fields(calls, &schema).into_iter().map(Arc::new).collect()
        };
        let states = fields(&running);
        Ok(Values {
            functions,
            has_running: !running.is_empty(),
            running: accumulators(&running, &states, is_bounded || is_exact)?,
            goes_back: is_exact && !is_bounded && !running.is_empty(),
            has_anew: !anew.is_empty(),
            anew: accumulators(&anew, &fields(&anew), false)?,
            state: numbered(states),
            arguments,
            schema,
        })
    }

    /// Returns the fields of what is kept of a partition.
    pub(super) fn state_fields(&self) -> &[Field] {
        &self.state
    }

    /// Are there functions that need whole frames?
    pub(super) fn needs_frames(&self) -> bool {
        self.has_anew
    }

    /// Do aggregates reach back to the first row, and yet go back to any row?
    pub(super) fn goes_back(&self) -> bool {
        self.goes_back
    }

    /// Computes the functions of the rows `at` of a list: a column for each function.
    ///
    /// Shapes: `rows` are those of the list; `total` groups.
    ///
    /// # Errors
    /// `Data` if an aggregate cannot be computed.
    pub(super) fn compute(
        &mut self,
        steps: &mut Steps,
        at: &[u32],
        rows: &RecordBatch,
        total: usize,
    ) -> Result<Vec<ArrayRef>> {
        let step_of = steps.in_waves(rows.num_rows());
        let arguments = self.read(rows)?;
        let running = self.run(&steps.advances, &arguments, total)?;
        let anew = self.compute_anew(&steps.advances, &arguments)?;
        let places: UInt32Array = at.iter().map(|row| step_of[*row as usize]).collect();
        let mut shifted = steps.shifted.iter();
        let columns = self.functions.iter().map(|function| match function {
            Function::Running(call) => Ok(take(&running[*call], &places, None)?),
            Function::Anew(call) => Ok(take(&anew[*call], &places, None)?),
            Function::Number(ranking) => {
                let numbers = at.iter().map(|row| steps.numbers[*row as usize].of(*ranking));
                Ok(Arc::new(numbers.collect::<Int64Array>()) as ArrayRef)
            }
            Function::Shift { column, default } => {
                let others = shifted.next().map_or(&[][..], Vec::as_slice);
                let default = default.map(|default| rows.column(default));
                shift(rows.column(*column), default, at, others)
            }
        });
        columns.collect()
    }

    /// Adds rows of some groups to the aggregates that run along.
    ///
    /// # Errors
    /// `Data` on overflow.
    pub(super) fn add(&mut self, rows: &RecordBatch, groups: &[u32], total: usize) -> Result<()> {
        self.running.update(&Change::append(self.read(rows)?), groups, total)
    }

    /// Keeps what runs along for some groups, which get new numbers.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub(super) fn retain(&mut self, groups: &[u32]) -> Result<()> {
        let states = self.states(groups)?;
        self.clear();
        self.merge(&groups_of(0..groups.len()), &states, groups.len())
    }

    /// Forgets what runs along.
    pub(super) fn clear(&mut self) {
        self.running.clear();
    }

    /// Returns the columns that aggregates read.
    fn read(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.arguments.iter().map(|column| rows.column(*column).clone()).collect();
        batch(&self.schema, columns, rows.num_rows())
    }

    /// Lets running aggregates go through the steps; returns their values after each.
    fn run(
        &mut self,
        advances: &[Advance],
        arguments: &RecordBatch,
        total: usize,
    ) -> Result<Vec<ArrayRef>> {
        if !self.has_running {
            return Ok(Vec::new());
        }
        let mut values: Vec<Vec<ArrayRef>> = Vec::new();
        for wave in advances.chunk_by(|left, right| left.wave == right.wave) {
            let mut moved = Moved::default();
            for advance in wave {
                moved.add(advance.leaving.clone(), advance.group, -1);
                moved.add(advance.entering.clone(), advance.group, 1);
            }
            self.running.update(&moved.change(arguments)?, &moved.groups, total)?;
            let groups: Vec<u32> = wave.iter().map(|advance| advance.group).collect();
            values.push(self.running.evaluate(Groups::At(&groups))?);
        }
        columns(&values)
    }

    /// Computes aggregates anew over each frame.
    fn compute_anew(
        &mut self,
        advances: &[Advance],
        arguments: &RecordBatch,
    ) -> Result<Vec<ArrayRef>> {
        if !self.has_anew {
            return Ok(Vec::new());
        }
        let (mut values, mut moved, mut frames) = (Vec::new(), Moved::default(), 0);
        for (at, advance) in advances.iter().enumerate() {
            moved.add(advance.frame.clone(), frames, 1);
            frames += 1;
            if moved.rows.len() >= ANEW_ROWS || at + 1 == advances.len() {
                let total = frames as usize;
                self.anew.update(&moved.change(arguments)?, &moved.groups, total)?;
                values.push(self.anew.evaluate(Groups::First(total))?);
                self.anew.clear();
                (moved, frames) = (Moved::default(), 0);
            }
        }
        columns(&values)
    }

    /// Takes rows of a partition back from its running aggregates.
    ///
    /// # Errors
    /// `Data` on overflow.
    pub(super) fn take_back(&mut self, rows: &RecordBatch, group: u32, total: usize) -> Result<()> {
        let mut moved = Moved::default();
        moved.add(0..rows.num_rows() as u32, group, -1);
        self.running.update(&moved.change(&self.read(rows)?)?, &moved.groups, total)
    }

    /// Returns what is kept of some partitions.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub(super) fn states(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.running.partial(Groups::At(groups))
    }

    /// Adds what was kept of some partitions.
    ///
    /// # Errors
    /// `Data` on overflow.
    pub(super) fn merge(
        &mut self,
        groups: &[u32],
        states: &[ArrayRef],
        total: usize,
    ) -> Result<()> {
        self.running.merge(groups, states, total)
    }

    /// Returns about how many bytes is kept.
    pub(super) fn bytes(&self) -> usize {
        self.running.bytes()
    }
}

fn accumulators(
    calls: &[AggregateCall],
    states: &[FieldRef],
    retracts: bool,
) -> Result<Accumulators> {
    Accumulators::new(&Calls { calls, states, retracts, has_values: true })
}

/// Rows that enter and leave frames.
#[derive(Default)]
struct Moved {
    rows: Vec<u32>,
    groups: Vec<u32>,
    weights: Vec<i64>,
    is_retracted: bool,
}

impl Moved {
    fn add(&mut self, rows: Range<u32>, group: u32, weight: i64) {
        self.is_retracted |= weight < 0 && !rows.is_empty();
        self.groups.extend(rows.clone().map(|_| group));
        self.weights.extend(rows.clone().map(|_| weight));
        self.rows.extend(rows);
    }

    fn change(&self, arguments: &RecordBatch) -> Result<Change> {
        let rows = UInt32Array::from(self.rows.clone());
        let columns = arguments.columns().iter().map(|column| Ok(take(column, &rows, None)?));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let rows = batch(&arguments.schema(), columns, self.rows.len())?;
        match self.is_retracted {
            true => Change::weighted(rows, self.weights.clone().into()),
            false => Ok(Change::append(rows)),
        }
    }
}

/// Puts the columns of several pieces together.
fn columns(pieces: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>> {
    let width = pieces.first().map_or(0, Vec::len);
    let columns = (0..width).map(|at| {
        let parts: Vec<&dyn Array> = pieces.iter().map(|piece| piece[at].as_ref()).collect();
        Ok(concat(&parts)?)
    });
    columns.collect()
}

/// Returns the values of other rows for the rows `at`, and of `default` where there is none.
fn shift(
    values: &ArrayRef,
    default: Option<&ArrayRef>,
    at: &[u32],
    others: &[Option<u32>],
) -> Result<ArrayRef> {
    let null = new_null_array(values.data_type(), 1);
    let places = at.iter().map(|row| match (others[*row as usize], default) {
        (Some(other), _) => (0, other as usize),
        (None, Some(_)) => (1, *row as usize),
        (None, None) => (1, 0),
    });
    let places: Vec<(usize, usize)> = places.collect();
    Ok(interleave(&[values.as_ref(), default.unwrap_or(&null).as_ref()], &places)?)
}
