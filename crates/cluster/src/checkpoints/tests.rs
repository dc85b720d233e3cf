use super::*;

fn file(name: &str) -> StateFile {
    StateFile { path: name.to_owned(), bytes: 1, rows: 1 }
}

fn saved(worker: usize, is_full: bool, name: &str) -> Saved {
    Saved { worker: WorkerId(worker), is_full, file: (!name.is_empty()).then(|| file(name)) }
}

fn names(chains: &[Chain]) -> Vec<Vec<&str>> {
    chains.iter().map(|c| c.files.iter().map(|f| f.path.as_str()).collect()).collect()
}

/// Would fail if a delta lost its base, or state of other workers lingered after a rescale.
#[test]
fn whole_states_begin_chains_and_changes_extend_them() {
    let two = KeyGroups { count: 8, workers: 2 };
    let first = chains(&[], &[saved(1, true, "b1"), saved(0, true, "a1")], two);
    assert_eq!(names(&first), [["a1"], ["b1"]]);
    let second = chains(&first, &[saved(0, false, "a2"), saved(1, false, "")], two);
    assert_eq!(names(&second), [vec!["a1", "a2"], vec!["b1"]]);
    let three = KeyGroups { count: 8, workers: 3 };
    let saves = [saved(0, true, "x"), saved(1, true, "y"), saved(2, true, "z")];
    assert_eq!(names(&chains(&second, &saves, three)), [["x"], ["y"], ["z"]]);
}
