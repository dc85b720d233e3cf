//! When a window is complete: the one rule that firing and lateness share.
//!
//! A watermark `w` claims that no row at or before `w` is still to come. A window `[start, end)`
//! of a column with unit `u` holds times up to `end − 1 u`, so it is complete once
//! `w ≥ end − 1 u`. It fires at the close at which it is complete, and a row is late if its
//! window was complete at the close before. By the wall clock a window is complete once the clock
//! has reached its end, and nothing is late. At the end of all input every window is complete.
//!
//! Windows of a zone lie in its local time, while watermarks and the clock are instants. Such a
//! window is complete once no instant is still to come at which clocks show less than its end: where
//! they are set back it waits until they show its end for the second time.

use arrow::array::Array;
use arrow::compute::min;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use thalweg_plan::window::{TimeBasis, WindowSpec};
use thalweg_types::epoch::Ending;
use thalweg_types::zone::ZonedUnit;
use thalweg_types::{Change, Error, EventTime, Moment, Result};

use super::slices::{Slices, times};
use crate::operator::{Close, Output};

/// Tells complete windows from open ones, as of the last close.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    unit: TimeUnit,
    basis: TimeBasis,
    /// Where windows lie in local time: what turns instants into it.
    zone: Option<ZonedUnit>,
    /// In the time in which windows lie.
    complete: i64,
}

impl Due {
    /// Returns the rule for windows in column `spec.end` of `input`, before any close.
    ///
    /// # Errors
    /// `Internal` if the column is not a timestamp.
    pub fn new(spec: &WindowSpec, input: &SchemaRef) -> Result<Due> {
        match input.fields().get(spec.end).map(|field| field.data_type()) {
            Some(DataType::Timestamp(unit, _)) => {
                let zone = spec.zone.map(|zone| zone.in_unit(*unit));
                Ok(Due { unit: *unit, basis: spec.basis, zone, complete: i64::MIN })
            }
            other => Err(Error::internal(format!("a window ends in a column of type {other:?}"))),
        }
    }

    /// Goes on to a close.
    pub fn close(&mut self, close: &Close) {
        match close.ending {
            Some(Ending::Finish) => self.complete = i64::MAX,
            Some(Ending::Suspend) | None => self.advance(&close.moment),
        }
    }

    /// Goes to the close that a restored state was saved at.
    pub fn restore(&mut self, at: &Moment) {
        self.advance(at);
    }

    fn advance(&mut self, moment: &Moment) {
        // No instant before this one is still to come.
        let next = match (self.basis, moment.watermark) {
            (TimeBasis::Processing, _) => moment.clock.to_unit(self.unit),
            (TimeBasis::Event, EventTime::MIN) => return,
            (TimeBasis::Event, EventTime::MAX) => i64::MAX,
            (TimeBasis::Event, time) => time.to_unit(self.unit).saturating_add(1),
        };
        let complete = match self.zone {
            Some(zone) if next < i64::MAX => zone.least_from(next),
            _ => next,
        };
        self.complete = self.complete.max(complete);
    }

    /// Returns the greatest end of a window that is complete.
    pub fn complete(&self) -> i64 {
        self.complete
    }

    /// Is a row of a window with this end late?
    #[inline]
    pub fn is_late(&self, end: i64) -> bool {
        self.basis == TimeBasis::Event && end <= self.complete
    }

    /// Returns the wall-clock time at which a window with this end fires, if the clock drives it.
    pub fn wake(&self, end: i64) -> Option<EventTime> {
        let instant = || self.zone.map_or(end, |zone| zone.first_past(end));
        (self.basis == TimeBasis::Processing).then(|| EventTime::from_unit(instant(), self.unit))
    }
}

/// Lets the rows in whose windows there is still something to fire.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    start: usize,
    end: usize,
    slices: Slices,
    divert: bool,
}

impl Gate {
    /// Returns the gate before the windows of `spec`; `divert` sends late rows to output 1.
    pub fn new(spec: &WindowSpec, slices: Slices, divert: bool) -> Gate {
        Gate { start: spec.start, end: spec.end, slices, divert }
    }

    /// Returns the rows in time; counts the late ones, and those without a time.
    ///
    /// # Errors
    /// `Internal` if the columns are no timestamps.
    pub fn admit(&self, change: Change, due: &Due, out: &mut Output) -> Result<Change> {
        let starts = times(change.rows.column(self.start))?;
        let ends = times(change.rows.column(self.end))?;
        let has_nulls = starts.null_count() + ends.null_count() > 0;
        // A slice's last window ends no earlier than the slice.
        if !has_nulls && min(&ends).is_none_or(|end| !due.is_late(end)) {
            return Ok(change);
        }
        let is_good = |row: &u32| {
            let row = *row as usize;
            let slice = (ends.value(row), starts.value(row));
            starts.is_valid(row) && ends.is_valid(row) && !due.is_late(self.slices.last_end(slice))
        };
        let (good, late): (Vec<u32>, Vec<u32>) = (0..change.len() as u32).partition(is_good);
        refuse(&change, late, self.divert, out)?;
        if good.len() == change.len() { Ok(change) } else { change.take(&good.into()) }
    }
}

/// Counts late rows of a change, and sends them to output 1 if asked.
///
/// # Errors
/// Whatever Arrow's `take` refuses.
pub fn refuse(change: &Change, late: Vec<u32>, divert: bool, out: &mut Output) -> Result<()> {
    out.count_late(late.len());
    if divert && !late.is_empty() {
        out.send_to(1, change.take(&late.into())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
