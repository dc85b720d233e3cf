//! Which variables a row can be of: conditions that look at the row and its neighbours are evaluated for
//! batches of rows before a match is sought, all others when a search asks.
//!
//! Invariant: an error of a condition fails the job only where a search has come to its variable.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringViewArray};
use arrow::datatypes::SchemaRef;
use thalweg_plan::function::Condition;
use thalweg_plan::pattern::{MatchNode, Operand, Value, VariableId};
use thalweg_types::{Error, Moment, Result};

use super::asked::{Ask, Questions};
use super::layout::Layout;
use super::operands::Book;
use super::partition::Partition;
use crate::operators::batches::batch;

/// What a condition of the row alone is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfRow {
    /// A column of the row, or of one so many rows behind it.
    Column { column: usize, shift: isize },
    /// The name of the variable.
    Name,
    /// Yes.
    True,
}

impl OfRow {
    fn new(operand: &Operand) -> Result<OfRow> {
        match &operand.value {
            Value::Column { column, at } => Ok(OfRow::Column { column: *column, shift: at.shift }),
            Value::Classifier(_) => Ok(OfRow::Name),
            Value::IsMatched => Ok(OfRow::True),
            Value::MatchNumber | Value::Aggregate { .. } | Value::Rows { .. } => {
                Err(Error::internal("an operand of a match as one of a row"))
            }
        }
    }
}

/// A condition.
struct Test {
    condition: Arc<dyn Condition>,
    questions: Questions,
    /// Its operands, where they are of the row alone.
    of_row: Option<Vec<OfRow>>,
}

/// The conditions of all variables.
pub(super) struct Conditions {
    variables: Vec<Vec<Test>>,
    /// Columns that conditions of rows read, by the distance of the row.
    columns: BTreeMap<isize, Vec<usize>>,
    /// The variables whose conditions look at the match so far, as bits.
    pub(super) dependent: u64,
}

impl Conditions {
    /// Returns the conditions of `node`, over rows of `input`, and what they ask of the match so far.
    ///
    /// # Errors
    /// As [`Questions::new`].
    pub(super) fn new(node: &MatchNode, input: &SchemaRef) -> Result<(Conditions, Layout)> {
        let (mut dependent, mut columns) = (0, BTreeMap::<isize, Vec<usize>>::new());
        let (mut variables, mut layout) = (Vec::new(), Layout::default());
        for (id, variable) in (0..).map(VariableId).zip(&node.variables) {
            let mut tests = Vec::new();
            for known in &variable.conditions {
                let is_of_row = known.operands.iter().all(|operand| operand.is_of_row(id));
                let of_row = is_of_row.then(|| known.operands.iter().map(OfRow::new));
                let of_row = of_row.map(|all| all.collect::<Result<Vec<_>>>()).transpose()?;
                if of_row.is_none() {
                    dependent |= id.bit();
                }
                for operand in of_row.iter().flatten() {
                    if let OfRow::Column { column, shift } = operand {
                        columns.entry(*shift).or_default().push(*column);
                    }
                }
                let (condition, operands) = (known.condition.clone(), &known.operands);
                let questions = Questions::new(operands, id, input, &mut layout)?;
                tests.push(Test { condition, questions, of_row });
            }
            variables.push(tests);
        }
        for columns in columns.values_mut() {
            columns.sort_unstable();
            columns.dedup();
        }
        Ok((Conditions { variables, columns, dependent }, layout))
    }

    /// Finds the variables that rows can be of: of each group so many rows behind those that are known.
    ///
    /// # Errors
    /// `Internal` if a row cannot be read.
    pub(super) fn look(
        &self,
        partitions: &mut [Partition],
        rows: &[(u32, usize)],
        book: Book<'_>,
        moment: &Moment,
    ) -> Result<()> {
        let mut columns = BTreeMap::new();
        for (shift, needed) in &self.columns {
            let slots = rows.iter().map(|(group, row)| {
                let row = row.checked_add_signed(*shift)?;
                partitions[*group as usize].rows.get(row).map(|row| row.slot)
            });
            let slots: Vec<Option<u32>> = slots.collect();
            for (column, values) in needed.iter().zip(book.project(needed, &slots)?) {
                columns.insert((*shift, *column), values);
            }
        }
        let mut masks = vec![(u64::MAX, 0_u64); rows.len()];
        for (id, tests) in (0..).map(VariableId).zip(&self.variables) {
            for test in tests {
                let Some(of_row) = &test.of_row else { continue };
                let columns = of_row.iter().map(|operand| match operand {
                    OfRow::Column { column, shift } => columns[&(*shift, *column)].clone(),
                    OfRow::Name => name(&book.names[id.index()], rows.len()),
                    OfRow::True => Arc::new(BooleanArray::from(vec![true; rows.len()])),
                });
                let shown = batch(test.questions.schema(), columns.collect(), rows.len())?;
                mask(test.condition.as_ref(), &shown, moment, (id.bit(), &mut masks));
            }
        }
        for ((group, row), (mask, doubts)) in rows.iter().zip(masks) {
            let partition = &mut partitions[*group as usize];
            let row = &mut partition.rows[*row];
            (row.mask, row.doubts) = (mask, doubts);
        }
        Ok(())
    }

    /// Answers questions.
    ///
    /// # Errors
    /// `Data` if a condition fails.
    pub(super) fn answer(
        &mut self,
        asks: &[Ask],
        partitions: &mut [Partition],
        book: Book<'_>,
        moment: &Moment,
    ) -> Result<Vec<bool>> {
        let mut answers = vec![true; asks.len()];
        let mut by_variable = vec![Vec::new(); self.variables.len()];
        for (number, ask) in asks.iter().enumerate() {
            by_variable[ask.variable.index()].push((number, ask));
        }
        for (tests, mut asks) in self.variables.iter_mut().zip(by_variable) {
            for test in tests {
                asks.retain(|(number, _)| answers[*number]);
                let is_asked = |ask: &Ask| test.of_row.is_none() || ask.is_in_doubt;
                let asked = asks.iter().filter(|(_, ask)| is_asked(ask)).copied();
                let (numbers, asked): (Vec<usize>, Vec<&Ask>) = asked.unzip();
                if asked.is_empty() {
                    continue;
                }
                let rows = test.questions.rows(&asked, partitions, book)?;
                let holds = test.condition.holds(&rows, moment)?;
                for (number, row) in numbers.into_iter().zip(0..) {
                    answers[number] = holds.is_valid(row) && holds.value(row);
                }
            }
        }
        Ok(answers)
    }

    /// Drops states of aggregates that nobody goes on from, where there are many.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub(super) fn compact(&mut self, partitions: &mut [Partition], book: Book<'_>) -> Result<()> {
        let mut is_compacted = false;
        for test in self.variables.iter_mut().flatten() {
            is_compacted |= test.questions.compact(partitions, book)?;
        }
        if is_compacted {
            let layout = &book.program.layout;
            partitions.iter_mut().for_each(|partition| partition.trail_mut().tidy_known(layout));
        }
        Ok(())
    }

    /// Returns about how many bytes the states of aggregates take.
    pub(super) fn bytes(&self) -> usize {
        self.variables.iter().flatten().map(|test| test.questions.bytes()).sum()
    }
}

fn name(name: &str, rows: usize) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(name, rows)))
}

/// Takes the bit of a variable from the masks of rows that a condition does not hold for; where it fails, it
/// is in doubt.
fn mask(
    condition: &dyn Condition,
    rows: &RecordBatch,
    moment: &Moment,
    (bit, masks): (u64, &mut [(u64, u64)]),
) {
    match condition.holds(rows, moment) {
        Ok(holds) => {
            for (row, (mask, _)) in masks.iter_mut().enumerate() {
                if !(holds.is_valid(row) && holds.value(row)) {
                    *mask &= !bit;
                }
            }
        }
        Err(_) if rows.num_rows() == 1 => masks[0].1 |= bit,
        Err(_) => {
            let half = rows.num_rows() / 2;
            let (first, second) = masks.split_at_mut(half);
            mask(condition, &rows.slice(0, half), moment, (bit, first));
            let rest = rows.slice(half, rows.num_rows() - half);
            mask(condition, &rest, moment, (bit, second));
        }
    }
}
