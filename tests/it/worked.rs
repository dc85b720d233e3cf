//! The worked tables of panes of `tests/sql/panes` through the typed API: the same stories, told to the test
//! kit step by step, and the same panes, read from the `.slt` files. What SQL cannot say of when a
//! pane comes, the clock of its epoch, is left out: here it comes behind the step that asks for it.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use thalweg::stream::{
    AfterWatermark, Pane, Record, Timestamp, Trigger, Window, Windowed, combine, sum,
};
use thalweg::testkit::{TestJob, TestRun};

const MINUTE: Duration = Duration::from_secs(60);
const TUMBLE: Duration = Duration::from_secs(120);
/// Longer than all stories.
const FOR_EVER: Duration = Duration::from_secs(1000 * 86_400);

#[derive(Clone, Debug, PartialEq, Record)]
struct Row {
    value: i64,
    at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Sent {
    start: Timestamp,
    end: Timestamp,
    key: i64,
    sum: Option<i64>,
    values: Vec<i64>,
    pane: Pane,
}

type Rows<'j> = Windowed<'j, Row, i64>;

/// One table.
struct Case {
    /// How the comment above it begins.
    title: &'static str,
    /// The script whose story is told.
    story: &'static str,
    window: Window,
    /// What is asked of its windows.
    asked: fn(Rows<'_>) -> Rows<'_>,
}

fn row(line: &Value) -> Row {
    let value = line.get("score").or(line.get("v")).and_then(Value::as_i64).unwrap();
    Row { value, at: Timestamp::parse(line["ts"].as_str().unwrap()).unwrap() }
}

/// Tells a story: a step for each line of a script.
fn tell(story: &str, run: &mut TestRun) -> thalweg::Result<()> {
    for line in read(story).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(one) = line.get("row") {
            run.push("rows", row(one))?;
        } else if let Some(several) = line.get("rows") {
            let rows: Vec<Row> = several.as_array().unwrap().iter().map(row).collect();
            run.push_all("rows", &rows)?;
        } else if let Some(watermark) = line.get("watermark") {
            run.watermark(watermark.as_str().unwrap())?;
        } else {
            run.clock(line["clock"].as_str().unwrap())?;
        }
    }
    run.finish()
}

fn read(name: &str) -> String {
    let path = format!("{}/tests/sql/panes/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Returns the rows of the table of `file` whose comment begins with `title`.
fn expected<'a>(file: &'a str, title: &str) -> Vec<&'a str> {
    let comment = format!("# {title}");
    let from = file.find(&comment).unwrap_or_else(|| panic!("no table `{title}`"));
    let rows = file[from..].split_once("----\n").unwrap().1;
    rows.lines().take_while(|line| !line.is_empty()).collect()
}

/// Returns what windows send, as `shown` shows it, for any number of workers.
fn sent(case: &Case, shown: fn(i64, &Sent) -> String) -> Vec<String> {
    let of = |workers: usize| {
        let test = TestJob::new();
        let keyed = test.source::<Row>("rows").unwrap().key_by(|_| 1);
        let windows = (case.asked)(keyed.window(case.window, |row| row.at));
        let gathered = combine(
            Vec::new(),
            |mut values: Vec<i64>, row: Row| {
                values.push(row.value);
                values
            },
            |one, other| [one, other].concat(),
        );
        let calls = vec![sum(|row: &Row| row.value), gathered];
        let result = test.collect(windows.aggregate::<Sent>("sent", calls).unwrap()).unwrap();
        let mut run = test.run(workers).unwrap();
        tell(case.story, &mut run).unwrap();
        let changes = run.take_changes(&result).unwrap();
        changes.iter().map(|(weight, row)| shown(*weight, row)).collect::<Vec<_>>()
    };
    let one = of(1);
    assert_eq!(one, of(3), "{}: the number of workers shows", case.title);
    one
}

fn each_minute() -> AfterWatermark {
    Trigger::after_watermark().early(Trigger::every(MINUTE)).late(Trigger::rows(1))
}

/// Returns a time from the hour to the second.
fn clock(time: Timestamp) -> String {
    time.to_string()[11..19].to_owned()
}

/// Shows a pane as the tables of the book do, without the clock.
fn scored(_: i64, Sent { start, end, sum, pane, .. }: &Sent) -> String {
    let sum = sum.map_or("NULL".to_owned(), |sum| sum.to_string());
    let (start, end, timing) = (clock(*start), clock(*end), pane.timing.name());
    format!("{start} {end} {sum} {timing} {} {}", pane.index, pane.is_last)
}

/// And one that takes the place of another.
fn replaced(weight: i64, sent: &Sent) -> String {
    let sign = if weight < 0 { '-' } else { '+' };
    let pane = scored(weight, sent);
    format!("{sign} {}", pane.rsplit_once(' ').unwrap().0)
}

/// Would fail if the typed API sent other panes for the nine scores than the book has.
#[test]
fn panes_of_scores_are_those_of_the_book() {
    let tumble = Window::tumble(TUMBLE);
    let case = |title, story, asked| Case { title, story, window: tumble, asked };
    let (perfect, heuristic) = ("scores-perfect.json", "scores-heuristic.json");
    let late: fn(Rows<'_>) -> Rows<'_> =
        |rows| rows.trigger(each_minute()).accumulating().allowed_lateness(FOR_EVER);
    let cases = [
        case("Example 2-2,", "scores.json", |rows| rows),
        case("Example 2-3,", "scores.json", |rows| rows.trigger(Trigger::rows(1).repeated())),
        case("Example 2-5,", "scores.json", |rows| {
            rows.trigger(Trigger::after_watermark().early(Trigger::every(TUMBLE)))
        }),
        case("Example 2-6,", perfect, |rows| rows),
        case("Figure 2-10 right", heuristic, |rows| rows),
        case("Example 2-7,", perfect, late),
        case("Figure 2-11 right", heuristic, late),
        case("Example 2-8,", "scores-six.json", |rows| {
            rows.trigger(each_minute()).allowed_lateness(TUMBLE)
        }),
        case("Example 2-9,", heuristic, |rows| {
            rows.trigger(each_minute()).discarding().allowed_lateness(FOR_EVER)
        }),
        Case { window: Window::session(MINUTE), ..case("Example 4-3,", heuristic, late) },
    ];
    let book = read("book.slt");
    for case in cases {
        let table = expected(&book, case.title);
        let table: Vec<&str> = table.iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert!(table.len() >= 4, "{}", case.title);
        assert_eq!(sent(&case, scored), table, "{}", case.title);
    }
}

/// Would fail if a pane did not take back the one before it, or both that a session was made of.
#[test]
fn panes_take_the_place_of_others_as_in_the_book() {
    let asked: fn(Rows<'_>) -> Rows<'_> =
        |rows| rows.trigger(each_minute()).retracting().allowed_lateness(FOR_EVER);
    let story = "scores-heuristic.json";
    let cases = [
        Case { title: "Example 2-10,", story, window: Window::tumble(TUMBLE), asked },
        Case { title: "The same, retracting", story, window: Window::session(MINUTE), asked },
    ];
    let book = read("book.slt");
    for case in cases {
        let table = expected(&book, case.title);
        let signed = |line: &&str| format!("{} {}", &line[..1], line.split_once(' ').unwrap().1);
        let table: Vec<String> = table.iter().map(signed).collect();
        assert_eq!(sent(&case, replaced), table, "{}", case.title);
    }
}

/// Shows a pane as Beam's transcripts do: windows in minutes and seconds, and values in order.
fn transcribed(_: i64, Sent { start, end, values, pane, .. }: &Sent) -> String {
    let mut values = values.clone();
    values.sort_unstable();
    let values: Vec<String> = values.iter().map(i64::to_string).collect();
    let values = match values.is_empty() {
        true => "NULL".to_owned(),
        false => format!("[{}]", values.join(",")),
    };
    let (start, end, timing) = (clock(*start), clock(*end), pane.timing.name());
    format!("{} {} {values} {timing} {} {}", &start[4..], &end[4..], pane.index, pane.is_last)
}

/// Would fail if the typed API sent other panes than Beam's transcripts of triggers have.
#[test]
fn panes_of_transcripts_are_those_of_beam() {
    let ten = Duration::from_secs(10);
    let tumble = Window::tumble(ten);
    let case = |title, story, asked| Case { title, story, window: tumble, asked };
    let cases = [
        case("fixed_default\n", "beam-fixed.json", |rows| rows),
        case("fixed_default_late_data\n", "beam-late.json", |rows| {
            let trigger = Trigger::after_watermark().late(Trigger::rows(1));
            rows.trigger(trigger).allowed_lateness(FOR_EVER)
        }),
        Case {
            window: Window::session(ten),
            ..case("early_late_sessions\n", "beam-sessions.json", |rows| {
                let trigger = Trigger::after_watermark().early(Trigger::rows(2));
                rows.trigger(trigger.late(Trigger::rows(3))).allowed_lateness(FOR_EVER)
            })
        },
        case("discarding_early_fixed\n", "beam-discarding.json", |rows| {
            let trigger = Trigger::after_watermark().early(Trigger::rows(2));
            rows.trigger(trigger).discarding()
        }),
        case("known_late_data_watermark\n", "beam-known-late.json", |rows| rows),
        case("known_late_data_no_watermark_hold_possible\n", "beam-no-hold.json", |rows| rows),
    ];
    let beam = read("beam.slt");
    for case in cases {
        assert_eq!(sent(&case, transcribed), expected(&beam, case.title), "{}", case.title);
    }
}

/// Would fail if the tables could not see a bug: each of these is planted, in another process, where panes are
/// sent.
#[test]
fn planted_bugs_of_panes_are_found() {
    let (scores, replaced) = (
        "worked::panes_of_scores_are_those_of_the_book",
        "worked::panes_take_the_place_of_others_as_in_the_book",
    );
    let plants = [
        ("no-empty-on-time", scores),
        ("late-is-early", scores),
        ("kept-discarded", scores),
        ("kept-sent", replaced),
    ];
    for (fault, name) in plants {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("THALWEG_PLANT", fault)
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "`{fault}` was planted and nobody noticed:\n{shown}");
        assert!(shown.contains("1 failed"), "`{fault}` did not fail the test itself:\n{shown}");
    }
}
