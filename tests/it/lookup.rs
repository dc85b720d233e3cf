//! `thalweg state show --key`: single values out of a checkpoint.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::Place;

const SCRIPT: &str = "
    CREATE TABLE t (name STRING, shop BIGINT, price BIGINT, ts TIMESTAMP(3),
        WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
    WITH ('connector'='stdin', 'format'='csv');
    CREATE TABLE sums (name STRING, shop BIGINT, n BIGINT, s BIGINT, a DOUBLE, m BIGINT)
    WITH ('connector'='blackhole');
    CREATE TABLE hops (name STRING, n BIGINT) WITH ('connector'='blackhole');
    CREATE TABLE kinds (name STRING, n BIGINT) WITH ('connector'='blackhole');
    CREATE TABLE wide (name STRING, n BIGINT) WITH ('connector'='blackhole');
    CREATE TABLE more (name STRING, n BIGINT, c BIGINT, s BIGINT) WITH ('connector'='blackhole');
    CREATE TABLE best (name STRING, price BIGINT) WITH ('connector'='blackhole');
    CREATE TABLE panes (name STRING, s BIGINT) WITH ('connector'='blackhole');
    INSERT INTO panes SELECT name, SUM(price)
        FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))
        GROUP BY window_start, window_end, name
        EMIT AFTER WATERMARK WITH EARLY EVERY 2 ROWS ALLOWED LATENESS INTERVAL '20' SECOND;
    CREATE TABLE jumps (name STRING, low BIGINT) WITH ('connector'='blackhole');
    INSERT INTO jumps SELECT name, low FROM t MATCH_RECOGNIZE (PARTITION BY name ORDER BY ts
        MEASURES A.price AS low PATTERN (A B* C) DEFINE B AS B.price < 1000, C AS C.price > 1000);
    INSERT INTO sums SELECT name, shop, COUNT(*), SUM(price), AVG(CAST(price AS DOUBLE)), MAX(price)
        FROM t GROUP BY name, shop;
    INSERT INTO hops SELECT name, COUNT(*)
        FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND))
        GROUP BY window_start, window_end, name;
    INSERT INTO kinds SELECT name, COUNT(DISTINCT price) FROM t GROUP BY name;
    INSERT INTO more SELECT name, COUNT(DISTINCT shop), COUNT(*), SUM(DISTINCT price) FILTER (WHERE shop = 1)
        FROM t GROUP BY name;
    INSERT INTO wide SELECT name, COUNT(DISTINCT shop)
        FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND))
        GROUP BY window_start, window_end, name;
    INSERT INTO best SELECT name, price FROM (SELECT *, ROW_NUMBER() OVER (
            PARTITION BY window_start, window_end, name ORDER BY price DESC) AS place
        FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))) WHERE place <= 1;";

/// The watermark is 20:00:34 behind them: windows that end up to then are over.
const ROWS: &str = "alice,1,10,2020-01-01 20:00:05
alice,2,7,2020-01-01 20:00:25
bob,1,3,2020-01-01 20:00:26
alice,1,31,2020-01-01 20:00:35
";

/// A job that has seen the rows and waits for more.
struct Running {
    place: Place,
    job: Child,
}

impl Running {
    fn new() -> Running {
        let place = Place::new();
        let mut command = place.command(&["run", "-q", "-e", SCRIPT, "--state-dir", "state"]);
        command.args(["--workers", "2", "--checkpoint-interval", "100ms"]);
        let mut job = command.stdin(Stdio::piped()).spawn().unwrap();
        job.stdin.as_mut().unwrap().write_all(ROWS.as_bytes()).unwrap();
        Running { place, job }
    }

    /// Returns what is shown as soon as it is `expected`, or in the end.
    fn shown(&self, key: &[&str], expected: &str) -> String {
        let started = Instant::now();
        loop {
            let output = self.place.run(&[&["state", "show", "state"], key].concat());
            let text = String::from_utf8(output.stdout).unwrap();
            if text.trim_end() == expected.trim_end() || started.elapsed().as_secs() > 20 {
                return text;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn check(&self, key: &[&str], expected: &str) {
        assert_eq!(self.shown(key, expected).trim_end(), expected.trim_end(), "{key:?}");
    }

    fn refused(&self, key: &[&str]) -> String {
        let output = self.place.run(&[&["state", "show", "state"], key].concat());
        assert_eq!(output.status.code(), Some(2), "{key:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have failed before.
        let _ = self.job.kill();
        let _ = self.job.wait();
    }
}

/// Would fail if a value were another than the job goes on with, or one of a key that was not asked
/// for were shown.
#[test]
fn the_values_of_a_key_are_shown() {
    let job = Running::new();
    job.check(
        &["--key", "name=alice", "--key", "shop=1"],
        "operator sums/Aggregate-1
name  | shop | COUNT(*) | SUM(price) | AVG(price) | MAX(price)
------+------+----------+------------+------------+-----------
alice |    1 |        2 |         41 |       20.5 |         31",
    );
    // Part of a key is looked for in all key groups; windows that are over are not there.
    job.check(
        &["--key", "name=alice", "--operator", "hops/WindowAggregate-1", "--output", "json"],
        &[("20", "40", 2), ("30", "50", 1)]
            .map(|(start, end, count)| {
                format!(
                    "{{\"operator\":\"hops/WindowAggregate-1\",\
                     \"window_start\":\"2020-01-01 20:00:{start}.000\",\
                     \"window_end\":\"2020-01-01 20:00:{end}.000\",\
                     \"name\":\"alice\",\"COUNT(*)\":{count}}}\n"
                )
            })
            .concat(),
    );
    job.check(
        &["--key", "name=alice", "--operator", "best/WindowTop-1", "--output", "csv"],
        "operator,name,price,window_start,window_end
best/WindowTop-1,alice,31,2020-01-01 20:00:30.000,2020-01-01 20:00:40.000",
    );
    // A window that takes late rows is there behind its end.
    job.check(
        &["--key", "name=alice", "--operator", "panes/PaneAggregate-1", "--output", "csv"],
        "operator,window_start,window_end,name,SUM(price)
panes/PaneAggregate-1,2020-01-01 20:00:20.000,2020-01-01 20:00:30.000,alice,7
panes/PaneAggregate-1,2020-01-01 20:00:30.000,2020-01-01 20:00:40.000,alice,31",
    );
    // The rows from which a match may still come, in their order, those that wait for the watermark among them.
    job.check(
        &["--key", "name=alice", "--operator", "jumps/Match-1"],
        "operator jumps/Match-1
name  | ts                      | price
------+-------------------------+------
alice | 2020-01-01 20:00:05.000 |    10
alice | 2020-01-01 20:00:25.000 |     7
alice | 2020-01-01 20:00:35.000 |    31",
    );
    // Arguments that are read once are kept beside the groups; each counts once in the slices of a window.
    job.check(
        &["--key", "name=alice", "--operator", "more/Aggregate-1", "--output", "csv"],
        "operator,name,COUNT(DISTINCT shop),COUNT(*),SUM(DISTINCT price) FILTER (WHERE shop = 1)
more/Aggregate-1,alice,2,3,41",
    );
    job.check(
        &["--key", "name=alice", "--operator", "wide/WindowAggregate-1", "--output", "csv"],
        "operator,window_start,window_end,name,COUNT(DISTINCT shop)
wide/WindowAggregate-1,2020-01-01 20:00:20.000,2020-01-01 20:00:40.000,alice,2
wide/WindowAggregate-1,2020-01-01 20:00:30.000,2020-01-01 20:00:50.000,alice,1",
    );
    let text = job.place.succeed(&["state", "show", "state", "--key", "name=bob"]);
    let kinds = "operator kinds/Aggregate-1\nname | COUNT(DISTINCT price)\n";
    assert!(text.contains(kinds), "{text}");
    assert!(!text.contains("alice"), "{text}");
}

/// Would fail if a wrong question were answered by nothing.
#[test]
fn wrong_keys_are_refused() {
    let job = Running::new();
    let is_there = "operator,name,shop,COUNT(*),SUM(price),AVG(price),MAX(price)
sums/Aggregate-1,bob,1,1,3,3.0,3";
    job.check(&["--key", "name=bob", "--key", "shop=1", "--output", "csv"], is_there);
    let output = job.place.run(&["state", "show", "state", "--key", "name=nobody"]);
    assert!(output.status.success() && output.stdout.is_empty());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.ends_with("holds nothing of the key name=nobody\n"), "{error}");
    let cases: [(&[&str], &str); 6] = [
        (&["--key", "name"], "names no value"),
        (&["--key", "nam=x"], "no key has a column `nam`"),
        (&["--key", "nam=x"], "(name, shop) of `sums/Aggregate-1`"),
        (&["--key", "shop=many"], "column `shop` is of type BIGINT, and 'many' is not"),
        (&["--key", "name=x", "--key", "name=y"], "column `name` is given twice"),
        (&["--key", "name=x", "--operator", "none"], "no operator `none` with a key"),
    ];
    for (key, message) in cases {
        let error = job.refused(key);
        assert!(error.contains(message), "{key:?}: {error}");
    }
    let output = job.place.run(&["state", "show", "state", "--checkpoint", "9999999"]);
    assert_eq!(output.status.code(), Some(4));
}
