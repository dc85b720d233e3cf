//! Sources that make their rows up: the same rows for any number of workers, and none lost.

use std::collections::BTreeMap;

use crate::support::Place;

const BIDS: &str = "CREATE TABLE bid (auction BIGINT, bidder BIGINT, `dateTime` TIMESTAMP(3),
    WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '1' SECOND)
    WITH ('connector' = 'nexmark', 'nexmark.events' = '400000');";

fn lines(text: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    text.lines().for_each(|line| *lines.entry(line.to_owned()).or_default() += 1);
    lines
}

#[test]
fn bids_are_the_same_for_any_number_of_workers() {
    let place = Place::new();
    let windows = format!(
        "{BIDS} SELECT window_start, auction, COUNT(*) AS n FROM
        TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '5' SECOND))
        GROUP BY window_start, window_end, auction;"
    );
    let run = |workers, processes| {
        let flags = ["--workers", workers, "--processes", processes, "--output", "json"];
        lines(&place.succeed(&[&["run", "-e", &windows], &flags[..]].concat()))
    };
    let one = run("1", "1");
    let counted = one.keys().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["n"].as_u64().unwrap()
    });
    assert_eq!(counted.sum::<u64>(), 400_000 / 50 * 46, "every bid is in one window");
    assert_eq!(run("3", "1"), one);
    assert_eq!(run("2", "2"), one);
}

#[test]
fn a_sequence_comes_whole() {
    let place = Place::new();
    let script = "CREATE TABLE numbers (n INT, word STRING) WITH ('connector' = 'datagen',
        'rows-per-second' = '100000', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1',
        'fields.n.end' = '3000', 'fields.word.length' = '3');
        SELECT n, CHAR_LENGTH(word) AS l FROM numbers;";
    let rows = place.succeed(&["run", "-e", script, "--workers", "2", "--output", "csv"]);
    let expected: Vec<String> = (1..=3000).map(|n| format!("{n},3")).collect();
    let mut found: Vec<&str> = rows.lines().skip(1).collect();
    found.sort_by_key(|line| line.split(',').next().unwrap().parse::<u32>().unwrap());
    assert_eq!(found, expected);
}

#[test]
fn a_query_of_the_benchmark_tells_its_figures() {
    let place = Place::new();
    let flags = ["--query", "q12", "--events", "50000", "--workers", "2"];
    let told = place.succeed(&[&["bench", "nexmark"], &flags[..]].concat());
    for name in ["events/s", "events per CPU-second", "peak memory", "epoch latency p99"] {
        assert!(told.contains(name), "{told}");
    }
    let output = place.run(&["bench", "nexmark", "--query", "q99"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Would fail if a query were left out of the table over all, or one that cannot run went unsaid.
#[test]
fn the_benchmark_of_all_queries_tells_of_each() {
    let output = Place::new().run(&["bench", "nexmark", "--all", "--events", "2000"]);
    let (table, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let cells = |line: &str| line.split_whitespace().count() == 5;
    for name in (0..=23).map(|number| format!("q{number}")) {
        let is_measured =
            table.lines().any(|line| line.starts_with(&format!("{name} ")) && cells(line));
        let is_refused = errors.contains(&format!("{name}: error"));
        assert!(is_measured != is_refused, "{name}: {table}{errors}");
    }
    assert_eq!(output.status.success(), errors.is_empty());
}
