//! Scores of a team, as in "Streaming 102" and chapter 2 of "Streaming Systems" (Akidau, Chernyak and Lax):
//! nine of them, with the times at which they happened and at which they came as in `inputs.csv` of the
//! authors' repository (`takidau/streamingbook`), and the heuristic watermark of its tests, that the 9 is
//! behind. `tests/sql/panes` has the authors' tests themselves; here stand triggers that SQL has not.

use super::*;

const MINUTE: i64 = 60_000;
/// The window of each score is two minutes; times are minutes and seconds behind 12:00.
const TWO_MINUTES: Assigner = Assigner::Tumble { size: 2 * MINUTE, offset: 0 };

/// What happens: a score comes, the watermark passes a time, or a timer is due.
const STORY: &str = "
    05:19 score 5 of 00:26
    05:39 score 7 of 02:26
    06:00 watermark 02:00
    06:13 score 3 of 03:39
    06:39 score 4 of 04:19
    07:06 score 8 of 03:06
    07:19 score 3 of 06:39
    07:30 watermark 04:00
    07:39 timer
    07:40 watermark 06:00
    08:19 score 9 of 01:26
    08:39 score 8 of 07:26
    09:00 score 1 of 07:46
    09:30 watermark 08:30";

/// Returns milliseconds.
fn read(time: &str) -> i64 {
    let (minutes, seconds) = time.split_once(':').unwrap();
    minutes.parse::<i64>().unwrap() * MINUTE + seconds.parse::<i64>().unwrap() * 1000
}

fn shown(millis: i64) -> String {
    format!("{:02}:{:02}", millis / MINUTE, millis % MINUTE / 1000)
}

/// Returns what is sent: when, window, sum, and what the pane says of itself.
fn told(operator: &mut dyn Operator) -> Vec<String> {
    let mut watermark = EventTime::MIN;
    let mut lines = Vec::new();
    for line in STORY.trim().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut rows = Vec::new();
        match words[1] {
            "score" => {
                let (value, time) = (words[2].parse().unwrap(), read(words[4]));
                let start = time - time.rem_euclid(2 * MINUTE);
                rows.push(change(&[Row {
                    key: "team".to_owned(),
                    value: Some(value),
                    start,
                    end: start + 2 * MINUTE,
                }]));
            }
            "watermark" => watermark = EventTime::from_unit(read(words[2]), TimeUnit::Millisecond),
            _ => {}
        }
        let clock = EventTime::from_unit(read(words[0]), TimeUnit::Millisecond);
        let turn = Turn { batches: rows, watermark, clock, is_last: false };
        let sent = run_one(operator, std::slice::from_ref(&turn)).remove(0);
        lines.extend((0..sent.late).map(|_| format!("{} late", words[0])));
        for change in &sent.results {
            lines.extend((0..change.len()).map(|row| pane(words[0], change, row)));
        }
    }
    lines
}

/// Returns a row of a result in short.
fn pane(clock: &str, change: &Change, row: usize) -> String {
    let row_text = text(&change.rows, row);
    let parts: Vec<&str> = row_text.split('|').collect();
    let (from, to) = (shown(parts[0].parse().unwrap()), shown(parts[1].parse().unwrap()));
    let sign = if change.weight(row) < 0 { "-" } else { "" };
    let said = parts[6..].join(" ");
    format!("{clock} [{from}, {to}) {sign}{} {said}", parts[3]).trim_end().to_owned()
}

fn scores(accumulation: Accumulation) -> Setup {
    Setup {
        assigner: Some(TWO_MINUTES),
        early: None,
        late: None,
        accumulation,
        lateness: 0,
        columns: vec![PaneColumn::Timing, PaneColumn::Index],
        own: None,
    }
}

fn check(operator: &mut dyn Operator, expected: &str) {
    let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
    assert_eq!(told(operator), expected);
}

/// Early panes a minute behind their first score, and one for each late score.
fn early_and_late(accumulation: Accumulation) -> Box<dyn Operator> {
    let early = Some(Trigger::Delay(Duration::from_secs(60)));
    let (late, lateness) = (Some(Trigger::Rows(1)), 10 * MINUTE);
    Setup { early, late, lateness, ..scores(accumulation) }.operator()
}

/// The default: one pane when the watermark passes; the 9 is late.
#[test]
fn the_watermark_alone() {
    check(
        scores(Accumulation::Accumulating).operator().as_mut(),
        "06:00 [00:00, 02:00) 5 ON_TIME 0
         07:30 [02:00, 04:00) 18 ON_TIME 0
         07:40 [04:00, 06:00) 4 ON_TIME 0
         08:19 late
         09:30 [06:00, 08:00) 12 ON_TIME 0",
    );
}

#[test]
fn early_on_time_and_late_panes_that_accumulate() {
    check(
        early_and_late(Accumulation::Accumulating).as_mut(),
        "06:00 [00:00, 02:00) 5 ON_TIME 0
         06:39 [02:00, 04:00) 10 EARLY 0
         07:30 [02:00, 04:00) 18 ON_TIME 1
         07:39 [04:00, 06:00) 4 EARLY 0
         07:40 [04:00, 06:00) 4 ON_TIME 1
         08:19 [00:00, 02:00) 14 LATE 1
         08:19 [06:00, 08:00) 3 EARLY 0
         09:30 [06:00, 08:00) 12 ON_TIME 1",
    );
}

/// The on-time pane of the third window has no score, and is sent all the same.
#[test]
fn early_on_time_and_late_panes_that_discard() {
    check(
        early_and_late(Accumulation::Discarding).as_mut(),
        "06:00 [00:00, 02:00) 5 ON_TIME 0
         06:39 [02:00, 04:00) 10 EARLY 0
         07:30 [02:00, 04:00) 8 ON_TIME 1
         07:39 [04:00, 06:00) 4 EARLY 0
         07:40 [04:00, 06:00)  ON_TIME 1
         08:19 [00:00, 02:00) 9 LATE 1
         08:19 [06:00, 08:00) 3 EARLY 0
         09:30 [06:00, 08:00) 9 ON_TIME 1",
    );
}

#[test]
fn early_on_time_and_late_panes_that_retract() {
    check(
        early_and_late(Accumulation::Retracting).as_mut(),
        "06:00 [00:00, 02:00) 5 ON_TIME 0
         06:39 [02:00, 04:00) 10 EARLY 0
         07:30 [02:00, 04:00) -10 EARLY 0
         07:30 [02:00, 04:00) 18 ON_TIME 1
         07:39 [04:00, 06:00) 4 EARLY 0
         07:40 [04:00, 06:00) -4 EARLY 0
         07:40 [04:00, 06:00) 4 ON_TIME 1
         08:19 [00:00, 02:00) -5 ON_TIME 0
         08:19 [00:00, 02:00) 14 LATE 1
         08:19 [06:00, 08:00) 3 EARLY 0
         09:30 [06:00, 08:00) -3 EARLY 0
         09:30 [06:00, 08:00) 12 ON_TIME 1",
    );
}

/// Where panes say nothing of themselves, one that is the same is not sent again.
#[test]
fn a_pane_that_stays_the_same_is_not_taken_back() {
    let early = Some(Trigger::Delay(Duration::from_secs(60)));
    let setup = Setup { early, columns: Vec::new(), ..scores(Accumulation::Retracting) };
    check(
        setup.operator().as_mut(),
        "06:00 [00:00, 02:00) 5
         06:39 [02:00, 04:00) 10
         07:30 [02:00, 04:00) -10
         07:30 [02:00, 04:00) 18
         07:39 [04:00, 06:00) 4
         08:19 late
         08:19 [06:00, 08:00) 3
         09:30 [06:00, 08:00) -3
         09:30 [06:00, 08:00) 12",
    );
}

/// Materialised once per score.
#[test]
fn a_pane_for_each_score() {
    let trigger = Trigger::Repeated(Box::new(Trigger::Rows(1)));
    let setup = Setup { lateness: 10 * MINUTE, ..scores(Accumulation::Accumulating) };
    check(
        setup.with(trigger).as_mut(),
        "05:19 [00:00, 02:00) 5 EARLY 0
         05:39 [02:00, 04:00) 7 EARLY 0
         06:13 [02:00, 04:00) 10 EARLY 1
         06:39 [04:00, 06:00) 4 EARLY 0
         07:06 [02:00, 04:00) 18 EARLY 2
         07:19 [06:00, 08:00) 3 EARLY 0
         08:19 [00:00, 02:00) 14 LATE 1
         08:39 [06:00, 08:00) 11 EARLY 1
         09:00 [06:00, 08:00) 12 EARLY 2",
    );
}

/// At whole two minutes of the clock, for all windows alike.
#[test]
fn panes_at_aligned_times() {
    let (period, offset) = (Duration::from_secs(120), Duration::ZERO);
    let trigger = Trigger::Repeated(Box::new(Trigger::Aligned { period, offset }));
    let setup = Setup { lateness: 10 * MINUTE, ..scores(Accumulation::Discarding) };
    check(
        setup.with(trigger).as_mut(),
        "06:00 [00:00, 02:00) 5 ON_TIME 0
         06:00 [02:00, 04:00) 7 EARLY 0
         08:19 [02:00, 04:00) 11 LATE 1
         08:19 [04:00, 06:00) 4 LATE 0
         08:19 [06:00, 08:00) 3 EARLY 0",
    );
}

/// One window of all time, a pane for every two scores.
#[test]
fn all_time_in_panes_of_two_scores() {
    let setup = Setup { assigner: None, ..scores(Accumulation::Discarding) };
    let mut operator = setup.with(Trigger::Repeated(Box::new(Trigger::Rows(2))));
    let mut sums = Vec::new();
    for value in [5, 7, 3, 4, 8, 3, 9, 8, 1] {
        let row = Row { key: "team".to_owned(), value: Some(value), start: 0, end: 0 };
        let turn = Turn::at(0, vec![change(&[row])]);
        sums.extend(run_one(operator.as_mut(), &[turn]).remove(0).sorted());
    }
    sums.extend(run_one(operator.as_mut(), &[Turn::last(Vec::new())]).remove(0).sorted());
    assert_eq!(
        sums,
        [
            "+1 team|12|2|7|EARLY|0",
            "+1 team|7|2|4|EARLY|1",
            "+1 team|11|2|8|EARLY|2",
            "+1 team|17|2|9|EARLY|3",
            "+1 team|1|1|1|ON_TIME|4",
        ]
    );
}

/// The first pane of a window and no more; further scores are refused.
#[test]
fn a_trigger_that_is_finished_closes_its_window() {
    let setup = Setup { lateness: 10 * MINUTE, ..scores(Accumulation::Accumulating) };
    check(
        setup.with(Trigger::Rows(2)).as_mut(),
        "06:13 [02:00, 04:00) 10 EARLY 0
         07:06 late
         08:19 [00:00, 02:00) 14 LATE 0
         08:39 [06:00, 08:00) 11 EARLY 0
         09:00 late",
    );
}
