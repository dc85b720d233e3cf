//! Tables in partitions: what is written into which folder, and which folders are read.

use crate::support::{Lines, Place};

const TABLES: &str = "
    CREATE TABLE visits (id INT, who STRING, at DATE, hr INT)
    WITH ('connector' = 'filesystem', 'path' = 'in.json', 'format' = 'json');
    CREATE TABLE stored (at DATE, id INT, hr INT, who STRING) PARTITIONED BY (at, hr)
    WITH ('connector' = 'filesystem', 'path' = 'stored', 'format' = 'csv');";

fn place() -> Place {
    let place = Place::new();
    let rows = r#"{"id":1,"who":"ann","at":"2024-05-01","hr":7}
{"id":2,"who":"bob","at":"2024-05-02","hr":7}
{"id":3,"who":"cay","at":"2024-05-01","hr":7}
{"id":4,"who":"dee","at":"2024-05-01"}
"#;
    place.write("in.json", rows);
    place
}

fn run(place: &Place, statement: &str) -> String {
    place.succeed(&["run", "-e", &format!("{TABLES} {statement}"), "--output", "csv"])
}

fn lines(lines: &[&str]) -> Lines {
    lines.iter().map(|line| ((*line).to_owned(), 1)).collect()
}

/// Would fail if a row went into another folder than its values say, or they stood in its file.
#[test]
fn rows_go_to_the_folders_of_their_values() {
    let place = place();
    run(&place, "INSERT INTO stored SELECT at, id, hr, who FROM visits");
    let none = "at=2024-05-01/hr=__DEFAULT_PARTITION__/4,dee";
    let all =
        ["at=2024-05-01/hr=7/1,ann", "at=2024-05-02/hr=7/2,bob", "at=2024-05-01/hr=7/3,cay", none];
    assert_eq!(place.published("stored"), lines(&all));
    assert_eq!(place.staged("stored"), 0);
    let back = run(&place, "SELECT * FROM stored WHERE id > 2");
    let mut back: Vec<&str> = back.lines().skip(1).collect();
    back.sort_unstable();
    assert_eq!(back, ["2024-05-01,3,7,cay", "2024-05-01,4,,dee"]);
}

/// Would fail if PARTITION were overlooked, or took another column's place.
#[test]
fn partition_gives_all_rows_one_value() {
    let place = place();
    run(
        &place,
        "INSERT INTO stored PARTITION (at = '2030-01-01') SELECT id, hr, who FROM visits WHERE id < 3",
    );
    run(
        &place,
        "INSERT INTO stored PARTITION (hr = 5, at = DATE '2031-01-01') (who, id) SELECT who, id FROM visits WHERE id = 4",
    );
    let all = ["at=2030-01-01/hr=7/1,ann", "at=2030-01-01/hr=7/2,bob", "at=2031-01-01/hr=5/4,dee"];
    assert_eq!(place.published("stored"), lines(&all));
}

/// Would fail if two statements that write one table overwrote each other's files.
#[test]
fn two_statements_may_write_one_table() {
    let place = place();
    run(
        &place,
        "INSERT INTO stored PARTITION (at = '2030-01-01', hr = 1) SELECT id, who FROM visits WHERE id < 3;
         INSERT INTO stored PARTITION (at = '2030-01-01', hr = 1) SELECT id, who FROM visits WHERE id > 2",
    );
    let folder = "at=2030-01-01/hr=1/";
    let all = ["1,ann", "2,bob", "3,cay", "4,dee"].map(|row| format!("{folder}{row}"));
    assert_eq!(place.published("stored"), lines(&all.each_ref().map(String::as_str)));
}

/// Would fail if a file were opened that no scan asks for, or left out that one does.
#[test]
fn folders_that_nobody_asks_for_are_not_opened() {
    let place = place();
    run(&place, "INSERT INTO stored SELECT at, id, hr, who FROM visits");
    place.write("stored/at=2024-05-03/hr=7/broken.csv", "this is, no row, at all\n");
    let plan = run(
        &place,
        "EXPLAIN SELECT who FROM stored WHERE at < DATE '2024-05-03' AND hr = 7 AND id > 0",
    );
    assert!(
        plan.contains("opens only partitions that pass: filter at < 2024-05-03 AND hr = 7"),
        "{plan}"
    );
    let one =
        run(&place, "SELECT who FROM stored WHERE at < DATE '2024-05-03' AND hr = 7 AND id > 1");
    let mut one: Vec<&str> = one.lines().skip(1).collect();
    one.sort_unstable();
    assert_eq!(one, ["bob", "cay"]);
    let two = run(
        &place,
        "SELECT who FROM stored WHERE at = DATE '2024-05-02' UNION ALL SELECT who FROM stored WHERE hr IS NULL",
    );
    let mut two: Vec<&str> = two.lines().skip(1).collect();
    two.sort_unstable();
    assert_eq!(two, ["bob", "dee"]);
    let script = format!("{TABLES} SELECT who FROM stored WHERE id = 1 OR at = DATE '2024-05-02'");
    let all = place.run(&["run", "-e", &script]);
    assert_eq!(all.status.code(), Some(3), "what asks for more opens everything");
}
