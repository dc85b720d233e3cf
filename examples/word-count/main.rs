//! Word count as a Rust program: the same job as `query.sql` beside it.
//!
//!     cargo run --example word-count
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;

use thalweg::{Record, count};

/// A line of the text.
#[derive(Clone, Record)]
struct Line {
    line: String,
}

/// A word of a line.
#[derive(Clone, Record)]
struct Word {
    word: String,
}

/// How often a word came.
#[derive(Clone, Record)]
struct Count {
    word: String,
    occurrences: i64,
}

fn words(line: Line) -> Vec<Word> {
    line.line.split(' ').map(|word| Word { word: word.to_owned() }).collect()
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/word-count-rust", String::as_str);
        let input = [("path", "examples/word-count/lines.txt"), ("format", "raw")];
        job.source::<Line>("lines", "filesystem", &input)
            .stream()?
            .flat_map(words)
            .key_by(|word| word.word.clone())
            .aggregate::<Count>("counts", vec![count()])?
            .sink("counts", "filesystem", &[("path", output), ("format", "debezium-json")])
    })
}
