//! Nexmark's queries for patterns: what they find is what loops over the bids of each bidder find.

use std::collections::BTreeMap;

use serde_json::Value;

use super::data::Events;
use super::life;
use super::manners::manners;
use super::tally::Tally;
use crate::oracle::{Rows, cell, differences};

/// A bid of one bidder on one auction.
struct Bid {
    millis: i64,
    price: i64,
    /// Its time, as it is written.
    time: String,
}

type Loop = fn(&[Bid]) -> Vec<Vec<String>>;

/// Falls until a bid is above the last but one of those that fell.
fn falling(bids: &[Bid]) -> Vec<Vec<String>> {
    let (mut found, mut first) = (Vec::new(), 0);
    while first < bids.len() {
        let falls = bids[first..].windows(2).take_while(|pair| pair[1].price < pair[0].price);
        let bottom = first + falls.count();
        let is_up = |up: &Bid| bottom > first + 1 && up.price > bids[bottom - 1].price;
        match bids.get(bottom + 1).filter(|up| is_up(up)) {
            Some(up) => {
                let times = [&bids[first].time, &bids[bottom].time, &up.time];
                found.push(times.map(String::clone).to_vec());
                first = bottom + 1;
            }
            None => first += 1,
        }
    }
    found
}

/// Stretches of bids below 10,000 on the average that another bid follows, and where the next may begin.
fn cheap(bids: &[Bid], goes_on: fn(usize, usize) -> usize) -> Vec<Vec<String>> {
    let (mut found, mut first) = (Vec::new(), 0);
    while first < bids.len() {
        let averages = bids[first..].iter().scan((0, 0), |(sum, count), bid| {
            (*sum, *count) = (*sum + bid.price, *count + 1);
            Some(*sum / *count)
        });
        let averages: Vec<i64> = averages.take_while(|average| *average < 10_000).collect();
        // The last bid of all has none behind it.
        let count = averages.len().min(bids.len() - first - 1);
        if count == 0 {
            first += 1;
            continue;
        }
        let last = first + count - 1;
        let (start, end) = (bids[first].time.clone(), bids[last].time.clone());
        found.push(vec![start, end, cell(&averages[count - 1].to_string())]);
        first = goes_on(first, last);
    }
    found
}

/// Drops of more than 50 within five seconds.
fn dropping(bids: &[Bid]) -> Vec<Vec<String>> {
    let (mut found, mut first) = (Vec::new(), 0);
    while first < bids.len() {
        let bound = bids[first].price - 50;
        let in_time = |bid: &&Bid| bid.millis - bids[first].millis <= 5000;
        let behind: Vec<&Bid> = bids[first + 1..].iter().take_while(in_time).collect();
        let low = behind.iter().position(|bid| bid.price <= bound);
        match low.map(|low| behind[low]).filter(|bid| bid.price < bound) {
            Some(bid) => {
                let drop = bids[first].price - bid.price;
                found.push(vec![bid.time.clone(), cell(&drop.to_string())]);
                first += low.unwrap() + 2;
            }
            None => first += 1,
        }
    }
    found
}

fn expected(events: &Events, by_loop: Loop) -> Rows {
    let (_, lines) = events.lines.iter().find(|(table, _)| *table == "bid").unwrap();
    let mut bids: BTreeMap<(i64, i64), Vec<Bid>> = BTreeMap::new();
    for line in lines {
        let row: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| row[name].as_i64().unwrap();
        let time = row["dateTime"].as_str().unwrap().to_owned();
        let bid = Bid { millis: super::data::text_ms(&time), price: number("price"), time };
        bids.entry((number("auction"), number("bidder"))).or_default().push(bid);
    }
    let mut rows = Rows::new();
    for ((auction, bidder), mut bids) in bids {
        bids.sort_by_key(|bid| (bid.millis, bid.price));
        for found in by_loop(&bids) {
            let ids = [auction, bidder].map(|id| cell(&id.to_string()));
            *rows.entry(ids.into_iter().chain(found).collect()).or_default() += 1;
        }
    }
    rows
}

/// Would fail if a query for patterns found another match, or lost one where it is shared out or killed.
#[test]
fn every_query_for_patterns_finds_what_loops_find() {
    let events = Events::new(super::events().max(20_000), 400);
    let loops: [Loop; 4] = [
        falling,
        |bids| cheap(bids, |_, last| last + 2),
        |bids| cheap(bids, |first, _| first + 1),
        dropping,
    ];
    let mut tally = Tally::new(manners());
    for (number, by_loop) in loops.into_iter().enumerate() {
        let path = format!("{}/nexmark/cep/q{number}.sql", env!("CARGO_MANIFEST_DIR"));
        let query = std::fs::read_to_string(path).unwrap();
        let expected = expected(&events, by_loop);
        assert!(expected.len() > 20, "q{number} has {} rows to compare", expected.len());
        for manner in manners() {
            let what = format!("cep q{number}, {manner}");
            let found = tally.run(&what, manner, || life::run(&query, manner, &events));
            let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(found == expected, "{what}: {}", differences(&found, &expected));
        }
    }
    println!("{tally}");
}
