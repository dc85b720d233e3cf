//! Rules for one file.

/// Lines of a file at most, tests apart.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function at most, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Returns what is to mend in a file.
pub(super) fn check(name: &str, text: &str) -> Vec<String> {
    let is_test = name.contains("tests/") || name.ends_with("tests.rs");
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut mend = |line: usize, what: String| found.push(format!("{name}:{}: {what}", line + 1));
    if !is_test && !text.starts_with("//!") {
        mend(0, "the file does not open with `//!`".to_owned());
    }
    if !is_test && lines.len() > FILE_LINES_MAX {
        mend(0, format!("the file has {} lines, at most {FILE_LINES_MAX}", lines.len()));
    }
    for (at, line) in lines.iter().enumerate() {
        let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
        if let Some(mark) = marks.iter().find(|mark| line.contains(*mark))
            && !line.contains('#')
        {
            mend(at, format!("`{mark}` without the number of an issue"));
        }
    }
    for (at, length) in functions(&lines) {
        if length > FUNCTION_LINES_MAX {
            mend(at, format!("the function has {length} lines, at most {FUNCTION_LINES_MAX}"));
        }
    }
    found
}

/// Returns where each function begins and how many lines it has: formatted code closes a function
/// with a brace in the column where it began.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        if !is_function(code) || code.ends_with(';') {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let end = lines[at..].iter().position(|line| *line == closing);
        if let Some(end) = end.filter(|_| !code.ends_with('}')) {
            found.push((at, end + 1));
        }
    }
    found
}

fn is_function(code: &str) -> bool {
    let mut words = code.split_whitespace();
    words.by_ref().find(|word| {
        !word.starts_with("pub") && !["const", "async", "unsafe", "extern"].contains(word)
    }) == Some("fn")
}

#[cfg(test)]
mod tests;
