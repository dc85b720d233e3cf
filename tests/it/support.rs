//! Runs the program and reads what it wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Lines and how often each stands there: results as multisets.
pub(crate) type Lines = BTreeMap<String, usize>;

/// A small generator with a fixed seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A directory for one test, and the program run in it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Returns a command of the program; paths in scripts are relative to this place.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program, which must succeed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {:?}\n{error}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns the lines of all published files of a directory; those of a folder within begin with
    /// its name.
    pub(crate) fn published(&self, folder: &str) -> Lines {
        let mut lines = Lines::new();
        collect(&self.path(folder), "", &mut lines);
        lines
    }

    /// Returns how many files of a directory, and of folders within, are not published.
    pub(crate) fn staged(&self, folder: &str) -> usize {
        count_hidden(&self.path(folder))
    }
}

fn collect(folder: &Path, inside: &str, lines: &mut Lines) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{inside}{name}/"), lines);
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            *lines.entry(format!("{inside}{line}")).or_default() += 1;
        }
    }
}

fn count_hidden(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let hidden = entries.map(|path| match path.is_dir() {
        true => count_hidden(&path),
        false => usize::from(path.file_name().unwrap().to_string_lossy().starts_with('.')),
    });
    hidden.sum()
}

/// Returns the first few lines in which two results differ.
pub(crate) fn difference(left: &Lines, right: &Lines) -> Vec<String> {
    let mut all: Vec<&String> = left.keys().chain(right.keys()).collect();
    all.sort();
    all.dedup();
    let count = |lines: &Lines, line: &String| lines.get(line).copied().unwrap_or(0);
    all.into_iter()
        .filter(|line| count(left, line) != count(right, line))
        .take(5)
        .map(|line| format!("{} / {}: {line}", count(left, line), count(right, line)))
        .collect()
}
