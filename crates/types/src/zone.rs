//! Time zones: from instants to what clocks show there, and back.
//!
//! An *instant* counts from 1970-01-01 00:00 UTC; a *local time* is what a clock in the zone shows,
//! counted as if that were UTC. Where clocks are set forward, local times are skipped (a gap); where
//! they are set back, local times come twice (an overlap). What always holds:
//! - the rules are part of the program, so that every process and every restart agrees;
//! - a skipped local time is moved forward by the length of the gap, as in `java.time`;
//! - arithmetic saturates: a time from outside may lie anywhere.
//!
//! It does *not* know which zone a session is in.
//!
//! ```
//! use thalweg_types::zone::{Overlap, Zone};
//! let berlin = Zone::named("Europe/Berlin").unwrap().counting(1);
//! let summer_begins = 1_711_846_800; // 2024-03-31 01:00 UTC
//! assert_eq!(berlin.local(summer_begins - 1), summer_begins - 1 + 3_600);
//! assert_eq!(berlin.local(summer_begins), summer_begins + 7_200);
//! let skipped = summer_begins + 3_600 + 1_800; // 02:30 is 03:30
//! assert_eq!(berlin.instant(skipped, Overlap::Earlier), summer_begins + 1_800);
//! ```

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::datatypes::TimeUnit;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::nanos_per;

/// A time zone: a region such as `Europe/Berlin`, or a fixed offset.
#[derive(Clone, Copy)]
pub struct Zone(&'static Rules);

/// Which instant is meant by a local time that comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// The first one, as Java's `ZonedDateTime` has it.
    Earlier,
    /// The second one, as Java's `SimpleDateFormat` has it.
    Later,
}

/// A stretch of time with one offset; it ends where the next one begins.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Its first second.
    from: i64,
    /// Seconds by which local time is ahead of UTC.
    offset: i64,
    /// The first local second that is surely in it, if a repeated one means the earlier instant.
    begins: i64,
    /// The least local second from here on.
    least: i64,
}

/// What is known of a zone. All of its numbers are seconds.
#[derive(Debug)]
struct Rules {
    name: String,
    spans: Vec<Span>,
}

/// Rules are followed to this second, the beginning of the year 3000.
const END: i64 = 32_503_680_000;
/// No offset is larger, in seconds (`java.time.ZoneOffset`).
const OFFSET_MAX: i64 = 18 * 3_600;

/// The rules that were asked for so far: a zone is a reference to its own, so that it can be copied.
/// Bounded by the number of zones.
static KNOWN: Mutex<BTreeMap<String, &'static Rules>> = Mutex::new(BTreeMap::new());

fn known() -> MutexGuard<'static, BTreeMap<String, &'static Rules>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Zone {
    /// Returns the zone without an offset.
    pub fn utc() -> Zone {
        Zone::fixed(0)
    }

    /// Returns the zone that Java calls `name`: `Europe/Berlin`, `UTC`, `Z`, `+02:00`, `UTC-8`,
    /// `GMT+02:00`; `None` if there is none.
    pub fn named(name: &str) -> Option<Zone> {
        if let Some(offset) = offset_of(name) {
            return Some(Zone::fixed(offset));
        }
        if let Some(rules) = known().get(name) {
            return Some(Zone(rules));
        }
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        // Java minds the case.
        let is_exact = zone.iana_name() == Some(name);
        is_exact.then(|| Zone::interned(name.to_owned(), || region(&zone)))
    }

    /// Returns the names of all regions, in order.
    pub fn regions() -> Vec<String> {
        let known = TimeZoneDatabase::bundled();
        let mut names: Vec<String> = known.available().map(|name| name.to_string()).collect();
        names.sort_unstable();
        names
    }

    fn fixed(offset: i64) -> Zone {
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes, seconds) =
            (offset.abs() / 3_600, offset.abs() / 60 % 60, offset.abs() % 60);
        let name = match (offset, seconds) {
            (0, _) => "UTC".to_owned(),
            (_, 0) => format!("{sign}{hours:02}:{minutes:02}"),
            _ => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
        };
        Zone::interned(name, || spans(offset, &[]))
    }

    fn interned(name: String, spans: impl FnOnce() -> Vec<Span>) -> Zone {
        let mut known = known();
        let rules = known.entry(name.clone());
        Zone(rules.or_insert_with(|| Box::leak(Box::new(Rules { name, spans: spans() }))))
    }

    /// Returns its name: the region's, or the offset.
    pub fn name(self) -> &'static str {
        &self.0.name
    }

    /// Are local times and instants the same numbers here?
    pub fn is_utc(self) -> bool {
        matches!(self.0.spans.as_slice(), [Span { offset: 0, .. }])
    }

    /// Returns the zone for times in `unit`.
    pub fn in_unit(self, unit: TimeUnit) -> ZonedUnit {
        self.counting(nanos_per(TimeUnit::Second) / nanos_per(unit))
    }

    /// Returns the zone for times of which a second has `ticks`.
    pub fn counting(self, ticks: i64) -> ZonedUnit {
        ZonedUnit { rules: self.0, ticks }
    }
}

/// Times of one unit in one zone.
#[derive(Clone, Copy, Debug)]
pub struct ZonedUnit {
    rules: &'static Rules,
    /// Units in a second.
    ticks: i64,
}

impl ZonedUnit {
    /// Returns what clocks show at `instant`.
    pub fn local(self, instant: i64) -> i64 {
        let span = self.spans()[self.at(instant)];
        instant.saturating_add(span.offset * self.ticks)
    }

    /// Returns a function that does as [`ZonedUnit::local`]; it remembers where it was asked last,
    /// so that neighbours cost a comparison each.
    pub fn locals(self) -> impl FnMut(i64) -> i64 {
        let (mut known, mut shift) = (Range { start: 0, end: 0 }, 0);
        move |instant| {
            if !known.contains(&instant) {
                let at = self.at(instant);
                known = self.begin(at)..self.begin(at + 1);
                shift = self.spans()[at].offset * self.ticks;
            }
            instant.saturating_add(shift)
        }
    }

    /// Returns the instant at which clocks show `local`.
    pub fn instant(self, local: i64, overlap: Overlap) -> i64 {
        let second = local.div_euclid(self.ticks);
        let begins = |span: &Span| match overlap {
            Overlap::Earlier => span.begins,
            Overlap::Later => span.from.saturating_add(span.offset),
        };
        let behind = self.spans().partition_point(|span| begins(span) <= second);
        let span = self.spans()[behind.saturating_sub(1)];
        local.saturating_sub(span.offset * self.ticks)
    }

    /// Returns the least that clocks show at `instant` or at any time after it.
    pub fn least_from(self, instant: i64) -> i64 {
        let next = self.spans().get(self.at(instant) + 1);
        let later = next.map_or(i64::MAX, |span| span.least.saturating_mul(self.ticks));
        self.local(instant).min(later)
    }

    /// Returns the first instant from which on clocks show nothing below `local`.
    pub fn first_past(self, local: i64) -> i64 {
        let last = local.saturating_sub(1).div_euclid(self.ticks);
        let behind = self.spans().partition_point(|span| span.least <= last);
        let at = behind.saturating_sub(1);
        let reached = local.saturating_sub(self.spans()[at].offset * self.ticks);
        reached.min(self.begin(at + 1))
    }

    fn spans(self) -> &'static [Span] {
        &self.rules.spans
    }

    /// Returns which span holds `instant`.
    fn at(self, instant: i64) -> usize {
        let second = instant.div_euclid(self.ticks);
        self.spans().partition_point(|span| span.from <= second) - 1
    }

    /// Returns the first instant of a span; the end of time behind the last one.
    fn begin(self, at: usize) -> i64 {
        self.spans().get(at).map_or(i64::MAX, |span| span.from.saturating_mul(self.ticks))
    }
}

/// Returns the spans of a region, up to [`END`].
fn region(zone: &TimeZone) -> Vec<Span> {
    let offset = |time| i64::from(zone.to_offset(time).seconds());
    let changes = zone.following(Timestamp::MIN);
    let changes = changes.map(|c| (c.timestamp().as_second(), i64::from(c.offset().seconds())));
    spans(offset(Timestamp::MIN), &changes.take_while(|(from, _)| *from < END).collect::<Vec<_>>())
}

/// Returns the spans of a zone that begins with `offset` and changes to others, each from a second
/// on.
fn spans(mut offset: i64, changes: &[(i64, i64)]) -> Vec<Span> {
    let first = Span { from: i64::MIN, offset, begins: i64::MIN, least: i64::MIN };
    let mut spans = vec![first];
    // A change may be one of names only.
    for (from, new) in changes {
        if *new != offset {
            let begins = from + offset.max(*new);
            spans.push(Span { from: *from, offset: *new, begins, least: from + new });
            offset = *new;
        }
    }
    let mut least = i64::MAX;
    for span in spans.iter_mut().rev() {
        least = least.min(span.least);
        span.least = least;
    }
    spans
}

/// Reads `Z`, `UTC`, `+2`, `-08:00`, `GMT+02:00`; returns the seconds ahead of UTC.
fn offset_of(name: &str) -> Option<i64> {
    if name == "Z" {
        return Some(0);
    }
    let offset = ["UTC", "GMT", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix));
    let offset = match offset {
        Some("") => return Some(0),
        Some(offset) => offset,
        None => name,
    };
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = &offset[1..];
    let parts: Vec<&str> = match digits.contains(':') {
        true => digits.split(':').collect(),
        false if digits.len() == 1 => vec![digits],
        false => digits
            .as_bytes()
            .chunks(2)
            .map(|two| std::str::from_utf8(two).ok())
            .collect::<Option<_>>()?,
    };
    let is_written = |part: &&str| part.len() == 2 || parts.len() == 1;
    if parts.len() > 3 || !parts.iter().all(is_written) {
        return None;
    }
    let mut seconds = 0;
    for (part, (size, bound)) in parts.iter().zip([(3_600, 19), (60, 60), (1, 60)]) {
        let number = part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse::<i64>().ok())?;
        seconds += number.filter(|number| *number < bound)? * size;
    }
    (seconds <= OFFSET_MAX).then_some(sign * seconds)
}

/// A zone is stored under its name.
impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Zone, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("there is no time zone `{name}`"));
        Zone::named(&name).ok_or_else(unknown)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl PartialOrd for Zone {
    fn partial_cmp(&self, other: &Zone) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Zone {
    fn cmp(&self, other: &Zone) -> Ordering {
        self.name().cmp(other.name())
    }
}

#[cfg(test)]
mod tests;
