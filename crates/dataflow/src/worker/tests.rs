//! Small jobs from end to end: what their operators and sinks are audited for.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_plan::aggregate::count;
use thalweg_plan::function::Transform;
use thalweg_plan::graph::{Aggregation, PlanBuilder};
use thalweg_plan::node::{
    AggregateCall, BadRecords, Exchange, Input, MapNode, NodeKind, SinkNode, SourceNode, UpsertNode,
};
use thalweg_plan::sink::{Accepts, Committer, Delivery, Sink, SinkWriter, WriterContext};
use thalweg_plan::source::{Changes, Discovery, Offset, Replay, Source, Split, SplitReader};
use thalweg_plan::trail::Share;
use thalweg_plan::{Plan, write};
use thalweg_types::clock::SystemClock;
use thalweg_types::{Change, EventTime, KeyGroups, Moment, NodeId, Place, SplitId};

use super::*;
use crate::audit::claims::{self, Claim, Trust};
use crate::job::{Listener, Start};
use crate::port::{SinkItem, SinkPort, SourceItem, SourcePort};

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A table that the test itself reads and writes, through the ports.
#[derive(Debug)]
struct Table(SchemaRef);

impl Source for Table {
    fn connector(&self) -> &str {
        "test"
    }

    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn replay(&self) -> Replay {
        Replay::None
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn enumerate<'s: 'a, 'k: 'a, 'a>(&'s self, _: &'k [Split]) -> Later<'a, Discovery> {
        Box::pin(async { Err(Error::internal("the ports are fed by hand")) })
    }

    fn reader<'s: 'a, 'p: 'a, 'o: 'a, 'a>(
        &'s self,
        _: &'p Split,
        _: Option<&'o Offset>,
    ) -> Later<'a, Box<dyn SplitReader>> {
        Box::pin(async { Err(Error::internal("the ports are fed by hand")) })
    }
}

impl Sink for Table {
    fn connector(&self) -> &str {
        "test"
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtMostOnce
    }

    fn accepts(&self) -> Accepts {
        Accepts::Changelog
    }

    fn writer<'s: 'a, 'a>(&'s self, _: WriterContext) -> Later<'a, Box<dyn SinkWriter>> {
        Box::pin(async { Err(Error::internal("the ports are read by hand")) })
    }

    fn committer<'s: 'a, 'a>(&'s self) -> Later<'a, Box<dyn Committer>> {
        Box::pin(async { Err(Error::internal("the ports are read by hand")) })
    }
}

/// Hands rows on, and says whether it asks for the time.
#[derive(Debug)]
struct Same(SchemaRef, bool);

impl Transform for Same {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        out.push(input.clone());
        Ok(())
    }

    fn explain(&self) -> String {
        "the same".to_owned()
    }

    fn is_processing_time(&self) -> bool {
        self.1
    }
}

fn from_node(node: NodeId) -> Input {
    Input { from: node, port: 0, exchange: Exchange::Forward }
}

/// Builds a plan over a source of one column, from what `between` puts before its sink.
struct Planning(PlanBuilder);

impl Planning {
    fn plan(changes: Changes, between: impl FnOnce(&mut Planning, NodeId) -> NodeId) -> Plan {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, false)]));
        let mut planning = Planning(PlanBuilder::new());
        planning.0.statement("job");
        let source = SourceNode {
            table: "t".to_owned(),
            source: Arc::new(Table(schema.clone())),
            changes,
            key: Vec::new(),
            domain: None,
            watermark: None,
            idle_timeout: None,
            split_share: Share::ALL,
            alignment: None,
            rows_per_second: None,
            bad_records: BadRecords::Fail,
        };
        let source = planning.0.add(NodeKind::Source(source), Vec::new(), schema);
        let last = between(&mut planning, source);
        let schema = planning.0.plan().node(last).schema.clone();
        let sink = SinkNode { table: "u".to_owned(), sink: Arc::new(Table(schema)) };
        write::add(&mut planning.0, from_node(last), sink).unwrap();
        planning.0.finish()
    }

    /// Counts the rows of each value of the last column.
    fn count(&mut self, before: NodeId) -> NodeId {
        let last = self.0.plan().node(before).schema.fields().len() - 1;
        let call =
            AggregateCall { function: count(), arguments: vec![], filter: None, distinct: false };
        let (keys, calls) = (vec![last], vec![call]);
        let (window, ttl, panes, divert_late) = (None, None, None, false);
        let counted = Aggregation { window, keys, calls, divert_late, ttl, panes };
        self.0.aggregate(before, counted).unwrap().result
    }

    fn map(&mut self, before: NodeId) -> NodeId {
        self.mapped(before, false)
    }

    fn mapped(&mut self, before: NodeId, asks_time: bool) -> NodeId {
        let schema = self.0.plan().node(before).schema.clone();
        let transforms: Vec<Arc<dyn Transform>> = vec![Arc::new(Same(schema.clone(), asks_time))];
        let (bad_records, statement) = (BadRecords::Fail, "job".to_owned());
        let map = MapNode { transforms, bad_records, statement };
        self.0.add(NodeKind::Map(map), vec![from_node(before)], schema)
    }

    fn union(&mut self, before: NodeId) -> NodeId {
        let schema = self.0.plan().node(before).schema.clone();
        self.0.add(NodeKind::Union, vec![from_node(before), from_node(before)], schema)
    }
}

/// What one worker's sink was given, and what ended the job.
#[derive(Default)]
struct Ran {
    rows: Vec<Change>,
    error: Option<Error>,
}

impl Ran {
    /// Returns what went wrong: where, and what.
    fn wrong(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let places = error.places().iter().map(|place| match place {
            Place::Operator { operator, epoch, .. } => format!("{operator}, epoch {epoch}: "),
            _ => String::new(),
        });
        Some(places.collect::<String>() + error.message())
    }
}

/// Runs a plan on one worker, that gets a row of each letter in an epoch of its own; capital ones
/// are taken back.
fn run_epochs(plan: Plan, letters: &str) -> Ran {
    let nodes = plan.nodes.len();
    let (source, sink) = (SourcePort::new(1 << 20), SinkPort::new(1 << 20));
    let sinks = plan.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Sink(_)));
    let seat = Seat {
        sources: [(NodeId(0), source.clone())].into(),
        sinks: sinks.map(|node| (node.id, sink.clone())).collect(),
        state: BTreeMap::new(),
    };
    let error = Arc::new(Mutex::new(None));
    let (failed, closed) = (error.clone(), sink.clone());
    let listener = Listener(Arc::new(move |event| {
        if let Event::Failed(error) = event {
            failed.lock().unwrap().get_or_insert(error);
            closed.close();
        }
    }));
    let job = Job {
        plan: Arc::new(plan),
        fingerprint: 1,
        groups: KeyGroups { count: 8, workers: 1 },
        clock: Arc::new(SystemClock),
        start: Start {
            epoch: Epoch(0),
            clock: EventTime(0),
            watermarks: Vec::new(),
            pending: BTreeMap::new(),
            is_temporary: true,
        },
        first_worker: 0,
        seats: vec![Mutex::new(Some(seat))],
        counters: vec![(0..nodes).map(|_| Arc::default()).collect()],
        epochs: Arc::default(),
        listener,
        commands: Arc::default(),
        flow: Arc::default(),
        premises: Arc::default(),
        stop: Arc::default(),
    };
    let worker = thread::spawn(move || run(Arc::new(job), Fabric::Threads));
    let rows = feed(&source, &sink, letters);
    worker.join().unwrap().unwrap();
    Ran { rows, error: error.lock().unwrap().take() }
}

/// Hands over row by row, each when the one before has come through.
fn feed(source: &SourcePort, sink: &SinkPort, letters: &str) -> Vec<Change> {
    let split = SplitId("all".to_owned());
    let (sequence, watermark) = ("all".to_owned(), EventTime::MIN);
    let opened =
        SourceItem::Opened { split: split.clone(), sequence, number: 0, offset: None, watermark };
    source.push_waiting(opened, 0);
    let mut came = Vec::new();
    for letter in letters.chars() {
        let name: ArrayRef = Arc::new(StringArray::from(vec![letter.to_lowercase().to_string()]));
        let rows = RecordBatch::try_from_iter([("k", name)]).unwrap();
        let rows = match letter.is_uppercase() {
            true => Change::weighted(rows, Int64Array::from(vec![-1])).unwrap(),
            false => Change::append(rows),
        };
        let (split, next) = (split.clone(), Offset(String::new()));
        let (bad, bad_count, watermark, trail, step) = (None, 0, None, None, None);
        source.push_waiting(
            SourceItem::Rows { split, rows, bad, bad_count, next, watermark, trail, step },
            1,
        );
        loop {
            match sink.pop_waiting() {
                Some(SinkItem::Rows(rows)) => came.push(rows),
                Some(SinkItem::EndEpoch(_)) => break,
                Some(_) => {}
                None => return came,
            }
        }
    }
    source.push_waiting(SourceItem::Finished(split), 0);
    source.push_waiting(SourceItem::End, 0);
    while !matches!(sink.pop_waiting(), Some(SinkItem::End) | None) {}
    came
}

fn check(between: impl FnOnce(&mut Planning, NodeId) -> NodeId) {
    let ran = run_epochs(Planning::plan(Changes::Append, between), "aaab");
    assert_eq!(ran.wrong(), None);
    assert!(!ran.rows.is_empty(), "nothing came");
}

/// Would fail if the audit found fault with counts as they are.
#[test]
fn counts_are_collections_at_a_sink() {
    check(|plan, source| plan.count(source));
}

/// As above, where another operator reads them, which is before its exchange, and then one behind it.
#[test]
fn counts_are_collections_at_an_operator() {
    check(|plan, source| {
        let counts = plan.count(source);
        plan.count(counts)
    });
}

/// As above, where a stateless chain reads them.
#[test]
fn counts_are_collections_at_a_chain() {
    check(|plan, source| {
        let counts = plan.count(source);
        plan.map(counts)
    });
}

/// As above, where a union reads them.
#[test]
fn counts_are_collections_at_a_union() {
    check(|plan, source| {
        let counts = plan.count(source);
        plan.union(counts)
    });
}

/// Would fail if an operator that takes a row back twice went unseen, whoever reads what it sends, or if the
/// error did not say where, when, which row and how often.
#[test]
fn a_row_that_is_taken_back_twice_is_found() {
    for (reader, operator) in [
        ("a_sink", "job/Sink-1"),
        ("an_operator", "job/PreAggregate-2"),
        ("a_chain", "job/Map-1"),
        ("a_union", "job/Union-1"),
    ] {
        let test = format!("worker::tests::counts_are_collections_at_{reader}");
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args([&test, "--exact"]).env("THALWEG_PLANT", "retracted-twice");
        let shown = String::from_utf8(output.output().unwrap().stdout).unwrap();
        let wrong = format!("{operator}, epoch 2: input 0 has a row of weight -1: k a, ");
        assert!(shown.contains("1 failed"), "nobody noticed at {reader}: {shown}");
        assert!(shown.contains(&wrong), "it is not told where it was: {shown}");
    }
}

/// Would fail if a debug build refused a changelog that a release takes: what trusts it is not audited once it
/// takes back what never came.
#[test]
fn a_changelog_that_is_trusted_may_be_wrong() {
    let through = |plan: &mut Planning, source| {
        let twice = plan.union(source);
        plan.map(twice)
    };
    let ran = run_epochs(Planning::plan(Changes::Changelog, through), "aBbAA");
    assert_eq!(ran.wrong(), None);
    assert_eq!(ran.rows.len(), 10);
}

/// Returns what is claimed of what `between` puts before the sink of a plan.
fn claimed(changes: Changes, between: impl FnOnce(&mut Planning, NodeId) -> NodeId) -> Claim {
    let plan = Planning::plan(changes, between);
    let claims = claims::of(&plan);
    claims[plan.nodes.last().unwrap().inputs[0].from.0].clone()
}

/// Would fail if something were audited that is no collection, or was left out though it is one.
#[test]
fn what_is_a_collection_is_known() {
    let trusts = |near: &[usize], far: &[usize]| {
        let [near, far] = [near, far].map(|nodes| nodes.iter().map(|node| NodeId(*node)).collect());
        Claim::Rows(Trust { near, far })
    };
    let same = |plan: &mut Planning, from| plan.map(from);
    let clock = |plan: &mut Planning, from| plan.mapped(from, true);
    let count = |plan: &mut Planning, from| plan.count(from);
    let counted_clock = |plan: &mut Planning, from| {
        let shown = plan.mapped(from, true);
        plan.count(shown)
    };
    assert_eq!(claimed(Changes::Append, same), Claim::Inserts);
    assert_eq!(claimed(Changes::Append, clock), Claim::Inserts);
    assert_eq!(claimed(Changes::Append, counted_clock), trusts(&[], &[]));
    assert_eq!(claimed(Changes::Changelog, same), trusts(&[0], &[]));
    assert_eq!(claimed(Changes::Changelog, |plan, from| plan.union(from)), trusts(&[0], &[]));
    assert_eq!(claimed(Changes::Changelog, count), trusts(&[], &[0]));
    assert_eq!(claimed(Changes::Upsert, same), Claim::Other);
    let kept = |plan: &mut Planning, from: NodeId| {
        let schema = plan.0.plan().node(from).schema.clone();
        let node = UpsertNode { table: "t".to_owned(), key: vec![0], ttl: None, diverts: false };
        let input = Input { exchange: Exchange::ByKey(vec![0]), ..from_node(from) };
        plan.0.add(NodeKind::Upsert(node), vec![input], schema)
    };
    assert_eq!(claimed(Changes::Upsert, kept), trusts(&[], &[]));
}
