//! Sources in the making.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use thalweg_plan::NodeKind;
use thalweg_plan::alignment::Alignment;
use thalweg_plan::connector::TableSpec;
use thalweg_plan::function::Watermarker;
use thalweg_plan::node::{BadRecords, SourceNode};
use thalweg_plan::trail::Share;
use thalweg_types::{Error, Result};

use crate::closure::{Behind, Claimed, Trailing};
use crate::job::Job;
use crate::record::Record;
use crate::scalar::Timestamp;
use crate::stream::{Stream, spec};

impl Job {
    /// Reads a table called `name` by a connector, with its options; rows are structs.
    pub fn source<T: Record>(
        &self,
        name: &str,
        connector: &str,
        options: &[(&str, &str)],
    ) -> SourceBuilder<'_, T> {
        SourceBuilder {
            job: self,
            spec: spec::<T>(name, connector, options),
            rows_per_second: None,
            watermark: Ok(None),
            split_share: Ok(Share::ALL),
            alignment: None,
            claims_watermark: false,
            bad_records: BadRecords::Fail,
            rows: PhantomData,
        }
    }
}

/// A source in the making.
pub struct SourceBuilder<'j, T> {
    job: &'j Job,
    spec: TableSpec,
    rows_per_second: Option<u64>,
    /// Or why there is no such watermark.
    watermark: Result<Option<Arc<dyn Watermarker>>>,
    /// Of which share of its splits the watermark is; or why there is no such share.
    split_share: Result<Share>,
    /// Which splits wait for others.
    alignment: Option<Alignment>,
    /// Does the connector say how far event time has come?
    claims_watermark: bool,
    bad_records: BadRecords,
    rows: PhantomData<fn() -> T>,
}

impl<'j, T: Record> SourceBuilder<'j, T> {
    /// Says when a row happened, and by how much rows may be out of order: what comes later than
    /// that is late.
    pub fn watermark(
        mut self,
        time: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
        delay: Duration,
    ) -> Self {
        let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        let watermark: Behind<T, _> = Behind { time, delay_ms, record: PhantomData };
        self.watermark = Ok(Some(Arc::new(watermark)));
        self
    }

    /// Says when a row happened, and of which share of rows, such as 0.95, the watermark waits for what is
    /// out of order: it trails the newest row by that percentile of the delays seen so far, as
    /// `AT PERCENTILE` does in SQL. What comes later is late.
    pub fn watermark_at_percentile(
        mut self,
        time: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
        share: f64,
    ) -> Self {
        let newest: Behind<T, _> = Behind { time, delay_ms: 0, record: PhantomData };
        self.watermark = share.to_string().parse::<Share>().map(|share| {
            let watermark: Arc<dyn Watermarker> = Arc::new(Trailing { newest, share });
            Some(watermark)
        });
        self
    }

    /// Lets the watermark go on with a share of the splits, such as 0.9: it is the greatest that so many of them
    /// have reached, as `scan.watermark.split-percentile` says in SQL. The rows of the others may be late.
    pub fn split_percentile(mut self, share: f64) -> Self {
        self.split_share = share.to_string().parse();
        self
    }

    /// Lets splits wait that are further than `max_drift` ahead of the slowest one of all sources of a group, as
    /// `scan.watermark.alignment.max-drift` says in SQL; what is idle is not waited for.
    pub fn alignment(mut self, group: impl Into<String>, max_drift: Duration) -> Self {
        self.alignment = Some(Alignment { group: group.into(), max_drift });
        self
    }

    /// Takes the watermark that the connector claims itself, as `SOURCE_WATERMARK()` does in SQL.
    pub fn source_watermark(mut self) -> Self {
        self.claims_watermark = true;
        self.watermark = Ok(Some(Arc::new(Claimed)));
        self
    }

    /// Slows the source down.
    pub fn rows_per_second(mut self, rows: u64) -> Self {
        self.rows_per_second = Some(rows);
        self
    }

    /// Leaves malformed records out and counts them; else one fails the job.
    pub fn skip_bad_records(mut self) -> Self {
        self.bad_records = BadRecords::Skip;
        self
    }

    /// Returns the rows.
    ///
    /// # Errors
    /// `Invalid` if connector, options or struct do not fit each other.
    pub fn stream(self) -> Result<Stream<'j, T>> {
        let name = self.spec.name.clone();
        self.add().map_err(|error| error.context(format!("table `{name}`")))
    }

    fn add(self) -> Result<Stream<'j, T>> {
        let connector = self.job.registry.get(self.spec.options.required("connector")?)?;
        connector.validate(&self.spec)?;
        if self.claims_watermark && !connector.has_watermarks() {
            let name = connector.name();
            return Err(Error::invalid(format!("the connector '{name}' claims no watermark"))
                .remedy("use watermark(…), and say when a row happened"));
        }
        let watermark = self.watermark?;
        if self.alignment.is_some() && watermark.is_none() {
            return Err(Error::invalid(
                "splits wait for each other by their watermarks, and there are none",
            )
            .remedy("say by watermark(…) when a row happened, or leave alignment(…) out"));
        }
        let columns: Vec<usize> = (0..self.spec.schema.fields().len()).collect();
        let source = connector.source(&self.spec, &columns)?;
        let changes = connector.changes(&self.spec);
        let mut builder = self.job.builder.borrow_mut();
        let name = self.spec.name.clone();
        let domain = watermark.is_some().then(|| builder.domain(name.clone()));
        let node = SourceNode {
            table: name,
            source,
            changes,
            key: Vec::new(),
            domain,
            watermark,
            idle_timeout: None,
            split_share: self.split_share?,
            alignment: self.alignment,
            rows_per_second: self.rows_per_second,
            bad_records: self.bad_records,
        };
        let schema = self.spec.schema.clone();
        let node = builder.add(NodeKind::Source(node), Vec::new(), schema);
        Ok(Stream { job: self.job, node, rows: PhantomData })
    }
}
