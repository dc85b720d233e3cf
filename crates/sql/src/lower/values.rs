//! Rows that stand in the query itself: `VALUES (1, 'a')`, and `SELECT 1` without a table.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{EmptyRelation, Values};
use thalweg_plan::node::{BadRecords, NodeKind, SourceNode};
use thalweg_plan::source::{
    Changes, Discovery, Offset, Replay, Script, Source, SourceBatch, Split, SplitReader, Step,
};
use thalweg_plan::trail::Share;
use thalweg_plan::window::TimeBasis;
use thalweg_types::{Change, Epoch, ErrorKind, EventTime, Moment, Result, SplitId};

use super::temporal::LITERAL;
use super::{Lowering, Role, Stream};
use crate::expression::{AtTheEnd, Expression, fitted, rows_of};

impl Lowering<'_> {
    /// Computes the rows of `VALUES`, which name no columns.
    pub(super) fn values(&mut self, values: &Values) -> Result<Stream> {
        let schema: SchemaRef = Arc::new(values.schema.as_arrow().clone());
        let nothing = DFSchema::empty();
        let one = one_row()?;
        // Constants do not ask for the moment; what would is computed as of 1970.
        let moment = Moment { epoch: Epoch(0), clock: EventTime(0), watermark: EventTime::MIN };
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); schema.fields().len()];
        for row in &values.values {
            for ((expr, field), column) in row.iter().zip(schema.fields()).zip(&mut columns) {
                let value = Expression::new(expr, &nothing)?.evaluate(&one, &moment);
                let value = value.and_then(|value| fitted(value, field.data_type()));
                column.push(value.map_err(|error| error.with_kind(ErrorKind::Invalid))?);
            }
        }
        let columns = columns.iter().map(|parts| {
            let parts: Vec<_> = parts.iter().map(|part| part.as_ref()).collect();
            Ok(concat(&parts)?)
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let rows = rows_of(&schema, columns, values.values.len())?;
        Ok(self.literal(rows))
    }

    /// A relation without columns and with one row, or with columns and no row.
    pub(super) fn empty(&mut self, empty: &EmptyRelation) -> Result<Stream> {
        let rows = match empty.produce_one_row {
            true => one_row()?,
            false => RecordBatch::new_empty(Arc::new(empty.schema.as_arrow().clone())),
        };
        let mut stream = self.literal(rows);
        if !empty.produce_one_row {
            // What conditions left nothing of still has the event time that windows ask for.
            for (role, field) in stream.roles.iter_mut().zip(empty.schema.fields()) {
                if matches!(field.data_type(), DataType::Timestamp(_, _)) {
                    *role = Role::Rowtime;
                }
            }
        }
        Ok(stream)
    }

    fn literal(&mut self, rows: RecordBatch) -> Stream {
        let schema = rows.schema();
        let roles = vec![Role::Plain; schema.fields().len()];
        let table = format!("{}/values", self.statement);
        let domain = self.awaited.contains(LITERAL).then(|| self.builder.domain(table.clone()));
        let node = SourceNode {
            changes: Changes::Append,
            key: Vec::new(),
            table,
            source: Arc::new(Literal { rows, script: None }),
            domain,
            watermark: domain.map(|_| Arc::new(AtTheEnd) as _),
            idle_timeout: None,
            split_share: Share::ALL,
            alignment: None,
            rows_per_second: None,
            bad_records: BadRecords::Fail,
        };
        Stream {
            node: self.builder.add(NodeKind::Source(node), Vec::new(), schema),
            roles,
            window: None,
            basis: TimeBasis::Event,
            zone: None,
            session_keys: 0,
            bad_records: BadRecords::Fail,
            bad_table: None,
            late_table: None,
            is_bounded: true,
            ttl: None,
            is_copied: false,
            emit: None,
            versioned: None,
        }
    }
}

fn one_row() -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?)
}

/// A source of a few rows that the plan holds.
#[derive(Debug)]
struct Literal {
    rows: RecordBatch,
    /// The script that the job follows, if it does: the rows come before its first line.
    script: Option<String>,
}

/// The offset behind the only batch.
const END: &str = "end";

#[async_trait]
impl Source for Literal {
    fn connector(&self) -> &str {
        "values"
    }

    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn script(&self) -> Option<&str> {
        self.script.as_deref()
    }

    fn among(&self, script: &Script) -> Option<Arc<dyn Source>> {
        let (rows, script) = (self.rows.clone(), Some(script.name.clone()));
        Some(Arc::new(Literal { rows, script }))
    }

    async fn enumerate(&self, known: &[Split]) -> Result<Discovery> {
        let split = Split {
            id: SplitId::from("values"),
            sequence: "values".to_owned(),
            payload: String::new(),
        };
        let is_new = known.is_empty() && self.rows.num_rows() > 0;
        Ok(Discovery { splits: is_new.then_some(split).into_iter().collect(), again: None })
    }

    async fn reader(&self, _: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let is_read = from.is_some_and(|offset| offset.0 == END);
        // Nothing comes behind them.
        let step = Step { watermark: Some(EventTime::MAX), ..Step::default() };
        let step = self.script.as_ref().map(|_| step);
        Ok(Box::new(LiteralReader { rows: (!is_read).then(|| self.rows.clone()), step }))
    }
}

struct LiteralReader {
    rows: Option<RecordBatch>,
    step: Option<Step>,
}

#[async_trait]
impl SplitReader for LiteralReader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        Ok(self.rows.take().map(|rows| SourceBatch {
            bytes: thalweg_types::size::batch_bytes(&rows),
            rows: Change::append(rows),
            bad: Vec::new(),
            next: Offset(END.to_owned()),
        }))
    }

    fn step(&self) -> Option<Step> {
        self.step
    }
}
