//! A set of groups that remembers the order in which they came.

/// Groups of a table: which changed in the open epoch, which since the last snapshot.
///
/// Cost: one look at a flag per insertion; taking the members costs those members alone, however
/// many groups there are.
#[derive(Debug, Default)]
pub struct GroupSet {
    is_in: Vec<bool>,
    groups: Vec<u32>,
}

impl GroupSet {
    /// Adds a group; was it new?
    #[inline]
    pub fn insert(&mut self, group: u32) -> bool {
        let index = group as usize;
        if index >= self.is_in.len() {
            self.is_in.resize((index + 1).next_power_of_two(), false);
        }
        let is_new = !std::mem::replace(&mut self.is_in[index], true);
        if is_new {
            self.groups.push(group);
        }
        is_new
    }

    /// Is a group in the set?
    #[inline]
    pub fn contains(&self, group: u32) -> bool {
        self.is_in.get(group as usize).copied().unwrap_or(false)
    }

    /// Adds several groups.
    pub fn extend(&mut self, groups: &[u32]) {
        for group in groups {
            self.insert(*group);
        }
    }

    /// Returns the members in the order in which they came, and forgets them.
    pub fn take(&mut self) -> Vec<u32> {
        let groups = std::mem::take(&mut self.groups);
        groups.iter().for_each(|group| self.is_in[*group as usize] = false);
        groups
    }

    /// Returns about how many bytes the set takes.
    pub fn bytes(&self) -> usize {
        self.is_in.capacity() + self.groups.capacity() * 4
    }
}
