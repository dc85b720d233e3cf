//! The sink operator: hands rows to a writer, epoch by epoch.
//!
//! Invariant: it never waits; when the port is full it says that more is to come and is called
//! again when the writer has caught up.

use std::sync::Arc;

use thalweg_types::{Change, Result};

use crate::operator::{Close, Operator, Output, Step};
use crate::port::{SinkItem, SinkPort};

/// Feeds one writer.
#[derive(Debug)]
pub struct SinkOperator {
    port: Arc<SinkPort>,
    /// Were rows written in the open epoch?
    has_rows: bool,
}

impl SinkOperator {
    /// Returns an operator that feeds `port`.
    pub fn new(port: Arc<SinkPort>) -> SinkOperator {
        SinkOperator { port, has_rows: false }
    }

    fn step(&self) -> Step {
        if self.port.is_full() && !self.port.is_closed() { Step::More } else { Step::Done }
    }
}

impl Operator for SinkOperator {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        self.has_rows = true;
        let bytes = change.bytes();
        self.port.push(SinkItem::Rows(change), bytes);
        Ok(self.step())
    }

    fn close(&mut self, close: &Close, _: &mut Output) -> Result<Step> {
        let epoch = close.moment.epoch;
        if std::mem::take(&mut self.has_rows) {
            self.port.push(SinkItem::EndEpoch(epoch), 0);
        }
        if close.is_checkpoint {
            let is_last = close.ending.is_some();
            self.port.push(SinkItem::Checkpoint { epoch, is_last }, 0);
        }
        if close.ending.is_some() {
            self.port.push(SinkItem::End, 0);
        }
        Ok(self.step())
    }

    fn resumed_by(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        self.port.operator.set(wake);
    }

    fn resume(&mut self, _: &mut Output) -> Result<Step> {
        Ok(self.step())
    }
}
