//! A loop of a plan as a nested scope of timely.
//!
//! Invariant: every worker builds the same steps in the same order.

use std::cell::RefCell;
use std::rc::Rc;

use thalweg_plan::Node;
use thalweg_plan::loops::{LoopNode, LoopStep, StepId, StepKind};
use thalweg_types::{Error, Result};
use timely::dataflow::Scope;
use timely::dataflow::operators::core::feedback::Handle;
use timely::dataflow::operators::{ConnectLoop, Enter, Feedback, Leave};

use super::exit::{Exit, Gate, Shared};
use super::join::Join;
use super::logic::{Audited, Logic};
use super::passing::{Apply, Delay, Net, Pass};
use super::pick::{Pick, Which};
use super::reduce::Reduce;
use super::shell::{Flowing, Site, moved, shell};
use super::time::{Path, Time};
use crate::audit::{Audit, Auditor};
use crate::container::{Container, FrameId};
use crate::driven::{DrivenInput, Route, Surroundings};
use crate::operator::Operator;

/// The channels of steps are numbered from here on; those of outputs are below.
const CHANNELS: usize = 1 << 16;

/// A loop that is built, but for its operator, which takes what leaves it.
pub struct Built<'scope> {
    /// The operator.
    pub operator: Box<dyn Operator>,
    /// Its input.
    pub input: DrivenInput<'scope>,
}

/// Builds the steps of `node`, whose inputs are `inputs`.
///
/// # Errors
/// `Invalid` if values of a type cannot be compared, `Internal` if the loop is not whole.
pub fn build<'scope>(
    outer: Scope<'scope, u64>,
    (node, looped): (&Node, &LoopNode),
    inputs: Vec<DrivenInput<'scope>>,
    around: &Surroundings,
) -> Result<Built<'scope>> {
    let gate = Gate::default();
    gate.set(around.job.start.epoch.next().0);
    let (left, steps) = outer.scoped::<Time, _, _>(&node.operator.0, |scope| {
        let mut building = Building::new(scope, (node, looped), &gate, around);
        for step in &looped.steps {
            building.add(step, &inputs)?;
        }
        building.connect()?;
        let result = building.flowing[looped.result.0].clone();
        let left = result.stream.leave(outer);
        Ok::<_, Error>(((left, result.frame), building.logics))
    })?;
    let operator = Exit::new(node.schema.clone(), node.is_updating, steps, gate)?;
    let (stream, frame) = left;
    let schema = looped.steps[looped.result.0].schema.clone();
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let route = if looped.is_result_keyed() { Route::Stay } else { Route::ByKey(all) };
    // Rows of several rounds, which whoever reads the result is shown as one collection.
    let input = DrivenInput { stream, route, schema, frame, audit: None };
    Ok(Built { operator: Box::new(operator), input })
}

/// A variable whose next rows are not known yet.
struct Open<'scope> {
    handle: Handle<'scope, Time, Container>,
    variable: StepId,
}

struct Building<'a, 'scope> {
    scope: Scope<'scope, Time>,
    node: &'a Node,
    looped: &'a LoopNode,
    around: &'a Surroundings,
    gate: &'a Gate,
    audit: Audit,
    flowing: Vec<Flowing<'scope>>,
    /// The steps that keep state.
    logics: Vec<Shared>,
    open: Vec<Open<'scope>>,
}

impl<'a, 'scope> Building<'a, 'scope> {
    fn new(
        scope: Scope<'scope, Time>,
        (node, looped): (&'a Node, &'a LoopNode),
        gate: &'a Gate,
        around: &'a Surroundings,
    ) -> Building<'a, 'scope> {
        let (flowing, logics, open) = (Vec::new(), Vec::new(), Vec::new());
        let audit = around.job.audit();
        Building { scope, node, looped, around, gate, audit, flowing, logics, open }
    }

    /// Builds the next step.
    fn add(&mut self, step: &LoopStep, inputs: &[DrivenInput<'scope>]) -> Result<()> {
        let own = self.flowing.len();
        let depth = self.looped.depth(step.scope);
        let from = |at: usize| self.flowing[step.inputs[at].0].clone();
        let name = format!("{own}");
        let flowing = match &step.kind {
            StepKind::Input(input) => {
                let input = inputs.get(*input).ok_or_else(incomplete)?;
                let stream = input.stream.clone().enter(self.scope);
                Flowing { stream, frame: input.frame, schema: input.schema.clone() }
            }
            StepKind::Enter => {
                let path = Path::enter(step.scope, depth - 1);
                Flowing { stream: moved(from(0).stream, path), ..from(0) }
            }
            StepKind::Leave => {
                let inner = self.looped.steps[step.inputs[0].0].scope;
                Flowing { stream: moved(from(0).stream, Path::leave(inner, depth)), ..from(0) }
            }
            StepKind::Variable { next } => self.variable(step, next.ok_or_else(incomplete)?)?,
            StepKind::Map(transforms) => {
                let logic = Apply::new(transforms, &self.looped.name);
                self.step(step, Box::new(logic), vec![(from(0), None)])
            }
            StepKind::Delay(rounds) => {
                let logic = Delay::new(rounds.clone(), &self.looped.name, depth);
                self.step(step, Box::new(logic), vec![(from(0), None)])
            }
            StepKind::Union => {
                let inputs = (0..step.inputs.len()).map(|at| (from(at), None)).collect();
                let logic = Pass { schema: step.schema.clone(), less: None };
                self.step(step, Box::new(logic), inputs)
            }
            StepKind::Join(keys) => {
                let sides = [from(0), from(1)];
                let schemas = [&sides[0].schema, &sides[1].schema];
                let logic = Join::new(&name, keys, schemas, step.schema.clone())?;
                let (left, right) = keys.columns.iter().copied().unzip();
                let [first, second] = sides;
                let inputs = vec![(first, Some(left)), (second, Some(right))];
                self.step(step, Box::new(logic), inputs)
            }
            StepKind::Reduce { keys, reducing } => {
                let schemas = [&from(0).schema, &step.schema];
                let logic: Box<dyn Logic> = match Which::of(reducing).filter(|_| depth == 1) {
                    Some(which) => Box::new(Pick::new(&name, (*keys, which), schemas)?),
                    None => Box::new(Reduce::new(&name, (*keys, reducing), schemas)?),
                };
                self.step(step, logic, vec![(from(0), Some((0..*keys).collect()))])
            }
        };
        self.flowing.push(flowing);
        Ok(())
    }

    /// Builds a variable: what it begins as, and what came round.
    fn variable(&mut self, step: &LoopStep, next: StepId) -> Result<Flowing<'scope>> {
        let (own, depth) = (self.flowing.len(), self.looped.depth(step.scope));
        let (handle, stream) = self.scope.feedback(Path::next_round(depth));
        self.open.push(Open { handle, variable: StepId(own) });
        let begins = step.inputs.first().map(|start| self.flowing[start.0].clone());
        let came = match &begins {
            Some(_) => Flowing {
                stream,
                frame: self.frame(own + self.looped.steps.len()),
                schema: step.schema.clone(),
            },
            None => {
                let schema = self.looped.steps.get(next.0).ok_or_else(incomplete)?.schema.clone();
                Flowing { stream, frame: self.frame_of(next)?, schema }
            }
        };
        let logic: Box<dyn Logic> = match self.is_netted(next) {
            true => Box::new(Pass { schema: step.schema.clone(), less: None }),
            false => Box::new(Net::new(step.schema.clone())?),
        };
        let whole: Vec<usize> = (0..step.schema.fields().len()).collect();
        let key = (!self.is_netted(next)).then_some(whole);
        let inputs = begins.into_iter().chain([came]).map(|from| (from, key.clone())).collect();
        Ok(self.step(step, logic, inputs))
    }

    /// Is what a step sends netted already?
    fn is_netted(&self, step: StepId) -> bool {
        self.looped.steps.get(step.0).is_some_and(|step| match step.kind {
            StepKind::Reduce { .. } => true,
            StepKind::Map(_) | StepKind::Delay(_) => self.is_netted(step.inputs[0]),
            _ => false,
        })
    }

    /// Says of each variable what it is in the next round: what a step makes, less what it began as, since
    /// that counts in all rounds.
    fn connect(&mut self) -> Result<()> {
        for Open { handle, variable } in std::mem::take(&mut self.open) {
            let step = &self.looped.steps[variable.0];
            let StepKind::Variable { next: Some(next) } = step.kind else {
                return Err(incomplete());
            };
            let next = self.flowing.get(next.0).ok_or_else(incomplete)?.clone();
            let Some(start) = step.inputs.first() else {
                next.stream.connect_loop(handle);
                continue;
            };
            let inputs = vec![(next, None), (self.flowing[start.0].clone(), None)];
            let logic = Pass { schema: step.schema.clone(), less: Some(1) };
            let site = self.site(step, variable.0 + self.looped.steps.len());
            shell(self.scope, Rc::new(RefCell::new(Box::new(logic))), inputs, site)
                .connect_loop(handle);
        }
        Ok(())
    }

    fn step(
        &mut self,
        step: &LoopStep,
        logic: Box<dyn Logic>,
        inputs: Vec<(Flowing<'scope>, Option<Vec<usize>>)>,
    ) -> Flowing<'scope> {
        let audits = (0..inputs.len()).map(|input| self.auditor(step, input));
        let logic = Audited::over(logic, audits.collect());
        let logic: Shared = Rc::new(RefCell::new(logic));
        self.logics.push(logic.clone());
        let site = self.site(step, self.flowing.len());
        let frame = site.frame;
        let stream = shell(self.scope, logic, inputs, site);
        Flowing { stream, frame, schema: step.schema.clone() }
    }

    /// Returns what audits an input of a step. What comes round to a variable is no collection but
    /// a difference: what a step makes of it, less what it began as.
    fn auditor(&self, step: &LoopStep, input: usize) -> Option<Auditor> {
        let is_variable = matches!(step.kind, StepKind::Variable { .. });
        if is_variable && input > 0 {
            return None;
        }
        let name = format!("input {input} of step {} of the loop", self.flowing.len());
        self.audit.of_step(&self.around.job.plan, &self.node.inputs, name)
    }

    fn site(&self, step: &LoopStep, channel: usize) -> Site {
        Site {
            job: self.around.job.clone(),
            worker: self.around.worker,
            book: self.around.book.clone(),
            gate: self.gate.clone(),
            counters: self.around.counters(self.node),
            domains: self.node.domains.clone(),
            operator: self.node.operator.0.clone(),
            name: self.looped.name.clone(),
            rounds_max: self.looped.rounds_max,
            depth: self.looped.depth(step.scope),
            frame: self.frame(channel),
        }
    }

    /// Returns the channel of a step that may still be to come.
    fn frame_of(&self, step: StepId) -> Result<FrameId> {
        let kind = &self.looped.steps.get(step.0).ok_or_else(incomplete)?.kind;
        let before = &self.looped.steps[step.0].inputs;
        match kind {
            // What only moves times leaves rows on their channel.
            StepKind::Enter | StepKind::Leave => self.frame_of(before[0]),
            StepKind::Input(_) => Ok(self.flowing[step.0].frame),
            _ => Ok(self.frame(step.0)),
        }
    }

    fn frame(&self, channel: usize) -> FrameId {
        FrameId::new(self.around.job.fingerprint, self.node.id, CHANNELS + channel)
    }
}

fn incomplete() -> Error {
    Error::internal("a loop lacks a step")
}
