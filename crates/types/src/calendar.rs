//! Dates of the Gregorian calendar as numbers of days, and times as SQL writes them: what formats do for
//! each row. (The arithmetic is Howard Hinnant's, chrono-compatible low-level date algorithms, 2013.)
//!
//! It knows nothing of zones; `zone.rs` does.

/// Days from 0000-03-01, when a cycle of 400 years begins, to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// Days of 400 years.
const DAYS_OF_CYCLE: i64 = 146_097;

/// Returns the days from 1970-01-01 to a date; `None` if there is no such date.
#[inline]
pub fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    // Years begin in March here, so that a leap day is the last one of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * month + 2) / 5 + day - 1 + year * 365 + year / 4 - year / 100;
    Some(cycle * DAYS_OF_CYCLE + day - DAYS_TO_1970)
}

/// Returns year, month and day of the date so many days behind 1970-01-01.
#[inline]
pub fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_1970;
    let (cycle, day) = (days.div_euclid(DAYS_OF_CYCLE), days.rem_euclid(DAYS_OF_CYCLE));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + later, month, day)
}

/// Appends `number` with so many digits, the last ones if it has more.
#[inline]
pub fn push_digits(out: &mut String, number: u32, digits: usize) {
    let (mut text, mut rest) = ([b'0'; 10], number);
    for digit in text[..digits].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.push_str(std::str::from_utf8(&text[..digits]).expect("digits are ASCII"));
}

/// Appends a time as `2020-04-15 08:05:00`, with `digits` digits of its fraction of a second (0, 3, 6 or
/// 9, cut off), and returns true; does nothing and returns false for years of more or less than four
/// digits.
///
/// # Panics
/// If there are more than 9 digits.
#[inline]
pub fn push_time(out: &mut String, seconds: i64, nanos: u32, digits: usize) -> bool {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) as u32);
    // The days of the years 0 to 9999.
    if !(-719_528..=2_932_896).contains(&days) {
        return false;
    }
    let (year, month, day) = date_of(days);
    push_digits(out, year as u32, 4);
    for (before, number) in [
        ('-', month as u32),
        ('-', day as u32),
        (' ', second / 3_600),
        (':', second / 60 % 60),
        (':', second % 60),
    ] {
        out.push(before);
        push_digits(out, number, 2);
    }
    if digits > 0 {
        out.push('.');
        push_digits(out, nanos / 10_u32.pow(9 - digits as u32), digits);
    }
    true
}

#[cfg(test)]
mod tests;
