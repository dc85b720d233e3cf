//! How far a watermark trails the newest event: by a percentile of the delays of rows seen so far.
//!
//! The delay of a row is what it is older than the newest one that came before it, and 0 for one that is
//! newer than all. Delays are counted in buckets whose width grows with them, as in DDSketch (Masson, Rim
//! and Lee, VLDB 2019), but by the bits of a whole number and so without a logarithm.
//!
//! Invariants: counts are exact, and merge in any order; a percentile is too long by 1/128 at most, never
//! too short, and the same on every machine; a trail depends on the rows of its split alone, and on what
//! was known when that was opened.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use arrow::array::Int64Array;
use serde::{Deserialize, Serialize};
use thalweg_types::{Error, EventTime, Result};

/// A version of [`Trail`] as a stored format; buckets are part of it.
const VERSION: u32 = 1;
/// Bits of a delay that tell buckets apart, behind its highest one.
const DETAIL: u32 = 7;

/// A share of all rows, or of all splits, from 0 to 1, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(u32);

impl Share {
    const WHOLE: u32 = 1_000_000;
    /// All of them.
    pub const ALL: Share = Share(Share::WHOLE);

    /// Returns the rank, from 1, of the first of `count` values that has this share at or before it.
    pub fn rank(self, count: u64) -> u64 {
        let rank = (u128::from(count) * u128::from(self.0)).div_ceil(u128::from(Share::WHOLE));
        u64::try_from(rank).unwrap_or(u64::MAX).max(1)
    }
}

impl FromStr for Share {
    type Err = Error;

    /// Reads `0.95`.
    fn from_str(text: &str) -> Result<Share> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_share = whole.len() <= 1 && part.len() <= 6 && is_number(whole) && is_number(part);
        let share = match is_share && !(whole.is_empty() && part.is_empty()) {
            true => format!("{whole}{part:0<6}").parse().ok(),
            false => None,
        };
        share.filter(|share| (0..=Share::WHOLE).contains(share)).map(Share).ok_or_else(|| {
            Error::invalid(format!("`{text}` is no share"))
                .remedy("write a number from 0 to 1 with at most six digits, such as 0.95")
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / f64::from(Share::WHOLE))
    }
}

/// Delays, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Delays(BTreeMap<u32, u64>);

impl Delays {
    fn add(&mut self, nanos: u64) {
        *self.0.entry(bucket_of(nanos)).or_default() += 1;
    }

    fn merge(&mut self, other: &Delays) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    fn count(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Returns the bucket of a delay; those up to 2⁷ ns have one each.
fn bucket_of(nanos: u64) -> u32 {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(DETAIL + 1);
    (shift << DETAIL) + (nanos >> shift) as u32
}

/// Returns the greatest delay of a bucket.
fn end_of(bucket: u32) -> u64 {
    let shift = (bucket >> DETAIL).saturating_sub(1);
    let least = u64::from(bucket - (shift << DETAIL)) << shift;
    least + ((1 << shift) - 1)
}

/// What is known of the times of a split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    version: u32,
    /// The newest event, in nanoseconds.
    newest: Option<i64>,
    /// The delays of the split's rows.
    own: Delays,
    /// Those of other splits that were known when it was opened.
    before: Delays,
}

impl Default for Trail {
    fn default() -> Trail {
        let (own, before) = (Delays::default(), Delays::default());
        Trail { version: VERSION, newest: None, own, before }
    }
}

impl Trail {
    /// Returns the trail of a split that nobody read from, behind those of others.
    pub fn behind<'t>(others: impl IntoIterator<Item = &'t Trail>) -> Trail {
        let mut trail = Trail::default();
        others.into_iter().for_each(|other| trail.before.merge(&other.own));
        trail
    }

    /// Adds the delays of a split of which nothing else will be known.
    pub fn absorb(&mut self, other: &Trail) {
        self.own.merge(&other.own);
    }

    /// Was a row of the split seen?
    pub fn is_begun(&self) -> bool {
        self.newest.is_some()
    }

    /// Returns how many rows it is made of.
    pub fn count(&self) -> u64 {
        self.own.count() + self.before.count()
    }

    /// Returns the trail of a split that is opened behind this one by the same reader.
    pub fn followed(&self) -> Trail {
        let mut before = self.before.clone();
        before.merge(&self.own);
        Trail { before, ..Trail::default() }
    }

    /// Takes the times of rows, in nanoseconds and in their order; returns the watermark behind them,
    /// which trails the newest by `share` of all delays. NULLs say nothing.
    pub fn take(&mut self, times: &Int64Array, share: Share) -> Option<EventTime> {
        for time in times.iter().flatten() {
            let newest = *self.newest.get_or_insert(time);
            self.own.add(newest.saturating_sub(time).max(0) as u64);
            self.newest = Some(newest.max(time));
        }
        let newest = self.newest?;
        let delay = i64::try_from(self.percentile(share)).unwrap_or(i64::MAX);
        Some(EventTime(newest.saturating_sub(delay)))
    }

    fn percentile(&self, share: Share) -> u64 {
        let rank = share.rank(self.count());
        let mut all = self.before.clone();
        all.merge(&self.own);
        let mut seen = 0;
        let mut found = all.0.iter().skip_while(|(_, count)| {
            seen += **count;
            seen < rank
        });
        found.next().map_or(0, |(bucket, _)| end_of(*bucket))
    }

    /// Returns the trail as it stands in a manifest.
    pub fn store(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    /// Reads a trail of a manifest.
    ///
    /// # Errors
    /// `State` if it is damaged, or of a later version.
    pub fn restore(stored: &serde_json::Value) -> Result<Trail> {
        let trail: std::result::Result<Trail, _> = Trail::deserialize(stored);
        match trail {
            Ok(trail) if trail.version == VERSION => Ok(trail),
            Ok(trail) => Err(Error::state(format!(
                "the delays of a split have version {}, not {VERSION}",
                trail.version
            ))),
            Err(error) => Err(Error::state(format!("the delays of a split are damaged: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests;
