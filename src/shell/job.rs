//! Runs the job of one statement, in the foreground.

use std::sync::atomic::Ordering;
use std::time::Duration;

use thalweg_cluster::coordinator::End;
use thalweg_cluster::{Control, RunOptions};
use thalweg_plan::{NodeKind, Plan, explain};
use thalweg_sql::Script;
use thalweg_types::{Error, Result};

use super::{Flow, Shell};
use crate::arguments::ScriptText;
use crate::config::Key;
use crate::wire::{self, View};
use crate::{analyze, report};

/// How long what a job leaves behind may take to end.
const CLEANUP: Duration = Duration::from_millis(200);

impl Shell<'_> {
    /// Runs a job until it ends or a signal ends it.
    pub(super) fn job(
        &mut self,
        plan: Plan,
        script: &Script,
        view: View,
        text: &str,
    ) -> Result<Flow> {
        check_input(&plan)?;
        let mut options = self.options(&plan, script, text)?;
        self.explained = Some(explain::explain(&plan));
        let (plan, analysis) = analyze::prepare(script, plan, &mut options, None)?;
        let is_query = view.learn(&plan);
        if is_query {
            options.state = None;
        }
        if !self.is_quiet && !is_query {
            options.watcher = report::watcher(wire::shows_rows(&plan));
            report::notify(&script.notices);
        }
        if !self.is_quiet {
            wire::tell_clock(&options);
        }
        if let Some(analysis) = &analysis {
            analysis.watch(&mut options);
        }
        let runtime = wire::runtime()?;
        let (control, inbox) = Control::new();
        let running = self.signals.during(control, options.state.is_some());
        let outcome = thalweg_cluster::run(plan, &options, inbox, runtime.handle().clone());
        drop(running);
        runtime.shutdown_timeout(CLEANUP);
        let outcome = outcome?;
        if let Some(analysis) = analysis {
            analysis.print(&outcome.counts, outcome.elapsed)?;
        }
        match is_query {
            _ if self.is_quiet => {}
            true => report::count(&outcome, view.is_updating()),
            false => report::summarize(&outcome),
        }
        Ok(match outcome.end {
            _ if self.signals.ends().load(Ordering::Relaxed) => Flow::Leave,
            End::Suspended | End::Aborted if self.editor.is_none() => Flow::Stopped,
            End::Closed if self.editor.is_none() => Flow::Leave,
            _ => Flow::On,
        })
    }

    /// Returns how a job is run. Its state is kept below the state directory by the job's name.
    fn options(&self, plan: &Plan, script: &Script, text: &str) -> Result<RunOptions> {
        let text = ScriptText { name: name_of(plan), text: format!("{}{text}", self.defined) };
        let mut options = wire::options(self.config, &text, &script.settings)?;
        let directory = self.config.get(Key::StateDir).0;
        let directory = directory.map(|directory| directory.trim_end_matches('/'));
        options.state = directory.map(|directory| format!("{directory}/{}", options.job));
        Ok(options)
    }
}

/// Names a job by the tables that it writes.
fn name_of(plan: &Plan) -> String {
    let mut names: Vec<&str> = Vec::new();
    for node in &plan.nodes {
        if let NodeKind::Sink(sink) = &node.kind
            && !names.contains(&sink.table.as_str())
        {
            names.push(&sink.table);
        }
    }
    names.join("_")
}

/// Refuses to read what the shell itself reads.
fn check_input(plan: &Plan) -> Result<()> {
    let table = plan.sources().find(|(_, source)| source.source.connector() == "stdin");
    match table {
        None => Ok(()),
        Some((_, source)) => {
            let error = format!("table `{}` reads standard input, as the shell does", source.table);
            Err(Error::invalid(error).remedy("use `thalweg run` with a script in a file"))
        }
    }
}
