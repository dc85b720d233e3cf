//! Conditions by closures: of rows alone, and of rows behind those that a match has.

use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use thalweg_plan::function::Condition;
use thalweg_plan::pattern::{MatchCondition, Operand, Position, Scope, Value as Shown};
use thalweg_types::{Error, Moment, Result};

use crate::record::{ReadRows, Record, each};
use crate::value::{Reader, Value};

/// The rows of a match, by the names that its pattern gives them: `found["small"][0]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched<T> {
    names: Arc<[String]>,
    rows: Vec<Vec<T>>,
}

impl<T> Matched<T> {
    /// Returns the rows called `name`, in order; none if no row of the pattern is called so.
    pub fn get(&self, name: &str) -> &[T] {
        let place = self.names.iter().position(|known| known == name);
        place.map_or(&[], |place| &self.rows[place])
    }

    /// Returns the first row called `name`.
    pub fn first(&self, name: &str) -> Option<&T> {
        self.get(name).first()
    }

    /// Returns the last row called `name`.
    pub fn last(&self, name: &str) -> Option<&T> {
        self.get(name).last()
    }
}

impl<T> Index<&str> for Matched<T> {
    type Output = [T];

    fn index(&self, name: &str) -> &[T] {
        self.get(name)
    }
}

/// Reads the rows of matches from lists, one for each name.
pub(super) struct Reads<T> {
    names: Arc<[String]>,
    pub(super) scopes: Vec<Scope>,
    rows: std::marker::PhantomData<fn() -> T>,
}

/// The lists of a batch.
pub(super) struct Lists<T: Record> {
    names: Arc<[String]>,
    readers: Vec<<Vec<T> as Value>::Reader>,
}

impl<T: Record> Reads<T> {
    pub(super) fn new(names: &[(String, Scope)]) -> Reads<T> {
        Reads {
            names: names.iter().map(|(name, _)| name.clone()).collect(),
            scopes: names.iter().map(|(_, scope)| *scope).collect(),
            rows: std::marker::PhantomData,
        }
    }

    /// Opens columns of lists.
    pub(super) fn open(&self, columns: &[ArrayRef]) -> Result<Lists<T>> {
        let readers = columns.iter().map(|column| Reader::<Vec<T>>::open(column, None));
        Ok(Lists { names: self.names.clone(), readers: readers.collect::<Result<_>>()? })
    }
}

impl<T: Record> Lists<T> {
    /// Returns the rows of a match.
    pub(super) fn get(&self, row: usize) -> Matched<T> {
        let rows = self.readers.iter().map(|reader| reader.get(row));
        Matched { names: self.names.clone(), rows: rows.collect() }
    }
}

type OfRow<T> = dyn Fn(&T) -> bool + Send + Sync;
type OfMatch<T> = dyn Fn(&T, &Matched<T>) -> bool + Send + Sync;

/// What must be true of a row.
pub(super) enum Test<T> {
    /// Of the row alone.
    Row(Arc<OfRow<T>>),
    /// Of the row, behind those that a match has.
    After(Arc<OfMatch<T>>),
}

impl<T> Clone for Test<T> {
    fn clone(&self) -> Test<T> {
        match self {
            Test::Row(test) => Test::Row(test.clone()),
            Test::After(test) => Test::After(test.clone()),
        }
    }
}

impl<T: Record> Test<T> {
    /// Returns the condition of rows called `name`, whose columns stand behind `keys` others; a match is shown
    /// as `lists`.
    pub(super) fn condition(
        &self,
        name: &str,
        keys: usize,
        (reads, lists): (&Reads<T>, Vec<Operand>),
    ) -> MatchCondition {
        let at = Position::last(Scope::ALL);
        let row = (keys..keys + T::fields().len()).map(|column| Shown::Column { column, at });
        let mut operands: Vec<Operand> = row.map(Operand::running).collect();
        if matches!(self, Test::After(_)) {
            operands.extend(lists);
        }
        let reads = Reads { names: reads.names.clone(), scopes: Vec::new(), rows: reads.rows };
        let condition = Arc::new(Tested { name: name.to_owned(), test: self.clone(), reads });
        MatchCondition { condition, operands }
    }
}

/// A test of rows called `name`.
struct Tested<T> {
    name: String,
    test: Test<T>,
    reads: Reads<T>,
}

impl<T> fmt::Debug for Tested<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "condition of {}", self.name)
    }
}

impl<T: Record> Condition for Tested<T> {
    fn holds(&self, rows: &RecordBatch, _: &Moment) -> Result<BooleanArray> {
        let mut holds = Vec::with_capacity(rows.num_rows());
        match &self.test {
            Test::Row(test) => each(rows, |row| holds.push(test(row)))?,
            Test::After(test) => {
                let width = T::fields().len();
                let (row, lists) = rows.columns().split_at_checked(width).ok_or_else(|| {
                    Error::internal("a condition of a pattern without the columns of a row")
                })?;
                let (row, lists) = (T::Rows::open(row, None)?, self.reads.open(lists)?);
                holds.extend((0..rows.num_rows()).map(|at| test(&row.get(at), &lists.get(at))));
            }
        }
        Ok(holds.into())
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }
}
