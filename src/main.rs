//! `thalweg`: streaming SQL on one machine or many.
//!
//! Reads the command line, runs what it asks for, and turns the outcome into an exit code: 0 done
//! or stopped, 1 failed, 2 usage or SQL, 3 bad data, 4 state unreadable or held, 130 stopped at
//! once. Rows go to standard output and nothing else does.
#![forbid(unsafe_code)]

mod arguments;

mod report;
mod signals;

mod wire;

mod bench;
mod state;

use std::process::ExitCode;

use arguments::{Arguments, BenchCommand, Command, StateCommand};
use clap::Parser;
use report::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    report::start_log();
    report::hush_connections();
    match run(arguments.command) {
        Ok(code) => code,
        Err(failure) => {
            report::draw(&failure);
            report::code_of(&failure.error)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(arguments) => {
            let script = arguments.script.read()?;
            wire::run(&arguments, &script).map_err(|error| Failure::of(error, &script))
        }
        Command::Explain(arguments) => {
            let script = arguments.read()?;
            wire::explain(&script).map_err(|error| Failure::of(error, &script))
        }
        Command::Bench { command: BenchCommand::Nexmark(arguments) } => {
            Ok(bench::nexmark(&arguments)?)
        }
        Command::Member { address, index } => Ok(wire::member(&address, index)?),
        Command::State { command: StateCommand::List { state_dir } } => {
            Ok(state::list(&state_dir)?)
        }
        Command::State { command: StateCommand::Show { state_dir } } => {
            Ok(state::show(&state_dir)?)
        }
    }
}
