//! `thalweg`: streaming SQL on one machine or many.
//!
//! Reads the command line, runs what it asks for, and turns the outcome into an exit code: 0 done
//! or stopped, 1 failed, 2 usage or SQL, 3 bad data, 4 state unreadable or held, 130 stopped at
//! once. Rows go to standard output and nothing else does.
#![forbid(unsafe_code)]

mod cli;
mod report;
mod signals;
mod state;
mod wire;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    report::start_log();
    match cli::run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            report::draw(&failure);
            report::code_of(&failure.error)
        }
    }
}
