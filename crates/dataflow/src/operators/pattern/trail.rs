//! What the threads of a search have mapped: chains of links, whose beginning threads share.
//!
//! What conditions ask of the match so far is noted with each link, so that nobody goes back over the rows
//! of a match to answer: the last link of some variables and how many there are, the first ones that are
//! asked for, and by aggregate the number of its state over the rows up to there, once that was asked for.
//!
//! Invariants: a link stands behind those before it; all notes about a link are of it and those before it,
//! and do not change, save that a state becomes known.

use thalweg_plan::pattern::VariableId;

use super::layout::Layout;
use super::program::Program;

/// No link: nothing is mapped yet.
pub(super) const NONE: u32 = u32::MAX;
/// The state of an aggregate that nobody asked for.
const UNKNOWN: u32 = u32::MAX;
/// Links from which on those are dropped that no thread has any more.
const LINKS_MIN: usize = 1024;

/// A row that was mapped, and what before it.
#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    place: u32,
}

/// The links of a search.
#[derive(Debug, Default)]
pub(super) struct Trail {
    links: Vec<Link>,
    /// What is noted with each link, as the layout says.
    notes: Vec<u32>,
    /// Links of which a state is known, some twice.
    known: Vec<u32>,
    links_max: usize,
}

impl Trail {
    /// Forgets all links.
    pub(super) fn clear(&mut self) {
        self.links.clear();
        self.notes.clear();
        self.known.clear();
        self.links_max = LINKS_MIN;
    }

    /// Adds a row at a place behind a link, and returns its link.
    pub(super) fn push(&mut self, program: &Program, place: u32, before: u32) -> u32 {
        let link = self.links.len() as u32;
        self.links.push(Link { before, place });
        let (layout, width) = (&program.layout, program.layout.width());
        if width > 0 {
            self.note(layout, program.places[place as usize].variable, link);
        }
        link
    }

    fn note(&mut self, layout: &Layout, variable: VariableId, link: u32) {
        let (width, start) = (layout.width(), self.notes.len());
        match self.links[link as usize].before {
            NONE => {
                self.notes.resize(start + width, NONE);
                let counts = (0..layout.scopes.len()).map(|scope| 2 + 2 * scope);
                counts.for_each(|count| self.notes[start + count] = 0);
            }
            before => {
                let before = before as usize * width;
                self.notes.extend_from_within(before..before + width);
            }
        }
        let notes = &mut self.notes[start..];
        // Before the first row there is none, which is the number before 0.
        notes[0] = notes[0].wrapping_add(1);
        for (scope, of) in layout.scopes.iter().enumerate() {
            if of.contains(variable) {
                notes[1 + 2 * scope] = link;
                notes[2 + 2 * scope] += 1;
            }
        }
        for (first, (scope, offset)) in layout.firsts.iter().enumerate() {
            let is_it = layout.scopes[*scope].contains(variable);
            if is_it && notes[2 + 2 * scope] as usize == offset + 1 {
                notes[layout.first_at() + first] = link;
            }
        }
        notes[layout.fold_at()..].fill(UNKNOWN);
    }

    fn noted(&self, layout: &Layout, link: u32, at: usize) -> u32 {
        self.notes[link as usize * layout.width() + at]
    }

    /// Returns the place of the pattern of a link.
    pub(super) fn place(&self, link: u32) -> u32 {
        self.links[link as usize].place
    }

    /// Returns which row of the match a link is.
    pub(super) fn row(&self, layout: &Layout, link: u32) -> usize {
        self.noted(layout, link, 0) as usize
    }

    /// Returns how many links of a scope there are up to a link.
    pub(super) fn count(&self, layout: &Layout, link: u32, scope: usize) -> usize {
        match link {
            NONE => 0,
            link => self.noted(layout, link, 2 + 2 * scope) as usize,
        }
    }

    /// Returns the link of a scope before which there are so many up to a link, from the end; [`NONE`] if it
    /// is not there.
    pub(super) fn last(&self, layout: &Layout, link: u32, scope: usize, offset: usize) -> u32 {
        if offset >= self.count(layout, link, scope) {
            return NONE;
        }
        let mut found = self.noted(layout, link, 1 + 2 * scope);
        for _ in 0..offset {
            found = self.before(layout, found, scope);
        }
        found
    }

    /// Returns the link of a scope that comes before a link; [`NONE`] if there is none.
    fn before(&self, layout: &Layout, link: u32, scope: usize) -> u32 {
        match self.links[link as usize].before {
            NONE => NONE,
            before => self.noted(layout, before, 1 + 2 * scope),
        }
    }

    /// Returns a first link that is noted; [`NONE`] if it is not there.
    pub(super) fn first(&self, layout: &Layout, link: u32, first: usize) -> u32 {
        match link {
            NONE => NONE,
            link => self.noted(layout, link, layout.first_at() + first),
        }
    }

    /// Finds the last state of an aggregate up to a link which is below `bound`; adds the links of its scope
    /// behind that, from the last one on. Returns `None` if no link has such a state.
    pub(super) fn state(
        &self,
        layout: &Layout,
        (link, fold): (u32, usize),
        bound: u32,
        behind: &mut Vec<u32>,
    ) -> Option<u32> {
        let scope = layout.folds[fold];
        let mut link = self.last(layout, link, scope, 0);
        while link != NONE {
            let state = self.noted(layout, link, layout.fold_at() + fold);
            if state < bound {
                return Some(state);
            }
            behind.push(link);
            link = self.before(layout, link, scope);
        }
        None
    }

    /// Notes the state of an aggregate over the rows up to a link.
    pub(super) fn set_state(&mut self, layout: &Layout, (link, fold): (u32, usize), state: u32) {
        self.notes[link as usize * layout.width() + layout.fold_at() + fold] = state;
        self.known.push(link);
    }

    /// Forgets all states of an aggregate but those that are the last ones up to `heads`; these are given
    /// the numbers from `kept.len()` on, and what they were is added there.
    pub(super) fn keep_states(
        &mut self,
        layout: &Layout,
        (heads, fold): (&[u32], usize),
        kept: &mut Vec<u32>,
    ) {
        let (mut last, mut behind) = (Vec::new(), Vec::new());
        if !self.known.is_empty() {
            for head in heads {
                behind.clear();
                let state = self.state(layout, (*head, fold), UNKNOWN, &mut behind);
                let scope = layout.folds[fold];
                let link = match behind.last() {
                    Some(link) => self.before(layout, *link, scope),
                    None => self.last(layout, *head, scope, 0),
                };
                last.extend(state.map(|state| (link, state)));
            }
        }
        last.sort_unstable();
        last.dedup();
        let (width, at) = (layout.width(), layout.fold_at() + fold);
        for link in &self.known {
            self.notes[*link as usize * width + at] = UNKNOWN;
        }
        for (link, state) in last {
            self.notes[link as usize * width + at] = kept.len() as u32;
            kept.push(state);
        }
    }

    /// Forgets which links have no state any more.
    pub(super) fn tidy_known(&mut self, layout: &Layout) {
        let (width, at) = (layout.width(), layout.fold_at());
        let Trail { known, notes, .. } = self;
        known.sort_unstable();
        known.dedup();
        known.retain(|link| {
            let start = *link as usize * width;
            notes[start + at..start + width].iter().any(|state| *state != UNKNOWN)
        });
    }

    /// Returns the places of the rows up to a link, of which there are so many.
    pub(super) fn chain(&self, last: u32, rows: usize) -> Vec<u32> {
        let mut places = Vec::with_capacity(rows + 1);
        let mut link = last;
        while let Some(Link { before, place }) = self.links.get(link as usize) {
            places.push(*place);
            link = *before;
        }
        places.reverse();
        places
    }

    /// Are there so many links that it is worth dropping some?
    pub(super) fn is_long(&self) -> bool {
        self.links.len() > self.links_max
    }

    /// Drops the links that do not lead to one of `heads`; returns what links are called then, by what they
    /// were called.
    pub(super) fn drop_links(
        &mut self,
        layout: &Layout,
        heads: impl Iterator<Item = u32>,
    ) -> impl Fn(u32) -> u32 + 'static {
        let mut new = vec![NONE; self.links.len()];
        for head in heads {
            let mut link = head;
            while link != NONE && new[link as usize] == NONE {
                new[link as usize] = 0;
                link = self.links[link as usize].before;
            }
        }
        // Links stand behind those before them, so that these have their new numbers already.
        let width = layout.width();
        let (mut kept, mut notes) = (Vec::new(), Vec::new());
        for (old, link) in self.links.iter().enumerate() {
            if new[old] != NONE {
                new[old] = kept.len() as u32;
                let renumbered = |link: u32| new.get(link as usize).copied().unwrap_or(NONE);
                kept.push(Link { before: renumbered(link.before), ..*link });
                let start = notes.len();
                notes.extend_from_slice(&self.notes[old * width..(old + 1) * width]);
                let scopes = (0..layout.scopes.len()).map(|scope| 1 + 2 * scope);
                let firsts = (0..layout.firsts.len()).map(|first| layout.first_at() + first);
                for at in scopes.chain(firsts) {
                    notes[start + at] = renumbered(notes[start + at]);
                }
            }
        }
        self.known.retain_mut(|link| {
            *link = new[*link as usize];
            *link != NONE
        });
        (self.links, self.notes) = (kept, notes);
        self.links_max = LINKS_MIN.max(self.links.len() * 2);
        move |link: u32| new.get(link as usize).copied().unwrap_or(NONE)
    }

    /// Returns about how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
            + (self.notes.capacity() + self.known.capacity()) * 4
    }
}
