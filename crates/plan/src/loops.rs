//! Loops as data: rows that go round until nothing changes.
//!
//! A loop is one node of a plan. Within it are *steps*, each of which reads steps before it; only a
//! *variable* reads one behind it: what that step makes in one round is the variable in the next. A
//! loop may hold others. [`LoopBuilder`] puts one together.
//!
//! Invariants: a step stands behind its inputs, which are of its own scope; scopes are numbered in the
//! order in which they are made, so a step that reads what leaves a scope has nothing to do with later
//! ones; every cycle goes through a variable, and so through the next round.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_types::{Error, Result};

use crate::function::Transform;

/// How deep loops may stand in each other.
pub const DEPTH_MAX: usize = 3;

/// Rounds after which a loop is taken for one that never ends, if nothing else is said.
pub const ROUNDS_MAX: u32 = 10_000;

/// Position of a step in its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub usize);

/// Number of a scope in its loop: 0 for the loop itself, others for loops within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScopeId(pub usize);

/// A function of all rows that a key has.
///
/// # Contract
/// The result depends on the rows and on how many there are of each, not on their order. A key without
/// rows has no result.
pub trait Reduction: Send + Sync + Debug {
    /// Returns the columns of the values that come out.
    fn fields(&self) -> Vec<Field>;

    /// Returns what becomes of each key.
    ///
    /// # Errors
    /// `Data` if the function fails.
    fn reduce(&self, keys: &KeyedRows<'_>) -> Result<Reduced>;

    /// Returns all that decides the result, on one line.
    fn explain(&self) -> String;
}

/// The rows of some keys.
///
/// Shapes: `keys` has a row for each key; `rows` those of the first key, then those of the second …, of
/// the columns that are not in the key, each row once; `ends` where those of each key end.
#[derive(Clone, Copy, Debug)]
pub struct KeyedRows<'a> {
    /// The keys.
    pub keys: &'a RecordBatch,
    /// What rows have beside their key.
    pub rows: &'a RecordBatch,
    /// How many there are of each row, at least one.
    pub counts: &'a [i64],
    /// Behind the last row of each key.
    pub ends: &'a [usize],
}

/// What became of some keys: rows, and which key each is of, ascending.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// The values.
    pub rows: RecordBatch,
    /// Which of the keys each row is of.
    pub keys: Vec<usize>,
}

/// What becomes of the rows of a key.
#[derive(Clone, Debug)]
pub enum Reducing {
    /// One row of each.
    Distinct,
    /// The least row, column by column.
    Least,
    /// The greatest row, column by column.
    Greatest,
    /// What a function says.
    By(Arc<dyn Reduction>),
}

/// Columns of which both sides of a join have equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinKeys {
    /// Columns of the left and of the right input; none if all rows meet.
    pub columns: Vec<(usize, usize)>,
    /// Is NULL equal to NULL? Else a row with a NULL among its keys meets none.
    pub nulls_meet: bool,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// Rows of an input of the node, in the first round.
    Input(usize),
    /// What a later step made in the round before; with an input, that in the first round.
    Variable {
        /// The later step, which `None` stands for while the loop is being built.
        next: Option<StepId>,
    },
    /// Rows of the scope around, in the first round of this one.
    Enter,
    /// Rows of a scope within, when its rounds are over.
    Leave,
    /// Stateless functions.
    Map(Vec<Arc<dyn Transform>>),
    /// The same rows in later rounds: a function makes one column, by how many rounds, of `UInt32`.
    Delay(Arc<dyn Transform>),
    /// Several inputs of one schema together.
    Union,
    /// Pairs of rows: the columns of the left one, then those of the right one.
    Join(JoinKeys),
    /// What becomes of the rows of each key, which is the first columns: the key, then values.
    Reduce {
        /// How many columns the key has.
        keys: usize,
        /// What becomes of its rows.
        reducing: Reducing,
    },
}

/// A step of a loop.
#[derive(Clone, Debug)]
pub struct LoopStep {
    /// What it does.
    pub kind: StepKind,
    /// The steps that it reads.
    pub inputs: Vec<StepId>,
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// Where it stands.
    pub scope: ScopeId,
}

/// Steps that are repeated, for the changes of each epoch, until nothing changes.
///
/// Shapes: out the rows of `result` in the last round; changes of an epoch come out at its end.
#[derive(Clone, Debug)]
pub struct LoopNode {
    /// What the user calls it.
    pub name: String,
    /// The steps.
    pub steps: Vec<LoopStep>,
    /// The scope around each scope; none around the first.
    pub scopes: Vec<Option<ScopeId>>,
    /// The step whose rows leave; it is of the first scope.
    pub result: StepId,
    /// Rounds of any scope after which the job ends with an error.
    pub rounds_max: u32,
}

impl LoopNode {
    /// Returns how many loops there are around the steps of a scope, itself among them.
    pub fn depth(&self, scope: ScopeId) -> usize {
        depth(&self.scopes, scope)
    }

    /// Does the result only grow where the inputs do?
    pub fn is_monotone(&self) -> bool {
        self.steps.iter().all(|step| match &step.kind {
            StepKind::Reduce { reducing, .. } => matches!(reducing, Reducing::Distinct),
            _ => true,
        })
    }

    /// Are equal rows of the result all on the worker that a key sends them to?
    pub fn is_result_keyed(&self) -> bool {
        matches!(self.steps[self.result.0].kind, StepKind::Reduce { .. })
    }

    /// Says what the steps do. What one of them keeps depends on all before it, and in a loop all are
    /// before all; so this decides the state, too.
    pub fn described(&self) -> String {
        let steps = self.steps.iter().enumerate();
        let steps: Vec<String> =
            steps.map(|(at, step)| format!("{at}: {}", described(step))).collect();
        format!("{}; leaving {}", steps.join("; "), self.result.0)
    }
}

fn depth(scopes: &[Option<ScopeId>], scope: ScopeId) -> usize {
    1 + scopes[scope.0].map_or(0, |around| depth(scopes, around))
}

fn described(step: &LoopStep) -> String {
    let does = match &step.kind {
        StepKind::Input(input) => {
            let fields = step.schema.fields().iter();
            let fields = fields.map(|field| format!("{} {}", field.name(), field.data_type()));
            format!("input {input} ({})", fields.collect::<Vec<_>>().join(", "))
        }
        StepKind::Variable { next: Some(next) } => format!("variable, next from {}", next.0),
        StepKind::Variable { next: None } => "variable".to_owned(),
        StepKind::Enter => format!("enter scope {}", step.scope.0),
        StepKind::Leave => "leave".to_owned(),
        StepKind::Map(transforms) => {
            let steps: Vec<String> = transforms.iter().map(|t| t.explain()).collect();
            format!("map {}", steps.join(" then "))
        }
        StepKind::Delay(rounds) => format!("delay {}", rounds.explain()),
        StepKind::Union => "union".to_owned(),
        StepKind::Join(keys) => format!("join {:?}{}", keys.columns, nulls(keys)),
        StepKind::Reduce { keys, reducing } => match reducing {
            Reducing::Distinct => "distinct".to_owned(),
            Reducing::Least => format!("least by {keys} columns"),
            Reducing::Greatest => format!("greatest by {keys} columns"),
            Reducing::By(reduction) => format!("{} by {keys} columns", reduction.explain()),
        },
    };
    let inputs: Vec<String> = step.inputs.iter().map(|input| input.0.to_string()).collect();
    match inputs.is_empty() {
        true => does,
        false => format!("{does} of {}", inputs.join(", ")),
    }
}

fn nulls(keys: &JoinKeys) -> &'static str {
    if keys.nulls_meet { " with NULLs" } else { "" }
}

/// Puts a loop together, step by step.
#[derive(Debug)]
pub struct LoopBuilder {
    steps: Vec<LoopStep>,
    scopes: Vec<Option<ScopeId>>,
    inputs: usize,
}

impl Default for LoopBuilder {
    fn default() -> LoopBuilder {
        LoopBuilder::new()
    }
}

impl LoopBuilder {
    /// The scope of the loop itself.
    pub const OUTERMOST: ScopeId = ScopeId(0);

    /// Returns a builder of a loop without steps.
    pub fn new() -> LoopBuilder {
        LoopBuilder { steps: Vec::new(), scopes: vec![None], inputs: 0 }
    }

    /// Returns a step.
    pub fn step(&self, id: StepId) -> &LoopStep {
        &self.steps[id.0]
    }

    /// Returns the number of inputs so far.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Adds the next input of the node.
    pub fn input(&mut self, schema: SchemaRef) -> StepId {
        self.inputs += 1;
        self.add(StepKind::Input(self.inputs - 1), Vec::new(), schema, LoopBuilder::OUTERMOST)
    }

    /// Adds a loop within `around`.
    ///
    /// # Errors
    /// `Invalid` if there are too many around it.
    pub fn scope(&mut self, around: ScopeId) -> Result<ScopeId> {
        if depth(&self.scopes, around) == DEPTH_MAX {
            let said = format!("loops stand more than {DEPTH_MAX} deep in each other");
            return Err(Error::invalid(said).remedy("compute the innermost one before the others"));
        }
        self.scopes.push(Some(around));
        Ok(ScopeId(self.scopes.len() - 1))
    }

    /// Returns the scopes to enter, one after the other, on the way from one to another within it; none if
    /// it is not within it.
    pub fn path(&self, from: ScopeId, to: ScopeId) -> Option<Vec<ScopeId>> {
        if from == to {
            return Some(Vec::new());
        }
        let mut path = self.path(from, self.scopes[to.0]?)?;
        path.push(to);
        Some(path)
    }

    /// Adds a variable of `scope`, which begins as `start`, or without rows.
    pub fn variable(&mut self, scope: ScopeId, schema: SchemaRef, start: Option<StepId>) -> StepId {
        self.add(StepKind::Variable { next: None }, start.into_iter().collect(), schema, scope)
    }

    /// Says what a variable is in the next round.
    pub fn set(&mut self, variable: StepId, to: StepId) {
        self.steps[variable.0].kind = StepKind::Variable { next: Some(to) };
    }

    /// Adds rows of the scope around `scope` to it.
    pub fn enter(&mut self, from: StepId, scope: ScopeId) -> StepId {
        let schema = self.step(from).schema.clone();
        self.add(StepKind::Enter, vec![from], schema, scope)
    }

    /// Adds rows of a scope to the one around it, where there is one.
    pub fn leave(&mut self, from: StepId) -> StepId {
        let LoopStep { schema, scope, .. } = self.step(from);
        let (schema, around) = (schema.clone(), self.scopes[scope.0]);
        match around {
            Some(around) => self.add(StepKind::Leave, vec![from], schema, around),
            None => from,
        }
    }

    /// Adds a stateless function.
    pub fn map(&mut self, from: StepId, transform: Arc<dyn Transform>) -> StepId {
        let (schema, scope) = (transform.schema(), self.step(from).scope);
        self.add(StepKind::Map(vec![transform]), vec![from], schema, scope)
    }

    /// Adds the same rows in later rounds.
    pub fn delay(&mut self, from: StepId, rounds: Arc<dyn Transform>) -> StepId {
        let LoopStep { schema, scope, .. } = self.step(from);
        let (schema, scope) = (schema.clone(), *scope);
        self.add(StepKind::Delay(rounds), vec![from], schema, scope)
    }

    /// Puts steps of one scope together, whose columns have the types of `schema`.
    pub fn union(&mut self, inputs: Vec<StepId>, schema: SchemaRef) -> StepId {
        let scope = self.step(inputs[0]).scope;
        self.add(StepKind::Union, inputs, schema, scope)
    }

    /// Joins two steps of one scope.
    pub fn join(&mut self, left: StepId, right: StepId, keys: JoinKeys) -> StepId {
        let scope = self.step(left).scope;
        let fields = [left, right].map(|side| self.step(side).schema.fields().to_vec());
        let schema = Arc::new(Schema::new(fields.concat()));
        self.add(StepKind::Join(keys), vec![left, right], schema, scope)
    }

    /// Reduces the rows of each key, which is the first `keys` columns.
    pub fn reduce(&mut self, from: StepId, keys: usize, reducing: Reducing) -> StepId {
        let LoopStep { schema, scope, .. } = self.step(from);
        let (mut schema, scope) = (schema.clone(), *scope);
        if let Reducing::By(reduction) = &reducing {
            let keys = schema.fields()[..keys].iter().map(|field| field.as_ref().clone());
            schema = Arc::new(Schema::new(keys.chain(reduction.fields()).collect::<Vec<_>>()));
        }
        self.add(StepKind::Reduce { keys, reducing }, vec![from], schema, scope)
    }

    /// Keeps one row of each.
    pub fn distinct(&mut self, from: StepId) -> StepId {
        let keys = self.step(from).schema.fields().len();
        self.reduce(from, keys, Reducing::Distinct)
    }

    /// Returns the loop, whose rows are those of `result`.
    ///
    /// Functions behind functions become one step, and steps that nothing depends on are left out: nobody
    /// would know when they are through an epoch.
    pub fn finish(self, name: &str, result: StepId, rounds_max: u32) -> LoopNode {
        let (steps, result) = needed(fused(self.steps, result), result);
        let scopes = self.scopes;
        LoopNode { name: name.to_owned(), steps, scopes, result, rounds_max }
    }

    fn add(
        &mut self,
        kind: StepKind,
        inputs: Vec<StepId>,
        schema: SchemaRef,
        scope: ScopeId,
    ) -> StepId {
        self.steps.push(LoopStep { kind, inputs, schema, scope });
        StepId(self.steps.len() - 1)
    }
}

/// Puts stateless functions behind others that nobody else reads into one step.
fn fused(mut steps: Vec<LoopStep>, result: StepId) -> Vec<LoopStep> {
    let mut readers = vec![0; steps.len()];
    readers[result.0] += 1;
    for step in &steps {
        step.inputs.iter().for_each(|input| readers[input.0] += 1);
        if let StepKind::Variable { next: Some(next) } = &step.kind {
            readers[next.0] += 1;
        }
    }
    for at in 0..steps.len() {
        let (before, from) = steps.split_at_mut(at);
        let LoopStep { kind: StepKind::Map(own), inputs, .. } = &mut from[0] else { continue };
        let input = inputs[0].0;
        if let StepKind::Map(first) = &before[input].kind
            && readers[input] == 1
        {
            own.splice(0..0, first.iter().cloned());
            inputs.clone_from(&before[input].inputs);
        }
    }
    steps
}

/// Leaves out the steps that `result` does not depend on; returns its new place, too.
fn needed(steps: Vec<LoopStep>, result: StepId) -> (Vec<LoopStep>, StepId) {
    let mut is_needed = vec![false; steps.len()];
    let mut open = vec![result];
    while let Some(step) = open.pop() {
        if !std::mem::replace(&mut is_needed[step.0], true) {
            let LoopStep { kind, inputs, .. } = &steps[step.0];
            open.extend(inputs);
            if let StepKind::Variable { next } = kind {
                open.extend(next);
            }
        }
    }
    let place = |step: StepId| StepId(is_needed[..step.0].iter().filter(|needed| **needed).count());
    let kept = steps.into_iter().zip(&is_needed).filter(|(_, needed)| **needed);
    let kept = kept.map(|(mut step, _)| {
        step.inputs.iter_mut().for_each(|input| *input = place(*input));
        if let StepKind::Variable { next: Some(next) } = &mut step.kind {
            *next = place(*next);
        }
        step
    });
    (kept.collect(), place(result))
}
