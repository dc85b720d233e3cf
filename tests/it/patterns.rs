//! Patterns of rows in the typed API, step by step in the test kit.

use std::ops::Range;
use std::time::Duration;

use thalweg::testkit::{TestJob, TestRun};
use thalweg::{AfterMatch, Matched, Pattern, Record, Result, Search, Stream, Timestamp};

use crate::support::Place;

const MINUTE: Duration = Duration::from_secs(60);

/// What somebody did in a shop.
#[derive(Clone, Debug, PartialEq, Record)]
struct Action {
    user: String,
    kind: String,
    euros: i64,
    at: Timestamp,
}

/// The rows of a match: their names, kinds and times.
#[derive(Clone, Debug, PartialEq, Record)]
struct Found {
    user: String,
    rows: String,
}

fn action(user: &str, kind: &str, euros: i64, at: &str) -> Action {
    let at = Timestamp::parse(&format!("12:{at}")).unwrap();
    Action { user: user.to_owned(), kind: kind.to_owned(), euros, at }
}

/// Returns a row of a kind, which is its name, too.
fn kind(kind: &'static str) -> Pattern<Action> {
    Pattern::row(kind, move |action: &Action| action.kind == kind)
}

/// Says which rows a match has, by name.
fn described(names: &[&str], found: &Matched<Action>) -> Found {
    let rows = names.iter().map(|name| {
        let times = found[*name].iter().map(|action| action.at.to_string()[14..19].to_owned());
        format!("{name} {}", times.collect::<Vec<_>>().join(" "))
    });
    let first = names.iter().find_map(|name| found.first(name)).unwrap();
    Found { user: first.user.clone(), rows: rows.collect::<Vec<_>>().join(", ") }
}

type Actions<'j> = Search<'j, Action, String>;

fn search(test: &TestJob, pattern: Pattern<Action>) -> Actions<'_> {
    let actions: Stream<'_, Action> = test.source("actions").unwrap();
    actions.key_by(|action| action.user.clone()).pattern(pattern, |action| action.at)
}

/// Runs a search over some rows, on 1 and on 3 workers; returns what is found.
fn found(
    pattern: Pattern<Action>,
    names: &'static [&'static str],
    said: impl for<'j> Fn(Actions<'j>) -> Actions<'j>,
    actions: &[Action],
) -> Vec<String> {
    let of = |workers: usize| {
        let test = TestJob::new();
        let search = said(search(&test, pattern.clone()));
        let rows = search.select("found", |found| described(names, found)).unwrap();
        let rows = test.collect(rows).unwrap();
        let mut run = test.run(workers).unwrap();
        run.push_all("actions", actions).unwrap();
        run.finish().unwrap();
        let rows: Vec<Found> = run.take(&rows).unwrap();
        rows.into_iter().map(|Found { user, rows }| format!("{user}: {rows}")).collect::<Vec<_>>()
    };
    let one = of(1);
    assert_eq!(one, of(3), "the number of workers shows");
    one
}

/// A funnel: who looked at something and put it into the cart, but did not pay.
fn shopping() -> Vec<Action> {
    vec![
        action("ann", "view", 0, "00:00"),
        action("bob", "view", 0, "00:05"),
        action("ann", "search", 0, "00:10"),
        action("ann", "cart", 20, "00:20"),
        action("bob", "cart", 30, "00:30"),
        action("bob", "pay", 30, "00:50"),
        action("ann", "leave", 0, "00:40"),
        action("bob", "leave", 0, "00:59"),
    ]
}

/// Would fail if a step of a pattern, or what may be between, meant other rows.
#[test]
fn steps_follow_each_other_as_they_say() {
    let at_once = kind("view").then(kind("cart"));
    let names = &["view", "cart"];
    assert_eq!(found(at_once, names, |s| s, &shopping()), ["bob: view 00:05, cart 00:30"]);
    let some_time = kind("view").followed_by(kind("cart"));
    let both = ["ann: view 00:00, cart 00:20", "bob: view 00:05, cart 00:30"];
    assert_eq!(found(some_time, names, |s| s, &shopping()), both);
    let unpaid = kind("cart").followed_without(|action| action.kind == "pay", kind("leave"));
    let names = &["cart", "leave"];
    assert_eq!(found(unpaid, names, |s| s, &shopping()), ["ann: cart 00:20, leave 00:40"]);
    let either = kind("search").or(kind("pay")).followed_by(kind("leave"));
    let names = &["search", "pay", "leave"];
    let expected = ["ann: search 00:10, pay , leave 00:40", "bob: search , pay 00:50, leave 00:59"];
    assert_eq!(found(either, names, |s| s, &shopping()), expected);
}

/// Would fail if an order were left out, an end were taken for any other place, or a row without a name were
/// shown.
#[test]
fn orders_ends_and_unnamed_rows_are_those_of_sql() {
    let all = Pattern::permutation([kind("leave"), kind("pay"), kind("cart")]);
    let expected = ["bob: leave 00:59, pay 00:50, cart 00:30"];
    assert_eq!(found(all, &["leave", "pay", "cart"], |s| s, &shopping()), expected);
    let first = |name| Pattern::start().then(kind(name));
    let expected = ["ann: view 00:00", "bob: view 00:05"];
    assert_eq!(found(first("view"), &["view"], |s| s, &shopping()), expected);
    assert!(found(first("cart"), &["cart"], |s| s, &shopping()).is_empty());
    let last = |name| kind(name).then(Pattern::end());
    let expected = ["ann: leave 00:40", "bob: leave 00:59"];
    assert_eq!(found(last("leave"), &["leave"], |s| s, &shopping()), expected);
    assert!(found(last("cart"), &["cart"], |s| s, &shopping()).is_empty());
    let search = Pattern::unnamed(|action: &Action| action.kind == "search");
    let between = kind("view").then(search).then(kind("cart"));
    let expected = ["ann: view 00:00, cart 00:20"];
    assert_eq!(found(between, &["view", "cart"], |s| s, &shopping()), expected);
}

/// Would fail if a quantifier took more or fewer rows, or a strategy went on elsewhere.
#[test]
fn repetitions_and_strategies_are_those_of_sql() {
    let paid = |minute: i64| action("ann", "pay", minute, &format!("{minute:02}:00"));
    let four: Vec<Action> = (1..=4).map(paid).collect();
    let names = &["pay"];
    let of = |pattern: Pattern<Action>, after: AfterMatch| {
        found(pattern, names, move |search| search.after_match(after.clone()), &four)
    };
    let two = || kind("pay").times(2..=2);
    let past = AfterMatch::PastLastRow;
    assert_eq!(of(two(), past.clone()), ["ann: pay 01:00 02:00", "ann: pay 03:00 04:00"]);
    let overlapping = ["ann: pay 01:00 02:00", "ann: pay 02:00 03:00", "ann: pay 03:00 04:00"];
    assert_eq!(of(two(), AfterMatch::ToNextRow), overlapping);
    assert_eq!(of(two(), AfterMatch::ToLast("pay".to_owned())), overlapping);
    let all = ["ann: pay 01:00 02:00 03:00 04:00"];
    assert_eq!(of(kind("pay").one_or_more(), past.clone()), all);
    assert_eq!(of(kind("pay").times(2..), past.clone()), all);
    let shortest = kind("pay").times(1..4).reluctant();
    assert_eq!(of(shortest, past.clone()).len(), 4);
    let with_more = kind("pay").then(kind("leave").optional());
    assert_eq!(of(with_more, past).len(), 4);
    let within = |time| found(two(), names, move |search| search.within(time), &four);
    assert_eq!(within(MINUTE).len(), 2, "what takes a minute is within a minute");
    assert!(within(MINUTE - Duration::from_millis(1)).is_empty());
}

/// Would fail if a condition saw other rows than the match has so far, or if a crash changed them.
#[test]
fn a_condition_sees_the_match_so_far_across_a_crash() {
    let rising = Pattern::row_after("up", |action: &Action, so_far: &Matched<Action>| {
        let before = so_far["up"].iter().rev().nth(1);
        so_far.last("up") == Some(action) && before.is_none_or(|one| one.euros < action.euros)
    });
    let doubled = Pattern::row_after("double", |action: &Action, so_far: &Matched<Action>| {
        let sum: i64 = so_far["up"].iter().map(|one| one.euros).sum();
        action.euros >= 2 * sum
    });
    let place = Place::new();
    let test = TestJob::new().keep_state(&place.path("state"));
    let search = search(&test, rising.times(2..).then(doubled));
    let rows = search.select("found", |found| described(&["up", "double"], found)).unwrap();
    let rows = test.collect(rows).unwrap();
    let mut run = test.run(2).unwrap();
    let push = |run: &mut TestRun, euros: i64, at: &str| {
        run.push("actions", action("ann", "pay", euros, at)).unwrap();
        run.watermark(&format!("12:{at}")).unwrap();
    };
    for (euros, at) in [(5, "00:01"), (3, "00:02"), (4, "00:03")] {
        push(&mut run, euros, at);
    }
    assert!(run.take(&rows).unwrap().is_empty());
    run.crash(3).unwrap();
    for (euros, at) in [(6, "00:04"), (26, "00:05"), (1, "00:06")] {
        push(&mut run, euros, at);
    }
    let expected =
        Found { user: "ann".to_owned(), rows: "up 00:02 00:03 00:04, double 00:05".to_owned() };
    run.finish().unwrap();
    assert_eq!(run.take(&rows).unwrap(), [expected]);
}

/// Would fail if late rows were lost, or searched.
#[test]
fn late_rows_go_where_they_are_to_go() -> Result<()> {
    let test = TestJob::new();
    let late = std::cell::RefCell::new(None);
    let search = search(&test, kind("pay").one_or_more()).late_to(|rows| {
        *late.borrow_mut() = Some(test.collect(rows)?);
        Ok(())
    });
    let rows = test.collect(search.select("found", |found| described(&["pay"], found))?)?;
    let late = late.take().unwrap();
    let mut run = test.run(2)?;
    run.push("actions", action("ann", "pay", 1, "00:10"))?;
    run.watermark("12:00:10")?;
    run.push("actions", action("ann", "pay", 2, "00:10"))?;
    run.push("actions", action("ann", "pay", 3, "00:11"))?;
    run.finish()?;
    assert_eq!(run.take(&late)?, [action("ann", "pay", 2, "00:10")]);
    assert_eq!(run.take(&rows)?[0].rows, "pay 00:10 00:11");
    Ok(())
}

/// Would fail if rows by the clock were sorted by their own times, or waited for a watermark.
#[test]
fn by_the_clock_rows_are_searched_as_they_come() -> Result<()> {
    let test = TestJob::new();
    let actions: Stream<'_, Action> = test.source("actions")?;
    let keyed = actions.key_by(|action| action.user.clone());
    let search = keyed.clock_pattern(kind("view").then(kind("pay"))).within(MINUTE);
    let rows = search.select("found", |found| described(&["view", "pay"], found))?;
    let rows = test.collect(rows)?;
    let mut run = test.run(1)?;
    run.clock("12:00:00")?;
    run.push("actions", action("ann", "view", 1, "30:00"))?;
    run.clock("12:00:59")?;
    run.push("actions", action("ann", "pay", 1, "10:00"))?;
    assert_eq!(run.take(&rows)?[0].rows, "view 30:00, pay 10:00");
    run.push("actions", action("ann", "view", 1, "31:00"))?;
    run.clock("12:02:00")?;
    run.push("actions", action("ann", "pay", 1, "32:00"))?;
    run.finish()?;
    assert!(run.take(&rows)?.is_empty());
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_by_its_step() {
    let test = TestJob::new();
    let actions: Stream<'_, Action> = test.source("actions").unwrap();
    let refused = |pattern: Pattern<Action>, after: AfterMatch, name: &str| {
        let keyed = actions.clone().key_by(|action| action.user.clone());
        let search = keyed.pattern(pattern, |action| action.at).after_match(after);
        let made = search.select(name, |found| described(&["pay"], found));
        made.err().unwrap().to_string()
    };
    let past = AfterMatch::PastLastRow;
    let empty = refused(kind("pay").zero_or_more(), past.clone(), "empty");
    assert_eq!(empty, "step `empty`: a pattern that a match without rows fulfils");
    let nowhere = refused(kind("pay"), AfterMatch::ToFirst("view".to_owned()), "nowhere");
    assert_eq!(nowhere, "step `nowhere`: after a match: the pattern has no row `view`");
    let none = refused(kind("pay").times(Range { start: 3, end: 2 }), past.clone(), "none");
    assert!(none.contains("3 times at least and 1 at most"), "{none}");
    let many = refused(kind("pay").times(5000..), past.clone(), "many");
    assert!(many.contains("5000 places"), "{many}");
    let variables = (0..70).fold(kind("pay"), |pattern, _| pattern.then(kind("pay")));
    assert!(refused(variables, past, "variables").contains("71 variables"));
    let made = thalweg::job();
    let source = made.source::<Action>("lines", "stdin", &[("format", "json")]).stream().unwrap();
    let search = source.key_by(|action| action.user.clone()).pattern(kind("pay"), |row| row.at);
    let error = search.select("timeless", |found| described(&["pay"], found)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "step `timeless`: a stream that is searched by time has no watermark"
    );
}
