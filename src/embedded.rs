//! Programs that are one job: their command line, and their other processes.
//!
//! Invariant: each process makes the job anew, of the same arguments; that they made the same one is
//! checked before a row crosses between them.

use std::process::ExitCode;

use clap::Parser;
use thalweg_api::Job;
use thalweg_cluster::coordinator::End;
use thalweg_cluster::group::TOKEN;
use thalweg_cluster::options::Launch;
use thalweg_cluster::{Control, RunOptions, member};
use thalweg_plan::Plan;
use thalweg_plan::connector::parse_duration;
use thalweg_types::clock::FixedClock;
use thalweg_types::{Error, Result};

use crate::console;

/// The first argument of a process that another one started.
const MEMBER: &str = "thalweg-member";

/// How the job of a program is run.
#[derive(Debug, Parser)]
struct Flags {
    /// Worker threads, of all processes together; one for each core unless said otherwise
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Processes, between which the workers are shared
    #[arg(long, value_name = "N", default_value_t = 1)]
    processes: usize,
    /// Directory or s3:// prefix of the checkpoints; without it state ends with the run
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// Time between checkpoints
    #[arg(long, value_name = "TIME", default_value = "1s")]
    checkpoint_interval: String,
    /// Lets the clock stand still at a time in UTC, as '2026-01-01 00:00:00'
    #[arg(long, value_name = "TIME")]
    clock: Option<String>,
    /// Forget what the state directory holds
    #[arg(long)]
    fresh: bool,
    /// Go on reading though the job had finished before
    #[arg(long = "continue")]
    continues: bool,
    /// Say nothing of a run that goes well
    #[arg(short, long)]
    quiet: bool,
    /// What the program itself is told
    arguments: Vec<String>,
}

/// Runs a program that is one job, as its command line says; `build` makes the job, of the arguments
/// that are the program's own.
///
/// `--help` lists the flags. With `--processes` the program starts itself again, and each process calls
/// `build` with the same arguments: it must make the same job of them each time. Ctrl-C ends the job
/// with a last checkpoint.
///
/// ```no_run
/// use thalweg::{Record, count};
///
/// #[derive(Clone, Record)]
/// struct Word { word: String }
///
/// #[derive(Clone, Record)]
/// struct Count { word: String, occurrences: i64 }
///
/// fn main() -> std::process::ExitCode {
///     thalweg::main(|job, arguments| {
///         let path = arguments.first().map_or("words.txt", String::as_str);
///         job.source::<Word>("words", "filesystem", &[("path", path), ("format", "raw")])
///             .stream()?
///             .key_by(|word| word.word.clone())
///             .aggregate::<Count>("counts", vec![count()])?
///             .sink("counts", "print", &[])
///     })
/// }
/// ```
pub fn main(build: impl Fn(&Job, &[String]) -> Result<()>) -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (Some(MEMBER), Some(address), Some(index)) => serve(&address, &index, &build),
        _ => run(&Flags::parse(), &build),
    };
    outcome.unwrap_or_else(|error| {
        console::draw(&error, None);
        console::code_of(&error)
    })
}

/// Returns the plan of the job that `build` makes.
fn plan(arguments: &[String], build: &impl Fn(&Job, &[String]) -> Result<()>) -> Result<Plan> {
    let job = crate::job();
    build(&job, arguments)?;
    let plan = job.plan();
    plan.check_script()?;
    Ok(plan)
}

fn run(flags: &Flags, build: &impl Fn(&Job, &[String]) -> Result<()>) -> Result<ExitCode> {
    let options = options(flags)?;
    let plan = plan(&flags.arguments, build)?;
    let runtime = crate::runtime()?;
    let (control, inbox) = Control::new();
    console::listen(&runtime, control, false)?;
    let outcome = thalweg_cluster::run(plan, &options, inbox, runtime.handle().clone())?;
    if !flags.quiet {
        console::summarize(&outcome);
    }
    Ok(match outcome.end {
        End::Aborted => ExitCode::from(130),
        _ => ExitCode::SUCCESS,
    })
}

fn options(flags: &Flags) -> Result<RunOptions> {
    let Flags { processes, checkpoint_interval: interval, .. } = flags;
    let program = std::env::current_exe()
        .map_err(|error| Error::failed(format!("cannot find this program: {error}")))?;
    let name = program.file_stem().map(|name| name.to_string_lossy().into_owned());
    let usual = RunOptions::new(&name.unwrap_or_default());
    let workers =
        flags.workers.unwrap_or_else(|| usual.workers.next_multiple_of((*processes).max(1)));
    if !(1..=256).contains(&workers) {
        return Err(Error::invalid(format!("{workers} workers: there can be 1 to 256")));
    }
    if *processes == 0 || !workers.is_multiple_of(*processes) {
        return Err(Error::invalid(format!(
            "{workers} workers cannot be shared evenly by {processes} processes"
        ))
        .remedy("give --workers a multiple of --processes"));
    }
    let checkpoint_interval = parse_duration(interval).ok_or_else(|| {
        Error::invalid(format!("the time between checkpoints cannot be '{interval}'"))
    })?;
    let clock = flags.clock.as_deref().map(|clock| {
        FixedClock::parse(clock).ok_or_else(|| {
            Error::invalid(format!("the clock cannot be '{clock}'"))
                .remedy("write a time from 1970 to 2199 such as '2026-01-01 00:00:00'")
        })
    });
    let script = serde_json::to_string(&flags.arguments)
        .map_err(|error| Error::internal(format!("arguments cannot be written: {error}")))?;
    let (command, environment) = (MEMBER.to_owned(), Vec::new());
    let launch = Launch { program, command, environment, script };
    Ok(RunOptions {
        workers,
        others: (*processes > 1).then_some((launch, *processes)),
        state: flags.state_dir.clone(),
        checkpoint_interval,
        is_fresh: flags.fresh,
        continues: flags.continues,
        clock: clock.transpose()?,
        ..usual
    })
}

/// Takes part in the job of another process.
fn serve(
    address: &str,
    index: &str,
    build: &impl Fn(&Job, &[String]) -> Result<()>,
) -> Result<ExitCode> {
    let token = std::env::var(TOKEN).ok().zip(index.parse().ok());
    let (token, index) = token.ok_or_else(|| {
        Error::invalid(format!("`{MEMBER}` is what a process of a job is started with"))
    })?;
    let runtime = crate::runtime()?;
    let plan = |arguments: &str| {
        let arguments: Vec<String> = serde_json::from_str(arguments)
            .map_err(|error| Error::internal(format!("arguments cannot be read: {error}")))?;
        plan(&arguments, build)
    };
    member::serve(address, index, token, plan, runtime.handle().clone())?;
    Ok(ExitCode::SUCCESS)
}
