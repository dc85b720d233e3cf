//! Runs that write to one table, one after the other.

use crate::support::Place;

/// Would fail if a run replaced files of an earlier one, all of them or, worse, some.
#[test]
fn a_run_adds_to_what_earlier_ones_wrote() {
    let place = Place::new();
    let script = |rows: u32| {
        format!(
            "CREATE TABLE n (n BIGINT) WITH ('connector'='datagen','number-of-rows'='{rows}',
               'fields.n.kind'='sequence','fields.n.start'='1','fields.n.end'='{rows}');
             CREATE TABLE o (n BIGINT) WITH ('connector'='filesystem','path'='out','format'='csv');
             INSERT INTO o SELECT n FROM n"
        )
    };
    let run = |rows: u32, more: &[&str]| {
        let script = script(rows);
        place.succeed(&[&["run", "-q", "-e", script.as_str()], more].concat());
        place.published("out").values().sum::<usize>()
    };
    assert_eq!(run(4, &[]), 4);
    assert_eq!(run(2, &[]), 6, "another run without a state");
    assert_eq!(run(3, &["--state-dir", "one"]), 9, "a run with a state");
    assert_eq!(run(3, &["--state-dir", "two"]), 12, "another state");
    assert_eq!(run(3, &["--state-dir", "two"]), 12, "it had finished before");
    assert_eq!(run(2, &["--state-dir", "two", "--fresh"]), 14, "begun anew");
}
