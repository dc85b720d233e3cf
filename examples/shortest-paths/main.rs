//! How far each station is from station 1, while links between stations open and close: in each round a
//! station takes the shortest way that a neighbour knows, and the link to it.
//!
//!     cargo run --example shortest-paths
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;

use thalweg::stream::{Enters, Stream};
use thalweg::{Job, Record, Result};

/// Where all ways begin.
const HOME: i64 = 1;

/// What is said of a link between two stations; the last word on each counts.
#[derive(Clone, Record)]
struct Link {
    link: i64,
    from_station: i64,
    to_station: i64,
    minutes: i64,
    is_open: bool,
}

/// Returns the links that are open.
fn open(job: &Job) -> Result<Stream<'_, Link>> {
    let script = [("path", "examples/connected-components/links.json")];
    let links = job.source::<Link>("links", "script", &script).stream()?;
    Ok(links.key_by(|link| link.link).latest("latest links")?.filter(|link| link.is_open))
}

/// Returns them once more, the other way round.
fn both(links: Stream<'_, Link>) -> Stream<'_, Link> {
    links.flat_map(|link| {
        let back = Link { from_station: link.to_station, to_station: link.from_station, ..link };
        [link, back]
    })
}

/// A station, and how long the way to it takes.
#[derive(Clone, Record)]
struct Way {
    station: i64,
    minutes: i64,
}

fn shortest(links: Stream<'_, Link>) -> Result<Stream<'_, Way>> {
    let home = links.clone().filter(|link| link.from_station == HOME);
    let home = home.map(|_| Way { station: HOME, minutes: 0 });
    home.clone().iterate("shortest ways", |ways| {
        let (links, home) = (links.enter(&ways)?, home.enter(&ways)?);
        Ok(ways
            .key_by(|way| way.station)
            .join(links.key_by(|link| link.from_station), |way: Way, link: Link| Way {
                station: link.to_station,
                minutes: way.minutes + link.minutes,
            })
            .union(home)
            .key_by(|way| way.station)
            .least())
    })
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/shortest-paths-rust", String::as_str);
        shortest(both(open(job)?))?.sink(
            "ways",
            "filesystem",
            &[("path", output), ("format", "debezium-json")],
        )
    })
}
