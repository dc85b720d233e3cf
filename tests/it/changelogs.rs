//! Changelogs in and out: random changes of a small table, said in each of the formats, go through a
//! job that is killed on the way; what it wrote, read again, is the table behind the last change.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::{Dice, Place};

/// The number of a key's row; a key without one has none.
type Table = BTreeMap<u64, u64>;

/// A row before and after a change, and its key.
type Change = (u64, Option<u64>, Option<u64>);

/// Returns changes that a table can have had, and what it is behind them.
fn changes(dice: &mut Dice) -> (Vec<Change>, Table) {
    let (mut table, mut changes) = (Table::new(), Vec::new());
    for _ in 0..1500 {
        let (key, value) = (dice.below(40), dice.below(1000));
        let before = table.get(&key).copied();
        let after = (before.is_none() || dice.below(3) > 0).then_some(value);
        match after {
            Some(value) => table.insert(key, value),
            None => table.remove(&key),
        };
        changes.push((key, before, after));
    }
    (changes, table)
}

/// How changes are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Debezium,
    /// Some changes are said again.
    Twice,
    /// Between them rows are taken back that are not there.
    Stray,
    /// The same of a table without a key.
    StrayRows,
    Canal,
    Maxwell,
    Upsert,
}

impl Said {
    fn format(self) -> &'static str {
        match self {
            Said::Debezium | Said::Twice | Said::Stray | Said::StrayRows => "debezium-json",
            Said::Canal => "canal-json",
            Said::Maxwell => "maxwell-json",
            Said::Upsert => "upsert-json",
        }
    }

    fn line(self, (key, before, after): Change) -> String {
        let row = |value: Option<u64>| match value {
            Some(value) => format!(r#"{{"id":{key},"v":{value}}}"#),
            None => "null".to_owned(),
        };
        let (old, new) = (row(before), row(after));
        let kind = match (before, after) {
            (None, _) => "insert",
            (_, None) => "delete",
            _ => "update",
        };
        let data = if after.is_some() { &new } else { &old };
        let changed = before.map_or("null".to_owned(), |value| format!(r#"{{"v":{value}}}"#));
        match self {
            Said::Debezium | Said::Twice | Said::Stray | Said::StrayRows => {
                let op = &kind.replace("insert", "create")[..1];
                format!(r#"{{"before":{old},"after":{new},"op":"{op}"}}"#)
            }
            Said::Canal => {
                let kind = kind.to_ascii_uppercase();
                format!(r#"{{"type":"{kind}","data":[{data}],"old":[{changed}]}}"#)
            }
            Said::Maxwell => format!(r#"{{"type":"{kind}","data":{data},"old":{changed}}}"#),
            Said::Upsert => format!(r#"{{"key":{{"id":{key}}},"value":{new}}}"#),
        }
    }

    /// Are there lines that must be bad records?
    fn has_strays(self) -> bool {
        matches!(self, Said::Stray | Said::StrayRows)
    }

    /// Returns a line that takes back what is not there behind this change: of a key that never is, or once more
    /// what the change took back.
    fn stray(self, (key, before, after): Change, dice: &mut Dice) -> String {
        let gone = match (before, after) {
            (Some(value), None) => (key, Some(value), None),
            _ => (40 + dice.below(9), Some(dice.below(1000)), None),
        };
        self.line(gone).replace(r#""op""#, r#""stray":true,"op""#)
    }

    /// Returns the lines of all changes.
    fn lines(self, changes: &[Change], dice: &mut Dice) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for change in changes {
            lines.push(self.line(*change));
            if self.has_strays() && dice.below(6) == 0 {
                lines.push(self.stray(*change, dice));
            }
            if self == Said::Twice && dice.below(10) == 0 {
                // A connector that was restarted says its last changes again.
                let again = lines.len() - lines.len().min(1 + dice.below(20) as usize);
                lines.extend_from_within(again..);
            }
        }
        lines
    }
}

/// Writes lines into some files, in the order of their names.
fn write(place: &Place, lines: &[String], dice: &mut Dice) {
    let count = 1 + dice.below(12) as usize;
    for (number, lines) in lines.chunks(lines.len().div_ceil(count)).enumerate() {
        place.write(&format!("in/{number}.json"), &(lines.join("\n") + "\n"));
    }
}

/// The tables that the job writes, by key.
const WRITTEN: &str = "
    CREATE TABLE kept (id BIGINT, w BIGINT, PRIMARY KEY (id) NOT ENFORCED)
    WITH ('connector' = 'filesystem', 'path' = 'kept', 'format' = 'upsert-json',
      'sink.rolling-policy.file-size' = '1kb');
    CREATE TABLE sums (g BIGINT, n BIGINT, s BIGINT, PRIMARY KEY (g) NOT ENFORCED)
    WITH ('connector' = 'filesystem', 'path' = 'sums', 'format' = 'upsert-json',
      'sink.rolling-policy.file-size' = '1kb');";

/// A job that copies some columns and rows of the table, and adds others up.
fn script(said: Said, options: &str) -> String {
    let is_twice = said == Said::Twice;
    let key = if said == Said::StrayRows { "" } else { ", PRIMARY KEY (id) NOT ENFORCED" };
    let bad = if said.has_strays() { ", 'bad-records' = 'table:bad'" } else { "" };
    // What nothing tells apart cannot be written by key.
    let kept = match said {
        Said::StrayRows => "",
        _ => "INSERT INTO kept SELECT id, v + 1 FROM given WHERE v < 700;",
    };
    format!(
        "SET 'table.exec.source.cdc-events-duplicate' = '{is_twice}';
         CREATE TABLE bad (place STRING, error STRING)
         WITH ('connector' = 'filesystem', 'path' = 'bad', 'format' = 'csv');
         CREATE TABLE given (id BIGINT, v BIGINT{key})
         WITH ('connector' = 'filesystem', 'path' = 'in', 'scan.range-size' = '2kb',
           'format' = '{}'{bad}{options});
         {WRITTEN}
         {kept}
         INSERT INTO sums SELECT MOD(v, 7), COUNT(*), SUM(v) FROM given GROUP BY MOD(v, 7);",
        said.format()
    )
}

fn life(place: &Place, script: &str, dice: &mut Dice) -> Child {
    let (workers, interval) = ((1 + dice.below(3)).to_string(), 5 + dice.below(30));
    let mut command = place.command(&["run", "-e", script, "--state-dir", "state"]);
    command.args(["--workers", &workers, "--checkpoint-interval", &format!("{interval}ms")]);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns the rows that the program reads from what was written.
fn read(place: &Place, table: &str, workers: &str) -> BTreeSet<String> {
    let script = format!("{WRITTEN} SELECT * FROM {table};");
    let shown = place.succeed(&["run", "-e", &script, "--workers", workers, "--output", "json"]);
    let mut rows = BTreeSet::new();
    for line in shown.lines() {
        let (op, row) = line.split_at(r#"{"op":"+I","#.len());
        match op.contains('+') {
            true => assert!(rows.insert(row.to_owned()), "{line} is there already"),
            false => assert!(rows.remove(row), "{line} was not there"),
        }
    }
    rows
}

fn check(said: Said, seed: u64) {
    let mut dice = Dice(seed);
    let (changes, table) = changes(&mut dice);
    let place = Place::new();
    let lines = said.lines(&changes, &mut dice);
    write(&place, &lines, &mut dice);
    let slow = script(said, ", 'scan.rows-per-second' = '4000'");
    for _ in 0..3 {
        let mut child = life(&place, &slow, &mut dice);
        std::thread::sleep(Duration::from_millis(60 + dice.below(150)));
        // One that ended by itself shows below how.
        let _ = child.kill();
        child.wait().unwrap();
    }
    let output = life(&place, &script(said, ""), &mut dice).wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said:?}, seed {seed}: {error}");
    let strays = lines.iter().filter(|line| line.contains("stray")).count();
    let bad = if strays > 0 { place.published("bad") } else { BTreeMap::new() };
    assert_eq!(bad.values().sum::<usize>(), strays, "{said:?}, seed {seed}: {bad:?}");
    let never = "table `given`,a row is taken back that never came: id ";
    assert!(bad.keys().all(|line| line.replace('"', "").starts_with(never)), "{bad:?}");
    let kept = table.iter().filter(|(_, value)| **value < 700 && said != Said::StrayRows);
    let kept = kept.map(|(key, value)| format!(r#""id":{key},"w":{}}}"#, value + 1)).collect();
    let mut groups: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for value in table.values() {
        let (count, sum) = groups.entry(value % 7).or_default();
        (*count, *sum) = (*count + 1, *sum + value);
    }
    let sums = groups.iter().map(|(group, (n, s))| format!(r#""g":{group},"n":{n},"s":{s}}}"#));
    let expected: [(&str, BTreeSet<String>); 2] = [("kept", kept), ("sums", sums.collect())];
    for (table, expected) in expected {
        for workers in ["1", "3"] {
            if expected.is_empty() {
                continue;
            }
            let found = read(&place, table, workers);
            assert_eq!(found, expected, "{table}, {said:?}, seed {seed}, {workers} workers");
        }
    }
}

/// Would fail if a change were lost or counted twice by a crash, said of another key, or if what is
/// written by key did not say in its order what each key is.
#[test]
fn what_is_written_by_key_is_the_table() {
    for (seed, said) in
        [Said::Debezium, Said::Twice, Said::Canal, Said::Maxwell, Said::Upsert].iter().enumerate()
    {
        check(*said, seed as u64 * 7 + 3);
    }
}

/// Would fail if what takes back a row that is not there reached a sum, was not counted, or was taken for good
/// behind a crash, since what is there was forgotten.
#[test]
fn strays_are_bad_records_through_crashes() {
    for seed in 0..2 {
        check(Said::Stray, seed);
        check(Said::StrayRows, seed);
    }
}

/// Would fail if a malformed change were lost silently, took a good one with it, or if the error
/// did not say where it stands and what helps.
#[test]
fn a_malformed_change_is_a_bad_record() {
    let place = Place::new();
    let lines = [
        r#"{"before":null,"after":{"id":1,"v":5},"op":"c"}"#,
        r#"{"before":null,"after":{"id":1,"v":6},"op":"u"}"#,
        r#"{"before":{"id":1,"v":5},"after":{"id":2,"v":"x"},"op":"u"}"#,
        r#"{"before":{"id":1,"v":5},"after":{"id":2,"v":7},"op":"u"}"#,
    ];
    place.write("in.json", &lines.join("\n"));
    let script = |option: &str| {
        format!(
            "CREATE TABLE bad (place STRING, error STRING)
             WITH ('connector' = 'filesystem', 'path' = 'bad', 'format' = 'csv');
             CREATE TABLE given (id BIGINT, v BIGINT) WITH ('connector' = 'filesystem',
               'path' = 'in.json', 'format' = 'debezium-json', 'bad-records' = '{option}');
             SELECT id, v FROM given;"
        )
    };
    let run = |option: &str| {
        place.run(&["run", "-e", &script(option), "--output", "csv", "--workers", "1"])
    };
    let failed = run("fail");
    let error = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(3), "{error}");
    assert!(error.contains("in.json:2") && error.contains("REPLICA IDENTITY FULL"), "{error}");
    for option in ["skip", "table:bad"] {
        let output = run(option);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && error.contains("2 bad"), "{error}");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(shown, "op,id,v\n+I,1,5\n-U,1,5\n+U,2,7\n", "{option}");
    }
    let bad: Vec<String> = place.published("bad").into_keys().collect();
    assert!(bad[0].starts_with("in.json:2,\"field `before` is NULL"), "{bad:?}");
    assert!(bad[1].starts_with("in.json:3,\"column `v`"), "{bad:?}");
}

/// Would fail if the deletion of a version that is not there were taken for the end of one that comes later, or were
/// no bad record; an update of nothing has a good half.
#[test]
fn a_deletion_of_no_version_is_a_bad_record() {
    let place = Place::new();
    place.write("orders.csv", "1,2020-01-01 00:12:00\n2,2020-01-01 00:12:00\n");
    let lines = [
        r#"{"before":{"id":1,"price":9,"since":"2020-01-01 00:10:00"},"after":null,"op":"d"}"#,
        r#"{"before":null,"after":{"id":1,"price":5,"since":"2020-01-01 00:05:00"},"op":"c"}"#,
        r#"{"before":{"id":2,"price":6,"since":"2020-01-01 00:05:00"},"after":{"id":2,"price":7,"since":"2020-01-01 00:06:00"},"op":"u"}"#,
        r#"{"before":{"id":2,"price":7,"since":"2020-01-01 00:06:00"},"after":{"id":2,"price":8,"since":"2020-01-01 00:07:00"},"op":"u"}"#,
    ];
    place.write("prices.json", &lines.join("\n"));
    let script = |option: &str| {
        format!(
            "CREATE TABLE bad (record BYTES, place STRING, error STRING)
             WITH ('connector' = 'filesystem', 'path' = 'bad', 'format' = 'csv');
             CREATE TABLE orders (id BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at)
             WITH ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');
             CREATE TABLE prices (id BIGINT, price BIGINT, since TIMESTAMP(3),
               PRIMARY KEY (id) NOT ENFORCED, WATERMARK FOR since AS since - INTERVAL '1' DAY)
             WITH ('connector' = 'filesystem', 'path' = 'prices.json',
               'format' = 'debezium-json', 'bad-records' = '{option}');
             SELECT o.id, price FROM orders AS o
             LEFT JOIN prices FOR SYSTEM_TIME AS OF o.at AS p ON o.id = p.id;"
        )
    };
    let run = |option: &str, workers: &str| {
        let script = script(option);
        let output = place.run(&["run", "-e", &script, "--output", "csv", "--workers", workers]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut shown: Vec<String> = shown.lines().map(str::to_owned).collect();
        shown.sort();
        (shown.join(" "), error)
    };
    // The table is trusted: what ends is over, whenever it began.
    assert_eq!(run("fail", "1").0, "1, 2,8 id,price");
    for (option, workers) in [("skip", "1"), ("table:bad", "2")] {
        let (shown, error) = run(option, workers);
        assert_eq!(shown, "1,5 2,8 id,price", "{option}");
        assert!(error.contains("2 bad"), "{option}: {error}");
    }
    let bad: Vec<String> = place.published("bad").into_keys().collect();
    assert_eq!(bad.len(), 2, "{bad:?}");
    for (bad, row) in bad.iter().zip(["id 1, price 9", "id 2, price 6"]) {
        let wrong = format!("a row is taken back that never came: {row}, since 2020-01-01");
        assert!(bad.contains(&wrong) && !bad.contains("old-half"), "{bad}");
    }
}

/// Would fail if a late deletion came to the table of late rows as if it were a row.
#[test]
fn late_rows_of_a_changelog_stay_changes() {
    let place = Place::new();
    let row = |minute: u32| format!(r#"{{"id":1,"ts":"2024-05-01 00:{minute:02}:00"}}"#);
    let line = |before: &str, after: &str, op: &str| {
        format!("{{\"before\":{before},\"after\":{after},\"op\":\"{op}\"}}\n")
    };
    let lines = [
        line("null", &row(0), "c"),
        line("null", &row(30), "c"),
        line("null", &row(40), "c"),
        line(&row(0), "null", "d"),
    ];
    place.write("in.json", &lines.concat());
    let script = |format: &str| {
        format!(
            "CREATE TABLE t (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH (
               'connector' = 'filesystem', 'path' = 'in.json', 'format' = 'debezium-json',
               'scan.rows-per-second' = '10', 'late-records' = 'table:late');
             CREATE TABLE late (id INT) WITH (
               'connector' = 'filesystem', 'path' = 'late', 'format' = '{format}');
             CREATE TABLE counts (n BIGINT) WITH (
               'connector' = 'filesystem', 'path' = 'out', 'format' = 'json');
             INSERT INTO counts SELECT COUNT(id)
               FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
               GROUP BY window_start, window_end"
        )
    };
    place.succeed(&["run", "-q", "-e", &script("debezium-json")]);
    let (late, counts) = (place.published("late"), place.published("out"));
    assert_eq!(counts.values().sum::<usize>(), 3, "{counts:?}");
    let expected = r#"{"before":{"id":1},"after":null,"op":"d"}"#;
    assert_eq!(late.keys().collect::<Vec<_>>(), [expected], "{late:?}");
    let refused = place.run(&["run", "-e", &script("json")]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("late rows of an input that is updated may take others back"), "{said}");
    assert_eq!(refused.status.code(), Some(2), "{said}");
}
