//! Steps of a job that apply functions with state.

use std::marker::PhantomData;
use std::sync::Arc;

use thalweg_plan::process::{ProcessFunction, ProcessNode};
use thalweg_plan::{Exchange, Input, NodeKind};
use thalweg_types::{Error, Result};

use super::definition::{Definition, Shared};
use super::function::{Process, Single};
use super::setup::Setup;
use crate::closure::Closure;
use crate::job::Job;
use crate::keyed::Keyed;
use crate::record::Record;
use crate::stream::{Rows, Stream};
use crate::value::Key;

/// An input of a step, and where its key stands in it.
pub(super) struct StepInput {
    pub(super) input: Input,
    pub(super) keys: Vec<usize>,
}

impl<T: Record, K: Key> Keyed<'_, T, K> {
    /// Brings rows to the workers of their keys, whose columns stand before the row.
    pub(super) fn by_key(self, step: &str) -> StepInput {
        let Keyed { stream, key } = self;
        let keys: Vec<usize> = (0..K::fields().len()).collect();
        let from = stream.then::<T>(Closure::keyed(step, key)).node;
        StepInput { input: Input { from, port: 0, exchange: Exchange::ByKey(keys.clone()) }, keys }
    }
}

/// Adds a step that applies a function.
pub(super) fn add<'j, K: Key, U: Record>(
    job: &'j Job,
    inputs: Vec<StepInput>,
    definition: Definition<K, U>,
) -> Result<Stream<'j, U>> {
    let name = definition.name.clone();
    let in_step = |error: Error| error.context(format!("step `{name}`"));
    let has_shared = inputs.iter().any(|input| input.keys.is_empty());
    definition.setup.check(has_shared).map_err(in_step)?;
    let (sides, delay) = (definition.setup.sides.clone(), definition.setup.delay);
    let function: Arc<dyn ProcessFunction> = Arc::new(Shared(Arc::new(definition)));
    let mut builder = job.builder.borrow_mut();
    let is_updating = |input: &StepInput| builder.plan().node(input.input.from).is_updating;
    if inputs.iter().any(is_updating) && !function.takes_updates() {
        return Err(in_step(
            Error::invalid(
                "rows of an updating stream may be taken back, and the function takes none back",
            )
            .remedy("say `setup.take_updates()` and look at `context.weight()`"),
        ));
    }
    let (inputs, keys) = inputs.into_iter().map(|input| (input.input, input.keys)).unzip();
    let node = NodeKind::Process(ProcessNode { function, keys, sides, delay });
    let node = builder.add(node, inputs, U::schema());
    drop(builder);
    Ok(Stream { job, node, rows: PhantomData })
}

impl<'j, T: Record> Stream<'j, T> {
    /// Returns the rows that the function of this step sent to its side output `name`.
    ///
    /// # Errors
    /// `Invalid` if there is no such output of rows of this type.
    pub fn side<V: Record>(&self, name: &str) -> Result<Stream<'j, V>> {
        let builder = self.job.builder.borrow();
        let step = builder.plan().node(self.node);
        let NodeKind::Process(process) = &step.kind else {
            return Err(Error::invalid(format!("`{}` has no side outputs", step.operator))
                .remedy("ask the stream that `process` returned"));
        };
        let place = process.sides.iter().position(|side| side.name == name);
        let place = place.filter(|place| process.sides[*place].schema == V::schema());
        let port = 1 + place.ok_or_else(|| {
            let sides = process.sides.iter().map(|side| format!("`{}`", side.name));
            let sides = sides.collect::<Vec<_>>().join(", ");
            Error::invalid(format!(
                "step `{}`: there is no side output `{name}` of such rows",
                step.operator
            ))
            .remedy(match sides.is_empty() {
                true => "declare it by `setup.side`".to_owned(),
                false => format!(
                    "its side outputs are {sides}; rows have the type they were declared with"
                ),
            })
        })?;
        drop(builder);
        let rows = Rows { job: self.job, node: self.node, port };
        Ok(rows.then(Closure::shaped::<V>(|rows| Ok(rows.columns().to_vec()))))
    }
}

impl<'j, T: Record, K: Key> Keyed<'j, T, K> {
    /// Applies a function to each row of a key and the key's timers. `make` declares what the function
    /// needs and returns it: a closure, or, where there are timers, a [`Process`]. State is kept under
    /// `name`, and the names within it.
    ///
    /// This one sends a row when the temperature of a sensor rose:
    ///
    /// ```
    /// # extern crate thalweg_api as thalweg;
    /// use thalweg::{Context, Keyed, Record, Result, Stream};
    ///
    /// #[derive(Clone, Record)]
    /// struct Reading { sensor: String, degrees: f64 }
    ///
    /// #[derive(Clone, Record)]
    /// struct Rise { sensor: String, by: f64 }
    ///
    /// fn rises<'j>(readings: Keyed<'j, Reading, String>) -> Result<Stream<'j, Rise>> {
    ///     readings.process("rises", |setup| {
    ///         let last = setup.value::<f64>("last");
    ///         move |row: Reading, context: &mut Context<'_, String, Rise>| {
    ///             let by = row.degrees - last.get(context).copied().unwrap_or(row.degrees);
    ///             last.set(context, row.degrees);
    ///             if by > 0.0 {
    ///                 context.send(Rise { sensor: row.sensor, by });
    ///             }
    ///             Ok(())
    ///         }
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// `Invalid`, naming the step, if the stream is updating and the function takes no row back, or a
    /// name is given twice.
    pub fn process<U: Record, P: Process<K, T, U>>(
        self,
        name: &str,
        make: impl FnOnce(&mut Setup) -> P,
    ) -> Result<Stream<'j, U>> {
        let job = self.stream.job;
        job.builder.borrow_mut().statement(name);
        let inputs = vec![self.by_key(name)];
        let mut setup = Setup::default();
        let body = Box::new(Single(make(&mut setup), PhantomData));
        add(job, inputs, Definition { name: name.to_owned(), setup, body })
    }
}
