//! The running mean of each sensor as a Rust program: the same job as `query.sql` beside it.
//!
//!     cargo run --example running-mean
//!
//! Flags: the number of workers, and the folder that the answer is written to.

use thalweg::{Record, RunOptions, Timestamp, average, count};

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

fn main() -> thalweg::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let workers = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2);
    let output = arguments.next().unwrap_or_else(|| "output/running-mean-rust".to_owned());
    let job = thalweg::job();
    let input = [("path", "examples/running-mean/readings.csv"), ("format", "csv")];
    job.source::<Reading>("readings", "filesystem", &input)
        .stream()?
        .key_by(|reading: &Reading| reading.sensor.clone())
        .aggregate::<Mean>("means", vec![count(), average(|reading: &Reading| reading.degrees)])?
        .sink("means", "filesystem", &[("path", &output), ("format", "debezium-json")])?;
    let outcome = thalweg::run(job, &RunOptions { workers, ..RunOptions::new("running-mean") })?;
    println!("done in {:.2} s; the means are in {output}", outcome.elapsed.as_secs_f64());
    Ok(())
}
