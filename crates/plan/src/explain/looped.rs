//! Loops for people: what goes round, and what is kept of it.

use super::Fact;
use super::text::columns;
use crate::loops::{LoopNode, LoopStep, Reducing, ScopeId, StepKind};

/// Says what a loop repeats, step by step.
pub(super) fn does(node: &LoopNode) -> Vec<Fact> {
    let bound = node.rounds_max;
    let head = format!("repeats `{}` until nothing changes, {bound} rounds at most", node.name);
    let steps = node.steps.iter().filter_map(|step| {
        let text = described(node, step)?;
        let within = "  ".repeat(node.depth(step.scope) - 1);
        Some(("round", format!("{within}{text}")))
    });
    std::iter::once(("does", head)).chain(steps).collect()
}

/// Says what a step does to rows; `None` for what only moves them.
fn described(node: &LoopNode, step: &LoopStep) -> Option<String> {
    let input = |at: usize| &node.steps[step.inputs[at].0].schema;
    let by = |keys: usize| columns(&step.schema, &(0..keys).collect::<Vec<_>>());
    Some(match &step.kind {
        StepKind::Input(_) | StepKind::Enter | StepKind::Leave => return None,
        StepKind::Variable { .. } if step.scope == ScopeId(0) => return None,
        StepKind::Variable { .. } => "again, until nothing changes:".to_owned(),
        StepKind::Map(transforms) => {
            let steps: Vec<String> = transforms.iter().filter_map(|t| t.describe()).collect();
            match steps.is_empty() {
                true => return None,
                false => steps.join(", then "),
            }
        }
        StepKind::Delay(_) => "lets rows count in later rounds".to_owned(),
        StepKind::Union => "puts rows together".to_owned(),
        StepKind::Join(keys) if keys.columns.is_empty() => {
            "joins each row with each, on one worker".to_owned()
        }
        StepKind::Join(keys) => {
            let (left, right): (Vec<_>, Vec<_>) = keys.columns.iter().copied().unzip();
            format!("joins ({}) = ({})", columns(input(0), &left), columns(input(1), &right))
        }
        StepKind::Reduce { keys, reducing } => match reducing {
            Reducing::Distinct => "keeps one row of equal ones".to_owned(),
            Reducing::Least => format!("keeps the least row of each ({})", by(*keys)),
            Reducing::Greatest => format!("keeps the greatest row of each ({})", by(*keys)),
            Reducing::By(function) => format!("{} of each ({})", function.explain(), by(*keys)),
        },
    })
}

/// Says what a loop keeps.
pub(super) fn keeps(node: &LoopNode) -> Vec<Fact> {
    let is_kept =
        |step: &&LoopStep| matches!(step.kind, StepKind::Join(_) | StepKind::Reduce { .. });
    let steps = node.steps.iter().filter(is_kept).count();
    let text = format!(
        "the rows of {steps} joins and reductions, each with the rounds in which it came and went: \
         grows with the inputs and the result"
    );
    vec![("state", text)]
}
