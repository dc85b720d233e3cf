//! Loops: streams that go round until nothing changes.
//!
//! What must always hold: within a loop there is no time but rounds, so what is done there depends on the
//! rows alone; a loop is one node of the plan, whose state is kept under its name.

mod keyed;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use thalweg_plan::loops::{LoopBuilder, LoopNode, ROUNDS_MAX, ScopeId, StepId};
use thalweg_plan::{Input, NodeKind};
use thalweg_types::{Error, Result};

pub use keyed::LoopedKeyed;

use crate::closure::{Closure, shared};
use crate::record::Record;
use crate::stream::{Stream, forward};

/// Rows in a loop: in each round other ones. A clone is a second reader of the same rows.
pub struct Looped<T> {
    within: Within,
    step: StepId,
    rows: PhantomData<fn() -> T>,
}

/// Where rows go round.
#[derive(Clone)]
struct Within {
    building: Rc<RefCell<Building>>,
    scope: ScopeId,
}

/// A loop in the making.
struct Building {
    steps: LoopBuilder,
    inputs: Vec<Input>,
    rounds_max: u32,
}

impl Within {
    /// Returns rows of a step.
    fn rows<T>(&self, step: StepId) -> Looped<T> {
        Looped { within: self.clone(), step, rows: PhantomData }
    }

    /// Adds a step.
    fn add<T>(&self, step: impl FnOnce(&mut LoopBuilder) -> StepId) -> Looped<T> {
        let step = step(&mut self.building.borrow_mut().steps);
        self.rows(step)
    }

    /// Brings a step of a loop around this one here, through all loops between.
    fn bring(&self, step: StepId) -> Result<StepId> {
        let mut building = self.building.borrow_mut();
        let from = building.steps.step(step).scope;
        let path = building.steps.path(from, self.scope).ok_or_else(|| {
            Error::invalid("a stream of one loop is used in another that is not within it")
                .remedy("let its loop return it, and use what comes out")
        })?;
        Ok(path.into_iter().fold(step, |step, scope| building.steps.enter(step, scope)))
    }
}

/// What can be brought into a loop: streams outside, and those of loops around it.
pub trait Enters<T> {
    /// Returns its rows in the loop in which `rows` are.
    ///
    /// # Errors
    /// `Invalid` if it is of another loop.
    fn enter<U>(self, rows: &Looped<U>) -> Result<Looped<T>>;
}

impl<T: Record> Enters<T> for Stream<'_, T> {
    fn enter<U>(self, rows: &Looped<U>) -> Result<Looped<T>> {
        let input = rows.within.building.borrow_mut().input::<T>(forward(self.node));
        let step = rows.within.bring(input)?;
        Ok(rows.within.rows(step))
    }
}

impl<T: Record> Enters<T> for Looped<T> {
    fn enter<U>(self, rows: &Looped<U>) -> Result<Looped<T>> {
        if !Rc::ptr_eq(&self.within.building, &rows.within.building) {
            return Err(Error::invalid("a stream of one loop is used in another")
                .remedy("let its loop return it, and use what comes out"));
        }
        let step = rows.within.bring(self.step)?;
        Ok(rows.within.rows(step))
    }
}

impl Building {
    fn input<T: Record>(&mut self, from: Input) -> StepId {
        self.inputs.push(from);
        self.steps.input(T::schema())
    }

    /// Ends the loop.
    fn finish(&mut self, name: &str, result: StepId) -> LoopNode {
        std::mem::take(&mut self.steps).finish(name, result, self.rounds_max)
    }
}

impl<'j, T: Record> Stream<'j, T> {
    /// Repeats a function until nothing changes: it is given the rows of this stream first, then what it
    /// returned, and what it returns in the end comes out. It is built once; what it is given stands for
    /// the rows of each round.
    ///
    /// The result follows its inputs: when rows come or are taken back, in each round only that is
    /// computed again which depends on them, and what changed in the last one comes out at the end of the
    /// epoch. So deletions are exact, however rows depend on each other in circles. State is kept under
    /// `name`, as with [`Keyed::aggregate`](crate::Keyed::aggregate).
    ///
    /// Each node here takes the least label that it or a neighbour has, until all nodes of a component
    /// have the same one:
    ///
    /// ```
    /// # extern crate thalweg_api as thalweg;
    /// use thalweg::{Enters, Record, Result, Stream};
    ///
    /// #[derive(Clone, Record)]
    /// struct Edge { from: i64, to: i64 }
    ///
    /// #[derive(Clone, Record)]
    /// struct Label { node: i64, component: i64 }
    ///
    /// fn components<'j>(edges: Stream<'j, Edge>) -> Result<Stream<'j, Label>> {
    ///     let both = edges.flat_map(|Edge { from, to }| [Edge { from, to }, Edge { from: to, to: from }]);
    ///     let own = both.clone().map(|edge| Label { node: edge.from, component: edge.from });
    ///     own.clone().iterate("components", |labels| {
    ///         let (both, own) = (both.enter(&labels)?, own.enter(&labels)?);
    ///         Ok(labels
    ///             .key_by(|label| label.node)
    ///             .join(both.key_by(|edge| edge.from), |label: Label, edge: Edge| Label {
    ///                 node: edge.to,
    ///                 component: label.component,
    ///             })
    ///             .union(own)
    ///             .key_by(|label| label.node)
    ///             .least())
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// Whatever the function returns; `Invalid` if there is a step `name` already, or what the function
    /// returns is not of this loop.
    pub fn iterate(
        self,
        name: &str,
        function: impl FnOnce(Looped<T>) -> Result<Looped<T>>,
    ) -> Result<Stream<'j, T>> {
        let job = self.job;
        job.step(name)?;
        iterated(self, name, function).map_err(|error| error.context(format!("step `{name}`")))
    }
}

fn iterated<'j, T: Record>(
    stream: Stream<'j, T>,
    name: &str,
    function: impl FnOnce(Looped<T>) -> Result<Looped<T>>,
) -> Result<Stream<'j, T>> {
    let job = stream.job;
    let building =
        Building { steps: LoopBuilder::new(), inputs: Vec::new(), rounds_max: ROUNDS_MAX };
    let building = Rc::new(RefCell::new(building));
    let within = Within { building: building.clone(), scope: LoopBuilder::OUTERMOST };
    let start = building.borrow_mut().input::<T>(forward(stream.node));
    let result = within.repeat(within.rows(start), function)?;
    let node = building.borrow_mut().finish(name, result.step);
    let inputs = std::mem::take(&mut building.borrow_mut().inputs);
    job.builder.borrow_mut().statement(name);
    let node = job.builder.borrow_mut().add(NodeKind::Loop(node), inputs, T::schema());
    Ok(Stream { job, node, rows: PhantomData })
}

impl Within {
    /// Adds a variable that begins as `start`, and what a function makes of it.
    fn repeat<T: Record>(
        &self,
        start: Looped<T>,
        function: impl FnOnce(Looped<T>) -> Result<Looped<T>>,
    ) -> Result<Looped<T>> {
        let variable: Looped<T> =
            self.add(|steps| steps.variable(self.scope, T::schema(), Some(start.step)));
        let step = variable.step;
        let next = function(variable)?;
        let is_here = Rc::ptr_eq(&next.within.building, &self.building);
        if !is_here || next.within.scope != self.scope {
            return Err(Error::invalid("a loop returns rows of another one")
                .remedy("bring them into the loop by enter(…)"));
        }
        self.building.borrow_mut().steps.set(step, next.step);
        Ok(next)
    }
}

impl<T> Clone for Looped<T> {
    fn clone(&self) -> Self {
        Looped { within: self.within.clone(), step: self.step, rows: PhantomData }
    }
}

impl<T: Record> Looped<T> {
    fn then<U>(self, closure: Closure) -> Looped<U> {
        let Looped { within, step, .. } = self;
        within.add(|steps| steps.map(step, shared(closure)))
    }

    /// Makes one row of each.
    pub fn map<U: Record>(self, function: impl Fn(T) -> U + Send + Sync + 'static) -> Looped<U> {
        self.then(Closure::map(function))
    }

    /// Keeps the rows for which `function` is true.
    pub fn filter(self, function: impl Fn(&T) -> bool + Send + Sync + 'static) -> Looped<T> {
        self.then(Closure::filter(function))
    }

    /// Makes any number of rows of each.
    pub fn flat_map<U: Record, I: IntoIterator<Item = U>>(
        self,
        function: impl Fn(T) -> I + Send + Sync + 'static,
    ) -> Looped<U> {
        self.then(Closure::flat_map(function))
    }

    /// Lets each row count only from as many rounds later on as `rounds` says.
    ///
    /// It does not change what a loop comes to, but how much it does on the way: where the least value
    /// wins, values that are likely to win go first, and the others find that they have lost already.
    pub fn delay(self, rounds: impl Fn(&T) -> u32 + Send + Sync + 'static) -> Looped<T> {
        let Looped { within, step, .. } = self;
        let rounds = shared(Closure::rounds(rounds));
        within.add(|steps| steps.delay(step, rounds))
    }

    /// Puts the rows of another stream of this loop beside those of this one.
    pub fn union(self, other: Looped<T>) -> Looped<T> {
        let Looped { within, step, .. } = self;
        within.add(|steps| steps.union(vec![step, other.step], T::schema()))
    }

    /// Keeps one row of equal ones.
    pub fn distinct(self) -> Looped<T> {
        let Looped { within, step, .. } = self;
        within.add(|steps| steps.distinct(step))
    }

    /// Repeats a function until nothing changes, in each round of this loop anew; see
    /// [`Stream::iterate`].
    ///
    /// # Errors
    /// Whatever the function returns; `Invalid` if loops stand too deep in each other, or what the
    /// function returns is not of the inner loop.
    pub fn iterate(
        self,
        function: impl FnOnce(Looped<T>) -> Result<Looped<T>>,
    ) -> Result<Looped<T>> {
        let Looped { within, step, .. } = self;
        let scope = within.building.borrow_mut().steps.scope(within.scope)?;
        let inner = Within { scope, ..within.clone() };
        let start: Looped<T> = inner.add(|steps| steps.enter(step, scope));
        let result = inner.repeat(start, function)?.step;
        Ok(within.add(|steps| steps.leave(result)))
    }

    /// Says after how many rounds the job is to end with an error, instead of 10,000.
    pub fn max_rounds(self, rounds: u32) -> Looped<T> {
        self.within.building.borrow_mut().rounds_max = rounds;
        self
    }
}
