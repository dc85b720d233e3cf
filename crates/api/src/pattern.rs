//! Patterns of rows: what follows what within a group, and what is made of it.
//!
//! It is the search of SQL's `MATCH_RECOGNIZE`, so what that says of order, time and state holds here; a
//! closure is shown structs, and the rows of a match by the names that the pattern gives them.

mod conditions;

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use thalweg_plan::node::SortKey;
use thalweg_plan::pattern::{
    MatchNode, Operand, Pattern as Syntax, RowsPerMatch, Scope, Skip, Value as Shown, Variable,
    VariableId,
};
use thalweg_plan::window::TimeBasis;
use thalweg_types::{Error, Moment, Result};

pub use self::conditions::Matched;
use self::conditions::{Reads, Test};
use crate::aggregation::Late;
use crate::closure::Closure;
use crate::keyed::Keyed;
use crate::record::{Record, WriteRows, batch, each};
use crate::scalar::Timestamp;
use crate::stream::{Rows, Stream};
use crate::value::{Key, KeyColumns, KeyOf, Value, column};
use crate::windowed::millis;
use crate::windowing::TimeOf;

/// A pattern of rows of type `T`: which rows follow each other.
///
/// Patterns are made of rows that have a name and a condition, one behind the other, one or the other, or
/// several times. Of several matches that begin with the same row the preferred one counts: the first
/// alternative, and the most repetitions unless these are [`reluctant`](Pattern::reluctant).
pub struct Pattern<T> {
    /// What is said of rows, as the syntax numbers them.
    rows: Vec<RowOf<T>>,
    syntax: Syntax,
}

/// A kind of rows of a pattern.
#[derive(Clone)]
struct RowOf<T> {
    /// `None` for rows that closures are not shown.
    name: Option<String>,
    test: Test<T>,
}

impl<T> Clone for Pattern<T> {
    fn clone(&self) -> Pattern<T> {
        let rows = self.rows.iter();
        let rows = rows.map(|row| RowOf { name: row.name.clone(), test: row.test.clone() });
        Pattern { rows: rows.collect(), syntax: self.syntax.clone() }
    }
}

impl<T: Record> Pattern<T> {
    /// Returns a row called `name` of which `condition` is true.
    pub fn row(name: &str, condition: impl Fn(&T) -> bool + Send + Sync + 'static) -> Pattern<T> {
        Pattern::of(Some(name), Test::Row(Arc::new(condition)))
    }

    /// Returns a row called `name` of which `condition` is true, given what the match has so far: the row is
    /// the last one of its name there. It is asked whenever a match has come to a row, which costs more than
    /// [`Pattern::row`].
    pub fn row_after(
        name: &str,
        condition: impl Fn(&T, &Matched<T>) -> bool + Send + Sync + 'static,
    ) -> Pattern<T> {
        Pattern::of(Some(name), Test::After(Arc::new(condition)))
    }

    /// Returns a row of which `condition` is true and that has no name: it is part of the match, and not of
    /// what closures are shown.
    pub fn unnamed(condition: impl Fn(&T) -> bool + Send + Sync + 'static) -> Pattern<T> {
        Pattern::of(None, Test::Row(Arc::new(condition)))
    }

    /// Returns what has no row, and is only where nothing of the group stands before it.
    pub fn start() -> Pattern<T> {
        Pattern { rows: Vec::new(), syntax: Syntax::Start }
    }

    /// Returns what has no row, and is only where nothing of the group stands behind it: at the end of the
    /// input.
    pub fn end() -> Pattern<T> {
        Pattern { rows: Vec::new(), syntax: Syntax::End }
    }

    /// Returns all of these, one behind the other, in any order; of several orders the one counts in which
    /// earlier ones of the list come first.
    pub fn permutation(of: impl IntoIterator<Item = Pattern<T>>) -> Pattern<T> {
        let (mut rows, mut parts) = (Vec::new(), Vec::new());
        for part in of {
            let before = u8::try_from(rows.len()).unwrap_or(u8::MAX);
            parts.push(renumbered(part.syntax, before));
            rows.extend(part.rows);
        }
        Pattern { rows, syntax: Syntax::Permutation(parts) }
    }

    fn of(name: Option<&str>, test: Test<T>) -> Pattern<T> {
        let rows = vec![RowOf { name: name.map(str::to_owned), test }];
        Pattern { rows, syntax: Syntax::Variable(VariableId(0)) }
    }

    /// Lets `next` follow, with no row between.
    pub fn then(self, next: Pattern<T>) -> Pattern<T> {
        self.with(next, Syntax::Sequence)
    }

    /// Lets `next` follow, perhaps after other rows, as few as possible.
    pub fn followed_by(self, next: Pattern<T>) -> Pattern<T> {
        self.followed_without(|_| false, next)
    }

    /// Lets `next` follow, perhaps after other rows, as few as possible, none of which is `forbidden`.
    pub fn followed_without(
        self,
        forbidden: impl Fn(&T) -> bool + Send + Sync + 'static,
        next: Pattern<T>,
    ) -> Pattern<T> {
        let passed = Pattern::unnamed(move |row| !forbidden(row));
        self.then(passed.zero_or_more().reluctant()).then(next)
    }

    /// Lets there be this, or else `other`.
    pub fn or(self, other: Pattern<T>) -> Pattern<T> {
        self.with(other, Syntax::Choice)
    }

    fn with(mut self, other: Pattern<T>, make: fn(Vec<Syntax>) -> Syntax) -> Pattern<T> {
        let before = u8::try_from(self.rows.len()).unwrap_or(u8::MAX);
        let other_syntax = renumbered(other.syntax, before);
        self.rows.extend(other.rows);
        Pattern { rows: self.rows, syntax: make(vec![self.syntax, other_syntax]) }
    }

    /// Lets there be this once or not at all.
    pub fn optional(self) -> Pattern<T> {
        self.repeated(0, Some(1))
    }

    /// Lets there be this any number of times, one after the other.
    pub fn zero_or_more(self) -> Pattern<T> {
        self.repeated(0, None)
    }

    /// Lets there be this several times, one after the other.
    pub fn one_or_more(self) -> Pattern<T> {
        self.repeated(1, None)
    }

    /// Lets there be this so many times, one after the other: `times(3..=3)`, `times(2..)`.
    pub fn times(self, times: impl RangeBounds<u32>) -> Pattern<T> {
        let least = match times.start_bound() {
            Bound::Included(least) => *least,
            Bound::Excluded(less) => less.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let most = match times.end_bound() {
            Bound::Included(most) => Some(*most),
            Bound::Excluded(more) => Some(more.saturating_sub(1)),
            Bound::Unbounded => None,
        };
        self.repeated(least, most)
    }

    fn repeated(self, least: u32, most: Option<u32>) -> Pattern<T> {
        let of = Box::new(self.syntax);
        Pattern { syntax: Syntax::Repeat { of, least, most, is_greedy: true }, ..self }
    }

    /// Lets a repetition, said just before, be as short as possible; otherwise it is as long as possible.
    pub fn reluctant(mut self) -> Pattern<T> {
        if let Syntax::Repeat { is_greedy, .. } = &mut self.syntax {
            *is_greedy = false;
        }
        self
    }

    /// Returns the names of rows, each once, and which rows have them.
    fn names(&self) -> Vec<(String, Scope)> {
        let mut names: Vec<(String, Vec<VariableId>)> = Vec::new();
        for (id, row) in (0..=u8::MAX).map(VariableId).zip(&self.rows) {
            let Some(name) = &row.name else { continue };
            match names.iter_mut().find(|(known, _)| known == name) {
                Some((_, ids)) => ids.push(id),
                None => names.push((name.clone(), vec![id])),
            }
        }
        names.into_iter().map(|(name, ids)| (name, Scope::of(&ids))).collect()
    }
}

/// Gives the variables of a pattern numbers that are so much greater.
fn renumbered(syntax: Syntax, by: u8) -> Syntax {
    let all = |parts: Vec<Syntax>| parts.into_iter().map(|part| renumbered(part, by)).collect();
    match syntax {
        Syntax::Variable(id) => Syntax::Variable(VariableId(id.0.saturating_add(by))),
        Syntax::Sequence(parts) => Syntax::Sequence(all(parts)),
        Syntax::Choice(parts) => Syntax::Choice(all(parts)),
        Syntax::Permutation(parts) => Syntax::Permutation(all(parts)),
        Syntax::Excluded(of) => Syntax::Excluded(Box::new(renumbered(*of, by))),
        Syntax::Repeat { of, least, most, is_greedy } => {
            let of = Box::new(renumbered(*of, by));
            Syntax::Repeat { of, least, most, is_greedy }
        }
        Syntax::Empty | Syntax::Start | Syntax::End => syntax,
    }
}

/// Where the next match is sought, behind one that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterMatch {
    /// Behind its last row.
    PastLastRow,
    /// Behind its first row, so that matches overlap.
    ToNextRow,
    /// At its first row of this name.
    ToFirst(String),
    /// At its last row of this name.
    ToLast(String),
}

/// A search for a pattern in each group; see [`Keyed::pattern`].
pub struct Search<'j, T, K> {
    keyed: Keyed<'j, T, K>,
    pattern: Pattern<T>,
    time: Option<TimeOf<T>>,
    within: Option<Duration>,
    after: AfterMatch,
    late: Option<Late<'j, T>>,
}

impl<'j, T: Record, K: Key> Keyed<'j, T, K> {
    /// Searches the rows of each group for a pattern, in the order of their times, which the watermark should
    /// follow.
    ///
    /// This one finds cards that were charged a little and then, within a minute, much:
    ///
    /// ```
    /// # extern crate thalweg_api as thalweg;
    /// use std::time::Duration;
    /// use thalweg::{Keyed, Pattern, Record, Result, Stream, Timestamp};
    ///
    /// #[derive(Clone, Record)]
    /// struct Charge { card: i64, cents: i64, at: Timestamp }
    ///
    /// #[derive(Clone, Record)]
    /// struct Alert { card: i64, cents: i64, after_ms: i64 }
    ///
    /// fn frauds<'j>(charges: Keyed<'j, Charge, i64>) -> Result<Stream<'j, Alert>> {
    ///     let small = Pattern::row("small", |charge: &Charge| charge.cents < 1_00);
    ///     let large = Pattern::row("large", |charge: &Charge| charge.cents > 500_00);
    ///     charges
    ///         .pattern(small.then(large), |charge| charge.at)
    ///         .within(Duration::from_secs(60))
    ///         .select("frauds", |found| {
    ///             let (small, large) = (&found["small"][0], &found["large"][0]);
    ///             let after_ms = large.at.0 - small.at.0;
    ///             Alert { card: large.card, cents: large.cents, after_ms }
    ///         })
    /// }
    /// ```
    pub fn pattern(
        self,
        pattern: Pattern<T>,
        time: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
    ) -> Search<'j, T, K> {
        let (within, after, late) = (None, AfterMatch::PastLastRow, None);
        Search { keyed: self, pattern, time: Some(Arc::new(time)), within, after, late }
    }

    /// Searches the rows of each group for a pattern as they come; none is late.
    pub fn clock_pattern(self, pattern: Pattern<T>) -> Search<'j, T, K> {
        let (within, after, late) = (None, AfterMatch::PastLastRow, None);
        Search { keyed: self, pattern, time: None, within, after, late }
    }
}

impl<'j, T: Record, K: Key> Search<'j, T, K> {
    /// Lets the last row of a match be at most `time` behind its first one. It bounds what is kept.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Says where the next match is sought; without it behind the last row.
    pub fn after_match(mut self, after: AfterMatch) -> Self {
        self.after = after;
        self
    }

    /// Hands the rows that come too late to be searched to `take`, which says what is done with them;
    /// otherwise they are counted and left out.
    pub fn late_to(mut self, take: impl FnOnce(Stream<'j, T>) -> Result<()> + 'j) -> Self {
        self.late = Some(Box::new(take));
        self
    }

    /// Makes a row of each match. State is kept under `name`: a program in which the pattern or a condition
    /// has another meaning must give it another name, since closures cannot be compared.
    ///
    /// # Errors
    /// `Invalid`, naming the step, if there is no watermark, a row may be taken back, the pattern is too
    /// large or may have no row, or there is a step `name` already.
    pub fn select<U: Record>(
        self,
        name: &str,
        function: impl Fn(&Matched<T>) -> U + Send + Sync + 'static,
    ) -> Result<Stream<'j, U>> {
        self.keyed.stream.job.step(name)?;
        let in_step = |error: Error| error.context(format!("step `{name}`"));
        let reads = Arc::new(Reads::<T>::new(&self.pattern.names()));
        let found = self.add(name, &reads).map_err(in_step)?;
        let text = format!("select of {name}");
        Ok(found.then(Closure::made(U::schema(), text, move |rows| {
            let (lists, count) = (reads.open(rows.columns())?, rows.num_rows());
            let mut made = U::Columns::with_capacity(count);
            for row in 0..count {
                made.push(&function(&lists.get(row)));
            }
            batch::<U>(made, count)
        })))
    }

    /// Adds the search, whose rows are lists of the rows of each name.
    fn add(self, name: &str, reads: &Reads<T>) -> Result<Rows<'j>> {
        let Search { keyed, pattern, time, within, after, late } = self;
        let Keyed { stream, key } = keyed;
        let job = stream.job;
        let is_timed = time.is_some();
        if is_timed && job.builder.borrow().plan().node(stream.node).domains.is_empty() {
            return Err(Error::invalid("a stream that is searched by time has no watermark")
                .remedy("say `.watermark(…)` where its source is read"));
        }
        if pattern.syntax.can_be_empty() {
            return Err(Error::invalid("a pattern that a match without rows fulfils")
                .remedy("let there be one row at least: one_or_more instead of zero_or_more"));
        }
        let (keys, width) = (K::fields().len(), T::fields().len());
        let names = pattern.names();
        let node = MatchNode {
            partition: (0..keys).collect(),
            order: vec![SortKey { column: keys + width, descending: false, nulls_first: true }],
            basis: if is_timed { TimeBasis::Event } else { TimeBasis::Processing },
            variables: pattern.rows.iter().map(|row| variable(row, keys, reads)).collect(),
            skip: skip(&after, &names)?,
            pattern: pattern.syntax,
            rows: RowsPerMatch::One,
            within: within.map(millis),
            columns: Vec::new(),
            operands: names.iter().map(|(_, of)| lists::<T>(*of, keys)).collect(),
            divert_late: late.is_some(),
            ttl: None,
        };
        let prepared = stream.then::<T>(prepare(name, key, time));
        let node = job.builder.borrow_mut().match_rows(prepared.node, node)?;
        if let Some(take) = late {
            let rows = Rows { job, node, port: 1 };
            let columns = move |rows: &RecordBatch| Ok(rows.columns()[keys..keys + width].to_vec());
            take(rows.then(Closure::shaped::<T>(columns)))?;
        }
        Ok(Rows { job, node, port: 0 })
    }
}

/// Puts the columns of a key before those of a row, and behind them its time.
fn prepare<T: Record, K: Key>(name: &str, key: KeyOf<T, K>, time: Option<TimeOf<T>>) -> Closure {
    let fields = K::fields().into_iter().chain(T::fields()).chain([Timestamp::field("time")]);
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let text = format!("key and time of {name}");
    Closure::columns_at(schema, text, move |rows: &RecordBatch, at: &Moment| {
        let count = rows.num_rows();
        let (mut keys, mut times) = (K::Columns::with_capacity(count), Vec::with_capacity(count));
        let now = Timestamp::of(at.clock);
        each(rows, |record: &T| {
            keys.push(&key(record));
            times.push(time.as_ref().map_or(now, |time| time(record)));
        })?;
        let mut columns = keys.finish();
        columns.extend_from_slice(rows.columns());
        columns.push(column(times.iter()));
        Ok(columns)
    })
}

/// Returns what the plan says of a kind of rows, whose columns stand behind `keys` others.
fn variable<T: Record>(row: &RowOf<T>, keys: usize, reads: &Reads<T>) -> Variable {
    let name = row.name.clone().unwrap_or_else(|| "(unnamed)".to_owned());
    let lists = reads.scopes.iter().map(|of| lists::<T>(*of, keys));
    let condition = row.test.condition(&name, keys, (reads, lists.collect()));
    Variable { name, conditions: vec![condition] }
}

/// Returns the rows of some variables as a list of structs.
fn lists<T: Record>(of: Scope, keys: usize) -> Operand {
    let columns = (keys..keys + T::fields().len()).collect();
    Operand::running(Shown::Rows { of, columns })
}

fn skip(after: &AfterMatch, names: &[(String, Scope)]) -> Result<Skip> {
    let scope = |name: &str| {
        let found = names.iter().find(|(known, _)| known == name);
        found.map(|(_, scope)| *scope).ok_or_else(|| {
            Error::invalid(format!("after a match: the pattern has no row `{name}`"))
                .remedy("use a name that the pattern gives a row")
        })
    };
    Ok(match after {
        AfterMatch::PastLastRow => Skip::PastLastRow,
        AfterMatch::ToNextRow => Skip::ToNextRow,
        AfterMatch::ToFirst(name) => Skip::ToFirst(scope(name)?),
        AfterMatch::ToLast(name) => Skip::ToLast(scope(name)?),
    })
}
