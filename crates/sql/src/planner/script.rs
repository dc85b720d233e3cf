//! Jobs that follow a script: its tables are told of each other, and nothing else is read but rows that
//! stand in the query.

use std::collections::BTreeSet;

use thalweg_plan::source::Script;
use thalweg_plan::{NodeKind, Plan};
use thalweg_types::Result;

use crate::catalog::declared_name;

/// Tells the tables of the job's script which of them it reads, and which are declared.
///
/// # Errors
/// `Invalid` if the job reads something else as well.
pub(super) fn share<'n>(plan: &mut Plan, declared: impl Iterator<Item = &'n str>) -> Result<()> {
    let sources = plan.sources().map(|(_, source)| source);
    let mut scripted = sources.filter(|source| source.source.script().is_some()).peekable();
    let Some(name) = scripted.peek().and_then(|first| first.source.script()) else {
        return Ok(());
    };
    let name = name.to_owned();
    let read = scripted.map(|source| declared_name(&source.table).to_owned());
    let read: BTreeSet<String> = read.collect();
    let known = declared.map(str::to_owned).chain(read.clone()).collect();
    let script = Script { name, read, known };
    for node in &mut plan.nodes {
        if let NodeKind::Source(source) = &mut node.kind
            && let Some(among) = source.source.among(&script)
        {
            source.source = among;
        }
    }
    plan.check_script()
}
