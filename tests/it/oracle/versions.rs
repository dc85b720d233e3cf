//! Temporal joins with tables that change: each change is a version, however the job is cut into epochs,
//! by how many workers it is run, and how often it is killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use super::cases::{Case, case};
use super::{Rows, answer, data, differences, killed, seeds};
use crate::support::{Dice, Place};

/// Over the rows `t` and the table `u`, of which the batch has all changes: key `k`, value `w` (NULL if
/// the key is deleted), time `ms` and number `n`.
const CASES: &[Case] = &[
    case(
        "versions of a table that changes",
        "SELECT a.id, c.w FROM t a LEFT JOIN u FOR SYSTEM_TIME AS OF a.ts AS c ON a.k = c.k",
        "SELECT id, w FROM (SELECT a.id, c.w, ROW_NUMBER() OVER
         (PARTITION BY a.id ORDER BY c.ms DESC NULLS LAST, c.n DESC) AS rn FROM t a
         LEFT JOIN u c ON a.k = c.k AND c.ms <= a.ms) WHERE rn = 1",
    ),
    case(
        "versions that are seen through a view, and a condition",
        "CREATE TEMPORARY VIEW c AS SELECT -w AS w, k AS key, ts FROM u;
         SELECT a.id, c.w FROM t a JOIN c FOR SYSTEM_TIME AS OF a.ts ON a.k = c.key AND c.w % 3 <> 0
         WHERE a.id % 2 = 0",
        "SELECT id, -w AS w FROM (SELECT a.id, c.w, ROW_NUMBER() OVER
         (PARTITION BY a.id ORDER BY c.ms DESC, c.n DESC) AS rn FROM t a
         JOIN u c ON a.k = c.k AND c.ms <= a.ms) WHERE rn = 1 AND w % 3 <> 0 AND id % 2 = 0",
    ),
];

/// A change of the table.
struct Changed {
    k: i64,
    w: Option<i64>,
    ms: i64,
}

/// Returns changes that come up to 4.9 s late; keys are deleted only if that has a time of its own.
fn changes(dice: &mut Dice, has_deletions: bool) -> Vec<Changed> {
    let count = 300 + dice.below(500) as i64;
    let mut at = data::BASE_MS;
    let changes = (0..count).map(|number| {
        at += dice.below(300) as i64;
        let is_gone = has_deletions && dice.below(4) == 0;
        let (k, ms) = (dice.below(6) as i64, at - dice.below(4900) as i64);
        Changed { k, w: (!is_gone).then_some(number), ms }
    });
    changes.collect()
}

/// Writes what Debezium would say; returns which changes it can say, since no key goes that is not there.
fn debezium(place: &Place, changes: Vec<Changed>) -> Vec<Changed> {
    let mut there: BTreeMap<i64, Value> = BTreeMap::new();
    let (mut said, mut lines) = (Vec::new(), String::new());
    for change in changes {
        let row = json!({ "k": change.k, "w": change.w, "ts": data::time(change.ms) });
        let before = there.remove(&change.k);
        let line = match (&before, change.w) {
            (None, None) => continue,
            // When it went is what the database says of the row that is gone.
            (Some(before), None) => {
                let gone = json!({ "k": change.k, "w": before["w"], "ts": row["ts"] });
                json!({ "before": gone, "after": null, "op": "d" })
            }
            (None, Some(_)) => json!({ "before": null, "after": row, "op": "c" }),
            (Some(before), Some(_)) => json!({ "before": before, "after": row, "op": "u" }),
        };
        if change.w.is_some() {
            there.insert(change.k, row);
        }
        lines += &format!("{line}\n");
        said.push(change);
    }
    place.write("u.json", &lines);
    said
}

fn upserts(place: &Place, changes: Vec<Changed>) -> Vec<Changed> {
    let line = |change: &Changed| {
        let value = json!({ "k": change.k, "w": change.w, "ts": data::time(change.ms) });
        format!("{}\n", json!({ "key": { "k": change.k }, "value": value }))
    };
    place.write("u.json", &changes.iter().map(line).collect::<String>());
    changes
}

fn table(format: &str, options: &str) -> String {
    format!(
        "CREATE TABLE u (k BIGINT, w BIGINT, ts TIMESTAMP(3), PRIMARY KEY (k) NOT ENFORCED,
          WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
        WITH ('connector' = 'filesystem', 'path' = 'u.json', 'format' = '{format}'{options});"
    )
}

fn batch(changes: &[Changed]) -> RecordBatch {
    let numbers = |f: fn(&Changed) -> Option<i64>| -> ArrayRef {
        Arc::new(changes.iter().map(f).collect::<Int64Array>())
    };
    let columns = [
        ("k", numbers(|change| Some(change.k))),
        ("w", numbers(|change| change.w)),
        ("ms", numbers(|change| Some(change.ms))),
        ("n", Arc::new(Int64Array::from_iter_values(0..changes.len() as i64)) as ArrayRef),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

async fn expected(query: &str, rows: &[data::Row], changes: &[Changed]) -> Rows {
    let context = SessionContext::new();
    context.register_batch("t", data::batch(rows)).unwrap();
    context.register_batch("u", batch(changes)).unwrap();
    answer(&context, query).await
}

/// Runs a case with random kills, and perhaps a planted bug; returns what is wrong.
async fn run(case: &Case, format: &str, seed: u64, fault: Option<&str>) -> Result<(), String> {
    let (mut dice, place) = (Dice(seed), Place::new());
    let rows = data::rows(&mut dice);
    data::write(&place, &rows, 1 + dice.below(3) as usize, &mut dice);
    let changes = match format {
        "debezium-json" => debezium(&place, changes(&mut dice, true)),
        _ => upserts(&place, changes(&mut dice, false)),
    };
    let range = 1 << (10 + dice.below(8));
    let (views, query) = case.stream.rsplit_once(';').unwrap_or(("", case.stream));
    let script = |options: &str| {
        format!(
            "{} {} {views}; CREATE TABLE out (id BIGINT, w BIGINT) WITH ('connector' = 'filesystem',
             'path' = 'out', 'format' = 'debezium-json'); INSERT INTO out {query};",
            data::table(range, options),
            table(format, options),
        )
    };
    let told = |what| format!("case `{}` of {format}, killed, seed {seed}: {what}", case.name);
    let found = killed::lives(&place, &script, &mut dice, fault).map_err(told)?;
    let expected = expected(case.batch, &rows, &changes).await;
    match found == expected {
        true => Ok(()),
        false => Err(told(differences(&found, &expected))),
    }
}

/// Would fail if two changes of a key in an epoch were one, a deletion did not end a version, or a kill
/// lost one.
#[tokio::test]
async fn every_change_of_a_table_is_a_version() {
    let mut wrong = Vec::new();
    for seed in 0..seeds(3) {
        for case in CASES {
            for format in ["debezium-json", "upsert-json"] {
                wrong.extend(run(case, format, seed * 1000 + 41, None).await.err());
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Would fail if the test above saw no wrong version: here each row meets the newest one that is known.
#[tokio::test]
async fn the_newest_version_instead_of_that_of_the_time_is_found() {
    for format in ["debezium-json", "upsert-json"] {
        let found = run(&CASES[0], format, 41, Some("newest-version")).await;
        let wrong = found.expect_err("`newest-version` was planted and nobody noticed");
        assert!(wrong.contains("expected, not found"), "it fails in another way: {wrong}");
    }
}
