//! Joins of jobs in Rust: the pairs that a loop over all rows finds, on any number of workers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg::testkit::TestJob;
use thalweg::{Job, Record, Result, RunOptions, Span, Stream, Timestamp, Window};

use crate::support::{Dice, Place};

/// A row of either stream.
#[derive(Clone, Debug, PartialEq, Record, Serialize, Deserialize)]
struct Event {
    key: Option<i64>,
    id: i64,
    at: Timestamp,
}

#[derive(Clone, Debug, Record)]
struct Pair {
    left: Option<i64>,
    right: Option<i64>,
}

/// The rows of a window.
#[derive(Clone, Debug, Record)]
struct Group {
    key: Option<i64>,
    start: Timestamp,
    left: String,
    right: String,
}

const SECOND: i64 = 1000;

/// Returns rows in the order of their times, with ids from `first`.
fn events(seed: u64, first: i64) -> Vec<Event> {
    let mut dice = Dice(seed);
    let mut at = 0;
    let events = (0..200).map(|n| {
        at += dice.below(4000) as i64;
        let key = Some(dice.below(20) as i64).filter(|key| *key > 0);
        Event { key, id: first + n, at: Timestamp(at) }
    });
    events.collect()
}

struct Stand {
    place: Place,
    left: Vec<Event>,
    right: Vec<Event>,
}

type Made = BTreeMap<String, i64>;

impl Stand {
    fn new() -> Stand {
        let (left, right) = (events(3, 0), events(5, 1000));
        let place = Place::new();
        for (name, events) in [("left.json", &left), ("right.json", &right)] {
            let lines = events.iter().map(|event| {
                let key = event.key.map_or("null".to_owned(), |key| key.to_string());
                let (id, at) = (event.id, event.at);
                format!("{{\"key\":{key},\"id\":{id},\"at\":\"{at}\"}}\n")
            });
            place.write(name, &lines.collect::<String>());
        }
        Stand { place, left, right }
    }

    fn stream<'j>(&self, job: &'j Job, name: &str) -> Stream<'j, Event> {
        let path = self.place.path(&format!("{name}.json")).display().to_string();
        let source = job.source(name, "filesystem", &[("path", &path), ("format", "json")]);
        let source = source.watermark(|event: &Event| event.at, Duration::from_secs(1));
        source.stream().unwrap()
    }

    /// Runs a job on some workers; returns what is left of its result in the end.
    fn run<U: Record>(
        &self,
        workers: usize,
        build: impl for<'j> Fn(Stream<'j, Event>, Stream<'j, Event>) -> Result<Stream<'j, U>>,
    ) -> Made {
        let job = thalweg::job();
        let (left, right) = (self.stream(&job, "left"), self.stream(&job, "right"));
        let folder = format!("answer {workers}");
        let path = self.place.path(&folder).display().to_string();
        let options = [("path", path.as_str()), ("format", "debezium-json")];
        build(left, right).unwrap().sink("answer", "filesystem", &options).unwrap();
        thalweg::run(job, &RunOptions { workers, ..RunOptions::new("joins") }).unwrap();
        let mut made = Made::new();
        for (line, count) in self.place.published(&folder) {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            for (side, weight) in [("before", -1), ("after", 1)] {
                if !line[side].is_null() {
                    *made.entry(line[side].to_string()).or_default() += weight * count as i64;
                }
            }
        }
        made.retain(|_, count| *count != 0);
        std::fs::remove_dir_all(self.place.path(&folder)).unwrap();
        made
    }

    /// Checks that a job makes these rows, on one worker and more.
    fn check<U: Record>(
        &self,
        expected: &[String],
        build: impl for<'j> Fn(Stream<'j, Event>, Stream<'j, Event>) -> Result<Stream<'j, U>>,
    ) {
        assert!(expected.len() > 50, "{} rows are no test", expected.len());
        let mut rows = Made::new();
        expected.iter().for_each(|row| *rows.entry(row.clone()).or_default() += 1);
        for workers in 1..=3 {
            assert_eq!(self.run(workers, &build), rows, "{workers} workers");
        }
    }

    /// Returns the pairs for which `meets` holds, and the rows of each side that meet none.
    fn pairs(&self, meets: impl Fn(&Event, &Event) -> usize) -> [Vec<String>; 3] {
        let mut all: [Vec<String>; 3] = Default::default();
        let meets = |left: &Event, right: &Event| match left.key == right.key {
            true => meets(left, right),
            false => 0,
        };
        for left in &self.left {
            for right in &self.right {
                let line = pair(Some(left), Some(right));
                all[0].extend((0..meets(left, right)).map(|_| line.clone()));
            }
            if self.right.iter().all(|right| meets(left, right) == 0) {
                all[1].push(pair(Some(left), None));
            }
        }
        let is_alone = |right: &&Event| self.left.iter().all(|left| meets(left, right) == 0);
        all[2].extend(self.right.iter().filter(is_alone).map(|right| pair(None, Some(right))));
        all
    }
}

fn pair(left: Option<&Event>, right: Option<&Event>) -> String {
    let id = |event: Option<&Event>| event.map_or("null".to_owned(), |event| event.id.to_string());
    format!("{{\"left\":{},\"right\":{}}}", id(left), id(right))
}

fn of(left: Option<Event>, right: Option<Event>) -> Pair {
    Pair { left: left.map(|event| event.id), right: right.map(|event| event.id) }
}

#[test]
fn regular_joins_put_all_rows_of_a_key_together() {
    let stand = Stand::new();
    let [pairs, left, right] = stand.pairs(|_, _| 1);
    stand.check(&pairs, |left, right| {
        let (left, right) = (left.key_by(|row| row.key), right.key_by(|row| row.key));
        left.join(right).inner("pairs", |left: Event, right: Event| of(Some(left), Some(right)))
    });
    let all = [pairs.clone(), left.clone()].concat();
    stand.check(&all, |left, right| {
        let (left, right) = (left.key_by(|row| row.key), right.key_by(|row| row.key));
        left.join(right).left("pairs", |left: Event, right| of(Some(left), right))
    });
    stand.check(&[all, right].concat(), |left, right| {
        let (left, right) = (left.key_by(|row| row.key), right.key_by(|row| row.key));
        left.join(right).full("pairs", of)
    });
}

#[test]
fn interval_joins_put_rows_together_that_are_near_in_time() {
    let stand = Stand::new();
    let distance = |left: &Event, right: &Event| right.at.0 - left.at.0;
    let near = |left: &Event, right: &Event| {
        usize::from((-20 * SECOND..=60 * SECOND).contains(&distance(left, right)))
    };
    let [pairs, left, right] = stand.pairs(near);
    let (before, after) = (Duration::from_secs(20), Duration::from_secs(60));
    stand.check(&pairs, |left, right| {
        let (left, right) = (left.key_by(|row| row.key), right.key_by(|row| row.key));
        let join = left.join(right).within(before, after, |row| row.at, |row| row.at);
        join.inner("near", |left: Event, right: Event| of(Some(left), Some(right)))
    });
    stand.check(&[pairs, left, right].concat(), |left, right| {
        let (left, right) = (left.key_by(|row| row.key), right.key_by(|row| row.key));
        left.join(right).within(before, after, |row| row.at, |row| row.at).full("near", of)
    });
}

/// How many windows of 60 s, one every 20 s, two rows are both of.
fn common_windows(left: &Event, right: &Event) -> usize {
    let first = |at: Timestamp| at.0.div_euclid(20 * SECOND);
    3usize.saturating_sub(first(left.at).abs_diff(first(right.at)) as usize)
}

fn hop() -> Window {
    Window::hop(Duration::from_secs(20), Duration::from_secs(60))
}

#[test]
fn window_joins_put_rows_together_once_for_each_window_of_both() {
    let stand = Stand::new();
    let [pairs, ..] = stand.pairs(common_windows);
    stand.check(&pairs, |left, right| {
        let (left, right) = (left.key_by(|row| row.key), right.key_by(|row| row.key));
        let join = left.join(right).window(hop(), |row| row.at, |row| row.at);
        join.inner("windows", |left: Event, right: Event| of(Some(left), Some(right)))
    });
}

#[test]
fn groups_have_all_rows_of_a_window_in_order() {
    let stand = Stand::new();
    let mut groups: BTreeMap<(i64, Option<i64>), [Vec<String>; 2]> = BTreeMap::new();
    for (side, events) in [&stand.left, &stand.right].into_iter().enumerate() {
        for event in events {
            let last = event.at.0.div_euclid(20 * SECOND);
            for start in last - 2..=last {
                let group = groups.entry((start * 20 * SECOND, event.key)).or_default();
                group[side].push(event.id.to_string());
            }
        }
    }
    let expected = groups.iter().map(|((start, key), [left, right])| {
        let key = key.map_or("null".to_owned(), |key| key.to_string());
        let (start, left, right) = (Timestamp(*start), left.join(" "), right.join(" "));
        // Keys stand in the order of their names.
        let line = serde_json::json!({
            "key": serde_json::from_str::<serde_json::Value>(&key).unwrap(),
            "left": left, "right": right, "start": start.to_string(),
        });
        line.to_string()
    });
    stand.check(&expected.collect::<Vec<_>>(), |left, right| {
        let (left, right) = (left.key_by(|row| row.key), right.key_by(|row| row.key));
        let join = left.join(right).window(hop(), |row| row.at, |row| row.at);
        let ids = |rows: Vec<Event>| {
            rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>().join(" ")
        };
        join.co_group("groups", move |key: &Option<i64>, window: Span, left, right| {
            [Group { key: *key, start: window.start, left: ids(left), right: ids(right) }]
        })
    });
}

fn session() -> Window {
    Window::session(Duration::from_secs(9))
}

/// Returns the sessions of both streams together: key, start, and the rows of each side.
fn sessions(stand: &Stand) -> Vec<(Option<i64>, i64, [Vec<Event>; 2])> {
    let mut rows: Vec<(usize, &Event)> = stand.left.iter().map(|event| (0, event)).collect();
    rows.extend(stand.right.iter().map(|event| (1, event)));
    rows.sort_by_key(|(side, event)| (event.key, event.at, *side));
    let mut sessions: Vec<(Option<i64>, i64, [Vec<Event>; 2])> = Vec::new();
    let mut last = None;
    for (side, event) in rows {
        let is_next = last.is_some_and(|(key, at): (Option<i64>, i64)| {
            key == event.key && event.at.0 <= at + 9 * SECOND
        });
        if !is_next {
            sessions.push((event.key, event.at.0, Default::default()));
        }
        last = Some((event.key, event.at.0));
        sessions.last_mut().unwrap().2[side].push(event.clone());
    }
    sessions
}

/// Would fail if a session were of one stream alone, or rows of several met.
#[test]
fn session_joins_put_rows_of_a_session_of_both_streams_together() {
    let stand = Stand::new();
    let mut pairs = Vec::new();
    for (_, _, [left, right]) in sessions(&stand) {
        let met = left.iter().flat_map(|left| right.iter().map(move |right| (left, right)));
        pairs.extend(met.map(|(left, right)| pair(Some(left), Some(right))));
        if right.is_empty() {
            pairs.extend(left.iter().map(|left| pair(Some(left), None)));
        }
    }
    stand.check(&pairs, |left, right| {
        let (left, right) = (left.key_by(|row| row.key), right.key_by(|row| row.key));
        let join = left.join(right).window(session(), |row| row.at, |row| row.at);
        join.left("sessions", |left: Event, right| of(Some(left), right))
    });
}

/// Would fail if a row of one stream did not bring sessions of the other together, or rows lost their order.
#[test]
fn groups_have_all_rows_of_a_session_of_both_streams() {
    let stand = Stand::new();
    let ids =
        |rows: &[Event]| rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>().join(" ");
    let expected = sessions(&stand).into_iter().map(|(key, start, [left, right])| {
        serde_json::json!({
            "key": key, "left": ids(&left), "right": ids(&right),
            "start": Timestamp(start).to_string(),
        })
        .to_string()
    });
    stand.check(&expected.collect::<Vec<_>>(), |left, right| {
        let (left, right) = (left.key_by(|row| row.key), right.key_by(|row| row.key));
        let join = left.join(right).window(session(), |row| row.at, |row| row.at);
        join.co_group("groups", move |key: &Option<i64>, window: Span, left, right| {
            let (left, right): (Vec<Event>, Vec<Event>) = (left, right);
            [Group { key: *key, start: window.start, left: ids(&left), right: ids(&right) }]
        })
    });
}

/// Would fail if a late row were lost, met others, or came out on the other side.
#[test]
fn late_rows_of_joins_are_streams() {
    type Joined<'j> = thalweg::Join<'j, Event, Event, Option<i64>>;
    let minute = Duration::from_secs(60);
    let run = |said: &dyn for<'j> Fn(Joined<'j>) -> Joined<'j>, grouped: bool| {
        let test = TestJob::new();
        let stream = |name: &str| test.source::<Event>(name).unwrap().key_by(|row| row.key);
        let late = std::cell::RefCell::new(None);
        let take = |left: Stream<'_, Event>, right: Stream<'_, Event>| {
            *late.borrow_mut() = Some((test.collect(left)?, test.collect(right)?));
            Ok(())
        };
        let join = said(stream("left").join(stream("right"))).late_to(take);
        let pairs = match grouped {
            false => join.inner("pairs", |left, right| of(Some(left), Some(right))),
            true => join.co_group("groups", |_: &Option<i64>, _, left, right| {
                let (left, right): (Vec<Event>, Vec<Event>) = (left, right);
                [of(left.into_iter().next(), right.into_iter().next())]
            }),
        };
        let pairs = test.collect(pairs.unwrap()).unwrap();
        let (left, right) = late.into_inner().unwrap();
        let mut run = test.run(2).unwrap();
        let event = |id: i64, at: i64| Event { key: Some(1), id, at: Timestamp(at * SECOND) };
        run.push("left", event(1, 10)).unwrap();
        run.push("right", event(2, 20)).unwrap();
        run.watermark("00:10:00").unwrap();
        run.push("left", event(3, 30)).unwrap();
        run.push("right", event(4, 15)).unwrap();
        run.push("right", event(5, 700)).unwrap();
        run.push("left", event(6, 700)).unwrap();
        run.finish().unwrap();
        let ids = |rows: Vec<Event>| rows.iter().map(|row| row.id).collect::<Vec<_>>();
        let met = run.take(&pairs).unwrap();
        let met: Vec<_> = met.iter().map(|pair| (pair.left, pair.right)).collect();
        (met, ids(run.take(&left).unwrap()), ids(run.take(&right).unwrap()))
    };
    let expected = (vec![(Some(1), Some(2)), (Some(6), Some(5))], vec![3], vec![4]);
    let near = run(&|join| join.within(minute, minute, |row| row.at, |row| row.at), false);
    assert_eq!(near, expected);
    for window in [Window::tumble(minute), Window::session(minute)] {
        for grouped in [false, true] {
            let found = run(&|join| join.window(window, |row| row.at, |row| row.at), grouped);
            assert_eq!(found, expected, "{window:?} {grouped}");
        }
    }
}

#[test]
fn tables_have_the_last_row_of_each_key_and_are_joined_as_tables() {
    let stand = Stand::new();
    let last = |events: &[Event]| -> BTreeMap<Option<i64>, Event> {
        events.iter().map(|event| (event.key, event.clone())).collect()
    };
    let (left, right) = (last(&stand.left), last(&stand.right));
    let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let expected = keys.iter().map(|key| pair(left.get(key), right.get(key)));
    let expected: Vec<String> = expected.collect();
    let mut rows = Made::new();
    expected.iter().for_each(|row| *rows.entry(row.clone()).or_default() += 1);
    for workers in 1..=3 {
        let found = stand.run(workers, |left, right| {
            let left = left.key_by(|row| row.key).latest("left table")?;
            let right = right.key_by(|row| row.key).latest("right table")?;
            left.key_by(|row| row.key).join(right.key_by(|row| row.key)).full("tables", of)
        });
        assert_eq!(found, rows, "{workers} workers");
    }
}

#[test]
fn a_union_has_the_rows_of_both_streams() {
    let stand = Stand::new();
    let expected = stand.left.iter().chain(&stand.right).map(|event| pair(Some(event), None));
    stand.check(&expected.collect::<Vec<_>>(), |left, right| {
        Ok(left.union(right).map(|event| of(Some(event), None)))
    });
}

#[test]
fn joins_that_cannot_obey_time_name_their_step() {
    let stand = Stand::new();
    let check = |result: Result<Stream<'_, Pair>>, said: &str| {
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(said), "{error}");
    };
    let job = thalweg::job();
    let left = || stand.stream(&job, "left").key_by(|row| row.key);
    let timeless = job.source::<Event>("x", "filesystem", &[("path", "x"), ("format", "json")]);
    let timeless = timeless.stream().unwrap().key_by(|row| row.key);
    let zero = Duration::ZERO;
    let join = left().join(timeless).within(zero, zero, |row| row.at, |row| row.at);
    check(join.full("near", of), "step `near`: a stream that is joined by time has no watermark");
    let updating = left().latest("table").unwrap().key_by(|row| row.key);
    let join = updating.join(left()).window(session(), |row| row.at, |row| row.at);
    check(join.full("sessions", of), "step `sessions`: sessions of rows that may be taken back");
    let join = left().join(left()).late_to(|_, _| Ok(()));
    check(join.full("late", of), "step `late`: no row is late where rows meet whatever their time");
    let none = left().join(left()).co_group("none", |_: &Option<i64>, _, _, _| [of(None, None)]);
    check(none, "step `none`: rows are grouped without windows");
    let twice = left().latest("once").unwrap().key_by(|row| row.key).latest("twice");
    check(
        twice.map(|rows| rows.map(|row| of(Some(row), None))),
        "step `twice`: an updating stream",
    );
}
