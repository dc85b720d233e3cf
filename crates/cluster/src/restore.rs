//! From a manifest to an attempt's beginning: what fits, what is read, who gets what.

use std::collections::BTreeMap;
use std::ops::Range;

use thalweg_plan::Plan;
use thalweg_plan::fingerprint::{accepts, signature};
use thalweg_state::StateReader;
use thalweg_storage::CheckpointLog;
use thalweg_storage::checkpoint::Manifest;
use thalweg_types::{Error, ErrorKind, KeyGroupRange, KeyGroups, NodeId, Result, WorkerId, hash};

/// Checks that `plan` can go on with the state of `manifest`.
///
/// # Errors
/// `State` that names the operator that changed and the ways out.
pub fn check(plan: &Plan, manifest: &Manifest) -> Result<()> {
    if manifest.epoch == 0 {
        return Ok(());
    }
    let refuse = |what: String| {
        Err(Error::state(what).remedy(
            "go back to the job that it was, begin anew with --fresh, or name another --state-dir",
        ))
    };
    for node in &plan.nodes {
        let Some(own) = signature(plan, node) else { continue };
        match manifest.operators.get(node.operator.as_str()) {
            None => {
                return refuse(format!(
                    "the job changed: operator `{}` is not in the saved state",
                    node.operator
                ));
            }
            Some(saved) if !accepts(plan, node, &saved.signature) => {
                return refuse(format!(
                    "the job changed: operator `{}` was `{}` and is now `{own}`",
                    node.operator, saved.signature
                ));
            }
            Some(_) => {}
        }
    }
    let is_there = |name: &str| plan.nodes.iter().any(|node| node.operator.as_str() == name);
    for name in manifest.operators.keys().chain(manifest.sources.keys()) {
        if !is_there(name) {
            return refuse(format!(
                "the job changed: operator `{name}` of the saved state is gone"
            ));
        }
    }
    Ok(())
}

/// Names what all attempts have in common whose state is at `place`: so that one can tell what an
/// earlier one left behind from what another job is writing.
pub fn lineage(place: &str) -> String {
    // A bucket has no canonical name; a directory is there, since the run has locked it.
    let whole = std::fs::canonicalize(place).unwrap_or_else(|_| place.into());
    format!("{:016x}", hash::hash_bytes(whole.as_os_str().as_encoded_bytes()))
}

/// Reads the state of some workers, for each of them by node.
///
/// # Errors
/// `State` if a file is missing or damaged.
pub async fn states(
    plan: &Plan,
    log: &CheckpointLog,
    manifest: &Manifest,
    (groups, workers): (KeyGroups, Range<usize>),
) -> Result<Vec<BTreeMap<NodeId, StateReader>>> {
    let mut states = Vec::new();
    for worker in workers {
        let owned = groups.owned_by(WorkerId(worker));
        let mut own = BTreeMap::new();
        if manifest.epoch > 0 {
            for node in &plan.nodes {
                let saved = state(log, manifest, node.operator.as_str(), owned).await?;
                // Operators without state of their own still learn the restored moment.
                own.insert(node.id, saved.unwrap_or_default());
            }
        }
        states.push(own);
    }
    Ok(states)
}

/// Reads the state of an operator's owned key groups.
async fn state(
    log: &CheckpointLog,
    manifest: &Manifest,
    operator: &str,
    owned: KeyGroupRange,
) -> Result<Option<StateReader>> {
    let Some(saved) = manifest.operators.get(operator) else { return Ok(None) };
    let mut files = Vec::new();
    for chain in saved.chains.iter().filter(|chain| chain.groups.overlaps(owned)) {
        for file in &chain.files {
            files.push(log.get_state(&file.path).await?);
        }
    }
    let opened = StateReader::open(files, owned);
    opened.map(Some).map_err(|error| {
        error.with_kind(ErrorKind::State).context(format!("state of operator `{operator}`"))
    })
}
