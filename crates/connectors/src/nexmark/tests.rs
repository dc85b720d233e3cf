use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};

use super::*;

fn spec(which: Table, options: &[(&str, &str)]) -> TableSpec {
    let fields = which.columns().iter().map(|column| {
        let kind = match column.kind {
            Kind::Number => DataType::Int64,
            Kind::Text => DataType::Utf8View,
            Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
        };
        Field::new(column.name, kind, true)
    });
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    TableSpec::new(
        "t",
        Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        Options(options.chain([("connector".into(), "nexmark".into())]).collect()),
    )
}

fn source(which: Table, name: &str, events: &str) -> NexmarkSource {
    let spec = spec(which, &[("nexmark.table", name), ("nexmark.events", events)]);
    NexmarkSource::new(&spec, &(0..spec.schema.fields().len()).collect::<Vec<_>>()).unwrap()
}

/// Reads all splits, each from its start.
async fn read(source: &NexmarkSource) -> RecordBatch {
    let mut batches = Vec::new();
    for split in source.enumerate(&[]).await.unwrap().splits {
        let mut reader = source.reader(&split, None).await.unwrap();
        while let Some(batch) = reader.next().await.unwrap() {
            batches.push(batch.rows.rows);
        }
    }
    concat_batches(&source.schema, &batches).unwrap()
}

/// Would fail if a change of the generator went unnoticed: measurements compare only over the same
/// events, and a checkpoint goes on in the same stream.
#[tokio::test]
async fn the_first_bids_are_these() {
    let rows = read(&source(Table::Bid, "bid", "7")).await;
    let text = arrow::util::display::array_value_to_string;
    let rows: Vec<String> = (0..rows.num_rows())
        .map(|row| {
            let cells = rows.columns().iter().map(|column| text(column, row).unwrap());
            cells.collect::<Vec<_>>().join("|")
        })
        .collect();
    let expected: Vec<&str> = include_str!("bids.txt").lines().collect();
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn events_are_shared_out_as_the_rules_say() {
    let mut counts = BTreeMap::new();
    for (which, name) in
        [(Table::Bid, "bid"), (Table::Auction, "auction"), (Table::Person, "person")]
    {
        let rows = read(&source(which, name, "123456")).await;
        counts.insert(name, rows.num_rows());
        assert!(rows.columns().iter().all(|column| column.null_count() == 0));
        if which == Table::Bid {
            let auctions = rows.column(0).as_primitive::<Int64Type>().values();
            // Half the bids, and those drawn by chance, are on hot auctions.
            let hot = auctions.iter().filter(|auction| (**auction - 1000) % 100 == 0).count();
            assert!((0.49..0.53).contains(&(hot as f64 / auctions.len() as f64)), "{hot}");
        } else {
            let ids = rows.column(0).as_primitive::<Int64Type>().values();
            assert!(ids.iter().zip(1000..).all(|(id, expected)| *id == expected));
        }
    }
    // 2,469 whole rounds of fifty, and six more events.
    let expected = [("auction", 2469 * 3 + 3), ("bid", 2469 * 46 + 2), ("person", 2469 + 1)];
    assert_eq!(counts, BTreeMap::from(expected));
}

/// Would fail if an event depended on the batch or split in which it is made.
#[tokio::test]
async fn reading_on_gives_the_same_rows() {
    let source = source(Table::Auction, "auction", "120000");
    let whole = read(&source).await;
    let mut at = 0;
    for split in source.enumerate(&[]).await.unwrap().splits {
        let mut reader = source.reader(&split, None).await.unwrap();
        while let Some(batch) = reader.next().await.unwrap() {
            at += batch.rows.rows.num_rows();
            let mut again = source.reader(&split, Some(&batch.next)).await.unwrap();
            if let Some(next) = again.next().await.unwrap() {
                assert_eq!(next.rows.rows, whole.slice(at, next.rows.rows.num_rows()));
            }
        }
    }
    assert_eq!(at, whole.num_rows());
}

#[tokio::test]
async fn a_table_may_declare_some_columns_in_any_order() {
    let whole = read(&source(Table::Person, "person", "5000")).await;
    let spec = spec(Table::Person, &[("nexmark.table", "person"), ("nexmark.events", "5000")]);
    let some = NexmarkSource::new(&spec, &[6, 2, 0]).unwrap();
    assert_eq!(read(&some).await, whole.project(&[6, 2, 0]).unwrap());
}

#[test]
fn wrong_tables_are_refused() {
    let refused = |spec: &TableSpec| Nexmark.validate(spec).unwrap_err().to_string();
    let table = spec(Table::Bid, &[("nexmark.event", "5")]);
    assert!(refused(&table).contains("unknown option 'nexmark.event'"));
    let table = spec(Table::Bid, &[("nexmark.table", "bids")]);
    assert!(refused(&table).contains("'bids'"));
    let table = spec(Table::Person, &[]);
    assert!(refused(&table).contains("'nexmark' has no column `id`"));
    let mut table = spec(Table::Bid, &[]);
    let field = Field::new("price", DataType::Utf8View, true);
    table.schema = Arc::new(Schema::new(vec![field]));
    assert!(refused(&table).contains("column `price` of 'nexmark' is a BIGINT"));
}
