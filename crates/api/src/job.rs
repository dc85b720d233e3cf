//! Jobs in the making.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use thalweg_plan::connector::Registry;
use thalweg_plan::{Plan, PlanBuilder};
use thalweg_types::{Error, Result};

use crate::language::Language;

/// A job in the making. Its streams borrow it, so none can be used once [`Job::plan`] ended it:
///
/// ```compile_fail,E0505
/// # extern crate thalweg_api as thalweg;
/// #[derive(Clone, thalweg::Record)]
/// struct Line { line: String }
/// let job = thalweg::Job::new(thalweg_plan::connector::Registry::new(Vec::new()));
/// let lines = job.source::<Line>("lines", "filesystem", &[]).stream().unwrap();
/// job.plan();
/// lines.sink("copy", "print", &[]).unwrap();
/// ```
#[derive(Debug)]
pub struct Job {
    pub(crate) registry: Registry,
    pub(crate) builder: RefCell<PlanBuilder>,
    /// The names of steps that have state.
    steps: RefCell<BTreeSet<String>>,
    /// Plans queries.
    pub(crate) language: Option<Arc<dyn Language>>,
}

impl Job {
    /// Returns an empty job, which finds its connectors in `registry`.
    pub fn new(registry: Registry) -> Job {
        Job { registry, builder: RefCell::default(), steps: RefCell::default(), language: None }
    }

    /// Returns the job with a language for [`Job::sql`].
    pub fn with_language(mut self, language: Arc<dyn Language>) -> Job {
        self.language = Some(language);
        self
    }

    /// Begins a step whose state is kept under `name`.
    ///
    /// # Errors
    /// `Invalid` if another step has this name.
    pub(crate) fn step(&self, name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(Error::invalid("a step with state has no name")
                .remedy("give it one: its state is found by it"));
        }
        if !self.steps.borrow_mut().insert(name.to_owned()) {
            return Err(Error::invalid(format!("there are two steps `{name}`"))
                .remedy("give one of them another name: state is found by it"));
        }
        self.builder.borrow_mut().statement(name);
        Ok(())
    }

    /// Returns the plan of all that was said.
    pub fn plan(self) -> Plan {
        self.builder.into_inner().finish()
    }
}
