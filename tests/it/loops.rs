//! Loops of the typed API over graphs whose edges come and go, after every step against what plain Rust
//! computes of the edges that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use thalweg::Result;
use thalweg::stream::{Context, Enters, Looped, Process, Record, Stream, ValueState};
use thalweg::testkit::{Collected, TestJob, TestRun};

use crate::support::Place;

/// What is said of an edge: the last word on each number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Record)]
struct Edge {
    id: i64,
    from: i64,
    to: i64,
    is_there: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Record)]
struct Label {
    node: i64,
    component: i64,
}

/// Returns the edges that are there, in both directions.
fn both<'j>(edges: Stream<'j, Edge>) -> Result<Stream<'j, Edge>> {
    let there = edges.key_by(|edge| edge.id).latest("edges")?.filter(|edge| edge.is_there);
    Ok(there.flat_map(|edge| [edge, Edge { from: edge.to, to: edge.from, ..edge }]))
}

/// Labels each node that has an edge with the least node of its component.
fn components<'j>(edges: Stream<'j, Edge>) -> Result<Stream<'j, Label>> {
    let both = both(edges)?;
    let own = both.clone().map(|edge| Label { node: edge.from, component: edge.from });
    own.clone().iterate("components", |labels| {
        let (both, own) = (both.enter(&labels)?, own.enter(&labels)?);
        Ok(spread(labels, both).union(own).key_by(|label| label.node).least())
    })
}

/// The same, but each label counts only from a round on that its size decides, so that the order in which
/// labels win is another one.
fn delayed_components<'j>(edges: Stream<'j, Edge>) -> Result<Stream<'j, Label>> {
    let both = both(edges)?;
    let own = both.clone().map(|edge| Label { node: edge.from, component: edge.from });
    let none = own.clone().filter(|_| false);
    none.iterate("components", |labels| {
        let (both, own) = (both.enter(&labels)?, own.enter(&labels)?);
        Ok(spread(labels, both)
            .union(own.delay(|label| 3 * label.component as u32 / 2))
            .key_by(|label| label.node)
            .least())
    })
}

/// The result of a loop as it stands, put together from its changes.
struct Standing<U: Record> {
    result: Collected<U>,
    rows: BTreeMap<U, i64>,
}

impl<U: Record + Ord> Standing<U> {
    fn new(result: Collected<U>) -> Standing<U> {
        Standing { result, rows: BTreeMap::new() }
    }

    /// Returns the rows that are there now, each with how many there are.
    fn now(&mut self, run: &mut TestRun) -> Result<&BTreeMap<U, i64>> {
        for (weight, row) in run.take_changes(&self.result)? {
            *self.rows.entry(row).or_default() += weight;
        }
        self.rows.retain(|_, weight| *weight != 0);
        Ok(&self.rows)
    }
}

/// Random numbers that are the same for the same seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A random graph as its edges come and go.
struct Graph {
    random: Random,
    nodes: u64,
    edges: BTreeMap<i64, Edge>,
}

impl Graph {
    fn new(seed: u64, nodes: u64) -> Graph {
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Graph { random, nodes, edges: BTreeMap::new() }
    }

    /// Changes some edges: new ones, moved ones, and ones that go.
    fn change(&mut self, count: usize) -> Vec<Edge> {
        let changes = (0..count).map(|_| {
            let [id, from, to] =
                [self.nodes * 2, self.nodes, self.nodes].map(|end| self.random.below(end) as i64);
            let edge = Edge { id, from, to, is_there: self.random.below(3) > 0 };
            self.edges.insert(id, edge);
            edge
        });
        changes.collect()
    }

    fn there(&self) -> impl Iterator<Item = &Edge> {
        self.edges.values().filter(|edge| edge.is_there)
    }

    /// Returns what [`components`] must say, by union-find.
    fn components(&self) -> BTreeMap<Label, i64> {
        let mut parents: BTreeMap<i64, i64> = BTreeMap::new();
        fn root(parents: &mut BTreeMap<i64, i64>, mut node: i64) -> i64 {
            while *parents.entry(node).or_insert(node) != node {
                node = parents[&node];
            }
            node
        }
        for edge in self.there() {
            let roots = [edge.from, edge.to].map(|node| root(&mut parents, node));
            // The lesser root stays, so that it is the least node.
            parents.insert(roots[0].max(roots[1]), roots[0].min(roots[1]));
        }
        let nodes: Vec<i64> = parents.keys().copied().collect();
        let label = |node| Label { node, component: root(&mut parents, node) };
        nodes.into_iter().map(label).map(|label| (label, 1)).collect()
    }
}

/// Follows random changes of a graph, and checks the components after each.
fn follows_components(
    seed: u64,
    workers: usize,
    components: for<'j> fn(Stream<'j, Edge>) -> Result<Stream<'j, Label>>,
) -> Result<()> {
    let test = TestJob::new();
    let result = test.collect(components(test.source::<Edge>("edges")?)?)?;
    let (mut run, mut standing) = (test.run(workers)?, Standing::new(result));
    let mut graph = Graph::new(seed, 12);
    for step in 0..12 {
        let changes = graph.change(1 + step % 5);
        run.push_all("edges", &changes)?;
        assert_eq!(standing.now(&mut run)?, &graph.components(), "seed {seed}, step {step}");
    }
    run.finish()
}

#[test]
fn components_follow_edges_that_come_and_go() {
    for seed in 1..=10 {
        for workers in 1..=3 {
            follows_components(seed, workers, components).unwrap();
        }
    }
}

#[test]
fn delays_change_the_way_and_not_the_result() {
    // A key that waits for the wrong rounds would keep what counted before the delayed rows did.
    for seed in 1..=10 {
        for workers in 1..=3 {
            follows_components(seed, workers, delayed_components).unwrap();
        }
    }
}

#[test]
fn a_killed_loop_goes_on_with_its_rounds() {
    // Without the rounds of the state a deletion after the crash would leave labels that only
    // explain each other.
    for seed in 1..=3 {
        let directory = tempfile::tempdir().unwrap();
        let test = TestJob::new().keep_state(directory.path());
        let edges = test.source::<Edge>("edges").unwrap();
        let result = test.collect(components(edges).unwrap()).unwrap();
        let (mut run, mut standing) = (test.run(2).unwrap(), Standing::new(result));
        let mut graph = Graph::new(seed, 12);
        for step in 0..12 {
            let changes = graph.change(1 + step % 5);
            run.push_all("edges", &changes).unwrap();
            let now = standing.now(&mut run).unwrap();
            assert_eq!(now, &graph.components(), "seed {seed}, step {step}");
            if step % 3 == 2 {
                run.crash([3, 1, 2][step / 3 % 3]).unwrap();
            }
        }
        run.finish().unwrap();
    }
}

/// Starts the example of connected components in two processes, over the links of a place.
fn two_processes(place: &Place) -> Child {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/connected-components");
    let mut command = Command::new(program);
    command.args(["--workers", "2", "--processes", "2", "--state-dir", "state", "output"]);
    command.current_dir(place.path("")).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns what published changes of labels amount to.
fn published_labels(place: &Place) -> BTreeMap<Label, i64> {
    let mut labels = BTreeMap::new();
    for (line, times) in place.published("output") {
        let change: serde_json::Value = serde_json::from_str(&line).unwrap();
        for (side, weight) in [("before", -1), ("after", 1)] {
            if let Some(row) = change[side].as_object() {
                let [node, component] =
                    ["station", "component"].map(|name| row[name].as_i64().unwrap());
                *labels.entry(Label { node, component }).or_default() += weight * times as i64;
            }
        }
    }
    labels.retain(|_, weight| *weight != 0);
    labels
}

/// Would fail if rounds, differences or what a loop keeps got lost between processes, or with them.
#[test]
fn a_loop_in_two_processes_that_are_killed_gives_the_components() {
    let (place, mut graph, mut script) = (Place::new(), Graph::new(5, 24), String::new());
    for step in 0..600 {
        let rows = graph.change(1 + step % 5).into_iter().map(|edge| {
            serde_json::json!({"link": edge.id, "from_station": edge.from, "to_station": edge.to,
                "minutes": 1, "is_open": edge.is_there})
        });
        script += &format!("{}\n", serde_json::json!({ "rows": rows.collect::<Vec<_>>() }));
        if step % 10 == 0 {
            script += "{\"checkpoint\": true}\n";
        }
    }
    let links = "examples/connected-components/links.json";
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR")).join(links).exists(),
        "the example reads {links}"
    );
    place.write(links, &script);
    let mut first = two_processes(&place);
    let until = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(place.path("state/manifest")).map_or(0, Iterator::count) < 4 {
        assert!(Instant::now() < until, "no checkpoint within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    first.kill().unwrap();
    // The other process has the same end of the pipe, so that this waits for it, too.
    let killed = first.wait_with_output().unwrap();
    assert!(!killed.status.success(), "the job was over before it could be killed");
    assert_ne!(published_labels(&place), graph.components(), "all was done before the kill");
    let second = two_processes(&place).wait_with_output().unwrap();
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(published_labels(&place), graph.components());
}

/// Returns the edges that are part of a circle, by taking away, again and again, all edges between nodes
/// that cannot belong together. Each time labels are spread along the edges that are left, and then
/// against them: loops in a loop.
fn strong<'j>(edges: Stream<'j, Edge>) -> Result<Stream<'j, Edge>> {
    let there = edges.key_by(|edge| edge.id).latest("edges")?.filter(|edge| edge.is_there);
    let there = there.map(|edge| Edge { id: 0, ..edge });
    there.clone().iterate("strong", |left| {
        let there = there.enter(&left)?;
        let trimmed = trim(left, there.clone(), |edge| edge)?;
        trim(trimmed, there, |edge| Edge { from: edge.to, to: edge.from, ..edge })
    })
}

/// Keeps the edges both of whose ends get the same label, which is the least node that reaches them.
fn trim(edges: Looped<Edge>, all: Looped<Edge>, turned: fn(Edge) -> Edge) -> Result<Looped<Edge>> {
    let edges = edges.map(turned);
    let own = edges
        .clone()
        .flat_map(|edge| [edge.from, edge.to].map(|node| Label { node, component: node }));
    let labels = own.clone().iterate(|labels| {
        let (edges, own) = (edges.enter(&labels)?, own.enter(&labels)?);
        Ok(spread(labels, edges).union(own).key_by(|label| label.node).least())
    })?;
    let at = |end: fn(&Edge) -> i64| {
        let edges = all.clone().map(turned).key_by(end);
        edges.join(labels.clone().key_by(|label| label.node), move |edge: Edge, label: Label| {
            Ends { edge, component: label.component }
        })
    };
    let both = at(|edge| edge.from)
        .key_by(|ends| ends.clone())
        .join(at(|edge| edge.to).key_by(|ends| ends.clone()), move |ends: Ends, _: Ends| {
            turned(ends.edge)
        });
    Ok(both.distinct())
}

#[derive(Clone, Debug, Record)]
struct Ends {
    edge: Edge,
    component: i64,
}

/// Gives each node the labels of those with an edge to it.
fn spread(labels: Looped<Label>, edges: Looped<Edge>) -> Looped<Label> {
    labels.key_by(|label| label.node).join(
        edges.key_by(|edge| edge.from),
        |label: Label, edge: Edge| Label { node: edge.to, component: label.component },
    )
}

/// Returns what [`strong`] must say: the edges from whose end there is a way back.
fn circles(graph: &Graph) -> BTreeMap<Edge, i64> {
    let mut ways: BTreeSet<(i64, i64)> = graph.there().map(|edge| (edge.from, edge.to)).collect();
    loop {
        let further = ways.iter().flat_map(|(from, via)| {
            ways.range((*via, i64::MIN)..=(*via, i64::MAX)).map(|(_, to)| (*from, *to))
        });
        let all: BTreeSet<(i64, i64)> = further.chain(ways.iter().copied()).collect();
        if all.len() == ways.len() {
            break;
        }
        ways = all;
    }
    let edges = graph.there().map(|edge| Edge { id: 0, ..*edge });
    edges.filter(|edge| ways.contains(&(edge.to, edge.from))).map(|edge| (edge, 1)).collect()
}

#[test]
fn loops_within_loops_follow_edges_that_come_and_go() {
    for (seed, workers) in (1..=12).zip([1, 2, 3].into_iter().cycle()) {
        let test = TestJob::new();
        let edges = test.source::<Edge>("edges").unwrap();
        let result = test.collect(strong(edges).unwrap()).unwrap();
        let (mut run, mut standing) = (test.run(workers).unwrap(), Standing::new(result));
        let mut graph = Graph::new(seed, 7);
        for step in 0..10 {
            let changes = graph.change(1 + step % 6);
            run.push_all("edges", &changes).unwrap();
            let now = standing.now(&mut run).unwrap();
            assert_eq!(now, &circles(&graph), "seed {seed}, step {step}");
        }
        run.finish().unwrap();
    }
}

/// How many nodes a component has at the end of an epoch in which that changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Record)]
struct Size {
    component: i64,
    nodes: i64,
}

/// Counts nodes as they come and go, and says how many there are when nothing of the epoch is to come.
struct Counting(ValueState<i64>);

impl Process<i64, Label, Size> for Counting {
    fn row(&self, _: Label, context: &mut Context<'_, i64, Size>) -> Result<()> {
        *self.0.or_default(context) += context.weight();
        context.notify_at_epoch_end();
        Ok(())
    }

    fn epoch_end(&self, context: &mut Context<'_, i64, Size>) -> Result<()> {
        let nodes = self.0.get(context).copied().unwrap_or(0);
        context.send(Size { component: *context.key(), nodes });
        Ok(())
    }
}

#[test]
fn the_end_of_an_epoch_is_told_once_and_when_all_of_it_has_come() {
    // A size that is sent too early counts a part of the rows that workers send each other.
    for (seed, workers) in (1..=6).zip([1, 2, 3].into_iter().cycle()) {
        let test = TestJob::new();
        let labels = components(test.source::<Edge>("edges").unwrap()).unwrap();
        let sizes = labels.key_by(|label| label.component).process("sizes", |setup| {
            setup.take_updates();
            Counting(setup.value::<i64>("nodes"))
        });
        let result = test.collect(sizes.unwrap()).unwrap();
        let (mut run, mut graph) = (test.run(workers).unwrap(), Graph::new(seed, 12));
        let mut known = BTreeMap::new();
        for step in 0..12 {
            run.push_all("edges", &graph.change(1 + step % 5)).unwrap();
            let told = run.take(&result).unwrap();
            let components: BTreeSet<i64> = told.iter().map(|size| size.component).collect();
            assert_eq!(components.len(), told.len(), "seed {seed}, step {step}: {told:?}");
            known.extend(told.into_iter().map(|size| (size.component, size.nodes)));
            known.retain(|_, nodes| *nodes != 0);
            let mut sizes = BTreeMap::new();
            let labels = graph.components();
            labels.keys().for_each(|label| *sizes.entry(label.component).or_default() += 1);
            assert_eq!(known, sizes, "seed {seed}, step {step}");
        }
        run.finish().unwrap();
    }
}
