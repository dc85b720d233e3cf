//! A registry for planning tests: tables that are neither read nor written.
//!
//! What it is for: tests of the planner, which must not depend on real connectors. `append`
//! takes inserts only, `changes` updating results too; both know the option `'path'`. Sources
//! never end and cannot be replayed. It does *not* run anything: readers and writers refuse.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use thalweg_plan::connector::{Connector, Registry, TableSpec};
use thalweg_plan::outline::outline;
use thalweg_plan::sink::{Accepts, Committer, Delivery, Sink, SinkWriter, WriterContext};
use thalweg_plan::source::{Discovery, Offset, Replay, Source, Split, SplitReader};
use thalweg_types::{Error, Place, Result};

use crate::planner::{Planner, Script};

/// A connector of the tests, and a table of it.
#[derive(Debug)]
struct Fake(SchemaRef, Accepts);

fn nothing_runs() -> Error {
    Error::internal("a table of the planning tests was opened")
}

impl Connector for Fake {
    fn name(&self) -> &'static str {
        if self.1 == Accepts::Append { "append" } else { "changes" }
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["connector", "path"]
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        table.options.only(&self.options())
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Fake(Arc::new(table.schema.project(columns)?), self.1.clone())))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Fake(table.schema.clone(), self.1.clone())))
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
        Replay::None
    }

    fn is_bounded(&self) -> bool {
        false
    }

    async fn enumerate(&self, _: &[Split]) -> Result<Discovery> {
        Err(nothing_runs())
    }

    async fn reader(&self, _: &Split, _: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        Err(nothing_runs())
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
        self.1.clone()
    }

    async fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Err(nothing_runs())
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Err(nothing_runs())
    }
}

/// Tables that the tests read and write, all in one line: a script behind them begins at line 2.
const TABLES: &str = "\
    CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, \
        `dateTime` TIMESTAMP(3), extra ROW<x INT, y STRING>, cents AS price * 100, \
        WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND) \
    WITH ('connector' = 'append'); \
    CREATE TABLE event (kind INT, tags ARRAY<STRING>, counts MAP<STRING, BIGINT>, amount DOUBLE, \
        seen TIMESTAMP_LTZ(3)) \
    WITH ('connector' = 'append'); \
    CREATE TABLE lines (line STRING) WITH ('connector' = 'append'); \
    CREATE TABLE plain (k STRING, n BIGINT) WITH ('connector' = 'append'); \
    CREATE TABLE updated (k STRING, n BIGINT) WITH ('connector' = 'changes');";

/// Returns a planner over the fake connectors.
pub(crate) fn planner() -> Planner {
    let fake = |accepts| Arc::new(Fake(Arc::new(Schema::empty()), accepts));
    let registry = Registry::new(vec![fake(Accepts::Append), fake(Accepts::Changelog)]);
    Planner::new(
        registry,
        Arc::new(move || Arc::new(Fake(Arc::new(Schema::empty()), Accepts::Changelog))),
    )
}

/// Plans a script over the tables of the tests.
pub(crate) fn plan(script: &str) -> Result<Script> {
    planner().plan(&format!("{TABLES}\n{script}"))
}

/// Returns the outline of the plan of a script that is right.
pub(crate) fn explained(script: &str) -> String {
    let script = plan(script).unwrap_or_else(|error| panic!("{script}: {error:?}"));
    outline(&script.plan.unwrap())
}

/// Returns the error of a script that is wrong: the text it points at, the message, the remedy.
/// Places within one line of the text are shown by the text.
pub(crate) fn refused(script: &str) -> String {
    let error = plan(script).err().unwrap_or_else(|| panic!("{script} was planned"));
    let lines: Vec<&str> = script.lines().collect();
    let shown = error.places().first().map(|place| match place {
        Place::Sql { line, column, length } => {
            let text = line.checked_sub(2).and_then(|line| lines.get(line)).copied();
            let text: String = text.unwrap_or("?").chars().skip(column - 1).take(*length).collect();
            format!("[{text}] ")
        }
        other => format!("[{other}] "),
    });
    let remedy = error.remedy_text().map(|remedy| format!("; {remedy}"));
    format!("{}{error}{}", shown.unwrap_or_default(), remedy.unwrap_or_default())
}
