//! Functions with state and timers, step by step: what they see of time, and when they are called.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg::testkit::TestJob;
use thalweg::{
    BroadcastContext, BroadcastProcess, BroadcastState, CoProcess, Context, Process, Record,
    Result, Setup, Side, Stored, Timer, Timestamp, ValueState,
};

/// What a key is told to do, at some time of the day.
#[derive(Clone, Record)]
struct Order {
    key: String,
    what: String,
    time: Timestamp,
}

/// What was called, and what it saw.
#[derive(Clone, Debug, PartialEq, Record)]
struct Call {
    key: String,
    what: String,
    watermark: String,
    clock: String,
}

fn order(key: &str, what: &str, time: &str) -> Order {
    let time = Timestamp::parse(time).unwrap();
    Order { key: key.to_owned(), what: what.to_owned(), time }
}

/// Returns the time of a day.
fn show(time: Timestamp) -> String {
    match time {
        Timestamp::MIN => "before all".to_owned(),
        Timestamp::MAX => "behind all".to_owned(),
        time => time.to_string()[11..19].to_owned(),
    }
}

fn call(what: String, context: &Context<'_, String, Call>) -> Call {
    let key = context.key().clone();
    Call { key, what, watermark: show(context.watermark()), clock: show(context.clock()) }
}

/// Does what it is told, and says so.
struct Obeying;

impl Process<String, Order, Call> for Obeying {
    fn row(&self, row: Order, context: &mut Context<'_, String, Call>) -> Result<()> {
        match row.what.as_str() {
            "event" => context.set_timer(Timer::Event(row.time)),
            "clock" => context.set_timer(Timer::Clock(row.time)),
            "delete" => context.delete_timer(Timer::Event(row.time)),
            _ => {}
        }
        let seen = call(row.what, context);
        context.send(seen);
        Ok(())
    }

    fn timer(&self, timer: Timer, context: &mut Context<'_, String, Call>) -> Result<()> {
        let what = match timer {
            Timer::Event(time) => format!("event {}", show(time)),
            Timer::Clock(time) => format!("clock {}", show(time)),
        };
        let seen = call(what, context);
        context.send(seen);
        Ok(())
    }
}

fn lines(calls: Vec<Call>) -> Vec<String> {
    let line = |call: Call| format!("{} {} {} {}", call.key, call.what, call.watermark, call.clock);
    calls.into_iter().map(line).collect()
}

#[test]
fn timers_are_called_when_their_time_has_come_and_see_it() {
    for workers in 1..=3 {
        let test = TestJob::new();
        let orders = test.source::<Order>("orders").unwrap().key_by(|row| row.key.clone());
        let calls = orders.process("obey", |_: &mut Setup| Obeying).unwrap();
        let calls = test.collect(calls).unwrap();
        let mut run = test.run(workers).unwrap();
        run.clock("08:00:00").unwrap();
        run.push("orders", order("a", "clock", "08:10:00")).unwrap();
        run.push("orders", order("b", "clock", "08:05:00")).unwrap();
        run.push("orders", order("a", "event", "12:02:00")).unwrap();
        run.push("orders", order("b", "event", "12:01:00")).unwrap();
        run.push("orders", order("b", "event", "12:03:00")).unwrap();
        run.push("orders", order("b", "delete", "12:03:00")).unwrap();
        let clock = "before all 08:00:00";
        let expected = ["a clock", "b clock", "a event", "b event", "b event", "b delete"];
        let expected = expected.map(|line| format!("{line} {clock}"));
        assert_eq!(lines(run.take(&calls).unwrap()), expected, "{workers} workers");
        // Each timer of the clock is at its own time, and those between two steps come first.
        run.clock("08:20:00").unwrap();
        let expected =
            ["b clock 08:05:00 before all 08:05:00", "a clock 08:10:00 before all 08:10:00"];
        assert_eq!(lines(run.take(&calls).unwrap()), expected, "{workers} workers");
        run.watermark("12:01:30").unwrap();
        run.watermark("12:05:00").unwrap();
        let expected = ["b event 12:01:00 12:01:30 08:20:00", "a event 12:02:00 12:05:00 08:20:00"];
        assert_eq!(lines(run.take(&calls).unwrap()), expected, "{workers} workers");
        // Times that are over.
        run.push("orders", order("a", "event", "12:04:00")).unwrap();
        run.push("orders", order("a", "clock", "08:19:00")).unwrap();
        let expected = [
            "a event 12:05:00 08:20:00",
            "a event 12:04:00 12:05:00 08:20:00",
            "a clock 12:05:00 08:20:00",
            "a clock 08:19:00 12:05:00 08:20:00",
        ];
        let mut found = lines(run.take(&calls).unwrap());
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{workers} workers");
        // At the end event time is, and the clock is not.
        run.push("orders", order("a", "event", "13:00:00")).unwrap();
        run.push("orders", order("a", "clock", "13:00:00")).unwrap();
        run.take(&calls).unwrap();
        run.finish().unwrap();
        let expected = ["a event 13:00:00 behind all 08:20:00"];
        assert_eq!(lines(run.take(&calls).unwrap()), expected, "{workers} workers");
    }
}

/// Sends a row to the side output unless it is of a key that another stream named.
struct Named {
    is_named: ValueState<bool>,
    others: Side<Order>,
}

impl CoProcess<String, Order, Order, Call> for Named {
    fn left(&self, row: Order, context: &mut Context<'_, String, Call>) -> Result<()> {
        match self.is_named.get(context) {
            Some(true) => {
                let seen = call(row.what, context);
                context.send(seen);
            }
            Some(false) | None => context.send_to(self.others, row),
        }
        Ok(())
    }

    fn right(&self, row: Order, context: &mut Context<'_, String, Call>) -> Result<()> {
        self.is_named.set(context, row.what == "named");
        Ok(())
    }
}

#[test]
fn connected_streams_share_the_state_of_a_key() {
    for workers in 1..=3 {
        let test = TestJob::new();
        let orders = test.source::<Order>("orders").unwrap().key_by(|row| row.key.clone());
        let names = test.source::<Order>("names").unwrap().key_by(|row| row.key.clone());
        let named = orders.connect(names).process("named", |setup| Named {
            is_named: setup.value("is named"),
            others: setup.side("others"),
        });
        let named = named.unwrap();
        let others = named.side::<Order>("others").unwrap().map(|row| Call {
            key: row.key,
            what: row.what,
            watermark: String::new(),
            clock: String::new(),
        });
        let (named, others) = (test.collect(named).unwrap(), test.collect(others).unwrap());
        let mut run = test.run(workers).unwrap();
        let mut push = |table: &str, key: &str, what: &str| {
            run.push(table, order(key, what, "12:00:00")).unwrap();
        };
        push("orders", "a", "1");
        push("names", "a", "named");
        push("orders", "a", "2");
        push("orders", "b", "3");
        push("names", "a", "forgotten");
        push("orders", "a", "4");
        let whats = |calls: Vec<Call>| -> Vec<String> {
            calls.into_iter().map(|call| format!("{} {}", call.key, call.what)).collect()
        };
        assert_eq!(whats(run.take(&named).unwrap()), ["a 2"], "{workers} workers");
        assert_eq!(whats(run.take(&others).unwrap()), ["a 1", "b 3", "a 4"], "{workers} workers");
    }
}

/// Adds the word that every worker was told to each row.
struct Worded(BroadcastState<String, String>);

impl BroadcastProcess<String, Order, Order, Call> for Worded {
    fn row(&self, row: Order, context: &mut Context<'_, String, Call>) -> Result<()> {
        let words: Vec<&str> = self.0.iter(context).map(|(_, word)| word.as_str()).collect();
        let said = call(format!("{} {}", row.what, words.join(" ")), context);
        context.send(said);
        Ok(())
    }

    fn broadcast(&self, row: Order, context: &mut BroadcastContext<'_>) -> Result<()> {
        match row.what.as_str() {
            "" => self.0.remove(context, &row.key),
            _ => self.0.insert(context, row.key, row.what),
        };
        Ok(())
    }
}

#[test]
fn what_is_broadcast_comes_to_all_keys() {
    for workers in 1..=3 {
        let test = TestJob::new();
        let orders = test.source::<Order>("orders").unwrap().key_by(|row| row.key.clone());
        let words = test.source::<Order>("words").unwrap();
        let said =
            orders.broadcast(words).process("words", |setup| Worded(setup.broadcast("words")));
        let said = test.collect(said.unwrap()).unwrap();
        let mut run = test.run(workers).unwrap();
        let time = "12:00:00";
        run.push("words", order("1", "one", time)).unwrap();
        run.push("words", order("2", "two", time)).unwrap();
        let keys = ["a", "b", "c", "d", "e", "f"];
        run.push_all("orders", &keys.map(|key| order(key, "early", time))).unwrap();
        run.push("words", order("1", "", time)).unwrap();
        run.push_all("orders", &keys.map(|key| order(key, "late", time))).unwrap();
        let found = run.take(&said).unwrap().into_iter().map(|call| call.what);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        found.for_each(|what| *counts.entry(what).or_default() += 1);
        let expected = [("early one two".to_owned(), 6), ("late two".to_owned(), 6)];
        assert_eq!(counts, BTreeMap::from(expected), "{workers} workers");
    }
}

/// Counts the rows that each key has, by their weights.
fn present(setup: &mut Setup) -> impl Process<String, Count, Weighed> + use<> {
    setup.take_updates();
    let rows: ValueState<i64> = setup.value("rows");
    move |row: Count, context: &mut Context<'_, String, Weighed>| {
        *rows.or_default(context) += context.weight();
        let rows = rows.get(context).copied().unwrap_or(0);
        context.send(Weighed { key: row.key, count: row.count, weight: context.weight(), rows });
        Ok(())
    }
}

#[derive(Clone, Record)]
struct Count {
    key: String,
    count: i64,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Weighed {
    key: String,
    count: i64,
    weight: i64,
    rows: i64,
}

#[test]
fn a_function_that_takes_updates_sees_what_rows_count() {
    let test = TestJob::new();
    let orders = test.source::<Order>("orders").unwrap().key_by(|row| row.key.clone());
    let counts = orders.aggregate::<Count>("counts", vec![thalweg::count()]).unwrap();
    let weighed = counts.key_by(|row| row.key.clone()).process("weighed", present).unwrap();
    let weighed = test.collect(weighed).unwrap();
    let mut run = test.run(2).unwrap();
    run.push("orders", order("a", "", "12:00:00")).unwrap();
    run.push("orders", order("a", "", "12:00:00")).unwrap();
    let weigh = |count, weight, rows| Weighed { key: "a".to_owned(), count, weight, rows };
    let found = run.take(&weighed).unwrap();
    // The rows of a step stand in the order of their columns.
    assert_eq!(found, [weigh(1, 1, 1), weigh(1, -1, 0), weigh(2, 1, 1)]);
}

#[test]
fn what_a_function_says_ends_the_job_and_names_the_step() {
    let test = TestJob::new();
    let orders = test.source::<Order>("orders").unwrap().key_by(|row| row.key.clone());
    let failing = orders.process("failing", |_: &mut Setup| {
        |row: Order, _: &mut Context<'_, String, Call>| -> Result<()> {
            Err(thalweg::Error::data(format!("nobody knows `{}`", row.what)))
        }
    });
    let calls = test.collect(failing.unwrap()).unwrap();
    let mut run = test.run(2).unwrap();
    run.push("orders", order("a", "this", "12:00:00")).unwrap();
    let error = run.take(&calls).unwrap_err().to_string();
    assert!(error.contains("step `failing`: nobody knows `this`"), "{error}");
}

/// Says how often a key came lately.
fn lately(setup: &mut Setup) -> impl Process<String, Order, Count> + use<> {
    let hour = Duration::from_secs(3600);
    let rows: ValueState<i64> = setup.value(Stored::new("rows").ttl(hour));
    move |row: Order, context: &mut Context<'_, String, Count>| {
        *rows.or_default(context) += 1;
        let count = rows.get(context).copied().unwrap_or(0);
        context.send(Count { key: row.key, count });
        Ok(())
    }
}

#[test]
fn state_with_a_time_to_live_is_forgotten_so_long_after_it_was_written() {
    for workers in 1..=2 {
        let test = TestJob::new();
        let orders = test.source::<Order>("orders").unwrap().key_by(|row| row.key.clone());
        let counts = test.collect(orders.process("lately", lately).unwrap()).unwrap();
        let mut run = test.run(workers).unwrap();
        for (clock, keys) in [
            ("08:00:00", ["a", "b"]),
            ("08:30:00", ["a", "a"]),
            // It is known to a sixteenth of the time when something is forgotten.
            ("09:15:00", ["a", "b"]),
            ("10:30:00", ["a", "b"]),
        ] {
            run.clock(clock).unwrap();
            keys.iter().for_each(|key| run.push("orders", order(key, "", "12:00:00")).unwrap());
        }
        let counts = run.take(&counts).unwrap().into_iter().map(|row| (row.key, row.count));
        let of = |key: &str| -> Vec<i64> {
            counts.clone().filter(|(k, _)| k == key).map(|(_, count)| count).collect()
        };
        assert_eq!(of("a"), [1, 2, 3, 4, 1], "{workers} workers");
        assert_eq!(of("b"), [1, 1, 1], "{workers} workers");
    }
}
