//! `schema`: what it prints for a file, and that the script runs as it is.

use crate::support::Place;

/// Prints the schema of a file, runs it as it is, and then its last line without the comment.
fn check(place: &Place, arguments: &[&str], columns: &str, rows: &str) {
    let script = place.succeed(&[&["schema"], arguments].concat());
    let (_, rest) = script.split_once("(\n").unwrap();
    let (found, _) = rest.split_once("\n) WITH").unwrap();
    let found: Vec<&str> = found.lines().map(str::trim).collect();
    assert_eq!(found.join(" "), columns, "{script}");
    place.write("schema.sql", &script);
    assert_eq!(place.succeed(&["run", "-q", "schema.sql"]), "", "{script}");
    let query = script.replace("\n-- SELECT", "\nSELECT");
    assert_ne!(query, script, "it ends with a query");
    assert_eq!(place.succeed(&["run", "-q", "-e", &query, "--output", "json"]), rows, "{script}");
}

/// Would fail if a script that was made for a file could not read it.
#[test]
fn a_schema_reads_the_file_that_it_was_made_for() {
    let place = Place::new();
    place.write(
        "orders 1.ndjson",
        "{\"id\":1,\"user\":\"ann\",\"paid\":true,\"lines\":[{\"sku\":\"a\",\"price\":1}]}\n\
         {\"id\":2,\"at\":\"2020-04-15 08:05:00\",\"lines\":[{\"sku\":\"b\",\"price\":2.5}]}\n",
    );
    check(
        &place,
        &["orders 1.ndjson"],
        "id BIGINT, `user` STRING, paid BOOLEAN, lines ARRAY<ROW<`sku` STRING, `price` DOUBLE>>, at TIMESTAMP(3)",
        "{\"id\":1,\"user\":\"ann\",\"paid\":true,\"lines\":[{\"sku\":\"a\",\"price\":1.0}],\"at\":null}\n\
         {\"id\":2,\"user\":null,\"paid\":null,\"lines\":[{\"sku\":\"b\",\"price\":2.5}],\"at\":\"2020-04-15 08:05:00.000\"}\n",
    );
    place.write("it's/a.csv", "day,unit price,zip\n2020-04-15,1.5,01234\n,2,99999\n");
    check(
        &place,
        &["it's"],
        "`day` DATE, `unit price` DOUBLE, zip STRING",
        "{\"day\":\"2020-04-15\",\"unit price\":1.5,\"zip\":\"01234\"}\n\
         {\"day\":null,\"unit price\":2.0,\"zip\":\"99999\"}\n",
    );
    place.write("names.csv", "name;city\nann;rome\n");
    let row = "{\"name\":\"ann\",\"city\":\"rome\"}\n";
    check(&place, &["names.csv", "--header", "true"], "name STRING, city STRING", row);
    place.write("ticks.tsv", "08:05:00\t1\n08:05:01\t\n");
    check(
        &place,
        &["ticks.tsv", "--rows", "1"],
        "column_1 TIME(0), column_2 BIGINT",
        "{\"column_1\":\"08:05:00\",\"column_2\":1}\n{\"column_1\":\"08:05:01\",\"column_2\":null}\n",
    );
}

/// Would fail if packed files or Parquet were not looked into.
#[test]
fn a_schema_is_made_for_packed_files_and_parquet() {
    let place = Place::new();
    place.write("a.json", "{\"n\":1,\"word\":\"x\"}\n");
    let packed = std::process::Command::new("gzip").arg(place.path("a.json")).status().unwrap();
    assert!(packed.success());
    let row = "{\"n\":1,\"word\":\"x\"}\n";
    check(&place, &["a.json.gz"], "n BIGINT, word STRING", row);
    place.succeed(&[
        "run",
        "-q",
        "-e",
        "CREATE TABLE a (n BIGINT, word STRING)
         WITH ('connector'='filesystem','path'='a.json.gz','format'='json');
         CREATE TABLE o (n INT, price DECIMAL(10, 2), at TIMESTAMP(3), words ARRAY<STRING>)
         WITH ('connector'='filesystem','path'='out','format'='parquet');
         INSERT INTO o SELECT CAST(n AS INT), CAST(1.5 AS DECIMAL(10, 2)),
         TIMESTAMP '2020-04-15 08:05:00', ARRAY[word] FROM a",
    ]);
    check(
        &place,
        &["out"],
        "n INT, price DECIMAL(10, 2), at TIMESTAMP(3), words ARRAY<STRING>",
        "{\"n\":1,\"price\":1.50,\"at\":\"2020-04-15 08:05:00.000\",\"words\":[\"x\"]}\n",
    );
}

/// Would fail if a file that makes no table ended in a script, or said nothing helpful.
#[test]
fn files_that_make_no_table_are_refused() {
    let place = Place::new();
    place.write("empty.json", "");
    place.write("text.json", "one\ntwo\n");
    place.write("no.parquet", "one\ntwo\n");
    let cases = [
        (&["there.csv"][..], 2, "there is no file `there.csv`"),
        (&["empty.json"], 3, "file `empty.json` has no rows to learn from"),
        (&["text.json"], 3, "none of the first 2 records of `text.json` can be read as json"),
        (&["no.parquet"], 3, "is no Parquet file"),
        (&["text.json", "--rows", "0"], 2, "0 is not in 1.."),
    ];
    for (arguments, code, hint) in cases {
        let output = place.run(&[&["schema"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(hint), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
