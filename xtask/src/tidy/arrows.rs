//! Which crate may name which: the table of `ARCHITECTURE.md` against the manifests; and which
//! module may name which: those declared above it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// Crates of others that one crate of ours owns.
const OWNED: [(&str, &str); 5] = [
    ("timely", "dataflow"),
    ("datafusion", "sql"),
    ("object_store", "storage"),
    ("sonic-rs", "connectors"),
    ("clap", "thalweg"),
];

/// Returns arrows that the table does not allow.
pub(super) fn check(root: &Path) -> io::Result<Vec<String>> {
    let allowed = table(&fs::read_to_string(root.join("ARCHITECTURE.md"))?);
    let mut found = Vec::new();
    if allowed.is_empty() {
        found.push("ARCHITECTURE.md:1: there is no table of allowed arrows".to_owned());
    }
    for entry in fs::read_dir(root.join("crates"))? {
        let path = entry?.path().join("Cargo.toml");
        let name =
            path.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
        found.extend(manifest(&name.unwrap_or_default(), &fs::read_to_string(&path)?, &allowed));
    }
    found.extend(manifest("thalweg", &fs::read_to_string(root.join("Cargo.toml"))?, &allowed));
    Ok(found)
}

/// Reads rows such as ``| `plan` | types, state |``.
fn table(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let name = cells.next()?.trim_matches('`').to_owned();
        let arrows = cells.next()?.split(',').map(|cell| cell.trim().to_owned());
        Some((name, arrows.collect()))
    })
    .collect()
}

fn manifest(name: &str, text: &str, allowed: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let place = if name == "thalweg" {
        "Cargo.toml".to_owned()
    } else {
        format!("crates/{name}/Cargo.toml")
    };
    let mut found = Vec::new();
    let mut section = "";
    for (at, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        if section != "[dependencies]" {
            continue;
        }
        let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if let Some(other) = dependency.strip_prefix("thalweg-") {
            let is_allowed =
                allowed.get(name).is_some_and(|row| row.contains(other) || row.contains("all"));
            if !is_allowed {
                found.push(format!("{place}:{}: `{name}` may not name `{other}`", at + 1));
            }
        }
        if let Some((_, owner)) = OWNED.iter().find(|(owned, _)| *owned == dependency)
            && *owner != name
        {
            found.push(format!("{place}:{}: only `{owner}` names {dependency}", at + 1));
        }
    }
    found
}

/// Returns where a module of a crate names one that is declared below it.
pub(super) fn rings(root: &Path, library: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(library)?;
    let modules: Vec<&str> = text.lines().filter_map(declared).collect();
    let folder = library.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for (at, module) in modules.iter().enumerate() {
        let mut files = Vec::new();
        let file = folder.join(format!("{module}.rs"));
        if file.exists() {
            files.push(file);
        }
        if folder.join(module).is_dir() {
            super::walk(&folder.join(module), &mut files)?;
        }
        for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
            let text = fs::read_to_string(file)?;
            let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
            for (line, code) in text.lines().enumerate() {
                let above = &modules[..=at];
                let below = named(code).into_iter().find(|other| {
                    modules.contains(&other.as_str()) && !above.contains(&other.as_str())
                });
                if let Some(below) = below {
                    let what =
                        format!("module `{module}` names `{below}`, which is declared below it");
                    found.push(format!("{name}:{}: {what}", line + 1));
                }
            }
        }
    }
    Ok(found)
}

fn declared(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    line.strip_prefix("mod ")?.strip_suffix(';')
}

/// Returns the modules that a line names by `crate::`.
fn named(code: &str) -> Vec<String> {
    let code = code.split("//").next().unwrap_or_default();
    let mut names = Vec::new();
    for part in code.split("crate::").skip(1) {
        let group = part.strip_prefix('{').map(|group| group.split('}').next().unwrap_or_default());
        let parts: Vec<&str> = group.map_or(vec![part], |group| group.split(',').collect());
        for part in parts {
            let end = part.trim().find(|c: char| !c.is_alphanumeric() && c != '_');
            let part = part.trim();
            names.push(part[..end.unwrap_or(part.len())].to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests;
