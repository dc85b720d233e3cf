//! Joins of two keyed streams, and what stands beside them: tables, and streams put together.
//!
//! What must always hold: these are the joins of SQL, so what it says of state and time holds here; a
//! pair is made of the rows' columns, and becomes structs inside the user's closure only.

mod sides;

mod sessions;

mod grouped;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use thalweg_plan::join::{JoinKind, JoinNode};
use thalweg_plan::node::UpsertNode;
use thalweg_plan::source::Changes;
use thalweg_plan::{Exchange, Input, NodeKind};
use thalweg_types::{Error, NodeId, Result};

pub use grouped::Span;

use crate::closure::Closure;
use crate::job::Job;
use crate::keyed::Keyed;
use crate::record::Record;
use crate::scalar::Timestamp;
use crate::stream::{Rows, Stream, forward};
use crate::value::Key;
use crate::windowed::{Window, millis};
use crate::windowing::TimeOf;
use sides::{Rule, Side};

/// Two keyed streams whose rows are to meet; see [`Keyed::join`].
pub struct Join<'j, A, B, K> {
    left: Keyed<'j, A, K>,
    right: Keyed<'j, B, K>,
    time: Option<Times<A, B>>,
    late: Option<Late<'j, A, B>>,
}

/// Takes the rows of both streams that came too late.
type Late<'j, A, B> = Box<dyn FnOnce(Stream<'j, A>, Stream<'j, B>) -> Result<()> + 'j>;

/// How time says which rows meet.
struct Times<A, B> {
    rule: Rule,
    left: TimeOf<A>,
    right: TimeOf<B>,
}

impl<'j, A: Record, K: Key> Keyed<'j, A, K> {
    /// Puts the rows of this stream and those of another together that have the same key. Say next
    /// which times they may have, if you can, and then which rows come out.
    ///
    /// Without a word of time all rows of both streams are kept, and the result is updating where rows
    /// may still be taken back: those of a stream that is, and those that come out alone and meet
    /// another row later. Joined are tables, then, if each stream is one ([`Keyed::latest`]):
    ///
    /// ```
    /// # extern crate thalweg_api as thalweg;
    /// use thalweg::{Record, Result, Stream};
    ///
    /// #[derive(Clone, Record)]
    /// struct Profile { user: i64, name: String }
    ///
    /// #[derive(Clone, Record)]
    /// struct Settings { user: i64, language: String }
    ///
    /// #[derive(Clone, Record)]
    /// struct Account { user: i64, name: String, language: Option<String> }
    ///
    /// fn accounts<'j>(
    ///     profiles: Stream<'j, Profile>,
    ///     settings: Stream<'j, Settings>,
    /// ) -> Result<Stream<'j, Account>> {
    ///     let profiles = profiles.key_by(|row| row.user).latest("profiles")?;
    ///     let settings = settings.key_by(|row| row.user).latest("settings")?;
    ///     profiles
    ///         .key_by(|row| row.user)
    ///         .join(settings.key_by(|row| row.user))
    ///         .left("accounts", |profile: Profile, settings: Option<Settings>| Account {
    ///             user: profile.user,
    ///             name: profile.name,
    ///             language: settings.map(|settings| settings.language),
    ///         })
    /// }
    /// ```
    pub fn join<B: Record>(self, other: Keyed<'j, B, K>) -> Join<'j, A, B, K> {
        Join { left: self, right: other, time: None, late: None }
    }

    /// Returns the table of the last row of each key: an updating stream, in which a row takes the
    /// place of the one that its key had.
    ///
    /// # Errors
    /// `Invalid`, naming the step, if the stream is updating: it is a table already.
    pub fn latest(self, name: &str) -> Result<Stream<'j, A>> {
        let Keyed { stream, key } = self;
        let job = stream.job;
        job.builder.borrow_mut().statement(name);
        let before = job.builder.borrow().plan().node(stream.node).clone();
        // What a source says of keys is what this is for.
        let is_said = matches!(&before.kind, NodeKind::Source(s) if s.changes == Changes::Upsert);
        if before.is_updating && !is_said {
            let said =
                format!("step `{name}`: an updating stream has one row for each key already");
            return Err(Error::invalid(said).remedy("leave `latest` out"));
        }
        let from = stream.then::<A>(Closure::keyed(name, key)).node;
        let key: Vec<usize> = (0..K::fields().len()).collect();
        let mut builder = job.builder.borrow_mut();
        let schema = builder.plan().node(from).schema.clone();
        let input = Input { from, port: 0, exchange: Exchange::ByKey(key.clone()) };
        let width = key.len();
        let node = UpsertNode { table: name.to_owned(), key, ttl: None, diverts: false };
        let node = builder.add(NodeKind::Upsert(node), vec![input], schema);
        drop(builder);
        let columns = move |rows: &RecordBatch| Ok(rows.columns()[width..].to_vec());
        Ok(Rows { job, node, port: 0 }.then(Closure::shaped::<A>(columns)))
    }
}

impl<'j, T: Record> Stream<'j, T> {
    /// Puts the rows of another stream beside those of this one.
    pub fn union(self, other: Stream<'j, T>) -> Stream<'j, T> {
        let inputs = vec![forward(self.node), forward(other.node)];
        let node = self.job.builder.borrow_mut().add(NodeKind::Union, inputs, T::schema());
        Stream { job: self.job, node, rows: PhantomData }
    }
}

impl<'j, A: Record, B: Record, K: Key> Join<'j, A, B, K> {
    /// Says that a row of the second stream is at most `before` earlier and at most `after` later than
    /// the row of the first that it meets. Rows are kept for so long only, by the watermarks of both
    /// streams, and the result is append-only.
    ///
    /// ```
    /// # extern crate thalweg_api as thalweg;
    /// use std::time::Duration;
    /// use thalweg::{Keyed, Record, Result, Stream, Timestamp};
    ///
    /// #[derive(Clone, Record)]
    /// struct View { ad: i64, at: Timestamp }
    ///
    /// #[derive(Clone, Record)]
    /// struct Click { ad: i64, at: Timestamp }
    ///
    /// #[derive(Clone, Record)]
    /// struct Effect { ad: i64, after_ms: i64 }
    ///
    /// fn effects<'j>(
    ///     views: Keyed<'j, View, i64>,
    ///     clicks: Keyed<'j, Click, i64>,
    /// ) -> Result<Stream<'j, Effect>> {
    ///     let minute = Duration::from_secs(60);
    ///     views
    ///         .join(clicks)
    ///         .within(Duration::ZERO, minute, |view| view.at, |click| click.at)
    ///         .inner("effects", |view: View, click: Click| Effect {
    ///             ad: view.ad,
    ///             after_ms: click.at.0 - view.at.0,
    ///         })
    /// }
    /// ```
    pub fn within(
        self,
        before: Duration,
        after: Duration,
        left: impl Fn(&A) -> Timestamp + Send + Sync + 'static,
        right: impl Fn(&B) -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let (before, after) = (millis(before), millis(after));
        self.timed(Rule::Within { before, after }, Arc::new(left), Arc::new(right))
    }

    /// Says that rows meet that are of the same window; a row of several windows meets others in each.
    /// Rows are kept until the watermarks of both streams have passed the window. Sessions are made of the
    /// rows of both streams together.
    pub fn window(
        self,
        window: Window,
        left: impl Fn(&A) -> Timestamp + Send + Sync + 'static,
        right: impl Fn(&B) -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        self.timed(Rule::Window(window), Arc::new(left), Arc::new(right))
    }

    /// Hands the rows of the first and of the second stream that come too late for those that they should
    /// meet to `take`, which says what is done with them; otherwise they are counted and left out. A row of
    /// several windows is late once for each that is over.
    pub fn late_to(
        mut self,
        take: impl FnOnce(Stream<'j, A>, Stream<'j, B>) -> Result<()> + 'j,
    ) -> Self {
        self.late = Some(Box::new(take));
        self
    }

    fn timed(self, rule: Rule, left: TimeOf<A>, right: TimeOf<B>) -> Self {
        Join { time: Some(Times { rule, left, right }), ..self }
    }

    /// Makes a row of each pair.
    ///
    /// # Errors
    /// `Invalid`, naming the step, if the times cannot be obeyed: a stream has no watermark, or there
    /// are no such windows.
    pub fn inner<U: Record>(
        self,
        name: &str,
        function: impl Fn(A, B) -> U + Send + Sync + 'static,
    ) -> Result<Stream<'j, U>> {
        let pair = move |left: Option<A>, right: Option<B>| Some(function(left?, right?));
        self.joined(JoinKind::Inner, name, pair)
    }

    /// Makes a row of each pair, and of each row of the first stream that meets none.
    ///
    /// # Errors
    /// As [`Join::inner`].
    pub fn left<U: Record>(
        self,
        name: &str,
        function: impl Fn(A, Option<B>) -> U + Send + Sync + 'static,
    ) -> Result<Stream<'j, U>> {
        let pair = move |left: Option<A>, right: Option<B>| Some(function(left?, right));
        self.joined(JoinKind::Left, name, pair)
    }

    /// Makes a row of each pair, and of each row of both streams that meets none.
    ///
    /// # Errors
    /// As [`Join::inner`].
    pub fn full<U: Record>(
        self,
        name: &str,
        function: impl Fn(Option<A>, Option<B>) -> U + Send + Sync + 'static,
    ) -> Result<Stream<'j, U>> {
        let pair = move |left: Option<A>, right: Option<B>| Some(function(left, right));
        self.joined(JoinKind::Full, name, pair)
    }

    fn joined<U: Record>(
        self,
        kind: JoinKind,
        name: &str,
        function: impl Fn(Option<A>, Option<B>) -> Option<U> + Send + Sync + 'static,
    ) -> Result<Stream<'j, U>> {
        let Join { left, right, time, late } = self;
        let job = left.stream.job;
        job.builder.borrow_mut().statement(name);
        let in_step = |error: Error| error.context(format!("step `{name}`"));
        let (rule, left_time, right_time) = match time {
            Some(Times { rule, left, right }) => (Some(rule), Some(left), Some(right)),
            None => (None, None, None),
        };
        check(rule, late.is_some()).map_err(in_step)?;
        let from = Rows { job, node: left.stream.node, port: 0 };
        let is_updating =
            from.is_updating() || Rows { node: right.stream.node, ..from }.is_updating();
        let left = sides::add(left, name, rule.zip(left_time))?;
        let mut sides = [left, sides::add(right, name, rule.zip(right_time))?];
        let sessions = match rule {
            Some(Rule::Window(window)) if window.0.is_merging() => {
                if is_updating {
                    return Err(in_step(of_updating()));
                }
                Some(sessions::add(from, &mut sides, window.0, late.is_some())?)
            }
            _ => None,
        };
        let divert_late = late.is_some() && sessions.is_none();
        let joined = Rows { node: meet(job, &sides, (kind, rule), divert_late), ..from };
        if let Some(take) = late {
            let late = sessions.unwrap_or([1, 2].map(|port| Rows { port, ..joined }));
            take(sides[0].rows_of(late[0]), sides[1].rows_of(late[1]))?;
        }
        Ok(joined.then(sides::pairs(function)))
    }
}

/// Adds the join of two sides.
fn meet(
    job: &Job,
    [left, right]: &[Side; 2],
    (kind, rule): (JoinKind, Option<Rule>),
    divert_late: bool,
) -> NodeId {
    let mut builder = job.builder.borrow_mut();
    let schemas = [left, right].map(|side| builder.plan().node(side.node).schema.clone());
    let width = schemas[0].fields().len();
    let output: Vec<usize> =
        left.output().chain(right.output().map(|column| width + column)).collect();
    let fields = output.iter().map(|column| match column.checked_sub(width) {
        None => schemas[0].field(*column),
        Some(column) => schemas[1].field(column),
    });
    let fields: Vec<Field> = fields.map(|field| field.clone().with_nullable(true)).collect();
    let inputs = vec![left.input(), right.input()];
    let node = JoinNode {
        kind,
        keys: left.keys.iter().copied().zip(right.keys.iter().copied()).collect(),
        is_null_equal: true,
        condition: rule.and_then(|rule| sides::condition(rule, left, (right, width))),
        output,
        bound: rule.and_then(|rule| sides::bound(rule, left, right)),
        divert_late,
        ttl: [None, None],
    };
    builder.add(NodeKind::Join(node), inputs, Arc::new(Schema::new(fields)))
}

/// Checks that there are such windows, and that rows can be late.
fn check(rule: Option<Rule>, has_late: bool) -> Result<()> {
    match rule {
        Some(Rule::Window(window)) => window.check(),
        None if has_late => {
            Err(Error::invalid("no row is late where rows meet whatever their time")
                .remedy("leave `late_to` out, or say `.within(…)` or `.window(…)` before"))
        }
        Some(Rule::Within { .. }) | None => Ok(()),
    }
}

fn of_updating() -> Error {
    Error::invalid("sessions of rows that may be taken back").remedy(
        "use windows that do not depend on the rows, or make the sessions before what updates",
    )
}
