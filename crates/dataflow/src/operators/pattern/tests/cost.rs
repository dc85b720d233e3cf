//! What a search costs, counted and not timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use thalweg_plan::aggregate::sum;
use thalweg_plan::function::{Accumulator, AggregateFunction, Rows};
use thalweg_types::Groups;

use super::*;

/// A sum that counts the rows and states it is given.
#[derive(Debug)]
struct Counted {
    sum: Arc<dyn AggregateFunction>,
    steps: Arc<AtomicUsize>,
}

impl AggregateFunction for Counted {
    fn name(&self) -> &str {
        self.sum.name()
    }

    fn result(&self) -> FieldRef {
        self.sum.result()
    }

    fn state(&self) -> Vec<FieldRef> {
        self.sum.state()
    }

    fn is_retractable(&self) -> bool {
        self.sum.is_retractable()
    }

    fn resumes(&self) -> bool {
        self.sum.resumes()
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Steps { of: self.sum.accumulator()?, steps: self.steps.clone() }))
    }
}

struct Steps {
    of: Box<dyn Accumulator>,
    steps: Arc<AtomicUsize>,
}

impl Accumulator for Steps {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.steps.fetch_add(rows.groups.len(), Relaxed);
        self.of.update(rows)
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.steps.fetch_add(groups.len(), Relaxed);
        self.of.merge(groups, partial, total)
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        self.of.partial(groups)
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        self.of.evaluate(groups)
    }

    fn clear(&mut self) {
        self.of.clear();
    }

    fn bytes(&self) -> usize {
        self.of.bytes()
    }
}

/// Searches for a pattern whose variable `tests` sums what is of `of`, below `most`, in rows of value 1
/// that come in epochs of 1,000; returns what comes out, and how many rows and states were added to sums.
fn summed(text: &str, (tested, of, most): (usize, Scope, i64), rows: i64) -> (String, usize) {
    let mut tests = vec![Vec::new(); 8];
    tests[tested] = vec![is(Seen::Sum(of), None, Compared::Less(most))];
    let case = Case { tests, rows: RowsPerMatch::One, ..Case::of(text) };
    let (mut node, steps) = (case.node(), Arc::new(AtomicUsize::new(0)));
    for operand in node.variables.iter_mut().flat_map(|variable| &mut variable.conditions) {
        for operand in &mut operand.operands {
            if let Value::Aggregate { call, .. } = &mut operand.value {
                let sum = sum(&DataType::Int64).unwrap();
                call.function = Arc::new(Counted { sum, steps: steps.clone() });
            }
        }
    }
    let output = node.schema(&row_schema()).unwrap();
    let mut operator = Match::new(&node, &row_schema(), output).unwrap();
    let all: Vec<Row> = (0..rows).map(|time| row("k", 1, time)).collect();
    let turns =
        all.chunks(1000).map(|rows| Turn::at(rows[rows.len() - 1].start, vec![change(rows)]));
    let turns: Vec<Turn> = turns.chain([Turn::last(vec![])]).collect();
    let found = matches(&run_one(&mut operator, &turns));
    (found, steps.load(Relaxed))
}

/// Would fail if a condition were computed from the first row of a match on for each of its rows: 20,000 rows
/// took 200 million steps; or if states that were dropped on the way gave other sums.
#[test]
fn a_condition_over_a_match_costs_a_few_steps_a_row() {
    let of = |variable| Scope::of(&[VariableId(variable)]);
    let (rows, half) = (20_000, 10_000);
    let check = |text: &str, test: (usize, Scope, i64), expected: &str| {
        let (found, steps) = summed(text, test, rows);
        assert_eq!(found, expected, "{text}");
        assert!(steps as i64 <= 6 * rows, "{text}: {steps} steps over {rows} rows");
    };
    // One match of half of the rows, and one of the others but one.
    check("A+", (0, of(0), half + 1), "A9999 | A19999");
    check("A+", (0, Scope::ALL, half + 1), "A9999 | A19999");
    // Asked of each row, and refused until the last one.
    check("A+? B $", (1, Scope::ALL, rows + 1), "B19999");
    // Three ways at each row.
    check("A+? B A? $", (1, Scope::ALL, rows + 1), "A19999");
    // Over rows of another variable, of which there is one.
    check("A B+", (1, of(0), 2), "B19999");
}

/// Would fail if sums of floating-point numbers depended on how they were computed.
#[test]
fn aggregates_that_go_on_from_a_copy_are_the_same_to_the_last_bit() {
    use arrow::array::{AsArray, Float64Array};
    use arrow::datatypes::Float64Type;
    use thalweg_plan::aggregate::{average, first_value, last_value, max, min};
    let kind = DataType::Float64;
    let functions = [sum(&kind), average(&kind), min(&kind), max(&kind)].into_iter();
    for function in functions.chain([first_value(&kind), last_value(&kind)]) {
        let function = function.unwrap();
        assert!(function.resumes(), "{}", function.name());
        let mut whole = function.accumulator().unwrap();
        let mut copied = function.accumulator().unwrap();
        let values = (0..500).map(|n| [0.1, -0.0, 1e17, -1e17, 3.3e-9][n % 5] * (n as f64 + 0.7));
        for (row, value) in (0..).zip(values) {
            let argument: [ArrayRef; 1] = [Arc::new(Float64Array::from(vec![value]))];
            let rows = |groups, total| Rows {
                groups,
                arguments: &argument,
                filter: None,
                weights: None,
                total,
            };
            whole.update(rows(&[0], 1)).unwrap();
            if row > 0 {
                let state = copied.partial(Groups::At(&[row - 1])).unwrap();
                copied.merge(&[row], &state, row as usize + 1).unwrap();
            }
            copied.update(rows(&[row], row as usize + 1)).unwrap();
            let bits = |of: &mut Box<dyn Accumulator>, group| {
                of.evaluate(Groups::At(&[group]))
                    .unwrap()
                    .as_primitive::<Float64Type>()
                    .value(0)
                    .to_bits()
            };
            assert_eq!(bits(&mut whole, 0), bits(&mut copied, row), "{} {row}", function.name());
        }
    }
}
