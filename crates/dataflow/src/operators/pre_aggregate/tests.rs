use thalweg_plan::node::Stage;
use thalweg_plan::window::{Assigner, TimeBasis};

use super::*;
use crate::operators::testing::*;

fn node(assigner: Option<Assigner>) -> AggregateNode {
    let basis = TimeBasis::Event;
    AggregateNode {
        window: assigner.map(|assigner| WindowSpec {
            assigner,
            basis,
            start: 2,
            end: 3,
            zone: None,
        }),
        keys: vec![0],
        calls: calls().0,
        stage: Stage::Partial,
        divert_late: true,
        retracts: false,
        ttl: None,
        panes: None,
    }
}

fn operator(assigner: Option<Assigner>) -> PreAggregate {
    let output = result_schema(assigner.is_some());
    PreAggregate::new(&node(assigner), &row_schema(), output).unwrap()
}

fn row(key: i64, value: i64, start: i64) -> Row {
    Row { key: format!("key {key}"), value: Some(value), start, end: start + 10 }
}

const HOP: Assigner = Assigner::Hop { size: 30, slide: 10, offset: 0 };

/// Would fail if rows of one key and window travelled apart, or stayed for the next epoch.
#[test]
fn rows_of_an_epoch_are_folded_and_forgotten() {
    let batch = || change(&[row(1, 5, 0), row(2, 7, 0), row(1, 6, 0), row(1, 1, 10)]);
    let turns = [Turn::at(0, vec![batch(), batch()]), Turn::at(1, vec![batch()])];
    let sent = run_one(&mut operator(Some(Assigner::Attached)), &turns);
    let first = ["+1 0|10|key 1|22|4|6", "+1 0|10|key 2|14|2|7", "+1 10|20|key 1|2|2|1"];
    assert_eq!(sent[0].sorted(), first);
    let second = ["+1 0|10|key 1|11|2|6", "+1 0|10|key 2|7|1|7", "+1 10|20|key 1|1|1|1"];
    assert_eq!(sent[1].sorted(), second);
}

/// Would fail if a row that is still in an open window were late, or one of none were not.
#[test]
fn a_row_is_late_once_its_last_window_was_complete() {
    let batch = || vec![change(&[row(1, 1, 0), row(1, 1, 10)])];
    // The last window of the first slice ends at 30, that of the second at 40.
    let turns =
        [Turn::at(29, batch()), Turn::at(38, batch()), Turn::at(39, batch()), Turn::at(0, batch())];
    let sent = run_one(&mut operator(Some(HOP)), &turns);
    let late: Vec<_> = sent.iter().map(|sent| sent.late).collect();
    assert_eq!(late, [0, 1, 1, 2]);
    let diverted: Vec<String> = sent[1].diverted.iter().flat_map(texts).collect();
    assert_eq!(diverted, ["key 1|1|0|10"]);
}

/// Would fail if a restart forgave late rows.
#[test]
fn after_a_restore_late_rows_are_late() {
    let mut operator = operator(Some(HOP));
    let at = Turn::at(29, Vec::new()).close(0).moment;
    operator.restore(&StateReader::empty(), &at).unwrap();
    let sent =
        run_one(&mut operator, &[Turn::at(29, vec![change(&[row(1, 1, 0), row(1, 1, 10)])])]);
    assert_eq!((sent[0].late, sent[0].sorted().len()), (1, 1));
}

/// Would fail if an epoch of many keys filled memory, or rows got lost by sending early.
#[test]
fn a_large_epoch_is_sent_early() {
    let mut operator = operator(None);
    operator.bytes_max = 1 << 20;
    let batches: Vec<Change> = (0..20)
        .map(|batch| {
            let rows = (0..10_000).map(|key| row(batch * 10_000 + key, 1, 0));
            change(&rows.collect::<Vec<_>>())
        })
        .collect();
    let mut sent = Sent::default();
    for change in batches {
        drive(&mut operator, &mut sent, |operator, out| operator.batch(0, change, out));
        assert!(operator.size().0 < 3 << 20, "{:?}", operator.size());
    }
    assert!(sent.results.len() > 1);
    let close = Turn::at(0, Vec::new()).close(0);
    drive(&mut operator, &mut sent, |operator, out| operator.close(&close, out));
    assert_eq!(sent.results.iter().map(Change::len).sum::<usize>(), 200_000);
}
