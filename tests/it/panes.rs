//! Windows and triggers of the typed API, step by step in the test kit: the panes that
//! `docs/src/sql/panes.md` shows, and what only closures can do.

use std::time::Duration;

use thalweg::stream::{
    AfterWatermark, Pane, Record, Stream, Timestamp, Trigger, Window, Windowed, combine, count,
    fold, sum,
};
use thalweg::testkit::{Collected, TestJob, TestRun};
use thalweg::{Error, Result};

const MINUTE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, PartialEq, Record)]
struct Score {
    name: String,
    points: i64,
    at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Total {
    start: Timestamp,
    end: Timestamp,
    team: i64,
    points: Option<i64>,
    pane: Pane,
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn score((name, points, at): (&str, i64, &str)) -> Score {
    Score { name: name.to_owned(), points, at: time(at) }
}

/// The scores, each with the watermark that follows it: a minute behind the greatest time.
const SCORES: [((&str, i64, &str), &str); 5] = [
    (("Julie", 5, "12:00:26"), "11:59:26"),
    (("Ed", 7, "12:02:26"), "12:01:26"),
    (("Amy", 3, "12:03:39"), "12:02:39"),
    (("Frank", 9, "12:01:26"), "12:02:39"),
    (("Becky", 8, "12:07:26"), "12:06:26"),
];

/// Pushes all scores.
fn follow(run: &mut TestRun) -> Result<()> {
    for (scored, watermark) in SCORES {
        run.push("scores", score(scored))?;
        run.watermark(watermark)?;
    }
    run.finish()
}

/// Returns a time without day and fraction.
fn clock(time: Timestamp) -> String {
    time.to_string()[11..19].to_owned()
}

type Scores<'j> = Windowed<'j, Score, i64>;

fn windows(test: &TestJob, window: Window) -> Scores<'_> {
    let scores: Stream<'_, Score> = test.source("scores").unwrap();
    scores.key_by(|_| 1).window(window, |score| score.at)
}

fn totals<'j>(test: &'j TestJob, windows: Scores<'j>) -> Collected<Total> {
    let totals = windows.aggregate::<Total>("totals", vec![sum(|score: &Score| score.points)]);
    test.collect(totals.unwrap()).unwrap()
}

/// Returns what windows send for the scores, a line for each row, for any number of workers.
fn sent(window: Window, said: impl for<'j> Fn(Scores<'j>) -> Scores<'j>) -> String {
    let of = |workers: usize| {
        let test = TestJob::new();
        let result = totals(&test, said(windows(&test, window)));
        let mut run = test.run(workers).unwrap();
        follow(&mut run).unwrap();
        let mut lines = String::new();
        for (weight, Total { start, end, points, pane, .. }) in run.take_changes(&result).unwrap() {
            let (start, end) = (clock(start), clock(end));
            let points = points.map_or("-".to_owned(), |points| points.to_string());
            let (timing, index) = (pane.timing.name(), pane.index);
            let last = if pane.is_last { " last" } else { "" };
            lines += &format!("{weight:+} {start} {end} {points} {timing} {index}{last}\n");
        }
        lines
    };
    let one = of(1);
    assert_eq!(one, of(3), "the number of workers shows");
    one
}

fn every_row() -> AfterWatermark {
    Trigger::after_watermark().early(Trigger::rows(1)).late(Trigger::rows(1))
}

/// Would fail if a trigger of the API were another one than that of `EMIT`.
#[test]
fn panes_are_those_of_the_guide() {
    let tumble = Window::tumble(WINDOW);
    let accumulating =
        sent(tumble, |scores| scores.trigger(every_row()).accumulating().allowed_lateness(HOUR));
    let expected = "\
+1 12:00:00 12:02:00 5 EARLY 0
+1 12:02:00 12:04:00 7 EARLY 0
+1 12:02:00 12:04:00 10 EARLY 1
+1 12:00:00 12:02:00 5 ON_TIME 1
+1 12:00:00 12:02:00 14 LATE 2
+1 12:06:00 12:08:00 8 EARLY 0
+1 12:02:00 12:04:00 10 ON_TIME 2
+1 12:06:00 12:08:00 8 ON_TIME 1 last
";
    assert_eq!(accumulating, expected);
    let discarding =
        sent(tumble, |scores| scores.trigger(every_row()).discarding().allowed_lateness(HOUR));
    assert_eq!(discarding, "");
    let retracting =
        sent(tumble, |scores| scores.trigger(every_row()).retracting().allowed_lateness(HOUR));
    assert_eq!(retracting, "");
    let sessions =
        sent(Window::session(MINUTE), |scores| scores.trigger(Trigger::epoch()).retracting());
    assert_eq!(sessions, "");
}
