//! Jobs that follow a script: its tables are told of each other, and nothing else is read.

use std::collections::BTreeSet;

use thalweg_plan::{NodeKind, Plan};
use thalweg_types::Result;

use crate::catalog::declared_name;

/// Tells the tables of the job's script which of them it reads, and which are declared.
///
/// # Errors
/// `Invalid` if the job reads something else as well.
pub(super) fn share<'n>(plan: &mut Plan, declared: impl Iterator<Item = &'n str>) -> Result<()> {
    plan.check_script()?;
    if !plan.is_scripted() {
        return Ok(());
    }
    let read = plan.sources().map(|(_, source)| declared_name(&source.table).to_owned());
    let read: BTreeSet<String> = read.collect();
    let known: BTreeSet<String> = declared.map(str::to_owned).chain(read.clone()).collect();
    for node in &mut plan.nodes {
        if let NodeKind::Source(source) = &mut node.kind
            && let Some(among) = source.source.among(&read, &known)
        {
            source.source = among;
        }
    }
    Ok(())
}
