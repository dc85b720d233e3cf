//! Windows and triggers of the typed API, step by step in the test kit: the panes that
//! `docs/src/sql/panes.md` shows, and what only closures can do.

use std::time::Duration;

use thalweg::stream::{
    AfterWatermark, Pane, Record, Stream, Timestamp, Trigger, UserWindows, Window, Windowed,
    combine, count, fold, reduce, sum,
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
    let expected = "\
+1 12:00:00 12:02:00 5 EARLY 0
+1 12:02:00 12:04:00 7 EARLY 0
+1 12:02:00 12:04:00 3 EARLY 1
+1 12:00:00 12:02:00 - ON_TIME 1
+1 12:00:00 12:02:00 9 LATE 2
+1 12:06:00 12:08:00 8 EARLY 0
+1 12:02:00 12:04:00 - ON_TIME 2
+1 12:06:00 12:08:00 - ON_TIME 1 last
";
    assert_eq!(discarding, expected);
    let retracting =
        sent(tumble, |scores| scores.trigger(every_row()).retracting().allowed_lateness(HOUR));
    let expected = "\
+1 12:00:00 12:02:00 5 EARLY 0
+1 12:02:00 12:04:00 7 EARLY 0
-1 12:02:00 12:04:00 7 EARLY 0
+1 12:02:00 12:04:00 10 EARLY 1
-1 12:00:00 12:02:00 5 EARLY 0
+1 12:00:00 12:02:00 5 ON_TIME 1
-1 12:00:00 12:02:00 5 ON_TIME 1
+1 12:00:00 12:02:00 14 LATE 2
+1 12:06:00 12:08:00 8 EARLY 0
-1 12:02:00 12:04:00 10 EARLY 1
+1 12:02:00 12:04:00 10 ON_TIME 2
-1 12:06:00 12:08:00 8 EARLY 0
+1 12:06:00 12:08:00 8 ON_TIME 1 last
";
    assert_eq!(retracting, expected);
    let sessions =
        sent(Window::session(MINUTE), |scores| scores.trigger(Trigger::epoch()).retracting());
    let expected = "\
+1 12:00:26 12:01:26 5 EARLY 0
+1 12:02:26 12:03:26 7 EARLY 0
+1 12:03:39 12:04:39 3 EARLY 0
-1 12:02:26 12:03:26 7 EARLY 0
+1 12:01:26 12:03:26 16 EARLY 1
+1 12:07:26 12:08:26 8 EARLY 0
";
    assert_eq!(sessions, expected);
}

/// Would fail if a delay were counted from anything but the first row of a pane, or the clock skipped
/// a timer.
#[test]
fn delays_are_by_the_clock_of_the_test() {
    let test = TestJob::new();
    let trigger = Trigger::after_watermark().early(Trigger::every(MINUTE));
    let result = totals(&test, windows(&test, Window::tumble(WINDOW)).trigger(trigger));
    let mut run = test.run(2).unwrap();
    let shown = |run: &mut TestRun| -> Vec<(Option<i64>, &str)> {
        let rows = run.take(&result).unwrap();
        rows.into_iter().map(|total| (total.points, total.pane.timing.name())).collect()
    };
    run.clock("12:00:00").unwrap();
    run.push("scores", score(("Julie", 5, "12:00:26"))).unwrap();
    run.clock("12:00:30").unwrap();
    run.push("scores", score(("Frank", 9, "12:01:26"))).unwrap();
    assert_eq!(shown(&mut run), []);
    run.clock("12:01:00").unwrap();
    assert_eq!(shown(&mut run), [(Some(14), "EARLY")]);
    run.clock("12:05:00").unwrap();
    assert_eq!(shown(&mut run), []);
    run.watermark("12:02:00").unwrap();
    assert_eq!(shown(&mut run), [(Some(14), "ON_TIME")]);
    run.finish().unwrap();
    assert_eq!(shown(&mut run), []);
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Mean {
    total: i64,
    count: i64,
}

impl Mean {
    fn add(self, score: Score) -> Mean {
        Mean { total: self.total + score.points, count: self.count + 1 }
    }

    fn merge(self, other: Mean) -> Mean {
        Mean { total: self.total + other.total, count: self.count + other.count }
    }
}

const NOTHING: Mean = Mean { total: 0, count: 0 };

#[derive(Clone, Debug, PartialEq, Record)]
struct Best {
    team: i64,
    scores: i64,
    best: Score,
    names: Vec<String>,
    mean: Mean,
    pane: Pane,
}

/// Would fail if closures saw other rows than aggregates do, or a window of all time ended before its
/// input.
#[test]
fn closures_aggregate_whole_rows() {
    let test = TestJob::new();
    let scores: Stream<'_, Score> = test.source("scores").unwrap();
    let names = |mut names: Vec<String>, score: Score| {
        names.push(score.name);
        names
    };
    let calls = vec![
        count(),
        reduce(|one: Score, other: Score| if one.points < other.points { other } else { one }),
        fold(Vec::new(), names),
        combine(NOTHING, Mean::add, Mean::merge),
    ];
    let best = scores
        .key_by(|_| 1_i64)
        .global()
        .trigger(Trigger::rows(2).repeated().or_finally(Trigger::rows(4)))
        .aggregate::<Best>("best", calls);
    let best = test.collect(best.unwrap()).unwrap();
    let mut run = test.run(2).unwrap();
    follow(&mut run).unwrap();
    let of = |row: Best| {
        (row.scores, row.best.name, row.names.join(" "), row.mean.total, row.pane.is_last)
    };
    let shown: Vec<_> = run.take(&best).unwrap().into_iter().map(of).collect();
    let names = |names: &str| names.to_owned();
    let expected = [
        (2, names("Ed"), names("Julie Ed"), 12, false),
        (4, names("Frank"), names("Julie Ed Amy Frank"), 24, true),
    ];
    assert_eq!(shown, expected);
}

/// Would fail if two groups shared what is accumulated, or a running result did not take back what it
/// said before.
#[test]
fn running_folds_are_updated() {
    let test = TestJob::new();
    let scores: Stream<'_, Score> = test.source("scores").unwrap();
    let by_length = |score: &Score| score.name.len() as i64;
    let means = scores.clone().key_by(by_length).fold("means", NOTHING, Mean::add).unwrap();
    let means = test.collect(means).unwrap();
    let last = scores.key_by(by_length).reduce("last", |_, score| score).unwrap();
    let last = test.collect(last).unwrap();
    let mut run = test.run(2).unwrap();
    follow(&mut run).unwrap();
    let mean = |total, count| Mean { total, count };
    let expected = [
        (1, mean(5, 1)),
        (1, mean(7, 1)),
        (1, mean(3, 1)),
        (-1, mean(5, 1)),
        (1, mean(14, 2)),
        (-1, mean(14, 2)),
        (1, mean(22, 3)),
    ];
    assert_eq!(run.take_changes(&means).unwrap(), expected);
    let names: Vec<_> = run.take_changes(&last).unwrap();
    let names: Vec<_> =
        names.iter().map(|(weight, score)| (*weight, score.name.as_str())).collect();
    let expected = [
        (1, "Julie"),
        (1, "Ed"),
        (1, "Amy"),
        (-1, "Julie"),
        (1, "Frank"),
        (-1, "Frank"),
        (1, "Becky"),
    ];
    assert_eq!(names, expected);
}

/// Would fail if late rows were lost, or came back as others.
#[test]
fn late_rows_are_a_stream() {
    for has_reduce in [false, true] {
        let test = TestJob::new();
        let late = std::cell::RefCell::new(None);
        let take = |rows: Stream<'_, Score>| {
            *late.borrow_mut() = Some(test.collect(rows.filter(|score| score.points > 0))?);
            Ok(())
        };
        let scores = windows(&test, Window::tumble(WINDOW)).late_to(take);
        match has_reduce {
            false => drop(totals(&test, scores)),
            true => drop(test.collect(scores.reduce("last", |_, score| score).unwrap()).unwrap()),
        }
        let late = late.take().unwrap();
        let mut run = test.run(2).unwrap();
        follow(&mut run).unwrap();
        assert_eq!(run.take(&late).unwrap(), [score(SCORES[3].0)]);
    }
}

#[test]
fn what_cannot_be_is_refused_by_its_step() {
    let refused = |error: Error| error.to_string();
    let test = TestJob::new();
    let scores: Stream<'_, Score> = test.source("scores").unwrap();
    let keyed = || scores.clone().key_by(|_| 1_i64);
    let session = || keyed().window(Window::session(MINUTE), |score| score.at);
    let error = session().accumulating().fold("mean", NOTHING, Mean::add).err().unwrap();
    let message = "step `mean`: sessions may become one, and a fold has no rule for that";
    assert_eq!(refused(error), message);
    let error = session().trigger(Trigger::any([])).aggregate::<Total>("none", vec![]);
    assert_eq!(refused(error.err().unwrap()), "step `none`: a trigger of no triggers");
    let error = keyed().aggregate::<Total>("none", vec![count()]).err().unwrap();
    assert_eq!(refused(error), "there are two steps `none`");
    let error = keyed().aggregate::<Total>("pane", vec![count()]).err().unwrap();
    let message = "step `pane`: the struct ends in a Pane, and there are no windows";
    assert_eq!(refused(error), message);
}

/// Would fail if a step ran over rows that may be taken back, and took them for new ones.
#[test]
fn what_takes_no_row_back_is_refused_by_its_step() {
    let test = TestJob::new();
    let scores: Stream<'_, Score> = test.source("scores").unwrap();
    let last = scores.key_by(|score| score.name.clone()).reduce("last", |_, score| score).unwrap();
    let keyed = || last.clone().key_by(|score| score.points);
    let refused = |error: Option<Error>| {
        let error = error.unwrap();
        (error.to_string(), error.remedy_text().unwrap_or_default().to_owned())
    };
    let (message, remedy) = refused(keyed().fold("fold", NOTHING, Mean::add).err());
    assert_eq!(message, "step `fold`: a fold cannot take rows back, and its input is updated");
    assert_eq!(remedy, "use fold_with_undo, and say what is left when a row is taken back");
    let (message, _) = refused(keyed().reduce("best", |_, score| score).err());
    assert_eq!(message, "step `best`: a reduce cannot take rows back, and its input is updated");
    let (message, remedy) = refused(keyed().count_window(2).fold("two", NOTHING, Mean::add).err());
    assert_eq!(message, "step `two`: windows of so many rows over an updating input");
    assert_eq!(remedy, "count rows before what updates, or use windows of time");
    let own = UserWindows::of("own", |score: &Score| vec![score.at..Timestamp(score.at.0 + 1)]);
    let own = keyed().user_windows(own).aggregate::<Total>("own", vec![count()]);
    let (message, remedy) = refused(own.err());
    assert_eq!(message, "step `own`: windows of the user's own over rows that may be taken back");
    assert_eq!(remedy, "give rows their windows before what updates");
}

/// Would fail if a row that is taken back stayed in what is accumulated, with windows or without, or behind
/// a crash.
#[test]
fn a_fold_takes_rows_back() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestJob::new().keep_state(folder.path());
    let scores: Stream<'_, Score> = test.source("scores").unwrap();
    let last = scores.key_by(|score| score.name.clone()).reduce("last", |_, score| score).unwrap();
    let undo =
        |mean: Mean, score: Score| Mean { total: mean.total - score.points, count: mean.count - 1 };
    let all = last.clone().key_by(|_| 1_i64).fold_with_undo("all", NOTHING, Mean::add, undo);
    let all = test.collect(all.unwrap()).unwrap();
    let windows = last.key_by(|_| 1_i64).window(Window::tumble(MINUTE), |score| score.at);
    let windows = windows.fold_with_undo("windows", NOTHING, Mean::add, undo).unwrap();
    let windows = test.collect(windows).unwrap();
    let mut run = test.run(2).unwrap();
    let push = |run: &mut TestRun, name: &str, points: i64, second: i64| {
        let at = Timestamp(second * 1000);
        run.push("scores", Score { name: name.to_owned(), points, at }).unwrap();
    };
    push(&mut run, "Julie", 5, 1);
    push(&mut run, "Ed", 3, 2);
    assert_eq!(run.take_changes(&all).unwrap().last(), Some(&(1, Mean { total: 8, count: 2 })));
    run.crash(3).unwrap();
    // Julie's row moves on to the next window.
    push(&mut run, "Julie", 9, 61);
    assert_eq!(run.take_changes(&all).unwrap().last(), Some(&(1, Mean { total: 12, count: 2 })));
    run.finish().unwrap();
    let mut left: Vec<Mean> = Vec::new();
    for (weight, mean) in run.take_changes(&windows).unwrap() {
        match weight > 0 {
            true => left.push(mean),
            false => left.retain(|other| *other != mean),
        }
    }
    left.sort_by_key(|mean| mean.total);
    assert_eq!(left, [Mean { total: 3, count: 1 }, Mean { total: 9, count: 1 }]);
}

#[test]
fn a_test_names_what_it_does_wrong() {
    let test = TestJob::new();
    let scores: Stream<'_, Score> = test.source("scores").unwrap();
    let updated = scores.key_by(|_| 1_i64).reduce("last", |_, score| score).unwrap();
    let updated = test.collect(updated).unwrap();
    let mut run = test.run(1).unwrap();
    let message = |result: Result<()>| result.unwrap_err().message().to_owned();
    assert_eq!(message(run.push("scores", NOTHING)), "the rows of table `scores` are others");
    let julie = score(SCORES[0].0);
    assert_eq!(message(run.push("score", julie.clone())), "there is no table `score`");
    assert_eq!(message(run.clock("noon")), "\"noon\" is no time");
    run.watermark("12:00:00").unwrap();
    let back = "the watermark goes back, from 1970-01-01 12:00:00.000 to 1970-01-01 11:00:00.000";
    assert_eq!(message(run.watermark("11:00:00")), back);
    let lost = "a job without state cannot go on behind a crash";
    assert_eq!(message(run.crash(1)), lost);
    run.push_all("scores", &[julie.clone(), julie.clone()]).unwrap();
    run.push("scores", score(SCORES[1].0)).unwrap();
    let error = run.take(&updated).unwrap_err();
    assert_eq!(error.message(), "result 1 takes rows back");
    run.finish().unwrap();
    assert_eq!(message(run.push("scores", julie)), "the test is finished: no step can follow");
}

/// Would fail if a test waited for ever for a job that failed.
#[test]
fn a_job_that_fails_ends_its_test() {
    let test = TestJob::new();
    let scores: Stream<'_, Score> = test.source("scores").unwrap();
    let broken = scores.map(|score| {
        assert!(score.points != 7, "seven");
        score
    });
    let broken = test.collect(broken).unwrap();
    let mut run = test.run(2).unwrap();
    run.push("scores", score(SCORES[0].0)).unwrap();
    assert_eq!(run.take(&broken).unwrap().len(), 1);
    run.push("scores", score(SCORES[1].0)).unwrap();
    let error = run.take(&broken).unwrap_err();
    assert!(error.message().contains("seven"), "{error}");
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Team {
    player: String,
    team: String,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct TeamScore {
    start: Timestamp,
    team: String,
    points: Option<i64>,
}

/// Would fail if a stream were another table than one that SQL reads itself: without its watermark, or
/// without what it takes back.
#[test]
fn queries_read_streams_and_are_streams() {
    let test = TestJob::new();
    let scores: Stream<'_, Score> = test.source("scores").unwrap();
    let teams: Stream<'_, Team> = test.source("teams").unwrap();
    let good = scores.filter(|score| score.points > 3);
    let totals = test.job().sql::<TeamScore>(
        "totals",
        "SELECT window_start, LEFT(name, 1) AS initial, SUM(points) AS points
         FROM TABLE(TUMBLE(TABLE good, DESCRIPTOR(`at`), INTERVAL '2' MINUTE))
         GROUP BY window_start, window_end, LEFT(name, 1)",
        &[("good", good.table())],
    );
    let totals = totals.unwrap().filter(|total| total.team != "E");
    let totals = test.collect(totals).unwrap();
    let last = teams.key_by(|team| team.player.clone()).reduce("last", |_, team| team).unwrap();
    let sizes = test.job().sql::<Size>(
        "sizes",
        "SELECT team, COUNT(*) FROM teams GROUP BY team",
        &[("teams", last.table())],
    );
    let sizes = test.collect(sizes.unwrap()).unwrap();
    let mut run = test.run(2).unwrap();
    for (player, team) in [("Julie", "reds"), ("Ed", "reds"), ("Julie", "blues")] {
        run.push("teams", Team { player: player.to_owned(), team: team.to_owned() }).unwrap();
    }
    let changes: Vec<_> = run.take_changes(&sizes).unwrap();
    let changes: Vec<_> =
        changes.iter().map(|(weight, size)| (*weight, size.team.as_str(), size.players)).collect();
    let expected = [
        (1, "reds", 1),
        (-1, "reds", 1),
        (1, "reds", 2),
        (-1, "reds", 2),
        (1, "blues", 1),
        (1, "reds", 1),
    ];
    assert_eq!(changes, expected);
    follow(&mut run).unwrap();
    let rows = run.take(&totals).unwrap();
    let rows: Vec<_> = rows
        .into_iter()
        .map(|total| (clock(total.start), total.team, total.points.unwrap()))
        .collect();
    let row = |start: &str, team: &str, points| (start.to_owned(), team.to_owned(), points);
    assert_eq!(rows, [row("12:00:00", "J", 5), row("12:06:00", "B", 8)]);
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Size {
    team: String,
    players: i64,
}

#[test]
fn queries_that_do_not_fit_are_refused_by_their_step() {
    let test = TestJob::new();
    let teams: Stream<'_, Team> = test.source("teams").unwrap();
    let of = |name: &str, text: &str| {
        let stream = test.job().sql::<Size>(name, text, &[("teams", teams.table())]);
        let error = stream.err().unwrap();
        let places: Vec<_> = error.places().iter().map(|place| place.to_string()).collect();
        format!("{error} {}", places.join(" "))
    };
    let unknown = of("unknown", "SELECT team,\n  size FROM teams");
    assert!(unknown.starts_with("step `unknown`: "), "{unknown}");
    assert!(unknown.contains("size") && unknown.contains("line 2, column 3"), "{unknown}");
    let other = of("other", "SELECT team, player, 1 FROM teams");
    let expected = "step `other`: the rows are no Size: column 2: `player` (String) is no \
                    `players` (i64); column 3: there is no field for `EXPR$2` (i32) ";
    assert_eq!(other, expected);
    let none = of("none", "CREATE VIEW v AS SELECT 1");
    assert!(none.starts_with("step `none`: the text has no query"), "{none}");
    let error = teams.table().rowtime("team");
    let error = test.job().sql::<Size>("time", "SELECT 1", &[("teams", error)]).err().unwrap();
    assert_eq!(error.to_string(), "step `time`: table `teams` has no time `team`");
}

/// Would fail if a job that was killed forgot a window, a row or what a closure accumulated, or showed
/// something twice, on whatever workers it goes on.
#[test]
fn a_job_that_crashed_goes_on() {
    let of = |crashes: &[usize]| {
        let folder = tempfile::tempdir().unwrap();
        let test = TestJob::new().keep_state(folder.path());
        let scores = windows(&test, Window::tumble(WINDOW)).trigger(every_row()).retracting();
        let totals = totals(&test, scores.allowed_lateness(HOUR));
        let scores: Stream<'_, Score> = test.source("others").unwrap();
        let means = scores.key_by(|_| 1_i64).fold("means", NOTHING, Mean::add).unwrap();
        let means = test.collect(means).unwrap();
        let mut run = test.run(2).unwrap();
        let (mut shown, mut folded) = (Vec::new(), Vec::new());
        for (step, (scored, watermark)) in SCORES.into_iter().enumerate() {
            run.push("others", score(scored)).unwrap();
            run.push("scores", score(scored)).unwrap();
            if let Some(workers) = crashes.get(step) {
                run.crash(*workers).unwrap();
            }
            run.watermark(watermark).unwrap();
            if step % 2 == 0 {
                shown.extend(run.take_changes(&totals).unwrap());
                folded.extend(run.take_changes(&means).unwrap());
            }
        }
        run.finish().unwrap();
        shown.extend(run.take_changes(&totals).unwrap());
        folded.extend(run.take_changes(&means).unwrap());
        (shown, folded)
    };
    let calm = of(&[]);
    assert_eq!((calm.0.len(), calm.1.len()), (13, 9));
    assert_eq!(of(&[3, 1, 2, 2, 3]), calm);
}
