//! The files that are checked, read once.
//!
//! Invariant: files stand in the order of their paths. Hidden folders, and those that builds and
//! runs make, are left out.

use std::fs;
use std::io;
use std::path::Path;

/// Folders that hold nothing of ours.
const LEFT_OUT: [&str; 3] = ["target", "output", "__pycache__"];

/// Endings of the files that are read.
const ENDINGS: [&str; 3] = [".rs", ".toml", ".md"];

/// A file of the repository.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// Is it there for tests only?
    pub(crate) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| part == "tests" || part == "tests.rs" || part == "testing.rs")
    }
}

/// The repository.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    files: Vec<File>,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(crate) fn read(root: &Path) -> Result<Tree, String> {
        let mut tree = Tree::default();
        tree.walk(root, "").map_err(|error| format!("cannot read {}: {error}", root.display()))?;
        tree.files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || LEFT_OUT.contains(&name.as_str()) {
                continue;
            }
            let (path, kind) = (format!("{prefix}{name}"), entry.file_type()?);
            if kind.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                self.files.push(File { path, text: fs::read_to_string(entry.path())? });
            }
        }
        Ok(())
    }

    /// Returns the Rust sources.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// Returns the file at `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Returns the manifests of the members: folder and file.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().filter_map(|file| match file.path.as_str() {
            "Cargo.toml" => Some(("", file)),
            path => path.strip_suffix("/Cargo.toml").map(|folder| (folder, file)),
        })
    }
}

#[cfg(test)]
impl Tree {
    /// Returns a tree of these paths and texts.
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        let file =
            |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        Tree { files: files.iter().map(file).collect() }
    }
}
