//! Groups: dense numbers for keys, from 0, that tables give and accumulators use.

/// Some groups of a table or an accumulator.
#[derive(Clone, Copy, Debug)]
pub enum Groups<'a> {
    /// Groups 0 to n, in order.
    First(usize),
    /// These groups, in this order.
    At(&'a [u32]),
}

impl Groups<'_> {
    /// Returns how many groups these are.
    pub fn len(&self) -> usize {
        match self {
            Groups::First(count) => *count,
            Groups::At(groups) => groups.len(),
        }
    }

    /// Are these no groups?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `f` with each group's number.
    pub fn for_each(&self, f: impl FnMut(usize)) {
        match self {
            Groups::First(count) => (0..*count).for_each(f),
            Groups::At(groups) => groups.iter().map(|group| *group as usize).for_each(f),
        }
    }
}
