use std::fmt::Write;
use std::path::Path;

use async_trait::async_trait;
use datafusion::arrow::array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray,
};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::util::display::array_value_to_string;
use thalweg_plan::connector::{Connector, Options, TableSpec};
use thalweg_plan::explain::unbounded;
use thalweg_plan::loops::ROUNDS_MAX;
use thalweg_plan::outline::outline;
use thalweg_plan::sink::{Accepts, Committer, Delivery, Sink, SinkWriter, WriterContext};
use thalweg_plan::source::{Discovery, Offset, Replay, Source, Split, SplitReader};
use thalweg_plan::{NodeKind, Plan};
use thalweg_types::{Change, Epoch, ErrorKind, EventTime, Moment};

use super::*;
use crate::catalog::{Column, EngineOptions, Table, Watermark};
use crate::tokens::tokenize;

/// A connector, a source and a sink that move no row.
#[derive(Debug)]
struct Fake(SchemaRef, bool);

impl Connector for Fake {
    fn name(&self) -> &'static str {
        if self.1 { "file" } else { "stream" }
    }

    fn options(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn validate(&self, _: &TableSpec) -> Result<()> {
        Ok(())
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Fake(Arc::new(table.schema.project(columns)?), self.1)))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Fake(table.schema.clone(), self.1)))
    }
}

#[async_trait]
impl Source for Fake {
    fn connector(&self) -> &str {
        "fake"
    }

    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        self.1
    }

    async fn enumerate(&self, _: &[Split]) -> Result<Discovery> {
        Ok(Discovery::default())
    }

    async fn reader(&self, _: &Split, _: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        Err(Error::internal("a fake is not read"))
    }
}

#[async_trait]
impl Sink for Fake {
    fn connector(&self) -> &str {
        "fake"
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn accepts(&self) -> Accepts {
        Accepts::Changelog
    }

    async fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Err(Error::internal("a fake is not written"))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Err(Error::internal("a fake commits nothing"))
    }
}

fn millis(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, zone.map(Into::into))
}

/// A table; `computed` are further columns, `watermark` belongs to column `ts`.
fn table(
    (name, connector): (&str, &str),
    columns: &[(&str, DataType)],
    computed: &[(&str, DataType, &str)],
    watermark: Option<&str>,
    engine: &[(&str, &str)],
) -> Table {
    let fields: Vec<Field> = columns.iter().map(|(n, k)| Field::new(*n, k.clone(), true)).collect();
    let mut all: Vec<Column> = fields.iter().cloned().map(Column::Physical).collect();
    all.extend(computed.iter().map(|(name, kind, text)| Column::Computed {
        field: Field::new(*name, kind.clone(), true),
        tokens: tokenize(text).unwrap(),
    }));
    let watermark = watermark
        .map(|text| Watermark { column: "ts".to_owned(), tokens: tokenize(text).unwrap() });
    let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let mut options = Options(engine.iter().map(text).collect());
    let engine = EngineOptions::take(&mut options).unwrap();
    options.0.insert("connector".to_owned(), connector.to_owned());
    let schema = Arc::new(Schema::new(fields));
    let spec = TableSpec::new(name, schema, options);
    Table { name: name.to_owned(), columns: all, watermark, engine, spec }
}

fn session() -> Session {
    let (text, whole) = (DataType::Utf8View, DataType::Int64);
    let event = [("k", text.clone()), ("n", whole.clone()), ("ts", millis(None))];
    let late = [("bad-records", "table:bad"), ("late-records", "table:late")];
    let pt = [("pt", millis(Some("UTC")), "PROCTIME()"), ("twice", whole.clone(), "n * 2")];
    let wm = Some("ts - INTERVAL '5' SECOND");
    let tables = [
        table(("ev", "stream"), &event, &pt, wm, &[]),
        table(("strict", "stream"), &event, &[], wm, &late),
        table(("file", "file"), &event, &[], None, &[]),
        table(
            ("zoned", "stream"),
            &[("k", text.clone()), ("ts", millis(Some("UTC")))],
            &[],
            wm,
            &[],
        ),
        table(("bad", "file"), &[("place", text.clone()), ("error", text.clone())], &[], None, &[]),
        table(("late", "file"), &[("ts", millis(None)), ("n", text), ("x", whole)], &[], None, &[]),
    ];
    let mut session = Session::new().unwrap();
    tables.into_iter().for_each(|table| session.add_table(table).unwrap());
    session
}

fn lowered(queries: &[&str]) -> Result<Plan> {
    lowered_in(Zone::utc(), queries)
}

fn lowered_in(zone: Zone, queries: &[&str]) -> Result<Plan> {
    let session = session();
    let fake = |bounded| Arc::new(Fake(Arc::new(Schema::empty()), bounded));
    let registry = Registry::new(vec![fake(false), fake(true)]);
    let plans = queries.iter().map(|query| {
        let plan = session.query(&tokenize(query)?)?;
        Ok(Query { plan: session.optimize(&plan, zone)?, zone, ttl: None, rounds_max: ROUNDS_MAX })
    });
    let plans = plans.collect::<Result<Vec<_>>>()?;
    let mut lowering = Lowering::new(&session, &registry, &plans)?;
    for (number, plan) in plans.iter().enumerate() {
        let target = Target { name: format!("out{number}"), sink: fake(true) };
        lowering.statement(&format!("out{number}"), plan, target)?;
    }
    Ok(lowering.builder.finish())
}

/// Rows of `file`, as its source delivers them, for queries that read these columns.
fn rows(columns: &[&str]) -> RecordBatch {
    let texts = ["b c", "", "one two three four five six seven eight"];
    let k: ArrayRef = Arc::new(StringViewArray::from_iter([
        Some(texts[0]),
        None,
        Some(texts[1]),
        Some(texts[2]),
    ]));
    let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(-2), None, Some(40)]));
    let times = vec![Some(1_586_937_900_123), Some(-1), Some(0), None];
    let ts: ArrayRef = Arc::new(TimestampMillisecondArray::from(times));
    let column = |name: &&str| match *name {
        "k" => k.clone(),
        "n" => n.clone(),
        _ => ts.clone(),
    };
    let fields =
        columns.iter().map(|name| Field::new(*name, column(name).data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    crate::expression::rows_of(&schema, columns.iter().map(column).collect(), 4).unwrap()
}

const MOMENT: Moment = Moment {
    epoch: Epoch(3),
    clock: EventTime(1_600_000_000_123_456_789),
    watermark: EventTime(0),
};

/// Runs the stateless functions between the source and the sink of a query over `file`.
fn run(query: &str) -> Result<Vec<String>> {
    let plan = lowered(&[query])?;
    let source = plan.sources().next().unwrap().0;
    let names: Vec<&str> = source.schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut changes = vec![Change::append(rows(&names))];
    for node in &plan.nodes {
        let NodeKind::Map(map) = &node.kind else { continue };
        for transform in &map.transforms {
            let mut out = Vec::new();
            for change in &changes {
                transform.apply(change, &MOMENT, &mut out)?;
            }
            assert!(out.iter().all(|change| change.schema() == transform.schema()), "{query}");
            changes = out;
        }
    }
    let line = |change: &Change, row: usize| {
        let values = change.rows.columns().iter().map(|column| match column.is_null(row) {
            true => "NULL".to_owned(),
            false => array_value_to_string(column, row).unwrap(),
        });
        values.collect::<Vec<_>>().join("|")
    };
    Ok(changes.iter().flat_map(|c| (0..c.len()).map(move |row| line(c, row))).collect())
}

fn check(query: &str, expected: &[&str]) {
    let rows = run(query).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    assert_eq!(rows, expected, "{query}");
}

/// Each query of the file stands before its plan; with UPDATE=1 the plans are written anew.
#[test]
fn plans_are_as_written() {
    // Would fail if a query were lowered to other nodes than were looked at and found good.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lower/plans.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut found = String::new();
    for case in text.split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
        let queries: Vec<&str> = case.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let plan = lowered(&queries).map(|plan| outline(&plan));
        let plan = plan.unwrap_or_else(|error| {
            format!("{}\n  {}", error.message(), error.remedy_text().unwrap_or_default())
        });
        queries.iter().for_each(|query| writeln!(found, "-- {query}").unwrap());
        writeln!(found, "{}\n", plan.trim_end()).unwrap();
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, found.trim_end().to_owned() + "\n").unwrap();
    } else {
        assert_eq!(found.trim_end(), text.trim_end());
    }
}

/// Would fail if a filter kept the wrong columns, or a projection read others than were kept.
#[test]
fn filters_and_projections_are_fused() {
    check("SELECT k FROM file WHERE n > 0", &["b c", "one two three four five six seven eight"]);
    check("SELECT n + 1, ts IS NULL FROM file WHERE n > 0 AND ts IS NULL", &["41|true"]);
    check("SELECT COALESCE(n, 0) FROM file WHERE TRUE", &["7", "-2", "0", "40"]);
    check("SELECT 1 FROM file WHERE n < -5", &[]);
    check("SELECT 1 FROM file WHERE n = 40", &["1"]);
}

/// Would fail if the fused split and the plain one differed, or a word were lost.
#[test]
fn words_are_split_alike_with_and_without_copies() {
    let long = "one two three four five six seven eight";
    let words: Vec<&str> = ["b", "c"].into_iter().chain(long.split(' ')).collect();
    check("SELECT w FROM file CROSS JOIN UNNEST(SPLIT(k, ' ')) AS t(w)", &words);
    check("SELECT w FROM file CROSS JOIN UNNEST(SPLIT(k, CONCAT(' ', ''))) AS t(w)", &words);
    check(
        "SELECT w, n FROM file CROSS JOIN UNNEST(SPLIT(k, ' ')) AS t(w) WHERE n = 7",
        &["b|7", "c|7"],
    );
    let whole: &[&str] = &["b c", long];
    check("SELECT w FROM file CROSS JOIN UNNEST(SPLIT(k, '')) AS t(w)", whole);
    check("SELECT w FROM file CROSS JOIN UNNEST(SPLIT(k, '\u{e9}')) AS t(w)", whole);
}

/// Would fail if a function of Flink's gave another value than there, or were found in one case
/// only.
#[test]
fn functions_are_flinks() {
    let cases = [
        ("SPLIT_INDEX(k, ' ', 1)", ["c", "NULL", "NULL", "two"]),
        ("split_index(k, ' ', n)", ["NULL", "NULL", "NULL", "NULL"]),
        ("Regexp_Extract(k, '(o)(n?)e', 2)", ["NULL", "NULL", "NULL", "n"]),
        ("REGEXP_EXTRACT(k, 'e+ f')", ["NULL", "NULL", "NULL", "ee f"]),
        ("MOD(n, 4)", ["3", "-2", "NULL", "0"]),
        ("CHAR_LENGTH(k)", ["3", "NULL", "0", "39"]),
        (
            "DATE_FORMAT(ts, 'yyyy-MM-dd''T''HH:mm:ss.SSS')",
            [
                "2020-04-15T08:05:00.123",
                "1969-12-31T23:59:59.999",
                "1970-01-01T00:00:00.000",
                "NULL",
            ],
        ),
        ("DATE_FORMAT(ts, 'yyyyMMdd HH')", ["20200415 08", "19691231 23", "19700101 00", "NULL"]),
        (
            "UNIX_TIMESTAMP(DATE_FORMAT(ts, 'dd/MM/yyyy'), 'dd/MM/yyyy')",
            ["1586908800", "-86400", "0", "NULL"],
        ),
        (
            "FROM_UNIXTIME(n)",
            ["1970-01-01 00:00:07", "1969-12-31 23:59:58", "NULL", "1970-01-01 00:00:40"],
        ),
        ("TO_TIMESTAMP(k)", ["NULL", "NULL", "NULL", "NULL"]),
        ("TO_TIMESTAMP('2020-04-15 08:05:00.5')", ["2020-04-15T08:05:00.500"; 4]),
        ("TO_TIMESTAMP('15.04.2020 8', 'dd.MM.yyyy H')", ["2020-04-15T08:00:00"; 4]),
        (
            "TO_TIMESTAMP_LTZ(n, 0)",
            ["1970-01-01T00:00:07Z", "1969-12-31T23:59:58Z", "NULL", "1970-01-01T00:00:40Z"],
        ),
        (
            "CAST(ts AS STRING)",
            [
                "2020-04-15 08:05:00.123",
                "1969-12-31 23:59:59.999",
                "1970-01-01 00:00:00.000",
                "NULL",
            ],
        ),
        (
            "CONCAT('at ', CAST(ts AS VARCHAR))",
            [
                "at 2020-04-15 08:05:00.123",
                "at 1969-12-31 23:59:59.999",
                "at 1970-01-01 00:00:00.000",
                "NULL",
            ],
        ),
        ("EXTRACT(HOUR FROM ts)", ["8", "23", "0", "NULL"]),
    ];
    for (function, expected) in cases {
        check(&format!("SELECT {function} FROM file"), &expected);
    }
}

/// Would fail if the time were that of planning, or each function had its own.
#[test]
fn the_clock_is_that_of_the_epoch() {
    let now = "2020-09-13T12:26:40.123";
    let row = format!("{now}Z|{now}Z|{now}|2020-09-13|12:26:40.123|1600000000|8");
    let row = row.as_str();
    check(
        "SELECT PROCTIME(), now(), LOCALTIMESTAMP, CURRENT_DATE, LOCALTIME, UNIX_TIMESTAMP(), n + 1 \
         FROM file WHERE CURRENT_TIMESTAMP > ts AND n = 7",
        &[row],
    );
}

/// Would fail if a window were cut wrongly, or a row without a time vanished.
#[test]
fn rows_get_their_windows() {
    let windows = |call: &str| {
        format!(
            "SELECT n, window_start, window_end, window_time FROM TABLE({call}) WHERE n <> 40 OR TRUE"
        )
    };
    // Only a table with a watermark can be windowed, so the source is `ev`, with the same rows.
    check(
        &windows("TUMBLE(TABLE ev, DESCRIPTOR(ts), INTERVAL '1' MINUTE)"),
        &[
            "7|2020-04-15T08:05:00|2020-04-15T08:06:00|2020-04-15T08:05:59.999",
            "-2|1969-12-31T23:59:00|1970-01-01T00:00:00|1969-12-31T23:59:59.999",
            "NULL|1970-01-01T00:00:00|1970-01-01T00:01:00|1970-01-01T00:00:59.999",
            "40|NULL|NULL|NULL",
        ],
    );
    check(
        "SELECT n, window_end FROM TABLE(HOP(TABLE ev, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '2' SECOND))",
        &[
            "7|2020-04-15T08:05:01",
            "7|2020-04-15T08:05:02",
            "-2|1970-01-01T00:00:00",
            "-2|1970-01-01T00:00:01",
            "NULL|1970-01-01T00:00:01",
            "NULL|1970-01-01T00:00:02",
            "40|NULL",
        ],
    );
    check(
        "SELECT n, window_start FROM TABLE(TUMBLE(TABLE ev, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '-1' SECOND)) WHERE n = 7",
        &["7|2020-04-15T08:04:59"],
    );
    // A query that drops the windows still sees a row once for each.
    check(
        "SELECT n FROM TABLE(HOP(TABLE ev, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '3' SECOND)) WHERE n = 7",
        &["7", "7", "7"],
    );
}

/// Would fail if a value that cannot be computed became NULL or a panic.
#[test]
fn what_cannot_be_computed_is_an_error_of_the_row() {
    for query in [
        "SELECT n / (n - 7) FROM file",
        "SELECT CAST(k AS BIGINT) FROM file",
        "SELECT n FROM file WHERE n % (n - 40) = 0",
        "SELECT CAST(n AS TINYINT) + CAST(CONCAT(CAST(n AS STRING), '0') AS TINYINT) FROM file",
    ] {
        let error = run(query).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{query}: {error:?}");
        assert!(error.message().starts_with("cannot compute `"), "{query}: {error:?}");
    }
    check("SELECT TRY_CAST(k AS BIGINT) FROM file", &["NULL"; 4]);
}

/// Would fail if a row taken back came out as one more.
#[test]
fn weights_follow_their_rows() {
    let plan =
        lowered(&["SELECT w FROM file CROSS JOIN UNNEST(SPLIT(k, ' ')) AS t(w) WHERE w <> 'c'"])
            .unwrap();
    let mut changes =
        vec![Change::weighted(rows(&["k"]), Int64Array::from(vec![-1, 1, 2, -3])).unwrap()];
    for node in &plan.nodes {
        let NodeKind::Map(map) = &node.kind else { continue };
        for transform in &map.transforms {
            let mut out = Vec::new();
            changes.iter().for_each(|c| transform.apply(c, &MOMENT, &mut out).unwrap());
            changes = out;
        }
    }
    let weights: Vec<i64> =
        changes.iter().flat_map(|c| (0..c.len()).map(|row| c.weight(row))).collect();
    assert_eq!(weights, [-1, -3, -3, -3, -3, -3, -3, -3, -3]);
}

/// Would fail if rows in the query came out in another shape than they were written in.
#[test]
fn rows_can_stand_in_the_query() {
    let plan = lowered(&["SELECT a, b FROM (VALUES (1, 'x'), (2, NULL)) AS t(a, b)"]).unwrap();
    let (node, source) = plan.sources().next().unwrap();
    assert!(source.source.is_bounded());
    assert_eq!(node.schema.fields().len(), 2);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let found = source.source.enumerate(&[]).await.unwrap();
        assert!(source.source.enumerate(&found.splits).await.unwrap().splits.is_empty());
        let mut reader = source.source.reader(&found.splits[0], None).await.unwrap();
        let batch = reader.next().await.unwrap().unwrap();
        assert_eq!((batch.rows.len(), batch.rows.schema()), (2, node.schema.clone()));
        let mut reader = source.source.reader(&found.splits[0], Some(&batch.next)).await.unwrap();
        assert!(reader.next().await.unwrap().is_none());
    });
}

/// Would fail if NOT IN of what can be NULL compared each row with all, where rows can meet by their values.
#[test]
fn not_in_of_what_can_be_null_is_a_join_by_values() {
    let joins = |query: &str| -> Vec<usize> {
        let plan = lowered(&[query]).unwrap();
        let joins = plan.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Join(join) => Some(join.keys.len()),
            _ => None,
        });
        joins.collect()
    };
    // The one with the count of NULLs is by buckets.
    let both = "n NOT IN (SELECT x FROM late)";
    assert_eq!(joins(&format!("SELECT k FROM file WHERE {both}")), [1, 1]);
    // Below OR rows that pass are told from others by two joins, with keys, too.
    assert_eq!(joins(&format!("SELECT k FROM file WHERE {both} OR k = 'a'")), [1, 1, 1, 1]);
    // A correlated one by what ties it to the row, and by that and the values.
    let joins_tied = |tie: &str| {
        joins(&format!("SELECT k FROM file WHERE n NOT IN (SELECT x FROM late WHERE {tie})"))
    };
    assert_eq!(joins_tied("late.n = file.k"), [1, 2]);
    assert_eq!(joins_tied("late.n = file.k AND late.x > file.n"), [1]);
    // What is counted by time would be kept for ever.
    assert_eq!(joins_tied("late.ts = file.ts"), [1]);
}

/// Would fail if rows with windows of a zone were kept for ever once they are joined, by event time or by the clock.
#[test]
fn joins_on_windows_of_a_zone_are_bounded() {
    let zone = Zone::named("Europe/Berlin").unwrap();
    for (table, time) in [("zoned", "ts"), ("ev", "pt")] {
        let windows =
            format!("TABLE(TUMBLE(TABLE {table}, DESCRIPTOR({time}), INTERVAL '1' HOUR))");
        for kind in ["", "LEFT", "FULL"] {
            let query = format!(
                "SELECT a.k FROM {windows} AS a {kind} JOIN {windows} AS b ON a.k = b.k \
                 AND a.window_start = b.window_start AND a.window_end = b.window_end"
            );
            let plan = lowered_in(zone, &[&query]).unwrap();
            let kept = unbounded(&plan);
            assert!(kept.is_empty(), "{query}: {kept:?}");
            assert!(plan.nodes.iter().all(|node| !node.is_updating), "{query}");
        }
        // Where clocks are set back a window's last instant by the clock is not its last one.
        let query = format!(
            "SELECT a.k FROM {windows} AS a JOIN {windows} AS b ON a.k = b.k \
             AND a.window_time = b.window_time"
        );
        assert_eq!(unbounded(&lowered_in(zone, &[&query]).unwrap()).len(), 1, "{query}");
    }
}
