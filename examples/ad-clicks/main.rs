//! The most effective ad of each hour: the one with the most clicks by those who had seen it within the
//! ten minutes before. `query.sql` beside it says the same.
//!
//!     cargo run --example ad-clicks
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;
use std::time::Duration;

use thalweg::{Job, Keyed, Record, Result, Timestamp, Window, count};

/// An ad that somebody saw, or clicked.
#[derive(Clone, Record)]
struct Event {
    user_id: i64,
    ad: String,
    at: Timestamp,
}

/// How often an ad of an hour was clicked.
#[derive(Clone, Record)]
struct Effect {
    window_start: Timestamp,
    window_end: Timestamp,
    ad: String,
    clicks: i64,
}

fn events<'j>(job: &'j Job, name: &str) -> Result<Keyed<'j, Event, (i64, String)>> {
    let path = format!("examples/ad-clicks/{name}.json");
    let events = job.source::<Event>(name, "filesystem", &[("path", &path), ("format", "json")]);
    let events = events.watermark(|event| event.at, Duration::from_secs(5)).stream()?;
    Ok(events.key_by(|event| (event.user_id, event.ad.clone())))
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/ad-clicks-rust", String::as_str);
        let (ten_minutes, hour) = (Duration::from_secs(600), Duration::from_secs(3600));
        events(job, "views")?
            .join(events(job, "clicks")?)
            .within(Duration::ZERO, ten_minutes, |view| view.at, |click| click.at)
            .inner("effective", |view, _| view)?
            .key_by(|view| view.ad.clone())
            .window(Window::tumble(hour), |view| view.at)
            .aggregate::<Effect>("effects", vec![count()])?
            .key_by(|ad| ad.window_start)
            .window(Window::tumble(hour), |ad| ad.window_start)
            .reduce("best", |a, b| if (a.clicks, &a.ad) < (b.clicks, &b.ad) { b } else { a })?
            .sink("best", "filesystem", &[("path", output), ("format", "json")])
    })
}
