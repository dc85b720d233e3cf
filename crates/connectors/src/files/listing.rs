//! Which files a path names, in which order.
//!
//! Invariant: a file that is not hidden is read, left out because an option or a filter says so, or
//! an error; none is passed over in silence.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use regex::Regex;
use serde::{Deserialize, Serialize};
use thalweg_plan::connector::{Options, TableSpec};
use thalweg_plan::function::Transform;
use thalweg_storage::bucket::{self, Bucket};
use thalweg_types::{Change, Epoch, Error, EventTime, Moment, Result};

use super::natural;
use super::partition::{self, Partitions};
use super::store::{self, Store};

/// The option that says which files of a folder are read.
pub(super) const PATTERN: &str = "source.path.regex-pattern";

/// The order in which the files of one listing are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Name,
    Modified,
}

impl Order {
    pub(super) fn of(options: &Options) -> Result<Order> {
        match options.get("scan.order") {
            None | Some("name") => Ok(Order::Name),
            Some("mtime") => Ok(Order::Modified),
            Some(other) => Err(Error::invalid(format!(
                "option 'scan.order' is neither name nor mtime: '{other}'"
            ))),
        }
    }
}

/// A file and its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) modified: SystemTime,
}

/// What a listing said of a file; stored in manifests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) bytes: u64,
    /// When it was changed, in milliseconds since 1970.
    pub(super) modified_ms: i64,
}

impl Found {
    /// Returns what manifests keep of it.
    pub(super) fn seen(&self) -> Seen {
        let since = self.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Seen { bytes: self.bytes, modified_ms }
    }
}

/// Which files a table has.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) store: Store,
    /// How often to look for more; `None` if once is enough.
    pub(super) monitor: Option<Duration>,
    path: String,
    order: Order,
    rules: Rules,
}

impl Listing {
    /// Returns the listing of a table.
    ///
    /// # Errors
    /// `Invalid`, naming the option.
    pub(super) fn of(table: &TableSpec) -> Result<Listing> {
        let options = &table.options;
        let (store, path) = Store::of(options.required("path")?)?;
        let monitor = options.duration("source.monitor-interval")?;
        let rules = Rules { partitions: Partitions::of(table)?, ..Rules::of(options)? };
        if !table.partitions.is_empty() && is_pattern(last_part(&path)) {
            let message = format!("option 'path' of a partitioned table is a pattern: '{path}'");
            return Err(Error::invalid(message).remedy("name the folder that holds its partitions"));
        }
        Ok(Listing { store, monitor, path, order: Order::of(options)?, rules })
    }

    /// Returns this listing without the partitions that do not pass `filter`.
    pub(super) fn pruned(&self, filter: Arc<dyn Transform>) -> Option<Listing> {
        self.rules.partitions.at(0)?;
        let rules = Rules { filter: Some(filter), ..self.rules.clone() };
        Some(Listing { rules, ..self.clone() })
    }

    /// Says which partitions are read.
    pub(super) fn explain(&self) -> Option<String> {
        let filter = self.rules.filter.as_ref()?;
        Some(format!("opens only partitions that pass: {}", filter.explain()))
    }

    /// Lists the files.
    ///
    /// # Errors
    /// `Invalid` if there is none at a path that must name some; `Data` if one is in no partition.
    pub(super) async fn files(&self) -> Result<Vec<Found>> {
        self.store.list(&self.path, self.order, &self.rules).await
    }
}

/// The moment of filters that do not ask for it.
const NOWHEN: Moment = Moment { epoch: Epoch(0), clock: EventTime::MIN, watermark: EventTime::MIN };

/// Which files of a folder count. By default: all that are not hidden.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    partitions: Partitions,
    /// Lets the rows of wanted partitions pass.
    filter: Option<Arc<dyn Transform>>,
    /// What the whole path of a file must match.
    pattern: Option<Regex>,
}

impl Rules {
    fn of(options: &Options) -> Result<Rules> {
        let pattern = options.get(PATTERN).map(|pattern| Regex::new(&format!("^(?:{pattern})$")));
        let pattern = pattern.transpose().map_err(|error| {
            let pattern = options.get(PATTERN).unwrap_or_default();
            let message = format!("option '{PATTERN}' is no regular expression: '{pattern}'");
            Error::invalid(message).caused_by(error)
        })?;
        Ok(Rules { pattern, ..Rules::default() })
    }

    /// Are there files that count in the folder `inside` a table's?
    fn enter(&self, inside: &str) -> Result<bool> {
        let (level, name) = (inside.matches('/').count(), last_part(inside));
        match self.partitions.at(level) {
            Some(field) if partition::value_in(name, field.name()).is_some() => {
                match self.partitions.at(level + 1) {
                    Some(_) => Ok(true),
                    None => self.wants(inside),
                }
            }
            _ if is_hidden(name) => Ok(false),
            Some(field) => Err(stray(inside, field.name())),
            None => Ok(true),
        }
    }

    /// Does the file `inside` a table's folder count, which is at `path`?
    fn take(&self, inside: &str, path: &str) -> Result<bool> {
        if is_hidden(last_part(inside)) {
            return Ok(false);
        }
        if let Some(field) = self.partitions.at(inside.matches('/').count()) {
            return Err(stray(inside, field.name()));
        }
        match &self.pattern {
            Some(pattern) => Ok(pattern.is_match(&store::absolute(path)?)),
            None => Ok(true),
        }
    }

    /// Does a partition pass the filter? One for which it cannot be computed does: its rows will
    /// tell.
    fn wants(&self, inside: &str) -> Result<bool> {
        let Some(filter) = &self.filter else { return Ok(true) };
        let partition = Change::append(self.partitions.values(inside)?);
        let mut passed = Vec::new();
        let outcome = filter.apply(&partition, &NOWHEN, &mut passed);
        Ok(outcome.is_err() || passed.iter().any(|passed| !passed.is_empty()))
    }
}

fn stray(inside: &str, key: &str) -> Error {
    let folder = partition::name_of(key, "…");
    Error::data(format!("`{inside}` is in no partition: it is not behind a folder `{folder}`"))
        .remedy("move it away, or hide it by a `_` in front of its name")
}

impl Store {
    /// Lists the files that `place` names: one file, all of a folder, or those that match `*` and
    /// `?` in the last part. Hidden files and those still being written (`.` or `_` in front) are
    /// not among them.
    pub(super) async fn list(
        &self,
        place: &str,
        order: Order,
        rules: &Rules,
    ) -> Result<Vec<Found>> {
        let mut found = match self {
            Store::Disk => files(place, rules)?,
            Store::Bucket(bucket) => objects(bucket, place, rules).await?,
        };
        match order {
            Order::Name => found.sort_by(|left, right| natural::compare(&left.path, &right.path)),
            Order::Modified => {
                found.sort_by(|left, right| {
                    (left.modified, &left.path).cmp(&(right.modified, &right.path))
                });
            }
        }
        Ok(found)
    }
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn absent(place: &str) -> Error {
    Error::invalid(format!("there is no file `{place}`"))
}

/// Returns what is behind the last `/`.
fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Lists objects as if `/` stood between folders.
async fn objects(bucket: &Bucket, place: &str, rules: &Rules) -> Result<Vec<Found>> {
    let (_, key) = bucket::split(place).unwrap_or_default();
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    if is_pattern(name) {
        let mut found = bucket.list(folder).await?;
        found.retain(|object| {
            let rest = inside(&object.key, folder);
            matches(name.as_bytes(), rest.as_bytes()) && !rest.contains('/')
        });
        return counting(bucket, folder, &found, rules);
    }
    if !key.is_empty()
        && !place.ends_with('/')
        && let Some(object) = bucket.look(key).await?
    {
        return counting(bucket, folder, &[object], rules);
    }
    let found = bucket.list(key).await?;
    if found.is_empty() && !place.ends_with('/') {
        return Err(absent(place).remedy("a folder that may be empty ends in `/`"));
    }
    counting(bucket, key, &found, rules)
}

/// Returns the objects of a folder that count.
fn counting(
    bucket: &Bucket,
    folder: &str,
    objects: &[bucket::Object],
    rules: &Rules,
) -> Result<Vec<Found>> {
    let (mut found, mut entered) = (Vec::new(), BTreeMap::new());
    for object in objects {
        let (inside, path) = (inside(&object.key, folder), bucket.place(&object.key));
        if enters(inside, rules, &mut entered)? && rules.take(inside, &path)? {
            found.push(seen(object, path));
        }
    }
    Ok(found)
}

/// Do all folders above a file count? What is known of a folder is not asked again.
fn enters<'k>(
    inside: &'k str,
    rules: &Rules,
    entered: &mut BTreeMap<&'k str, bool>,
) -> Result<bool> {
    for (end, _) in inside.match_indices('/') {
        let folder = &inside[..end];
        let enters = match entered.get(folder) {
            Some(enters) => *enters,
            None => rules.enter(folder)?,
        };
        entered.insert(folder, enters);
        if !enters {
            return Ok(false);
        }
    }
    Ok(true)
}

fn seen(object: &bucket::Object, path: String) -> Found {
    Found { path, bytes: object.bytes, modified: object.modified }
}

/// Returns the name of an object within its folder.
fn inside<'k>(key: &'k str, folder: &str) -> &'k str {
    key.strip_prefix(folder).unwrap_or(key).trim_start_matches('/')
}

fn files(place: &str, rules: &Rules) -> Result<Vec<Found>> {
    let path = Path::new(place);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if is_pattern(&name) {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return Walk { pattern: Some(&name), rules, found: Vec::new() }.all(folder);
    }
    if path.is_dir() {
        return Walk { pattern: None, rules, found: Vec::new() }.all(path);
    }
    let one = look(path.to_owned()).map_err(|error| match error.kind() {
        ErrorKind::NotFound => absent(place),
        _ => failed(path, error),
    })?;
    // A file that is named itself is read, hidden or not.
    match rules.partitions.at(0) {
        Some(field) => Err(stray(place, field.name())),
        None => Ok(vec![one]),
    }
}

/// A walk through a folder of the local disk.
struct Walk<'a> {
    /// What names of files match; folders within are looked into only without.
    pattern: Option<&'a str>,
    rules: &'a Rules,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn all(mut self, folder: &Path) -> Result<Vec<Found>> {
        self.enter(folder, "")?;
        Ok(self.found)
    }

    /// Looks into a folder, which is `inside` the first one.
    fn enter(&mut self, folder: &Path, inside: &str) -> Result<()> {
        let entries = fs::read_dir(folder).map_err(|error| failed(folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| failed(folder, error))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            let inside = format!("{inside}{name}");
            if path.is_dir() {
                if self.pattern.is_none() && self.rules.enter(&inside)? {
                    self.enter(&path, &format!("{inside}/"))?;
                }
            } else if self.pattern.is_none_or(|p| matches(p.as_bytes(), name.as_bytes()))
                && self.rules.take(&inside, &path.to_string_lossy())?
            {
                self.found.push(look(path.clone()).map_err(|error| failed(&path, error))?);
            }
        }
        Ok(())
    }
}

fn look(path: PathBuf) -> std::io::Result<Found> {
    let meta = fs::metadata(&path)?;
    Ok(Found {
        path: path.to_string_lossy().into_owned(),
        bytes: meta.len(),
        modified: meta.modified()?,
    })
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("cannot list `{}`: {error}", path.display())).caused_by(error)
}

/// Does `name` match a pattern of `*` (any bytes) and `?` (one byte)?
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        (Some((b'?', rest)), Some((_, name))) => matches(rest, name),
        (Some((wanted, rest)), Some((byte, name))) => wanted == byte && matches(rest, name),
        _ => false,
    }
}
