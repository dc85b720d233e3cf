//! Which files a path names, in which order.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use thalweg_plan::connector::Options;
use thalweg_storage::bucket::{self, Bucket};
use thalweg_types::{Error, Result};

use super::store::Store;

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

impl Store {
    /// Lists the files that `place` names: one file, all of a folder, or those that match `*` and
    /// `?` in the last part. Hidden files and those still being written (`.` or `_` in front) are
    /// not among them.
    pub(super) async fn list(&self, place: &str, order: Order) -> Result<Vec<Found>> {
        let mut found = match self {
            Store::Disk => files(place)?,
            Store::Bucket(bucket) => objects(bucket, place).await?,
        };
        match order {
            Order::Name => found.sort_by(|left, right| left.path.cmp(&right.path)),
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

/// Lists objects as if `/` stood between folders.
async fn objects(bucket: &Bucket, place: &str) -> Result<Vec<Found>> {
    let (_, key) = bucket::split(place).unwrap_or_default();
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    let seen = |object: bucket::Object| Found {
        path: bucket.place(&object.key),
        bytes: object.bytes,
        modified: object.modified,
    };
    if is_pattern(name) {
        let mut found = bucket.list(folder).await?;
        found.retain(|object| {
            let rest = inside(&object.key, folder);
            !is_hidden(rest) && matches(name.as_bytes(), rest.as_bytes()) && !rest.contains('/')
        });
        return Ok(found.into_iter().map(seen).collect());
    }
    if !key.is_empty()
        && !place.ends_with('/')
        && let Some(object) = bucket.look(key).await?
    {
        return Ok(vec![seen(object)]);
    }
    let mut found = bucket.list(key).await?;
    if found.is_empty() && !place.ends_with('/') {
        return Err(absent(place).remedy("a folder that may be empty ends in `/`"));
    }
    found.retain(|object| !inside(&object.key, key).split('/').any(is_hidden));
    Ok(found.into_iter().map(seen).collect())
}

/// Returns the name of an object within its folder.
fn inside<'k>(key: &'k str, folder: &str) -> &'k str {
    key.strip_prefix(folder).unwrap_or(key).trim_start_matches('/')
}

fn files(place: &str) -> Result<Vec<Found>> {
    let path = Path::new(place);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found = Vec::new();
    if is_pattern(&name) {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        walk(folder, Some(&name), &mut found)?;
    } else if path.is_dir() {
        walk(path, None, &mut found)?;
    } else {
        found.push(look(path.to_owned()).map_err(|error| match error.kind() {
            ErrorKind::NotFound => absent(place),
            _ => failed(path, error),
        })?);
    }
    Ok(found)
}

fn walk(folder: &Path, pattern: Option<&str>, found: &mut Vec<Found>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if is_hidden(&name) {
            continue;
        }
        if path.is_dir() {
            if pattern.is_none() {
                walk(&path, None, found)?;
            }
        } else if pattern.is_none_or(|pattern| matches(pattern.as_bytes(), name.as_bytes())) {
            found.push(look(path.clone()).map_err(|error| failed(&path, error))?);
        }
    }
    Ok(())
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
