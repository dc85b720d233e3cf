use super::*;

fn words() -> Words {
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Words {
        tables: vec![
            ("orders".to_owned(), columns(&["id", "price", "order"])),
            ("people".to_owned(), columns(&["id", "name"])),
        ],
        functions: columns(&["count", "regexp_extract", "upper"]),
        settings: vec!["parallelism.default", "pipeline.name"],
        connectors: vec![
            ("filesystem", vec!["connector", "path", "format"]),
            ("print", vec!["connector", "print-identifier"]),
        ],
    }
}

/// Completes at `|`.
fn offered(typed: &str) -> Vec<String> {
    let at = typed.find('|').unwrap();
    let found = complete(&typed.replace('|', ""), at, &words());
    let begun = &typed[found.start..at];
    assert!(found.words.iter().all(|w| begins(w.trim_matches('`'), begun)), "{begun} {found:?}");
    found.words
}

/// Would fail if Tab offered what cannot stand there, or not what can.
#[test]
fn what_may_stand_at_the_cursor_is_offered() {
    let check = |typed: &str, expected: &[&str]| assert_eq!(offered(typed), expected, "{typed}");
    check("SEL|", &["SELECT"]);
    check("sel|", &["select"]);
    check("SELECT 1; sh|", &["show"]);
    check("SELECT * FROM |", &["orders", "people"]);
    check("SELECT 1;|", &[]);
    check("select * from pe|", &["people"]);
    check("SELECT pri| FROM orders", &["price", "primary"]);
    check("SELECT regexp|", &["regexp_extract("]);
    check("SELECT UPP|", &["UPPER("]);
    check("SELECT na| FROM orders; SELECT 1 FROM people", &["natural"]);
    check("SELECT p.| FROM orders AS o JOIN people p ON o.id = p.id", &["id", "name"]);
    check("SELECT o.pr| FROM orders AS o", &["price"]);
    check("SELECT o.ord| FROM orders AS o", &["`order`"]);
    check("SELECT `ord| FROM", &["orders`"]);
    check("SELECT 1 FROM `ord|", &["orders`"]);
    check("SELECT 'ord|", &[]);
    check("DESCRIBE o|", &["orders"]);
    check("CREATE TABLE o|", &[]);
    check("SET '|", &["parallelism.default'", "pipeline.name'"]);
    check("RESET 'pi|", &["pipeline.name'"]);
    check("CREATE TABLE t (a INT) WITH ('connector' = 'f|", &["filesystem'"]);
    check("CREATE TABLE t (a INT) WITH ('connector' = 'print', 'p|", &["print-identifier'"]);
    check("CREATE TABLE t (a INT) WITH ('p|", &["path'", "print-identifier'"]);
    check("CREATE TABLE t (a INT) WITH ('format' = 'de|", &["debezium-json'"]);
    check("\\t|", &["\\timing"]);
    check("\\d or|", &["orders"]);
    check("SELECT 1\n\\format c|", &["csv"]);
}

/// Would fail if a column of the statement's table stood behind words that rarely follow.
#[test]
fn columns_come_first() {
    assert_eq!(offered("SELECT | FROM people")[..2], ["id", "name"]);
}

/// Would fail if a place in the middle of a letter, or behind the end, ended the shell.
#[test]
fn no_cursor_is_too_strange() {
    for at in 0..8 {
        complete("é'\\\u{0}", at, &words());
    }
}

/// Would fail if names of files were not found in their directory.
#[test]
fn files_are_offered() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("orders.csv"), "").unwrap();
    std::fs::write(place.path().join(".hidden"), "").unwrap();
    std::fs::create_dir(place.path().join("old")).unwrap();
    let folder = format!("{}/", place.path().display());
    let expected = vec![format!("{folder}old/"), format!("{folder}orders.csv")];
    assert_eq!(offered(&format!("\\i {folder}|")), expected);
    let typed = format!("CREATE TABLE t (a INT) WITH ('path' = '{folder}or|");
    assert_eq!(offered(&typed), [format!("{}'", expected[1])]);
}
