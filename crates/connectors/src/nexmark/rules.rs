//! The rules of the Nexmark generator: what each event is, as a function of its number.
//!
//! Proportions, ratios and identifiers are those of the public generator (Apache Beam's, which
//! Flink's benchmark uses, too). Its random numbers come one after the other; here each is drawn
//! from the number of the event and of the column, so that any event can be made by itself.

use crate::random;

/// Of so many events in a row …
pub(super) const EPOCH: u64 = 50;
/// … this many are persons, the first ones, …
pub(super) const PERSONS: u64 = 1;
/// … then come this many auctions, and bids are the rest.
pub(super) const AUCTIONS: u64 = 3;

/// Identifiers of persons and auctions begin here.
const FIRST_ID: i64 = 1000;
const FIRST_CATEGORY: i64 = 10;
const CATEGORIES: u64 = 5;
/// Auctions that bids are made on, and people who act.
const AUCTIONS_IN_FLIGHT: u64 = 100;
const PEOPLE_ACTIVE: u64 = 1000;
/// Identifiers ahead of what exists: events that overtake others refer to them.
const LEAD: u64 = 10;
/// One of so many auctions (people) is hot at a time.
const HOT: u64 = 100;
/// One of so many bids goes to an auction that is not hot.
const HOT_AUCTION_RATIO: u64 = 2;
const HOT_BIDDER_RATIO: u64 = 4;
const HOT_SELLER_RATIO: u64 = 4;
/// Event time of event 0: 2015-07-15 00:00:00, in milliseconds.
pub(super) const BASE_MS: i64 = 1_436_918_400_000;

/// Which random number of an event is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Draw {
    Hot,
    Which,
    Price,
    Reserve,
    Channel,
    Bidder,
    BidderHot,
    Extra,
    Name,
    Text,
    Place,
    Length,
}

/// Returns 64 random bits for `draw` of event `number`.
#[inline]
pub(super) fn bits(number: u64, draw: Draw) -> u64 {
    random::bits(number, draw as u64)
}

/// Returns a number from 0 to `bound` - 1; the bound is below 2³².
#[inline]
pub(super) fn below(number: u64, draw: Draw, bound: u64) -> u64 {
    ((bits(number, draw) >> 32) * bound) >> 32
}

/// Returns the time of an event, in milliseconds since 1970, at `rate` events per second.
#[inline]
pub(super) fn time_ms(number: u64, rate: u64) -> i64 {
    BASE_MS + (u128::from(number) * 1000 / u128::from(rate)) as i64
}

/// Returns the number, from 0, of the newest person at an event.
#[inline]
fn newest_person(number: u64) -> u64 {
    // A person is the first event of its epoch, so there is always one.
    number / EPOCH * PERSONS
}

/// Returns the number, from 0, of the newest auction at an event; 0 before the first.
#[inline]
fn newest_auction(number: u64) -> u64 {
    let (epoch, offset) = (number / EPOCH, number % EPOCH);
    let made = offset.saturating_sub(PERSONS - 1).min(AUCTIONS);
    (epoch * AUCTIONS + made).saturating_sub(1)
}

#[inline]
fn some_person(number: u64, draw: Draw) -> u64 {
    let people = newest_person(number) + 1;
    let active = people.min(PEOPLE_ACTIVE);
    people - active + below(number, draw, active + LEAD)
}

/// Returns the identifier of the person that event `number` is.
#[inline]
pub(super) fn person(number: u64) -> i64 {
    newest_person(number) as i64 + FIRST_ID
}

/// Returns the identifier of the auction that event `number` is.
#[inline]
pub(super) fn auction(number: u64) -> i64 {
    newest_auction(number) as i64 + FIRST_ID
}

/// Returns the auction that a bid is made on.
#[inline]
pub(super) fn bid_on(number: u64) -> i64 {
    let newest = newest_auction(number);
    let which = if below(number, Draw::Hot, HOT_AUCTION_RATIO) > 0 {
        newest / HOT * HOT
    } else {
        let oldest = newest.saturating_sub(AUCTIONS_IN_FLIGHT);
        oldest + below(number, Draw::Which, newest - oldest + 1 + LEAD)
    };
    which as i64 + FIRST_ID
}

/// Returns the person who makes a bid.
#[inline]
pub(super) fn bidder(number: u64) -> i64 {
    let which = if below(number, Draw::BidderHot, HOT_BIDDER_RATIO) > 0 {
        newest_person(number) / HOT * HOT + 1
    } else {
        some_person(number, Draw::Bidder)
    };
    which as i64 + FIRST_ID
}

/// Returns the person who opens an auction.
#[inline]
pub(super) fn seller(number: u64) -> i64 {
    let which = if below(number, Draw::Hot, HOT_SELLER_RATIO) > 0 {
        newest_person(number) / HOT * HOT
    } else {
        some_person(number, Draw::Which)
    };
    which as i64 + FIRST_ID
}

/// Returns a price in cents, from 100 to 100,000,000, its logarithm evenly spread.
#[inline]
pub(super) fn price(number: u64, draw: Draw) -> i64 {
    let unit = random::unit(number, draw as u64);
    ((unit * 6.0 * std::f64::consts::LN_10).exp() * 100.0).round() as i64
}

/// Returns the category of an auction.
#[inline]
pub(super) fn category(number: u64) -> i64 {
    FIRST_CATEGORY + below(number, Draw::Place, CATEGORIES) as i64
}

/// Returns when an auction ends, in milliseconds since 1970: about when as many later ones have
/// come as are in flight.
#[inline]
pub(super) fn expires_ms(number: u64, rate: u64) -> i64 {
    let events = AUCTIONS_IN_FLIGHT * EPOCH / AUCTIONS;
    let horizon = time_ms(number + events, rate) - time_ms(number, rate);
    let bound = (horizon * 2).max(1) as u64;
    time_ms(number, rate) + 1 + below(number, Draw::Length, bound.min(u64::from(u32::MAX))) as i64
}
