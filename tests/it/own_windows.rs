//! Windows that only the typed API has, step by step in the test kit: those that the user's code gives,
//! and those of so many rows.

use std::time::Duration;

use thalweg::Result;
use thalweg::stream::{
    AfterWatermark, Pane, Record, Timestamp, Trigger, UserWindows, Window, count, sum,
};
use thalweg::testkit::{TestJob, TestRun};

#[derive(Clone, Debug, PartialEq, Record)]
struct Work {
    machine: i64,
    from: Timestamp,
    until: Timestamp,
    parts: i64,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Sum {
    start: Timestamp,
    end: Timestamp,
    machine: i64,
    jobs: i64,
    parts: Option<i64>,
    pane: Pane,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Lot {
    machine: i64,
    jobs: i64,
    parts: Option<i64>,
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn work(machine: i64, from: &str, until: &str, parts: i64) -> Work {
    Work { machine, from: time(from), until: time(until), parts }
}

fn clock(time: Timestamp) -> String {
    time.to_string()[11..19].to_owned()
}

/// Returns what windows of the user's own send while `story` goes on, for one worker and for three.
fn sent(
    windows: impl Fn() -> UserWindows<Work>,
    trigger: impl Fn() -> AfterWatermark,
    story: impl Fn(&mut TestRun) -> Result<()>,
) -> String {
    let of = |workers: usize| {
        let test = TestJob::new();
        let works = test.source::<Work>("works").unwrap().key_by(|work| work.machine);
        let calls = vec![count(), sum(|work: &Work| work.parts)];
        let windows = works.user_windows(windows()).trigger(trigger()).retracting();
        let windows = windows.allowed_lateness(Duration::from_secs(3600));
        let result = test.collect(windows.aggregate::<Sum>("sums", calls).unwrap()).unwrap();
        let mut run = test.run(workers).unwrap();
        story(&mut run).unwrap();
        run.finish().unwrap();
        let mut lines = String::new();
        for (weight, Sum { start, end, machine, jobs, parts, pane }) in
            run.take_changes(&result).unwrap()
        {
            let (start, end, parts) = (clock(start), clock(end), parts.unwrap_or_default());
            let timing = pane.timing.name();
            lines += &format!("{weight:+} {machine}: {start} {end} {jobs} {parts} {timing}\n");
        }
        lines
    };
    let one = of(1);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&one), sorted(&of(3)), "the number of workers shows");
    one
}

/// The "per-key fixed windows" of chapter 4 of "Streaming Systems": as long as each key likes, and
/// unaligned. Would fail if a window were another one than the user's code says.
#[test]
fn each_key_has_windows_of_its_own() {
    let windows = || {
        UserWindows::of("by machine", |work: &Work| {
            let length = 10_000 * work.machine;
            let start = work.from.0 - (work.from.0 - 1000 * work.machine).rem_euclid(length);
            vec![Timestamp(start)..Timestamp(start + length)]
        })
    };
    let story = |run: &mut TestRun| {
        run.push("works", work(1, "12:00:03", "12:00:04", 1))?;
        run.push("works", work(2, "12:00:03", "12:00:04", 2))?;
        run.push("works", work(1, "12:00:12", "12:00:13", 4))?;
        run.push("works", work(2, "12:00:12", "12:00:13", 8))?;
        run.watermark("12:00:11")?;
        run.push("works", work(1, "12:00:10", "12:00:11", 16))?;
        run.watermark("12:00:22")
    };
    let expected = "\
+1 1: 12:00:01 12:00:11 1 1 ON_TIME
-1 1: 12:00:01 12:00:11 1 1 ON_TIME
+1 1: 12:00:01 12:00:11 2 17 LATE
+1 2: 12:00:02 12:00:22 2 10 ON_TIME
+1 1: 12:00:11 12:00:21 1 4 ON_TIME
";
    assert_eq!(sent(windows, Trigger::after_watermark, story), expected);
}

/// Would fail if windows that overlap or touch did not become one, or what they sent was not taken back.
#[test]
fn merging_windows_become_one() {
    let windows = || UserWindows::of("busy", |work: &Work| vec![work.from..work.until]).merging();
    let early = || Trigger::after_watermark().early(Trigger::rows(1));
    let story = |run: &mut TestRun| {
        run.push("works", work(1, "12:00:00", "12:00:10", 1))?;
        run.push("works", work(1, "12:00:20", "12:00:30", 2))?;
        run.push("works", work(2, "12:00:05", "12:00:25", 4))?;
        run.push("works", work(1, "12:00:10", "12:00:20", 8))?;
        run.watermark("12:00:30")
    };
    let expected = "\
+1 1: 12:00:00 12:00:10 1 1 EARLY
+1 1: 12:00:20 12:00:30 1 2 EARLY
+1 2: 12:00:05 12:00:25 1 4 EARLY
-1 1: 12:00:00 12:00:10 1 1 EARLY
-1 1: 12:00:20 12:00:30 1 2 EARLY
+1 1: 12:00:00 12:00:30 3 11 EARLY
-1 1: 12:00:00 12:00:30 3 11 EARLY
-1 2: 12:00:05 12:00:25 1 4 EARLY
+1 1: 12:00:00 12:00:30 3 11 ON_TIME
+1 2: 12:00:05 12:00:25 1 4 ON_TIME
";
    assert_eq!(sent(windows, early, story), expected);
}

/// A row in several windows, and one in none, which is late.
#[test]
fn a_row_is_in_all_of_its_windows() {
    let windows = || {
        UserWindows::of("minutes", |work: &Work| {
            let minutes = work.from.0 / 60_000..(work.until.0 + 59_999) / 60_000;
            minutes.map(|n| Timestamp(n * 60_000)..Timestamp((n + 1) * 60_000)).collect()
        })
    };
    let story = |run: &mut TestRun| {
        run.push("works", work(1, "12:00:30", "12:02:10", 1))?;
        run.push("works", work(1, "12:05:00", "12:05:00", 2))?;
        run.push("works", work(1, "12:01:00", "12:02:00", 4))
    };
    let expected = "\
+1 1: 12:00:00 12:01:00 1 1 ON_TIME
+1 1: 12:01:00 12:02:00 2 5 ON_TIME
+1 1: 12:02:00 12:03:00 1 1 ON_TIME
";
    assert_eq!(sent(windows, Trigger::after_watermark, story), expected);
}

/// Returns the lots that so many rows of each key make.
fn lots(size: u64, slide: u64, workers: usize) -> Vec<Lot> {
    let test = TestJob::new();
    let works = test.source::<Work>("works").unwrap().key_by(|work| work.machine);
    let calls = vec![count(), sum(|work: &Work| work.parts)];
    let lots = works.count_window(size).every(slide).aggregate::<Lot>("lots", calls).unwrap();
    let result = test.collect(lots).unwrap();
    let mut run = test.run(workers).unwrap();
    for (machine, parts) in [(1, 1), (2, 2), (1, 4), (1, 8), (2, 16), (1, 32), (1, 64)] {
        run.push("works", work(machine, "12:00:00", "12:00:01", parts)).unwrap();
    }
    run.finish().unwrap();
    run.take(&result).unwrap()
}

/// Would fail if a window had other rows than the next ones of its key.
#[test]
fn windows_of_so_many_rows() {
    let lot = |(machine, jobs, parts)| Lot { machine, jobs, parts: Some(parts) };
    for workers in [1, 3] {
        assert_eq!(lots(2, 2, workers), [(1, 2, 5), (2, 2, 18), (1, 2, 40)].map(lot));
        let sliding = [(1, 2, 5), (2, 2, 18), (1, 3, 44)].map(lot);
        assert_eq!(lots(3, 2, workers), sliding);
    }
}

const NONE: Lot = Lot { machine: 0, jobs: 0, parts: None };

/// Notes the machines of works, one digit each, in their order.
fn in_order(lot: Lot, work: Work) -> Lot {
    let machine = lot.machine * 10 + work.machine;
    Lot { machine, jobs: lot.jobs + 1, parts: Some(work.parts) }
}

/// Would fail if rows came to a fold, or a reduction, out of their order or into another window.
#[test]
fn rows_are_folded_in_their_order() {
    let test = TestJob::new();
    let windows = test.source::<Work>("works").unwrap().key_by(|_| 1).count_window(2);
    let folded = test.collect(windows.fold("folded", NONE, in_order).unwrap()).unwrap();
    let mut run = test.run(1).unwrap();
    for machine in [3, 1, 4, 1, 5] {
        run.push("works", work(machine, "12:00:00", "12:00:01", machine * 7)).unwrap();
    }
    run.finish().unwrap();
    let found = run.take(&folded).unwrap();
    let found: Vec<_> = found.iter().map(|lot| (lot.machine, lot.jobs, lot.parts)).collect();
    assert_eq!(found, [(31, 2, Some(7)), (41, 2, Some(7))]);
}

/// Would fail if rows of two sessions were folded into one, or a session before it was complete.
#[test]
fn rows_of_a_session_are_folded_in_their_order() {
    let test = TestJob::new();
    let works = test.source::<Work>("works").unwrap().key_by(|_| 1);
    let windows = works.window(Window::session(Duration::from_secs(10)), |work| work.from);
    let late = std::cell::RefCell::new(None);
    let windows = windows.late_to(|rows| {
        *late.borrow_mut() = Some(test.collect(rows)?);
        Ok(())
    });
    let folded = test.collect(windows.fold("folded", NONE, in_order).unwrap()).unwrap();
    let late = late.into_inner().unwrap();
    let mut run = test.run(2).unwrap();
    for (machine, from) in [(3, "12:00:00"), (1, "12:00:30"), (4, "12:00:12"), (1, "12:00:08")] {
        run.push("works", work(machine, from, from, machine * 7)).unwrap();
    }
    assert_eq!(run.take(&folded).unwrap(), []);
    run.watermark("12:00:25").unwrap();
    let found = |run: &mut TestRun| {
        let found = run.take(&folded).unwrap();
        found.iter().map(|lot| (lot.machine, lot.jobs)).collect::<Vec<_>>()
    };
    assert_eq!(found(&mut run), [(341, 3)]);
    run.push("works", work(9, "12:00:11", "12:00:12", 1)).unwrap();
    run.finish().unwrap();
    assert_eq!(found(&mut run), [(1, 1)]);
    assert_eq!(run.take(&late).unwrap().len(), 1);
}

/// Would fail if rows went into windows by another time than that of the clock, or a window did not end when
/// the clock reached its end.
#[test]
fn windows_of_the_clock_have_the_rows_that_are_processed_in_them() {
    for window in [Window::tumble(Duration::from_secs(10)), Window::session(Duration::from_secs(5))]
    {
        let test = TestJob::new();
        let works = test.source::<Work>("works").unwrap().key_by(|work| work.machine);
        let folded = works.clock_window(window).fold("folded", NONE, in_order).unwrap();
        let folded = test.collect(folded).unwrap();
        let mut run = test.run(2).unwrap();
        for (clock, machine) in [("12:00:00", 1), ("12:00:03", 2), ("12:00:04", 1)] {
            run.clock(clock).unwrap();
            run.push("works", work(machine, "00:00:00", "00:00:01", 1)).unwrap();
        }
        run.clock("12:00:08").unwrap();
        let found = |run: &mut TestRun| {
            let found = run.take(&folded).unwrap();
            found.iter().map(|lot| (lot.machine, lot.jobs)).collect::<Vec<_>>()
        };
        let is_session = window == Window::session(Duration::from_secs(5));
        let (first, rest) = if is_session {
            (vec![(2, 1)], vec![(11, 2)])
        } else {
            (vec![], vec![(2, 1), (11, 2)])
        };
        assert_eq!(found(&mut run), first, "{window:?}");
        run.clock("12:00:10").unwrap();
        assert_eq!(found(&mut run), rest, "{window:?}");
        run.finish().unwrap();
    }
}

/// Would fail if a key's windows went by another key's rows.
#[test]
fn each_key_has_a_time_of_its_own() {
    let test = TestJob::new();
    let works = test.source::<Work>("works").unwrap().key_by(|work| work.machine);
    let windows = works.window(Window::tumble(Duration::from_secs(10)), |work| work.from);
    let calls = vec![count(), sum(|work: &Work| work.parts)];
    let windows = windows.own_time(Duration::from_secs(2));
    let result = test.collect(windows.aggregate::<Sum>("sums", calls).unwrap()).unwrap();
    let mut run = test.run(2).unwrap();
    let mut sums = |machine: i64, from: &str| {
        run.push("works", work(machine, from, from, 1)).unwrap();
        let found = run.take(&result).unwrap();
        found.iter().map(|sum| (sum.machine, clock(sum.start), sum.jobs)).collect::<Vec<_>>()
    };
    assert_eq!(sums(1, "12:00:03"), []);
    assert_eq!(sums(2, "12:30:00"), []);
    assert_eq!(sums(1, "12:00:11"), []);
    assert_eq!(sums(1, "12:00:05"), []);
    assert_eq!(sums(1, "12:00:12"), [(1, "12:00:00".to_owned(), 2)]);
    assert_eq!(sums(2, "12:30:12"), [(2, "12:30:00".to_owned(), 1)]);
}

/// Would fail if a silent key were never forgotten, or while its time goes on, or if its last windows were not sent
/// then, or if it came back with a restore.
#[test]
fn the_time_of_a_silent_key_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let test = TestJob::new().keep_state(folder.path());
    let works = test.source::<Work>("works").unwrap().key_by(|work| work.machine);
    let windows = works.window(Window::tumble(Duration::from_secs(10)), |work| work.from);
    let windows = windows.own_time_for(Duration::from_secs(2), Duration::from_secs(60));
    let calls = vec![count(), sum(|work: &Work| work.parts)];
    let result = test.collect(windows.aggregate::<Sum>("sums", calls).unwrap()).unwrap();
    let mut run = test.run(2).unwrap();
    let sums = |run: &mut TestRun, at: &str, (machine, from): (i64, &str)| {
        run.clock(at).unwrap();
        run.push("works", work(machine, from, from, 1)).unwrap();
        let found = run.take(&result).unwrap();
        found.iter().map(|sum| (sum.machine, clock(sum.start), sum.jobs)).collect::<Vec<_>>()
    };
    let of = |machine: i64, start: &str, jobs: i64| (machine, start.to_owned(), jobs);
    assert_eq!(sums(&mut run, "10:00:00", (1, "12:00:03")), []);
    assert_eq!(sums(&mut run, "10:00:00", (2, "12:30:00")), []);
    // Machine 1 goes on, and what is behind it is late.
    assert_eq!(sums(&mut run, "10:00:40", (1, "12:05:00")), [of(1, "12:00:00", 1)]);
    assert_eq!(sums(&mut run, "10:00:50", (1, "12:00:04")), []);
    // Machine 2 was silent for a minute: its window is sent.
    assert_eq!(sums(&mut run, "10:01:30", (3, "12:00:00")), [of(2, "12:30:00", 1)]);
    run.crash(3).unwrap();
    // It begins anew, with what would have been late; machine 1 is silent by now, too, but a restore
    // counts as if it had gone on.
    assert_eq!(sums(&mut run, "10:01:31", (2, "12:10:00")), []);
    assert_eq!(sums(&mut run, "10:01:32", (2, "12:10:12")), [of(2, "12:10:00", 1)]);
    assert_eq!(sums(&mut run, "10:01:33", (1, "12:00:05")), []);
    let ended = sums(&mut run, "10:09:00", (4, "12:00:00"));
    let mut ended = ended.into_iter().map(|(machine, ..)| machine).collect::<Vec<_>>();
    ended.sort_unstable();
    assert_eq!(ended, [1, 2, 3]);
    assert_eq!(sums(&mut run, "10:09:01", (1, "12:00:06")), []);
    assert_eq!(sums(&mut run, "10:09:02", (1, "12:00:15")), [of(1, "12:00:00", 1)]);
    run.finish().unwrap();
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let test = TestJob::new();
    let works = test.source::<Work>("works").unwrap().key_by(|work| work.machine);
    let none = works.count_window(0).aggregate::<Lot>("none", vec![count()]);
    let error = none.err().unwrap();
    assert!(error.to_string().contains("no windows of 0 rows"), "{error}");
}
