//! The points of each team so far, when a minute of the clock begins: the snippet of the Dataflow model
//! (Akidau et al., VLDB 2015), a trigger that is repeated each minute and sums that accumulate. A script
//! says what comes, and what time it is. In `query.sql` beside it a minute begins with a score; here scores
//! come when a minute of the clock begins, so the answers are the same.
//!
//!     cargo run --example sums-each-minute
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;
use std::time::Duration;

use thalweg::{Pane, Record, Trigger, sum};

/// Points that a team made.
#[derive(Clone, Record)]
struct Score {
    team: String,
    points: i64,
}

/// The points of a team, and which of its panes this is.
#[derive(Clone, Record)]
struct Sum {
    team: String,
    points: Option<i64>,
    pane: Pane,
}

/// The same, in columns of plain values.
#[derive(Clone, Record)]
struct Told {
    team: String,
    points: Option<i64>,
    timing: String,
    pane: i64,
}

fn told(Sum { team, points, pane }: Sum) -> Told {
    Told { team, points, timing: pane.timing.name().to_owned(), pane: pane.index }
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/sums-each-minute-rust", String::as_str);
        let script = [("path", "examples/sums-each-minute/script.json")];
        let each_minute = Trigger::aligned(Duration::from_secs(60), Duration::ZERO).repeated();
        job.source::<Score>("scores", "script", &script)
            .stream()?
            .key_by(|score| score.team.clone())
            .global()
            .trigger(Trigger::after_watermark().early(each_minute))
            .accumulating()
            .aggregate::<Sum>("sums", vec![sum(|score: &Score| score.points)])?
            .map(told)
            .sink("told", "filesystem", &[("path", output), ("format", "json")])
    })
}
