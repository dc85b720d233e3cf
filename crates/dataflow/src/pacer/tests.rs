use std::sync::Mutex;

use thalweg_plan::PlanBuilder;
use thalweg_plan::source::Step;
use thalweg_types::clock::{Clock, FixedClock, SystemClock};
use thalweg_types::{KeyGroups, SplitId};

use super::*;
use crate::job::{Listener, Start};

/// A pacer of two workers and one source, node 0 in domain 0.
fn pacer() -> Pacer {
    pacer_by(Arc::new(SystemClock))
}

fn pacer_by(clock: Arc<dyn Clock>) -> Pacer {
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
        clock,
        start,
        first_worker: 0,
        seats: vec![Mutex::new(None)],
        counters: Vec::new(),
        epochs: Arc::default(),
        listener: Listener(Arc::new(|_| {})),
        flow: Arc::default(),
        premises: Arc::default(),
        commands: Arc::default(),
        stop: Arc::default(),
    };
    let mut pacer = Pacer::new(Arc::new(job), 2, Inbox::default(), Handle::new());
    pacer.sources.insert(NodeId(0), (Some((DomainId(0), Share::ALL)), SourceProgress::default()));
    pacer
}

fn report(worker: usize, watermark: i64, opened: &str) -> Report {
    Report::Source {
        node: NodeId(0),
        worker,
        waiting_bytes: 0,
        watermarks: vec![EventTime(watermark)],
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
        let (node, sequence, split) = (NodeId(0), "file".to_owned(), SplitId(split.to_owned()));
        pacer.job.commands.send(Command::Given { node, sequence, split, behind: None });
    }
    pacer.inbox.borrow_mut().push(report(1, 700, "7"));
    pacer.hear();
    assert_eq!(pacer.watermarks, [EventTime(100)]);
    pacer.inbox.borrow_mut().push(report(0, 600, "6"));
    pacer.hear();
    assert_eq!(pacer.watermarks, [EventTime(600)]);
}

/// Would fail if a job waited for a time that does not come, went back below the time that it had saved, or
/// passed over what is due.
#[test]
fn a_clock_that_stands_still_wakes_nobody() {
    let clock = FixedClock::parse("2026-01-01 00:00:00").unwrap();
    let mut pacer = pacer_by(Arc::new(clock));
    let now = clock.now();
    let wake = |at| Report::Wake { node: NodeId(0), worker: 0, at: Some(EventTime(at)) };
    pacer.inbox.borrow_mut().push(wake(now.0 + 1_000_000));
    pacer.hear();
    assert!(matches!(pacer.next_of_clock(), Err(None)));
    pacer.inbox.borrow_mut().push(wake(now.0));
    pacer.hear();
    let Ok(opening) = pacer.next_of_clock() else { panic!("a wake is due") };
    assert_eq!(opening.clock, now);
    let saved = now.plus(Duration::from_secs(1));
    pacer.clock = saved;
    assert_eq!(pacer.next_of_clock().ok().map(|opening| opening.clock), Some(saved));
}

/// Would fail if a checkpoint, or a report from elsewhere, changed which epochs a scripted job has, or
/// what they say of time.
#[test]
fn a_script_decides_epochs_and_their_time() {
    let mut pacer = pacer();
    pacer.script = Some(Script::new([NodeId(0)].into_iter(), 2));
    let (clock, watermark) = (Some(EventTime(50)), Some(EventTime(300)));
    let step = Step { line: 7, watermark, clock, is_checkpoint: false };
    let shown = |step: Option<Step>, is_finished| Report::Source {
        node: NodeId(0),
        worker: 0,
        waiting_bytes: 64,
        watermarks: vec![EventTime(999)],
        begun: Vec::new(),
        is_finished,
        step,
    };
    let hear = |pacer: &mut Pacer, reports: Vec<Report>| {
        pacer.inbox.borrow_mut().extend(reports);
        pacer.hear();
        pacer.next_of_script().map(|opening| pacer.open(&opening))
    };
    let reached = |epoch| (0..2).map(move |worker| Report::Reached { worker, epoch: Epoch(epoch) });
    pacer.job.commands.send(Command::Checkpoint);
    assert_eq!(hear(&mut pacer, reached(1).collect()), None);
    let info = hear(&mut pacer, vec![shown(Some(step), false)]).unwrap();
    assert_eq!((info.clock, info.intake), (EventTime(50), Intake::Line(7)));
    assert_eq!((&info.watermarks[..], info.is_checkpoint), (&[EventTime(300)][..], true));
    assert_eq!(info.watermarks_before, [EventTime(100)]);
    let ends = [
        shown(None, true),
        Report::Source {
            node: NodeId(0),
            worker: 1,
            waiting_bytes: 0,
            watermarks: Vec::new(),
            begun: Vec::new(),
            is_finished: true,
            step: None,
        },
    ];
    assert_eq!(hear(&mut pacer, ends.into()), None);
    let wake = Report::Wake { node: NodeId(1), worker: 1, at: Some(EventTime(40)) };
    let info = hear(&mut pacer, reached(2).chain([wake]).collect()).unwrap();
    assert_eq!((info.clock, info.intake), (EventTime(50), Intake::Nothing));
    assert_eq!((info.is_checkpoint, info.ending), (false, None));
    let info = hear(&mut pacer, reached(3).collect()).unwrap();
    assert_eq!((info.ending, &info.watermarks[..]), (Some(Ending::Finish), &[EventTime::MAX][..]));
}

/// Would fail if splits that wait for the slowest one were not told how far it is, also where it belongs to
/// another source of their group, or if nobody were told that nobody has to wait any more.
#[test]
fn an_epoch_says_how_far_the_slowest_split_is() {
    let mut pacer = pacer();
    pacer.sources.insert(NodeId(1), (Some((DomainId(0), Share::ALL)), SourceProgress::default()));
    pacer.groups = vec![(NodeId(0), "g".to_owned()), (NodeId(1), "g".to_owned())];
    let mut hear = |node: usize, worker: usize, watermarks: Vec<EventTime>| {
        let report = Report::Source {
            node: NodeId(node),
            worker,
            waiting_bytes: 0,
            watermarks,
            begun: Vec::new(),
            is_finished: false,
            step: None,
        };
        pacer.inbox.borrow_mut().push(report);
        pacer.hear();
        let has_reason = pacer.situation(EventTime(0)).has_reason;
        let opening = Opening { clock: EventTime(0), intake: Intake::Waiting };
        (has_reason, pacer.open(&opening).slowest)
    };
    let both = |time: i64| vec![(NodeId(0), EventTime(time)), (NodeId(1), EventTime(time))];
    assert_eq!(hear(0, 0, vec![EventTime(50)]), (true, both(50)));
    assert_eq!(hear(1, 1, vec![EventTime(20)]), (true, both(20)));
    assert_eq!(hear(0, 0, vec![EventTime(60)]), (false, both(20)));
    // It rises, and a job of which all wait has a reason for an epoch, below the watermark of the job.
    assert_eq!(hear(1, 1, vec![EventTime(30)]), (true, both(30)));
    assert_eq!(hear(1, 1, Vec::new()), (true, both(60)));
    assert_eq!(hear(0, 0, Vec::new()), (true, Vec::new()));
}
