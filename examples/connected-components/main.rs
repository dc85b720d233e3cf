//! Which stations hang together, while links between them open and close: in each round a station takes
//! the least number that it or a neighbour has, until all stations of a component have the same one.
//!
//!     cargo run --example connected-components
//!
//! Its argument is the folder that the answer is written to; `--help` lists the flags.

use std::process::ExitCode;

use thalweg::stream::{Enters, Stream};
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

/// Returns them once more, the other way round.
fn both(links: Stream<'_, Link>) -> Stream<'_, Link> {
    links.flat_map(|link| {
        let back = Link { from_station: link.to_station, to_station: link.from_station, ..link };
        [link, back]
    })
}

/// A station, and the least station of those it hangs together with.
#[derive(Clone, Record)]
struct Label {
    station: i64,
    component: i64,
}

fn components(links: Stream<'_, Link>) -> Result<Stream<'_, Label>> {
    let own = links
        .clone()
        .map(|link| Label { station: link.from_station, component: link.from_station });
    own.clone().iterate("components", |labels| {
        let (links, own) = (links.enter(&labels)?, own.enter(&labels)?);
        Ok(labels
            .key_by(|label| label.station)
            .join(links.key_by(|link| link.from_station), |label: Label, link: Link| Label {
                station: link.to_station,
                component: label.component,
            })
            .union(own)
            .key_by(|label| label.station)
            .least())
    })
}

fn main() -> ExitCode {
    thalweg::main(|job, arguments| {
        let output = arguments.first().map_or("output/connected-components-rust", String::as_str);
        components(both(open(job)?))?.sink(
            "components",
            "filesystem",
            &[("path", output), ("format", "debezium-json")],
        )
    })
}
