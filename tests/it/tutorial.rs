//! What the tutorial of the Rust API shows, where that is no example of its own.

use std::cell::Cell;
use std::time::Duration;

use thalweg::testkit::TestJob;
use thalweg::{
    BroadcastContext, BroadcastProcess, BroadcastState, Context, Decimal, Job, Keyed, Pane, Record,
    Result, RunOptions, Stream, Timestamp, Timing, Trigger, UserWindows, Window, average, count,
    max, sum,
};

use crate::support::Place;

const MINUTE: Duration = Duration::from_secs(60);

/// What a sensor measured.
#[derive(Clone, Debug, PartialEq, Record)]
struct Reading {
    sensor: String,
    #[record(rename = "time")]
    at: Timestamp,
    degrees: f64,
    volts: Option<Decimal<3, 1>>,
    site: Site,
    tags: Vec<String>,
}

/// Where a sensor is.
#[derive(Clone, Debug, PartialEq, Record)]
struct Site {
    town: String,
    floor: i32,
}

/// Copies readings from one file to another.
fn copy(place: &Place) -> Result<()> {
    let [input, output] = ["in.json", "out"].map(|name| place.path(name).display().to_string());
    let job = thalweg::job();
    let input = [("path", input.as_str()), ("format", "json")];
    let readings = job.source::<Reading>("readings", "filesystem", &input).stream()?;
    readings.sink("copy", "filesystem", &[("path", &output), ("format", "json")])?;
    thalweg::run(job, &RunOptions { workers: 2, ..RunOptions::new("copy") })?;
    Ok(())
}

/// Would fail if a row came out as another one than it was read, or a struct had a value that is
/// missing.
#[test]
fn structs_are_rows() {
    let place = Place::new();
    let row = "{\"sensor\":\"a\",\"time\":\"2026-03-02 08:00:00.000\",\"degrees\":6.5,\"volts\":null,\
               \"site\":{\"town\":\"Ulm\",\"floor\":2},\"tags\":[\"roof\",\"new\"]}";
    place.write("in.json", row);
    copy(&place).unwrap();
    let rows: Vec<String> = place.published("out").into_keys().collect();
    assert_eq!(rows, [row]);
    let place = Place::new();
    place.write("in.json", &row.replace("6.5", "null"));
    let error = copy(&place).unwrap_err().to_string();
    assert!(error.contains("degrees"), "{error}");
}

/// The points that a player of a team made.
#[derive(Clone, Debug, PartialEq, Record)]
struct Score {
    team: String,
    points: i64,
    at: Timestamp,
}

fn score(team: &str, points: i64, at: &str) -> Score {
    Score { team: team.to_owned(), points, at: Timestamp::parse(at).unwrap() }
}

/// How a team stands.
#[derive(Clone, Debug, PartialEq, Record)]
struct Standing {
    team: String,
    scores: i64,
    best: Option<i64>,
}

fn standings(scores: Stream<'_, Score>) -> Result<Stream<'_, Standing>> {
    scores
        .key_by(|score| score.team.clone())
        .aggregate("standings", vec![count(), max(|score: &Score| score.points)])
}

/// Would fail if a result were not updated as rows come.
#[test]
fn a_key_has_one_row_that_is_updated() {
    let test = TestJob::new();
    let standings = test.collect(standings(test.source("scores").unwrap()).unwrap()).unwrap();
    let mut run = test.run(2).unwrap();
    run.push("scores", score("reds", 5, "12:00:00")).unwrap();
    run.push("scores", score("reds", 3, "12:00:10")).unwrap();
    let standing = |scores| Standing { team: "reds".to_owned(), scores, best: Some(5) };
    let expected = [(1, standing(1)), (-1, standing(1)), (1, standing(2))];
    assert_eq!(run.take_changes(&standings).unwrap(), expected);
}

/// By how much a score is better than the one before it.
#[derive(Clone, Debug, PartialEq, Record)]
struct Rise {
    team: String,
    points: i64,
}

fn rises(scores: Keyed<'_, Score, String>) -> Result<Stream<'_, Rise>> {
    scores.process("rises", |setup| {
        let last = setup.value("last");
        move |score: Score, context: &mut Context<'_, String, Rise>| {
            let before = last.get(context).copied().unwrap_or(0);
            last.set(context, score.points);
            if score.points > before {
                context.send(Rise { team: score.team, points: score.points - before });
            }
            Ok(())
        }
    })
}

/// Would fail if a function saw what another key remembers.
#[test]
fn a_function_remembers_by_key() {
    let test = TestJob::new();
    let scores = test.source::<Score>("scores").unwrap();
    let rises = rises(scores.key_by(|score| score.team.clone())).unwrap();
    let rises = test.collect(rises).unwrap();
    let mut run = test.run(3).unwrap();
    for (team, points) in [("reds", 5), ("blues", 4), ("reds", 3), ("reds", 7), ("blues", 4)] {
        run.push("scores", score(team, points, "12:00:00")).unwrap();
    }
    let rise = |team: &str, points| Rise { team: team.to_owned(), points };
    let expected = [rise("reds", 5), rise("blues", 4), rise("reds", 4)];
    assert_eq!(run.take(&rises).unwrap(), expected);
}

/// The points of a team in a window, and which of its panes this is.
#[derive(Clone, Debug, PartialEq, Record)]
struct Total {
    start: Timestamp,
    end: Timestamp,
    team: String,
    points: Option<i64>,
    pane: Pane,
}

fn totals(scores: Stream<'_, Score>) -> Result<Stream<'_, Total>> {
    let trigger = Trigger::after_watermark().early(Trigger::every(MINUTE));
    scores
        .key_by(|score| score.team.clone())
        .window(Window::tumble(2 * MINUTE), |score| score.at)
        .trigger(trigger)
        .aggregate("totals", vec![sum(|score: &Score| score.points)])
}

/// Returns what is told of totals: the points, and when.
fn told(totals: Vec<Total>) -> Vec<(Option<i64>, Timing)> {
    totals.into_iter().map(|total| (total.points, total.pane.timing)).collect()
}

/// Would fail if a total were told too early, too late, or twice.
#[test]
fn totals_are_told_each_minute_and_at_the_end() -> Result<()> {
    let test = TestJob::new();
    let totals = test.collect(totals(test.source("scores")?)?)?;
    let mut run = test.run(2)?;
    run.clock("12:00:30")?;
    run.push("scores", score("reds", 5, "12:00:26"))?;
    assert_eq!(told(run.take(&totals)?), []);
    run.clock("12:01:30")?;
    assert_eq!(told(run.take(&totals)?), [(Some(5), Timing::Early)]);
    run.push("scores", score("reds", 9, "12:01:26"))?;
    run.watermark("12:02:00")?;
    assert_eq!(told(run.take(&totals)?), [(Some(14), Timing::OnTime)]);
    run.finish()
}

/// Would fail if a total forgot what it had before a crash.
#[test]
fn totals_go_on_behind_a_crash() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let test = TestJob::new().keep_state(folder.path());
    let totals = test.collect(totals(test.source("scores")?)?)?;
    let mut run = test.run(2)?;
    run.push("scores", score("reds", 5, "12:00:26"))?;
    assert_eq!(told(run.take(&totals)?), []);
    run.push("scores", score("reds", 9, "12:01:26"))?;
    run.crash(3)?;
    run.watermark("12:02:00")?;
    assert_eq!(told(run.take(&totals)?), [(Some(14), Timing::OnTime)]);
    run.finish()
}

/// Sends the points of each hour: at every ten scores, at the end, and again for what comes late. What
/// comes later than two hours goes to `lost`.
fn hours<'j>(
    scores: Stream<'j, Score>,
    lost: impl FnOnce(Stream<'j, Score>) -> Result<()> + 'j,
) -> Result<Stream<'j, Total>> {
    let trigger = Trigger::after_watermark().early(Trigger::rows(10)).late(Trigger::rows(1));
    scores
        .key_by(|score| score.team.clone())
        .window(Window::tumble(60 * MINUTE), |score| score.at)
        .trigger(trigger)
        .retracting()
        .allowed_lateness(120 * MINUTE)
        .late_to(lost)
        .aggregate("hours", vec![sum(|score: &Score| score.points)])
}

/// Would fail if an early pane came at another row than the tenth, or a late row were lost.
#[test]
fn hours_are_corrected_and_what_is_too_late_is_kept() -> Result<()> {
    let test = TestJob::new();
    let lost = Cell::new(None);
    let keep = |scores| {
        lost.set(Some(test.collect::<Score>(scores)?));
        Ok(())
    };
    let hours = test.collect(hours(test.source("scores")?, keep)?)?;
    let lost = lost.take().unwrap();
    let mut run = test.run(2)?;
    for minute in 0..11 {
        run.push("scores", score("reds", 1, &format!("12:{minute:02}:00")))?;
    }
    run.watermark("13:00:00")?;
    run.push("scores", score("reds", 5, "12:30:00"))?;
    run.watermark("15:00:00")?;
    run.push("scores", score("reds", 7, "12:45:00"))?;
    let told = run.take_changes(&hours)?.into_iter();
    let told: Vec<_> =
        told.map(|(weight, total)| (weight, total.points, total.pane.timing)).collect();
    let expected = [
        (1, Some(10), Timing::Early),
        (-1, Some(10), Timing::Early),
        (1, Some(11), Timing::OnTime),
        (-1, Some(11), Timing::OnTime),
        (1, Some(16), Timing::Late),
    ];
    assert_eq!(told, expected);
    assert_eq!(run.take(&lost)?, [score("reds", 7, "12:45:00")]);
    run.finish()
}

/// Three scores of a team.
#[derive(Clone, Debug, PartialEq, Record)]
struct Round {
    team: String,
    mean: Option<f64>,
}

fn rounds(scores: Stream<'_, Score>) -> Result<Stream<'_, Round>> {
    scores
        .key_by(|score| score.team.clone())
        .count_window(3)
        .aggregate("rounds", vec![average(|score: &Score| score.points as f64)])
}

/// The points of a team in a streak.
#[derive(Clone, Debug, PartialEq, Record)]
struct Streak {
    start: Timestamp,
    end: Timestamp,
    team: String,
    points: Option<i64>,
}

/// A score begins a streak of as many minutes as it has points; streaks that overlap are one.
fn streaks(scores: Stream<'_, Score>) -> Result<Stream<'_, Streak>> {
    let end = |score: &Score| Timestamp(score.at.0 + 60_000 * score.points);
    let windows = UserWindows::of("streaks", move |score: &Score| vec![score.at..end(score)]);
    scores
        .key_by(|score| score.team.clone())
        .user_windows(windows.merging())
        .aggregate("streaks", vec![sum(|score: &Score| score.points)])
}

/// Would fail if windows were others than rows and functions say.
#[test]
fn windows_of_rows_and_of_the_users_own() -> Result<()> {
    let test = TestJob::new();
    let scores: Stream<'_, Score> = test.source("scores")?;
    let rounds = test.collect(rounds(scores.clone())?)?;
    let streaks = test.collect(streaks(scores)?)?;
    let mut run = test.run(2)?;
    for (points, at) in [(6, "12:00:00"), (2, "12:05:00"), (4, "12:20:00"), (8, "12:30:00")] {
        run.push("scores", score("reds", points, at))?;
    }
    assert_eq!(run.take(&rounds)?, [Round { team: "reds".to_owned(), mean: Some(4.0) }]);
    run.finish()?;
    let found = run.take(&streaks)?;
    let found: Vec<_> = found.iter().map(|of| (of.end.0 - of.start.0, of.points)).collect();
    assert_eq!(found, [(420_000, Some(8)), (240_000, Some(4)), (480_000, Some(8))]);
    Ok(())
}

/// What was sold in a shop.
#[derive(Clone, Record)]
struct Sale {
    shop: i64,
    currency: String,
    amount: f64,
}

/// What a currency is worth.
#[derive(Clone, Record)]
struct Rate {
    currency: String,
    euros: f64,
}

/// What was sold in a shop, in euros.
#[derive(Clone, Debug, PartialEq, Record)]
struct Turnover {
    shop: i64,
    euros: f64,
}

/// Knows what each currency is worth.
struct Convert {
    rates: BroadcastState<String, f64>,
}

impl BroadcastProcess<i64, Sale, Rate, Turnover> for Convert {
    fn row(&self, sale: Sale, context: &mut Context<'_, i64, Turnover>) -> Result<()> {
        if let Some(rate) = self.rates.get(context, &sale.currency) {
            context.send(Turnover { shop: sale.shop, euros: sale.amount * rate });
        }
        Ok(())
    }

    fn broadcast(&self, rate: Rate, context: &mut BroadcastContext<'_>) -> Result<()> {
        self.rates.insert(context, rate.currency, rate.euros);
        Ok(())
    }
}

fn turnover<'j>(sales: Stream<'j, Sale>, rates: Stream<'j, Rate>) -> Result<Stream<'j, Turnover>> {
    sales
        .key_by(|sale| sale.shop)
        .broadcast(rates)
        .process("turnover", |setup| Convert { rates: setup.broadcast("rates") })
}

/// Would fail if a worker did not get the rows that all get.
#[test]
fn all_workers_know_what_is_broadcast() -> Result<()> {
    let test = TestJob::new();
    let (sales, rates) = (test.source("sales")?, test.source("rates")?);
    let turnover = test.collect(turnover(sales, rates)?)?;
    let mut run = test.run(3)?;
    run.push("rates", Rate { currency: "CHF".to_owned(), euros: 1.5 })?;
    let sale = |shop| Sale { shop, currency: "CHF".to_owned(), amount: 4.0 };
    run.push_all("sales", &(0..20).map(sale).collect::<Vec<_>>())?;
    let expected: Vec<_> = (0..20).map(|shop| Turnover { shop, euros: 6.0 }).collect();
    assert_eq!(run.take(&turnover)?, expected);
    run.finish()
}

/// A team that is among the best, and its place.
#[derive(Clone, Debug, PartialEq, Record)]
struct Placed {
    place: i64,
    team: String,
    points: Option<i64>,
}

fn best_teams<'j>(job: &'j Job, scores: &Stream<'j, Score>) -> Result<Stream<'j, Placed>> {
    let query = "
        SELECT place, team, points FROM (
          SELECT *, ROW_NUMBER() OVER (ORDER BY points DESC, team) AS place
          FROM (SELECT team, SUM(points) AS points FROM scores GROUP BY team)
        ) WHERE place <= 2";
    job.sql("best teams", query, &[("scores", scores.table())])
}

/// Would fail if a query read another stream than it was given, or its errors did not say where.
#[test]
fn queries_are_steps() -> Result<()> {
    let test = TestJob::new();
    let scores = test.source("scores")?;
    let best = best_teams(test.job(), &scores)?.filter(|placed| placed.place == 1);
    let best = test.collect(best)?;
    let error = test.job().sql::<Placed>("some", "SELECT point FROM s", &[("s", scores.table())]);
    let error = error.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.starts_with("step `some`: "), "{error}");
    let mut run = test.run(2)?;
    run.push("scores", score("reds", 5, "12:00:00"))?;
    run.push("scores", score("blues", 7, "12:00:10"))?;
    let first =
        |team: &str, points| Placed { place: 1, team: team.to_owned(), points: Some(points) };
    let expected = [(1, first("reds", 5)), (-1, first("reds", 5)), (1, first("blues", 7))];
    assert_eq!(run.take_changes(&best)?, expected);
    run.finish()
}
