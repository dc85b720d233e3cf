//! Tables in Markdown that a program reads.
//!
//! A table stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`; its first row is the
//! header. Backquotes around words fall away.

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Line in the file, from 1.
    pub(crate) line: usize,
    pub(crate) cells: Vec<String>,
}

impl Row {
    /// Returns the words of a cell that stand between commas; a dash means none.
    pub(crate) fn list(&self, column: usize) -> Vec<&str> {
        let cell = self.cells.get(column).map_or("", String::as_str);
        let words = cell.split(',').map(str::trim);
        words.filter(|word| !word.is_empty() && *word != "–" && *word != "-").collect()
    }
}

/// Returns the rows of the table `name`, without its header; `None` if there is no such table.
pub(crate) fn rows(text: &str, name: &str) -> Option<Vec<Row>> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| line.trim() != begin);
    lines.next()?;
    let inside = lines.take_while(|(_, line)| line.trim() != end);
    let rows = inside.filter(|(_, line)| line.trim().starts_with('|')).map(|(at, line)| {
        let inner = line.trim().trim_matches('|');
        let cells = inner.split('|').map(|cell| cell.trim().replace('`', ""));
        Row { line: at + 1, cells: cells.collect() }
    });
    // Header and rule.
    Some(rows.skip(2).collect())
}
