//! The steps in which frames are computed.
//!
//! Rows that are needed stand in one list; a frame is a range of that list, and so is what enters and
//! what leaves it from one row to the next. Each frame of the functions has steps of its own over the
//! list. Steps of different groups that are the n-th of theirs make up the n-th wave, which can be
//! computed at once.

use std::ops::Range;

use thalweg_plan::node::{OverFunction, OverNode};

use super::partition::Numbers;

/// One step of a group: to the next row, or to the next rows of one time.
#[derive(Clone, Debug)]
pub(super) struct Advance {
    /// Whose aggregates run along.
    pub(super) group: u32,
    /// How many steps of the group there were before it.
    pub(super) wave: u32,
    /// Rows that leave the frame; none if frames reach back to the first row.
    pub(super) leaving: Range<u32>,
    /// Rows that enter the frame.
    pub(super) entering: Range<u32>,
    /// The frame; right only if the list holds frames as a whole.
    pub(super) frame: Range<u32>,
    /// The rows that are computed.
    pub(super) rows: Range<u32>,
}

/// The steps over one frame.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameSteps {
    /// The steps, wave by wave once all are there.
    pub(super) advances: Vec<Advance>,
    /// Groups are numbered below this.
    pub(super) groups: usize,
}

impl FrameSteps {
    /// Brings the steps into the order of their waves; returns the step of each of `rows` rows.
    pub(super) fn in_waves(&mut self, rows: usize) -> Vec<u32> {
        self.advances.sort_by_key(|advance| advance.wave);
        let mut step_of = vec![0; rows];
        for (step, advance) in self.advances.iter().enumerate() {
            step_of[advance.rows.start as usize..advance.rows.end as usize].fill(step as u32);
        }
        step_of
    }
}

/// Steps, and what else is known of the rows of the list.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The steps over each frame of the functions.
    pub(super) frames: Vec<FrameSteps>,
    /// How each row of the list is numbered, if it is computed.
    pub(super) numbers: Vec<Numbers>,
    /// The number of each row that is computed among equal ones, if a function asks for it.
    pub(super) copies: Vec<i64>,
    /// For each function that looks at another row, which one it is, by row of the list.
    pub(super) shifted: Vec<Vec<Option<u32>>>,
}

impl Steps {
    /// Returns no steps.
    pub(super) fn new(node: &OverNode) -> Steps {
        Steps {
            frames: vec![FrameSteps::default(); node.frames().len()],
            shifted: vec![Vec::new(); shifts(node).count()],
            ..Steps::default()
        }
    }
}

/// Returns how far each function looks that looks at another row.
pub(super) fn shifts(node: &OverNode) -> impl Iterator<Item = isize> {
    node.functions.iter().filter_map(|function| match function {
        OverFunction::Shift { by, .. } => Some(*by),
        OverFunction::Aggregate { .. } | OverFunction::Number(_) | OverFunction::Copy => None,
    })
}
