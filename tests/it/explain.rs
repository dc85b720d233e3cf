//! `EXPLAIN` for people, and `EXPLAIN ANALYZE`.

use std::fmt::Write;
use std::path::Path;

use crate::support::Place;

/// Tables that the queries read and write.
const TABLES: &str = "
    CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING,
        at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '4' SECOND)
    WITH ('connector' = 'filesystem', 'path' = 'bids', 'format' = 'json',
        'source.monitor-interval' = '1s', 'late-records' = 'table:late');
    CREATE TABLE late (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING,
        at TIMESTAMP(3))
    WITH ('connector' = 'filesystem', 'path' = 'late', 'format' = 'json');
    CREATE TABLE line (text STRING) WITH ('connector' = 'stdin', 'format' = 'raw');
    CREATE TABLE done (k STRING, n BIGINT)
    WITH ('connector' = 'filesystem', 'path' = 'done', 'format' = 'csv', 'bad-records' = 'skip');
    CREATE TABLE shown (k STRING, n BIGINT) WITH ('connector' = 'print');";

/// Would fail if an explanation changed unseen: `UPDATE=1` writes the new ones, to be read.
#[test]
fn plans_are_explained_as_they_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/explain/trees.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let place = Place::new();
    place.write("bids/1.json", "");
    place.write("done", "");
    let mut found = String::new();
    for case in text.split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
        let query: Vec<&str> = case.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let script = format!("{TABLES} {}", query.join(" "));
        let tree = place.succeed(&["explain", "-e", &script]);
        assert!(tree.lines().all(|line| line.chars().count() <= 100), "{tree}");
        query.iter().for_each(|line| writeln!(found, "-- {line}").unwrap());
        let tree: Vec<&str> = tree.lines().filter(|line| !line.starts_with("-- ")).collect();
        writeln!(found, "{}\n", tree.join("\n")).unwrap();
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, found.trim_end().to_owned() + "\n").unwrap();
    } else {
        assert_eq!(found.trim_end(), text.trim_end());
    }
}
