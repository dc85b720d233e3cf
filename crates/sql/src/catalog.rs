//! Tables as their `CREATE TABLE` describes them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use thalweg_plan::connector::{Options, TableSpec};
use thalweg_plan::node::BadRecords;
use thalweg_plan::trail::Share;
use thalweg_types::{Error, Result};

/// What stands between a table's name and the options of its hint.
const HINT: &str = "/*+";

/// Returns the name of a table that is used with other options than its own.
pub(crate) fn hinted_name(table: &str, options: &str) -> String {
    format!("{table}{HINT}{options}*/")
}

/// Returns the name under which a table was declared, also if it is used with other options.
pub(crate) fn declared_name(name: &str) -> &str {
    hint_of(name).map_or(name, |(table, _)| table)
}

/// Returns the table and the options of a name that [`hinted_name`] made.
pub(crate) fn hint_of(name: &str) -> Option<(&str, &str)> {
    name.strip_suffix("*/")?.split_once(HINT)
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    /// Comes from outside.
    Physical(Field),
    /// Says where a row comes from, cast to this type.
    Metadata { field: Field, key: String, is_virtual: bool },
    /// Is computed from the others; its type is known once it was planned.
    Computed { field: Field, tokens: Vec<TokenWithSpan> },
}

impl Column {
    pub(crate) fn field(&self) -> &Field {
        match self {
            Column::Physical(field)
            | Column::Metadata { field, .. }
            | Column::Computed { field, .. } => field,
        }
    }
}

/// The call that stands for the watermark of the source itself, in place of an expression.
const SOURCE_WATERMARK: &str = "SOURCE_WATERMARK";

/// The watermark of a table: the time column, and the expression over its rows.
#[derive(Clone, Debug)]
pub(crate) struct Watermark {
    pub(crate) column: String,
    pub(crate) tokens: Vec<TokenWithSpan>,
}

impl Watermark {
    /// Is it the one that the source claims?
    pub(crate) fn is_of_source(&self) -> bool {
        matches!(self.tokens.as_slice(), [TokenWithSpan { token: Token::Word(word), .. }, open, close]
            if word.value.eq_ignore_ascii_case(SOURCE_WATERMARK)
                && (&open.token, &close.token) == (&Token::LParen, &Token::RParen))
    }
}

/// Options of a table that the engine obeys, whatever the connector.
#[derive(Clone, Debug)]
pub(crate) struct EngineOptions {
    pub(crate) rows_per_second: Option<u64>,
    pub(crate) idle_timeout: Option<Duration>,
    /// The share of the splits with which the watermark goes on.
    pub(crate) split_share: Share,
    /// Which splits wait for others, without a group those of the table.
    pub(crate) alignment: Option<(Option<String>, Duration)>,
    /// Options that say how many workers there are, which the job does.
    pub(crate) parallelism: Vec<&'static str>,
    pub(crate) bad_records: BadRecords,
    pub(crate) bad_table: Option<String>,
    pub(crate) late_table: Option<String>,
}

const ROWS_PER_SECOND: &str = "scan.rows-per-second";
const IDLE_TIMEOUT: &str = "scan.watermark.idle-timeout";
const SPLIT_PERCENTILE: &str = "scan.watermark.split-percentile";
/// Key of the option that keeps splits together.
pub(crate) const MAX_DRIFT: &str = "scan.watermark.alignment.max-drift";
const ALIGNMENT_GROUP: &str = "scan.watermark.alignment.group";
/// How often Flink's readers are told; ours are told with each epoch.
const ALIGNMENT_INTERVAL: &str = "scan.watermark.alignment.update-interval";
const BAD_RECORDS: &str = "bad-records";
const LATE_RECORDS: &str = "late-records";
/// Setting: can a changelog say the same change several times? Then its rows are told apart by the
/// primary key of their table.
pub(crate) const CDC_DUPLICATES: &str = "table.exec.source.cdc-events-duplicate";
/// Keys of Flink's that ask for a number of workers.
const PARALLELISM: [&str; 2] = ["scan.parallelism", "sink.parallelism"];

/// Keys that tables of every connector take.
pub(crate) const ENGINE_OPTIONS: [&str; 8] = [
    ROWS_PER_SECOND,
    IDLE_TIMEOUT,
    SPLIT_PERCENTILE,
    MAX_DRIFT,
    ALIGNMENT_GROUP,
    ALIGNMENT_INTERVAL,
    BAD_RECORDS,
    LATE_RECORDS,
];

impl EngineOptions {
    /// Takes the engine's options out of a table's.
    pub(crate) fn take(options: &mut Options) -> Result<EngineOptions> {
        let rows_per_second = options.number(ROWS_PER_SECOND)?;
        let idle_timeout = options.duration(IDLE_TIMEOUT)?;
        let split_share = split_share(options)?;
        let alignment = alignment(options)?;
        if rows_per_second == Some(0) {
            return Err(Error::invalid(format!("option '{ROWS_PER_SECOND}' must be at least 1")));
        }
        let (bad_records, bad_table) = match options.get(BAD_RECORDS) {
            // What a format is to ignore is left out and counted.
            None if ignores_errors(options)? => (BadRecords::Skip, None),
            None | Some("fail") => (BadRecords::Fail, None),
            Some("skip") => (BadRecords::Skip, None),
            Some(other) => match other.strip_prefix("table:") {
                Some(table) => (BadRecords::Divert, Some(table.to_owned())),
                None => {
                    let error = format!("option '{BAD_RECORDS}' is '{other}'");
                    return Err(Error::invalid(error).remedy("use 'fail', 'skip' or 'table:NAME'"));
                }
            },
        };
        let late_table = match options.get(LATE_RECORDS) {
            None => None,
            Some(other) => {
                let table = other.strip_prefix("table:").ok_or_else(|| {
                    Error::invalid(format!("option '{LATE_RECORDS}' is '{other}'"))
                        .remedy("use 'table:NAME'")
                })?;
                Some(table.to_owned())
            }
        };
        let mut parallelism = Vec::new();
        for key in PARALLELISM {
            match options.number(key)? {
                None => {}
                Some(0) => {
                    return Err(Error::invalid(format!("option '{key}' must be at least 1")));
                }
                Some(_) => parallelism.push(key),
            }
            options.0.remove(key);
        }
        for key in ENGINE_OPTIONS {
            options.0.remove(key);
        }
        Ok(EngineOptions {
            rows_per_second,
            idle_timeout,
            split_share,
            alignment,
            parallelism,
            bad_records,
            bad_table,
            late_table,
        })
    }
}

/// Returns how far a split may be ahead of the slowest one, and of which group.
fn alignment(options: &Options) -> Result<Option<(Option<String>, Duration)>> {
    let max_drift = options.duration(MAX_DRIFT)?;
    options.duration(ALIGNMENT_INTERVAL)?;
    for key in [ALIGNMENT_GROUP, ALIGNMENT_INTERVAL] {
        if max_drift.is_none() && options.get(key).is_some() {
            return Err(Error::invalid(format!("option '{key}' without '{MAX_DRIFT}'"))
                .remedy("say how far a split may be ahead of the slowest one"));
        }
    }
    Ok(max_drift.map(|drift| (options.get(ALIGNMENT_GROUP).map(str::to_owned), drift)))
}

/// Returns the share of the splits with which the watermark of a table goes on.
fn split_share(options: &Options) -> Result<Share> {
    let Some(share) = options.get(SPLIT_PERCENTILE) else { return Ok(Share::ALL) };
    share.parse().map_err(|error: Error| error.context(format!("option '{SPLIT_PERCENTILE}'")))
}

/// Does the format of a table ignore what it cannot read?
fn ignores_errors(options: &Options) -> Result<bool> {
    let Some(format) = options.get("format") else { return Ok(false) };
    Ok(options.flag(&format!("{format}.ignore-parse-errors"))?.unwrap_or(false))
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) watermark: Option<Watermark>,
    pub(crate) engine: EngineOptions,
    /// What the connector is told.
    pub(crate) spec: TableSpec,
}

impl Table {
    /// Returns all columns, physical, computed and metadata, as queries see them.
    pub(crate) fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> = self.columns.iter().map(|column| column.field().clone()).collect();
        Arc::new(Schema::new(fields))
    }

    /// Returns the connector's name.
    pub(crate) fn connector(&self) -> Result<&str> {
        self.spec.options.required("connector")
    }
}

/// A table as DataFusion plans with it: a schema and nothing to scan.
#[derive(Debug)]
pub(crate) struct Planned(pub(crate) Arc<Table>);

#[async_trait::async_trait]
impl TableProvider for Planned {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        Err(DataFusionError::Plan(format!("table `{}` is a stream", self.0.name)))
    }
}

/// Returns the recursive relation that a scan reads, if it reads one.
pub(crate) fn recursive_relation(scan: &TableScan) -> Option<String> {
    let provider = source_as_provider(&scan.source).ok()?;
    let table: &dyn Any = provider.as_ref();
    table.downcast_ref::<CteWorkTable>().map(|table| table.name().to_owned())
}

/// Finds the table behind what DataFusion calls a source.
pub(crate) fn table_of(source: &dyn Any) -> Option<Arc<Table>> {
    source.downcast_ref::<Planned>().map(|planned| planned.0.clone())
}
