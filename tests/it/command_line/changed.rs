//! Scripts that changed, on the state of what they were.

use crate::support::Place;

const ROWS: &str = "CREATE TABLE r (k STRING, j STRING, v BIGINT, w BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
    WITH ('connector'='filesystem','path'='in.json','format'='json');";

/// Runs `before` and then `after` on its state; returns the exit code and what is said.
fn change(before: &str, after: &str) -> (Option<i32>, String) {
    let place = Place::new();
    place.write(
        "in.json",
        "{\"k\":\"a\",\"j\":\"b\",\"v\":1,\"w\":2,\"ts\":\"2024-05-01 10:00:00\"}\n",
    );
    let run = |query: &str| {
        let script = format!("{ROWS} {query}");
        place.run(&["run", "-q", "-e", &script, "--state-dir", "state", "--output", "json"])
    };
    assert!(run(before).status.success(), "{before}");
    let changed = run(after);
    (changed.status.code(), String::from_utf8_lossy(&changed.stderr).into_owned())
}

fn per_window(seconds: u32, key: &str) -> String {
    format!(
        "SELECT window_end, {key}, SUM(v) AS s FROM TABLE(TUMBLE(TABLE r, DESCRIPTOR(ts),
         INTERVAL '{seconds}' SECOND)) GROUP BY window_start, window_end, {key}"
    )
}

/// Would fail if sums of one thing were added to sums of another, because both have the same type.
#[test]
fn state_of_another_meaning_is_refused() {
    let sums = "SELECT k, SUM(v) AS s FROM r GROUP BY k";
    let cases = [
        (sums.to_owned(), "SELECT j, SUM(v) AS s FROM r GROUP BY j".to_owned(), "by (j "),
        (sums.to_owned(), "SELECT k, SUM(w) AS s FROM r GROUP BY k".to_owned(), "SUM(w)"),
        (sums.to_owned(), "SELECT k, SUM(v + w) AS s FROM r GROUP BY k".to_owned(), "v + w"),
        (per_window(10, "k"), per_window(20, "k"), "TUMBLE(20000)"),
        (per_window(10, "k"), per_window(10, "j"), "by (j "),
    ];
    for (before, after, named) in cases {
        let (code, error) = change(&before, &after);
        assert_eq!(code, Some(4), "{after}: {error}");
        assert!(error.contains("the job changed") && error.contains(named), "{after}: {error}");
    }
}

/// Would fail if a change of what keeps no state were taken for another job.
#[test]
fn state_of_the_same_meaning_is_found() {
    let sums = "SELECT k, SUM(v) AS s FROM r GROUP BY k";
    let cases = [
        (sums, "SELECT SUM(v) * 2 AS twice, UPPER(k) AS key FROM r WHERE v > 0 GROUP BY k"),
        (sums, "SELECT q.k AS a, SUM(q.v) FROM r AS q GROUP BY q.k HAVING SUM(q.v) > 0"),
    ];
    for (before, after) in cases {
        let (code, error) = change(before, after);
        assert_eq!(code, Some(0), "{after}: {error}");
    }
}

/// Would fail if a source with another percentile began anew, or one of two were taken for the other.
#[test]
fn a_source_goes_on_whatever_its_percentile() {
    let at = |share: &str| {
        let percentile = format!(" EMIT AFTER WATERMARK AT PERCENTILE {share}");
        per_window(10, "k") + &percentile
    };
    let with_both = |share: &str| format!("{} UNION ALL ({})", per_window(10, "k"), at(share));
    for (before, after) in [(at("0.9"), at("0.5")), (at("0.9"), per_window(10, "k"))] {
        let (code, error) = change(&before, &after);
        assert_eq!(code, Some(0), "{after}: {error}");
    }
    let (code, error) = change(&with_both("0.9"), &with_both("0.5"));
    assert_eq!(code, Some(4), "{error}");
    assert!(error.contains("AT PERCENTILE 0.9"), "{error}");
}
