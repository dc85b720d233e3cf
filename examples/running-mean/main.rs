//! The running mean of each sensor as a Rust program: the same job as `query.sql` beside it.
//!
//!     cargo run --example running-mean
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;

use thalweg::{Record, Timestamp, average, count};

/// What a sensor said.
#[derive(Clone, Record)]
struct Reading {
    sensor: String,
    degrees: f64,
    read_time: Timestamp,
}

/// What it said so far, on average.
#[derive(Clone, Record)]
struct Mean {
    sensor: String,
    readings: i64,
    mean: Option<f64>,
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/running-mean-rust", String::as_str);
        let input = [("path", "examples/running-mean/readings.csv"), ("format", "csv")];
        job.source::<Reading>("readings", "filesystem", &input)
            .stream()?
            .key_by(|reading| reading.sensor.clone())
            .aggregate::<Mean>("means", vec![count(), average(|r: &Reading| r.degrees)])?
            .sink("means", "filesystem", &[("path", output), ("format", "debezium-json")])
    })
}
