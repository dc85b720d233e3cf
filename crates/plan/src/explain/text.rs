//! Words in lines, names of columns, and spans of time in words.

use std::time::Duration;

use arrow::datatypes::SchemaRef;

/// Cuts `text` at spaces into lines of at most `width` characters; a longer word is a line.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Says how long a span is, in the greatest unit that fits it.
pub(super) fn span(span: Duration) -> String {
    const UNITS: [(u128, &str); 6] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let nanos = span.as_nanos();
    let unit = UNITS.into_iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) => format!("{} {name}", nanos / unit),
        None => format!("{nanos} ns"),
    }
}

/// Returns the names of some columns.
pub(super) fn columns(schema: &SchemaRef, columns: &[usize]) -> String {
    let names: Vec<&str> = columns.iter().map(|c| schema.field(*c).name().as_str()).collect();
    names.join(", ")
}

/// Says how long partitions are kept that have a time-to-live.
pub(super) fn partition_lived(ttl: Duration) -> String {
    format!(", each partition for {} after it was written", span(ttl))
}
