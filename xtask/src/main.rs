//! `cargo run -q -p xtask -- tidy`: what STYLE.md and ARCHITECTURE.md ask for and a machine can check.
//!
//! What must always hold: the same tree gives the same list, in the order of files and lines; each
//! line of it reads `file:line: message`. It does *not* parse Rust: a scanner that knows strings,
//! comments and braces is enough for these rules, and needs no dependency.
#![forbid(unsafe_code)]

mod violation;

mod tree;

mod scan;

mod table;

mod arrows;
mod docs;
mod lengths;
mod rings;
mod words;

use std::path::Path;
use std::process::ExitCode;

use tree::Tree;
use violation::Violation;

/// Runs every check; returns what they found, in the order of files and lines.
fn tidy(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.rust() {
        let scanned = scan::scan(&file.text);
        found.extend(docs::check(file));
        found.extend(lengths::check(file, &scanned));
        found.extend(words::check(file, &scanned));
    }
    found.extend(words::check_names(tree));
    found.extend(arrows::check(tree));
    found.extend(rings::check(tree));
    found.sort();
    found
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["tidy"] {
        eprintln!("usage: cargo run -q -p xtask -- tidy");
        return ExitCode::from(2);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let tree = match Tree::read(root) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let found = tidy(&tree);
    found.iter().for_each(|violation| println!("{violation}"));
    match found.len() {
        0 => {
            println!("tidy: {} files, nothing to say", tree.rust().count());
            ExitCode::SUCCESS
        }
        count => {
            println!("tidy: {count} violations");
            ExitCode::FAILURE
        }
    }
}
