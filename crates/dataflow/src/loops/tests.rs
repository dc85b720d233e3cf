//! Notifications in loops: a checker on random cyclic graphs.
//!
//! Each step passes rows on to wherever the graph leads, over rounds of loops that stand in each other
//! and to other workers, and asks to be told of the end of each of the rounds in which it got some. When
//! it is told, no row of these rounds, or of rounds before, may come any more; in the end it must have
//! been told of all. `THALWEG_GRAPHS` says how many graphs there are.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use thalweg_plan::Plan;
use thalweg_plan::loops::{DEPTH_MAX, ScopeId};
use thalweg_types::clock::SystemClock;
use thalweg_types::{Change, Epoch, EpochInfo, EventTime, KeyGroups, NodeId, Result};
use timely::container::NoopBuilder;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{ConnectLoop, Enter, Feedback, Leave, Probe};
use timely::dataflow::{Scope, Stream};

use super::exit::{Gate, Shared};
use super::logic::{Came, Logic, Sent};
use super::shell::{Flowing, Site, moved, shell};
use super::time::{Path, Rounds, Time};
use crate::book::Book;
use crate::container::{Container, FrameId};
use crate::job::{Job, Listener, Start};

const EPOCHS: u64 = 4;
const WORKERS: usize = 2;
/// How long a graph may take, where milliseconds are enough.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many steps a row goes at most.
const HOPS: i64 = 12;

/// Random numbers that are the same for the same seed (xorshift).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// A step of a random graph.
#[derive(Clone, Debug)]
enum Kind {
    /// Reads some steps of its scope, and the round before of a later one.
    Step {
        from: Vec<usize>,
        later: Option<usize>,
    },
    Enter {
        from: usize,
    },
    Leave {
        from: usize,
    },
}

/// Steps, each with its scope, and the scope around each scope.
#[derive(Clone, Debug)]
struct Graph {
    steps: Vec<(Kind, ScopeId)>,
    scopes: Vec<Option<ScopeId>>,
}

impl Graph {
    fn random(random: &mut Random) -> Graph {
        let mut graph = Graph { steps: Vec::new(), scopes: vec![None] };
        // Stands for the input.
        graph.steps.push((Kind::Step { from: Vec::new(), later: None }, ScopeId(0)));
        graph.fill(ScopeId(0), random);
        graph
    }

    /// Adds steps to a scope that has some, loops within among them; the last one leads back.
    fn fill(&mut self, scope: ScopeId, random: &mut Random) {
        let back = self.steps.len();
        let last = 1 + random.below(3);
        for place in 0..=last {
            let own = self.of(scope);
            let one = own[random.below(own.len())];
            if self.depth(scope) < DEPTH_MAX && random.below(3) == 0 {
                self.scopes.push(Some(scope));
                let inner = ScopeId(self.scopes.len() - 1);
                self.steps.push((Kind::Enter { from: one }, inner));
                self.fill(inner, random);
                let last = self.steps.len() - 1;
                self.steps.push((Kind::Leave { from: last }, scope));
            }
            let own = self.of(scope);
            let mut from = vec![one, own[random.below(own.len())]];
            from.dedup();
            // Nothing is a dead end: such steps are left out of loops, and nobody waits for them.
            let from = if place == last { own } else { from };
            let kind = Kind::Step { from, later: (place == 0).then_some(usize::MAX) };
            self.steps.push((kind, scope));
        }
        let last = self.steps.len() - 1;
        let open = |kind: &&mut (Kind, ScopeId)| {
            matches!(kind.0, Kind::Step { later: Some(usize::MAX), .. })
        };
        if let Some((Kind::Step { later, .. }, _)) = self.steps[back..].iter_mut().find(open) {
            *later = Some(last);
        }
    }

    fn of(&self, scope: ScopeId) -> Vec<usize> {
        (0..self.steps.len()).filter(|step| self.steps[*step].1 == scope).collect()
    }

    fn depth(&self, scope: ScopeId) -> usize {
        1 + self.scopes[scope.0].map_or(0, |around| self.depth(around))
    }
}

/// What went wrong, seen by whichever worker.
type Wrong = Arc<Mutex<Vec<String>>>;

/// Passes rows on, and checks what it is told.
struct Watched {
    step: usize,
    schema: SchemaRef,
    gate: Gate,
    asked: BTreeSet<(u64, Rounds)>,
    told: BTreeSet<(u64, Rounds)>,
    wrong: Wrong,
}

impl Watched {
    fn fail(&self, what: &str) {
        self.wrong.lock().unwrap().push(format!("step {}: {what}", self.step));
    }
}

impl Logic for Watched {
    fn batch(&mut self, _: usize, came: Came, out: &mut Sent) -> Result<()> {
        let epoch = self.gate.open();
        let is_over = |told: &&(u64, Rounds)| {
            epoch < told.0 || (epoch == told.0 && came.rounds.is_within(&told.1))
        };
        if let Some(told) = self.told.iter().find(is_over) {
            self.fail(&format!("rows of {:?} behind the end of {told:?}", came.rounds));
        }
        self.asked.insert((epoch, came.rounds));
        out.wait(came.rounds);
        let rows = came.change.rows.columns().iter();
        let [key, hops] = rows.map(|c| c.as_primitive::<Int64Type>()).collect::<Vec<_>>()[..]
        else {
            panic!("rows have two columns")
        };
        let further = (0..key.len()).filter(|row| hops.value(*row) > 0).map(|row| {
            (
                key.value(row).wrapping_mul(6_364_136_223).wrapping_add(self.step as i64),
                hops.value(row) - 1,
            )
        });
        // Where a graph leads two ways, a row takes one at most in the end.
        let further: Vec<(i64, i64)> =
            further.filter(|(key, hops)| (key >> 7) % 3 > 0 || *hops > HOPS - 4).collect();
        out.send(came.rounds, change(&self.schema, &further));
        Ok(())
    }

    fn close(&mut self, rounds: Rounds, _: &mut Sent) -> Result<()> {
        let at = (self.gate.open(), rounds);
        if !self.asked.remove(&at) {
            self.fail(&format!("told of {at:?}, and never asked"));
        }
        self.told.insert(at);
        Ok(())
    }
}

fn schema() -> SchemaRef {
    let field = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![field("key"), field("hops")]))
}

fn change(schema: &SchemaRef, rows: &[(i64, i64)]) -> Change {
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as _;
    let (keys, hops) = rows.iter().copied().unzip();
    let rows = RecordBatch::try_new(schema.clone(), vec![column(keys), column(hops)]);
    Change::append(rows.unwrap())
}

/// Returns a job of nothing: what steps need of it.
fn job() -> Arc<Job> {
    let epoch = Epoch(0);
    Arc::new(Job {
        plan: Arc::new(Plan::default()),
        fingerprint: 7,
        groups: KeyGroups { count: 64, workers: WORKERS },
        clock: Arc::new(SystemClock),
        start: Start {
            epoch,
            clock: EventTime(0),
            watermarks: Vec::new(),
            pending: Default::default(),
            is_temporary: true,
        },
        first_worker: 0,
        seats: Vec::new(),
        counters: Vec::new(),
        epochs: Default::default(),
        listener: Listener(Arc::new(|_| {})),
        commands: Default::default(),
        flow: Default::default(),
        premises: Default::default(),
        stop: Default::default(),
    })
}

fn info(epoch: u64) -> EpochInfo {
    EpochInfo {
        epoch: Epoch(epoch),
        clock: EventTime(0),
        watermarks: Vec::new(),
        watermarks_before: Vec::new(),
        slowest: Vec::new(),
        intake: Default::default(),
        is_checkpoint: false,
        ending: None,
    }
}

/// Sends some rows in each epoch.
fn source<'scope>(
    scope: Scope<'scope, u64>,
    job: &Arc<Job>,
    mut random: Random,
) -> Stream<'scope, u64, Container> {
    let mut builder = OperatorBuilder::new("Source".to_owned(), scope);
    let (output, stream) = builder.new_output::<Container>();
    let mut output = OutputBuilder::<_, NoopBuilder<Container>>::from(output);
    let sent = job.flow.count(crate::flow::Sender {
        node: NodeId(0),
        worker: thalweg_types::WorkerId(scope.index()),
    });
    let activator = scope.activator_for(builder.operator_info().address);
    builder.build(move |mut capabilities| {
        let mut epoch = 1;
        move |_| {
            let Some(capability) = capabilities.first_mut() else { return };
            capability.downgrade(&epoch);
            let rows: Vec<(i64, i64)> =
                (0..random.below(4)).map(|_| (random.below(1 << 40) as i64, HOPS)).collect();
            if !rows.is_empty() {
                let mut container = Container::new(change(&schema(), &rows), frame(0), &sent);
                let mut output = output.activate();
                output.session_with_builder(&*capability).give_container(&mut container);
            }
            epoch += 1;
            if epoch > EPOCHS {
                capabilities.clear();
            }
            activator.activate();
        }
    });
    stream
}

fn frame(channel: usize) -> FrameId {
    FrameId::new(7, NodeId(0), channel)
}

/// A graph as one worker builds it.
struct Building<'scope> {
    scope: Scope<'scope, Time>,
    job: Arc<Job>,
    book: Book,
    gate: Gate,
    wrong: Wrong,
    built: Vec<Flowing<'scope>>,
    watched: Vec<Rc<RefCell<Watched>>>,
}

/// Lets the test look at what a shell drives.
struct Watching(Rc<RefCell<Watched>>);

impl Logic for Watching {
    fn batch(&mut self, input: usize, came: Came, out: &mut Sent) -> Result<()> {
        self.0.borrow_mut().batch(input, came, out)
    }

    fn close(&mut self, rounds: Rounds, out: &mut Sent) -> Result<()> {
        self.0.borrow_mut().close(rounds, out)
    }
}

impl<'scope> Building<'scope> {
    fn build(&mut self, graph: &Graph, input: Flowing<'scope>) {
        let mut open = Vec::new();
        for (own, (kind, scope)) in graph.steps.iter().enumerate() {
            let depth = graph.depth(*scope);
            let built = match kind {
                Kind::Step { from, .. } if from.is_empty() => input.clone(),
                Kind::Enter { from } => {
                    let from = self.built[*from].clone();
                    Flowing { stream: moved(from.stream, Path::enter(*scope, depth - 1)), ..from }
                }
                Kind::Leave { from } => {
                    let inner = graph.steps[*from].1;
                    let from = self.built[*from].clone();
                    Flowing { stream: moved(from.stream, Path::leave(inner, depth)), ..from }
                }
                Kind::Step { from, later } => {
                    let mut inputs: Vec<_> = from.iter().map(|f| self.built[*f].clone()).collect();
                    if let Some(later) = later {
                        let (handle, stream) = self.scope.feedback(Path::next_round(depth));
                        inputs.push(Flowing {
                            stream,
                            frame: frame(channel(graph, *later)),
                            schema: schema(),
                        });
                        open.push((handle, *later));
                    }
                    self.step(own, depth, inputs)
                }
            };
            self.built.push(built);
        }
        for (handle, later) in open {
            self.built[later].stream.clone().connect_loop(handle);
        }
    }

    fn step(&mut self, own: usize, depth: usize, inputs: Vec<Flowing<'scope>>) -> Flowing<'scope> {
        let watched = Rc::new(RefCell::new(Watched {
            step: own,
            schema: schema(),
            gate: self.gate.clone(),
            asked: BTreeSet::new(),
            told: BTreeSet::new(),
            wrong: self.wrong.clone(),
        }));
        self.watched.push(watched.clone());
        let logic: Shared = Rc::new(RefCell::new(Box::new(Watching(watched))));
        let site = Site {
            job: self.job.clone(),
            worker: self.scope.index(),
            book: self.book.clone(),
            gate: self.gate.clone(),
            counters: Default::default(),
            domains: Vec::new(),
            operator: format!("step {own}"),
            name: "graph".to_owned(),
            rounds_max: 1_000,
            depth,
            frame: frame(own),
        };
        let inputs = inputs.into_iter().map(|from| (from, Some(vec![0]))).collect();
        Flowing {
            stream: shell(self.scope, logic, inputs, site),
            frame: frame(own),
            schema: schema(),
        }
    }
}

/// Returns the channel on which a step's rows are, which is another one's where it only moves times.
fn channel(graph: &Graph, step: usize) -> usize {
    match &graph.steps[step].0 {
        Kind::Enter { from } | Kind::Leave { from } => channel(graph, *from),
        Kind::Step { .. } => step,
    }
}

/// Opens the next epoch of a worker's steps when all of one has left its loops.
fn opener<'scope>(
    left: Stream<'scope, u64, Container>,
    gate: Gate,
) -> Stream<'scope, u64, Container> {
    use timely::dataflow::channels::pact::Pipeline;
    let mut builder = OperatorBuilder::new("Opener".to_owned(), left.scope());
    let mut input = builder.new_input(left, Pipeline);
    let (_, stream) = builder.new_output::<Container>();
    builder.build(move |capabilities| {
        drop(capabilities);
        move |frontiers| {
            input.for_each(|_, data| drop(std::mem::take(data)));
            let frontier = frontiers[0].frontier().first().copied().unwrap_or(EPOCHS + 1);
            while frontier > gate.open() {
                gate.set(gate.open() + 1);
            }
        }
    });
    stream
}

/// Runs rows through a random graph; returns what was wrong.
fn check(seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let graph = Graph::random(&mut random);
    let wrong: Wrong = Wrong::default();
    let (seen, job) = (wrong.clone(), job());
    let is_stuck = Arc::new(AtomicBool::new(false));
    let stuck = is_stuck.clone();
    let guards = timely::execute(timely::Config::process(WORKERS), move |worker| {
        let (book, gate) = (Book::default(), Gate::default());
        (1..=EPOCHS).for_each(|epoch| book.open(info(epoch)));
        gate.set(1);
        let random = Random::new(seed * 31 + worker.index() as u64 + 1);
        let (probe, watched) = worker.dataflow::<u64, _, _>(|outer| {
            let input = source(outer, &job, random.clone());
            let (left, watched) = outer.scoped::<Time, _, _>("Loop", |scope| {
                let stream = input.enter(scope);
                let input = Flowing { stream, frame: frame(0), schema: schema() };
                let (job, gate, wrong) = (job.clone(), gate.clone(), seen.clone());
                let (built, watched, book) = (Vec::new(), Vec::new(), book.clone());
                let mut building = Building { scope, job, book, gate, wrong, built, watched };
                building.build(&graph, input);
                let last = graph.of(ScopeId(0)).pop().expect("the input is there");
                (building.built[last].stream.clone().leave(outer), building.watched)
            });
            (opener(left, gate.clone()).probe().0, watched)
        });
        let began = Instant::now();
        while !probe.done() && began.elapsed() < PATIENCE && seen.lock().unwrap().is_empty() {
            worker.step_or_park(Some(Duration::from_millis(10)));
        }
        stuck.fetch_or(began.elapsed() >= PATIENCE, Ordering::SeqCst);
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        if !probe.done() {
            return;
        }
        for step in watched {
            let step = step.borrow();
            step.asked.iter().for_each(|at| step.fail(&format!("never told of {at:?}")));
        }
    });
    guards.unwrap().join().into_iter().for_each(|outcome| outcome.unwrap());
    if is_stuck.load(Ordering::SeqCst) {
        wrong.lock().unwrap().push("rows went round without end".to_owned());
    }
    std::mem::take(&mut *wrong.lock().unwrap())
}

#[test]
fn rounds_end_when_nothing_can_come_any_more() {
    // A reduction that is told too early computes with half of its rows.
    let graphs = std::env::var("THALWEG_GRAPHS").ok().and_then(|count| count.parse().ok());
    for seed in 1..=graphs.unwrap_or(100) {
        assert_eq!(check(seed), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn the_checker_sees_rounds_that_end_too_early() {
    let name = "loops::tests::rounds_end_when_nothing_can_come_any_more";
    let mut test = Command::new(std::env::current_exe().unwrap());
    let planted = test.args([name, "--exact"]).env("THALWEG_PLANT", "early-notification");
    let output = planted.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("behind the end of"), "the planted bug was not seen: {text}");
}
