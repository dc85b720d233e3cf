//! Every file opens with `//!`: what it is for.

use crate::tree::File;
use crate::violation::Violation;

/// Checks that `file` opens with module documentation; test files may do without.
pub(crate) fn check(file: &File) -> Vec<Violation> {
    if file.is_test() || file.text.starts_with("//! ") {
        return Vec::new();
    }
    let message = "the file does not open with `//!`: say what it is for and what it does not do";
    vec![Violation::new(&file.path, 1, message)]
}

#[cfg(test)]
mod tests;
