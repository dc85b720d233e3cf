use super::*;

/// Would fail if two runs could use one state directory, or the refusal hid who holds it.
#[test]
fn a_second_run_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let held = StateDirLock::acquire(folder.path(), "process 42 running `a.sql`").unwrap();
    let error = StateDirLock::acquire(folder.path(), "process 43").unwrap_err();
    assert!(error.message().contains("process 42 running `a.sql`"), "{error}");
    drop(held);
    StateDirLock::acquire(folder.path(), "process 43").unwrap();
}

/// Would fail if a directory stayed held as long as a process that is just being started has a copy of each
/// open file.
#[test]
fn a_directory_is_given_back_though_its_file_is_open_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let held = StateDirLock::acquire(folder.path(), "process 42").unwrap();
    let copy = held.file.try_clone().unwrap();
    drop(held);
    StateDirLock::acquire(folder.path(), "process 43").unwrap();
    drop(copy);
}
