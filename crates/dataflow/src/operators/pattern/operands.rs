//! Columns of operands: what conditions are shown of a match so far, and what comes out of one.
//!
//! Invariants: a row that is not there is NULL; an aggregate is folded anew for each match, in the order of
//! the rows, so that its value depends on them alone. What conditions ask again with every row of a growing
//! match, `asked.rs` answers without that.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, ListArray, StringViewArray, StructArray, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use thalweg_plan::distinct::state_fields;
use thalweg_plan::node::AggregateCall;
use thalweg_plan::pattern::{End, Operand, Position, Scope, Value, operand_fields};
use thalweg_state::RowStore;
use thalweg_types::{Change, Error, Groups, Result};

use super::partition::Partition;
use super::program::Program;
use crate::operators::accumulators::{Accumulators, Calls};
use crate::operators::batches::batch;

/// A match, or a part of one, in its partition.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) partition: &'a Partition,
    /// Place of its first row in the partition.
    pub(super) first: usize,
    /// The places of the pattern of its rows.
    pub(super) places: Vec<u32>,
    /// The number of the match; `None` for a row that is in none.
    pub(super) number: Option<i64>,
}

impl View<'_> {
    /// Returns the slot of the row that is so many rows behind the first one; `None` outside of the
    /// partition.
    fn slot(&self, row: isize) -> Option<u32> {
        let row = self.first.checked_add_signed(row)?;
        self.partition.rows.get(row).map(|row| row.slot)
    }
}

/// A row of the columns: what is seen of a view.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) view: usize,
    /// How many rows of the view are seen, where not all are.
    pub(super) rows: usize,
}

/// Where rows are, and what their places mean.
#[derive(Clone, Copy)]
pub(super) struct Book<'a> {
    pub(super) rows: &'a RowStore,
    pub(super) program: &'a Program,
    /// Names of the variables.
    pub(super) names: &'a [String],
}

impl Book<'_> {
    /// Returns some columns of rows; those that are not there are NULL.
    pub(super) fn project(
        &self,
        columns: &[usize],
        slots: &[Option<u32>],
    ) -> Result<Vec<ArrayRef>> {
        let there: Vec<u32> = slots.iter().flatten().copied().collect();
        let found = self.rows.project(columns, &there)?;
        if there.len() == slots.len() {
            return Ok(found);
        }
        let mut next = 0..;
        let places = slots.iter().map(|slot| slot.and_then(|_| next.next()));
        let places = places.collect::<UInt32Array>();
        found.iter().map(|column| Ok(take(column, &places, None)?)).collect()
    }

    /// Returns which rows of a view are of some variables, in order.
    fn rows_of(&self, view: &View<'_>, scope: Scope) -> Vec<u32> {
        let is_of = |place: u32| scope.contains(self.program.places[place as usize].variable);
        let rows = (0..).zip(&view.places);
        rows.filter(|(_, place)| scope == Scope::ALL || is_of(**place))
            .map(|(row, _)| row)
            .collect()
    }

    /// Calls `f` for each row that is shown, with the rows of its view that are of some variables and seen.
    fn each(
        &self,
        (views, shown): (&[View<'_>], &[Shown]),
        (scope, is_final): (Scope, bool),
        mut f: impl FnMut(&View<'_>, &[u32]),
    ) {
        let mut known: Option<(usize, Vec<u32>)> = None;
        for Shown { view, rows } in shown {
            let all = match known.take() {
                Some((of, all)) if of == *view => all,
                _ => self.rows_of(&views[*view], scope),
            };
            let seen = match is_final {
                true => all.len(),
                false => all.partition_point(|row| (*row as usize) < *rows),
            };
            f(&views[*view], &all[..seen]);
            known = Some((*view, all));
        }
    }
}

/// Returns the row of a view that a position means, given those of its variables.
fn row_at(at: &Position, rows: &[u32]) -> Option<u32> {
    let place = match at.from {
        End::First => at.offset,
        End::Last => rows.len().checked_sub(1)?.checked_sub(at.offset)?,
    };
    rows.get(place).copied()
}

/// An aggregate, over columns of its own.
pub(super) struct Fold {
    /// The columns of the input, in the order in which the call has them.
    columns: Vec<usize>,
    schema: SchemaRef,
    pub(super) accumulators: Accumulators,
}

impl Fold {
    /// Returns the aggregate of a call, over rows of `input`.
    ///
    /// # Errors
    /// `Invalid` if it does not take its argument.
    pub(super) fn new(call: &AggregateCall, input: &SchemaRef) -> Result<Fold> {
        let columns: Vec<usize> = call.arguments.iter().chain(&call.filter).copied().collect();
        let own = AggregateCall {
            arguments: (0..call.arguments.len()).collect(),
            filter: call.filter.map(|_| call.arguments.len()),
            ..call.clone()
        };
        let schema: SchemaRef = Arc::new(input.project(&columns)?);
        let states = state_fields(std::slice::from_ref(&own), &schema);
        let states: Vec<_> = states.into_iter().map(Arc::new).collect();
        let (calls, has_values) = (std::slice::from_ref(&own), true);
        let made = Calls { calls, states: &states, retracts: false, has_values };
        Ok(Fold { columns, schema, accumulators: Accumulators::new(&made)? })
    }

    /// Adds rows to groups, of which there are `total`.
    ///
    /// # Errors
    /// `Data` if an aggregate cannot be computed.
    pub(super) fn add(
        &mut self,
        book: Book<'_>,
        slots: &[u32],
        groups: &[u32],
        total: usize,
    ) -> Result<()> {
        let columns = book.rows.project(&self.columns, slots)?;
        let rows = Change::append(batch(&self.schema, columns, slots.len())?);
        self.accumulators.update(&rows, groups, total)
    }
}

/// Some operands.
pub(super) struct Operands {
    operands: Vec<Operand>,
    /// What folds each of them, if it is an aggregate.
    folds: Vec<Option<Fold>>,
    input: SchemaRef,
    /// The columns.
    pub(super) schema: SchemaRef,
}

impl Operands {
    /// Returns operands over rows of `input`.
    ///
    /// # Errors
    /// `Internal` if a column is not there, `Invalid` if an aggregate does not take its argument.
    pub(super) fn new(operands: &[Operand], input: &SchemaRef) -> Result<Operands> {
        let fields = operand_fields(operands, input)?;
        let folds = operands.iter().map(|operand| match &operand.value {
            Value::Aggregate { call, .. } => Ok(Some(Fold::new(call, input)?)),
            _ => Ok(None),
        });
        Ok(Operands {
            operands: operands.to_vec(),
            folds: folds.collect::<Result<_>>()?,
            input: input.clone(),
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// Returns the columns of what is shown: row by row, those of a view one behind the other.
    ///
    /// # Errors
    /// `Data` if an aggregate cannot be computed.
    pub(super) fn columns(
        &mut self,
        book: Book<'_>,
        views: &[View<'_>],
        shown: &[Shown],
    ) -> Result<Vec<ArrayRef>> {
        (0..self.operands.len()).map(|number| self.column(number, book, (views, shown))).collect()
    }

    /// Returns the column of one operand.
    ///
    /// # Errors
    /// As `columns`.
    pub(super) fn column(
        &mut self,
        number: usize,
        book: Book<'_>,
        (views, shown): (&[View<'_>], &[Shown]),
    ) -> Result<ArrayRef> {
        let Operand { value, is_final } = &self.operands[number];
        match (value, &mut self.folds[number]) {
            (Value::Aggregate { of, .. }, Some(fold)) => {
                folded(fold, book, (views, shown), (*of, *is_final))
            }
            (Value::Rows { of, columns }, _) => {
                let fields = self.input.project(columns)?.fields;
                lists((columns, fields), book, (views, shown), (*of, *is_final))
            }
            (value, _) => single(value, book, (views, shown), *is_final),
        }
    }
}

/// Returns values of single rows, and of the match itself.
fn single(
    value: &Value,
    book: Book<'_>,
    (views, shown): (&[View<'_>], &[Shown]),
    is_final: bool,
) -> Result<ArrayRef> {
    let numbers = shown.iter().map(|shown| views[shown.view].number);
    Ok(match value {
        Value::Column { column, at } => {
            let mut slots = Vec::with_capacity(shown.len());
            book.each((views, shown), (at.of, is_final), |view, rows| {
                let row = row_at(at, rows).map(|row| row as isize + at.shift);
                slots.push(row.and_then(|row| view.slot(row)));
            });
            book.project(&[*column], &slots)?.remove(0)
        }
        Value::Classifier(at) => {
            let mut names = Vec::with_capacity(shown.len());
            book.each((views, shown), (at.of, is_final), |view, rows| {
                names.push(row_at(at, rows).map(|row| {
                    let place = &book.program.places[view.places[row as usize] as usize];
                    book.names[place.variable.index()].as_str()
                }));
            });
            Arc::new(StringViewArray::from_iter(names))
        }
        Value::MatchNumber => Arc::new(numbers.collect::<Int64Array>()),
        Value::IsMatched => {
            Arc::new(numbers.map(|number| Some(number.is_some())).collect::<BooleanArray>())
        }
        Value::Aggregate { .. } | Value::Rows { .. } => {
            return Err(Error::internal("an operand of many rows as one of a single row"));
        }
    })
}

/// Returns lists of rows.
fn lists(
    (columns, fields): (&[usize], Fields),
    book: Book<'_>,
    shown: (&[View<'_>], &[Shown]),
    which: (Scope, bool),
) -> Result<ArrayRef> {
    let (mut slots, mut lengths) = (Vec::new(), Vec::new());
    book.each(shown, which, |view, rows| {
        slots.extend(rows.iter().filter_map(|row| view.slot(*row as isize)));
        lengths.push(rows.len());
    });
    let columns = book.rows.project(columns, &slots)?;
    let rows = StructArray::try_new_with_length(fields.clone(), columns, None, slots.len());
    let item = Field::new("item", DataType::Struct(fields), true);
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::new(item), offsets, Arc::new(rows?), None)?))
}

/// Returns aggregates: each view's rows are folded once, in steps from one row that is shown to the next.
fn folded(
    fold: &mut Fold,
    book: Book<'_>,
    (views, shown): (&[View<'_>], &[Shown]),
    (scope, is_final): (Scope, bool),
) -> Result<ArrayRef> {
    fold.accumulators.clear();
    // By wave: the rows that enter, their views, and what is shown then.
    let mut waves: Vec<Wave> = Vec::new();
    let (mut number, mut last, mut wave, mut done) = (0, None, 0, 0);
    book.each((views, shown), (scope, is_final), |view, rows| {
        let group = shown[number].view as u32;
        if last.replace(group) == Some(group) {
            wave += 1;
        } else {
            (wave, done) = (0, 0);
        }
        if waves.len() == wave {
            waves.push(Wave::default());
        }
        let entering = rows[done..].iter().filter_map(|row| view.slot(*row as isize));
        let before = waves[wave].slots.len();
        waves[wave].slots.extend(entering);
        let entered = waves[wave].slots.len() - before;
        waves[wave].groups.extend(std::iter::repeat_n(group, entered));
        waves[wave].shown.push((group, number as u32));
        done = rows.len();
        number += 1;
    });
    let (mut values, mut order) = (Vec::new(), vec![0; shown.len()]);
    let mut at = 0;
    for wave in waves {
        fold.add(book, &wave.slots, &wave.groups, views.len())?;
        let (groups, places): (Vec<u32>, Vec<u32>) = wave.shown.into_iter().unzip();
        values.push(fold.accumulators.evaluate(Groups::At(&groups))?.remove(0));
        for place in places {
            order[place as usize] = at;
            at += 1;
        }
    }
    let values: Vec<_> = values.iter().map(|column| column.as_ref()).collect();
    if values.is_empty() {
        let none = fold.accumulators.evaluate(Groups::At(&[]))?;
        return none.into_iter().next().ok_or_else(|| Error::internal("an aggregate of nothing"));
    }
    Ok(take(&concat(&values)?, &UInt32Array::from(order), None)?)
}

/// Rows that enter aggregates, and what is shown of these then.
#[derive(Debug, Default)]
struct Wave {
    slots: Vec<u32>,
    groups: Vec<u32>,
    /// The group, and the number of what is shown.
    shown: Vec<(u32, u32)>,
}
