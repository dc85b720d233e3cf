//! What conditions and measures are shown: values of rows of a match, and of all of it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use thalweg_types::{Error, Result};

use super::syntax::{VARIABLES_MAX, VariableId};
use crate::function::AggregateCall;

/// Some variables: one, those of a `SUBSET`, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope(u64);

impl Scope {
    /// All variables: the rows of the whole match.
    pub const ALL: Scope = Scope(u64::MAX);

    /// Returns some variables.
    pub fn of(variables: &[VariableId]) -> Scope {
        Scope(variables.iter().fold(0, |all, variable| all | variable.bit()))
    }

    /// Is a variable among them?
    #[inline]
    pub fn contains(self, variable: VariableId) -> bool {
        self.0 & variable.bit() != 0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Scope::ALL {
            return f.write_str("all");
        }
        let ids = (0..VARIABLES_MAX).filter(|id| self.0 & (1 << id) != 0);
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        f.write_str(&ids.join("+"))
    }
}

/// From which end rows are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// From the first row on.
    First,
    /// From the last row back.
    Last,
}

/// A row: one of a match, or some rows before or behind it in the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Among the rows of which variables it is sought.
    pub of: Scope,
    /// From which end.
    pub from: End,
    /// How many of these rows further from that end it is.
    pub offset: usize,
    /// How many rows of the partition behind that row; below 0 how many before it. They need not be of the
    /// match.
    pub shift: isize,
}

impl Position {
    /// Returns the last row of some variables.
    pub fn last(of: Scope) -> Position {
        Position { of, from: End::Last, offset: 0, shift: 0 }
    }

    /// Returns the first row of some variables.
    pub fn first(of: Scope) -> Position {
        Position { of, from: End::First, offset: 0, shift: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match self.from {
            End::First => "first",
            End::Last => "last",
        };
        write!(f, "{from} of {}", self.of)?;
        match (self.offset, self.shift) {
            (0, 0) => Ok(()),
            (offset, shift) => write!(f, " ({offset}, {shift:+})"),
        }
    }
}

/// What an operand is the value of.
#[derive(Clone, Debug)]
pub enum Value {
    /// A column of a row.
    Column {
        /// The column of the input.
        column: usize,
        /// The row.
        at: Position,
    },
    /// The name of the variable that a row is mapped to: a text. The `shift` is 0.
    Classifier(Position),
    /// The number of the match in its partition, from 1 on: a BIGINT.
    MatchNumber,
    /// Is the row that comes out in a match, or the place of an empty one? A BOOLEAN: with unmatched rows
    /// it tells these apart, of which all measures are NULL. In a condition always true.
    IsMatched,
    /// An aggregate over the rows of some variables; its columns are those of the input.
    Aggregate {
        /// Over the rows of which variables.
        of: Scope,
        /// The aggregate; of one that is not mergeable, too.
        call: AggregateCall,
    },
    /// The rows of some variables, in order: a list of structs of some columns of the input.
    Rows {
        /// Of which variables.
        of: Scope,
        /// The columns.
        columns: Vec<usize>,
    },
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Column { column, at } => write!(f, "{column} at {at}"),
            Value::Classifier(at) => write!(f, "variable at {at}"),
            Value::MatchNumber => f.write_str("number of the match"),
            Value::IsMatched => f.write_str("is matched"),
            Value::Aggregate { of, call } => {
                write!(f, "{}{:?} of {of}", call.name(), call.arguments)?;
                call.filter.map_or(Ok(()), |filter| write!(f, " where {filter}"))
            }
            Value::Rows { of, columns } => write!(f, "rows of {of}, {columns:?}"),
        }
    }
}

/// A column that a condition is shown, or that comes out.
#[derive(Clone, Debug)]
pub struct Operand {
    /// What it is.
    pub value: Value,
    /// Is it of the whole match (`FINAL`)? Else of its rows up to the one that comes out (`RUNNING`), which
    /// with one row per match is the last one. In a condition it is not.
    pub is_final: bool,
}

impl fmt::Display for Operand {
    /// Writes all that decides its value, in one way in all processes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_final { "final " } else { "" }, self.value)
    }
}

impl Operand {
    /// Returns an operand of the rows so far.
    pub fn running(value: Value) -> Operand {
        Operand { value, is_final: false }
    }

    /// Returns an operand of the whole match.
    pub fn whole(value: Value) -> Operand {
        Operand { value, is_final: true }
    }

    /// Is it, in a condition of `variable`, of the row that is asked about, or of one some rows before or
    /// behind it, whatever the match so far is?
    pub fn is_of_row(&self, variable: VariableId) -> bool {
        match &self.value {
            Value::Column { at, .. } | Value::Classifier(at) => {
                at.from == End::Last && at.offset == 0 && at.of.contains(variable)
            }
            Value::IsMatched => true,
            Value::MatchNumber | Value::Aggregate { .. } | Value::Rows { .. } => false,
        }
    }

    /// Returns the row of which it is a column, if it is one.
    pub fn position(&self) -> Option<Position> {
        match &self.value {
            Value::Column { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// Returns the type of its column, and whether it can be NULL.
    ///
    /// # Errors
    /// `Internal` if the input has no such column.
    pub fn kind(&self, input: &Schema) -> Result<(DataType, bool)> {
        let field = |column: usize| match input.fields().get(column) {
            Some(field) => Ok(field.as_ref()),
            None => Err(Error::internal(format!("a match over column {column}, which is missing"))),
        };
        Ok(match &self.value {
            Value::Column { column, .. } => (field(*column)?.data_type().clone(), true),
            Value::Classifier(_) => (DataType::Utf8View, true),
            Value::MatchNumber => (DataType::Int64, true),
            Value::IsMatched => (DataType::Boolean, false),
            Value::Aggregate { call, .. } => {
                let mut columns = call.arguments.iter().chain(&call.filter);
                columns.try_for_each(|column| field(*column).map(drop))?;
                (call.function.result().data_type().clone(), true)
            }
            Value::Rows { columns, .. } => {
                let fields = columns.iter().map(|column| Ok(field(*column)?.clone()));
                let row = DataType::Struct(fields.collect::<Result<Vec<_>>>()?.into());
                (DataType::List(Arc::new(Field::new("item", row, true))), false)
            }
        })
    }
}
