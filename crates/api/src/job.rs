//! Jobs in the making.

use std::cell::RefCell;

use thalweg_plan::connector::Registry;
use thalweg_plan::{Plan, PlanBuilder};

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
}

impl Job {
    /// Returns an empty job, which finds its connectors in `registry`.
    pub fn new(registry: Registry) -> Job {
        Job { registry, builder: RefCell::default() }
    }

    /// Returns the plan of all that was said.
    pub fn plan(self) -> Plan {
        self.builder.into_inner().finish()
    }
}
