//! Configuration: `thalweg.toml`, then the environment, then flags.
//!
//! What must always hold: each value is checked where it was found, and an error names that place;
//! a key that nobody knows is an error; of each value it is known where it came from. A script's
//! `SET` stands between the file and the environment, since it comes with the job, and whoever
//! starts it has the last word. It does *not* look at scripts.

use std::fmt;
use std::path::{Path, PathBuf};

use thalweg_cluster::memory::MemoryLimit;
use thalweg_plan::connector::{nearest, parse_duration};
use thalweg_types::clock::FixedClock;
use thalweg_types::{Error, Place, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file that is read if it is there.
const FILE: &str = "thalweg.toml";

/// A value that can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Workers,
    Processes,
    CheckpointInterval,
    StateDir,
    MemoryLimit,
    Clock,
    Output,
    LogLevel,
    LogFormat,
}

/// All of them, in the order in which they are shown.
const KEYS: [Key; 9] = [
    Key::Workers,
    Key::Processes,
    Key::CheckpointInterval,
    Key::StateDir,
    Key::MemoryLimit,
    Key::Clock,
    Key::Output,
    Key::LogLevel,
    Key::LogFormat,
];

/// Where a value came from; a later one goes before an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Default,
    File,
    Environment,
    Flag,
}

impl Key {
    fn section(self) -> &'static str {
        match self {
            Key::LogLevel | Key::LogFormat => "log",
            _ => "run",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Key::Workers => "workers",
            Key::Processes => "processes",
            Key::CheckpointInterval => "checkpoint_interval",
            Key::StateDir => "state_dir",
            Key::MemoryLimit => "memory_limit",
            Key::Clock => "clock",
            Key::Output => "output",
            Key::LogLevel => "level",
            Key::LogFormat => "format",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Key::Workers => "THALWEG_WORKERS",
            Key::Processes => "THALWEG_PROCESSES",
            Key::CheckpointInterval => "THALWEG_CHECKPOINT_INTERVAL",
            Key::StateDir => "THALWEG_STATE_DIR",
            Key::MemoryLimit => "THALWEG_MEMORY_LIMIT",
            Key::Clock => "THALWEG_CLOCK",
            Key::Output => "THALWEG_OUTPUT",
            Key::LogLevel => "THALWEG_LOG",
            Key::LogFormat => "THALWEG_LOG_FORMAT",
        }
    }

    /// Returns what holds if nobody says anything; `None` is for what is then not there.
    fn default(self) -> Option<String> {
        let cores = || std::thread::available_parallelism().map_or(1, |count| count.get().min(256));
        match self {
            Key::Workers => Some(cores().to_string()),
            Key::Processes => Some("1".to_owned()),
            Key::CheckpointInterval => Some("1s".to_owned()),
            Key::StateDir | Key::Clock => None,
            Key::MemoryLimit => Some("80%".to_owned()),
            Key::Output => Some("table".to_owned()),
            Key::LogLevel => Some("warn".to_owned()),
            Key::LogFormat => Some("text".to_owned()),
        }
    }

    /// Is it written as a number in a file?
    fn is_number(self) -> bool {
        matches!(self, Key::Workers | Key::Processes)
    }

    /// Checks a value; returns what would be right.
    fn check(self, value: &str) -> Result<(), &'static str> {
        let number = || value.parse::<u64>().ok().filter(|number| (1..=256).contains(number));
        let (fits, wanted) = match self {
            Key::Workers | Key::Processes => (number().is_some(), "a number from 1 to 256"),
            Key::CheckpointInterval => (
                parse_duration(value).is_some_and(|span| !span.is_zero()),
                "a time span such as \"1s\"",
            ),
            Key::StateDir => (!value.is_empty(), "a directory or an s3://… prefix"),
            Key::MemoryLimit => (
                MemoryLimit::parse(value).is_some(),
                "a size such as \"2GB\", a percentage such as \"80%\", or \"none\"",
            ),
            Key::Clock => (
                FixedClock::parse(value).is_some(),
                "a time from 1970 to 2199 such as \"2026-01-01 00:00:00\"",
            ),
            Key::Output => {
                (matches!(value, "table" | "json" | "csv"), "\"table\", \"json\" or \"csv\"")
            }
            Key::LogLevel => (
                tracing_subscriber::EnvFilter::try_new(value).is_ok() && !value.is_empty(),
                "a level such as \"info\"",
            ),
            Key::LogFormat => (matches!(value, "text" | "json"), "\"text\" or \"json\""),
        };
        if fits { Ok(()) } else { Err(wanted) }
    }
}

/// What was configured.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Values and their origins, as [`KEYS`].
    values: Vec<(Option<String>, Origin)>,
    /// The file that was read.
    file: Option<PathBuf>,
}

impl Config {
    /// Returns what holds without a file.
    pub(crate) fn usual() -> Config {
        let values = KEYS.iter().map(|key| (key.default(), Origin::Default));
        Config { values: values.collect(), file: None }
    }

    /// Adds what a file says: `file`, or else `thalweg.toml` here, if it is there.
    ///
    /// # Errors
    /// `Invalid`, with file and line.
    pub(crate) fn read_file(&mut self, file: Option<&Path>) -> Result<()> {
        let path = file.unwrap_or(Path::new(FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(());
            }
            Err(error) => {
                let name = path.display();
                return Err(Error::invalid(format!("cannot read configuration `{name}`: {error}")));
            }
        };
        for (key, value) in parse(&text, &path.display().to_string())? {
            self.set(key, value, Origin::File);
        }
        self.file = Some(path.to_owned());
        Ok(())
    }

    /// Adds what the environment says; `variable` looks into it.
    ///
    /// # Errors
    /// `Invalid`, naming the variable.
    pub(crate) fn read_environment(
        &mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<()> {
        for key in KEYS {
            let Some(value) = variable(key.variable()).filter(|value| !value.is_empty()) else {
                continue;
            };
            key.check(&value).map_err(|wanted| {
                Error::invalid(format!("{} is not {wanted}: '{value}'", key.variable()))
            })?;
            self.set(key, value, Origin::Environment);
        }
        Ok(())
    }

    /// Adds a flag, which was checked when it was read.
    pub(crate) fn flag(&mut self, key: Key, value: Option<String>) {
        if let Some(value) = value {
            self.set(key, value, Origin::Flag);
        }
    }

    fn set(&mut self, key: Key, value: String, origin: Origin) {
        self.values[key as usize] = (Some(value), origin);
    }

    /// Returns a value and where it came from.
    pub(crate) fn get(&self, key: Key) -> (Option<&str>, Origin) {
        let (value, origin) = &self.values[key as usize];
        (value.as_deref(), *origin)
    }

    /// Returns the variables by which other processes of a job know how to log, and how a result is
    /// shown: what of it is planned depends on that.
    pub(crate) fn for_members(&self) -> Vec<(String, String)> {
        let known = [Key::LogLevel, Key::LogFormat, Key::Output].into_iter().filter_map(|key| {
            let (value, _) = self.get(key);
            Some((key.variable().to_owned(), value?.to_owned()))
        });
        known.collect()
    }

    /// Returns a value, or what the script says where that goes before it.
    pub(crate) fn with_script<'a>(&'a self, key: Key, script: Option<&'a str>) -> Option<&'a str> {
        match (self.get(key), script) {
            ((value, Origin::Environment | Origin::Flag), _) | ((value, _), None) => value,
            (_, script) => script,
        }
    }
}

/// Shown as a file that says the same, with the origin behind each value.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for key in KEYS {
            if key.section() != section {
                writeln!(f, "{}[{}]", if section.is_empty() { "" } else { "\n" }, key.section())?;
                section = key.section();
            }
            let (value, origin) = self.get(key);
            let line = match value {
                Some(value) if key.is_number() => format!("{} = {value}", key.name()),
                Some(value) => format!("{} = {}", key.name(), quoted(value)),
                None => format!("# {} =", key.name()),
            };
            let file = || self.file.as_deref().unwrap_or(Path::new(FILE)).display().to_string();
            let origin = match origin {
                Origin::Default => "default".to_owned(),
                Origin::File => file(),
                Origin::Environment => key.variable().to_owned(),
                Origin::Flag => "flag".to_owned(),
            };
            writeln!(f, "{line:<32}  # {origin}")?;
        }
        Ok(())
    }
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Reads the text of a file called `name`.
fn parse(text: &str, name: &str) -> Result<Vec<(Key, String)>> {
    let at = |error: Error, byte: usize| {
        let before = text.get(..byte).unwrap_or(text);
        let line = Some(before.matches('\n').count() as u64 + 1);
        error.at(Place::File { path: name.to_owned(), line, offset: None })
    };
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        at(Error::invalid(error.message().trim_end_matches('.').to_owned()), start)
    })?;
    let mut found = Vec::new();
    for (section, value) in table.get_ref() {
        let sections = ["run", "log"];
        let start = section.span().start;
        let section = section.get_ref().as_ref();
        if !sections.contains(&section) {
            return Err(at(unknown("section", section, &sections), start));
        }
        let table = value.get_ref().as_table().ok_or_else(|| {
            let error = Error::invalid(format!("`{section}` is a section"));
            at(error.remedy(format!("write [{section}]")), start)
        })?;
        for (key, value) in table {
            let known: Vec<Key> = KEYS.into_iter().filter(|key| key.section() == section).collect();
            let name = key.get_ref().as_ref();
            let key_found = known.iter().find(|key| key.name() == name).ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|key| key.name()).collect();
                at(unknown("key", name, &names), key.span().start)
            })?;
            let value_found =
                value_of(*key_found, value).map_err(|error| at(error, value.span().start))?;
            found.push((*key_found, value_found));
        }
    }
    Ok(found)
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    let error = Error::invalid(format!("unknown {what} `{name}`"));
    error.remedy(match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.join(", ")),
    })
}

/// Returns the value of a key as text.
fn value_of(key: Key, value: &Spanned<DeValue<'_>>) -> Result<String> {
    let text = match value.get_ref() {
        DeValue::String(text) if !key.is_number() => text.to_string(),
        DeValue::Integer(number) if key.is_number() => number.as_str().to_owned(),
        other => {
            let wanted = if key.is_number() { "a number" } else { "a text in quotes" };
            let kind = other.type_str();
            return Err(Error::invalid(format!("`{}` is {wanted}, not: {kind}", key.name())));
        }
    };
    match key.check(&text) {
        Ok(()) => Ok(text),
        Err(wanted) => Err(Error::invalid(format!("`{}` is not {wanted}: '{text}'", key.name()))),
    }
}

#[cfg(test)]
mod tests;
