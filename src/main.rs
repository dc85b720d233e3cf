//! `thalweg`: streaming SQL on one machine or many.
//!
//! Reads the command line, runs what it asks for, and turns the outcome into an exit code: 0 done
//! or stopped, 1 failed, 2 usage or SQL, 3 bad data, 4 state unreadable or held, 130 stopped at
//! once. Rows go to standard output and nothing else does.
#![forbid(unsafe_code)]

mod config;

mod arguments;

mod report;
mod signals;

mod analyze;

mod wire;

mod lookup;

mod bench;
mod schema;
mod shell;
mod state;

use std::process::ExitCode;

use arguments::{Arguments, BenchCommand, Command, Manner, Shell, StateCommand};
use clap::{CommandFactory, Parser};
use config::{Config, Key};
use report::{Failure, LogFormat};
use thalweg_types::Result;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    report::hush_connections();
    match run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            report::draw(&failure);
            report::code_of(&failure.error)
        }
    }
}

/// Reads the configuration. Another process of a job is told everything by the first one, so it
/// looks at no file.
fn configure(manner: &Manner, command: &Command) -> Result<Config> {
    let mut config = Config::usual();
    if !matches!(command, Command::Member { .. }) {
        config.read_file(manner.config.as_deref())?;
    }
    config.read_environment(|name| std::env::var(name).ok())?;
    manner.configure(&mut config);
    match command {
        Command::Run(arguments) => arguments.tuning.configure(&mut config),
        Command::Sql(arguments) => arguments.tuning.configure(&mut config),
        Command::Config(tuning) => tuning.configure(&mut config),
        _ => {}
    }
    Ok(config)
}

/// What is said where nothing is asked for.
const HINT: &str = "\
thalweg sql opens a shell for streaming SQL; thalweg run FILE runs a script.
thalweg --help shows all commands.
";

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { manner, command } = arguments;
    let Some(command) = command else {
        report::tell(format_args!("{HINT}"));
        return Ok(ExitCode::from(2));
    };
    if let Command::Completions { shell } = command {
        return Ok(complete(shell)?);
    }
    let config = configure(&manner, &command)?;
    let format = match config.get(Key::LogFormat).0 {
        Some("json") => LogFormat::Json,
        _ => LogFormat::Text,
    };
    report::start_log(config.get(Key::LogLevel).0.unwrap_or_default(), format);
    obey(command, &config, manner.quiet)
}

fn obey(command: Command, config: &Config, is_quiet: bool) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(arguments) => {
            let script = arguments.script.read()?;
            let order = wire::Order { arguments: &arguments, config, is_quiet };
            wire::run(&order, &script).map_err(|error| Failure::of(error, &script))
        }
        Command::Sql(arguments) => shell::shell(&arguments, config, is_quiet),
        Command::Explain(arguments) => {
            let script = arguments.read()?;
            wire::explain(&script).map_err(|error| Failure::of(error, &script))
        }
        Command::Check(arguments) => {
            let script = arguments.read()?;
            wire::check(&script, is_quiet).map_err(|error| Failure::of(error, &script))
        }
        Command::Schema(arguments) => Ok(schema::schema(&arguments, is_quiet)?),
        Command::Config(_) => {
            report::say(&config.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => Ok(complete(shell)?),
        Command::Bench { command: BenchCommand::Nexmark(arguments) } => {
            Ok(bench::nexmark(&arguments)?)
        }
        Command::Member { address, index } => Ok(wire::member(&address, index, config)?),
        Command::State { command: StateCommand::List { state_dir } } => {
            Ok(state::list(&state_dir)?)
        }
        Command::State { command: StateCommand::Show(arguments) } => Ok(state::show(&arguments)?),
    }
}

/// Prints what a shell needs to complete commands.
fn complete(shell: Shell) -> Result<ExitCode> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "thalweg", &mut text);
    report::say(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}
