use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::SchemaRef;
use thalweg_plan::window::Assigner;
use thalweg_types::Epoch;

use super::*;
use crate::operators::testing::{millis, schema, texts};

fn windows() -> SchemaRef {
    schema(&[("start", millis()), ("end", millis())])
}

fn spec(basis: TimeBasis) -> WindowSpec {
    WindowSpec { assigner: Assigner::Attached, basis, start: 0, end: 1, zone: None }
}

fn close(watermark: EventTime, clock: i64, ending: Option<Ending>) -> Close {
    let clock = EventTime::from_unit(clock, TimeUnit::Millisecond);
    let moment = Moment { epoch: Epoch(1), clock, watermark };
    Close { moment, inputs: [moment.watermark; 2], is_checkpoint: false, ending }
}

fn complete(basis: TimeBasis, close: &Close) -> i64 {
    let mut due = Due::new(&spec(basis), &windows()).unwrap();
    due.close(close);
    due.complete()
}

/// Would fail if a window fired before its last millisecond was over, or a moment too late.
#[test]
fn a_window_is_complete_at_its_last_instant() {
    let at = |nanos| complete(TimeBasis::Event, &close(EventTime(nanos), 0, None));
    assert_eq!(at(9_998_000_000), 9_999);
    assert_eq!(at(9_998_999_999), 9_999);
    assert_eq!(at(9_999_000_000), 10_000);
    assert_eq!(at(i64::MIN), i64::MIN);
    assert_eq!(at(i64::MAX), i64::MAX);
    assert_eq!(at(-1), 0);
}

/// Would fail if the wall clock's windows fired by the watermark, which is at the end of time on
/// an input without one.
#[test]
fn by_the_clock_a_window_is_complete_once_its_end_is_reached() {
    let at = |clock, ending| complete(TimeBasis::Processing, &close(EventTime::MAX, clock, ending));
    assert_eq!(at(9_999, None), 9_999);
    assert_eq!(at(10_000, Some(Ending::Suspend)), 10_000);
    assert_eq!(at(10_000, Some(Ending::Finish)), i64::MAX);
}

/// Would fail if time went back, or if a row were late by the clock.
#[test]
fn time_never_goes_back_and_the_clock_makes_nothing_late() {
    let mut due = Due::new(&spec(TimeBasis::Event), &windows()).unwrap();
    assert!(!due.is_late(i64::MIN + 1));
    due.restore(&close(EventTime(50_000_000), 0, None).moment);
    due.close(&close(EventTime(10_000_000), 0, None));
    assert_eq!(due.complete(), 51);
    assert!(due.is_late(51) && !due.is_late(52));
    assert_eq!(due.wake(60), None);
    let mut due = Due::new(&spec(TimeBasis::Processing), &windows()).unwrap();
    due.close(&close(EventTime::MAX, 100, None));
    assert!(!due.is_late(1));
    assert_eq!(due.wake(200), Some(EventTime(200_000_000)));
}

/// Would fail if late rows, or rows without a time, went on or went uncounted.
#[test]
fn the_gate_counts_and_diverts_what_is_late() {
    let column = |values: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from(values))
    };
    let starts = column(vec![Some(0), Some(10), None, Some(20), Some(30)]);
    let ends = column(vec![Some(10), Some(20), Some(90), None, Some(40)]);
    let rows = Change::append(RecordBatch::try_new(windows(), vec![starts, ends]).unwrap());
    let mut due = Due::new(&spec(TimeBasis::Event), &windows()).unwrap();
    due.close(&close(EventTime(9_000_000), 0, None));
    for divert in [false, true] {
        let gate = Gate::new(&spec(TimeBasis::Event), Slices::Whole, divert);
        let mut out = Output::default();
        let good = gate.admit(rows.clone(), &due, &mut out).unwrap();
        assert_eq!(texts(&good), ["10|20", "30|40"]);
        assert_eq!(out.counted(), (3, 0));
        let sent = out.take();
        assert_eq!(sent.len(), usize::from(divert));
        assert!(sent.iter().all(|(port, late)| *port == 1 && late.len() == 3));
    }
}
