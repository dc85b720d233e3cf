//! When rows of a join with a time bound can match nothing any more.
//!
//! Invariant: a row goes at the close at which the watermark has passed its time plus what the bound
//! says, and a row is late if the watermark of the close before has passed its time: what it should
//! meet may be gone.
//!
//! Where rows have the ends of windows of a zone, which are local times, a watermark has passed a time once no
//! instant is still to come at which clocks show it or less, as `due.rs` has it for windows: where clocks
//! are set back rows stay until they show it for the second time.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use thalweg_plan::join::{TimeBound, TimeColumn};
use thalweg_plan::window::TimeBasis;
use thalweg_types::epoch::Ending;
use thalweg_types::time::nanos_per;
use thalweg_types::zone::ZonedUnit;
use thalweg_types::{Error, EventTime, Moment, Result};

use super::super::slices::times;
use crate::operator::Close;

/// The time of the last close, by the watermark or the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    basis: TimeBasis,
    /// What turns instants into the time of the rows, where that is local.
    zone: Option<ZonedUnit>,
    /// In the time of the rows.
    time: i64,
}

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

impl Now {
    /// Returns the time before any close.
    pub(super) fn new(basis: TimeBasis) -> Now {
        Now { basis, zone: None, time: i64::MIN }
    }

    /// Returns the time before any close of a join with this bound.
    pub(super) fn of(bound: &TimeBound) -> Now {
        Now { zone: bound.zone.map(|zone| zone.counting(SECOND)), ..Now::new(bound.basis) }
    }

    /// Goes on to a close.
    pub(super) fn close(&mut self, close: &Close) {
        match close.ending {
            Some(Ending::Finish) => self.time = i64::MAX,
            Some(Ending::Suspend) | None => self.advance(&close.moment),
        }
    }

    /// Goes to a moment.
    pub(super) fn advance(&mut self, moment: &Moment) {
        let EventTime(time) = match self.basis {
            TimeBasis::Event => moment.watermark,
            // At a moment, times before it are over.
            TimeBasis::Processing => EventTime(moment.clock.0.saturating_sub(1)),
        };
        let local = match self.zone {
            Some(zone) if time != i64::MIN && time != i64::MAX => zone.least_from(time + 1) - 1,
            _ => time,
        };
        self.time = self.time.max(local);
    }

    /// Returns the time, in nanoseconds.
    pub(super) fn time(&self) -> i64 {
        self.time
    }

    /// Is a row of this time late?
    pub(super) fn is_late(&self, time: i64) -> bool {
        self.basis == TimeBasis::Event && time <= self.time
    }
}

/// The rows of one side by the time until which they are needed.
pub(super) struct Expiry {
    time: TimeColumn,
    /// How much longer than their own time rows are needed; `None` for ever.
    more: Option<i64>,
    by_time: BTreeMap<i64, Vec<u32>>,
    /// For each slot until when its row is needed.
    until: Vec<i64>,
}

impl Expiry {
    /// Returns the expiry of the two sides of a join.
    pub(super) fn of(bound: &TimeBound) -> [Expiry; 2] {
        [(bound.left, bound.earlier), (bound.right, bound.later)].map(|(time, more)| Expiry {
            time,
            more,
            by_time: BTreeMap::new(),
            until: Vec::new(),
        })
    }

    /// Returns the column of the rows' time.
    pub(super) fn column(&self) -> usize {
        self.time.column
    }

    /// Returns the times of rows, in nanoseconds.
    ///
    /// # Errors
    /// `Internal` if the column is no timestamp.
    pub(super) fn times(&self, rows: &RecordBatch) -> Result<Vec<i64>> {
        times_of(self.time, rows)
    }

    /// Notes that the row in `slot` has this time.
    pub(super) fn add(&mut self, slot: u32, time: i64) {
        let Some(more) = self.more else { return };
        let until = time.saturating_add(more);
        let slot_index = slot as usize;
        if slot_index >= self.until.len() {
            self.until.resize((slot_index + 1).next_power_of_two(), i64::MIN);
        }
        self.until[slot_index] = until;
        self.by_time.entry(until).or_default().push(slot);
    }

    /// Returns the slots of rows that nobody needs any more; some may be of rows that went before.
    pub(super) fn due(&mut self, now: &Now) -> Vec<u32> {
        let later = match now.time.checked_add(1) {
            Some(next) => self.by_time.split_off(&next),
            None => BTreeMap::new(),
        };
        let due = std::mem::replace(&mut self.by_time, later);
        let slots = due.into_iter().flat_map(|(until, slots)| {
            let at = &self.until;
            // A slot that was used again has another time.
            slots.into_iter().filter(move |slot| at[*slot as usize] == until).collect::<Vec<_>>()
        });
        slots.collect()
    }

    /// Returns the clock's time at which a row goes.
    pub(super) fn wake(&self, now: &Now) -> Option<EventTime> {
        let first = self.by_time.first_key_value().filter(|_| now.basis == TimeBasis::Processing);
        first.map(|(until, _)| {
            let next = until.saturating_add(1);
            EventTime(now.zone.map_or(next, |zone| zone.first_past(next)))
        })
    }

    /// Returns about how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        self.until.capacity() * 8 + self.by_time.len() * 64 + self.until.len() * 4
    }
}

/// Returns the times of rows, in nanoseconds.
///
/// # Errors
/// `Internal` if the column is no timestamp.
pub(super) fn times_of(column: TimeColumn, rows: &RecordBatch) -> Result<Vec<i64>> {
    let values = rows.column(column.column);
    let DataType::Timestamp(unit, _) = values.data_type() else {
        let kind = values.data_type();
        return Err(Error::internal(format!("the time of a join is of type {kind}")));
    };
    let before = i64::from(column.is_end);
    let nanos = nanos_per(*unit);
    let values = times(values)?;
    let values = values.values().iter();
    Ok(values.map(|time| time.saturating_sub(before).saturating_mul(nanos)).collect())
}
