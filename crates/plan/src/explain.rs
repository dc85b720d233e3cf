//! A plan for people: what `EXPLAIN` prints.
//!
//! Invariants: the sink is on top and each operator's inputs are below it; each operator is named
//! by the id under which its state and its statistics stand; an operator that several read is
//! explained once. No line is longer than [`WIDTH`], but for single words that are. It does *not*
//! steer anything: what two processes compare is [`crate::outline`].

mod text;

mod looped;
mod pane;
mod pattern;

mod operator;

mod changes;
mod state;

use std::collections::BTreeSet;

use thalweg_types::NodeId;

use crate::graph::Plan;
use crate::node::{Node, NodeKind};

pub use changes::changes;
pub use operator::{calls, functions};
pub use state::unbounded;

/// Characters of a line.
pub const WIDTH: usize = 100;
/// Characters of a line that are left to words, however deep the tree is.
const WORDS_MIN: usize = 40;

/// Something worth knowing of an operator: a label, and what is known.
pub type Fact = (&'static str, String);

/// Returns the plan as trees, one for each sink, inputs below what reads them.
pub fn explain(plan: &Plan) -> String {
    explain_with(plan, &|_| Vec::new())
}

/// Returns the plan as trees, with further facts of each operator.
pub fn explain_with(plan: &Plan, more: &dyn Fn(&Node) -> Vec<Fact>) -> String {
    let mut tree = Tree { plan, more, explained: BTreeSet::new(), text: String::new() };
    for node in plan.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Sink(_))) {
        tree.add(node.id, "", "");
    }
    tree.text
}

/// Returns what is known of an operator, in the order in which people ask.
fn facts(plan: &Plan, node: &Node) -> Vec<Fact> {
    let mut facts = operator::does(plan, node);
    facts.extend(operator::arrives(plan, node));
    facts.extend(operator::watermark(plan, node));
    facts.extend(state::kept(plan, node));
    facts.extend(operator::leaves(plan, node));
    facts.extend(operator::guarantee(plan, node));
    facts
}

/// A text in the making.
struct Tree<'a> {
    plan: &'a Plan,
    more: &'a dyn Fn(&Node) -> Vec<Fact>,
    explained: BTreeSet<NodeId>,
    text: String,
}

impl Tree<'_> {
    /// Adds an operator and what is below it: `branch` stands before its name, `trunk` before all
    /// that follows.
    fn add(&mut self, id: NodeId, branch: &str, trunk: &str) {
        let node = self.plan.node(id);
        let is_new = self.explained.insert(id);
        let note = match (is_new, node.is_updating) {
            (false, _) => "see above".to_owned(),
            (true, false) => "append".to_owned(),
            (true, true) => changes::by_key(node).unwrap_or_else(|| "updating".to_owned()),
        };
        self.text.push_str(&format!("{branch}{} ({note})\n", node.operator));
        if !is_new {
            return;
        }
        let stem = if node.inputs.is_empty() { "  " } else { "│ " };
        let mut last = "";
        for (label, known) in facts(self.plan, node).into_iter().chain((self.more)(node)) {
            let shown = if label == last { "" } else { label };
            self.fact(&format!("{trunk}{stem}"), shown, &known);
            last = label;
        }
        for (place, input) in node.inputs.iter().enumerate() {
            let (elbow, below) = match place + 1 == node.inputs.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            self.add(input.from, &format!("{trunk}{elbow}"), &format!("{trunk}{below}"));
        }
    }

    /// Adds a fact, in as many lines as it needs.
    fn fact(&mut self, trunk: &str, label: &str, known: &str) {
        let width = WIDTH.saturating_sub(trunk.chars().count() + LABEL + 1).max(WORDS_MIN);
        let lines = text::wrap(known, width);
        for (label, line) in std::iter::once(label).chain(std::iter::repeat("")).zip(lines) {
            self.text.push_str(format!("{trunk}{label:<LABEL$} {line}").trim_end());
            self.text.push('\n');
        }
    }
}

/// Characters of the longest label.
const LABEL: usize = 9;
