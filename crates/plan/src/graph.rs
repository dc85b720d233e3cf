//! The plan: nodes in an order in which each comes after its inputs.
//!
//! Invariants: ids are positions; inputs point backwards; operator ids are unique and depend on
//! the statement alone, not on what stands around it in the script.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;
use std::time::Duration;

use thalweg_types::{DomainId, Error, NodeId, OperatorId, Result};

use crate::aggregate::count;
use crate::distinct::state_fields;
use crate::node::{
    AggregateCall, AggregateNode, CountWindowNode, Exchange, Input, MapNode, Node, NodeKind,
    SessionRowsNode, SourceNode, Stage,
};
use crate::pane::{Accumulation, Panes};
use crate::pattern::MatchNode;
use crate::source::{Changes, bad_record_schema};
use crate::window::{Assigner, TimeBasis, WindowSpec};

/// A dataflow to run: one job.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The nodes; each stands behind its inputs.
    pub nodes: Vec<Node>,
    /// Names of the time domains, by id.
    pub domains: Vec<String>,
}

impl Plan {
    /// Returns node `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Returns the source nodes, in order.
    pub fn sources(&self) -> impl Iterator<Item = (&Node, &SourceNode)> + Clone {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Source(source) => Some((node, source)),
            _ => None,
        })
    }

    /// Does the job follow a script, and not the clock?
    pub fn is_scripted(&self) -> bool {
        self.sources().any(|(_, source)| source.source.script().is_some())
    }

    /// Checks that a job which follows a script reads nothing else: when other rows come depends on
    /// the machine.
    ///
    /// # Errors
    /// `Invalid`, naming the other table.
    pub fn check_script(&self) -> Result<()> {
        let mut sources = self.sources().map(|(_, source)| source);
        let Some(scripted) = sources.clone().find(|source| source.source.script().is_some()) else {
            return Ok(());
        };
        let script = scripted.source.script();
        let Some(other) = sources.find(|source| source.source.script() != script) else {
            return Ok(());
        };
        let (table, of) = (&other.table, script.unwrap_or_default());
        let message = match other.source.script() {
            Some(second) => format!("a job follows one script, not both `{of}` and `{second}`"),
            None => {
                let connector = other.source.connector();
                format!("a job follows the script `{of}`, and reads `{table}` ({connector}), too")
            }
        };
        Err(Error::invalid(message).remedy(
            "put all rows into one script, as tables with the same 'path'; each line names its \"table\"",
        ))
    }

    /// Returns by how much rows that come to `node` may be older than the watermark of its domains.
    pub fn delay_before(&self, node: &Node) -> Duration {
        let inputs = node.inputs.iter();
        inputs.map(|input| self.node(input.from).delay).max().unwrap_or_default()
    }

    /// Can rows be taken back of the output that is `input`? Late rows can be where those in time can.
    pub fn is_updating(&self, input: &Input) -> bool {
        let node = self.node(input.from);
        match (&node.kind, input.port) {
            (_, 0) => node.is_updating,
            (NodeKind::Aggregate(_) | NodeKind::SessionRows(_), _) => {
                self.is_updating(&node.inputs[0])
            }
            (NodeKind::Join(_), side) => self.is_updating(&node.inputs[side - 1]),
            // `OVER` by time, patterns and users' functions read inserts only.
            _ => false,
        }
    }

    /// Returns the schema of output `port` of node `id`.
    pub fn output_schema(&self, id: NodeId, port: usize) -> SchemaRef {
        let node = self.node(id);
        match (&node.kind, port) {
            (_, 0) => node.schema.clone(),
            (
                NodeKind::Aggregate(_)
                | NodeKind::Over(_)
                | NodeKind::Match(_)
                | NodeKind::SessionRows(_),
                _,
            ) => {
                let input = &node.inputs[0];
                self.output_schema(input.from, input.port)
            }
            (NodeKind::Join(_), side) => {
                let input = &node.inputs[side - 1];
                self.output_schema(input.from, input.port)
            }
            (NodeKind::Process(process), side) => process.sides[side - 1].schema.clone(),
            _ => bad_record_schema(),
        }
    }
}

/// As late as rows may be: nothing is complete by the watermark before the input ends.
const DELAY_MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// An aggregation as a way in asks for it.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// The windows; `None` for a running aggregation.
    pub window: Option<WindowSpec>,
    /// Columns of the key.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
    /// Do late rows go to output 1 of the node that judges them?
    pub divert_late: bool,
    /// How long a group of a running aggregation is kept after it was written; `None` for ever.
    pub ttl: Option<Duration>,
    /// What windows send; `None` for one pane when a window is complete, and for an updating result
    /// without windows.
    pub panes: Option<Panes>,
}

/// The nodes of an aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregated {
    /// Its result, on output 0.
    pub result: NodeId,
    /// Late rows, on output 1 of this node.
    pub late: NodeId,
}

/// Builds a plan, node by node.
#[derive(Debug, Default)]
pub struct PlanBuilder {
    plan: Plan,
    statement: String,
    /// How many nodes of each kind this statement has, for stable names.
    counts: BTreeMap<(String, &'static str), usize>,
    /// Nodes that several read: nothing may be added to them.
    shared: BTreeSet<NodeId>,
}

impl PlanBuilder {
    /// Returns a builder of an empty plan.
    pub fn new() -> PlanBuilder {
        PlanBuilder::default()
    }

    /// Names the statement whose nodes follow; state is stored under it.
    pub fn statement(&mut self, name: impl Into<String>) {
        self.statement = name.into();
    }

    /// Adds a time domain.
    pub fn domain(&mut self, name: impl Into<String>) -> DomainId {
        self.plan.domains.push(name.into());
        DomainId(self.plan.domains.len() - 1)
    }

    /// Returns what is built so far.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the finished plan.
    pub fn finish(self) -> Plan {
        self.plan
    }

    /// Adds a node whose result has `schema`.
    pub fn add(&mut self, kind: NodeKind, inputs: Vec<Input>, schema: SchemaRef) -> NodeId {
        let is_updating = match &kind {
            NodeKind::Source(node) => node.changes != Changes::Append,
            NodeKind::Upsert(_) => true,
            NodeKind::Aggregate(node) => match &node.panes {
                Some(panes) => panes.is_updating(),
                None => node.window.is_none() && node.stage != Stage::Partial,
            },
            NodeKind::CountWindow(_)
            | NodeKind::Sort(_)
            | NodeKind::WindowTop(_)
            | NodeKind::TemporalJoin(_)
            | NodeKind::SessionRows(_)
            | NodeKind::Match(_) => false,
            NodeKind::Process(_) => false,
            NodeKind::Loop(node) => {
                !node.is_monotone() || inputs.iter().any(|i| self.plan.node(i.from).is_updating)
            }
            NodeKind::Top(top) => top.final_by.is_none(),
            NodeKind::Over(over) => over.basis.is_none(),
            NodeKind::Join(join) => {
                !join.is_monotone() || inputs.iter().any(|i| self.plan.node(i.from).is_updating)
            }
            _ => inputs.iter().any(|input| self.plan.is_updating(input)),
        };
        let domains: BTreeSet<DomainId> = match &kind {
            NodeKind::Source(source) => source.domain.into_iter().collect(),
            _ => inputs.iter().flat_map(|i| self.plan.node(i.from).domains.clone()).collect(),
        };
        let domains = domains.into_iter().collect();
        let before = inputs.iter().map(|input| self.plan.node(input.from).delay);
        let own = match &kind {
            NodeKind::Join(join) => join.bound.map_or(Duration::ZERO, |bound| bound.delay()),
            NodeKind::Process(process) => process.delay,
            NodeKind::Match(node) => {
                let input = inputs.first().map(|input| &self.plan.node(input.from).schema);
                input.and_then(|input| node.delay(input)).unwrap_or(DELAY_MAX)
            }
            // A late pane is as late as its last row may be.
            NodeKind::Aggregate(AggregateNode { panes: Some(panes), .. }) => match panes.own_time {
                Some(_) => DELAY_MAX,
                None => panes.lateness,
            },
            _ => Duration::ZERO,
        };
        let delay = before.max().unwrap_or_default().saturating_add(own).min(DELAY_MAX);
        let id = NodeId(self.plan.nodes.len());
        let operator = self.operator_id(&kind);
        self.plan.nodes.push(Node {
            id,
            operator,
            kind,
            inputs,
            schema,
            is_updating,
            domains,
            delay,
        });
        id
    }

    /// Says that node `id` has several readers.
    pub fn share(&mut self, id: NodeId) {
        self.shared.insert(id);
    }

    /// Adds a chain of stateless functions; behind another chain that nobody else reads it becomes
    /// part of it.
    pub fn add_map(&mut self, map: MapNode, inputs: Vec<Input>, schema: SchemaRef) -> NodeId {
        let [Input { from, port: 0, exchange: Exchange::Forward }] = inputs.as_slice() else {
            return self.add(NodeKind::Map(map), inputs, schema);
        };
        let from = *from;
        let is_ours = from.0 + 1 == self.plan.nodes.len() && !self.shared.contains(&from);
        match &mut self.plan.nodes[from.0] {
            Node { kind: NodeKind::Map(before), schema: old, .. }
                if is_ours && before.bad_records == map.bad_records =>
            {
                before.transforms.extend(map.transforms);
                *old = schema;
                from
            }
            _ => self.add(NodeKind::Map(map), inputs, schema),
        }
    }

    /// A source and what keeps its keys are named by their table, all else by statement, kind and number.
    fn operator_id(&mut self, kind: &NodeKind) -> OperatorId {
        let place = match kind {
            NodeKind::Source(source) => source.table.clone(),
            NodeKind::Upsert(upsert) => upsert.table.clone(),
            NodeKind::Check(check) => check.table.clone(),
            _ => self.statement.clone(),
        };
        let count = self.counts.entry((place.clone(), kind.name())).or_default();
        *count += 1;
        OperatorId(format!("{place}/{}-{count}", kind.name()))
    }

    /// Adds an aggregation of output 0 of `from`: with a pre-aggregation on each worker before the
    /// exchange where that is possible, and with one worker's share per key group behind it.
    ///
    /// # Errors
    /// `Invalid` if the input is updating, and an aggregate cannot take rows back.
    pub fn aggregate(&mut self, from: NodeId, aggregation: Aggregation) -> Result<Aggregated> {
        let input = self.plan.node(from);
        let (schema, retracts) = (input.schema.clone(), input.is_updating);
        let sessions = aggregation.window.is_some_and(|spec| spec.assigner.is_merging());
        if retracts && sessions {
            return self.changing_sessions(from, aggregation);
        }
        let Aggregation { window, keys, mut calls, divert_late, ttl, panes } = aggregation;
        let ttl = ttl.filter(|_| window.is_none() && panes.is_none());
        let accumulation = panes.as_ref().map(|panes| panes.accumulation);
        if retracts && accumulation == Some(Accumulation::Discarding) {
            return Err(Error::invalid(
                "DISCARDING panes over an updating input are not supported",
            )
            .remedy(
                "write ACCUMULATING or RETRACTING: rows that are taken back were in another pane",
            ));
        }
        let head: Vec<Field> = head_fields(&schema, window.as_ref(), &keys);
        let width = head.len() - keys.len();
        let values = calls.iter().map(|call| call.function.result().as_ref().clone());
        let said = panes.iter().flat_map(|panes| &panes.columns).map(|column| column.field());
        let result: SchemaRef = Arc::new(Schema::new(
            head.iter().cloned().chain(values).chain(said).collect::<Vec<_>>(),
        ));
        if retracts {
            calls = retractable(calls)?;
        }
        // Of partial states nobody can tell which rows of a forgotten group they take back, nor how many
        // rows a trigger has seen.
        let is_mergeable = calls.iter().all(|call| call.function.is_mergeable());
        if sessions || panes.is_some() || (retracts && ttl.is_some()) || !is_mergeable {
            let exchange = exchange_by(keys.clone());
            let stage = Stage::Whole;
            let node =
                AggregateNode { window, keys, calls, stage, divert_late, retracts, ttl, panes };
            let input = Input { from, port: 0, exchange };
            let id = self.add(NodeKind::Aggregate(node), vec![input], result);
            return Ok(Aggregated { result: id, late: id });
        }
        let states = state_fields(&calls, &schema);
        let partial: SchemaRef =
            Arc::new(Schema::new(head.into_iter().chain(states).collect::<Vec<_>>()));
        let second = AggregateNode {
            window: window.map(|w| WindowSpec { start: 0, end: 1, ..w }),
            keys: (width..width + keys.len()).collect(),
            calls: calls.clone(),
            stage: Stage::Final,
            divert_late: false,
            retracts,
            ttl,
            panes: None,
        };
        let stage = Stage::Partial;
        let (ttl, panes) = (None, None);
        let first = AggregateNode { window, keys, calls, stage, divert_late, retracts, ttl, panes };
        let input = Input { from, port: 0, exchange: Exchange::Forward };
        let late = self.add(NodeKind::Aggregate(first), vec![input], partial);
        let exchange = exchange_by(second.keys.clone());
        let input = Input { from: late, port: 0, exchange };
        let result = self.add(NodeKind::Aggregate(second), vec![input], result);
        Ok(Aggregated { result, late })
    }
}

impl PlanBuilder {
    /// Adds what gives rows of output 0 of `from` their sessions, by keys.
    ///
    /// # Errors
    /// `Invalid` if rows are taken back, and sessions are by the wall clock.
    pub fn session_rows(
        &mut self,
        from: NodeId,
        window: WindowSpec,
        keys: Vec<usize>,
        divert_late: bool,
    ) -> Result<NodeId> {
        let input = self.plan.node(from);
        let (schema, retracts) = (input.schema.clone(), input.is_updating);
        if retracts && window.basis == TimeBasis::Processing {
            return Err(Error::invalid("a SESSION window by PROCTIME() over an updating input")
                .remedy("use event time: a row that goes does not say when it came"));
        }
        let exchange = exchange_by(keys.clone());
        let node = SessionRowsNode { window, keys, divert_late, retracts };
        let input = Input { from, port: 0, exchange };
        Ok(self.add(NodeKind::SessionRows(node), vec![input], schema))
    }

    /// Adds an aggregation of sessions whose rows may go again. What an aggregate has of a session does not say
    /// where that falls apart, so the rows wait for the watermark, and are final behind it.
    fn changing_sessions(&mut self, from: NodeId, sessions: Aggregation) -> Result<Aggregated> {
        if sessions.panes.is_some() {
            return Err(Error::invalid(
                "panes of SESSION windows over an updating input are not supported",
            )
            .remedy("leave EMIT out: sessions then come out when the watermark passes them"));
        }
        let Some(spec) = sessions.window else {
            return Err(Error::internal("an aggregation of sessions without windows"));
        };
        let late = self.session_rows(from, spec, sessions.keys.clone(), sessions.divert_late)?;
        let window = Some(WindowSpec { assigner: Assigner::Attached, ..spec });
        let whole = Aggregation { window, divert_late: false, ttl: None, ..sessions };
        let Aggregated { result, .. } = self.aggregate(late, whole)?;
        Ok(Aggregated { result, late })
    }

    /// Adds windows of so many rows of each key, over output 0 of `from`.
    ///
    /// # Errors
    /// `Invalid` if the input is updating, or there are no such windows.
    pub fn count_windows(&mut self, from: NodeId, node: CountWindowNode) -> Result<NodeId> {
        let input = self.plan.node(from);
        if node.size == 0 || node.slide == 0 {
            let windows =
                format!("there are no windows of {} rows every {}", node.size, node.slide);
            return Err(Error::invalid(windows).remedy("use numbers above 0"));
        }
        if input.is_updating {
            return Err(Error::invalid("windows of so many rows over an updating input")
                .remedy("count rows before what updates, or use windows of time"));
        }
        let keys = node.keys.iter().map(|key| input.schema.field(*key).clone());
        let values = node.calls.iter().map(|call| call.function.result().as_ref().clone());
        let schema = Arc::new(Schema::new(keys.chain(values).collect::<Vec<_>>()));
        let input = Input { from, port: 0, exchange: exchange_by(node.keys.clone()) };
        Ok(self.add(NodeKind::CountWindow(node), vec![input], schema))
    }

    /// Adds a search for a pattern in the rows of each partition, over output 0 of `from`.
    ///
    /// # Errors
    /// `Invalid` if the input is updating, or as [`MatchNode::check`].
    pub fn match_rows(&mut self, from: NodeId, node: MatchNode) -> Result<NodeId> {
        let input = self.plan.node(from);
        if input.is_updating {
            return Err(Error::invalid("a search for a pattern in an updating input")
                .remedy("search rows that are only inserted: before what updates, or per window"));
        }
        node.check()?;
        let schema = node.schema(&input.schema)?;
        let input = Input { from, port: 0, exchange: exchange_by(node.partition.clone()) };
        Ok(self.add(NodeKind::Match(node), vec![input], schema))
    }
}

/// Returns calls that can take rows back, and one behind them that counts the rows.
fn retractable(calls: Vec<AggregateCall>) -> Result<Vec<AggregateCall>> {
    let retractable = calls.into_iter().map(|call| {
        if call.function.is_retractable() {
            return Ok(call);
        }
        let function = call.function.retractable().ok_or_else(|| {
            let name = call.function.name().split('(').next().unwrap_or_default().to_uppercase();
            Error::invalid(format!("{name} cannot take rows back, and its input is updating"))
                .remedy("aggregate rows that are only inserted, or per window before")
        })?;
        Ok(AggregateCall { function, ..call })
    });
    let rows =
        AggregateCall { function: count(), arguments: Vec::new(), filter: None, distinct: false };
    retractable.chain([Ok(rows)]).collect()
}

/// Rows without a key go to one worker.
fn exchange_by(keys: Vec<usize>) -> Exchange {
    if keys.is_empty() { Exchange::Global } else { Exchange::ByKey(keys) }
}

/// Returns the window columns, if any, and the key columns.
fn head_fields(schema: &Schema, window: Option<&WindowSpec>, keys: &[usize]) -> Vec<Field> {
    let mut head = Vec::new();
    if let Some(window) = window {
        for (column, name) in [(window.start, "window_start"), (window.end, "window_end")] {
            let kind = schema.field(column).data_type().clone();
            debug_assert!(matches!(kind, DataType::Timestamp(_, _)));
            head.push(Field::new(name, kind, false));
        }
    }
    head.extend(keys.iter().map(|key| schema.field(*key).clone()));
    head
}
