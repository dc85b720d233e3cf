//! Sessions that grow together, windows of the clock, rows that are taken back, and memory.

use arrow::array::Int64Array;
use thalweg_plan::aggregate::{count, sum};
use thalweg_plan::node::AggregateCall;
use thalweg_types::{Epoch, KeyGroups, WorkerId};

use super::*;

fn sessions(accumulation: Accumulation) -> Setup {
    Setup {
        assigner: Some(Assigner::Session { gap: 10 }),
        early: Some(Trigger::Rows(1)),
        late: Some(Trigger::Rows(1)),
        accumulation,
        lateness: 100,
        columns: vec![PaneColumn::Timing, PaneColumn::Index],
        own: None,
    }
}

/// Returns an epoch with values at some times.
fn turn(setup: &Setup, watermark: i64, rows: &[(i64, i64)]) -> Turn {
    let rows = rows.iter().map(|(value, time)| setup.row((1, Some(*value)), *time));
    Turn::at(watermark, vec![change(&rows.collect::<Vec<_>>())])
}

/// Figure 14 of the Dataflow paper: two sessions become one, and both of their values are taken back.
#[test]
fn sessions_that_become_one_take_back_every_earlier_value() {
    let setup = sessions(Accumulation::Retracting);
    let turns = [
        turn(&setup, 0, &[(5, 10), (7, 30)]),
        turn(&setup, 1, &[(3, 20)]),
        turn(&setup, 60, &[]),
        turn(&setup, 61, &[(9, 45)]),
    ];
    let sent = run_one(setup.operator().as_mut(), &turns);
    let sorted: Vec<Vec<String>> = sent.iter().map(Sent::sorted).collect();
    assert_eq!(sorted[0], ["+1 10|20|key 1|5|1|5|EARLY|0", "+1 30|40|key 1|7|1|7|EARLY|0"]);
    let merged = [
        "+1 10|40|key 1|15|3|7|EARLY|1",
        "-1 10|20|key 1|5|1|5|EARLY|0",
        "-1 30|40|key 1|7|1|7|EARLY|0",
    ];
    assert_eq!(sorted[1], merged);
    assert_eq!(sorted[2].len(), 2, "on time");
    assert_eq!(sorted[3], ["+1 45|55|key 1|9|1|9|LATE|0"], "a session of its own, and late");
}

/// Would fail if a session that grows behind the watermark again were still late.
#[test]
fn a_session_that_grows_beyond_the_watermark_is_early_again() {
    let setup = sessions(Accumulation::Accumulating);
    let turns = [
        turn(&setup, 0, &[(5, 10)]),
        turn(&setup, 25, &[]),
        turn(&setup, 25, &[(3, 18), (2, 24)]),
        turn(&setup, 40, &[]),
    ];
    let sent = run_one(setup.operator().as_mut(), &turns);
    let sorted: Vec<String> = sent.iter().flat_map(Sent::sorted).collect();
    let expected = [
        "+1 10|20|key 1|5|1|5|EARLY|0",
        "+1 10|20|key 1|5|1|5|ON_TIME|1",
        "+1 10|34|key 1|10|3|5|EARLY|2",
        "+1 10|34|key 1|10|3|5|ON_TIME|3",
    ];
    assert_eq!(sorted, expected);
}

/// Would fail if a wake were missing, and a pane waited for the next row.
#[test]
fn the_operator_asks_to_be_woken_for_its_timers() {
    let early = Some(Trigger::Delay(Duration::from_millis(15)));
    let assigner = Some(Assigner::Tumble { size: 10, offset: 0 });
    let setup = Setup { assigner, early, ..sessions(Accumulation::Accumulating) };
    let mut operator = setup.operator();
    let at = |millis| Some(EventTime::from_unit(millis, TimeUnit::Millisecond));
    let mut close = |clock: i64, rows: &[(i64, i64)]| {
        let clock = EventTime::from_unit(clock, TimeUnit::Millisecond);
        let turn = Turn { clock, ..turn(&setup, 0, rows) };
        let sent = run_one(operator.as_mut(), &[turn]).remove(0);
        (sent.sorted().len(), operator.wake())
    };
    assert_eq!(close(100, &[]), (0, None));
    assert_eq!(close(100, &[(1, 5)]), (0, at(115)));
    assert_eq!(close(105, &[(1, 25)]), (0, at(115)));
    assert_eq!(close(115, &[]), (1, at(120)));
    assert_eq!(close(150, &[]), (1, None));
}

/// Would fail if a window of the clock were complete by a watermark, or nobody woke it.
#[test]
fn windows_of_the_clock_are_complete_by_the_clock() {
    let setup = Setup {
        assigner: Some(Assigner::Tumble { size: 10, offset: 0 }),
        late: None,
        lateness: 0,
        ..sessions(Accumulation::Discarding)
    };
    let mut node = setup.node(Trigger::on_time());
    node.window = node.window.map(|spec| WindowSpec { basis: TimeBasis::Processing, ..spec });
    let mut operator = setup.made(&node);
    let sent = run_one(operator.as_mut(), &[turn(&setup, 3, &[(1, 3)])]).remove(0);
    assert!(sent.results.is_empty());
    let at = EventTime::from_unit(10, TimeUnit::Millisecond);
    assert_eq!(operator.wake(), Some(at));
    let mut due = turn(&setup, 10, &[]);
    due.watermark = EventTime::MIN;
    let sent = run_one(operator.as_mut(), &[due]).remove(0);
    assert_eq!(sent.sorted(), ["+1 0|10|key 1|1|1|1|ON_TIME|0"]);
}

/// Would fail if a row that is taken back stayed in a pane, or a window without rows in the result.
#[test]
fn rows_that_are_taken_back_leave_their_window() {
    let setup = Setup {
        assigner: Some(Assigner::Tumble { size: 10, offset: 0 }),
        columns: Vec::new(),
        ..sessions(Accumulation::Retracting)
    };
    let call =
        |function, arguments| AggregateCall { function, arguments, filter: None, distinct: false };
    let mut node = setup.node(Trigger::Repeated(Box::new(Trigger::Epoch)));
    let whole = sum(&arrow::datatypes::DataType::Int64).unwrap();
    node.calls = vec![call(whole, vec![1]), call(count(), vec![]), call(count(), vec![])];
    node.retracts = true;
    let fields = result_schema(true).fields()[..5].to_vec();
    let output = Arc::new(Schema::new(fields));
    let panes = node.panes.clone().unwrap();
    let mut operator = PaneWindow::new(&node, panes, &row_schema(), output).unwrap();
    let weighted = |rows: &[(i64, i64)], weights: Vec<i64>| {
        let change = turn(&setup, 0, rows).batches.remove(0);
        let batches = vec![Change::weighted(change.rows, Int64Array::from(weights)).unwrap()];
        Turn::at(0, batches)
    };
    let turns = [
        weighted(&[(5, 3), (7, 4)], vec![1, 1]),
        weighted(&[(5, 3)], vec![-1]),
        weighted(&[(7, 4)], vec![-1]),
        weighted(&[(2, 1)], vec![1]),
    ];
    let sent: Vec<Vec<String>> = run_one(&mut operator, &turns).iter().map(Sent::sorted).collect();
    assert_eq!(sent[0], ["+1 0|10|key 1|12|2"]);
    assert_eq!(sent[1], ["+1 0|10|key 1|7|1", "-1 0|10|key 1|12|2"]);
    assert_eq!(sent[2], ["-1 0|10|key 1|7|1"]);
    assert_eq!(sent[3], ["+1 0|10|key 1|2|1"]);
}

/// Would fail if windows that are over, or aggregates of panes that were sent, were kept for ever.
#[test]
fn memory_follows_the_windows_that_are_open() {
    let setup = Setup {
        assigner: Some(Assigner::Tumble { size: 10, offset: 0 }),
        ..sessions(Accumulation::Discarding)
    };
    let mut operator = setup.operator();
    let mut most = 0;
    for epoch in 0..400 {
        let rows: Vec<Row> = (0..100)
            .map(|key| setup.row((epoch * 50 + key, Some(1)), epoch * 10 + key % 10))
            .collect();
        run_one(operator.as_mut(), &[Turn::at(epoch * 10, vec![change(&rows)])]);
        let (bytes, cells) = operator.size();
        assert!(cells <= 1300, "{cells} windows");
        if epoch == 100 {
            most = bytes;
        }
        assert!(epoch < 100 || bytes <= most * 2, "{bytes} bytes, and {most} before");
    }
}

/// Sessions with an early pane, a timer and one that became of two, as they stand in the fixture.
fn stored() -> (Setup, Vec<Turn>) {
    let early = Some(Trigger::Delay(Duration::from_millis(40)));
    let setup = Setup { early, ..sessions(Accumulation::Retracting) };
    let turns = vec![
        turn(&setup, 0, &[(5, 10), (7, 30)]),
        Turn { clock: EventTime(50_000_000), ..turn(&setup, 1, &[]) },
        Turn { clock: EventTime(50_000_000), ..turn(&setup, 1, &[(3, 20), (1, 60)]) },
    ];
    (setup, turns)
}

/// Would fail if this version could not go on with the panes that version 1 kept. Written once, with
/// `UPDATE=1`.
#[test]
fn the_fixture_of_version_1_opens() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/panes/v1.state");
    let groups = KeyGroups { count: 8, workers: 1 };
    let (setup, turns) = stored();
    if std::env::var_os("UPDATE").is_some() && !std::path::Path::new(path).exists() {
        let mut operator = setup.operator();
        run_one(operator.as_mut(), &turns);
        let mut writer = StateWriter::new(true, groups);
        operator.snapshot(&mut writer).unwrap();
        let file = writer.finish().unwrap().unwrap();
        std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, &file).unwrap();
    }
    let file = std::fs::read(path).unwrap().into();
    let state = StateReader::open(vec![file], groups.owned_by(WorkerId(0))).unwrap();
    let mut operator = setup.operator();
    let at = EventTime::from_unit(1, TimeUnit::Millisecond);
    let clock = EventTime(50_000_000);
    operator.restore(&state, &Moment { epoch: Epoch(3), clock, watermark: at }).unwrap();
    assert_eq!(operator.wake(), Some(EventTime(90_000_000)));
    let due = Turn { clock: EventTime(90_000_000), ..turn(&setup, 2, &[]) };
    let sent = run_one(operator.as_mut(), &[due, turn(&setup, 45, &[])]);
    let expected = [
        "+1 10|40|key 1|15|3|7|EARLY|1",
        "+1 60|70|key 1|1|1|1|EARLY|0",
        "-1 10|20|key 1|5|1|5|EARLY|0",
        "-1 30|40|key 1|7|1|7|EARLY|0",
    ];
    assert_eq!(sent[0].sorted(), expected);
    let on_time = ["+1 10|40|key 1|15|3|7|ON_TIME|2", "-1 10|40|key 1|15|3|7|EARLY|1"];
    assert_eq!(sent[1].sorted(), on_time);
}
