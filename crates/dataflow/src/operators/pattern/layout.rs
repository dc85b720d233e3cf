//! What is noted of a match so far with each of its rows, since conditions ask for it.
//!
//! Invariant: what was given a number keeps it.

use thalweg_plan::pattern::Scope;

/// What is noted with each link: the row of the match; by scope the last link and how many there are; the
/// first links that are asked for; states of aggregates.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) scopes: Vec<Scope>,
    /// Which link of which scope.
    pub(super) firsts: Vec<(usize, usize)>,
    /// The scope of each aggregate.
    pub(super) folds: Vec<usize>,
}

impl Layout {
    /// Returns the number of a scope, which is noted from now on.
    pub(super) fn scope(&mut self, scope: Scope) -> usize {
        let known = self.scopes.iter().position(|known| *known == scope);
        known.unwrap_or_else(|| {
            self.scopes.push(scope);
            self.scopes.len() - 1
        })
    }

    /// Returns the number of the link of a scope behind so many others, which is noted from now on.
    pub(super) fn first(&mut self, scope: usize, offset: usize) -> usize {
        let known = self.firsts.iter().position(|known| *known == (scope, offset));
        known.unwrap_or_else(|| {
            self.firsts.push((scope, offset));
            self.firsts.len() - 1
        })
    }

    /// Returns the number of an aggregate over a scope.
    pub(super) fn fold(&mut self, scope: usize) -> usize {
        self.folds.push(scope);
        self.folds.len() - 1
    }

    /// Returns how many numbers are noted with a link; none where nobody asks.
    pub(super) fn width(&self) -> usize {
        match self.scopes.len() + self.firsts.len() + self.folds.len() {
            0 => 0,
            _ => 1 + 2 * self.scopes.len() + self.firsts.len() + self.folds.len(),
        }
    }

    /// Returns where the first links stand among what is noted.
    pub(super) fn first_at(&self) -> usize {
        1 + 2 * self.scopes.len()
    }

    /// Returns where the states of aggregates stand.
    pub(super) fn fold_at(&self) -> usize {
        self.first_at() + self.firsts.len()
    }
}
