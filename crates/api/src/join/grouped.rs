//! Rows of two streams that are of one key and one window, all at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use thalweg_types::{Error, Result};

use super::sides::{Rule, windows_of};
use super::{Join, Times, check};
use crate::process::{CoProcess, Context, MapState, Setup, Side, State, Timer};
use crate::record::Record;
use crate::scalar::Timestamp;
use crate::stream::Stream;
use crate::value::Key;
use crate::windowed::Window;
use crate::windowing::TimeOf;

/// Where a window lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first time.
    pub start: Timestamp,
    /// The first time behind it.
    pub end: Timestamp,
}

/// Names of the side outputs of late rows.
const LATE: [&str; 2] = ["late left", "late right"];

impl<'j, A: Record + State, B: Record + State, K: Key> Join<'j, A, B, K> {
    /// Calls `function` for each key and [window](Join::window) with all rows of both streams, in the order
    /// in which they came, when the watermark has passed it: a window to which none came is left out. Of
    /// sessions that became one those of the earlier one come first. Rows are state, so their types are
    /// [`State`], too; late ones go to the side outputs `late left` and `late right`, and where
    /// [`late_to`](Join::late_to) says.
    ///
    /// # Errors
    /// `Invalid`, naming the step, if there are no windows or a stream is updating.
    pub fn co_group<U: Record, I: IntoIterator<Item = U>>(
        self,
        name: &str,
        function: impl Fn(&K, Span, Vec<A>, Vec<B>) -> I + Send + Sync + 'static,
    ) -> Result<Stream<'j, U>> {
        let Join { left, right, time, late } = self;
        let in_step = |error: Error| error.context(format!("step `{name}`"));
        let Some(Times { rule: Rule::Window(window), left: left_time, right: right_time }) = time
        else {
            let said = Error::invalid("rows are grouped without windows");
            return Err(in_step(said.remedy("say `.window(…)` before")));
        };
        check(Some(Rule::Window(window)), false).map_err(in_step)?;
        let groups = left.connect(right).process(name, |setup| {
            let left = Waiting::new(setup, ("left", LATE[0]), left_time);
            let right = Waiting::new(setup, ("right", LATE[1]), right_time);
            Grouping { window, left, right, function: Arc::new(function) }
        })?;
        if let Some(take) = late {
            take(groups.side(LATE[0])?, groups.side(LATE[1])?)?;
        }
        Ok(groups)
    }
}

/// Rows of one stream that wait for the ends of their windows.
struct Waiting<T> {
    time: TimeOf<T>,
    /// By end and start of the window, and number in it.
    rows: MapState<(i64, i64, u64), T>,
    late: Side<T>,
}

impl<T: Record + State> Waiting<T> {
    fn new(setup: &mut Setup, (rows, late): (&str, &str), time: TimeOf<T>) -> Waiting<T> {
        Waiting { time, rows: setup.map(rows), late: setup.side(late) }
    }

    fn add<K: Key, U: Record>(
        &self,
        row: T,
        windows: Vec<(i64, i64)>,
        context: &mut Context<'_, K, U>,
    ) {
        // The last of them is the last one to end.
        if windows.iter().all(|(_, end)| end - 1 <= context.watermark().0) {
            return context.send_to(self.late, row);
        }
        for (start, end) in windows {
            if end - 1 <= context.watermark().0 {
                continue;
            }
            self.put((start, end), row.clone(), context);
            context.set_timer(Timer::Event(Timestamp(end - 1)));
        }
    }

    /// Puts a row behind the others of a window.
    fn put<K: Key, U: Record>(
        &self,
        (start, end): (i64, i64),
        row: T,
        context: &mut Context<'_, K, U>,
    ) {
        let last = self.rows.range(context, (end, start, 0)..=(end, start, u64::MAX)).next_back();
        let number = last.map_or(0, |((_, _, number), _)| number + 1);
        self.rows.insert(context, (end, start, number), row);
    }

    /// Returns the sessions that overlap or touch one. They do not overlap each other, so the one that ends
    /// next also starts next.
    fn touching<K: Key, U: Record>(
        &self,
        (start, end): (i64, i64),
        context: &Context<'_, K, U>,
    ) -> BTreeSet<(i64, i64)> {
        let (mut found, mut from) = (BTreeSet::new(), (start, i64::MIN, 0));
        while let Some(((other_end, other_start, _), _)) = self.rows.range(context, from..).next() {
            if *other_start > end {
                break;
            }
            found.insert((*other_start, *other_end));
            from = (*other_end, *other_start, u64::MAX);
        }
        found
    }

    /// Returns the starts of the windows that end at `end`.
    fn starts<K: Key, U: Record>(&self, end: i64, context: &Context<'_, K, U>) -> BTreeSet<i64> {
        let rows = self.rows.range(context, (end, i64::MIN, 0)..(end + 1, i64::MIN, 0));
        rows.map(|((_, start, _), _)| *start).collect()
    }

    fn take<K: Key, U: Record>(
        &self,
        (start, end): (i64, i64),
        context: &mut Context<'_, K, U>,
    ) -> Vec<T> {
        let rows = self.rows.range(context, (end, start, 0)..=(end, start, u64::MAX));
        let entries: Vec<_> = rows.map(|(entry, _)| *entry).collect();
        entries.iter().filter_map(|entry| self.rows.remove(context, entry)).collect()
    }
}

/// Groups the rows of two streams.
struct Grouping<A, B, F> {
    window: Window,
    left: Waiting<A>,
    right: Waiting<B>,
    function: Arc<F>,
}

impl<A: Record + State, B: Record + State, F> Grouping<A, B, F> {
    /// Returns the windows of a row; sessions that it brings together become one.
    fn windows<K: Key, U: Record>(
        &self,
        time: Timestamp,
        context: &mut Context<'_, K, U>,
    ) -> Vec<(i64, i64)> {
        let mut windows = windows_of(self.window, time);
        if self.window.0.is_merging() {
            windows.iter_mut().for_each(|session| *session = self.session(*session, context));
        }
        windows
    }

    fn session<K: Key, U: Record>(
        &self,
        alone: (i64, i64),
        context: &mut Context<'_, K, U>,
    ) -> (i64, i64) {
        let mut touched = self.left.touching(alone, context);
        touched.extend(self.right.touching(alone, context));
        let whole = touched.iter().fold(alone, |(start, end), (other_start, other_end)| {
            (start.min(*other_start), end.max(*other_end))
        });
        for part in touched.into_iter().filter(|part| *part != whole) {
            let left = self.left.take(part, context);
            left.into_iter().for_each(|row| self.left.put(whole, row, context));
            let right = self.right.take(part, context);
            right.into_iter().for_each(|row| self.right.put(whole, row, context));
        }
        whole
    }
}

impl<K, A, B, U, I, F> CoProcess<K, A, B, U> for Grouping<A, B, F>
where
    K: Key,
    A: Record + State,
    B: Record + State,
    U: Record,
    I: IntoIterator<Item = U>,
    F: Fn(&K, Span, Vec<A>, Vec<B>) -> I + Send + Sync + 'static,
{
    fn left(&self, row: A, context: &mut Context<'_, K, U>) -> Result<()> {
        let windows = self.windows((self.left.time)(&row), context);
        self.left.add(row, windows, context);
        Ok(())
    }

    fn right(&self, row: B, context: &mut Context<'_, K, U>) -> Result<()> {
        let windows = self.windows((self.right.time)(&row), context);
        self.right.add(row, windows, context);
        Ok(())
    }

    fn timer(&self, timer: Timer, context: &mut Context<'_, K, U>) -> Result<()> {
        let end = timer.time().0 + 1;
        let mut starts = self.left.starts(end, context);
        starts.extend(self.right.starts(end, context));
        for start in starts {
            let left = self.left.take((start, end), context);
            let right = self.right.take((start, end), context);
            let span = Span { start: Timestamp(start), end: Timestamp(end) };
            let made = (self.function)(context.key(), span, left, right);
            made.into_iter().for_each(|row| context.send(row));
        }
        Ok(())
    }
}
