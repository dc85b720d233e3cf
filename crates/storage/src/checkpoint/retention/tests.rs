use thalweg_types::KeyGroupRange;

use super::super::manifest::{Chain, OperatorState, StateFile};
use super::*;

fn manifest(number: u64, epoch: u64, files: &[&str]) -> Manifest {
    let mut manifest = Manifest { number, epoch, attempt: 1, ..Manifest::empty("job", 8) };
    let file = |path: &&str| StateFile { path: (*path).to_owned(), bytes: 1, rows: 1 };
    let files = files.iter().map(file).collect();
    let chains = vec![Chain { groups: KeyGroupRange { start: 0, end: 8 }, files }];
    let state = OperatorState { signature: String::new(), layout: None, chains };
    manifest.operators.insert("operator".to_owned(), state);
    manifest
}

/// Would fail if a base file vanished that a later delta builds on, or one in the making.
#[test]
fn what_is_named_or_new_stays() {
    let name = |epoch| paths::state("operator", 1, epoch, 0);
    let (base, delta, old, coming) = (name(10), name(20), name(5), name(30));
    let newest = manifest(4, 20, &[&base, &delta]);
    let files = [old.clone(), base.clone(), delta, coming];
    let found = garbage(&newest, &[manifest(3, 10, &[&base])], &[1, 2, 3, 4, 5], &files);
    assert_eq!(found, Garbage { manifests: vec![1, 2], files: vec![old] });
}
