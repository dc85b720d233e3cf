//! The rules of `STYLE.md` that a machine can check.
//!
//! Each finding is a line `file:line: what`. The scanner reads Rust line by line, which is exact
//! enough for code that `rustfmt` formatted.

mod arrows;
mod source;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Returns everything to mend below `root`.
pub(crate) fn check(root: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    walk(root, &mut files)?;
    files.sort();
    let mut found = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file)?;
        let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
        found.extend(source::check(&name, &text));
    }
    for entry in fs::read_dir(root.join("crates"))? {
        let library = entry?.path().join("src/lib.rs");
        found.extend(arrows::rings(root, &library)?);
    }
    found.extend(arrows::check(root)?);
    Ok(found)
}

/// Collects Rust files, without build output and hidden folders.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                walk(&path, files)?;
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(())
}
