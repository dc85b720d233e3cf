//! `MATCH_RECOGNIZE` where its input goes on: the strategies of Flink's documentation before the input
//! ends, and what is said of patterns that can run for ever.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::support::Place;

/// Rows of a table, a line each, read while its end is open.
const TICKER: &str =
    "CREATE TABLE Ticker (symbol STRING, rowtime TIMESTAMP(3), price BIGINT, tax BIGINT,
     WATERMARK FOR rowtime AS rowtime) WITH ('connector' = 'stdin', 'format' = 'csv');";

/// Returns the first `count` lines that a query shows while its input stays open, and those that it shows
/// when the input ends.
fn shown(query: &str, input: &str, count: usize) -> (Vec<String>, Vec<String>) {
    let place = Place::new();
    let script = format!("{TICKER} {query}");
    let mut command = place.command(&["run", "-q", "-e", &script, "--output", "json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = child.stdin.take().unwrap();
    lines.write_all(input.as_bytes()).unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let before = output.by_ref().take(count).collect();
    drop(lines);
    let behind = output.collect();
    child.wait().unwrap();
    (before, behind)
}

/// The sum of a match, and the seconds at which it starts and ends.
type Row = (i64, i64, i64);

/// The table of "After Match Strategy": what each strategy gives, and the sum that a further match has
/// which is known when the input ends; `None` where the search could not go on behind it, or there is none.
#[test]
fn strategies_are_as_documented_before_the_input_ends() {
    // Would fail if a match came out before it is known that no longer one is preferred, or not at once.
    let file = format!("{}/tests/sql/patterns/skip.csv", env!("CARGO_MANIFEST_DIR"));
    let input = std::fs::read_to_string(file).unwrap();
    let strategies: [(&str, &[Row], Option<Row>); 3] = [
        ("SKIP PAST LAST ROW", &[(26, 1, 4), (17, 5, 7)], None),
        (
            "SKIP TO NEXT ROW",
            &[(26, 1, 4), (24, 2, 5), (25, 3, 6), (22, 4, 7), (17, 5, 7)],
            Some((7, 6, 7)),
        ),
        ("SKIP TO LAST A", &[(26, 1, 4), (25, 3, 6), (17, 5, 7)], None),
    ];
    let line = |(sum, start, end): &Row| {
        format!(
            "{{\"symbol\":\"XYZ\",\"sumPrice\":{sum},\"startTime\":\"2018-09-17 10:00:{start:02}.000\",\
             \"endTime\":\"2018-09-17 10:00:{end:02}.000\"}}"
        )
    };
    for (skip, matches, last) in strategies {
        let query = format!(
            "SELECT * FROM Ticker MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY rowtime
             MEASURES SUM(A.price) AS sumPrice, FIRST(rowtime) AS startTime, LAST(rowtime) AS endTime
             ONE ROW PER MATCH AFTER MATCH {skip} PATTERN (A+ C) DEFINE A AS SUM(A.price) < 30)"
        );
        let (before, behind) = shown(&query, &input, matches.len());
        assert_eq!(before, matches.iter().map(line).collect::<Vec<_>>(), "{skip}");
        assert_eq!(behind, last.iter().map(line).collect::<Vec<_>>(), "{skip}");
    }
}

/// The three queries of "Controlling Memory Consumption", and the same within a time.
#[test]
fn patterns_that_can_run_for_ever_say_so() {
    // Would fail if it were not said what keeps state for ever, or said of a pattern that ends.
    let place = Place::new();
    let endless_table = TICKER.replace("'stdin', 'format' = 'csv'", "'datagen'");
    let explained = |pattern: &str, b: &str| {
        let script = format!(
            "{endless_table} EXPLAIN SELECT * FROM Ticker MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY rowtime
             MEASURES C.price AS p PATTERN {pattern} DEFINE A AS A.price > 10, {b} C AS C.price > 20)"
        );
        let words = place.succeed(&["run", "-e", &script]).replace('│', " ");
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let endless = "a search that has come to B+ can run for ever";
    assert!(explained("(A B+ C)", "").contains(endless));
    let fixed = ["(A B+ C)", "(A B+? C)"].map(|pattern| explained(pattern, "B AS B.price <= 20,"));
    // What a row is may still be asked for ever where no row ends it: the quantifier has no end.
    assert!(fixed.iter().all(|plan| plan.contains("can run for ever")));
    let bounded = explained("(A B+ C) WITHIN INTERVAL '1' HOUR", "");
    assert!(bounded.contains("within 1 h"), "{bounded}");
    assert!(!bounded.contains("for ever"), "{bounded}");
    assert!(!explained("(A B{1,3} C)", "").contains("can run for ever"));
    let noted = |pattern: &str| {
        let script = format!(
            "{endless_table} SELECT * FROM Ticker MATCH_RECOGNIZE (ORDER BY rowtime
             MEASURES A.price AS p PATTERN {pattern})"
        );
        let output = place.run(&["run", "--limit", "1", "-e", &script]);
        String::from_utf8(output.stderr).unwrap()
    };
    let note = "note: the search of `result/Match-1` can run for ever: PATTERN (…) WITHIN INTERVAL";
    assert!(noted("(A+? B)").contains(note));
    assert!(!noted("(A+? B) WITHIN INTERVAL '1' DAY").contains("for ever"));
    assert!(!noted("(A{2} B)").contains("for ever"));
}

/// Would fail if rows behind the watermark were lost in silence, or found after all.
#[test]
fn late_rows_go_where_they_are_told() {
    let place = Place::new();
    let row = |letter: &str, second: u8| {
        format!(
            "{{\"row\": {{\"c\": \"{letter}\", \"v\": 7, \"ts\": \"2024-05-01 10:00:{second:02}\"}}}}\n"
        )
    };
    let watermark = |second: u8| format!("{{\"watermark\": \"2024-05-01 10:00:{second:02}\"}}\n");
    let steps = [row("A", 1), watermark(5), row("C", 3), row("B", 6), row("A", 5), row("A", 7)];
    place.write("script.json", &steps.concat());
    let script = "CREATE TABLE late (c STRING, v INT, ts TIMESTAMP(3))
         WITH ('connector' = 'filesystem', 'path' = 'late', 'format' = 'json');
         CREATE TABLE t (c STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS SOURCE_WATERMARK())
         WITH ('connector' = 'script', 'path' = 'script.json', 'late-records' = 'table:late');
         CREATE TABLE found (a STRING, b STRING, at TIMESTAMP(3))
         WITH ('connector' = 'filesystem', 'path' = 'found', 'format' = 'json');
         INSERT INTO found SELECT * FROM t MATCH_RECOGNIZE (ORDER BY ts
         MEASURES A.c AS a, B.c AS b, MATCH_ROWTIME() AS at PATTERN (A B) DEFINE A AS c = 'A');";
    place.succeed(&["run", "-e", script]);
    let lines = |folder: &str| place.published(folder).into_keys().collect::<Vec<_>>();
    assert_eq!(lines("found"), [r#"{"a":"A","b":"B","at":"2024-05-01 10:00:06.000"}"#]);
    assert_eq!(
        lines("late"),
        [
            r#"{"c":"A","v":null,"ts":"2024-05-01 10:00:05.000"}"#,
            r#"{"c":"C","v":null,"ts":"2024-05-01 10:00:03.000"}"#
        ]
    );
}
