//! No rings between modules: a module names only modules that are declared above it.
//!
//! The order in which a parent declares its children is the order of the floors: what stands
//! above on the page is below in the house. A parent may name its children and a child its
//! parent; of two siblings (and all below them) only the later one may name the earlier one.
//! Names that a module re-exports count as names of where they come from. Tests may name all.

mod paths;

mod modules;

use crate::tree::Tree;
use crate::violation::Violation;

use modules::{Crate, Module};

/// Checks every crate of `tree`.
pub(crate) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.rust() {
        let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
        let is_source = folder == "src" || folder.ends_with("/src");
        if is_source && (name == "lib.rs" || name == "main.rs") {
            let house = Crate::read(tree, file);
            found.extend(house.inline.iter().cloned());
            for module in house.modules.iter().filter(|module| !module.is_test) {
                found.extend(check_module(&house, module));
            }
        }
    }
    found
}

fn check_module(house: &Crate, module: &Module) -> Vec<Violation> {
    let mut found = Vec::new();
    for path in paths::paths(&module.code) {
        let target = house.resolve(module.id, &path.segments);
        if let Some((from, to)) = against_the_order(house, module.id, target) {
            let message = format!(
                "module `{}` names `{}`, which is declared below it",
                house.modules[from].name, house.modules[to].name
            );
            found.push(Violation::new(&module.file, path.line, message));
        }
    }
    found.dedup();
    found
}

/// Returns the siblings above `from` and `to` if the one of `to` is declared later.
fn against_the_order(house: &Crate, from: usize, to: usize) -> Option<(usize, usize)> {
    let (left, right) = (house.lineage(from), house.lineage(to));
    let (from, to) = left.iter().zip(&right).find(|(l, r)| l != r)?;
    (house.modules[*to].order > house.modules[*from].order).then_some((*from, *to))
}

#[cfg(test)]
mod tests;
