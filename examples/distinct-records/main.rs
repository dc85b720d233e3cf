//! The example of Naiad's paper (Murray et al., SOSP 2013): the distinct records of each epoch as they
//! come, and how often there was each when the epoch is complete.
//!
//!     cargo run --example distinct-records
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags. What Naiad calls a
//! timestamp is here the time of a row, its `OnRecv` is `row`, `NotifyAt` a timer, and `OnNotify` is
//! `timer`, which is called when the watermark says that nothing more comes of the epoch.

use std::process::ExitCode;
use std::time::Duration;

use thalweg::{Context, MapState, Process, Record, Result, Side, Timer, Timestamp};

/// A record of an epoch.
#[derive(Clone, Record)]
struct Message {
    epoch: i64,
    record: String,
}

/// How often a record came in an epoch.
#[derive(Clone, Record)]
struct Count {
    epoch: i64,
    record: String,
    occurrences: i64,
}

/// Sends a record when it comes for the first time in its epoch, and its count at the end of it.
struct DistinctCount {
    counts: MapState<i64, i64>,
    totals: Side<Count>,
}

impl Process<String, Message, Message> for DistinctCount {
    fn row(&self, message: Message, context: &mut Context<'_, String, Message>) -> Result<()> {
        let count = self.counts.or_default(context, message.epoch);
        *count += 1;
        if *count == 1 {
            context.set_timer(Timer::Event(Timestamp(message.epoch)));
            context.send(message);
        }
        Ok(())
    }

    fn timer(&self, timer: Timer, context: &mut Context<'_, String, Message>) -> Result<()> {
        let epoch = timer.time().0;
        if let Some(occurrences) = self.counts.remove(context, &epoch) {
            let record = context.key().clone();
            context.send_to(self.totals, Count { epoch, record, occurrences });
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/distinct-records", String::as_str);
        let input = [("path", "examples/distinct-records/records.json"), ("format", "json")];
        // A record may come among those of the next epoch, and an epoch is a millisecond long.
        let distinct = job
            .source::<Message>("records", "filesystem", &input)
            .watermark(|message| Timestamp(message.epoch), Duration::from_millis(2))
            .stream()?
            .key_by(|message| message.record.clone())
            .process("distinct records", |setup| DistinctCount {
                counts: setup.map("counts"),
                totals: setup.side("totals"),
            })?;
        let (records, counts) = (format!("{output}/records"), format!("{output}/counts"));
        let totals = distinct.side::<Count>("totals")?;
        totals.sink("counts", "filesystem", &[("path", &counts), ("format", "json")])?;
        distinct.sink("distinct", "filesystem", &[("path", &records), ("format", "json")])
    })
}
