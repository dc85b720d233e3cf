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
    CREATE TABLE city (zip INT, name STRING, people BIGINT, PRIMARY KEY (zip) NOT ENFORCED)
    WITH ('connector' = 'filesystem', 'path' = 'done', 'format' = 'upsert-json');
    CREATE TABLE kept (name STRING, zip INT, PRIMARY KEY (zip) NOT ENFORCED)
    WITH ('connector' = 'filesystem', 'path' = 'kept', 'format' = 'upsert-json');
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

/// Returns the first figure of an operator under a label.
fn figure(tree: &str, operator: &str, label: &str) -> String {
    let mut lines = tree.lines().skip_while(|line| !line.contains(&format!("{operator} (")));
    lines.next().unwrap_or_else(|| panic!("no {operator}: {tree}"));
    let bare = |line: &str| line.trim_start_matches([' ', '│']).to_owned();
    let mut own = lines.map(bare).take_while(|line| !line.starts_with(['└', '├']));
    let line = own.find(|line| line.starts_with(label));
    line.unwrap_or_else(|| panic!("no {label} of {operator}: {tree}"))[label.len()..]
        .trim_start()
        .to_owned()
}

/// Checks that the shares of all operators make a whole, and that none was busy for longer than the workers were
/// there. How long that is depends on what else the machine does.
fn check_busy(tree: &str) {
    let number = |text: &str| text.trim().parse::<f64>().unwrap_or_else(|_| panic!("{tree}"));
    let (elapsed, rest) = tree.split_once(" s on ").unwrap();
    let all = number(elapsed) * number(rest.split(' ').next().unwrap());
    let busy = tree.lines().filter_map(|line| line.split_once("busy ")).map(|(_, figures)| {
        let (seconds, share) = figures.split_once(" s, ").unwrap();
        (number(seconds), number(share.split(' ').next().unwrap()))
    });
    let (seconds, shares): (Vec<f64>, Vec<f64>) = busy.unzip();
    assert!(seconds.iter().all(|seconds| *seconds <= all + 0.01), "{tree}");
    // Each is rounded by half a percent at most.
    let sum: f64 = shares.iter().sum();
    assert!((sum - 100.0).abs() <= 0.5 * shares.len() as f64, "{sum} %: {tree}");
}

const NUMBERS: &str = "CREATE TABLE t (k BIGINT) WITH ('connector'='datagen',
    'rows-per-second'='1000000', 'number-of-rows'='5000', 'fields.k.kind'='sequence',
    'fields.k.start'='1', 'fields.k.end'='5000');
    CREATE TABLE done (m BIGINT, n BIGINT)
    WITH ('connector'='filesystem','path'='done','format'='debezium-json');";

/// Would fail if an analysis counted wrong, showed the rows, or touched the state of the job.
#[test]
fn an_analysis_says_what_each_operator_did() {
    let place = Place::new();
    let query = "EXPLAIN ANALYZE SELECT k % 100 AS m, COUNT(*) AS n FROM t GROUP BY k % 100";
    let script = format!("{NUMBERS} {query}");
    let fixed = ["run", "-e", &script, "--state-dir", "state"];
    for workers in [&["--workers", "1"][..], &["--workers", "4", "--processes", "2"][..]] {
        let tree = place.succeed(&[&fixed[..], workers].concat());
        let is = |operator: &str, label: &str, expected: &str| {
            let found = figure(&tree, operator, label);
            assert!(found.starts_with(expected), "{operator} {label}: {found}\n{tree}");
        };
        is("t/Source-1", "rows", "5,000 out (");
        is("result/PreAggregate-1", "rows", "5,000 in (");
        is("result/Aggregate-1", "state", "COUNT(*) per (k % 100) until the input ends");
        is("result/Aggregate-1", "kept", "100 rows (");
        is("result/Sink-1", "does", "writes `result` (blackhole)");
        figure(&tree, "result/Aggregate-1", "busy");
        check_busy(&tree);
        if workers.len() > 2 {
            is("result/Aggregate-1", "skew", "worker ");
            assert_ne!(figure(&tree, "result/Aggregate-1", "moved").chars().next(), Some('0'));
        }
        assert!(tree.contains(": 5,000 rows in, "), "{tree}");
    }
    assert!(!place.path("state").exists(), "the state of a job is not that of an analysis");
}

/// Would fail if an INSERT were not carried out, or an unbounded query never ended.
#[test]
fn an_analysis_runs_what_it_explains() {
    let place = Place::new();
    let insert = "EXPLAIN ANALYZE INSERT INTO done SELECT MAX(k), COUNT(*) FROM t";
    let tree = place.succeed(&["run", "-e", &format!("{NUMBERS} {insert}")]);
    assert!(tree.contains("done/Sink-1"), "{tree}");
    let last = place.published("done").into_keys().find(|line| line.contains("\"m\":5000"));
    assert!(last.is_some());

    let endless = "CREATE TABLE e (k BIGINT) WITH ('connector'='datagen');
        EXPLAIN ANALYZE SELECT k FROM e";
    let tree = place.succeed(&["run", "-e", endless, "--limit", "20"]);
    assert!(figure(&tree, "e/Source-1", "does").contains("unbounded"), "{tree}");

    let both = format!("{NUMBERS} {insert}; SELECT k FROM t");
    let output = place.run(&["run", "-e", &both]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("EXPLAIN ANALYZE runs what it explains, and nothing else"), "{error}");
}
