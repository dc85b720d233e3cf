//! Which crate may name which: the tables of ARCHITECTURE.md against the manifests.
//!
//! The table `arrows` lists, for each crate of ours, the crates of ours that it may import. The
//! table `dependencies` lists every crate of others, and who may import it (`any`, or names).
//! What is in no table is forbidden; a row that nothing uses is a violation too.

use crate::table::{self, Row};
use crate::tree::{File, Tree};
use crate::violation::Violation;

/// Where the tables stand.
const PAGE: &str = "ARCHITECTURE.md";
/// Prefix of our crates; the root package is called by the bare name.
const PREFIX: &str = "thalweg-";

/// A line of a manifest that imports a crate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Import {
    name: String,
    line: usize,
}

/// Checks the manifests of `tree` against its tables.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(page) = tree.file(PAGE) else {
        return vec![Violation::new(PAGE, 1, "the page with the tables of arrows is missing")];
    };
    let (arrows, others) =
        match (table::rows(&page.text, "arrows"), table::rows(&page.text, "dependencies")) {
            (Some(arrows), Some(others)) => (arrows, others),
            _ => {
                return vec![Violation::new(
                    PAGE,
                    1,
                    "a table of arrows or dependencies is missing",
                )];
            }
        };
    let mut found = Vec::new();
    let mut used: Vec<(String, String)> = Vec::new();
    for (folder, manifest) in tree.manifests() {
        let Some(member) = member(folder, manifest) else { continue };
        let Some(row) = row_of(&arrows, &member) else {
            let message = format!("crate `{member}` is not in the table of arrows in {PAGE}");
            found.push(Violation::new(&manifest.path, 1, message));
            continue;
        };
        for import in imports(&manifest.text) {
            used.push((member.clone(), import.name.clone()));
            let refused = match import.name.strip_prefix(PREFIX) {
                Some(ours) => refuse_ours(&member, ours, row),
                None => refuse_other(&member, &import.name, &others),
            };
            found.extend(refused.map(|why| Violation::new(&manifest.path, import.line, why)));
        }
    }
    found.extend(unused(&arrows, &others, &used));
    found
}

/// Returns the short name of the crate that a manifest makes; `None` for other manifests.
fn member(folder: &str, manifest: &File) -> Option<String> {
    let name = manifest.text.lines().find_map(|line| line.strip_prefix("name = "))?;
    let name = name.trim().trim_matches('"');
    // Fixtures and the like are no members.
    let is_member = folder.is_empty() || folder == "xtask" || folder.starts_with("crates/");
    is_member.then(|| name.strip_prefix(PREFIX).unwrap_or(name).to_owned())
}

fn row_of<'a>(rows: &'a [Row], name: &str) -> Option<&'a Row> {
    rows.iter().find(|row| row.cells.first().is_some_and(|cell| cell == name))
}

fn refuse_ours(member: &str, ours: &str, row: &Row) -> Option<String> {
    let allowed = row.list(1);
    (!allowed.contains(&ours)).then(|| {
        format!(
            "`{member}` must not import `{ours}`: the table of arrows in {PAGE} allows [{}]",
            allowed.join(", ")
        )
    })
}

fn refuse_other(member: &str, name: &str, others: &[Row]) -> Option<String> {
    let Some(row) = row_of(others, name) else {
        return Some(format!(
            "`{name}` is not in the table of dependencies in {PAGE}: argue it there"
        ));
    };
    let owners = row.list(1);
    let is_allowed = owners.contains(&"any") || owners.contains(&member);
    (!is_allowed).then(|| {
        format!(
            "`{member}` must not import `{name}`: in {PAGE} it belongs to [{}]",
            owners.join(", ")
        )
    })
}

/// Finds rows of the tables that no manifest bears out.
fn unused(arrows: &[Row], others: &[Row], used: &[(String, String)]) -> Vec<Violation> {
    let is_used = |member: &str, name: &str| {
        used.iter().any(|(by, what)| (member == "any" || by == member) && what == name)
    };
    let mut found = Vec::new();
    let mut refuse = |row: &Row, member: &str, name: &str| {
        let message = format!("the table lets `{member}` import `{name}`, and it does not");
        found.push(Violation::new(PAGE, row.line, message));
    };
    for row in arrows {
        let member = row.cells.first().map_or("", String::as_str);
        for ours in row.list(1) {
            if !is_used(member, &format!("{PREFIX}{ours}")) {
                refuse(row, member, ours);
            }
        }
    }
    for row in others {
        let name = row.cells.first().map_or("", String::as_str);
        for member in row.list(1) {
            if !is_used(member, name) {
                refuse(row, member, name);
            }
        }
    }
    found
}

/// Returns the crates that a manifest imports in any of its dependency sections.
fn imports(manifest: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let mut is_inside = false;
    let mut depth = 0_usize;
    for (at, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if depth == 0 && line.starts_with('[') {
            let section = line.trim_matches(['[', ']']);
            is_inside = section.ends_with("dependencies") && section != "workspace.dependencies";
            if let Some((_, name)) = section.split_once("dependencies.")
                && !section.starts_with("workspace")
            {
                found.push(Import { name: name.to_owned(), line: at + 1 });
            }
            continue;
        }
        if is_inside && depth == 0 && line.contains('=') {
            let name = line.split(['=', '.']).next().unwrap_or_default().trim().trim_matches('"');
            found.push(Import { name: name.to_owned(), line: at + 1 });
        }
        let opened = line.matches(['[', '{']).count();
        depth = (depth + opened).saturating_sub(line.matches([']', '}']).count());
    }
    found
}

#[cfg(test)]
mod tests;
