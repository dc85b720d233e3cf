//! Streams in groups and windows.

use std::sync::Arc;
use std::time::Duration;

use thalweg_plan::window::Assigner;
use thalweg_types::{Error, Result};

use crate::aggregate::Aggregate;
use crate::aggregation::{TimeOf, aggregate};
use crate::keyed::Keyed;
use crate::record::Record;
use crate::scalar::Timestamp;
use crate::stream::Stream;
use crate::value::Key;

/// Which windows rows fall into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(Assigner);

impl Window {
    /// Returns windows side by side.
    pub fn tumble(size: Duration) -> Window {
        Window(Assigner::Tumble { size: millis(size), offset: 0 })
    }

    /// Returns windows of `size` that start every `slide`, of which `size` is a multiple.
    pub fn hop(slide: Duration, size: Duration) -> Window {
        Window(Assigner::Hop { size: millis(size), slide: millis(slide), offset: 0 })
    }

    /// Returns windows that a pause of `gap` ends.
    pub fn session(gap: Duration) -> Window {
        Window(Assigner::Session { gap: millis(gap) })
    }

    fn check(self) -> Result<()> {
        let fits = match self.0 {
            Assigner::Hop { size, slide, .. } => slide > 0 && size > 0 && size % slide == 0,
            Assigner::Session { gap } => gap > 0,
            assigner => assigner.slice() > 0,
        };
        match fits {
            true => Ok(()),
            false => Err(Error::invalid(format!("there are no windows {} (in ms)", self.0))
                .remedy(
                    "lengths are a millisecond at least, and a size is a multiple of its slide",
                )),
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Rows in groups and windows.
pub struct Windowed<'j, T, K> {
    keyed: Keyed<'j, T, K>,
    window: Window,
    time: TimeOf<T>,
}

impl<'j, T: Record, K: Key> Keyed<'j, T, K> {
    /// Groups rows by windows, too. The time should be the one that the source's watermark follows.
    pub fn window(
        self,
        window: Window,
        time: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
    ) -> Windowed<'j, T, K> {
        Windowed { keyed: self, window, time: Arc::new(time) }
    }
}

impl<'j, T: Record, K: Key> Windowed<'j, T, K> {
    /// Aggregates the rows of each group and window, when the watermark has passed its end. The
    /// fields of `U` are start and end of the window, the key's, and the aggregates' in order. As
    /// for state and `name`, see [`Keyed::aggregate`].
    ///
    /// # Errors
    /// `Invalid` if an aggregate cannot take its argument, or `U` is no such row.
    pub fn aggregate<U: Record>(
        self,
        name: &str,
        calls: Vec<Aggregate<T>>,
    ) -> Result<Stream<'j, U>> {
        self.window.check()?;
        aggregate(self.keyed, Some((self.window.0, self.time)), name, calls)
    }
}
