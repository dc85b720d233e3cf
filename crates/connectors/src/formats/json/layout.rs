//! Objects that are laid out as one before them, told by the bytes between their values.
//!
//! The lines of a stream mostly differ in their values alone. A [`Layout`] notes of an object that
//! the parser read what stands before each of its values; in an object with the same bytes there,
//! only values are left to be read, straight into columns. (That lines repeat their structure is
//! what Mison speculates on, too: Li et al., VLDB 2017, section 4.4.)
//!
//! What must always hold: an object that is taken here gives the row that the parser gives. Whatever is
//! not certain (escapes, nested values, a number in a text, a value that does not fit) is left to
//! the parser, which knows what is wrong with it, too.

use arrow::datatypes::{DataType, TimeUnit};
use sonic_rs::to_object_iter;

use super::super::column::{Column, in_range, is_time_in, read_time};
use super::super::json_dialect::Standard;

/// What stands between the values of an object.
#[derive(Debug)]
pub(super) struct Layout {
    places: Vec<Place>,
    /// What stands behind the last value.
    end: String,
    /// Columns of which the object says nothing.
    missing: Vec<usize>,
}

/// Where a value stands.
#[derive(Debug)]
struct Place {
    /// What stands between it and the value before it.
    before: Before,
    /// The column that it is of; `None` if nobody asks for it.
    column: Option<usize>,
    /// May it be NULL?
    is_nullable: bool,
}

/// What stands before a value. Mostly it is a short name, which is compared as one number.
#[derive(Debug)]
struct Before {
    text: String,
    /// The first 16 bytes of the text, and which bits of 16 these are.
    first: u128,
    mask: u128,
}

impl Before {
    fn new(text: &str) -> Before {
        let mut bytes = [[0; size_of::<u128>()]; 2];
        let [first, mask] = &mut bytes;
        for ((first, mask), byte) in first.iter_mut().zip(mask).zip(text.bytes()) {
            (*first, *mask) = (byte, u8::MAX);
        }
        let [first, mask] = bytes.map(u128::from_le_bytes);
        Before { text: text.to_owned(), first, mask }
    }

    /// Returns what of `rest` is behind this.
    fn strip<'a>(&self, rest: &'a str) -> Option<&'a str> {
        match rest.as_bytes().first_chunk() {
            Some(first) if self.text.len() <= first.len() => {
                let is_this = u128::from_le_bytes(*first) & self.mask == self.first;
                is_this.then(|| rest.get(self.text.len()..)).flatten()
            }
            _ => rest.strip_prefix(&self.text),
        }
    }
}

/// A value of one row, not yet in its column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Null,
    Whole(i64),
    Float(f64),
    Truth(bool),
    Text { from: usize, to: usize },
}

impl Layout {
    /// Returns the layout of an object that the parser took as a row of `columns`; `find` says which
    /// of them a field is, and whether it may be NULL. `None` if values are nested, or of types that
    /// are left to the parser.
    pub(super) fn of(
        object: &str,
        columns: &[Column],
        find: impl Fn(&str) -> Option<(usize, bool)>,
    ) -> Option<Layout> {
        let (mut places, mut at) = (Vec::new(), 0);
        for entry in to_object_iter(object) {
            let (key, value) = entry.ok()?;
            let raw = value.as_raw_str();
            let from = (raw.as_ptr() as usize).checked_sub(object.as_ptr() as usize)?;
            let before = Before::new(object.get(at..from)?);
            at = from + raw.len();
            let (column, is_nullable) = find(&key).unzip();
            if raw.starts_with(['{', '['])
                || !column.is_none_or(|column| is_plain(&columns[column]))
            {
                return None;
            }
            places.push(Place { before, column, is_nullable: is_nullable.unwrap_or(true) });
        }
        let is_missing = |column: &usize| places.iter().all(|place| place.column != Some(*column));
        let missing = (0..columns.len()).filter(is_missing).collect();
        Some(Layout { end: object.get(at..)?.to_owned(), places, missing })
    }

    /// Finds the values of an object; `None` if it must be left to the parser.
    pub(super) fn find(
        &self,
        object: &str,
        columns: &[Column],
        times: Standard,
        found: &mut Vec<Found>,
    ) -> Option<()> {
        found.clear();
        let mut rest = object;
        for Place { before, column, is_nullable } in &self.places {
            rest = before.strip(rest)?;
            let (value, length) = match column {
                None => scalar(rest.as_bytes())?,
                Some(_) if rest.starts_with("null") => {
                    is_nullable.then_some((Found::Null, "null".len()))?
                }
                Some(column) => read(&columns[*column], rest, times)?,
            };
            let at = object.len() - rest.len();
            found.push(match value {
                Found::Text { from, to } => Found::Text { from: at + from, to: at + to },
                value => value,
            });
            rest = rest.get(length..)?;
        }
        (rest == self.end).then_some(())
    }

    /// Adds the values that [`Layout::find`] found in `object` to their columns, as row `row`.
    pub(super) fn push(&self, object: &str, found: &[Found], columns: &mut [Column], row: usize) {
        for (place, value) in self.places.iter().zip(found) {
            let Some(column) = place.column else { continue };
            match (&mut columns[column], *value) {
                (
                    Column::Int(_, builder) | Column::Timestamp(_, _, builder),
                    Found::Whole(number),
                ) => {
                    builder.append_value(number);
                }
                (Column::Float(builder, _), Found::Float(number)) => builder.append_value(number),
                (Column::Boolean(builder), Found::Truth(truth)) => builder.append_value(truth),
                (Column::Text(builder), Found::Text { from, to }) => {
                    builder.append_value(&object[from..to]);
                }
                (Column::PlainText(builder), Found::Text { from, to }) => {
                    builder.append_value(&object[from..to]);
                }
                (column, _) => column.complete(row),
            }
        }
        self.missing.iter().for_each(|column| columns[*column].complete(row));
    }
}

/// Can values of the column be read here?
fn is_plain(column: &Column) -> bool {
    use Column as C;
    match column {
        C::Boolean(_) | C::Int(..) | C::Float(..) | C::Text(_) | C::PlainText(_) => true,
        C::Timestamp(..) => true,
        C::Bytes(_) | C::Decimal(..) | C::Date(_) | C::Time(_) => false,
        C::Struct(..) | C::List(..) | C::Map(_) => false,
    }
}

/// Reads a value of a column at the start of `rest`, and says how long it is.
fn read(column: &Column, rest: &str, times: Standard) -> Option<(Found, usize)> {
    let bytes = rest.as_bytes();
    match column {
        Column::Int(kind, _) => whole(bytes, kind),
        Column::Text(_) | Column::PlainText(_) => text(bytes),
        Column::Timestamp(kind, unit, _) => time(rest, (kind, *unit), times),
        Column::Float(..) => {
            let length = number_length(bytes)?;
            let number: f64 = rest.get(..length)?.parse().ok()?;
            // What a number is that is too large, or 0 below 0, is for the parser to say.
            (number.is_normal() || bytes[0] == b'0').then_some((Found::Float(number), length))
        }
        Column::Boolean(_) if bytes.starts_with(b"true") => Some((Found::Truth(true), 4)),
        Column::Boolean(_) if bytes.starts_with(b"false") => Some((Found::Truth(false), 5)),
        _ => None,
    }
}

/// Passes a value that nobody asks for.
fn scalar(bytes: &[u8]) -> Option<(Found, usize)> {
    let length = match bytes.first()? {
        b'"' => text_length(bytes)?,
        b't' if bytes.starts_with(b"true") => 4,
        b'f' if bytes.starts_with(b"false") => 5,
        b'n' if bytes.starts_with(b"null") => 4,
        _ => number_length(bytes)?,
    };
    Some((Found::Null, length))
}

/// Reads a whole number of type `kind`; behind one with a fraction no layout goes on.
fn whole(bytes: &[u8], kind: &DataType) -> Option<(Found, usize)> {
    let (is_negative, digits) = match bytes.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, bytes),
    };
    let (number, length) = natural(digits)?;
    let has_leading_zero = digits.first() == Some(&b'0') && (length > 1 || is_negative);
    if length == 0 || has_leading_zero {
        return None;
    }
    let number = in_range(kind, Some(if is_negative { -number } else { number })).ok()?;
    Some((Found::Whole(number), length + usize::from(is_negative)))
}

/// Most digits of which every number fits an `i64`.
const DIGITS_MAX: usize = 18;

/// Reads the digits at the start of `bytes`, and says how many there are; `None` if they are too many.
fn natural(bytes: &[u8]) -> Option<(i64, usize)> {
    let (mut number, mut length) = (0_i64, 0);
    if let Some(eight) = bytes.first_chunk() {
        (number, length) = few_digits(u64::from_le_bytes(*eight));
        if length < eight.len() {
            return Some((number, length));
        }
    }
    while let Some(digit) = bytes.get(length).filter(|byte| byte.is_ascii_digit()) {
        if length == DIGITS_MAX {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
        length += 1;
    }
    Some((number, length))
}

/// Returns the number that the first digits of eight bytes are, and how many they are: pairs of digits are
/// made numbers at once, then pairs of these, and so on. (Lamport, "Multiple byte processing
/// with full-word instructions", CACM 18, 1975.)
fn few_digits(word: u64) -> (i64, usize) {
    let values = word ^ bytes_of(b'0');
    // The high bit of each byte that is more than 9; the lowest is right, which suffices.
    let others = (values.wrapping_add(bytes_of(0x76)) | values) & bytes_of(0x80);
    let count = others.trailing_zeros() / 8;
    // What is shifted in are zeros in front.
    let digits = values.checked_shl(64 - 8 * count).unwrap_or(0);
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let number = fours.wrapping_mul(10_000) + (fours >> 32);
    (i64::from(number as u32), count as usize)
}

/// Returns a word of which each byte is `byte`.
const fn bytes_of(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Returns the length of the number at the start of `bytes`, as JSON's grammar has it.
fn number_length(bytes: &[u8]) -> Option<usize> {
    let run = |from: usize| {
        let digits = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then_some(from + digits)
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut end = run(start)?;
    if bytes[start] == b'0' && end > start + 1 {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = run(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let has_sign = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = run(end + 1 + usize::from(has_sign))?;
    }
    Some(end)
}

fn text(bytes: &[u8]) -> Option<(Found, usize)> {
    let length = text_length(bytes)?;
    Some((Found::Text { from: 1, to: length - 1 }, length))
}

fn time(
    rest: &str,
    (kind, unit): (&DataType, TimeUnit),
    times: Standard,
) -> Option<(Found, usize)> {
    let length = text_length(rest.as_bytes())?;
    let text = rest.get(1..length - 1)?;
    let time = read_time(kind, unit, text).ok()?;
    is_time_in(times, text).then_some((Found::Whole(time), length))
}

/// Returns the length of the text at the start of `bytes`, with its quotes; `None` if it has escapes
/// or bytes that must be escaped.
fn text_length(bytes: &[u8]) -> Option<usize> {
    let inner = bytes.strip_prefix(b"\"")?;
    let mut at = 0;
    for eight in inner.chunks_exact(8) {
        let stops = stops(u64::from_le_bytes(eight.try_into().ok()?));
        if stops != 0 {
            at += stops.trailing_zeros() as usize / 8;
            return (inner[at] == b'"').then_some(at + 2);
        }
        at += 8;
    }
    let last = inner[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
    (inner[at + last] == b'"').then_some(at + last + 2)
}

/// Marks the bytes of a word at which a text may end: the lowest mark is right, others may not be.
/// (Warren, Hacker's Delight, section 6-1.)
fn stops(word: u64) -> u64 {
    let is_zero = |word: u64| word.wrapping_sub(bytes_of(1)) & !word;
    let is_control = word.wrapping_sub(bytes_of(0x20)) & !word;
    let (quotes, escapes) = (word ^ bytes_of(b'"'), word ^ bytes_of(b'\\'));
    (is_zero(quotes) | is_zero(escapes) | is_control) & bytes_of(0x80)
}

#[cfg(test)]
mod tests;
