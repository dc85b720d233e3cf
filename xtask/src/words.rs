//! Words that must not stand in code.
//!
//! A note to come back is worth nothing without the issue that brings somebody back; a path of one
//! machine means nothing on another; a file called after nothing collects everything.

use crate::scan::Scanned;
use crate::tree::{File, Tree};
use crate::violation::Violation;

/// Words and why not. Pieces are put together so that this file passes its own check.
const FORBIDDEN: [(&str, &str); 9] = [
    (concat!("FIX", "ME"), "open an issue, or fix it"),
    (concat!("XX", "X"), "say what is meant"),
    (concat!("dbg", "!("), "left over from a search for a defect"),
    (concat!("todo", "!("), "an unfinished function must not be reachable"),
    (concat!("unimplemented", "!("), "refuse with an error of kind `Invalid`"),
    (concat!("<<<<", "<<<"), "left over from a merge"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
];

/// Names of files that would hold anything.
const NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "misc"];

const TODO: &str = concat!("TO", "DO");

/// Checks the words of `file`.
pub(crate) fn check(file: &File, scanned: &Scanned) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for (word, why) in FORBIDDEN {
            if line.contains(word) {
                let message = format!("`{word}` must not stand here: {why}");
                found.push(Violation::new(&file.path, at + 1, message));
            }
        }
    }
    for (at, line) in scanned.comments.lines().enumerate() {
        if let Some((_, behind)) = line.split_once(TODO)
            && !names_issue(behind)
        {
            let message = format!("a {TODO} without an issue: write `{TODO}(#12)`");
            found.push(Violation::new(&file.path, at + 1, message));
        }
    }
    found
}

/// Is there `#` and a number right behind, in parentheses or not?
fn names_issue(behind: &str) -> bool {
    let behind = behind.trim_start_matches(['(', ' ', ':']);
    behind.strip_prefix('#').is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
}

/// Checks the names of files and their folders.
pub(crate) fn check_names(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.rust() {
        let mut parts = file.path.trim_end_matches(".rs").split('/');
        if let Some(part) = parts.find(|part| NAMES.contains(part)) {
            let message = format!("`{part}` is no name: say what the module is about");
            found.push(Violation::new(&file.path, 1, message));
        }
    }
    found
}

#[cfg(test)]
mod tests;
