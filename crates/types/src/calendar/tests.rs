use chrono::{DateTime, Datelike, NaiveDate};

use super::*;

/// Would fail if a date of the years 0 to 9999 were another one than chrono's, or one that there is
/// not were taken.
#[test]
fn dates_are_those_of_the_calendar() {
    let first = NaiveDate::from_ymd_opt(0, 1, 1).unwrap();
    let epoch = NaiveDate::default();
    for date in first.iter_days().take_while(|date| date.year() < 10_000).step_by(3) {
        let (year, month, day) = (date.year().into(), date.month().into(), date.day().into());
        let days = date.signed_duration_since(epoch).num_days();
        assert_eq!(days_since_1970(year, month, day), Some(days), "{date}");
        assert_eq!(date_of(days), (year, month, day));
    }
    for (year, month, day) in
        [(2023, 2, 29), (1900, 2, 29), (2024, 4, 31), (2024, 13, 1), (2024, 1, 0)]
    {
        assert_eq!(days_since_1970(year, month, day), None, "{year}-{month}-{day}");
    }
    assert_eq!(days_since_1970(2000, 2, 29), Some(11_016));
}

/// Would fail if a time were written otherwise than chrono writes it.
#[test]
fn times_are_written_as_sql_does() {
    let patterns = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%.3f", "%Y-%m-%d %H:%M:%S%.6f"];
    for step in 0..20_000_i64 {
        let seconds = -62_167_219_200 + step * 15_767_111 + step * step % 86_400;
        let nanos = (step * 49_999 % 1_000_000_000) as u32;
        let time = DateTime::from_timestamp(seconds, nanos).unwrap();
        for (digits, pattern) in [0, 3, 6].into_iter().zip(patterns) {
            let mut text = String::new();
            let is_written = push_time(&mut text, seconds, nanos, digits);
            assert_eq!(is_written, time.year() < 10_000);
            if is_written {
                assert_eq!(text, time.format(pattern).to_string());
            }
        }
    }
}
