//! Joins as data: which rows meet, what comes out, how long a row is kept.
//!
//! Invariants: keys of both sides have the same types, column by column; a time bound only says what
//! key or condition imply, so that dropping it changes memory and no answer of an inner join.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thalweg_types::Zone;

use crate::function::Condition;
use crate::source::Changes;
use crate::window::TimeBasis;

/// Which rows a join puts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Pairs that match.
    Inner,
    /// Pairs, and rows of the left input that match nothing.
    Left,
    /// Pairs, and rows of the right input that match nothing.
    Right,
    /// Pairs, and rows of both inputs that match nothing.
    Full,
    /// Rows of the left input that match something.
    Semi,
    /// Rows of the left input that match nothing.
    Anti,
}

impl JoinKind {
    /// Are pairs put out?
    pub fn has_pairs(self) -> bool {
        !matches!(self, JoinKind::Semi | JoinKind::Anti)
    }

    /// Returns when a row of the left input is put out by itself.
    pub fn left_alone(self) -> Option<Alone> {
        match self {
            JoinKind::Left | JoinKind::Full | JoinKind::Anti => Some(Alone::Unmatched),
            JoinKind::Semi => Some(Alone::Matched),
            JoinKind::Inner | JoinKind::Right => None,
        }
    }

    /// Returns when a row of the right input is put out by itself.
    pub fn right_alone(self) -> Option<Alone> {
        matches!(self, JoinKind::Right | JoinKind::Full).then_some(Alone::Unmatched)
    }
}

impl fmt::Display for JoinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinKind::Inner => "inner",
            JoinKind::Left => "left outer",
            JoinKind::Right => "right outer",
            JoinKind::Full => "full outer",
            JoinKind::Semi => "semi",
            JoinKind::Anti => "anti",
        })
    }
}

/// When a row is put out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// While it matches something.
    Matched,
    /// While it matches nothing.
    Unmatched,
}

impl Alone {
    /// Is a row with so many matches put out?
    #[inline]
    pub fn is_out(self, matches: u32) -> bool {
        (matches > 0) == (self == Alone::Matched)
    }
}

/// A time column of one side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeColumn {
    /// The column, a timestamp.
    pub column: usize,
    /// Is it the end of a window, whose last time is one unit before?
    pub is_end: bool,
}

/// How far apart in time the rows of a pair can be.
///
/// A pair needs `right − earlier ≤ left ≤ right + later`, in nanoseconds; `None` where nothing is
/// said. So a row of the left input is needed until the watermark passes its time plus `earlier`,
/// one of the right until it passes its time plus `later`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimeBound {
    /// Which time drives it.
    pub basis: TimeBasis,
    /// The left input's time.
    pub left: TimeColumn,
    /// The right input's.
    pub right: TimeColumn,
    /// By how much the left row may be earlier, in nanoseconds.
    pub earlier: Option<i64>,
    /// By how much it may be later, in nanoseconds.
    pub later: Option<i64>,
    /// The zone whose local times both columns are, being ends of windows of instants; `None` if they
    /// are times as the watermark is one.
    pub zone: Option<Zone>,
}

/// As fingerprints of plans have it, which stored states are matched by: without a zone it is not named.
impl fmt::Debug for TimeBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TimeBound { basis, left, right, earlier, later, zone } = self;
        let mut shown = f.debug_struct("TimeBound");
        shown.field("basis", basis).field("left", left).field("right", right);
        shown.field("earlier", earlier).field("later", later);
        if let Some(zone) = zone {
            shown.field("zone", zone);
        }
        shown.finish()
    }
}

impl TimeBound {
    /// Returns by how much rows that come out may be older than the watermark.
    pub fn delay(&self) -> Duration {
        let nanos = |bound: Option<i64>| bound.unwrap_or(0).max(0) as u64;
        Duration::from_nanos(nanos(self.earlier).max(nanos(self.later)))
    }
}

/// A join of two inputs.
///
/// Shapes: out the columns `output`, counted through the left input's and then the right input's; a
/// side that is not there is NULL. `Semi` and `Anti` have columns of the left input only.
#[derive(Clone, Debug)]
pub struct JoinNode {
    /// Which rows come out.
    pub kind: JoinKind,
    /// Columns that must be equal: of the left input, and of the right.
    pub keys: Vec<(usize, usize)>,
    /// Does NULL equal NULL in a key?
    pub is_null_equal: bool,
    /// What else must hold for a pair.
    pub condition: Option<PairCondition>,
    /// The columns that come out.
    pub output: Vec<usize>,
    /// How far apart in time rows of a pair can be, where that bounds what is kept.
    pub bound: Option<TimeBound>,
    /// Do late rows of the left and of the right input go to outputs 1 and 2? Else they are counted only.
    pub divert_late: bool,
    /// How long rows of the left and of the right input are kept, by the clock; `None` for ever.
    pub ttl: [Option<Duration>; 2],
}

/// A condition over pairs.
#[derive(Clone, Debug)]
pub struct PairCondition {
    /// What must be true.
    pub condition: Arc<dyn Condition>,
    /// The columns that it reads, counted as those of [`JoinNode::output`].
    pub columns: Vec<usize>,
}

impl JoinNode {
    /// Does time say when rows of the left input, and of the right, are needed no more?
    pub fn ends(&self) -> [bool; 2] {
        let bound = self.bound.filter(|_| self.is_monotone());
        let ends = |ends: fn(TimeBound) -> Option<i64>| bound.and_then(ends).is_some();
        [ends(|bound| bound.earlier), ends(|bound| bound.later)]
    }

    /// Do two append-only inputs give an append-only result? A row that matches nothing must be known
    /// never to match before it is put out.
    pub fn is_monotone(&self) -> bool {
        let bound = self.bound.as_ref();
        let left_ends = bound.is_some_and(|bound| bound.earlier.is_some());
        let right_ends = bound.is_some_and(|bound| bound.later.is_some());
        let left = self.kind.left_alone() != Some(Alone::Unmatched) || left_ends;
        left && (self.kind.right_alone().is_none() || right_ends)
    }
}

/// A join with the version of a table that counts for each row.
///
/// Shapes: as those of [`JoinNode`], of which only `Inner` and `Left` are used.
#[derive(Clone, Debug)]
pub struct TemporalJoinNode {
    /// Keys, condition and columns.
    pub join: JoinNode,
    /// Which version counts.
    pub versions: Versions,
}

/// Which version of a table counts for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The last one whose time is not later than the row's.
    ByTime {
        /// Column of the rows' time.
        left: usize,
        /// Column of the versions' time.
        right: usize,
        /// What the table's rows say of versions.
        from: VersionSource,
    },
    /// What the table holds in the epoch of the row.
    Current {
        /// Is the table read once, so that rows wait until it is whole?
        waits: bool,
    },
}

/// What the rows of a versioned table say, and which of two versions of a key and a time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionSource {
    /// Each row is a version; the greater one counts.
    Rows,
    /// Each row is a version; the lesser one counts, being the first of the rows of its time.
    Deduplicated,
    /// The row of a key changes; what came later counts. Not [`Changes::Append`].
    Changes(Changes),
}
