//! A disk that takes no more: one clear error, nothing half-written to be seen, and later the rest.
//!
//! Mounting a small file system needs root, so the kernel refuses to let a *file* grow instead
//! (`ulimit -f`): the same calls fail at the same places, with "File too large" for "No space left".

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{Lines, Place};

/// Runs the program, which cannot make a file larger than `kibibytes`.
fn limited(place: &Place, kibibytes: usize, arguments: &[&str]) -> Output {
    // The signal would end the program where a full disk only fails the call. POSIX counts blocks
    // of 512 bytes.
    let script = "trap '' XFSZ; ulimit -f \"$0\" && exec \"$@\"";
    let blocks = (kibibytes * 2).to_string();
    Command::new("sh")
        .args(["-c", script, &blocks, env!("CARGO_BIN_EXE_thalweg")])
        .args(arguments)
        .current_dir(place.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Asserts that a run failed with one error, which names a file below `folder`.
fn failed_at(output: &Output, folder: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let errors: Vec<&str> = error.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{error}");
    assert!(errors[0].contains(folder), "no file is named: {error}");
    assert!(errors[0].contains("File too large"), "no reason is given: {error}");
    assert!(!error.contains("panicked"), "{error}");
}

/// Returns the hidden files below a folder.
fn hidden(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let below = |path: PathBuf| match path.is_dir() {
        true => hidden(&path),
        false => Some(path).filter(|path| is_hidden(path)).into_iter().collect(),
    };
    paths.flat_map(below).collect()
}

/// Would fail if a part that could not be written whole were published, or if the rows that were in
/// it, or only they, came out again.
#[test]
fn a_full_disk_below_the_output_costs_nothing() {
    let place = Place::new();
    let row = |n: usize| format!("{n},{:x>100}", n % 7);
    let rows: Vec<String> = (0..3_000).map(row).collect();
    place.write("in.csv", &rows.join("\n"));
    let job = "CREATE TABLE i (n INT, text STRING) WITH ('connector'='filesystem', 'path'='in.csv',
        'format'='csv', 'scan.rows-per-second'='6000');
        CREATE TABLE o (n INT, text STRING)
        WITH ('connector'='filesystem', 'path'='out', 'format'='csv');
        INSERT INTO o SELECT n, text FROM i";
    let arguments = [
        "run",
        "-e",
        job,
        "--state-dir",
        "state",
        "--checkpoint-interval",
        "20ms",
        "--workers",
        "1",
    ];
    failed_at(&limited(&place, 128, &arguments), "out/.part-");
    assert_eq!(place.published("out"), Lines::new(), "half a part is published");
    assert!(
        place.succeed(&["state", "show", "state"]).contains("epoch"),
        "no checkpoint was taken"
    );
    let again = place.run(&arguments);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(place.published("out"), rows.into_iter().map(|row| (row, 1)).collect::<Lines>());
}

/// Would fail if a checkpoint of which a part is missing were restored, or if one that cannot be
/// written did not end the job.
#[test]
fn a_full_disk_below_the_state_costs_nothing() {
    let place = Place::new();
    place.write("in/1.txt", "a\na\nb\n");
    let job = "CREATE TABLE lines (line STRING)
        WITH ('connector'='filesystem', 'path'='in', 'format'='raw');
        CREATE TABLE o (line STRING, n BIGINT)
        WITH ('connector'='filesystem', 'path'='out', 'format'='debezium-json');
        INSERT INTO o SELECT line, COUNT(*) FROM lines GROUP BY line HAVING COUNT(*) > 1";
    let arguments = ["run", "-e", job, "--state-dir", "state", "--continue", "--workers", "2"];
    place.succeed(&arguments);
    let before = place.published("out");
    assert_eq!(before.len(), 1);
    let many: String = (0..20_000).map(|n| format!("line number {n}\n")).collect();
    place.write("in/2.txt", &format!("{many}b\n"));
    failed_at(&limited(&place, 64, &arguments), "state/");
    assert_eq!(hidden(&place.path("state")), Vec::<PathBuf>::new(), "the full disk is left fuller");
    assert_eq!(place.published("out"), before, "rows without a checkpoint are published");
    place.succeed(&arguments);
    let mut after = place.published("out");
    before.keys().for_each(|line| assert_eq!(after.remove(line), Some(1)));
    let lines: Vec<String> = after.into_keys().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("\"line\":\"b\",\"n\":2"), "{lines:?}");
}

/// Would fail if the program panicked where its messages go to a file on the disk that is full.
#[test]
fn a_full_disk_below_the_log_is_no_reason_to_end() {
    let place = Place::new();
    place.write("in.csv", "1\n2\n");
    let job = |column: &str| {
        format!(
            "CREATE TABLE i (n INT) WITH ('connector'='filesystem', 'path'='in.csv', 'format'='csv');
             SELECT {column} FROM i"
        )
    };
    let run = |column: &str| {
        Command::new("sh")
            .args(["-c", "exec \"$0\" run -e \"$1\" --output json 2>/dev/full"])
            .args([env!("CARGO_BIN_EXE_thalweg"), &job(column)])
            .current_dir(place.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = run("n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(run("m").status.code(), Some(2));
}
