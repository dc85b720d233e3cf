//! Word count as a Rust program: the same job as `query.sql` beside it.
//!
//!     cargo run --example word-count
//!
//! Flags: the number of workers, and the folder that the answer is written to.

use thalweg::{Record, RunOptions, count};

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

fn main() -> thalweg::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let workers = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2);
    let output = arguments.next().unwrap_or_else(|| "output/word-count-rust".to_owned());
    let job = thalweg::job();
    let input = [("path", "examples/word-count/lines.txt"), ("format", "raw")];
    job.source::<Line>("lines", "filesystem", &input)
        .stream()?
        .flat_map(words)
        .key_by(|word: &Word| word.word.clone())
        .aggregate::<Count>("counts", vec![count()])?
        .sink("counts", "filesystem", &[("path", &output), ("format", "debezium-json")])?;
    let outcome = thalweg::run(job, &RunOptions { workers, ..RunOptions::new("word-count") })?;
    println!("counted in {:.2} s; the counts are in {output}", outcome.elapsed.as_secs_f64());
    Ok(())
}
