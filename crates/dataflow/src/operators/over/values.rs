//! The functions of OVER windows.
//!
//! Invariants: an aggregate whose frames reach back to the first row, or from which rows can be
//! taken, runs along with its partition; any other one is computed anew over each frame.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use thalweg_plan::distinct::state_fields;
use thalweg_plan::node::{AggregateCall, Frame, OverFunction, OverNode, Ranking};
use thalweg_types::{Change, Groups, Result};

use super::frames::{Advance, Work};
use crate::operators::accumulators::{Accumulators, Calls, numbered};
use crate::operators::batches::batch;

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
    /// By partition.
    running: Accumulators,
    has_running: bool,
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
        let is_bounded = matches!(node.frame, Frame::Rows(Some(_)) | Frame::Range(Some(_)));
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
                let call = AggregateCall {
                    arguments: call.arguments.iter().map(place).collect(),
                    filter: call.filter.as_ref().map(place),
                    ..call.clone()
                };
                let is_kept = call.function.is_retractable() && !call.has_entries();
                let is_anew = is_bounded && !is_kept;
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
        let schema: SchemaRef = Arc::new(input.project(&arguments)?);
        let fields = |calls: &[AggregateCall]| -> Vec<FieldRef> {
            state_fields(calls, &schema).into_iter().map(Arc::new).collect()
        };
        let states = fields(&running);
        Ok(Values {
            functions,
            has_running: !running.is_empty(),
            running: accumulators(&running, &states, is_bounded)?,
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

    /// Computes the functions of all rows of `work`, in order of time: the columns of these rows, then
    /// one for each function.
    ///
    /// Shapes: `rows` are those of the list of `work`; `total` partitions.
    ///
    /// # Errors
    /// `Data` if an aggregate cannot be computed.
    pub(super) fn compute(
        &mut self,
        work: &mut Work<'_>,
        rows: &RecordBatch,
        total: usize,
    ) -> Result<Vec<ArrayRef>> {
        work.advances.sort_by_key(|advance| advance.wave);
        let arguments = self.read(rows)?;
        let running = self.run(&work.advances, &arguments, total)?;
        let anew = self.compute_anew(&work.advances, &arguments)?;
        let entering = work.advances.iter().enumerate();
        let computed = entering.flat_map(|(step, advance)| {
            advance.entering.clone().map(move |row| (row, step as u32))
        });
        let mut computed: Vec<(u32, u32)> = computed.collect();
        computed.sort_by_key(|(row, _)| work.rows[*row as usize].1.time);
        let (at, steps): (Vec<u32>, Vec<u32>) = computed.into_iter().unzip();
        let (places, steps) = (UInt32Array::from(at.clone()), UInt32Array::from(steps));
        let own = rows.columns().iter().map(|column| Ok(take(column, &places, None)?));
        let mut columns = own.collect::<Result<Vec<ArrayRef>>>()?;
        let mut shifted = work.shifted.iter();
        for function in &self.functions {
            columns.push(match function {
                Function::Running(at) => take(&running[*at], &steps, None)?,
                Function::Anew(at) => take(&anew[*at], &steps, None)?,
                Function::Number(ranking) => {
                    let numbers = at.iter().map(|row| {
                        let numbers = work.numbers[*row as usize];
                        match ranking {
                            Ranking::RowNumber => numbers.rows,
                            Ranking::Rank => numbers.rank,
                            Ranking::DenseRank => numbers.dense_rank,
                        }
                    });
                    Arc::new(numbers.collect::<Int64Array>())
                }
                Function::Shift { column, default } => {
                    let others = shifted.next().map_or(&[][..], Vec::as_slice);
                    let default = default.map(|default| rows.column(default));
                    shift(rows.column(*column), default, &at, others)?
                }
            });
        }
        Ok(columns)
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
