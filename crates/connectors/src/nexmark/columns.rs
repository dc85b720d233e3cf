//! Columns of Nexmark's tables, made of the numbers of events.
//!
//! Numbers are plain loops. Texts are views: of a few words that are drawn from, or of a pool of
//! letters that all texts without meaning are cut from, so no row allocates.

use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, Int64Array, StringViewArray, StringViewBuilder, TimestampMillisecondArray,
    UInt32Array,
};
use arrow::buffer::Buffer;
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use thalweg_types::text::cut_block;
use thalweg_types::{Error, Result};

use super::rules::{self, Draw, below, bits};

/// One of Nexmark's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Person,
    Auction,
    Bid,
}

/// What a column is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Time,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    make: fn(&[u64], u64) -> Result<ArrayRef>,
}

impl Table {
    /// Returns the events from `from` to before `to` that are rows of the table.
    pub(super) fn events(self, from: u64, to: u64) -> Vec<u64> {
        let first = rules::PERSONS + rules::AUCTIONS;
        let offsets = match self {
            Table::Person => 0..rules::PERSONS,
            Table::Auction => rules::PERSONS..first,
            Table::Bid => first..rules::EPOCH,
        };
        (from..to).filter(|number| offsets.contains(&(number % rules::EPOCH))).collect()
    }

    /// Returns the columns of the table.
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Table::Person => &PERSON,
            Table::Auction => &AUCTION,
            Table::Bid => &BID,
        }
    }
}

impl Column {
    /// Makes the column for some events, of the declared type.
    ///
    /// # Errors
    /// `Internal` if the type is none that the column can have.
    pub(super) fn make(&self, events: &[u64], rate: u64, kind: &DataType) -> Result<ArrayRef> {
        let made = (self.make)(events, rate)?;
        Ok(if made.data_type() == kind { made } else { cast(&made, kind)? })
    }

    /// Can the column be declared with this type?
    pub(super) fn fits(&self, kind: &DataType) -> bool {
        match self.kind {
            Kind::Number => matches!(kind, DataType::Int64),
            Kind::Text => matches!(kind, DataType::Utf8View | DataType::Utf8),
            Kind::Time => matches!(kind, DataType::Timestamp(..)),
        }
    }
}

const fn column(
    name: &'static str,
    kind: Kind,
    make: fn(&[u64], u64) -> Result<ArrayRef>,
) -> Column {
    Column { name, kind, make }
}

const BID: [Column; 7] = [
    column("auction", Kind::Number, |events, _| numbers(events, rules::bid_on)),
    column("bidder", Kind::Number, |events, _| numbers(events, rules::bidder)),
    column("price", Kind::Number, |events, _| numbers(events, |n| rules::price(n, Draw::Price))),
    column("channel", Kind::Text, |events, _| drawn(events, &channels().0, channel)),
    column("url", Kind::Text, |events, _| drawn(events, &channels().1, channel)),
    column("dateTime", Kind::Time, |events, rate| times(events, |n| rules::time_ms(n, rate))),
    column("extra", Kind::Text, |events, _| letters(events, Draw::Extra, 54, 82)),
];

const AUCTION: [Column; 10] = [
    column("id", Kind::Number, |events, _| numbers(events, rules::auction)),
    column("itemName", Kind::Text, |events, _| letters(events, Draw::Name, 3, 20)),
    column("description", Kind::Text, |events, _| letters(events, Draw::Text, 3, 100)),
    column("initialBid", Kind::Number, |events, _| {
        numbers(events, |n| rules::price(n, Draw::Price))
    }),
    column("reserve", Kind::Number, |events, _| {
        numbers(events, |n| rules::price(n, Draw::Price) + rules::price(n, Draw::Reserve))
    }),
    column("dateTime", Kind::Time, |events, rate| times(events, |n| rules::time_ms(n, rate))),
    column("expires", Kind::Time, |events, rate| times(events, |n| rules::expires_ms(n, rate))),
    column("seller", Kind::Number, |events, _| numbers(events, rules::seller)),
    column("category", Kind::Number, |events, _| numbers(events, rules::category)),
    column("extra", Kind::Text, |events, _| letters(events, Draw::Extra, 348, 522)),
];

const PERSON: [Column; 8] = [
    column("id", Kind::Number, |events, _| numbers(events, rules::person)),
    column("name", Kind::Text, |events, _| {
        texts(events, |n, text| {
            let (first, last) =
                (pick(&FIRST_NAMES, n, Draw::Name), pick(&LAST_NAMES, n, Draw::Text));
            *text += first;
            *text += " ";
            *text += last;
        })
    }),
    column("emailAddress", Kind::Text, |events, _| {
        texts(events, |n, text| {
            *text += pooled(n, Draw::Name, 3, 7);
            *text += "@";
            *text += pooled(n, Draw::Text, 3, 5);
            *text += ".com";
        })
    }),
    column("creditCard", Kind::Text, |events, _| {
        texts(events, |n, text| {
            let digits = format!("{:016}", bits(n, Draw::Price) % 10_000_000_000_000_000);
            let groups = [&digits[..4], &digits[4..8], &digits[8..12], &digits[12..]];
            *text += &groups.join(" ");
        })
    }),
    column("city", Kind::Text, |events, _| {
        texts(events, |n, text| *text += pick(&CITIES, n, Draw::Place))
    }),
    column("state", Kind::Text, |events, _| {
        texts(events, |n, text| *text += pick(&STATES, n, Draw::Length))
    }),
    column("dateTime", Kind::Time, |events, rate| times(events, |n| rules::time_ms(n, rate))),
    column("extra", Kind::Text, |events, _| letters(events, Draw::Extra, 120, 180)),
];

const FIRST_NAMES: [&str; 11] = [
    "Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter",
];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
/// Channels that are not hot.
const CHANNELS: u64 = 10_000;
/// Letters in the pool that texts are cut from.
const POOL: usize = 1 << 16;

fn numbers(events: &[u64], make: impl Fn(u64) -> i64) -> Result<ArrayRef> {
    Ok(Arc::new(Int64Array::from_iter_values(events.iter().map(|number| make(*number)))))
}

fn times(events: &[u64], make: impl Fn(u64) -> i64) -> Result<ArrayRef> {
    let times = events.iter().map(|number| make(*number));
    Ok(Arc::new(TimestampMillisecondArray::from_iter_values(times)))
}

fn texts(events: &[u64], write: impl Fn(u64, &mut String)) -> Result<ArrayRef> {
    let (mut made, mut text) = (StringViewBuilder::with_capacity(events.len()), String::new());
    for number in events {
        text.clear();
        write(*number, &mut text);
        made.append_value(&text);
    }
    Ok(Arc::new(made.finish()))
}

fn pick<'a>(from: &[&'a str], number: u64, draw: Draw) -> &'a str {
    from[below(number, draw, from.len() as u64) as usize]
}

/// Takes a row of `words` for each event.
fn drawn(events: &[u64], words: &StringViewArray, which: fn(u64) -> u32) -> Result<ArrayRef> {
    let rows = UInt32Array::from_iter_values(events.iter().map(|number| which(*number)));
    Ok(take(words, &rows, None)?)
}

/// Returns the channel of a bid; the hot ones stand behind the others.
#[inline]
fn channel(number: u64) -> u32 {
    let drawn = bits(number, Draw::Channel);
    let (is_hot, low) = (drawn >> 63 == 1, drawn & 0xffff_ffff);
    if is_hot {
        (CHANNELS + ((low * HOT_CHANNELS.len() as u64) >> 32)) as u32
    } else {
        ((low * CHANNELS) >> 32) as u32
    }
}

/// Returns names and addresses of all channels.
fn channels() -> &'static (StringViewArray, StringViewArray) {
    static CHANNELS_MADE: OnceLock<(StringViewArray, StringViewArray)> = OnceLock::new();
    CHANNELS_MADE.get_or_init(|| {
        let (mut names, mut addresses) = (StringViewBuilder::new(), StringViewBuilder::new());
        let site = |number: u64| {
            let word = |draw| pooled(number, draw, 5, 5).to_owned();
            format!("https://www.nexmark.com/{}/{}", word(Draw::Name), word(Draw::Text))
        };
        for which in 0..CHANNELS {
            names.append_value(format!("channel-{which}"));
            let site = site(which);
            addresses.append_value(format!("{site}/item.htm?query=1&channel_id={which}"));
        }
        for (which, name) in HOT_CHANNELS.iter().enumerate() {
            names.append_value(name);
            addresses.append_value(format!("{}/item.htm?query=1", site(CHANNELS + which as u64)));
        }
        (names.finish(), addresses.finish())
    })
}

/// Returns letters, of which texts without meaning are cut.
fn pool() -> &'static Buffer {
    static MADE: OnceLock<Buffer> = OnceLock::new();
    MADE.get_or_init(|| {
        let letter = |at| b'a' + below(at, Draw::Extra, 26) as u8;
        Buffer::from_vec((0..POOL as u64).map(letter).collect::<Vec<u8>>())
    })
}

/// Returns where in the pool a text of `least` to `most` letters stands.
#[inline]
fn range(number: u64, draw: Draw, least: u64, most: u64) -> (usize, usize) {
    let drawn = bits(number, draw);
    let length = (least + (((drawn & 0xffff_ffff) * (most - least + 1)) >> 32)) as usize;
    let start = (((drawn >> 32) * (POOL - length) as u64) >> 32) as usize;
    (start, start + length)
}

fn pooled(number: u64, draw: Draw, least: u64, most: u64) -> &'static str {
    let (from, to) = range(number, draw, least, most);
    std::str::from_utf8(&pool()[from..to]).unwrap_or_default()
}

fn letters(events: &[u64], draw: Draw, least: u64, most: u64) -> Result<ArrayRef> {
    let ranges = events.iter().map(|number| range(*number, draw, least, most));
    let texts = cut_block(pool(), ranges, None);
    Ok(Arc::new(texts.ok_or_else(|| Error::internal("the pool of letters is not text"))?))
}
