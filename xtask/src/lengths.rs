//! Lengths of files and functions, in lines.

use crate::scan::Scanned;
use crate::tree::File;
use crate::violation::Violation;

/// Lines of a file, tests apart.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Checks the lengths of `file` and its functions.
pub(crate) fn check(file: &File, scanned: &Scanned) -> Vec<Violation> {
    let mut found = Vec::new();
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX && !file.is_test() {
        let message = format!("the file has {lines} lines, more than {FILE_LINES_MAX}");
        found.push(Violation::new(&file.path, FILE_LINES_MAX + 1, message));
    }
    for function in functions(&scanned.code) {
        if function.lines > FUNCTION_LINES_MAX {
            let Function { name, line, lines } = function;
            let message =
                format!("function `{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}");
            found.push(Violation::new(&file.path, line, message));
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
struct Function<'a> {
    name: &'a str,
    /// Line of `fn`, from 1.
    line: usize,
    lines: usize,
}

/// Finds functions that have a body, in code without strings and comments.
fn functions(code: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c == '_' || c.is_alphanumeric()) {
            continue;
        }
        let rest = &code[at + 3..];
        let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        let Some(length) = body_end(&rest[end..]) else { continue };
        if end > 0 {
            let line = code[..at].matches('\n').count() + 1;
            let lines = rest[..end + length].matches('\n').count() + 1;
            found.push(Function { name: &rest[..end], line, lines });
        }
    }
    found
}

/// Returns where the body behind a signature ends; `None` if there is none.
fn body_end(code: &str) -> Option<usize> {
    let (mut round, mut curly) = (0_usize, 0_usize);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round = round.saturating_sub(1),
            b'{' => curly += 1,
            b'}' => {
                curly = curly.checked_sub(1)?;
                if curly == 0 && round == 0 {
                    return Some(at);
                }
            }
            b';' if curly == 0 && round == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
