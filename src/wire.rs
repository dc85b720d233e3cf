//! The composition root: connectors, planner and coordinator meet here and nowhere else.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use thalweg_cluster::coordinator::End;
use thalweg_cluster::group::TOKEN;
use thalweg_cluster::options::{CHECKPOINT_INTERVAL, Launch};
use thalweg_cluster::{Control, RunOptions};
use thalweg_connectors::print::{Shown, Style};
use thalweg_plan::connector::{Registry, parse_duration};
use thalweg_plan::sink::Sink;
use thalweg_plan::{NodeKind, explain};
use thalweg_sql::{Planner, Script};
use thalweg_types::{Error, Result};

use crate::arguments::{RunArguments, ScriptText};
use crate::{report, signals};

/// Starts what runs asynchronous connectors.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|error| Error::failed(format!("cannot start the runtime: {error}")))
}

pub(crate) fn planner(style: Style, limit: Option<u64>) -> Planner {
    let registry = Registry::new(thalweg_connectors::all());
    let result = Arc::new(move || -> Arc<dyn Sink> {
        Arc::new(Shown::new(style.clone(), limit, Arc::new(Mutex::new(std::io::stdout()))))
    });
    Planner::new(registry, result)
}

/// Runs a script.
pub(crate) fn run(arguments: &RunArguments, text: &ScriptText) -> Result<ExitCode> {
    let script = planner(arguments.output.style(), arguments.limit).plan(&text.text)?;
    script.outputs.iter().for_each(|output| println!("{output}"));
    let mut options = options(arguments, text, &script)?;
    let Some(plan) = script.plan else { return Ok(ExitCode::SUCCESS) };
    let shows_rows = plan.nodes.iter().any(|node| match &node.kind {
        NodeKind::Sink(sink) => sink.sink.is_local(),
        _ => false,
    });
    options.watcher = report::watcher(shows_rows);
    script.notices.iter().for_each(|notice| report::tell(format_args!("note: {notice}\n")));
    let runtime = runtime()?;
    let (control, inbox) = Control::new();
    signals::listen(&runtime, control, arguments.drain)?;
    let outcome = thalweg_cluster::run(plan, &options, inbox, runtime.handle().clone())?;
    report::summarize(&outcome);
    Ok(match outcome.end {
        End::Aborted => ExitCode::from(130),
        _ => ExitCode::SUCCESS,
    })
}

fn options(arguments: &RunArguments, text: &ScriptText, script: &Script) -> Result<RunOptions> {
    let setting = |key: &str| script.settings.get(key);
    let usual = RunOptions::new(&name_of(text));
    let parallelism = setting("parallelism.default").map(|text| {
        text.parse()
            .map_err(|_| Error::invalid(format!("'parallelism.default' is no number: '{text}'")))
    });
    let workers = match (arguments.workers, parallelism) {
        (Some(workers), _) => workers,
        (None, Some(workers)) => workers?,
        (None, None) => usual.workers,
    };
    if !(1..=256).contains(&workers) {
        return Err(Error::invalid(format!("{workers} workers: there can be 1 to 256")));
    }
    let interval = setting("execution.checkpointing.interval").map(|text| {
        parse_duration(text).ok_or_else(|| {
            Error::invalid(format!("'execution.checkpointing.interval' is no time span: '{text}'"))
        })
    });
    let checkpoint_interval = match (arguments.checkpoint_interval, interval) {
        (Some(interval), _) => interval,
        (None, Some(interval)) => interval?,
        (None, None) => CHECKPOINT_INTERVAL,
    };
    let processes = arguments.processes;
    if processes == 0 || !workers.is_multiple_of(processes) {
        return Err(Error::invalid(format!(
            "{workers} workers cannot be shared evenly by {processes} processes"
        ))
        .remedy("give --workers a multiple of --processes"));
    }
    let launch = || -> Result<Launch> {
        let program = std::env::current_exe()
            .map_err(|error| Error::failed(format!("cannot find this program: {error}")))?;
        Ok(Launch { program, command: "member".to_owned(), script: text.text.clone() })
    };
    Ok(RunOptions {
        others: if processes > 1 { Some((launch()?, processes)) } else { None },
        job: setting("pipeline.name").map_or_else(|| name_of(text), |name| safe(name)),
        workers,
        state: arguments.state_dir.clone(),
        checkpoint_interval,
        is_fresh: arguments.fresh,
        continues: arguments.continues,
        stats: arguments.stats.clone(),
        watcher: None,
        holder: format!("process {} running `{}`", std::process::id(), text.name),
    })
}

/// Takes part in the job of another process.
pub(crate) fn member(address: &str, index: usize) -> Result<ExitCode> {
    let token = std::env::var(TOKEN)
        .map_err(|_| Error::invalid("`thalweg member` is started by `thalweg run --processes`"))?;
    let runtime = runtime()?;
    // Rows of a bare SELECT are shown by the first process, in its style.
    let plan = |script: &str| {
        let script = planner(Style::Table, None).plan(script)?;
        script.plan.ok_or_else(|| Error::internal("the script makes no job"))
    };
    thalweg_cluster::member::serve(address, index, token, plan, runtime.handle().clone())?;
    Ok(ExitCode::SUCCESS)
}

/// Names a job by its file.
fn name_of(text: &ScriptText) -> String {
    let stem = std::path::Path::new(&text.name).file_stem();
    safe(&stem.map_or_else(|| "job".to_owned(), |stem| stem.to_string_lossy().into_owned()))
}

/// Keeps what may stand in the name of a file.
fn safe(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = name.chars().map(keep).collect();
    if name.trim_matches('_').is_empty() { "job".to_owned() } else { name }
}

/// Prints how a script would run.
pub(crate) fn explain(text: &ScriptText) -> Result<ExitCode> {
    let script = planner(Style::Table, None).plan(&text.text)?;
    script.outputs.iter().for_each(|output| println!("{output}"));
    if let Some(plan) = script.plan {
        print!("{}", explain::explain(&plan));
        script.notices.iter().for_each(|notice| println!("-- {notice}"));
    }
    Ok(ExitCode::SUCCESS)
}
