//! `\h`: how statements are written.

use thalweg_plan::connector::nearest;
use thalweg_types::{Error, Result};

/// Statements, and how each is written.
const STATEMENTS: [(&str, &str); 13] = [
    (
        "CREATE TABLE",
        "CREATE [TEMPORARY] TABLE [IF NOT EXISTS] name (
  column type [NOT NULL] [COMMENT 'text'],
  column AS expression,
  WATERMARK FOR column AS expression,
  PRIMARY KEY (column, …) NOT ENFORCED
) WITH ('connector' = '…', 'key' = 'value', …);",
    ),
    (
        "CREATE VIEW",
        "CREATE [TEMPORARY] VIEW [IF NOT EXISTS] name [(column, …)] [COMMENT 'text'] AS query;",
    ),
    ("INSERT", "INSERT INTO table [(column, …)] query;"),
    (
        "SELECT",
        "[WITH name AS (query), …]
SELECT [DISTINCT] expression [[AS] name], …
FROM table | view | (query) | TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), INTERVAL '1' MINUTE))
[WHERE condition]
[GROUP BY expression, …] [HAVING condition]
[UNION ALL query]
[ORDER BY expression [ASC | DESC], …] [LIMIT count];",
    ),
    (
        "EXECUTE STATEMENT SET",
        "EXECUTE STATEMENT SET BEGIN
  INSERT INTO …;
  INSERT INTO …;
END;",
    ),
    ("EXPLAIN", "EXPLAIN [PLAN FOR] query | INSERT … | STATEMENT SET BEGIN … END;"),
    ("SET", "SET;\nSET 'key' = 'value';"),
    ("RESET", "RESET;\nRESET 'key';"),
    ("SHOW", "SHOW TABLES | VIEWS | FUNCTIONS;"),
    ("DESCRIBE", "DESCRIBE table;"),
    ("DROP TABLE", "DROP [TEMPORARY] TABLE [IF EXISTS] name;"),
    ("DROP VIEW", "DROP [TEMPORARY] VIEW [IF EXISTS] name;"),
    ("QUIT", "QUIT;\nEXIT;"),
];

/// Returns the statements that there is help on.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    STATEMENTS.iter().map(|(name, _)| *name)
}

/// Returns how a statement is written, or which statements there are.
///
/// # Errors
/// `Invalid` if there is no such statement.
pub(super) fn help(statement: Option<&str>) -> Result<String> {
    let Some(statement) = statement else {
        let names: Vec<&str> = names().collect();
        return Ok(format!("\\h shows how one of these is written:\n  {}\n", names.join("\n  ")));
    };
    let words: Vec<&str> = statement.split_whitespace().collect();
    let wanted = words.join(" ").to_uppercase();
    let texts: Vec<&str> = STATEMENTS
        .iter()
        .filter(|(name, _)| name.starts_with(&wanted))
        .map(|(_, text)| *text)
        .collect();
    if texts.is_empty() {
        let error = Error::invalid(format!("there is no statement `{wanted}`"));
        let known: Vec<&str> = names().collect();
        return Err(error.remedy(match nearest(&wanted, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`\\h` lists them".to_owned(),
        }));
    }
    Ok(texts.join("\n\n") + "\n")
}

#[cfg(test)]
mod tests;
