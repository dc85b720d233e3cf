//! How important each station is, by how important those are that have links to it (PageRank), while links
//! open and close. Ranks are whole numbers, ten thousandths of a station: so they are exact, and rounds end when
//! none changes by one.
//!
//!     cargo run --example page-rank
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;

use thalweg::stream::{Enters, Stream, count};
use thalweg::{Job, Record, Result};

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

/// A station, and what it is worth.
#[derive(Clone, Record)]
struct Rank {
    station: i64,
    rank: i64,
}

/// What each station is worth by itself.
const OWN: i64 = 1_500;

/// How many of something a station has.
#[derive(Clone, Record)]
struct Degree {
    station: i64,
    count: i64,
}

/// A link, and how many its first station has.
#[derive(Clone, Record)]
struct Share {
    from_station: i64,
    to_station: i64,
    links: i64,
}

/// Gives each link the number of links that go out from where it does.
fn shares(links: Stream<'_, Link>) -> Result<Stream<'_, Share>> {
    let degrees = links.clone().key_by(|link| link.from_station);
    let degrees = degrees.aggregate::<Degree>("degrees", vec![count()])?;
    links.key_by(|link| link.from_station).join(degrees.key_by(|degree| degree.station)).inner(
        "shares",
        |link: Link, degree: Degree| Share {
            from_station: link.from_station,
            to_station: link.to_station,
            links: degree.count,
        },
    )
}

fn ranks(links: Stream<'_, Link>) -> Result<Stream<'_, Rank>> {
    let ends = links.clone().flat_map(|link| {
        [link.from_station, link.to_station].map(|station| Rank { station, rank: OWN })
    });
    let stations = ends.key_by(|end| end.station).aggregate::<Degree>("stations", vec![count()])?;
    let own = stations.map(|station| Rank { station: station.station, rank: OWN });
    let shares = shares(links)?;
    own.clone().iterate("ranks", |ranks| {
        let (shares, own) = (shares.enter(&ranks)?, own.enter(&ranks)?);
        let given = |rank: Rank, share: Share| Rank {
            station: share.to_station,
            rank: rank.rank * 85 / (100 * share.links),
        };
        Ok(ranks
            .key_by(|rank| rank.station)
            .join(shares.key_by(|share| share.from_station), given)
            .union(own)
            .key_by(|rank| rank.station)
            .reduce(|station, given| {
                let rank = given.iter().map(|(given, times)| given.rank * times).sum();
                [Rank { station: *station, rank }]
            }))
    })
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/page-rank-rust", String::as_str);
        ranks(open(job)?)?.sink(
            "ranks",
            "filesystem",
            &[("path", output), ("format", "debezium-json")],
        )
    })
}
