use std::sync::Mutex;

use thalweg_plan::PlanBuilder;
use thalweg_types::clock::SystemClock;
use thalweg_types::{KeyGroups, SplitId};

use super::*;
use crate::job::{Listener, Start, hold_of_split};

/// A pacer of two workers and one source, node 0 in domain 0.
fn pacer() -> Pacer {
    let start = Start {
        epoch: Epoch(0),
        clock: EventTime(0),
        watermarks: vec![EventTime(100)],
        pending: BTreeMap::new(),
        is_temporary: true,
    };
    let job = Job {
        plan: Arc::new(PlanBuilder::new().finish()),
        fingerprint: 0,
        groups: KeyGroups { count: 8, workers: 2 },
        clock: Arc::new(SystemClock),
        start,
        first_worker: 0,
        seats: vec![Mutex::new(None)],
        counters: Vec::new(),
        epochs: Arc::default(),
        listener: Listener(Arc::new(|_| {})),
        flow: Arc::default(),
        commands: Arc::default(),
        stop: Arc::default(),
    };
    let mut pacer = Pacer::new(Arc::new(job), 2, Inbox::default(), Handle::new());
    pacer.sources.insert(NodeId(0), (Some(DomainId(0)), SourceProgress::default()));
    pacer
}

fn report(worker: usize, watermark: i64, opened: &str) -> Report {
    Report::Source {
        node: NodeId(0),
        worker,
        waiting_bytes: 0,
        watermark: Some(EventTime(watermark)),
        begun: vec![hold_of_split(&SplitId(opened.to_owned()))],
        is_finished: false,
        step: None,
    }
}

/// Would fail if the watermark followed a split before an earlier one was begun, both of which
/// were given out while the pacer was busy: all rows of the earlier one would be late.
#[test]
fn a_split_given_out_earlier_holds_the_watermark_back() {
    let mut pacer = pacer();
    for split in ["6", "7"] {
        let hold = hold_of_split(&SplitId(split.to_owned()));
        pacer.job.commands.send(Command::Given { node: NodeId(0), hold, behind: None });
    }
    pacer.inbox.borrow_mut().push(report(1, 700, "7"));
    pacer.hear();
    assert_eq!(pacer.watermarks, [EventTime(100)]);
    pacer.inbox.borrow_mut().push(report(0, 600, "6"));
    pacer.hear();
    assert_eq!(pacer.watermarks, [EventTime(600)]);
}
