//! The modules of a crate as a tree: who declares whom, in which order.

use std::collections::BTreeMap;

use super::paths;
use crate::scan::scan;
use crate::tree::{File, Tree};
use crate::violation::Violation;

/// A module.
#[derive(Clone, Debug)]
pub(super) struct Module {
    /// Position in the crate; the root is 0, and parents stand before their children.
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) file: String,
    /// Its text without strings and comments.
    pub(super) code: String,
    pub(super) parent: Option<usize>,
    /// Position among its siblings.
    pub(super) order: usize,
    pub(super) is_test: bool,
}

/// All modules of a crate that stand in files.
#[derive(Clone, Debug, Default)]
pub(super) struct Crate {
    pub(super) modules: Vec<Module>,
    /// Modules that do not stand in files of their own.
    pub(super) inline: Vec<Violation>,
    children: BTreeMap<(usize, String), usize>,
    /// Names that a module re-exports, and the module that they come from.
    exports: BTreeMap<(usize, String), usize>,
}

/// A `mod` in a file.
struct Declaration {
    name: String,
    line: usize,
    is_test: bool,
    is_inline: bool,
}

impl Crate {
    /// Reads the crate whose root is `root`.
    pub(super) fn read(tree: &Tree, root: &File) -> Crate {
        let mut house = Crate::default();
        house.add(root, "crate", None, false);
        let mut next = 0;
        // Ends: every turn looks at one module, and each is found once, below its parent.
        while next < house.modules.len() {
            house.read_children(tree, next);
            next += 1;
        }
        for id in 0..house.modules.len() {
            house.read_exports(id);
        }
        house
    }

    fn add(&mut self, file: &File, name: &str, parent: Option<usize>, is_test: bool) {
        let id = self.modules.len();
        let order = self.modules.iter().filter(|module| module.parent == parent).count();
        if let Some(parent) = parent {
            self.children.insert((parent, name.to_owned()), id);
        }
        let (name, code) = (name.to_owned(), scan(&file.text).code);
        self.modules.push(Module {
            id,
            name,
            file: file.path.clone(),
            code,
            parent,
            order,
            is_test,
        });
    }

    fn read_children(&mut self, tree: &Tree, id: usize) {
        let Module { file, code, is_test, .. } = self.modules[id].clone();
        for declared in declarations(&code) {
            if declared.is_inline {
                let message = format!(
                    "module `{}` stands inside a file: give it one of its own",
                    declared.name
                );
                self.inline.push(Violation::new(&file, declared.line, message));
            } else if let Some(child) = file_of(tree, &file, &declared.name) {
                self.add(child, &declared.name, Some(id), is_test || declared.is_test);
            }
        }
    }

    fn read_exports(&mut self, id: usize) {
        for export in paths::exports(&self.modules[id].code) {
            let Some(name) = export.segments.last().cloned() else { continue };
            let target = self.resolve(id, &export.segments);
            if target != id {
                self.exports.insert((id, name), target);
            }
        }
    }

    /// Returns the module that a path means, or the one that holds what it means.
    pub(super) fn resolve(&self, from: usize, segments: &[String]) -> usize {
        let mut at = from;
        for segment in segments {
            let next = match segment.as_str() {
                "crate" => Some(0),
                "self" => Some(at),
                "super" => self.modules[at].parent,
                name => {
                    let key = (at, name.to_owned());
                    self.children.get(&key).or_else(|| self.exports.get(&key)).copied()
                }
            };
            match next {
                Some(next) => at = next,
                None => return at,
            }
        }
        at
    }

    /// Returns the modules from the root down to `id`.
    pub(super) fn lineage(&self, id: usize) -> Vec<usize> {
        let mut line = vec![id];
        let mut at = id;
        while let Some(parent) = self.modules[at].parent {
            line.insert(0, parent);
            at = parent;
        }
        line
    }
}

/// Returns the file of the module `name` that `parent` declares.
fn file_of<'a>(tree: &'a Tree, parent: &str, name: &str) -> Option<&'a File> {
    let (folder, file) = parent.rsplit_once('/')?;
    let folder = match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    };
    tree.file(&format!("{folder}/{name}.rs"))
        .or_else(|| tree.file(&format!("{folder}/{name}/mod.rs")))
}

/// Finds the modules that a file declares, in order.
fn declarations(code: &str) -> Vec<Declaration> {
    let mut found = Vec::new();
    let mut attributes = String::new();
    for (at, line) in code.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("#[") && line.ends_with(']') {
            attributes.push_str(line);
            continue;
        }
        let (_, rest) = paths::visibility(line);
        if let Some(rest) = rest.strip_prefix("mod ") {
            let name: String =
                rest.chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect();
            let is_inline = rest[name.len()..].trim_start().starts_with('{');
            let is_test = attributes.contains("cfg(test)");
            found.push(Declaration { name, line: at + 1, is_test, is_inline });
        }
        if !line.is_empty() {
            attributes.clear();
        }
    }
    found
}
