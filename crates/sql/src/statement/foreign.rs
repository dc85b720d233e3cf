//! Statements of Flink's that mean nothing here, or nothing yet.
//!
//! Invariant: none passes in silence. What changes no result is named in a notice; what would is
//! refused, with what to do instead.

use thalweg_types::{Error, Result};

use super::{CATALOG, DATABASE, Kind, if_not_exists, name, table_name};
use crate::text;
use crate::tokens::Tokens;

/// Statements that are there, for whoever writes another one.
const STATEMENTS: &str = "statements are CREATE TABLE, CREATE VIEW, INSERT INTO, SELECT, SET, RESET, \
                          SHOW TABLES, DESCRIBE, DROP, EXPLAIN and EXECUTE STATEMENT SET";

/// First words of statements that cannot run, and what to do instead.
const REFUSED: [(&str, &str); 9] = [
    ("ALTER", "write CREATE TABLE as it should be, or CREATE TABLE … LIKE"),
    ("CALL", "there are no procedures"),
    ("COMPILE", "a script goes on from its state as long as its stateful parts stay the same"),
    ("DELETE", "a stream only adds; let a query leave out the rows"),
    ("MERGE", "a stream only adds; write the changes to a table with 'format' = 'debezium-json'"),
    ("STOP", "end the program by Ctrl-C or SIGTERM: it keeps its state"),
    ("TRUNCATE", "a stream only adds; remove the files of the table"),
    ("UPDATE", "a stream only adds; let a query give the rows as they should be"),
    ("UNLOAD", "all functions are in the program"),
];

/// Reads a statement that begins like none of ours.
pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Kind> {
    let first = tokens.peek().clone();
    if tokens.take_word("USE") {
        return use_name(tokens);
    }
    for (words, why) in [
        (["ADD", "JAR"], "ADD JAR changes nothing: all connectors are in the program"),
        (["REMOVE", "JAR"], "REMOVE JAR changes nothing: all connectors are in the program"),
        (["LOAD", "MODULE"], "LOAD MODULE changes nothing: all functions are in the program"),
        (["ANALYZE", "TABLE"], "ANALYZE TABLE changes nothing: plans do not depend on statistics"),
    ] {
        if tokens.take_words(&words) {
            return Ok(Kind::Ignored(why.to_owned()));
        }
    }
    let refused = REFUSED.iter().find(|(word, _)| tokens.take_word(word));
    Err(match refused {
        Some((word, instead)) => {
            text::at(&first, format!("{word} is no statement here")).remedy(*instead)
        }
        None => tokens.expected("a statement").remedy(STATEMENTS),
    })
}

/// Reads `USE`: there is one catalog and one database, and tables of any are found in it.
fn use_name(tokens: &mut Tokens<'_>) -> Result<Kind> {
    let is_catalog = tokens.take_word("CATALOG");
    if tokens.take_word("MODULES") {
        return Ok(Kind::Ignored("USE MODULES changes nothing: all functions are here".to_owned()));
    }
    let name = table_name(tokens)?;
    tokens.finish()?;
    let (what, only) = if is_catalog { ("catalog", CATALOG) } else { ("database", DATABASE) };
    if is_catalog && name.text != only {
        return Err(no_catalog(text::at(&name.at, format!("there is no catalog `{}`", name.text))));
    }
    Ok(Kind::Ignored(format!("USE changes nothing: all tables are in one {what}")))
}

fn no_catalog(error: Error) -> Error {
    error.remedy("declare the tables by CREATE TABLE; catalogs are in ROADMAP.md under \"A streaming database\"")
}

/// Reads what `CREATE` makes in Flink and not here.
pub(super) fn create(tokens: &mut Tokens<'_>) -> Result<Option<Kind>> {
    let first = tokens.peek().clone();
    let mut ahead = tokens.clone();
    ahead.take_word("TEMPORARY");
    ahead.take_word("SYSTEM");
    if ahead.take_word("FUNCTION") {
        return Err(text::at(&first, "user functions are not supported yet")
            .remedy("SHOW FUNCTIONS lists what is there; ROADMAP.md has them under \"Python\""));
    }
    if ahead.take_word("CATALOG") {
        return Err(no_catalog(text::at(&first, "catalogs are not supported yet")));
    }
    if tokens.take_word("DATABASE") {
        if_not_exists(tokens);
        let name = name(tokens)?;
        let why = format!("CREATE DATABASE {} changes nothing: all tables are in one", name.text);
        return Ok(Some(Kind::Ignored(why)));
    }
    Ok(None)
}
