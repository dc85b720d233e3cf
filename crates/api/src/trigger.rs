//! When a window sends a pane, said so that it reads well.

use std::fmt;
use std::time::Duration;

use thalweg_plan::trigger::Trigger as Planned;

/// When a window sends a pane. Triggers are put together from others; what that means is Beam's.
///
/// ```
/// use std::time::Duration;
/// use thalweg_api::Trigger;
///
/// let minute = Duration::from_secs(60);
/// let trigger = Trigger::after_watermark().early(Trigger::every(minute)).late(Trigger::rows(1));
/// assert_eq!(Trigger::from(trigger).to_string(), "watermark, early repeated(every 1 min), late every row");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger(pub(crate) Planned);

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Trigger {
    /// Fires when the watermark passes the end of the window, and at other times that its
    /// [`early`](AfterWatermark::early) and [`late`](AfterWatermark::late) say.
    pub fn after_watermark() -> AfterWatermark {
        AfterWatermark { early: None, late: None }
    }

    /// Fires when so many rows came since the last pane.
    pub fn rows(rows: u64) -> Trigger {
        Trigger(Planned::Rows(rows))
    }

    /// Fires when the clock is so far behind the first row since the last pane.
    pub fn delay(delay: Duration) -> Trigger {
        Trigger(Planned::Delay(delay))
    }

    /// Fires again and again, each time so long behind the first row since the last pane.
    pub fn every(delay: Duration) -> Trigger {
        Trigger::delay(delay).repeated()
    }

    /// Fires when the clock reaches a whole multiple of `period`, counted from 1970 and shifted by
    /// `offset`, behind the first row since the last pane.
    pub fn aligned(period: Duration, offset: Duration) -> Trigger {
        Trigger(Planned::Aligned { period, offset })
    }

    /// Fires at the end of each epoch in which rows came.
    pub fn epoch() -> Trigger {
        Trigger(Planned::Epoch).repeated()
    }

    /// Never fires.
    pub fn never() -> Trigger {
        Trigger(Planned::Never)
    }

    /// Fires when the first of some does.
    pub fn any(triggers: impl IntoIterator<Item = Trigger>) -> Trigger {
        Trigger(Planned::Any(planned(triggers)))
    }

    /// Fires when all of some would.
    pub fn all(triggers: impl IntoIterator<Item = Trigger>) -> Trigger {
        Trigger(Planned::All(planned(triggers)))
    }

    /// Fires when some do, each in its turn, as soon as the one before is finished.
    pub fn in_order(triggers: impl IntoIterator<Item = Trigger>) -> Trigger {
        Trigger(Planned::InOrder(planned(triggers)))
    }

    /// Fires whenever this one does, for ever.
    pub fn repeated(self) -> Trigger {
        Trigger(Planned::Repeated(Box::new(self.0)))
    }

    /// Fires when this one does for the first time.
    pub fn once(self) -> Trigger {
        Trigger(Planned::Once(Box::new(self.0)))
    }

    /// Fires whenever this one does, until `last` did.
    pub fn or_finally(self, last: impl Into<Trigger>) -> Trigger {
        Trigger(Planned::OrFinally(Box::new(self.0), Box::new(last.into().0)))
    }
}

fn planned(triggers: impl IntoIterator<Item = Trigger>) -> Vec<Planned> {
    triggers.into_iter().map(|trigger| trigger.0).collect()
}

/// A trigger that fires when the watermark passes the end of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterWatermark {
    early: Option<Trigger>,
    late: Option<Trigger>,
}

impl AfterWatermark {
    /// Fires before the end of the window, too, whenever `trigger` does.
    pub fn early(self, trigger: impl Into<Trigger>) -> AfterWatermark {
        AfterWatermark { early: Some(trigger.into()), ..self }
    }

    /// Fires behind the end of the window, too, whenever `trigger` does. Without it, rows that are late
    /// and allowed make a pane in each epoch.
    pub fn late(self, trigger: impl Into<Trigger>) -> AfterWatermark {
        AfterWatermark { late: Some(trigger.into()), ..self }
    }
}

impl From<AfterWatermark> for Trigger {
    fn from(AfterWatermark { early, late }: AfterWatermark) -> Trigger {
        let boxed = |trigger: Trigger| Box::new(trigger.0);
        Trigger(Planned::Watermark { early: early.map(boxed), late: late.map(boxed) })
    }
}
