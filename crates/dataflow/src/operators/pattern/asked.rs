//! What a condition asks of a match so far: operands found by what is noted with its last link, and
//! aggregates that go on from where they were asked for last.
//!
//! A match of n rows whose every row is asked about costs n steps and not n²: an aggregate has a state for
//! the rows up to a link, copied from the state of a link before and advanced by the rows between. The rows
//! are added one by one and in order, as in an aggregate that is folded anew, and a state that is copied is
//! the same bit for bit; so are then the values, those of floating-point numbers, too. What cannot go on from
//! a copy as cheaply (distinct values, aggregates of others) and lists of rows see the whole match each time.
//!
//! Invariant: a state that is noted is of the rows of its variables up to that link, and does not change.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::SchemaRef;
use thalweg_plan::pattern::{End, Operand, Position, Scope, Value, VariableId};
use thalweg_types::{Groups, Result};

use super::layout::Layout;
use super::operands::{Book, Fold, Operands, Shown, View};
use super::partition::Partition;
use super::trail::NONE;
use crate::operators::batches::batch;

/// States of an aggregate from which on those are dropped that nobody goes on from.
const STATES_MIN: u32 = 8 * 1024;

/// A question that a search asks: may a row be mapped at a place, behind a link?
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) variable: VariableId,
    pub(super) group: u32,
    pub(super) link: u32,
    pub(super) place: u32,
    /// Are conditions of the row alone to be asked, too?
    pub(super) is_in_doubt: bool,
}

/// Where a row of the match so far is found.
#[derive(Clone, Copy, Debug)]
enum Spot {
    /// It is the row that is asked about.
    Own,
    /// It is among the last rows of a scope; does the row that is asked about count as one?
    Last { scope: usize, offset: usize, is_own: bool },
    /// It is among the first rows of a scope.
    First { scope: usize, offset: usize, first: usize, is_own: bool },
}

impl Spot {
    /// Returns where a position is, as a condition of `variable` has it.
    fn new(at: &Position, variable: VariableId, layout: &mut Layout) -> Spot {
        let (offset, is_own) = (at.offset, at.of.contains(variable));
        match at.from {
            End::Last if is_own && offset == 0 => Spot::Own,
            End::Last => Spot::Last { scope: layout.scope(at.of), offset, is_own },
            End::First => {
                let scope = layout.scope(at.of);
                Spot::First { scope, offset, first: layout.first(scope, offset), is_own }
            }
        }
    }

    /// Returns the link that is meant, or `None` if there is none. The row that is asked about has
    /// [`NONE`].
    fn find(self, ask: &Ask, partition: &Partition, layout: &Layout) -> Option<u32> {
        let trail = partition.trail();
        let there = |link: u32| (link != NONE).then_some(link);
        match self {
            Spot::Own => Some(NONE),
            Spot::Last { scope, offset, is_own } => {
                there(trail.last(layout, ask.link, scope, offset - usize::from(is_own)))
            }
            Spot::First { scope, offset, first, is_own } => {
                let is_next = || is_own && trail.count(layout, ask.link, scope) == offset;
                there(trail.first(layout, ask.link, first)).or_else(|| is_next().then_some(NONE))
            }
        }
    }
}

/// An operand.
enum Asked {
    /// A column of a row, or of one so many rows behind it.
    Column {
        column: usize,
        shift: isize,
        spot: Spot,
    },
    /// The name of the variable of a row.
    Name(Spot),
    Number,
    True,
    Aggregate(Box<Running>),
    /// What is computed of the whole match so far: this one of the operands.
    Whole(usize),
}

/// The operands of a condition.
pub(super) struct Questions {
    asked: Vec<Asked>,
    /// All of them, for those that see the whole match.
    whole: Operands,
}

impl Questions {
    /// Returns the operands of a condition of `variable` over rows of `input`; what they need is added to
    /// `layout`.
    ///
    /// # Errors
    /// As [`Operands::new`].
    pub(super) fn new(
        operands: &[Operand],
        variable: VariableId,
        input: &SchemaRef,
        layout: &mut Layout,
    ) -> Result<Questions> {
        let asked = operands.iter().enumerate().map(|(number, operand)| {
            Ok(match &operand.value {
                Value::Column { column, at } => {
                    let spot = Spot::new(at, variable, layout);
                    Asked::Column { column: *column, shift: at.shift, spot }
                }
                Value::Classifier(at) => Asked::Name(Spot::new(at, variable, layout)),
                Value::MatchNumber => Asked::Number,
                Value::IsMatched => Asked::True,
                Value::Aggregate { of, call } if !call.distinct && call.function.resumes() => {
                    let scope = layout.scope(*of);
                    Asked::Aggregate(Box::new(Running {
                        of: *of,
                        fold: layout.fold(scope),
                        kept: Fold::new(call, input)?,
                        asked: Fold::new(call, input)?,
                        states: 0,
                        states_max: STATES_MIN,
                    }))
                }
                Value::Aggregate { .. } | Value::Rows { .. } => Asked::Whole(number),
            })
        });
        let asked = asked.collect::<Result<_>>()?;
        Ok(Questions { asked, whole: Operands::new(operands, input)? })
    }

    /// Returns the columns of the operands.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.whole.schema
    }

    /// Returns what the operands are for some questions, a row for each.
    ///
    /// # Errors
    /// `Data` if an aggregate cannot be computed.
    pub(super) fn rows(
        &mut self,
        asks: &[&Ask],
        partitions: &mut [Partition],
        book: Book<'_>,
    ) -> Result<RecordBatch> {
        let layout = &book.program.layout;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.asked.len());
        for asked in &mut self.asked {
            columns.push(match asked {
                Asked::Column { column, shift, spot } => {
                    let slots = asks.iter().map(|ask| {
                        let partition = &partitions[ask.group as usize];
                        let row = match spot.find(ask, partition, layout)? {
                            NONE => partition.stepped(),
                            link => partition.trail().row(layout, link),
                        };
                        slot(partition, row.checked_add(partition.first)?, *shift)
                    });
                    book.project(&[*column], &slots.collect::<Vec<_>>())?.remove(0)
                }
                Asked::Name(spot) => {
                    let names = asks.iter().map(|ask| {
                        let partition = &partitions[ask.group as usize];
                        let place = match spot.find(ask, partition, layout)? {
                            NONE => ask.place,
                            link => partition.trail().place(link),
                        };
                        let variable = book.program.places[place as usize].variable;
                        Some(book.names[variable.index()].as_str())
                    });
                    Arc::new(names.collect::<StringViewArray>())
                }
                Asked::Number => {
                    let numbers = asks.iter().map(|ask| partitions[ask.group as usize].number());
                    Arc::new(numbers.collect::<Int64Array>())
                }
                Asked::True => Arc::new(BooleanArray::from(vec![true; asks.len()])),
                Asked::Aggregate(running) => running.column(asks, partitions, book)?,
                Asked::Whole(number) => {
                    let views: Vec<View<'_>> =
                        asks.iter().map(|ask| view(ask, &partitions[ask.group as usize])).collect();
                    let shown = views.iter().map(|view| view.places.len()).enumerate();
                    let shown = shown.map(|(view, rows)| Shown { view, rows });
                    self.whole.column(*number, book, (&views, &shown.collect::<Vec<_>>()))?
                }
            });
        }
        batch(self.schema(), columns, asks.len())
    }

    /// Drops states that nobody goes on from, where there are many.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub(super) fn compact(&mut self, partitions: &mut [Partition], book: Book<'_>) -> Result<bool> {
        let mut is_compacted = false;
        for asked in &mut self.asked {
            if let Asked::Aggregate(running) = asked
                && running.states > running.states_max
            {
                running.compact(partitions, book)?;
                is_compacted = true;
            }
        }
        Ok(is_compacted)
    }

    /// Returns about how many bytes the states of aggregates take.
    pub(super) fn bytes(&self) -> usize {
        let bytes = self.asked.iter().map(|asked| match asked {
            Asked::Aggregate(running) => running.kept.accumulators.bytes(),
            _ => 0,
        });
        bytes.sum()
    }
}

/// Returns the slot of a row of a partition, so many rows behind another one.
fn slot(partition: &Partition, row: usize, shift: isize) -> Option<u32> {
    partition.rows.get(row.checked_add_signed(shift)?).map(|row| row.slot)
}

/// Returns the match so far, with the row that is asked about.
fn view<'a>(ask: &Ask, partition: &'a Partition) -> View<'a> {
    let mut places = partition.trail().chain(ask.link, partition.stepped());
    places.push(ask.place);
    View { partition, first: partition.first, places, number: Some(partition.number()) }
}

/// An aggregate over the match so far.
struct Running {
    of: Scope,
    /// Its number in the layout.
    fold: usize,
    /// States over the rows up to links.
    kept: Fold,
    /// Those with the rows that are asked about.
    asked: Fold,
    /// How many states there are.
    states: u32,
    states_max: u32,
}

impl Running {
    fn column(
        &mut self,
        asks: &[&Ask],
        partitions: &mut [Partition],
        book: Book<'_>,
    ) -> Result<ArrayRef> {
        let states = self.advance(asks, partitions, book)?;
        self.asked.accumulators.clear();
        let known = (0..).zip(&states).filter_map(|(row, state)| Some((row, (*state)?)));
        let (into, from): (Vec<u32>, Vec<u32>) = known.unzip();
        let copied = self.kept.accumulators.partial(Groups::At(&from))?;
        self.asked.accumulators.merge(&into, &copied, asks.len())?;
        let own = (0..).zip(asks).filter(|(_, ask)| self.of.contains(ask.variable));
        let own = own.filter_map(|(row, ask)| {
            let partition = &partitions[ask.group as usize];
            Some((slot(partition, partition.next(), 0)?, row))
        });
        let (slots, groups): (Vec<u32>, Vec<u32>) = own.unzip();
        self.asked.add(book, &slots, &groups, asks.len())?;
        Ok(self.asked.accumulators.evaluate(Groups::First(asks.len()))?.remove(0))
    }

    /// Returns the states over the rows up to the links of some questions; `None` over no rows.
    fn advance(
        &mut self,
        asks: &[&Ask],
        partitions: &mut [Partition],
        book: Book<'_>,
    ) -> Result<Vec<Option<u32>>> {
        let (layout, start) = (&book.program.layout, self.states);
        let (mut into, mut from, mut slots, mut groups) =
            <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
        let (mut states, mut behind) = (Vec::with_capacity(asks.len()), Vec::new());
        for ask in asks {
            let partition = &mut partitions[ask.group as usize];
            let trail = partition.trail();
            behind.clear();
            // Two questions may have a link in common.
            let state = match trail.state(layout, (ask.link, self.fold), u32::MAX, &mut behind) {
                Some(state) if behind.is_empty() => Some(state),
                _ => {
                    // What is not yet computed cannot be copied.
                    behind.clear();
                    trail.state(layout, (ask.link, self.fold), start, &mut behind)
                }
            };
            let Some(head) = behind.first() else {
                states.push(state);
                continue;
            };
            let new = self.states;
            self.states += 1;
            if let Some(state) = state {
                from.push(state);
                into.push(new);
            }
            let rows = behind.iter().rev().map(|link| trail.row(layout, *link) + partition.first);
            slots.extend(rows.filter_map(|row| slot(partition, row, 0)));
            groups.resize(slots.len(), new);
            states.push(Some(new));
            partition.trail_mut().set_state(layout, (*head, self.fold), new);
        }
        if self.states > start {
            let (kept, total) = (&mut self.kept.accumulators, self.states as usize);
            let copied = kept.partial(Groups::At(&from))?;
            kept.merge(&into, &copied, total)?;
            self.kept.add(book, &slots, &groups, total)?;
        }
        Ok(states)
    }

    fn compact(&mut self, partitions: &mut [Partition], book: Book<'_>) -> Result<()> {
        let mut kept = Vec::new();
        for partition in partitions.iter_mut() {
            partition.keep_states(book.program, self.fold, &mut kept);
        }
        let accumulators = &mut self.kept.accumulators;
        let states = accumulators.partial(Groups::At(&kept))?;
        accumulators.clear();
        self.states = kept.len() as u32;
        let into: Vec<u32> = (0..self.states).collect();
        accumulators.merge(&into, &states, kept.len())?;
        self.states_max =
            (2 * self.states).saturating_add(STATES_MIN).saturating_add(partitions.len() as u32);
        Ok(())
    }
}
