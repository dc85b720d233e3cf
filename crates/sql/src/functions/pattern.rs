//! Patterns of dates and times, as Java writes them: `yyyy-MM-dd HH:mm:ss.SSS`.

use std::fmt::Write;

use chrono::format::{Item, Numeric, Pad, StrftimeItems};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use thalweg_types::calendar::push_digits;
use thalweg_types::{Error, Result};

/// A pattern, ready for use.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    items: Vec<Item<'static>>,
    /// Does it consist of what [`push`] writes?
    is_plain: bool,
}

/// Writes a part of a time in the years 0 to 9999; returns false if the part is not a usual one.
fn push(item: &Item<'_>, time: NaiveDateTime, to: &mut String) -> bool {
    let (number, digits) = match item {
        Item::Literal(text) | Item::Space(text) => {
            to.push_str(text);
            return true;
        }
        Item::OwnedLiteral(text) | Item::OwnedSpace(text) => {
            to.push_str(text);
            return true;
        }
        Item::Numeric(Numeric::Year, Pad::Zero) => (time.year() as u32, 4),
        Item::Numeric(Numeric::Month, Pad::Zero) => (time.month(), 2),
        Item::Numeric(Numeric::Day, Pad::Zero) => (time.day(), 2),
        Item::Numeric(Numeric::Hour, Pad::Zero) => (time.hour(), 2),
        Item::Numeric(Numeric::Minute, Pad::Zero) => (time.minute(), 2),
        Item::Numeric(Numeric::Second, Pad::Zero) => (time.second(), 2),
        _ => return false,
    };
    push_digits(to, number, digits);
    true
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// `Invalid`, naming the letters that mean nothing here.
    pub(super) fn new(java: &str) -> Result<Pattern> {
        let format = translate(java)?;
        let items = StrftimeItems::new(&format).parse_to_owned();
        let items = items.map_err(|_| unknown(java, java))?;
        let is_plain =
            items.iter().all(|item| push(item, NaiveDateTime::default(), &mut String::new()));
        Ok(Pattern { items, is_plain })
    }

    /// Writes a time.
    pub(super) fn format(&self, time: NaiveDateTime, to: &mut String) {
        if self.is_plain && (0..10_000).contains(&time.year()) {
            self.items.iter().for_each(|item| _ = push(item, time, to));
            return;
        }
        // A pattern holds only what a date and time has, so nothing can be missing.
        let _ = write!(to, "{}", time.format_with_items(self.items.iter()));
    }

    /// Reads a time; what the pattern leaves out is midnight, or January 1970.
    pub(super) fn parse(&self, text: &str) -> Option<NaiveDateTime> {
        let mut parsed = chrono::format::Parsed::new();
        chrono::format::parse(&mut parsed, text, self.items.iter()).ok()?;
        let date = parsed.to_naive_date().or_else(|_| {
            let (year, month) = (parsed.year().unwrap_or(1970), parsed.month().unwrap_or(1));
            NaiveDate::from_ymd_opt(year, month, parsed.day().unwrap_or(1)).ok_or(())
        });
        let time = match parsed.hour_div_12().is_some() || parsed.hour_mod_12().is_some() {
            false => NaiveTime::MIN,
            true => {
                // An hour alone is a time too.
                let _ = parsed.minute().is_none() && parsed.set_minute(0).is_ok();
                parsed.to_naive_time().ok()?
            }
        };
        Some(date.ok()?.and_time(time))
    }
}

fn unknown(java: &str, part: &str) -> Error {
    Error::invalid(format!("`{part}` in the date pattern '{java}' is not understood"))
        .remedy("use yyyy, MM, dd, HH, mm, ss, SSS, and '…' around letters that mean themselves")
}

/// Returns what chrono writes for the Java pattern.
fn translate(java: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = java;
    while let Some(first) = rest.chars().next() {
        let run = rest.chars().take_while(|c| *c == first).count();
        if first == '\'' {
            rest = quoted(java, rest, &mut out)?;
            continue;
        }
        let (part, after) = rest.split_at(run * first.len_utf8());
        rest = after;
        let known = match (first, run) {
            ('y' | 'u', 2) => "%y",
            ('y' | 'u', 1 | 3 | 4) => "%Y",
            ('M' | 'L', 1) => "%-m",
            ('M' | 'L', 2) => "%m",
            ('M' | 'L', 3) => "%b",
            ('M' | 'L', 4) => "%B",
            ('d', 1) => "%-d",
            ('d', 2) => "%d",
            ('D', 1..=3) => "%j",
            ('H', 1) => "%-H",
            ('H', 2) => "%H",
            ('h', 1) => "%-I",
            ('h', 2) => "%I",
            ('m', 1) => "%-M",
            ('m', 2) => "%M",
            ('s', 1) => "%-S",
            ('s', 2) => "%S",
            ('S', 3) => "%3f",
            ('S', 6) => "%6f",
            ('S', 9) => "%9f",
            ('E', 1..=3) => "%a",
            ('E', 4) => "%A",
            ('a', 1) => "%p",
            ('%', _) => {
                (0..run).for_each(|_| out.push_str("%%"));
                continue;
            }
            (c, _) if !c.is_ascii_alphabetic() => part,
            _ => return Err(unknown(java, part)),
        };
        out.push_str(known);
    }
    Ok(out)
}

/// Reads `'text'`, or `''` for a quote; returns what follows.
fn quoted<'a>(java: &str, text: &'a str, out: &mut String) -> Result<&'a str> {
    if let Some(rest) = text.strip_prefix("''") {
        out.push('\'');
        return Ok(rest);
    }
    let mut rest = &text[1..];
    loop {
        let end = rest.find('\'').ok_or_else(|| unknown(java, text))?;
        out.push_str(&rest[..end].replace('%', "%%"));
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                out.push('\'');
                rest = after;
            }
            None => return Ok(rest),
        }
    }
}
