//! The exclamation topology of Storm: a first step puts a mark behind each word, and a second one puts a
//! mark behind the words and behind what the first step made of them. `query.sql` beside it says the same.
//!
//!     cargo run --example exclamation
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;

use thalweg::Record;

/// A word, with or without marks.
#[derive(Clone, Record)]
struct Word {
    word: String,
}

fn exclaim(word: Word) -> Word {
    Word { word: word.word + "!" }
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/exclamation-rust", String::as_str);
        let input = [("path", "examples/exclamation/words.txt"), ("format", "raw")];
        let words = job.source::<Word>("words", "filesystem", &input).stream()?;
        let once = words.clone().map(exclaim);
        words.union(once).map(exclaim).sink(
            "exclaimed",
            "filesystem",
            &[("path", output), ("format", "json")],
        )
    })
}
