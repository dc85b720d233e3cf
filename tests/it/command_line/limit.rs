//! `--limit`: a run that shows so many rows and ends.

use crate::support::Place;

/// Would fail if each worker counted for itself, or rows came beyond the limit, or fewer than it.
#[test]
fn workers_share_a_limit() {
    let place = Place::new();
    let script = "CREATE TABLE n (n BIGINT) WITH ('connector'='datagen',
           'fields.n.kind'='random','fields.n.min'='1','fields.n.max'='9');
         SELECT n FROM n";
    for (workers, output) in [("1", "csv"), ("3", "csv"), ("3", "json"), ("3", "table")] {
        let run = ["run", "-q", "--limit", "7", "--workers", workers, "--output", output];
        let shown = place.succeed(&[&run[..], &["-e", script]].concat());
        // A row has one digit, and nothing else that is shown has any.
        let is_row = |line: &&str| line.chars().filter(char::is_ascii_digit).count() == 1;
        assert_eq!(shown.lines().filter(is_row).count(), 7, "{workers} {output}: {shown}");
    }
}

/// Would fail if a worker had not all rows of a static table whose rows are copied to all, or had one
/// twice: each number lies in one band of each kind.
#[test]
fn an_endless_stream_meets_all_of_a_static_table() {
    let place = Place::new();
    place.write("bands.csv", "low,0,3\nhigh,4,9\nany,0,9\n");
    let script =
        "CREATE TABLE n (n BIGINT) WITH ('connector'='datagen', 'fields.n.kind'='sequence',
           'fields.n.start'='1','fields.n.end'='1000000000');
         CREATE TABLE bands (name STRING, low BIGINT, high BIGINT)
           WITH ('connector'='filesystem','path'='bands.csv','format'='csv');
         SELECT n, name FROM n JOIN bands ON n % 10 BETWEEN low AND high";
    for workers in ["1", "2", "3"] {
        let run = ["run", "-q", "--limit", "3000", "--workers", workers, "--output", "csv"];
        let shown = place.succeed(&[&run[..], &["-e", script]].concat());
        let rows = shown.lines().skip(1).map(|line| line.split_once(',').unwrap());
        let rows: Vec<(u64, &str)> = rows.map(|(n, name)| (n.parse().unwrap(), name)).collect();
        assert_eq!(rows.len(), 3000, "{workers} workers");
        let distinct: std::collections::BTreeSet<_> = rows.iter().collect();
        assert_eq!(distinct.len(), rows.len(), "a pair came twice with {workers} workers");
        for (n, name) in &rows {
            let band = if n % 10 < 4 { "low" } else { "high" };
            assert!(*name == "any" || *name == band, "{n} is in no band `{name}`");
        }
        // The limit may cut the last batch of each reader, and nothing before.
        let mut names = std::collections::BTreeMap::<u64, usize>::new();
        rows.iter().for_each(|(n, _)| *names.entry(*n).or_default() += 1);
        let whole = names.values().filter(|count| **count == 2).count();
        assert!(whole > names.len() / 4, "{whole} of {} with {workers} workers", names.len());
    }
}
