//! What is claimed of the rows that flow in a plan.
//!
//! A *collection* is what has each row never, once or several times. What operators send is one if what they
//! get is one. That rests on the changelogs that sources hand over: where nothing checks them, they are
//! *trusted*. Sources are *near* as long as there are only stateless functions behind them, unions and loops,
//! and *far* behind the first operator: that has closed an epoch, and all that comes to it was audited, before
//! anything behind it closes it.
//!
//! Partial states of an aggregation are no collection, but trust goes on through them. Nor are these:
//!
//! - What is said of keys: the rows of an upsert source until the operator `Upsert`, and those behind
//!   `Compact`. A retraction names a key there, and not a row.
//! - Changes whose old halves of updates are marked, or left out, for a temporal join.
//! - Late rows of what is updated: the other half may have been in time.
//! - What asks for the wall clock: a row that is taken back later is shown another time. Plans have it only
//!   where a sink by key is told of the key alone (`thalweg_plan::write`).

use std::collections::BTreeSet;

use thalweg_plan::Plan;
use thalweg_plan::connector::OLD_HALF;
use thalweg_plan::join::{VersionSource, Versions};
use thalweg_plan::node::{AggregateNode, Input, Node, NodeKind, Stage};
use thalweg_plan::source::Changes;
use thalweg_types::NodeId;

/// What the rows of an output are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Each is there for good.
    Inserts,
    /// A collection that changes.
    Rows(Trust),
    /// Partial states of an aggregation of such a collection, which are inserted.
    States(Trust),
    /// None, or nobody knows.
    Other,
}

/// The changelogs that must be such, or rows are no collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Sources with no operator in between that audits what comes of them.
    pub near: BTreeSet<NodeId>,
    /// Sources behind such an operator.
    pub far: BTreeSet<NodeId>,
}

impl Trust {
    /// Is nothing trusted?
    pub fn is_empty(&self) -> bool {
        self.near.is_empty() && self.far.is_empty()
    }

    /// Returns what is trusted behind an operator.
    fn behind(mut self) -> Trust {
        self.far.append(&mut self.near);
        self
    }
}

/// Returns what is claimed of the first output of each node.
pub fn of(plan: &Plan) -> Vec<Claim> {
    let (versions, mut claims) = (versions(plan), Vec::new());
    for node in &plan.nodes {
        let inputs = node.inputs.iter().map(|input| of_port(plan, &claims[input.from.0], input));
        let before = all(inputs.collect::<Vec<_>>());
        claims.push(match versions.contains(&node.id) {
            true => Claim::Other,
            false => of_node(plan, node, before),
        });
    }
    claims
}

/// Returns what is claimed of the output that is `input`, of whose node's first output this is `claimed`.
pub fn of_port(plan: &Plan, claimed: &Claim, input: &Input) -> Claim {
    match input.port {
        0 => claimed.clone(),
        _ if plan.is_updating(input) => Claim::Other,
        _ => Claim::Inserts,
    }
}

/// Returns what is claimed of rows of all these together.
pub fn all(claims: impl IntoIterator<Item = Claim>) -> Claim {
    claims.into_iter().fold(Claim::Inserts, |all, claim| match (all, claim) {
        (Claim::Other, _) | (_, Claim::Other) => Claim::Other,
        (Claim::Rows(mut trust), Claim::Rows(more)) => {
            trust.near.extend(more.near);
            trust.far.extend(more.far);
            Claim::Rows(trust)
        }
        (Claim::Inserts, claim) | (claim, Claim::Inserts) => claim,
        (Claim::States(_), _) | (_, Claim::States(_)) => Claim::Other,
    })
}

fn of_node(plan: &Plan, node: &Node, before: Claim) -> Claim {
    let trusts = |near| Claim::Rows(Trust { near, far: BTreeSet::new() });
    match (&node.kind, before) {
        (NodeKind::Source(source), _) => match source.changes {
            Changes::Append => Claim::Inserts,
            Changes::Changelog if !is_marked(node) => trusts([node.id].into()),
            Changes::Changelog | Changes::Upsert => Claim::Other,
        },
        // What leaves the mark out, and no rows.
        (NodeKind::Map(_), _) if is_marked(plan.node(node.inputs[0].from)) => {
            trusts([node.inputs[0].from].into())
        }
        (NodeKind::Upsert(_) | NodeKind::Check(_), _) => trusts(BTreeSet::new()),
        (NodeKind::Compact(_), _) => Claim::Other,
        (NodeKind::Map(_) | NodeKind::Union, before) if !node.is_updating => before,
        (NodeKind::Aggregate(AggregateNode { stage: Stage::Partial, .. }), before) => {
            match before {
                Claim::Rows(trust) => Claim::States(trust.behind()),
                before => before,
            }
        }
        _ if !node.is_updating => Claim::Inserts,
        (NodeKind::Map(map), Claim::Rows(_))
            if map.transforms.iter().any(|transform| transform.is_processing_time()) =>
        {
            Claim::Other
        }
        (_, Claim::Other) => Claim::Other,
        (NodeKind::Map(_) | NodeKind::Union, before) => before,
        (NodeKind::Loop(_), Claim::Rows(trust)) => Claim::Rows(trust),
        (_, Claim::Rows(trust) | Claim::States(trust)) => Claim::Rows(trust.behind()),
        (_, Claim::Inserts) => Claim::Rows(Trust::default()),
    }
}

/// Does a source say which rows are old halves of updates?
fn is_marked(node: &Node) -> bool {
    let NodeKind::Source(source) = &node.kind else { return false };
    source.changes == Changes::Changelog && node.schema.index_of(OLD_HALF).is_ok()
}

/// Returns the nodes between sources of changes and the temporal joins that take these for versions.
fn versions(plan: &Plan) -> BTreeSet<NodeId> {
    let mut found = BTreeSet::new();
    for node in &plan.nodes {
        let NodeKind::TemporalJoin(join) = &node.kind else { continue };
        let Versions::ByTime { from: VersionSource::Changes(_), .. } = join.versions else {
            continue;
        };
        let mut next = plan.node(node.inputs[1].from);
        while matches!(next.kind, NodeKind::Map(_) | NodeKind::Check(_)) && found.insert(next.id) {
            next = plan.node(next.inputs[0].from);
        }
    }
    found
}
