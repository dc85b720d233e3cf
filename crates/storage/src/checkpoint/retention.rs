//! Chooses what may be removed. Pure.
//!
//! Invariant: whatever a kept manifest names stays, and so does every state file of an epoch
//! behind the newest manifest, since it may be in the making.

use std::collections::BTreeSet;

use super::manifest::Manifest;
use super::paths;

/// Manifests that are kept besides the newest.
pub const KEPT: usize = 3;

/// What may be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Numbers of manifests.
    pub manifests: Vec<u64>,
    /// Names of state files.
    pub files: Vec<String>,
}

/// Returns what neither `newest` nor `kept` needs, of what there is.
pub fn garbage(newest: &Manifest, kept: &[Manifest], numbers: &[u64], files: &[String]) -> Garbage {
    let all: Vec<&Manifest> = kept.iter().chain([newest]).collect();
    let kept_numbers: BTreeSet<u64> = all.iter().map(|manifest| manifest.number).collect();
    let named: BTreeSet<&str> =
        all.iter().flat_map(|manifest| manifest.files()).map(|file| file.path.as_str()).collect();
    // Names of state files sort by attempt and epoch.
    let next = paths::state("", newest.attempt, newest.epoch + 1, 0);
    let next = next.rsplit_once('/').map_or("", |(folder, _)| folder);
    let old = |number: &&u64| **number < newest.number && !kept_numbers.contains(number);
    let unused = |file: &&String| file.as_str() < next && !named.contains(file.as_str());
    Garbage {
        manifests: numbers.iter().filter(old).copied().collect(),
        files: files.iter().filter(unused).cloned().collect(),
    }
}

#[cfg(test)]
mod tests;
