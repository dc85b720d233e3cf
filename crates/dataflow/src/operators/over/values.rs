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
use thalweg_plan::node::{AggregateCall, Frame, OverFunction, OverNode, Ranking};
use thalweg_types::{Change, Groups, Result};

use super::steps::{FrameSteps, Steps};
use crate::operators::accumulators::{Accumulators, Calls, numbered};
use crate::operators::batches::{batch, groups_of};

/// Rows of frames that are computed anew at once, about.
const ANEW_ROWS: usize = 64 * 1024;

/// How a function is computed.
enum Function {
    /// The n-th of the aggregates over a frame that run along.
    Running(usize, usize),
    /// The n-th of those that are computed anew.
    Anew(usize, usize),
    Number(Ranking),
    Copy,
    Shift {
        column: usize,
        default: Option<usize>,
    },
}

/// Computes functions over frames.
pub(super) struct Values {
    functions: Vec<Function>,
    /// Columns that aggregates read, and those columns as rows.
    arguments: Vec<usize>,
    schema: SchemaRef,
    /// The aggregates over each frame.
    frames: Vec<Framed>,
    /// What is kept of those that run along, frame by frame.
    state: Vec<Field>,
}

/// The aggregates over one frame.
struct Framed {
    /// By group.
    running: Accumulators,
    has_running: bool,
    /// How many columns are kept of a group.
    width: usize,
    /// Does what runs along stay from epoch to epoch?
    stays: bool,
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
        let mut arguments: Vec<usize> = node
            .calls()
            .flat_map(|(call, _)| call.arguments.iter().chain(&call.filter).copied())
            .collect();
        arguments.sort_unstable();
        arguments.dedup();
        let schema: SchemaRef = Arc::new(input.project(&arguments)?);
        let place = |column: &usize| arguments.partition_point(|known| known < column);
        let placed = |call: &AggregateCall| AggregateCall {
            arguments: call.arguments.iter().map(place).collect(),
            filter: call.filter.as_ref().map(place),
            ..call.clone()
        };
        let is_final = node.basis.is_some();
        let (mut frames, mut state) = (Vec::new(), Vec::new());
        let mut functions: Vec<Option<Function>> = node.functions.iter().map(other).collect();
        for (at, frame) in node.frames().into_iter().enumerate() {
            let (mut running, mut anew) = (Vec::new(), Vec::new());
            for (function, is) in node.functions.iter().zip(&mut functions) {
                let OverFunction::Aggregate { call, frame: own } = function else { continue };
                if *own == frame {
                    let call = placed(call);
                    let is_anew = frame.is_bounded() && !is_exact(&call, is_final, &schema);
                    let (make, calls): (fn(usize, usize) -> Function, _) = match is_anew {
                        true => (Function::Anew, &mut anew),
                        false => (Function::Running, &mut running),
                    };
                    *is = Some(make(at, calls.len()));
                    calls.push(call);
                }
            }
            let framed = Framed::new(frame, (&running, &anew), is_final, &schema)?;
            state.extend(fields(&running, &schema));
            frames.push(framed);
        }
        let functions = functions.into_iter().flatten().collect();
        Ok(Values { functions, frames, state: numbered(state), arguments, schema })
    }

    /// Returns the fields of what is kept of a partition.
    pub(super) fn state_fields(&self) -> &[Field] {
        &self.state
    }

    /// Are there functions that need whole frames?
    pub(super) fn needs_frames(&self) -> bool {
        self.frames.iter().any(|framed| framed.has_anew)
    }

    /// Does what runs along over a frame stay from epoch to epoch? Where results are updated, these are
    /// aggregates that reach back to the first row, and yet go back to any row.
    pub(super) fn stays(&self, frame: usize) -> bool {
        self.frames[frame].stays
    }

    /// Is there such a frame?
    pub(super) fn has_staying(&self) -> bool {
        self.frames.iter().any(|framed| framed.stays)
    }

    /// Computes the functions of the rows `at` of a list: a column for each function.
    ///
    /// Shapes: `rows` are those of the list.
    ///
    /// # Errors
    /// `Data` if an aggregate cannot be computed.
    pub(super) fn compute(
        &mut self,
        steps: &mut Steps,
        at: &[u32],
        rows: &RecordBatch,
    ) -> Result<Vec<ArrayRef>> {
        let arguments = self.read(rows)?;
        let framed = self.frames.iter_mut().zip(&mut steps.frames).map(|(framed, steps)| {
            let step_of = steps.in_waves(rows.num_rows());
            let running = framed.run(steps, &arguments)?;
            let anew = framed.compute_anew(steps, &arguments)?;
            let places = at.iter().map(|row| step_of[*row as usize]).collect::<UInt32Array>();
            Ok((running, anew, places))
        });
        let framed = framed.collect::<Result<Vec<_>>>()?;
        let mut shifted = steps.shifted.iter();
        let columns = self.functions.iter().map(|function| match function {
            Function::Running(frame, call) => {
                let (running, _, places) = &framed[*frame];
                Ok(take(&running[*call], places, None)?)
            }
            Function::Anew(frame, call) => {
                let (_, anew, places) = &framed[*frame];
                Ok(take(&anew[*call], places, None)?)
            }
            Function::Number(ranking) => {
                let numbers = at.iter().map(|row| steps.numbers[*row as usize].of(*ranking));
                Ok(Arc::new(numbers.collect::<Int64Array>()) as ArrayRef)
            }
            Function::Copy => {
                let copies = at.iter().map(|row| steps.copies[*row as usize]);
                Ok(Arc::new(copies.collect::<Int64Array>()) as ArrayRef)
            }
            Function::Shift { column, default } => {
                let others = shifted.next().map_or(&[][..], Vec::as_slice);
                let default = default.map(|default| rows.column(default));
                shift(rows.column(*column), default, at, others)
            }
        });
        columns.collect()
    }

    /// Adds rows of some groups to the aggregates that run along and stay.
    ///
    /// # Errors
    /// `Data` on overflow.
    pub(super) fn add(&mut self, rows: &RecordBatch, groups: &[u32], total: usize) -> Result<()> {
        let rows = Change::append(self.read(rows)?);
        self.staying().try_for_each(|framed| framed.running.update(&rows, groups, total))
    }

    /// Keeps what runs along and stays for some groups, which get new numbers.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub(super) fn retain(&mut self, groups: &[u32]) -> Result<()> {
        let states = self.states(groups)?;
        self.staying().for_each(|framed| framed.running.clear());
        self.merge(&groups_of(0..groups.len()), &states, groups.len())
    }

    /// Forgets what runs along and does not stay.
    pub(super) fn clear(&mut self) {
        let passing = self.frames.iter_mut().filter(|framed| !framed.stays);
        passing.for_each(|framed| framed.running.clear());
    }

    fn staying(&mut self) -> impl Iterator<Item = &mut Framed> {
        self.frames.iter_mut().filter(|framed| framed.stays)
    }

    /// Returns the columns that aggregates read.
    fn read(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.arguments.iter().map(|column| rows.column(*column).clone()).collect();
        batch(&self.schema, columns, rows.num_rows())
    }

    /// Takes rows of a partition back from what runs along over a frame.
    ///
    /// # Errors
    /// `Data` on overflow.
    pub(super) fn take_back(
        &mut self,
        frame: usize,
        rows: &RecordBatch,
        (group, total): (u32, usize),
    ) -> Result<()> {
        let mut moved = Moved::default();
        moved.add(0..rows.num_rows() as u32, group, -1);
        let change = moved.change(&self.read(rows)?)?;
        self.frames[frame].running.update(&change, &moved.groups, total)
    }

    /// Returns what is kept of some partitions.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub(super) fn states(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut states = Vec::new();
        for framed in self.staying() {
            states.extend(framed.running.partial(Groups::At(groups))?);
        }
        Ok(states)
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
        let mut rest = states;
        for framed in self.staying() {
            let (own, others) = rest.split_at(framed.width);
            framed.running.merge(groups, own, total)?;
            rest = others;
        }
        Ok(())
    }

    /// Returns about how many bytes is kept.
    pub(super) fn bytes(&self) -> usize {
        self.frames.iter().map(|framed| framed.running.bytes()).sum()
    }
}

impl Framed {
    /// Returns aggregates over a frame: some that run along, and some that do not.
    fn new(
        frame: Frame,
        (running, anew): (&[AggregateCall], &[AggregateCall]),
        is_final: bool,
        schema: &SchemaRef,
    ) -> Result<Framed> {
        let mut calls = running.iter().chain(anew);
        let goes_back = calls.all(|call| is_exact(call, is_final, schema));
        let states = fields(running, schema);
        Ok(Framed {
            has_running: !running.is_empty(),
            running: accumulators(running, &states, frame.is_bounded() || goes_back)?,
            width: states.len(),
            stays: is_final || (goes_back && !frame.is_bounded()),
            has_anew: !anew.is_empty(),
            anew: accumulators(anew, &fields(anew, schema), false)?,
        })
    }

    /// Lets running aggregates go through the steps; returns their values after each.
    fn run(&mut self, steps: &FrameSteps, arguments: &RecordBatch) -> Result<Vec<ArrayRef>> {
        if !self.has_running {
            return Ok(Vec::new());
        }
        let mut values: Vec<Vec<ArrayRef>> = Vec::new();
        for wave in steps.advances.chunk_by(|left, right| left.wave == right.wave) {
            let mut moved = Moved::default();
            for advance in wave {
                moved.add(advance.leaving.clone(), advance.group, -1);
                moved.add(advance.entering.clone(), advance.group, 1);
            }
            self.running.update(&moved.change(arguments)?, &moved.groups, steps.groups)?;
            let groups: Vec<u32> = wave.iter().map(|advance| advance.group).collect();
            values.push(self.running.evaluate(Groups::At(&groups))?);
        }
        columns(&values)
    }

    /// Computes aggregates anew over each frame.
    fn compute_anew(
        &mut self,
        steps: &FrameSteps,
        arguments: &RecordBatch,
    ) -> Result<Vec<ArrayRef>> {
        if !self.has_anew {
            return Ok(Vec::new());
        }
        let (mut values, mut moved, mut frames) = (Vec::new(), Moved::default(), 0);
        for (at, advance) in steps.advances.iter().enumerate() {
            moved.add(advance.frame.clone(), frames, 1);
            frames += 1;
            if moved.rows.len() >= ANEW_ROWS || at + 1 == steps.advances.len() {
                let total = frames as usize;
                self.anew.update(&moved.change(arguments)?, &moved.groups, total)?;
                values.push(self.anew.evaluate(Groups::First(total))?);
                self.anew.clear();
                (moved, frames) = (Moved::default(), 0);
            }
        }
        columns(&values)
    }
}

/// Returns how a function is computed that is no aggregate.
fn other(function: &OverFunction) -> Option<Function> {
    match function {
        OverFunction::Aggregate { .. } => None,
        OverFunction::Number(ranking) => Some(Function::Number(*ranking)),
        OverFunction::Copy => Some(Function::Copy),
        OverFunction::Shift { column, default, .. } => {
            Some(Function::Shift { column: *column, default: *default })
        }
    }
}

/// Can rows be taken from an aggregate that runs along, to the last bit where results are not final?
fn is_exact(call: &AggregateCall, is_final: bool, schema: &SchemaRef) -> bool {
    let is_floating = |column: &usize| schema.field(*column).data_type().is_floating();
    let is_kept = call.function.is_retractable() && !call.has_entries();
    is_kept && (is_final || !call.arguments.iter().any(is_floating))
}

/// Returns the fields of what is kept of aggregates.
fn fields(calls: &[AggregateCall], schema: &SchemaRef) -> Vec<FieldRef> {
    state_fields(calls, schema).into_iter().map(Arc::new).collect()
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
