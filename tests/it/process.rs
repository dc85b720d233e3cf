//! Jobs in Rust of functions with state and timers: on any number of workers, and killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg::{
    Accumulated, BroadcastContext, BroadcastProcess, BroadcastState, CoProcess, Context, ListState,
    MapState, Process, Record, Reduced, ReducingState, Result, RunOptions, Setup, Side, Stored,
    Stream, Timer, Timestamp, Trigger, ValueState,
};

use crate::support::{Dice, Lines, Place, difference};
use thalweg::testkit::{TestJob, TestRun};

#[derive(Clone, Debug, Record, Serialize, Deserialize)]
struct Score {
    player: i64,
    points: i64,
    at: Timestamp,
}

#[derive(Clone, Record)]
struct Player {
    id: i64,
    name: String,
}

#[derive(Clone, Record)]
struct Running {
    player: i64,
    number: i64,
    sum: i64,
    best: i64,
    recent: String,
}

#[derive(Clone, Record)]
struct Total {
    player: i64,
    until: Timestamp,
    points: i64,
}

#[derive(Clone, Record)]
struct Named {
    name: String,
    player: i64,
    until: Timestamp,
    points: i64,
}

/// How long the windows are, in milliseconds.
const WINDOW: i64 = 10_000;
const RECENT: usize = 3;

/// Says of each score what the player has so far; sums of windows go to a side output.
struct Scores {
    sum: ValueState<i64>,
    best: ReducingState<i64>,
    recent: ListState<i64>,
    windows: MapState<Timestamp, i64>,
    totals: Side<Total>,
}

impl Scores {
    fn new(setup: &mut Setup) -> Scores {
        Scores {
            sum: setup.value("sum"),
            best: setup.reducing("best", i64::max),
            recent: setup.list("recent"),
            windows: setup.map("windows"),
            totals: setup.side("totals"),
        }
    }
}

impl Process<i64, Score, Running> for Scores {
    fn row(&self, row: Score, context: &mut Context<'_, i64, Running>) -> Result<()> {
        *self.sum.or_default(context) += row.points;
        self.best.add(context, row.points);
        if self.recent.get(context).len() >= RECENT {
            let recent = self.recent.get(context)[1..].to_vec();
            self.recent.set(context, recent);
        }
        self.recent.push(context, row.points);
        let end = Timestamp(row.at.0 - row.at.0.rem_euclid(WINDOW) + WINDOW);
        *self.windows.or_default(context, end) += row.points;
        context.set_timer(Timer::Event(Timestamp(end.0 - 1)));
        let recent: Vec<String> = self.recent.get(context).iter().map(i64::to_string).collect();
        context.send(Running {
            player: *context.key(),
            number: row.at.0,
            sum: self.sum.get(context).copied().unwrap_or(0),
            best: self.best.get(context).copied().unwrap_or(0),
            recent: recent.join(" "),
        });
        Ok(())
    }

    fn timer(&self, timer: Timer, context: &mut Context<'_, i64, Running>) -> Result<()> {
        let until = Timestamp(timer.time().0 + 1);
        let points = self.windows.remove(context, &until).unwrap_or(0);
        context.send_to(self.totals, Total { player: *context.key(), until, points });
        Ok(())
    }
}

/// Waits for the name of a player, and names what comes of it.
struct Naming {
    name: ValueState<String>,
    waiting: ListState<(i64, i64)>,
}

impl Naming {
    fn named(name: &str, player: i64, (until, points): (i64, i64)) -> Named {
        Named { name: name.to_owned(), player, until: Timestamp(until), points }
    }
}

impl CoProcess<i64, Total, Player, Named> for Naming {
    fn left(&self, row: Total, context: &mut Context<'_, i64, Named>) -> Result<()> {
        let total = (row.until.0, row.points);
        match self.name.get(context).cloned() {
            Some(name) => context.send(Naming::named(&name, row.player, total)),
            None => self.waiting.push(context, total),
        }
        Ok(())
    }

    fn right(&self, row: Player, context: &mut Context<'_, i64, Named>) -> Result<()> {
        for total in self.waiting.take(context) {
            context.send(Naming::named(&row.name, row.id, total));
        }
        self.name.set(context, row.name);
        Ok(())
    }
}

/// Counts the totals of each player, and names the player at the end of time, when all names are here.
struct Counting {
    names: BroadcastState<i64, String>,
    count: ValueState<i64>,
}

impl BroadcastProcess<i64, Total, Player, Named> for Counting {
    fn row(&self, _: Total, context: &mut Context<'_, i64, Named>) -> Result<()> {
        *self.count.or_default(context) += 1;
        context.set_timer(Timer::Event(Timestamp::MAX));
        Ok(())
    }

    fn broadcast(&self, row: Player, context: &mut BroadcastContext<'_>) -> Result<()> {
        self.names.insert(context, row.id, row.name);
        Ok(())
    }

    fn timer(&self, _: Timer, context: &mut Context<'_, i64, Named>) -> Result<()> {
        let (player, points) = (*context.key(), self.count.get(context).copied().unwrap_or(0));
        let name = self.names.get(context, &player).cloned().unwrap_or_default();
        context.send(Named { name, player, until: Timestamp(0), points });
        Ok(())
    }
}

const PLAYERS: i64 = 17;

fn write_input(place: &Place, rows: i64) {
    let mut dice = Dice(7);
    let scores = (0..rows).map(|row| {
        let (player, points) = (dice.below(PLAYERS as u64), dice.below(100));
        let at = format!("1970-01-01 {:02}:{:02}:{:02}", row / 3600, row / 60 % 60, row % 60);
        format!("{{\"player\":{player},\"points\":{points},\"at\":\"{at}\"}}\n")
    });
    place.write("scores.json", &scores.collect::<String>());
    let players = (0..PLAYERS).map(|id| format!("{{\"id\":{id},\"name\":\"player {id}\"}}\n"));
    place.write("players.json", &players.collect::<String>());
}

fn json(path: &str) -> [(&str, &str); 2] {
    [("path", path), ("format", "json")]
}

/// Runs the job in a place; `rate` is in rows per second.
fn run(place: &Path, workers: usize, rate: u64) -> Result<()> {
    let path = |name: &str| place.join(name).display().to_string();
    let job = thalweg::job();
    let scores = job
        .source::<Score>("scores", "filesystem", &json(&path("scores.json")))
        .watermark(|score: &Score| score.at, Duration::from_secs(5))
        .rows_per_second(rate)
        .stream()?;
    let players = job
        .source::<Player>("players", "filesystem", &json(&path("players.json")))
        .rows_per_second(rate / 20)
        .stream()?;
    let running = scores.key_by(|score| score.player).process("scores", Scores::new)?;
    let totals: Stream<'_, Total> = running.side("totals")?;
    running.sink("running", "filesystem", &json(&path("running")))?;
    totals
        .clone()
        .key_by(|total| total.player)
        .connect(players.clone().key_by(|player| player.id))
        .process("naming", |setup| Naming {
            name: setup.value("name"),
            waiting: setup.list("waiting"),
        })?
        .sink("named", "filesystem", &json(&path("named")))?;
    totals
        .key_by(|total| total.player)
        .broadcast(players)
        .process("counting", |setup| Counting {
            names: setup.broadcast("names"),
            count: setup.value("count"),
        })?
        .sink("counted", "filesystem", &json(&path("counted")))?;
    let options = RunOptions {
        workers,
        state: Some(path("state")),
        checkpoint_interval: Duration::from_millis(50),
        ..RunOptions::new("scores")
    };
    thalweg::run(job, &options).map(|_| ())
}

/// Where the child of a test works, on how many workers, and how fast.
const PLACE: &str = "THALWEG_TEST_PLACE";
const WORKERS: &str = "THALWEG_TEST_WORKERS";

/// Is run by tests, in a process of its own that they kill.
#[test]
#[ignore = "run by other tests"]
fn child() {
    let place = std::env::var(PLACE).unwrap();
    let workers = std::env::var(WORKERS).unwrap().parse().unwrap();
    run(Path::new(&place), workers, 1500).unwrap();
}

fn start(place: &Place, workers: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "process::child"]);
    command.env(PLACE, place.path("")).env(WORKERS, workers.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

fn answers(place: &Place) -> [Lines; 3] {
    ["running", "named", "counted"].map(|name| place.published(name))
}

#[test]
fn functions_give_the_same_on_any_number_of_workers() {
    const ROWS: i64 = 3000;
    let mut first: Option<[Lines; 3]> = None;
    for workers in 1..=3 {
        let place = Place::new();
        write_input(&place, ROWS);
        run(&place.path(""), workers, 1_000_000).unwrap();
        let found = answers(&place);
        let [running, named, counted] = &found;
        assert_eq!(running.values().sum::<usize>() as i64, ROWS);
        assert_eq!(counted.values().sum::<usize>() as i64, PLAYERS);
        assert!(named.keys().all(|line| line.contains("player ")));
        let windows = named.values().sum::<usize>();
        assert!(counted.keys().all(|line| line.contains("player ")) && windows > 300, "{windows}");
        match &first {
            None => first = Some(found),
            Some(first) => {
                for (first, found) in first.iter().zip(&found) {
                    assert!(first == found, "{workers}: {:?}", difference(first, found));
                }
            }
        }
    }
}

#[test]
fn functions_go_on_where_they_were_killed() {
    const ROWS: i64 = 3000;
    let plain = Place::new();
    write_input(&plain, ROWS);
    run(&plain.path(""), 2, 1_000_000).unwrap();
    let expected = answers(&plain);
    let place = Place::new();
    write_input(&place, ROWS);
    let mut dice = Dice(11);
    for workers in [2, 3, 1, 2] {
        let mut life = start(&place, workers);
        std::thread::sleep(Duration::from_millis(300 + dice.below(300)));
        assert!(life.try_wait().unwrap().is_none(), "it was over before it was killed");
        life.kill().unwrap();
        life.wait().unwrap();
    }
    assert!(start(&place, 3).wait().unwrap().success());
    for (expected, found) in expected.iter().zip(answers(&place)) {
        assert!(*expected == found, "{:?}", difference(expected, &found));
    }
}

/// A value that was a number in version 1.
#[derive(Serialize, Deserialize)]
struct Sum {
    points: i64,
    rows: i64,
}

#[derive(Clone, Debug, Record)]
struct Line {
    player: i64,
    points: i64,
}

/// Runs a sum over `rows.json`, whose state is declared by `make`.
fn sum<P: Process<i64, Line, Line>>(
    place: &Place,
    make: impl FnOnce(&mut Setup) -> P,
) -> Result<thalweg::Outcome> {
    let path = |name: &str| place.path(name).display().to_string();
    let (input, output) = (path("rows"), path("sums"));
    let job = thalweg::job();
    job.source::<Line>("rows", "filesystem", &json(&input))
        .stream()?
        .key_by(|line| line.player)
        .process("sums", make)?
        .sink("sums", "filesystem", &json(&output))?;
    let state = Some(path("state"));
    let options = RunOptions { state, workers: 2, continues: true, ..RunOptions::new("sums") };
    thalweg::run(job, &options)
}

fn in_version_1(setup: &mut Setup) -> impl Process<i64, Line, Line> + use<> {
    let sum: ValueState<i64> = setup.value("sum");
    move |row: Line, context: &mut Context<'_, i64, Line>| {
        let points = sum.get(context).copied().unwrap_or(0) + row.points;
        sum.set(context, points);
        context.send(Line { points, ..row });
        Ok(())
    }
}

fn in_version_2(setup: &mut Setup) -> impl Process<i64, Line, Line> + use<> {
    let sum = Stored::new("sum").version(2).migrate(1, |points: i64| Sum { points, rows: 100 });
    let sum: ValueState<Sum> = setup.value(sum);
    move |row: Line, context: &mut Context<'_, i64, Line>| {
        let before = sum.take(context).unwrap_or(Sum { points: 0, rows: 0 });
        let after = Sum { points: before.points + row.points, rows: before.rows + 1 };
        context.send(Line { player: row.player, points: after.points * 1000 + after.rows });
        sum.set(context, after);
        Ok(())
    }
}

#[test]
fn state_of_an_older_version_is_migrated_and_of_a_newer_one_refused() {
    let place = Place::new();
    place.write("rows/1.json", "{\"player\":1,\"points\":5}\n{\"player\":2,\"points\":6}\n");
    sum(&place, in_version_1).unwrap();
    place.write("rows/2.json", "{\"player\":1,\"points\":7}\n{\"player\":3,\"points\":8}\n");
    sum(&place, in_version_2).unwrap();
    let published: Vec<String> = place.published("sums").into_keys().collect();
    let line = |player: i64, points: i64| format!("{{\"player\":{player},\"points\":{points}}}");
    let mut expected = [line(1, 5), line(2, 6), line(1, 12_101), line(3, 8_001)];
    expected.sort();
    assert_eq!(published, expected);
    place.write("rows/3.json", "{\"player\":1,\"points\":7}\n");
    let error = sum(&place, in_version_1).unwrap_err().to_string();
    let said = "step `sums`: state `sum` was saved in version 2, and the program has version 1";
    assert!(error.contains(said), "{error}");
}

#[test]
fn what_is_wrong_while_the_graph_is_built_names_the_step() {
    let job = thalweg::job();
    let lines = || job.source::<Line>("rows", "filesystem", &json("rows.json")).stream().unwrap();
    let check = |result: Result<Stream<'_, Line>>, said: &str| {
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(said), "{error}");
    };
    let twice = lines().key_by(|line| line.player).process("twice", |setup| {
        let (_, same): (ValueState<i64>, ValueState<i64>) = (setup.value("a"), setup.value("a"));
        move |row: Line, context: &mut Context<'_, i64, Line>| {
            same.set(context, row.points);
            Ok(())
        }
    });
    check(twice, "step `twice`: two states are called `a`");
    let updating = lines().key_by(|line| line.player);
    let updating = updating.aggregate::<Line>("sums", vec![thalweg::sum(|l: &Line| l.points)]);
    let updating = updating.unwrap().key_by(|line| line.player).process("after", in_version_1);
    check(updating, "step `after`: rows of an updating stream may be taken back");
    let processed = lines().key_by(|line| line.player).process("sums", in_version_1).unwrap();
    check(processed.side("late"), "step `sums/Process-1`: there is no side output `late`");
    check(lines().side("late"), "has no side outputs");
}

#[test]
fn a_plan_says_what_a_function_keeps_and_what_comes_to_it() {
    let job = thalweg::job();
    let scores = job.source::<Score>("scores", "filesystem", &json("scores.json"));
    let scores =
        scores.watermark(|score: &Score| score.at, Duration::from_secs(5)).stream().unwrap();
    let players = job.source::<Player>("players", "filesystem", &json("players.json"));
    let running = scores.key_by(|score| score.player).process("scores", Scores::new).unwrap();
    running
        .side::<Total>("totals")
        .unwrap()
        .key_by(|total| total.player)
        .broadcast(players.stream().unwrap())
        .process("counting", |setup| Counting {
            names: setup.broadcast("names"),
            count: setup.value("count"),
        })
        .unwrap()
        .sink("counted", "blackhole", &[])
        .unwrap();
    let plan = job.plan();
    let text = thalweg_plan::explain::explain(&plan);
    let said = [
        "counting/Process-1 (append)",
        "does      function `counting`",
        "each row goes to the worker of its (key)",
        "all rows go to every worker",
        "broadcast `names`, value `count`, timers of each key until the function clears them",
        "emits     rows as they come, and those of timers at the end of each epoch",
        "`totals` of scores/Process-1",
        "value `sum`, reducing `best`, list `recent`, map `windows`, timers of each key",
    ];
    // Lines are broken where they are long.
    let flat = text.replace('\u{2502}', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for said in said {
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&said), "{said}\n{text}");
    }
    let outline = thalweg_plan::outline::outline(&plan);
    assert!(outline.contains("Exchange to every worker"), "{outline}");
    assert!(outline.contains("side output 1"), "{outline}");
}

/// What a fold accumulates, a number in version 1.
#[derive(Clone, Debug, Record)]
struct Both {
    player: i64,
    points: i64,
    rows: i64,
}

/// Runs sums of all rows of a player, and of two each, that are accumulated by version.
fn folded<A: Record>(
    place: &Place,
    accumulated: impl Fn() -> Accumulated<A>,
    step: impl Fn(A, Line) -> A + Clone + Send + Sync + 'static,
) -> Result<thalweg::Outcome> {
    let path = |name: &str| place.path(name).display().to_string();
    let (input, all, pairs) = (path("rows"), path("all"), path("pairs"));
    let job = thalweg::job();
    let rows = job.source::<Line>("rows", "filesystem", &json(&input)).stream()?;
    let sums = rows.clone().key_by(|line| line.player).fold("all", accumulated(), step.clone())?;
    let format = [("path", all.as_str()), ("format", "debezium-json")];
    sums.sink("all", "filesystem", &format)?;
    let twos = rows.key_by(|line| line.player).count_window(2);
    twos.fold("pairs", accumulated(), step)?.sink("pairs", "filesystem", &json(&pairs))?;
    let state = Some(path("state"));
    let options = RunOptions { state, workers: 2, continues: true, ..RunOptions::new("sums") };
    thalweg::run(job, &options)
}

/// Would fail if what a fold accumulated before a change of its type were lost, or read as something else.
#[test]
fn what_a_fold_accumulated_in_an_older_version_is_migrated() {
    let first = |place: &Place| {
        let step = |sum: Line, row: Line| Line { points: sum.points + row.points, ..row };
        folded(place, || Accumulated::new(Line { player: 0, points: 0 }), step)
    };
    let second = |place: &Place| {
        let accumulated = || {
            Accumulated::new(Both { player: 0, points: 0, rows: 0 })
                .version(2)
                .migrate(1, |old: Line| Both { player: old.player, points: old.points, rows: 100 })
        };
        let step = |sum: Both, row: Line| Both {
            player: row.player,
            points: sum.points + row.points,
            rows: sum.rows + 1,
        };
        folded(place, accumulated, step)
    };
    let place = Place::new();
    place.write("rows/1.json", "{\"player\":1,\"points\":5}\n{\"player\":2,\"points\":6}\n");
    first(&place).unwrap();
    place.write("rows/2.json", "{\"player\":1,\"points\":7}\n{\"player\":3,\"points\":8}\n");
    second(&place).unwrap();
    let pairs: Vec<String> = place.published("pairs").into_keys().collect();
    assert_eq!(pairs, [r#"{"player":1,"points":12,"rows":101}"#]);
    let all: Vec<String> = place.published("all").into_keys().collect();
    assert!(all.iter().any(|line| line.contains(r#""points":12,"rows":101"#)), "{all:?}");
    place.write("rows/3.json", "{\"player\":1,\"points\":7}\n");
    let error = first(&place).unwrap_err().to_string();
    let said = "what the fold accumulated was saved in version 2, and the program has version 1";
    assert!(error.contains(said), "{error}");
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Scored {
    player: i64,
    points: i64,
    rows: i64,
}

/// Runs the sums of rows of a player that come by version: of all rows, and of two each.
fn reduced<T: Record>(
    place: &Place,
    kept: impl Fn(&str) -> Reduced<T>,
    player: fn(&T) -> i64,
    add: fn(T, T) -> T,
) -> Result<thalweg::Outcome> {
    let path = |name: &str| place.path(name).display().to_string();
    let (input, all, pairs) = (path("rows"), path("all"), path("pairs"));
    let job = thalweg::job();
    let rows = job.source::<T>("rows", "filesystem", &json(&input)).stream()?;
    let format = [("path", all.as_str()), ("format", "debezium-json")];
    let sums = rows.clone().key_by(player).reduce(kept("all"), add)?;
    sums.sink("all", "filesystem", &format)?;
    let twos = rows.key_by(player).count_window(2).reduce(kept("pairs"), add)?;
    twos.sink("pairs", "filesystem", &json(&pairs))?;
    let state = Some(path("state"));
    let options = RunOptions { state, workers: 2, continues: true, ..RunOptions::new("sums") };
    thalweg::run(job, &options)
}

/// Would fail if the rows that a reduce keeps, or a pane that is taken back, were lost when their type
/// changes, or read as something else.
#[test]
fn what_a_reduce_keeps_in_an_older_version_is_migrated() {
    let add = |one: Line, other: Line| Line { points: one.points + other.points, ..one };
    let first = |place: &Place| reduced(place, |name| Reduced::new(name), |row| row.player, add);
    let add = |one: Scored, other: Scored| Scored {
        points: one.points + other.points,
        rows: one.rows + other.rows,
        ..one
    };
    let second = |place: &Place, kept: fn(&str) -> Reduced<Scored>| {
        reduced(place, kept, |row| row.player, add)
    };
    let migrating = |name: &str| {
        let scored = |old: Line| Scored { player: old.player, points: old.points, rows: 100 };
        Reduced::new(name).version(2).migrate(1, scored)
    };
    let place = Place::new();
    place.write("rows/1.json", "{\"player\":1,\"points\":5}\n{\"player\":2,\"points\":6}\n");
    first(&place).unwrap();
    let more = "{\"player\":1,\"points\":7,\"rows\":1}\n{\"player\":3,\"points\":8,\"rows\":1}\n";
    place.write("rows/2.json", more);
    // Without a version the new type is refused, and the error says what to do.
    let error = second(&place, |name| Reduced::new(name)).unwrap_err();
    assert!(error.to_string().contains("what the reduce accumulated is Struct("), "{error}");
    assert_eq!(
        error.remedy_text(),
        Some("give it a new version, and say how the old values become new ones")
    );
    second(&place, migrating).unwrap();
    let pairs: Vec<String> = place.published("pairs").into_keys().collect();
    assert_eq!(pairs, [r#"{"player":1,"points":12,"rows":101}"#]);
    let all: Vec<String> = place.published("all").into_keys().collect();
    let has = |said: &str| all.iter().any(|line| line.contains(said));
    assert!(has(r#""after":{"player":1,"points":12,"rows":101}"#), "{all:?}");
    assert!(has(r#""before":{"player":1,"points":5,"rows":100}"#), "{all:?}");
    place.write("rows/3.json", "{\"player\":1,\"points\":7}\n");
    let error = first(&place).unwrap_err().to_string();
    let said = "what the reduce accumulated was saved in version 2, and the program has version 1";
    assert!(error.contains(said), "{error}");
}

/// The key of a row, and the sum of two.
type Sums<T> = (fn(&T) -> i64, fn(T, T) -> T);

/// Would fail if a pane that is taken back were lost when the type of its rows changes, or taken back as
/// something else than was sent.
#[test]
fn a_pane_of_an_older_version_is_taken_back() {
    /// Runs a version of the job with a row; returns what it sends.
    fn panes<T: Record>(
        test: TestJob,
        kept: Reduced<T>,
        (player, add): Sums<T>,
        row: T,
    ) -> Result<(TestRun, Vec<(i64, T)>)> {
        let windows = test.source::<T>("rows")?.key_by(player).global();
        let windows = windows.trigger(Trigger::rows(1).repeated()).retracting();
        let panes = test.collect(windows.reduce(kept, add)?)?;
        let mut run = test.run(2)?;
        run.push("rows", row)?;
        let sent = run.take_changes(&panes)?;
        Ok((run, sent))
    }
    let place = Place::new();
    let add = |one: Line, other: Line| Line { points: one.points + other.points, ..one };
    let first = |test: TestJob| {
        let row = Line { player: 1, points: 5 };
        panes(test, "sums".into(), (|row: &Line| row.player, add), row)
    };
    let add = |one: Scored, other: Scored| Scored {
        points: one.points + other.points,
        rows: one.rows + other.rows,
        ..one
    };
    let scored = |points, rows| Scored { player: 1, points, rows };
    let second = |test: TestJob| {
        let kept = Reduced::new("sums").version(2);
        let kept = kept.migrate(1, |old: Line| Scored {
            player: old.player,
            points: old.points,
            rows: 100,
        });
        panes(test, kept, (|row: &Scored| row.player, add), scored(7, 1))
    };
    let (run, sent) = first(TestJob::new().keep_state(&place.path("state"))).unwrap();
    assert_eq!(sent.len(), 1);
    let (run, sent) = second(run.upgrade().unwrap()).unwrap();
    assert_eq!(sent, [(-1, scored(5, 100)), (1, scored(12, 101))]);
    let error = first(run.upgrade().unwrap()).err().unwrap().to_string();
    let said = "what the reduce accumulated was saved in version 2, and the program has version 1";
    assert!(error.contains(said), "{error}");
}

/// Sets a timer of each key, and keeps the names of all.
struct Reminding {
    names: BroadcastState<i64, String>,
}

impl BroadcastProcess<i64, Line, Line, Line> for Reminding {
    fn row(&self, row: Line, context: &mut Context<'_, i64, Line>) -> Result<()> {
        context.set_timer(Timer::Clock(Timestamp(row.points * 1_000_000_000_000)));
        Ok(())
    }

    fn broadcast(&self, row: Line, context: &mut BroadcastContext<'_>) -> Result<()> {
        self.names.insert(context, row.player, format!("name {}", row.player));
        Ok(())
    }
}

/// Would fail if a function that keeps nothing but timers and broadcast state were not shown, or a timer with
/// another key.
#[test]
fn timers_and_broadcast_state_are_shown() {
    let place = Place::new();
    place.write("rows/1.json", "{\"player\":1,\"points\":5}\n{\"player\":2,\"points\":6}\n");
    let path = place.path("rows").display().to_string();
    let job = thalweg::job();
    let rows = job.source::<Line>("rows", "filesystem", &json(&path)).stream().unwrap();
    let same = job.source::<Line>("names", "filesystem", &json(&path)).stream().unwrap();
    let naming = |setup: &mut Setup| Reminding { names: setup.broadcast("names") };
    let sent = rows.key_by(|row| row.player).broadcast(same).process("naming", naming).unwrap();
    sent.sink("sent", "blackhole", &[]).unwrap();
    let state = Some(place.path("state").display().to_string());
    let options = RunOptions { state, workers: 2, ..RunOptions::new("names") };
    thalweg::run(job, &options).unwrap();
    let show = |key: &str| {
        let arguments = ["state", "show", "state", "--key", key, "--output", "json"];
        let mut lines: Vec<_> = place.succeed(&arguments).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let line = |key: &str, state: &str, entry: &str, value: &str| {
        let operator = r#""operator":"naming/Process-1""#;
        format!(
            r#"{{{operator},"key":{key},"state":"{state}","entry":"{entry}","value":"{value}"}}"#
        )
    };
    let names =
        [1, 2].map(|key| line("null", "names", &key.to_string(), &format!(r#"\"name {key}\""#)));
    let timer = line("1", "timer", "clock", r#"\"2128-06-11 08:53:20.000\""#);
    assert_eq!(show("key=1"), [&[timer][..], &names].concat());
    assert_eq!(show("key=3"), names);
}

/// Would fail if what a function keeps of a key were not shown, or with that of another one.
#[test]
fn what_a_function_keeps_of_a_key_is_shown_as_json() {
    let place = Place::new();
    place.write("rows/1.json", "{\"player\":1,\"points\":5}\n{\"player\":2,\"points\":6}\n");
    let make = |setup: &mut Setup| {
        let sum: ValueState<Sum> = setup.value("sum");
        let (list, map): (ListState<String>, MapState<(i64, bool), f64>) =
            (setup.list("list"), setup.map("map"));
        move |row: Line, context: &mut Context<'_, i64, Line>| {
            sum.set(context, Sum { points: row.points, rows: 1 });
            list.push(context, "a".to_owned());
            list.push(context, format!("\"{}\"", row.points));
            map.insert(context, (row.player, true), 0.5);
            Ok(())
        }
    };
    sum(&place, make).unwrap();
    let show = |key: &str| {
        let arguments = ["state", "show", "state", "--key", key, "--output", "json"];
        place.succeed(&arguments).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let line = |state: &str, entry: &str, value: &str| {
        format!(
            r#"{{"operator":"sums/Process-1","key":1,"state":"{state}","entry":{entry},"value":"{value}"}}"#
        )
    };
    let expected = [
        line("sum", "null", r#"{\"points\":5,\"rows\":1}"#),
        line("list", "\"0\"", r#"\"a\""#),
        line("list", "\"1\"", r#"\"\\\"5\\\"\""#),
        line("map", "\"[1,true]\"", "0.5"),
    ];
    assert_eq!(show("key=1"), expected);
    assert_eq!(show("key=3"), [""; 0]);
}
