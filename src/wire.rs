//! The composition root: connectors, planner and coordinator meet here and nowhere else.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};

use thalweg::console;
use thalweg_cluster::coordinator::End;
use thalweg_cluster::group::TOKEN;
use thalweg_cluster::memory::MemoryLimit;
use thalweg_cluster::options::Launch;
use thalweg_cluster::{Control, RunOptions};
use thalweg_connectors::print::{Facts, Screen, Shown};
use thalweg_plan::connector::{Registry, parse_duration};
use thalweg_plan::sink::Sink;
use thalweg_plan::{Node, NodeKind, Plan, explain};
use thalweg_sql::Planner;
use thalweg_sql::planner::ResultSink;
use thalweg_types::clock::FixedClock;
use thalweg_types::{Error, Result};

use crate::arguments::{OutputFormat, RunArguments, ScriptText};
use crate::config::{Config, Key};
use crate::{analyze, report};

/// Starts what runs asynchronous connectors.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|error| Error::failed(format!("cannot start the runtime: {error}")))
}

/// How the result of a bare `SELECT` is shown.
#[derive(Clone, Default)]
pub(crate) struct View {
    style: OutputFormat,
    limit: Option<u64>,
    /// Where rows go instead of standard output.
    screen: Option<Screen>,
    /// Known once the script is planned.
    facts: Arc<OnceLock<Facts>>,
}

impl View {
    /// Returns a view in a style, on a screen instead of standard output if there is one.
    pub(crate) fn new(style: OutputFormat, screen: Option<Screen>) -> View {
        View { style, screen, ..View::default() }
    }

    /// Returns what makes the sink of a bare `SELECT`.
    pub(crate) fn result(&self) -> ResultSink {
        let view = self.clone();
        Arc::new(move || -> Arc<dyn Sink> {
            let (out, terminal): (Screen, _) = match &view.screen {
                Some(screen) => (screen.clone(), None),
                None => (Arc::new(Mutex::new(std::io::stdout())), report::terminal()),
            };
            let shown = Shown::new(view.style.style(), view.limit, out);
            Arc::new(shown.on(terminal).with_facts(view.facts.clone()))
        })
    }

    /// Can rows of the result be taken back?
    pub(crate) fn is_updating(&self) -> bool {
        self.facts.get().is_some_and(|facts| facts.is_updating)
    }

    /// Remembers what the plan says of the result; returns whether there is one.
    pub(crate) fn learn(&self, plan: &Plan) -> bool {
        let shown = plan.nodes.iter().find(|node| match &node.kind {
            NodeKind::Sink(sink) => {
                sink.sink.is_local() && sink.table == thalweg_sql::planner::RESULT
            }
            _ => false,
        });
        let Some(input) = shown.and_then(|node| node.inputs.first()) else { return false };
        let facts = Facts {
            is_bounded: plan.sources().all(|(_, source)| source.source.is_bounded()),
            is_updating: plan.node(input.from).is_updating,
            limit: limit_of(plan.node(input.from)),
        };
        // A view is of one plan.
        let _ = self.facts.set(facts);
        true
    }
}

/// Returns how many rows the result of `LIMIT` without an order has: once they are there, an input that
/// never ends need not be read any more.
fn limit_of(node: &Node) -> Option<u64> {
    match &node.kind {
        NodeKind::Sort(sort) if sort.order.is_empty() => sort.limit.map(|limit| limit as u64),
        _ => None,
    }
}

pub(crate) fn planner(view: &View) -> Planner {
    Planner::new(Registry::new(thalweg_connectors::all()), view.result())
}

/// What a script is run with.
pub(crate) struct Order<'a> {
    pub(crate) arguments: &'a RunArguments,
    pub(crate) config: &'a Config,
    /// Tells errors only.
    pub(crate) is_quiet: bool,
}

/// Runs a script.
pub(crate) fn run(order: &Order<'_>, text: &ScriptText) -> Result<ExitCode> {
    let arguments = order.arguments;
    let (output, _) = order.config.get(Key::Output);
    let style = OutputFormat::named(output.unwrap_or_default());
    let view = View { style, limit: arguments.limit, ..View::default() };
    let mut script = planner(&view).plan(&text.text)?;
    report::say(&lines(&script.outputs))?;
    let mut options = options(order.config, text, &script.settings)?;
    options.is_fresh = arguments.fresh;
    options.continues = arguments.continues;
    options.stats = arguments.stats.clone();
    let Some(plan) = script.plan.take() else { return Ok(ExitCode::SUCCESS) };
    let (plan, analysis) = analyze::prepare(&script, plan, &mut options, arguments.limit)?;
    view.learn(&plan);
    if !order.is_quiet {
        options.watcher = report::watcher(shows_rows(&plan));
        if analysis.is_none() {
            report::notify(&script.notices);
        }
        tell_clock(&options);
    }
    if let Some(analysis) = &analysis {
        analysis.watch(&mut options);
    }
    let runtime = runtime()?;
    let (control, inbox) = Control::new();
    console::listen(&runtime, control, arguments.drain)?;
    let outcome = thalweg_cluster::run(plan, &options, inbox, runtime.handle().clone())?;
    if let Some(analysis) = analysis {
        analysis.print(&outcome.counts, outcome.elapsed)?;
    }
    if !order.is_quiet {
        report::summarize(&outcome);
    }
    Ok(match outcome.end {
        End::Aborted => ExitCode::from(130),
        _ => ExitCode::SUCCESS,
    })
}

/// Tells that the clock stands still, if it does: what is to come by the clock never comes.
pub(crate) fn tell_clock(options: &RunOptions) {
    if let Some(clock) = options.clock {
        report::tell(format_args!("note: the clock stands still at {clock}\n"));
    }
}

/// Returns what is said, one a line.
fn lines(outputs: &[String]) -> String {
    outputs.iter().map(|output| format!("{output}\n")).collect()
}

/// Does the job write rows to standard output?
pub(crate) fn shows_rows(plan: &Plan) -> bool {
    plan.nodes.iter().any(|node| match &node.kind {
        NodeKind::Sink(sink) => sink.sink.is_local(),
        _ => false,
    })
}

/// Returns how a script is run, by what is configured and what it sets itself.
pub(crate) fn options(
    config: &Config,
    text: &ScriptText,
    settings: &BTreeMap<String, String>,
) -> Result<RunOptions> {
    let setting = |key: &str| settings.get(key).map(String::as_str);
    let wrong = |what: &str, value: &str| Error::invalid(format!("{what} cannot be '{value}'"));
    let number = |key: Key, script: Option<&str>, what: &str| -> Result<usize> {
        let value = config.with_script(key, script).unwrap_or_default();
        value.trim().parse().map_err(|_| wrong(what, value))
    };
    let workers = number(Key::Workers, setting("parallelism.default"), "the number of workers")?;
    if !(1..=256).contains(&workers) {
        return Err(Error::invalid(format!("{workers} workers: there can be 1 to 256")));
    }
    let interval = setting("execution.checkpointing.interval");
    let interval = config.with_script(Key::CheckpointInterval, interval).unwrap_or_default();
    let checkpoint_interval =
        parse_duration(interval).ok_or_else(|| wrong("the time between checkpoints", interval))?;
    let processes = number(Key::Processes, None, "the number of processes")?;
    if processes == 0 || !workers.is_multiple_of(processes) {
        return Err(Error::invalid(format!(
            "{workers} workers cannot be shared evenly by {processes} processes"
        ))
        .remedy("give --workers a multiple of --processes"));
    }
    let (limit, _) = config.get(Key::MemoryLimit);
    let limit = limit.unwrap_or_default();
    let memory_limit = MemoryLimit::parse(limit).ok_or_else(|| wrong("the memory limit", limit))?;
    let clock = config.get(Key::Clock).0;
    let read = |clock| FixedClock::parse(clock).ok_or_else(|| wrong("the clock", clock));
    let launch = || -> Result<Launch> {
        let program = std::env::current_exe()
            .map_err(|error| Error::failed(format!("cannot find this program: {error}")))?;
        let (command, script) = ("member".to_owned(), text.text.clone());
        Ok(Launch { program, command, environment: config.for_members(), script })
    };
    Ok(RunOptions {
        others: if processes > 1 { Some((launch()?, processes)) } else { None },
        job: setting("pipeline.name").map_or_else(|| name_of(text), safe),
        workers,
        state: config.get(Key::StateDir).0.map(str::to_owned),
        checkpoint_interval,
        is_fresh: false,
        continues: false,
        stats: None,
        watcher: None,
        memory_limit: memory_limit.of_process(processes),
        clock: clock.map(read).transpose()?,
        holder: format!("process {} running `{}`", std::process::id(), text.name),
    })
}

/// Takes part in the job of another process.
pub(crate) fn member(address: &str, index: usize, config: &Config) -> Result<ExitCode> {
    let token = std::env::var(TOKEN)
        .map_err(|_| Error::invalid("`thalweg member` is started by `thalweg run --processes`"))?;
    let runtime = runtime()?;
    // Rows of a bare SELECT are shown by the first process, in its style.
    let (output, _) = config.get(Key::Output);
    let view = View::new(OutputFormat::named(output.unwrap_or_default()), None);
    let plan = |script: &str| {
        let script = planner(&view).plan(script)?;
        let plan = script.plan.ok_or_else(|| Error::internal("the script makes no job"))?;
        Ok(if script.analyzes { analyze::without_rows(plan, None) } else { plan })
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
pub(crate) fn safe(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = name.chars().map(keep).collect();
    if name.trim_matches('_').is_empty() { "job".to_owned() } else { name }
}

/// Plans a script and says that it is right.
pub(crate) fn check(text: &ScriptText, is_quiet: bool) -> Result<ExitCode> {
    let script = planner(&View::default()).plan(&text.text)?;
    if !is_quiet {
        report::notify(&script.notices);
    }
    let plural = if script.statements == 1 { "" } else { "s" };
    report::say(&format!("ok: {} statement{plural}\n", script.statements))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints how a script would run.
pub(crate) fn explain(text: &ScriptText) -> Result<ExitCode> {
    let script = planner(&View::default()).plan(&text.text)?;
    let mut text = lines(&script.outputs);
    if let Some(plan) = script.plan {
        text.push_str(&explain::explain(&plan));
        text.extend(script.notices.iter().map(|notice| format!("-- {notice}\n")));
    }
    report::say(&text)?;
    Ok(ExitCode::SUCCESS)
}
