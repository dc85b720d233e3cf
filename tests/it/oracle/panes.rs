//! Windows that send panes early: what is left in the end, or is put together from all panes, is the
//! batch answer. (Rows are in time here, so what is early depends on how they are cut into epochs, and
//! what is on time does not.)

use std::collections::BTreeMap;

use super::cases::{Case, case};
use super::data;
use crate::support::{Dice, Place};

const TUMBLED: &str =
    "SELECT to_timestamp_millis(w) AS a, k, COUNT(*) AS n, SUM(v) AS s, MAX(x) AS m FROM
     (SELECT *, ms - ms % 10000 AS w FROM t) GROUP BY w, k";

const SESSIONS: &str =
    "SELECT to_timestamp_millis(MIN(ms)) AS a, to_timestamp_millis(MAX(ms) + 2000) AS b, k,
     COUNT(*) AS n, SUM(v) AS s FROM
     (SELECT *, SUM(f) OVER (PARTITION BY k ORDER BY ms, id) AS session FROM
     (SELECT *, CASE WHEN ms - LAG(ms) OVER (PARTITION BY k ORDER BY ms, id) <= 2000
      THEN 0 ELSE 1 END AS f FROM t)) GROUP BY k, session";

const PANES: &[Case] = &[
    case(
        "windows as they change",
        "SELECT window_start, k, COUNT(*) AS n, SUM(v) AS s, MAX(x) AS m FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, k EMIT CHANGES",
        TUMBLED,
    ),
    case(
        "early panes that are taken back",
        "SELECT window_start, k, COUNT(*) AS n, SUM(v) AS s, MAX(x) AS m FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, k
         EMIT AFTER WATERMARK WITH EARLY EVERY 3 ROWS RETRACTING",
        TUMBLED,
    ),
    case(
        "the on-time pane of accumulating ones",
        "SELECT s, k, n, t, m FROM (SELECT window_start AS s, k, COUNT(*) AS n, SUM(v) AS t,
         MAX(x) AS m, PANE_TIMING() AS timing, PANE_IS_LAST() AS is_last FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, k
         EMIT AFTER WATERMARK WITH EARLY EVERY INTERVAL '0.01' SECOND
          WITH LATE EVERY 1 ROW ACCUMULATING ALLOWED LATENESS INTERVAL '1' MINUTE)
         WHERE timing = 'ON_TIME'",
        TUMBLED,
    ),
    case(
        "discarding panes put together",
        "SELECT s, SUM(n) AS n, SUM(t) AS t, MAX(m) AS m FROM (SELECT window_start AS s,
         window_end AS e, g, COUNT(*) AS n, SUM(v) AS t, MAX(v) AS m FROM
         TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND))
         GROUP BY window_start, window_end, g
         EMIT AFTER WATERMARK WITH EARLY EVERY 2 ROWS DISCARDING) GROUP BY s, e",
        "SELECT to_timestamp_millis(w) AS a, COUNT(*) AS n, SUM(v) AS s, MAX(v) AS m FROM
         (SELECT t.*, ms - ms % 5000 - o AS w FROM t CROSS JOIN
         (VALUES (0), (5000), (10000), (15000)) AS v(o)) GROUP BY w",
    ),
    case(
        "discarding panes in windows of their own",
        "CREATE TEMPORARY VIEW p AS SELECT window_time AS w, COUNT(*) AS n, SUM(v) AS t FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))
         GROUP BY window_start, window_end, window_time
         EMIT AFTER WATERMARK WITH EARLY EVERY 2 ROWS WITH LATE EVERY 1 ROW DISCARDING
          ALLOWED LATENESS INTERVAL '3' SECOND;
         SELECT window_start, SUM(n) AS n, SUM(t) AS t FROM TABLE(TUMBLE(TABLE p,
         DESCRIPTOR(w), INTERVAL '20' SECOND)) GROUP BY window_start, window_end",
        "SELECT to_timestamp_millis(w) AS a, COUNT(*) AS n, SUM(v) AS s FROM
         (SELECT *, ms - ms % 20000 AS w FROM t) GROUP BY w",
    ),
    case(
        "sessions that grow",
        "SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS s FROM
         TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))
         GROUP BY window_start, window_end, k
         EMIT AFTER WATERMARK WITH EARLY EVERY 1 ROW RETRACTING",
        SESSIONS,
    ),
    case(
        "changing windows over changing windows",
        "CREATE TEMPORARY VIEW u AS SELECT window_time AS w, COUNT(*) AS c, MAX(v) AS m FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))
         GROUP BY window_start, window_end, window_time EMIT CHANGES;
         SELECT window_start, SUM(c) AS s, MAX(m) AS m FROM TABLE(HOP(TABLE u, DESCRIPTOR(w),
         INTERVAL '10' SECOND, INTERVAL '20' SECOND)) GROUP BY window_start, window_end
         EMIT AFTER WATERMARK WITH EARLY EVERY 2 ROWS RETRACTING",
        "SELECT to_timestamp_millis(w) AS a, COUNT(*) AS s, MAX(v) AS m FROM
         (SELECT t.*, ms - ms % 10000 - o AS w FROM t CROSS JOIN (VALUES (0), (10000)) AS v(o))
         GROUP BY w",
    ),
    case(
        "all rows, at the end",
        "SELECT k, COUNT(*) AS n, COUNT(DISTINCT g) AS d FROM t GROUP BY k EMIT FINAL",
        "SELECT k, COUNT(*) AS n, COUNT(DISTINCT g) AS d FROM t GROUP BY k",
    ),
    case(
        "all rows, and what is known before",
        "SELECT g, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY g
         EMIT AFTER WATERMARK WITH EARLY EVERY 10 ROWS RETRACTING",
        "SELECT g, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY g",
    ),
];

/// Would fail if a pane lost a row or had one twice, whatever the epochs, the workers and the processes.
#[tokio::test]
async fn panes_add_up_to_the_batch_answer() {
    let mut wrong = Vec::new();
    for seed in 0..super::seeds(3) {
        for case in PANES {
            wrong.extend(super::run(case, seed * 1000 + 31).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Would fail if a kill lost or doubled a pane, or a trigger forgot what it had seen.
#[tokio::test]
async fn kills_do_not_change_panes() {
    let mut wrong = Vec::new();
    for seed in 0..super::seeds(1) {
        for case in PANES {
            wrong.extend(super::killed::run(case, seed * 1000 + 37, None).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Beyond the declared delay the law is conservation: rows of discarding panes, and late rows in the
/// table that EMIT names, are the input.
#[tokio::test]
async fn late_panes_and_late_rows_are_the_input() {
    let mut dice = Dice(98);
    let rows = data::rows(&mut dice);
    let place = Place::new();
    // One file, since an unread one would hold the watermark back.
    data::write(&place, &rows, 1, &mut dice);
    let slow = data::table(40_000, ", 'scan.rows-per-second' = '4000'");
    let strict = slow.replace("INTERVAL '5' SECOND", "INTERVAL '0.5' SECOND");
    for workers in ["1", "3"] {
        let script = format!(
            "{strict} CREATE TABLE late (id BIGINT, v BIGINT)
             WITH ('connector' = 'filesystem', 'path' = 'late-{workers}', 'format' = 'json');
             CREATE TABLE panes (n BIGINT, timing STRING)
             WITH ('connector' = 'filesystem', 'path' = 'panes-{workers}', 'format' = 'json');
             INSERT INTO panes SELECT COUNT(*), PANE_TIMING() FROM
             TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND))
             GROUP BY window_start, window_end
             EMIT AFTER WATERMARK WITH EARLY EVERY 3 ROWS WITH LATE EVERY 2 ROWS DISCARDING
              ALLOWED LATENESS INTERVAL '2' SECOND LATE INTO late;"
        );
        place.succeed(&["run", "-e", &script, "--workers", workers]);
        let (mut counted, mut timings) = (0, BTreeMap::new());
        for (line, count) in place.published(&format!("panes-{workers}")) {
            let pane: serde_json::Value = serde_json::from_str(&line).unwrap();
            counted += pane["n"].as_u64().unwrap() as usize * count;
            *timings.entry(pane["timing"].as_str().unwrap().to_owned()).or_insert(0) += count;
        }
        let late = place.published(&format!("late-{workers}"));
        assert!(
            late.keys().all(|row| !row.contains("\"id\":null")),
            "columns that nobody else reads"
        );
        let late: usize = late.values().sum();
        assert!(late > 0 && timings["LATE"] > 0, "the test needs late rows: {timings:?}");
        assert_eq!(counted + late, rows.len(), "{timings:?}");
    }
}
