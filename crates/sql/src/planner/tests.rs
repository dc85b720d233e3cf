use thalweg_plan::connector::Connector;
use thalweg_plan::sink::{Accepts, Committer, Prepared, SinkWriter, WriterContext};
use thalweg_plan::source::{Discovery, Offset, Source, Split, SplitReader};
use thalweg_types::{Change, Epoch};

use super::*;

/// A connector of tables that are never read or written.
#[derive(Debug)]
struct Fake(SchemaRef, Accepts);

impl Connector for Fake {
    fn name(&self) -> &'static str {
        if self.1 == Accepts::Append { "append" } else { "changes" }
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        table.options.only(&["connector"])
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Fake(Arc::new(table.schema.project(columns)?), self.1)))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Fake(table.schema.clone(), self.1)))
    }
}

#[async_trait::async_trait]
impl Source for Fake {
    fn connector(&self) -> &str {
        "fake"
    }

    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn replay(&self) -> Replay {
        Replay::None
    }

    fn is_bounded(&self) -> bool {
        false
    }

    async fn enumerate(&self, _: &[Split]) -> Result<Discovery> {
        Ok(Discovery::default())
    }

    async fn reader(&self, _: &Split, _: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        Err(Error::internal("a fake is not read"))
    }
}

#[async_trait::async_trait]
impl Sink for Fake {
    fn connector(&self) -> &str {
        "fake"
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn accepts(&self) -> Accepts {
        self.1
    }

    async fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(FakeWriter))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Err(Error::internal("a fake commits nothing"))
    }
}

struct FakeWriter;

#[async_trait::async_trait]
impl SinkWriter for FakeWriter {
    async fn write(&mut self, _: Change) -> Result<()> {
        Ok(())
    }

    async fn end_epoch(&mut self, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared> {
        Ok(Prepared::default())
    }
}

fn planner() -> Planner {
    let fake = |accepts| Arc::new(Fake(Arc::new(Schema::empty()), accepts));
    let registry = Registry::new(vec![fake(Accepts::Append), fake(Accepts::Changelog)]);
    Planner::new(
        registry,
        Arc::new(move || Arc::new(Fake(Arc::new(Schema::empty()), Accepts::Changelog))),
    )
}

const TABLES: &str = "
    CREATE TABLE bid (auction BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra ROW<x INT, y STRING>,
        cents AS price * 100, WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND)
    WITH ('connector' = 'append');
    CREATE TABLE plain (k STRING, n BIGINT) WITH ('connector' = 'append');
    CREATE TABLE updated (k STRING, n BIGINT) WITH ('connector' = 'changes');";

fn plan(statement: &str) -> Result<Script> {
    planner().plan(&format!("{TABLES}\n{statement}"))
}

fn explained(statement: &str) -> String {
    let script = plan(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    explain::explain(&script.plan.unwrap())
}

/// Would fail if a statement that streams were refused, or lost its meaning on the way.
#[test]
fn what_streams_is_planned() {
    let window = "FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))";
    let named = "FROM TABLE(HOP(DATA => TABLE bid, TIMECOL => DESCRIPTOR(`dateTime`), SLIDE => INTERVAL '2' SECOND, SIZE => INTERVAL '10' SECOND))";
    let cases = [
        ("SELECT auction, cents, extra.y FROM bid WHERE price > 7", "filter"),
        ("SELECT CAST(price AS STRING) FROM bid", "Utf8"),
        (
            &*format!(
                "SELECT window_start, auction, COUNT(*) {window} GROUP BY window_start, window_end, auction"
            ),
            "WindowAggregate ATTACHED",
        ),
        (
            &*format!(
                "SELECT window_time, SUM(price) {named} GROUP BY window_start, window_end, window_time"
            ),
            "WindowAggregate HOP(2000, 10000)",
        ),
        (&*format!("SELECT window_end, price {named}"), "expand windows"),
        (
            "SELECT auction, COUNT(DISTINCT price), AVG(price) FROM bid GROUP BY auction HAVING COUNT(*) > 1",
            "Aggregate by [auction]",
        ),
        ("SELECT DISTINCT auction FROM bid", "Aggregate by [auction]"),
        ("SELECT auction FROM bid UNION ALL SELECT price FROM bid", "Union"),
        ("WITH b AS (SELECT price p FROM bid) SELECT p + 1 FROM b", "project"),
        ("CREATE VIEW v AS SELECT auction a FROM bid; SELECT a FROM v", "project"),
        ("INSERT INTO plain (n) SELECT price FROM bid", "Sink plain"),
        (
            "EXECUTE STATEMENT SET BEGIN INSERT INTO plain SELECT 'a', price FROM bid; INSERT INTO updated SELECT 'b', price FROM bid; END",
            "Sink updated",
        ),
        (
            &*format!(
                "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS rn {window}) WHERE rn <= 3"
            ),
            "WindowTop 3",
        ),
    ];
    for (statement, expected) in cases {
        let text = explained(statement);
        assert!(text.contains(expected), "{statement}\n{text}");
    }
}

/// Would fail if a table read twice had two sources, which would read it twice.
#[test]
fn a_table_is_read_once() {
    let text = "INSERT INTO plain SELECT 'a', price FROM bid; INSERT INTO updated SELECT 'b', auction FROM bid";
    let plan = plan(text).unwrap().plan.unwrap();
    assert_eq!(plan.sources().count(), 1);
}

/// Would fail if something that cannot run as a stream were planned, or refused without a reason.
#[test]
fn what_does_not_stream_is_refused_with_a_way_out() {
    let cases = [
        ("INSERT INTO plain SELECT 'a', COUNT(*) FROM bid", "inserts only"),
        (
            "SELECT n FROM (SELECT auction, COUNT(*) n FROM bid GROUP BY auction) GROUP BY n",
            "updating input",
        ),
        ("SELECT auction FROM bid ORDER BY auction", "never does"),
        ("SELECT a.price FROM bid a JOIN bid b ON a.auction = b.auction", "join"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE plain, DESCRIPTOR(n), INTERVAL '1' SECOND))", "no time"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`)))", "SIZE"),
        (
            "SELECT window_start FROM TABLE(SESSION(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' SECOND))",
            "aggregated",
        ),
        ("SELECT price FROM bid; SELECT auction FROM bid", "one SELECT"),
        ("INSERT INTO plain SELECT price, auction FROM bid", "column `k`"),
        ("INSERT INTO plain SELECT 'a' FROM bid", "takes 2 columns"),
        ("SET 'parallelism.defalt' = '2'", "unknown setting"),
        ("CREATE TABLE t (a BIGINT, WATERMARK FOR a AS a) WITH ('connector' = 'append')", "Int64"),
        ("SET 'require.exactly-once' = 'true'; SELECT price FROM bid", "require.exactly-once"),
    ];
    for (statement, expected) in cases {
        let error = plan(statement).err().unwrap_or_else(|| panic!("{statement} was planned"));
        assert!(error.message().contains(expected), "{statement}: {error:?}");
        assert!(
            !error.places().is_empty() || statement.starts_with("SET 'require"),
            "{statement}: {error:?}"
        );
    }
}
