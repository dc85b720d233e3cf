//! Is what a command showed what its page says?

/// Stands for anything within a line, or alone on a line for any lines.
pub(super) const ANY: &str = "…";

/// Compares line by line; blanks at the end of a line cannot be seen on a page, and do not count.
pub(super) fn fits(expected: &[String], shown: &[String]) -> bool {
    match (expected.split_first(), shown.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == ANY => {
            (0..=shown.len()).any(|skipped| fits(rest, &shown[skipped..]))
        }
        (Some((first, rest)), Some((line, others))) => line_fits(first, line) && fits(rest, others),
        _ => false,
    }
}

/// Compares a line in which `…` may stand.
pub(super) fn line_fits(expected: &str, line: &str) -> bool {
    let mut pieces = expected.trim_end().split(ANY);
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = line.trim_end().strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}
