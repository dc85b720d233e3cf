//! Drives the writer of one sink on one worker: a thread that empties the sink's port.
//!
//! Invariant: what `prepare` returned is durable before the coordinator hears of it.

use std::sync::Arc;

use thalweg_dataflow::port::{SinkItem, SinkPort};
use thalweg_plan::sink::{Sink, SinkWriter, WriterContext};
use thalweg_types::{NodeId, Result};
use tokio::runtime::Handle;

use crate::message::{Message, Tell};

/// A writer thread's surroundings.
pub struct Writer {
    /// The sink's node.
    pub node: NodeId,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// Who the writer is.
    pub context: WriterContext,
    /// Where rows come from.
    pub port: Arc<SinkPort>,
    /// Where messages go.
    pub tell: Tell,
    /// Runs what is asynchronous.
    pub runtime: Handle,
}

impl Writer {
    /// Writes until the attempt ends.
    pub fn run(self) {
        if let Err(error) = self.write_all() {
            // Whoever feeds the port must not wait for a writer that is gone.
            self.port.close();
            (self.tell)(Message::Failed(error));
        }
    }

    fn write_all(&self) -> Result<()> {
        let mut writer = self.runtime.block_on(self.sink.writer(self.context.clone()))?;
        while let Some(item) = self.port.pop_waiting() {
            match item {
                SinkItem::End => return Ok(()),
                item => self.runtime.block_on(self.write(&mut *writer, item))?,
            }
        }
        Ok(())
    }

    async fn write(&self, writer: &mut dyn SinkWriter, item: SinkItem) -> Result<()> {
        match item {
            SinkItem::Rows(change) => writer.write(change).await,
            SinkItem::EndEpoch(epoch) => writer.end_epoch(epoch).await,
            SinkItem::Checkpoint { epoch, is_last } => {
                let prepared = writer.prepare(epoch, is_last).await?;
                (self.tell)(Message::Prepared(self.node, epoch, prepared));
                Ok(())
            }
            SinkItem::End => Ok(()),
        }
    }
}
