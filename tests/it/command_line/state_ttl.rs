//! What `--stats`, `EXPLAIN` and the notes at the start of a job say of state with a time-to-live.

use crate::support::Place;

const KEYS: &str =
    "CREATE TABLE g (id BIGINT) WITH ('connector'='datagen', 'rows-per-second'='2000',
    'fields.id.kind'='sequence', 'fields.id.start'='1', 'fields.id.end'='4000');";
const ENDLESS: &str = "CREATE TABLE g (id BIGINT) WITH ('connector'='datagen');
    CREATE TABLE h (id BIGINT, n BIGINT) WITH ('connector'='datagen');
    CREATE TABLE s (id BIGINT, n BIGINT, p AS PROCTIME()) WITH ('connector'='datagen');";

/// Returns a counter of an operator as it was written last.
fn counter(stats: &str, operator: &str, name: &str) -> u64 {
    let mut lines =
        stats.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let last = lines.rfind(|line| line["operator"] == operator).unwrap();
    last[name].as_u64().unwrap()
}

/// Would fail if state grew with a stream of ever new keys, though they have a time-to-live.
#[test]
fn state_with_a_time_to_live_is_bounded() {
    for (query, operator) in [
        ("SELECT id, COUNT(*) AS n FROM g GROUP BY id", "result/Aggregate-1"),
        ("SELECT a.id FROM g AS a JOIN g AS b ON a.id = b.id", "result/Join-1"),
    ] {
        let place = Place::new();
        let script = format!("SET 'table.exec.state.ttl' = '100 ms'; {KEYS} {query}");
        let run = ["run", "-q", "-e", &script, "--output", "json", "--stats", "stats.json"];
        assert_eq!(place.succeed(&[&run[..], &["--workers", "1"]].concat()).lines().count(), 4000);
        let stats = std::fs::read_to_string(place.path("stats.json")).unwrap();
        let (rows, of) =
            (counter(&stats, operator, "state_rows_max"), counter(&stats, operator, "rows_in"));
        assert!(rows * 2 < of, "{operator}: {rows} rows of state for {of} rows");
        assert!(counter(&stats, operator, "forgotten_rows") * 2 > of, "{operator}: {stats}");
    }
}

/// Returns what a plan says, on one line.
fn explained(script: &str) -> String {
    let text = Place::new().succeed(&["explain", "-e", &format!("{ENDLESS} {script}")]);
    let words = text.split(|c: char| c == '│' || c.is_whitespace()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Returns a search in the rows of each `id`.
fn search(pattern: &str, condition: &str) -> String {
    format!(
        "SELECT id FROM s MATCH_RECOGNIZE (PARTITION BY id ORDER BY p MEASURES C.n AS c PATTERN {pattern} \
         DEFINE B AS {condition})"
    )
}

/// Would fail if the plan said something else of state than what is done, or the hint lost to the
/// setting.
#[test]
fn explain_says_how_long_rows_are_kept() {
    let set = "SET 'table.exec.state.ttl' = '1 h';";
    for (script, said) in [
        ("SELECT id, COUNT(*) FROM g GROUP BY id".to_owned(), "per (id) for ever: unbounded"),
        (
            format!("{set} SELECT id, COUNT(*) FROM g GROUP BY id"),
            "per (id), each row for 1 h after it was written",
        ),
        (
            format!("{set} SELECT g.id FROM g JOIN h ON g.id = h.id"),
            "rows of both inputs, each row for 1 h after it was written",
        ),
        (
            format!("{set} SELECT /*+ STATE_TTL('h' = '90s') */ g.id FROM g JOIN h ON g.id = h.id"),
            "left input for 1 h after they were written; rows of the right for 90 s after",
        ),
        (
            format!("{set} SELECT /*+ STATE_TTL('h' = '0') */ g.id FROM g JOIN h ON g.id = h.id"),
            "right for ever: unbounded",
        ),
        (
            format!("{set} {}", search("(A B* C)", "B.n < PREV(B.n, 2)")),
            "a match may still come, and its last row (PREV), each partition for 1 h after",
        ),
        (
            format!("{set} {}", search("(A B C)", "B.n < NEXT(B.n)")),
            "a match may still come, and its last row (NEXT), each partition for 1 h after",
        ),
        (
            format!("{set} {}", search("(A B* C) WITHIN INTERVAL '1' MINUTE", "B.n < A.n")),
            "within 1 min: bounded",
        ),
        (
            format!("{set} SET 'table.exec.state.ttl' = '0'; SELECT DISTINCT id FROM g"),
            "one row per (id) for ever: unbounded",
        ),
    ] {
        let text = explained(&script);
        assert!(text.contains(said), "{script}: {text}");
    }
}

/// Would fail if nobody said that state is unbounded, if it were said of state that is not, or with
/// `-q`.
#[test]
fn unbounded_state_is_named_at_the_start() {
    let noted = |flags: &[&str], script: &str| {
        let script = format!("{ENDLESS} {script}");
        let output = Place::new().run(&[&["run", "--limit", "1", "-e", &script], flags].concat());
        String::from_utf8(output.stderr).unwrap()
    };
    let query = "SELECT g.id, COUNT(*) FROM g JOIN h ON g.id = h.id OR TRUE GROUP BY g.id";
    let said = noted(&[], query);
    for operator in ["Join", "Aggregate"] {
        let note = format!("note: state of `result/{operator}-1` is unbounded: SET 'table.exec");
        assert_eq!(said.matches(&note).count(), 1, "{said}");
    }
    assert!(!noted(&["-q"], query).contains("is unbounded"));
    assert!(
        !noted(&[], &format!("SET 'table.exec.state.ttl' = '1 d'; {query}")).contains("nothing")
    );
    assert!(!noted(&[], "SELECT DISTINCT x FROM (VALUES (1)) AS v(x)").contains("is unbounded"));
}

/// Would fail if a time-to-live were taken for a change of what is kept.
#[test]
fn another_time_to_live_goes_on_from_the_same_state() {
    let place = Place::new();
    place.write("in/1.json", "{\"id\": 1}\n");
    let run = |ttl: &str| {
        let script = format!(
            "SET 'table.exec.state.ttl' = '{ttl}';
             CREATE TABLE t (id INT) WITH ('connector'='filesystem', 'path'='in/', 'format'='json');
             SELECT n, COUNT(*) AS c FROM (SELECT id, COUNT(*) AS n FROM t GROUP BY id) GROUP BY n"
        );
        let flags = ["--state-dir", "state", "--continue", "--output", "json"];
        place.succeed(&[&["run", "-q", "-e", &script], flags.as_slice()].concat())
    };
    assert_eq!(run("0"), "{\"op\":\"+I\",\"n\":1,\"c\":1}\n");
    place.write("in/2.json", "{\"id\": 1}\n");
    let moved = "{\"op\":\"-U\",\"n\":1,\"c\":1}\n{\"op\":\"+U\",\"n\":2,\"c\":1}\n";
    assert_eq!(run("1 d"), moved);
    place.write("in/3.json", "{\"id\": 5}\n");
    assert_eq!(run("0"), "{\"op\":\"+I\",\"n\":1,\"c\":1}\n");
}
