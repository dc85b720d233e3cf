//! Streams in groups and windows.

use std::sync::Arc;
use std::time::Duration;

use thalweg_plan::pane::{Accumulation, OwnTime, Panes};
use thalweg_plan::trigger::Trigger as Planned;
use thalweg_plan::window::Assigner;
use thalweg_types::{Error, Result};

use crate::aggregate::{Accumulated, Aggregate, Reduced, fold, fold_with_undo};
use crate::aggregation::{Late, Windowing, aggregate, on_time, unpacked};
use crate::keyed::Keyed;
use crate::record::Record;
use crate::scalar::Timestamp;
use crate::stream::Stream;
use crate::trigger::Trigger;
use crate::user_windows::UserWindows;
use crate::value::Key;
use crate::windowing::Windows;

/// Which windows rows fall into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub(crate) Assigner);

impl Window {
    /// Returns windows side by side.
    pub fn tumble(size: Duration) -> Window {
        Window(Assigner::Tumble { size: millis(size), offset: 0 })
    }

    /// Returns windows of `size` that start every `slide`, of which `size` is a multiple.
    pub fn hop(slide: Duration, size: Duration) -> Window {
        Window(Assigner::Hop { size: millis(size), slide: millis(slide), offset: 0 })
    }

    /// Returns windows that grow by `step` until they are `size` long, a multiple of it.
    pub fn cumulate(step: Duration, size: Duration) -> Window {
        Window(Assigner::Cumulate { size: millis(size), step: millis(step), offset: 0 })
    }

    /// Returns windows that a pause of `gap` ends.
    pub fn session(gap: Duration) -> Window {
        Window(Assigner::Session { gap: millis(gap) })
    }

    /// Shifts the windows, which otherwise lie at whole multiples of their length from 1970; sessions
    /// have no such place.
    pub fn offset(self, shift: Duration) -> Window {
        let offset = millis(shift);
        Window(match self.0 {
            Assigner::Tumble { size, .. } => Assigner::Tumble { size, offset },
            Assigner::Hop { size, slide, .. } => Assigner::Hop { size, slide, offset },
            Assigner::Cumulate { size, step, .. } => Assigner::Cumulate { size, step, offset },
            other => other,
        })
    }

    pub(crate) fn check(self) -> Result<()> {
        let fits = match self.0 {
            Assigner::Hop { size, slide: part, .. }
            | Assigner::Cumulate { size, step: part, .. } => {
                part > 0 && size > 0 && size % part == 0
            }
            Assigner::Session { gap } => gap > 0,
            assigner => assigner.slice() > 0,
        };
        match fits {
            true => Ok(()),
            false => Err(Error::invalid(format!("there are no windows {} (in ms)", self.0)).remedy(
                "lengths are a millisecond at least, and a size is a multiple of its slide or step",
            )),
        }
    }
}

pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Rows in groups and windows.
pub struct Windowed<'j, T, K> {
    keyed: Keyed<'j, T, K>,
    /// Where windows lie; `None` for one of all time.
    window: Option<Windows<T>>,
    /// What they send, if anything was said of it.
    panes: Option<Panes>,
    late: Option<Late<'j, T>>,
}

impl<'j, T: Record, K: Key> Keyed<'j, T, K> {
    /// Groups rows by windows, too. The time should be the one that the source's watermark follows.
    pub fn window(
        self,
        window: Window,
        time: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
    ) -> Windowed<'j, T, K> {
        let window = Some(Windows::Of(window.0, Arc::new(time)));
        Windowed { keyed: self, window, panes: None, late: None }
    }

    /// Groups rows by windows of the clock, too: a row is of the window in which it is processed, and none is
    /// late.
    pub fn clock_window(self, window: Window) -> Windowed<'j, T, K> {
        let window = Some(Windows::Clock(window.0));
        Windowed { keyed: self, window, panes: None, late: None }
    }

    /// Groups rows by windows of the user's own, too.
    pub fn user_windows(self, windows: UserWindows<T>) -> Windowed<'j, T, K> {
        let window = Some(Windows::User(Arc::new(windows)));
        Windowed { keyed: self, window, panes: None, late: None }
    }

    /// Lets there be one window of all time, which is complete at the end of the input; its
    /// [`trigger`](Windowed::trigger) says when it sends panes before.
    pub fn global(self) -> Windowed<'j, T, K> {
        Windowed { keyed: self, window: None, panes: Some(on_time()), late: None }
    }
}

impl<'j, T: Record, K: Key> Windowed<'j, T, K> {
    /// Says when a window sends a pane; without it when it is complete, and for each epoch in which late
    /// rows came that are allowed.
    pub fn trigger(mut self, trigger: impl Into<Trigger>) -> Self {
        self.panes_mut().trigger = trigger.into().0;
        self
    }

    /// Lets a pane have the rows that came since the last one.
    pub fn discarding(mut self) -> Self {
        self.panes_mut().accumulation = Accumulation::Discarding;
        self
    }

    /// Lets a pane have all rows so far. It is what panes have if nothing is said.
    pub fn accumulating(mut self) -> Self {
        self.panes_mut().accumulation = Accumulation::Accumulating;
        self
    }

    /// Lets a pane have all rows so far, and take the last one back: the result is updated, and has one
    /// row for each window.
    pub fn retracting(mut self) -> Self {
        self.panes_mut().accumulation = Accumulation::Retracting;
        self
    }

    /// Takes rows until the watermark is so far behind the end of their window.
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.panes_mut().lateness = lateness;
        self
    }

    /// Lets windows go by the rows of their key alone: one is complete when the newest row of its key is
    /// `behind` past its end, whatever other keys do, and when the input ends. What reads the result waits for
    /// that end.
    pub fn own_time(mut self, behind: Duration) -> Self {
        self.panes_mut().own_time = Some(OwnTime { column: 0, behind, ttl: None });
        self
    }

    /// As [`own_time`](Windowed::own_time), and ends a key whose time did not go on for `ttl`, by the clock of the
    /// machine: its windows are complete, and it is forgotten, so what is kept of keys has a bound. A row that
    /// comes later is the first one of its key, however old it is.
    pub fn own_time_for(self, behind: Duration, ttl: Duration) -> Self {
        let mut windowed = self.own_time(behind);
        if let Some(own) = &mut windowed.panes_mut().own_time {
            own.ttl = Some(ttl);
        }
        windowed
    }

    /// Hands the rows that come later than that to `take`, which says what is done with them; otherwise
    /// they are counted and left out.
    pub fn late_to(mut self, take: impl FnOnce(Stream<'j, T>) -> Result<()> + 'j) -> Self {
        self.late = Some(Box::new(take));
        self
    }

    fn panes_mut(&mut self) -> &mut Panes {
        self.panes.get_or_insert_with(on_time)
    }

    /// Aggregates the rows of each group and window. The fields of `U` are start and end of the window,
    /// the key's, and the aggregates' in order; [`global`](Keyed::global) windows have no start and end.
    /// If the last field is a [`Pane`](crate::Pane), it says what the pane is. As for state and `name`,
    /// see [`Keyed::aggregate`].
    ///
    /// # Errors
    /// As [`Keyed::aggregate`]; `Invalid` if there are no such windows, or no such trigger.
    pub fn aggregate<U: Record>(
        self,
        name: &str,
        calls: Vec<Aggregate<T>>,
    ) -> Result<Stream<'j, U>> {
        let (keyed, windowing) = self.split(name)?;
        aggregate(keyed, windowing, name, calls)
    }

    /// Makes one row of the rows of each group and window; see [`Keyed::reduce`].
    ///
    /// # Errors
    /// As [`Windowed::aggregate`].
    pub fn reduce(
        self,
        name: impl Into<Reduced<T>>,
        function: impl Fn(T, T) -> T + Send + Sync + 'static,
    ) -> Result<Stream<'j, T>> {
        let (name, call) = name.into().step(function);
        let (keyed, windowing) = self.split(&name)?;
        unpacked(keyed, windowing, &name, call)
    }

    /// Accumulates the rows of each group and window; see [`Keyed::fold`].
    ///
    /// # Errors
    /// As [`Windowed::aggregate`]; `Invalid` for sessions of which there is more to be sent than one result, which
    /// [`combine`](crate::combine) can do.
    pub fn fold<A: Record>(
        self,
        name: &str,
        empty: impl Into<Accumulated<A>>,
        step: impl Fn(A, T) -> A + Send + Sync + 'static,
    ) -> Result<Stream<'j, A>> {
        let (keyed, windowing) = self.split(name)?;
        unpacked(keyed, windowing, name, fold(empty, step))
    }

    /// Accumulates the rows of each group and window of a stream that is updated; see
    /// [`fold_with_undo`](fn@fold_with_undo).
    ///
    /// # Errors
    /// As [`Windowed::aggregate`].
    pub fn fold_with_undo<A: Record>(
        self,
        name: &str,
        empty: impl Into<Accumulated<A>>,
        step: impl Fn(A, T) -> A + Send + Sync + 'static,
        undo: impl Fn(A, T) -> A + Send + Sync + 'static,
    ) -> Result<Stream<'j, A>> {
        let (keyed, windowing) = self.split(name)?;
        unpacked(keyed, windowing, name, fold_with_undo(empty, step, undo))
    }

    fn split(self, name: &str) -> Result<(Keyed<'j, T, K>, Windowing<'j, T>)> {
        let Windowed { keyed, window, mut panes, late } = self;
        if let Some(Windows::Of(assigner, _) | Windows::Clock(assigner)) = &window {
            Window(*assigner).check().map_err(|error| error.context(format!("step `{name}`")))?;
        }
        if let Some(panes) = panes.as_mut().filter(|panes| !panes.lateness.is_zero())
            && let Planned::Watermark { late: late @ None, .. } = &mut panes.trigger
        {
            *late = Some(Box::new(Planned::Epoch));
        }
        Ok((keyed, Windowing { window, panes, late }))
    }
}
