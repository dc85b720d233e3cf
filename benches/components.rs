//! Connected components of a random graph: the first answer, then edges that come and go one by one.
//!
//! `cargo bench --bench components -- NODES [EDGES [CHANGES]]` prints how long each change takes, from when
//! its epoch is opened until the sink has what it changed, with two workers. Edges are drawn evenly, and so
//! are the edges that go.

use std::fmt::Write;
use std::path::Path;

use thalweg::stream::{Enters, Record, Stream};
use thalweg::{Job, Result, RunOptions};

const WORKERS: usize = 2;

/// What is said of an edge: the last word on each number counts.
#[derive(Clone, Copy, Record)]
struct Edge {
    id: i64,
    from: i64,
    to: i64,
    is_there: bool,
}

#[derive(Clone, Record)]
struct Label {
    node: i64,
    component: i64,
}

fn main() {
    let arguments: Vec<usize> =
        std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let Some(nodes) = arguments.first().copied() else {
        // `cargo test` starts benchmarks without arguments; there is nothing to measure then.
        println!("usage: cargo bench --bench components -- NODES [EDGES [CHANGES]]");
        return;
    };
    let edges = arguments.get(1).copied().unwrap_or(nodes);
    let changes = arguments.get(2).copied().unwrap_or(1_000);
    println!("{nodes} nodes, {edges} edges, {WORKERS} workers");
    measure("edge inserted", Graph::new(nodes, edges), changes, Graph::inserted);
    measure("edge deleted", Graph::new(nodes, edges), changes, Graph::deleted);
}

/// A random graph, by a generator that gives the same numbers each time (xorshift).
struct Graph {
    random: u64,
    nodes: usize,
    edges: Vec<Edge>,
    /// Edges that are there, by their place.
    there: Vec<usize>,
}

impl Graph {
    fn new(nodes: usize, edges: usize) -> Graph {
        let mut graph =
            Graph { random: 0x9e37_79b9_7f4a_7c15, nodes, edges: Vec::new(), there: Vec::new() };
        for _ in 0..edges {
            graph.inserted();
        }
        graph
    }

    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % end as u64) as usize
    }

    /// Adds an edge.
    fn inserted(&mut self) -> Edge {
        let [from, to] = [self.nodes; 2].map(|end| self.below(end) as i64);
        let edge = Edge { id: self.edges.len() as i64, from, to, is_there: true };
        self.there.push(self.edges.len());
        self.edges.push(edge);
        edge
    }

    /// Takes an edge away.
    fn deleted(&mut self) -> Edge {
        let place = self.below(self.there.len());
        Edge { is_there: false, ..self.edges[self.there.swap_remove(place)] }
    }
}

/// Prints how long the first answer takes, and changes of one edge each.
fn measure(name: &str, mut graph: Graph, changes: usize, change: fn(&mut Graph) -> Edge) {
    let folder = tempfile::tempdir().expect("there is room for a script");
    let path = folder.path().join("edges.json");
    let mut script = line(&graph.edges.clone());
    (0..changes).for_each(|_| script += &line(&[change(&mut graph)]));
    std::fs::write(&path, script).expect("there is room for a script");
    let options = RunOptions { workers: WORKERS, ..RunOptions::new("components") };
    let job = thalweg::job();
    components(&job, &path).expect("the job can be planned");
    let outcome = thalweg::run(job, &options).expect("the job runs");
    // The first epoch is the longest, and the last one of the job has no rows.
    let quantile = |share: f64| {
        let rank = (share * changes as f64) / (changes + 2) as f64;
        outcome.epochs.quantile(rank).as_secs_f64() * 1e3
    };
    let first = outcome.epochs.quantile(1.0).as_secs_f64();
    let (half, most, worst) = (quantile(0.5), quantile(0.99), quantile(1.0));
    println!("first answer: {first:.2} s");
    println!(
        "{name}: median {half:.3} ms, 99 of 100 {most:.3} ms, worst {worst:.1} ms of {changes}"
    );
}

/// Writes rows as a line of a script, which is an epoch.
fn line(edges: &[Edge]) -> String {
    let mut rows = String::new();
    for Edge { id, from, to, is_there } in edges {
        let comma = if rows.is_empty() { "" } else { "," };
        write!(rows, "{comma}{{\"id\":{id},\"from\":{from},\"to\":{to},\"is_there\":{is_there}}}")
            .expect("a text takes texts");
    }
    format!("{{\"rows\":[{rows}]}}\n")
}

/// Labels each node that has an edge with the least node of its component.
fn components(job: &Job, script: &Path) -> Result<()> {
    let script = [("path", script.to_str().expect("folders have names of text"))];
    let edges = job.source::<Edge>("edges", "script", &script).stream()?;
    let there = edges.key_by(|edge| edge.id).latest("latest edges")?.filter(|edge| edge.is_there);
    let both: Stream<'_, Edge> =
        there.flat_map(|edge| [edge, Edge { from: edge.to, to: edge.from, ..edge }]);
    let own = both.clone().map(|edge| Label { node: edge.from, component: edge.from });
    // Labels come in by their size, so that few nodes ever pass on one that is not the least.
    let delay = |label: &Label| 64 * (i64::BITS - label.component.leading_zeros());
    let none = own.clone().filter(|_| false);
    let labels = none.iterate("components", |labels| {
        let (both, own) = (both.enter(&labels)?, own.enter(&labels)?);
        Ok(labels
            .key_by(|label| label.node)
            .join(both.key_by(|edge| edge.from), |label: Label, edge: Edge| Label {
                node: edge.to,
                component: label.component,
            })
            .union(own.delay(delay))
            .key_by(|label| label.node)
            .least())
    })?;
    labels.sink("labels", "blackhole", &[])
}
