//! Windows of processing time: when rows come decides which window has them, so only what does not
//! depend on it can be compared. Each row is in as many windows as its kind says, and in no other's
//! key: the sums over all windows are those of the batch.

use super::{Rows, batch, cell, data, differences, folded};
use crate::support::{Dice, Place};

/// Windows of the clock, and how many of them have each row.
const WINDOWS: [(&str, i64); 3] = [
    ("TUMBLE(TABLE t, DESCRIPTOR(p), INTERVAL '0.02' SECOND)", 1),
    ("HOP(TABLE t, DESCRIPTOR(p), INTERVAL '0.02' SECOND, INTERVAL '0.06' SECOND)", 3),
    ("SESSION(TABLE t PARTITION BY k, DESCRIPTOR(p), INTERVAL '0.01' SECOND)", 1),
];

/// Adds up the counts and sums of each key; returns them, and how many windows there were.
fn sums(rows: &Rows) -> (Rows, usize) {
    let mut keys: std::collections::BTreeMap<String, (i64, i64)> = Default::default();
    for (row, weight) in rows {
        let whole = |text: &str| text.parse::<f64>().map_or(0, |number| number as i64);
        let (count, sum) = keys.entry(row[0].clone()).or_default();
        *count += whole(&row[1]) * weight;
        *sum += whole(&row[2]) * weight;
    }
    let shown = |(key, (count, sum)): (String, (i64, i64))| {
        (vec![key, cell(&count.to_string()), cell(&sum.to_string())], 1)
    };
    (keys.into_iter().map(shown).collect(), rows.values().sum::<i64>() as usize)
}

/// Would fail if a row were lost, doubled, or counted for another key when the clock fires windows,
/// for any number of workers and processes.
#[tokio::test]
async fn windows_of_the_clock_have_every_row() {
    let mut dice = Dice(41);
    for seed in 0..super::seeds(2) {
        let rows = data::rows(&mut dice);
        let place = Place::new();
        data::write(&place, &rows, 1 + dice.below(3) as usize, &mut dice);
        for (window, times) in WINDOWS {
            let table = data::table(1 << 14, ", 'scan.rows-per-second' = '4000'");
            let table = table.replace("WATERMARK FOR", "p AS PROCTIME(), WATERMARK FOR");
            let script = format!(
                "{table} SELECT k, COUNT(*) AS n, SUM(v) AS s FROM TABLE({window})
                 GROUP BY window_start, window_end, k;"
            );
            let processes = 1 + dice.below(2);
            let workers = (processes * (1 + dice.below(2))).to_string();
            let processes = processes.to_string();
            let flags = ["--workers", &workers, "--processes", &processes, "--output", "json"];
            let shown = place.succeed(&[&["run", "-e", &script], &flags[..]].concat());
            let (found, windows) = sums(&folded(&shown));
            let query = format!(
                "SELECT k, COUNT(*) * {times} AS n, COALESCE(SUM(v), 0) * {times} AS s FROM t GROUP BY k"
            );
            let expected = batch(&query, &rows).await;
            assert!(found == expected, "{window}, seed {seed}: {}", differences(&found, &expected));
            let is_session = window.starts_with("SESSION");
            assert!(is_session || windows > expected.len(), "{window} never fired before the end");
        }
    }
}
