//! Checks that the compiler cannot make: `cargo run -p xtask -- tidy`.
#![forbid(unsafe_code)]

mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => match tidy::check(root) {
            Ok(found) if found.is_empty() => {
                println!("tidy: nothing to mend");
                ExitCode::SUCCESS
            }
            Ok(found) => {
                found.iter().for_each(|line| eprintln!("{line}"));
                eprintln!("tidy: {} things to mend", found.len());
                ExitCode::FAILURE
            }
            Err(error) => {
                eprintln!("tidy: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: cargo run -p xtask -- tidy");
            ExitCode::from(2)
        }
    }
}
