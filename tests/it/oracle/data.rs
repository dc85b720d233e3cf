//! Random rows, as files and as a batch.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringViewArray, TimestampMillisecondArray,
};

use crate::support::{Dice, Place};

/// A row; its number is unique.
pub(super) struct Row {
    id: i64,
    k: Option<i64>,
    g: Option<&'static str>,
    v: Option<i64>,
    x: Option<f64>,
    d: Option<i128>,
    b: Option<bool>,
    words: Option<String>,
    ts: i64,
}

/// 2024-05-01 00:00:00.
pub(super) const BASE_MS: i64 = 1_714_521_600_000;
const GROUPS: [&str; 5] = ["red", "green", "a group with a rather long name", "", "blue"];

pub(super) fn rows(dice: &mut Dice) -> Vec<Row> {
    let count = 200 + dice.below(1500) as i64;
    let mut at = BASE_MS;
    let mut rows = Vec::new();
    for id in 0..count {
        at += dice.below(150) as i64;
        if dice.below(200) == 0 {
            // A pause, so that sessions end and windows are empty.
            at += 25_000;
        }
        let mut some = |bound| (dice.below(10) > 0).then(|| dice.below(bound));
        let words = some(5);
        let row = Row {
            id,
            k: some(6).map(|k| k as i64),
            g: some(5).map(|g| GROUPS[g as usize]),
            v: some(2000).map(|v| v as i64 - 1000),
            x: some(1 << 20).map(|x| x as f64 / 977.0 - 300.0),
            d: some(1_000_000).map(|d| i128::from(d) - 500_000),
            b: some(2).map(|b| b == 1),
            words: words.map(|n| {
                let words: Vec<String> = (0..n).map(|_| format!("w{}", dice.below(30))).collect();
                words.join(" ")
            }),
            ts: 0,
        };
        rows.push(Row { ts: at - dice.below(4900) as i64, ..row });
    }
    rows
}

/// Returns the text of a time, as SQL prints it.
pub(super) fn time(millis: i64) -> String {
    let since = millis - BASE_MS + 86_400_000;
    let (day, rest) = (since / 86_400_000, since % 86_400_000);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    let month_day = if day == 0 { "04-30".to_owned() } else { format!("05-{day:02}") };
    format!("2024-{month_day} {hour:02}:{minute:02}:{second:02}.{:03}", millis % 1000)
}

/// Writes the rows to so many files and one more, in order, the last one empty; NULLs are left out or spelt.
pub(super) fn write(place: &Place, rows: &[Row], files: usize, dice: &mut Dice) {
    place.write("t/zz-empty.json", "");
    for (number, part) in rows.chunks(rows.len().div_ceil(files)).enumerate() {
        let lines = part.iter().map(|row| {
            let decimal = row.d.map(|d| d as f64 / 100.0);
            let mut object = serde_json::json!({ "id": row.id, "k": row.k, "g": row.g,
                "v": row.v, "x": row.x, "d": decimal, "b": row.b, "words": row.words,
                "ts": time(row.ts) });
            if dice.below(2) == 0 {
                let fields = object.as_object_mut().unwrap();
                fields.retain(|_, value| !value.is_null());
            }
            format!("{object}\n")
        });
        place.write(&format!("t/{number:02}.json"), &lines.collect::<String>());
    }
}

/// Declares the table of the files, in ranges of so many bytes, with further options.
pub(super) fn table(range: u64, options: &str) -> String {
    format!(
        "CREATE TABLE t (id BIGINT, k BIGINT, g STRING, v BIGINT, x DOUBLE, d DECIMAL(10, 2),
          b BOOLEAN, words STRING, ts TIMESTAMP(3),
          WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
        WITH ('connector' = 'filesystem', 'path' = 't', 'format' = 'json',
          'scan.range-size' = '{range}b'{options});"
    )
}

/// Returns the rows as a batch, with the time in milliseconds, too.
pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let decimals: Decimal128Array = rows.iter().map(|row| row.d).collect();
    let whole = |f: fn(&Row) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(f).collect::<Int64Array>())
    };
    let times = rows.iter().map(|row| Some(row.ts)).collect::<TimestampMillisecondArray>();
    let words = rows.iter().map(|row| row.words.as_deref()).collect::<StringViewArray>();
    let columns: [(&str, ArrayRef); 10] = [
        ("id", whole(|row| Some(row.id))),
        ("k", whole(|row| row.k)),
        ("g", Arc::new(rows.iter().map(|row| row.g).collect::<StringViewArray>())),
        ("v", whole(|row| row.v)),
        ("x", Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>())),
        ("d", Arc::new(decimals.with_precision_and_scale(10, 2).unwrap())),
        ("b", Arc::new(rows.iter().map(|row| row.b).collect::<BooleanArray>())),
        ("words", Arc::new(words)),
        ("ts", Arc::new(times)),
        ("ms", whole(|row| Some(row.ts))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}
