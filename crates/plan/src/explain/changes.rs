//! How rows of an operator change others, in Flink's letters: `I` inserts, `UB` and `UA` are the
//! halves of an update, `D` deletes.

use super::Fact;
use super::text::columns;
use crate::graph::Plan;
use crate::node::{Node, NodeKind};
use crate::sink::Accepts;
use crate::source::Changes;
use crate::unique;

/// Says how rows of an operator change others, and what tells them apart.
pub fn changes(plan: &Plan, node: &Node) -> Vec<Fact> {
    let how = match by_key(node) {
        Some(by_key) => format!("{by_key}: [I,UA,D]"),
        None if node.is_updating => "changelog: [I,UB,UA,D]".to_owned(),
        None => "append: [I]".to_owned(),
    };
    let keys = unique::keys(plan, node.id).into_iter().filter(|key| !key.is_empty());
    let keys = keys.map(|key| format!("({})", columns(&node.schema, &key)));
    let mut facts = vec![("changes", how)];
    match keys.collect::<Vec<_>>().as_slice() {
        [] => {}
        keys => facts.push(("changes", format!("one row for each {}", keys.join(", or each ")))),
    }
    facts
}

/// Says by which key rows are meant that say only what a row is now.
pub(super) fn by_key(node: &Node) -> Option<String> {
    let key = match &node.kind {
        NodeKind::Source(source) if source.changes == Changes::Upsert => source.key.clone(),
        NodeKind::Compact(compact) => compact.key.clone(),
        NodeKind::Sink(sink) => match sink.sink.accepts() {
            Accepts::Upsert(key) => key,
            Accepts::Append | Accepts::Changelog => return None,
        },
        _ => return None,
    };
    Some(format!("upsert by ({})", columns(&node.schema, &key)))
}
