//! The queries of Nexmark with their tables, as they stand in the repository's `nexmark` folder.

use std::path::PathBuf;

use thalweg_types::{Error, Result};

const TABLES: &str = include_str!("../../nexmark/tables-native.sql");

macro_rules! queries {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../nexmark/", $name, ".sql")))),*]
    };
}

/// The queries by name, in the order of their numbers.
pub(super) const QUERIES: [(&str, &str); 24] = queries!(
    "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14",
    "q15", "q16", "q17", "q18", "q19", "q20", "q21", "q22", "q23"
);

/// The suite's queries for patterns, which have numbers of their own.
pub(super) const PATTERNS: [(&str, &str); 4] = [
    ("cep_q0", include_str!("../../nexmark/cep/q0.sql")),
    ("cep_q1", include_str!("../../nexmark/cep/q1.sql")),
    ("cep_q2", include_str!("../../nexmark/cep/q2.sql")),
    ("cep_q3", include_str!("../../nexmark/cep/q3.sql")),
];

/// Parts and variants of queries, for comparisons with systems that run only these.
const VARIANTS: [(&str, &str); 2] = [
    ("q5_count", include_str!("../../bench/nexmark/q5_count.sql")),
    ("q12_event", include_str!("../../bench/nexmark/q12_event.sql")),
];

/// Keys of the side input.
const SIDE_INPUT_KEYS: u64 = 10_000;

/// A folder for the files that queries read and write, gone with this value.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, with the side input in it.
    ///
    /// # Errors
    /// `Failed` if the disk does.
    pub(super) fn new() -> Result<Folder> {
        let folder =
            Folder(std::env::temp_dir().join(format!("thalweg-bench-{}", std::process::id())));
        let lines = (0..SIDE_INPUT_KEYS).map(|key| format!("{key},value {key}\n"));
        let written = std::fs::create_dir_all(&folder.0).and_then(|()| {
            std::fs::write(folder.0.join("side_input.csv"), lines.collect::<String>())
        });
        written.map_err(|error| {
            Error::failed(format!("cannot write to {}: {error}", folder.0.display()))
        })?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left lies among temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns a query and its tables, of so many events, bids slowed down to `rate` a second.
///
/// # Errors
/// `Invalid` if there is no such query.
pub(super) fn script(
    name: &str,
    events: u64,
    rate: Option<u64>,
    folder: &Folder,
) -> Result<String> {
    let all = || QUERIES.iter().chain(&PATTERNS).chain(&VARIANTS);
    let (_, query) = all().find(|(known, _)| *known == name).ok_or_else(|| {
        let names: Vec<&str> = all().map(|(name, _)| *name).collect();
        Error::invalid(format!("there is no query `{name}`"))
            .remedy(format!("the queries are {}", names.join(", ")))
    })?;
    let (bid, place) = ("'nexmark.table' = 'bid'", folder.0.display());
    let slowed = rate.map(|rate| format!("{bid}, 'scan.rows-per-second' = '{rate}'"));
    let tables = TABLES
        .replace("'nexmark.events' = '1000000'", &format!("'nexmark.events' = '{events}'"))
        .replace(bid, slowed.as_deref().unwrap_or(bid));
    let script = format!("{tables}\n{query}");
    Ok(script
        .replace("'side_input.csv'", &format!("'{place}/side_input.csv'"))
        .replace("'nexmark_q10'", &format!("'{place}/nexmark_q10'")))
}
