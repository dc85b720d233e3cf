//! Patterns of rows as data: what `MATCH_RECOGNIZE` and the typed API's `pattern` both become.
//!
//! A pattern is a regular expression whose letters are *variables*; a row can be mapped to a variable if
//! the variable's conditions hold. Rows of a partition are searched in order, from the first on. A match
//! is a stretch of rows that follow each other, each mapped to one variable.
//!
//! # Which match
//! The rule is that of SQL:2016: of the rows at which a match can begin the first one counts; of the
//! matches that begin there the *preferred* one, as a search with backtracking finds it: the first
//! alternative before the second, one more repetition before none where the quantifier is greedy, none
//! before one more where it is reluctant. A repetition beyond the least number that maps no row is not
//! tried. The next match is sought where [`Skip`] says; behind a match without rows, at the next row.
//!
//! Where Flink's automaton differs from this rule in what its documentation does not say, the rule counts:
//! a greedy quantifier there never gives a row back (`A B* C` finds nothing where all rows are B and C,
//! too), and no match may be empty or end with a greedy quantifier. All results that its documentation
//! shows are those of the rule. With `WITHIN`, as its documentation says and shows, a row is out of reach of a
//! match whose first row is longer than that before it; what takes just so long is within it.
//!
//! # The boundary to expressions
//! Whoever makes a plan compiles ordinary conditions over *operands*: a condition is shown a batch that has
//! the column of each of its operands, in their order, and nothing else. The matcher makes these columns:
//! it finds rows, folds aggregates, and knows nothing of expressions. Likewise a match comes out as columns
//! of operands, from which a projection behind the node computes the measures. What operands read are
//! columns of the node's input: an argument like `A.price * A.tax` is a column that a projection before
//! the node adds.
//!
//! # What operands mean
//! *In a condition* of variable V, asked of a row r: r counts as mapped to V already, and is the last row
//! of the match so far. So, in Flink's words,
//!
//! | Written | Operand |
//! |---|---|
//! | `price`, `V.price`, `LAST(V.price)` | [`Position::last`] of all, or of V: r itself |
//! | `PREV(price)`, `PREV(V.price, 2)` | the same with `shift` −1, −2: rows of the partition before r, mapped or not |
//! | `NEXT(price)` | `shift` 1: r waits until that row is there, or the input ends |
//! | `A.price`, `LAST(A.price)` | the last row mapped to A before r; NULL if there is none |
//! | `LAST(V.price, 1)` | the row mapped to V before r; NULL if r is the first |
//! | `FIRST(A.price, 1)` | the second row mapped to A |
//! | `PREV(LAST(A.price, 1), 2)` | `offset` 1 among the rows of A, then `shift` −2 in the partition |
//! | `SUM(V.price)` | an aggregate over the rows of V so far, r among them |
//! | `COUNT(*)`, `SUM(price)` | over all rows of the match so far, r among them: [`Scope::ALL`] |
//! | `CLASSIFIER()` | V's name; `MATCH_NUMBER()` is the number that the match will have |
//!
//! *In a measure* of one row per match all rows of the match are mapped, and an unqualified column is that
//! of the last one: `price` is `LAST(price)` over all variables. With all rows per match an operand that
//! is not `is_final` (RUNNING, the default) is of the row that comes out and those before it.
//!
//! Always: a row that is not there gives NULL, also where `shift` leads out of the partition; an aggregate
//! over no rows gives what it gives over none (`COUNT` 0, others NULL); a `SUBSET` is the scope of its
//! variables, whose rows count in the order of the match. In a match without rows there is no row to
//! navigate to, and `CLASSIFIER()` is NULL.
//!
//! # What that costs
//! A condition all of whose operands are of r's own neighbourhood ([`Operand::is_of_row`]) is evaluated for
//! whole batches at once, before any match is sought; the others are asked for those rows only at which the
//! match so far has come to V, for many partitions at once. So put the parts of an `AND` into conditions of
//! their own. A condition over a batch that fails is asked again for single rows, and only where a match
//! has come to its variable does it fail the job.

mod syntax;

mod operand;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_types::time::nanos_per;
use thalweg_types::{Error, Result};

pub use self::operand::{End, Operand, Position, Scope, Value};
pub use self::syntax::{Pattern, VARIABLES_MAX, VariableId};
use crate::function::Condition;
use crate::order::SortKey;
use crate::window::TimeBasis;

/// Places of variables in a pattern when its quantifiers are written out, at most.
pub const PLACES_MAX: u64 = 2048;

/// A condition of a variable.
#[derive(Clone, Debug)]
pub struct MatchCondition {
    /// What must be true; NULL is "no".
    pub condition: Arc<dyn Condition>,
    /// The columns that it is shown.
    pub operands: Vec<Operand>,
}

/// A variable of a pattern.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name, which `CLASSIFIER()` gives.
    pub name: String,
    /// What must be true of a row that is mapped to it, all of it; nothing for any row.
    pub conditions: Vec<MatchCondition>,
}

/// Where the next match may begin, behind one that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// At the row behind its last one.
    PastLastRow,
    /// At the row behind its first one.
    ToNextRow,
    /// At its first row of these variables. It is an error if that is the first row of the match, or if
    /// there is none.
    ToFirst(Scope),
    /// At its last row of these variables; the same are errors.
    ToLast(Scope),
}

/// Which rows come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsPerMatch {
    /// One for each match, also for one without rows.
    One,
    /// All rows of each match that are not excluded (`{- … -}`).
    All {
        /// Does a match without rows come out as the row at which it was found?
        shows_empty: bool,
        /// Do rows come out that are in no match? Not where something is excluded.
        shows_unmatched: bool,
    },
}

/// Searches the rows of each partition for a pattern.
///
/// Shapes: in rows of any columns, insert-only. Out the input's `columns`, as they are in the row that comes
/// out (of one row per match: in its last row, and of an empty match in the row at which it was found), then
/// a column for each of `operands`, as [`MatchNode::schema`] says. Output 1 has late rows. Append-only.
#[derive(Clone, Debug)]
pub struct MatchNode {
    /// Columns of the partition; none for one partition in all.
    pub partition: Vec<usize>,
    /// The order: first the time, a timestamp that rises, then perhaps others; ties are broken by the
    /// whole row.
    pub order: Vec<SortKey>,
    /// Which time that is.
    pub basis: TimeBasis,
    /// The variables, as [`VariableId`] numbers them.
    pub variables: Vec<Variable>,
    /// What is searched for.
    pub pattern: Pattern,
    /// Where the search goes on.
    pub skip: Skip,
    /// Which rows come out.
    pub rows: RowsPerMatch,
    /// By so much at most a match's last row is later than its first, in the unit of the time.
    pub within: Option<i64>,
    /// Columns of the input that come out.
    pub columns: Vec<usize>,
    /// What comes out behind them.
    pub operands: Vec<Operand>,
    /// Do late rows go to output 1? Else they are counted only.
    pub divert_late: bool,
    /// How long a partition is kept after one of its rows came or its time was reached; `None` for as long as something of it may be
    /// needed.
    pub ttl: Option<Duration>,
}

impl MatchNode {
    /// Returns the schema of what comes out, given that of the input; operands are called `__operand_0`,
    /// `__operand_1` and so on.
    ///
    /// # Errors
    /// `Internal` if a column is not there.
    pub fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        let column = |column: &usize| match input.fields().get(*column) {
            Some(field) => Ok(field.as_ref().clone()),
            None => Err(Error::internal(format!("a match has no column {column} to put out"))),
        };
        let columns = self.columns.iter().map(column);
        let operands = operand_fields(&self.operands, input)?;
        let fields = columns.chain(operands.into_iter().map(Ok)).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Checks what types do not say.
    ///
    /// # Errors
    /// `Invalid` if the pattern is too large, or asks for what excludes each other.
    pub fn check(&self) -> Result<()> {
        let (count, places) = (self.variables.len(), self.pattern.places());
        if count > VARIABLES_MAX {
            return Err(Error::invalid(format!(
                "a pattern of {count} variables, where {VARIABLES_MAX} are the most"
            )));
        }
        if places > PLACES_MAX {
            return Err(Error::invalid(format!(
                "the pattern has {places} places when its quantifiers are written out, and \
                 {PLACES_MAX} is the most"
            ))
            .remedy("use smaller numbers in quantifiers, or fewer variables in PERMUTE"));
        }
        self.pattern.check(count)?;
        let shows_unmatched = matches!(self.rows, RowsPerMatch::All { shows_unmatched: true, .. });
        if shows_unmatched && self.pattern.has_exclusion() {
            return Err(Error::invalid("unmatched rows beside rows that are excluded")
                .remedy("leave out WITH UNMATCHED ROWS, or the exclusion {- … -}"));
        }
        match self.within {
            Some(within) if within <= 0 => {
                Err(Error::invalid("a pattern within no time").remedy("use an interval above 0"))
            }
            _ => Ok(()),
        }
    }

    /// Returns all operands: of conditions, and of what comes out.
    pub fn all_operands(&self) -> impl Iterator<Item = &Operand> {
        let conditions = self.variables.iter().flat_map(|variable| &variable.conditions);
        conditions.flat_map(|condition| &condition.operands).chain(&self.operands)
    }

    /// Returns how many rows behind a row must be there before it can be looked at.
    pub fn rows_ahead(&self) -> usize {
        self.shifts().map(|shift| usize::try_from(shift).unwrap_or(0)).max().unwrap_or(0)
    }

    fn shifts(&self) -> impl Iterator<Item = isize> {
        self.all_operands().filter_map(|operand| operand.position().map(|at| at.shift))
    }

    /// Returns how many rows before a match are looked at: `PREV` of a row that stands further back in each
    /// match does not lead out of it.
    pub fn rows_back(&self) -> usize {
        let asked = (0..).map(VariableId).zip(&self.variables).flat_map(|(id, variable)| {
            let operands = variable.conditions.iter().flat_map(|condition| &condition.operands);
            operands.map(move |operand| (Some(id), operand))
        });
        let all = asked.chain(self.operands.iter().map(|operand| (None, operand)));
        let back = all.filter_map(|(id, operand)| self.back(id, operand));
        back.max().unwrap_or(0)
    }

    /// Returns how many rows before a match an operand looks, in a condition of a variable or in a measure.
    fn back(&self, asked: Option<VariableId>, operand: &Operand) -> Option<usize> {
        let at = operand.position()?;
        let own = asked.filter(|id| operand.is_of_row(*id));
        let is_of = |id: &VariableId| own.map_or(at.of.contains(*id), |own| own == *id);
        let ids = (0..).map(VariableId).take(self.variables.len()).filter(is_of);
        let before = ids.filter_map(|id| self.pattern.least_before(id)).min()?;
        let shift = u64::try_from(-at.shift).unwrap_or(0);
        usize::try_from(shift.saturating_sub(before)).ok()
    }

    /// Must a partition be remembered for ever: since its matches have numbers, or since its first row is
    /// asked for?
    pub fn counts_for_ever(&self) -> bool {
        let is_number = |operand: &Operand| matches!(operand.value, Value::MatchNumber);
        self.all_operands().any(is_number) || self.pattern.asks_for_start()
    }

    /// Can the search for a match go on for ever, so that its rows are kept for ever? Returns what of the
    /// pattern makes it so: `$`, or the first quantifier without an end. A pattern of a fixed greatest length may
    /// wait for its next row for ever, but for so many rows only.
    pub fn endless(&self) -> Option<String> {
        match self.within {
            _ if self.pattern.asks_for_end() => Some("$".to_owned()),
            Some(_) => None,
            None => self.pattern.endless().map(|pattern| self.text(pattern)),
        }
    }

    /// Does all that is kept end by itself, so that it needs no time-to-live?
    pub fn ends(&self) -> bool {
        let is_around = self.rows_back() > 0 || self.rows_ahead() > 0;
        self.within.is_some() && self.endless().is_none() && !is_around && !self.counts_for_ever()
    }

    /// Returns by how much what comes out may be older than the watermark: by as long as a match may take.
    /// `None` if nothing says how long that is. A match of a fixed number of rows is known with its last
    /// row, which is what says the time of the match.
    pub fn delay(&self, input: &Schema) -> Option<Duration> {
        let is_one = self.rows == RowsPerMatch::One;
        match (self.basis, self.within) {
            (TimeBasis::Processing, _) => Some(Duration::ZERO),
            (TimeBasis::Event, _) if self.rows_ahead() > 0 || self.pattern.asks_for_end() => None,
            (TimeBasis::Event, Some(within)) => {
                let kind = input.field(self.order.first()?.column).data_type();
                let DataType::Timestamp(unit, _) = kind else { return None };
                let nanos = within.saturating_mul(nanos_per(*unit));
                Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
            }
            (TimeBasis::Event, None) => {
                (is_one && self.pattern.is_of_fixed_length()).then_some(Duration::ZERO)
            }
        }
    }

    /// Returns what decides where there are matches, and so what is kept, on one line.
    pub fn described(&self) -> String {
        let variables = self.variables.iter().map(|variable| {
            let conditions =
                variable.conditions.iter().map(|MatchCondition { condition, operands }| {
                    format!("{} of [{}]", condition.describe(), operands_text(operands))
                });
            let conditions: Vec<String> = conditions.collect();
            format!("{} as ({})", variable.name, conditions.join(" and "))
        });
        let variables: Vec<String> = variables.collect();
        let (pattern, variables) = (self.text(&self.pattern), variables.join(", "));
        let within = self.within.map(|within| format!(" within {within}")).unwrap_or_default();
        format!("{pattern}{within} of {:?} time, {:?} with {variables}", self.basis, self.skip)
    }

    /// Returns a pattern over the variables, as it is written.
    pub fn text(&self, pattern: &Pattern) -> String {
        let name = |id: VariableId| self.name(id).to_owned();
        pattern.text(&name)
    }

    /// Returns the name of a variable.
    pub fn name(&self, id: VariableId) -> &str {
        self.variables.get(id.index()).map_or("?", |variable| &variable.name)
    }
}

/// Writes operands, so that two processes compare them.
pub(crate) fn operands_text(operands: &[Operand]) -> String {
    operands.iter().map(Operand::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the fields of operands, in order.
///
/// # Errors
/// `Internal` if a column is not there.
pub fn operand_fields(operands: &[Operand], input: &Schema) -> Result<Vec<Field>> {
    let fields = operands.iter().enumerate().map(|(number, operand)| {
        let (kind, is_nullable) = operand.kind(input)?;
        Ok(Field::new(format!("__operand_{number}"), kind, is_nullable))
    });
    fields.collect()
}

#[cfg(test)]
mod tests;
