//! What the command line promises: output, exit codes, errors that point somewhere.

mod appended;
mod changed;
mod clock;
mod configured;
mod limit;
mod schema;
mod state_ttl;
mod tables;
mod temporary;

use crate::support::Place;

const LINES: &str = "CREATE TABLE lines (line STRING) WITH ('connector'='filesystem','path'='lines.txt','format'='raw');";

fn counted(output: &str) -> std::collections::BTreeMap<String, i64> {
    let mut words = std::collections::BTreeMap::new();
    for line in output.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let (word, n) = (row["word"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap());
        match row["op"].as_str().unwrap() {
            "+I" | "+U" => assert_eq!(words.insert(word, n), None),
            "-U" | "-D" => assert_eq!(words.remove(&word), Some(n)),
            other => panic!("operation {other}"),
        }
    }
    words
}

/// Would fail if words were lost between two workers, or an update were not netted.
#[test]
fn word_count_counts_words() {
    let place = Place::new();
    place.write("lines.txt", "to be or not\nto be\n\nthat is to ask\n");
    let query = "SELECT word, COUNT(*) AS n FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word) GROUP BY word";
    for workers in ["1", "2", "4"] {
        let script = format!("{LINES} {query}");
        let output =
            place.succeed(&["run", "-e", &script, "--workers", workers, "--output", "json"]);
        let words = counted(&output);
        assert_eq!(words.len(), 7, "an empty line has no words");
        assert_eq!((words["to"], words["be"], words["ask"]), (3, 2, 1));
    }
}

/// Would fail if an error did not say where and what to do, or the exit code lied.
#[test]
fn errors_point_at_the_script() {
    let place = Place::new();
    place.write("lines.txt", "a\n");
    let cases = [
        ("SELECT wrd FROM lines", 2, "1:"),
        ("SELECT * FROM lins", 2, "^"),
        ("SELEC 1", 2, "^^^^^"),
        ("SELECT line FROM lines ORDER line", 2, "^"),
        ("CREATE TABLE x (a STRNG) WITH ('connector'='print')", 2, "^^^^^"),
        ("CREATE TABLE x (a STRING) WITH ('connector'='prnt')", 2, "did you mean 'print'"),
        (
            "CREATE TABLE x (a STRING) WITH ('connector'='filesystem','pth'='x','format'='raw')",
            2,
            "did you mean 'path'",
        ),
    ];
    for (statement, code, hint) in cases {
        let output = place.run(&["run", "-e", &format!("{LINES} {statement}")]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{statement}: {error}");
        assert!(error.contains(hint), "{statement}: {error}");
        assert!(output.stdout.is_empty(), "{statement}");
    }
}

/// Would fail if one bad record took others with it, or were not counted.
#[test]
fn bad_records_go_where_the_user_said() {
    let place = Place::new();
    place.write("in.json", "{\"a\": 1}\n{\"a\": \"many\"}\nnothing\n{\"a\": 2}\n");
    let table = |option: &str| {
        format!(
            "CREATE TABLE bad (record BYTES, place STRING, error STRING)
             WITH ('connector'='filesystem','path'='bad','format'='json');
             CREATE TABLE t (a BIGINT) WITH ('connector'='filesystem','path'='in.json','format'='json'{option});
             SELECT a FROM t"
        )
    };
    let output = place.run(&["run", "-e", &table(""), "--output", "json"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("in.json:2") && error.contains("`a`"), "{error}");

    let skip = table(", 'bad-records'='skip'");
    let output = place.run(&["run", "-e", &skip, "--output", "json"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"a\":1}\n{\"a\":2}\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 bad"));

    let divert = table(", 'bad-records'='table:bad'");
    assert_eq!(
        place.succeed(&["run", "-e", &divert, "--output", "json"]),
        "{\"a\":1}\n{\"a\":2}\n"
    );
    let bad = place.published("bad");
    assert_eq!(bad.len(), 2);
    assert!(bad.keys().any(|line| line.contains("in.json:3")), "{bad:?}");
}

/// Would fail if a finished job did its work twice, or a changed one used state that is not its.
#[test]
fn a_state_directory_has_a_life() {
    let place = Place::new();
    place.write("lines.txt", "a b\n");
    let job = |group: &str| {
        format!(
            "{LINES} CREATE TABLE o ({group} STRING, n BIGINT)
             WITH ('connector'='filesystem','path'='out','format'='debezium-json');
             INSERT INTO o SELECT {group}, COUNT(*) FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word) GROUP BY {group}"
        )
    };
    let run = |script: &str, more: &[&str]| {
        let mut arguments = vec!["run", "-e", script, "--state-dir", "state"];
        arguments.extend(more);
        place.run(&arguments)
    };
    assert!(run(&job("word"), &[]).status.success());
    let once = place.published("out");
    assert_eq!(once.len(), 2);
    let again = run(&format!("-- the same job\n{}", job("word")), &["--workers", "3"]);
    assert!(again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("had finished before"));
    assert_eq!(place.published("out"), once);
    let other = job("word").replace("COUNT(*)", "COUNT(DISTINCT line)");
    let changed = run(&other, &[]);
    let error = String::from_utf8_lossy(&changed.stderr);
    assert_eq!(changed.status.code(), Some(4), "{error}");
    assert!(error.contains("o/Aggregate-1") && error.contains("--fresh"), "{error}");
    assert!(run(&other, &["--fresh"]).status.success());
    let both = place.published("out");
    assert_eq!(both.values().sum::<usize>(), 4, "a fresh run overwrote earlier output: {both:?}");
    let shown = place.succeed(&["state", "list", "state"]);
    assert!(shown.contains("finished"), "{shown}");
    assert!(place.succeed(&["state", "show", "state"]).contains("operator o/Aggregate-1"));
}

/// Would fail if a job that goes on read old files again, or no new ones; or if a changed stateless
/// part, other options of a sink or other workers were taken for another job.
#[test]
fn a_finished_job_goes_on_with_new_files() {
    let place = Place::new();
    place.write("in/1.txt", "a b\n");
    let job = |filter: &str, options: &str| {
        format!(
            "CREATE TABLE lines (line STRING)
             WITH ('connector'='filesystem','path'='in','format'='raw');
             CREATE TABLE o (word STRING, n BIGINT) WITH
             ('connector'='filesystem','path'='out','format'='debezium-json'{options});
             INSERT INTO o SELECT word, COUNT(*) FROM lines
             CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word) {filter} GROUP BY word"
        )
    };
    let run = |script: &str, more: &[&str]| {
        place.succeed(&[&["run", "-e", script, "--state-dir", "state"], more].concat())
    };
    run(&job("", ""), &[]);
    assert_eq!(place.published("out").len(), 2);
    place.write("in/2.txt", "b c\n");
    let rolled = ", 'sink.rolling-policy.file-size'='1mb'";
    run(&job("WHERE word <> 'c'", rolled), &["--continue", "--workers", "3"]);
    let lines: Vec<String> = place.published("out").into_keys().collect();
    assert!(!lines.iter().any(|line| line.contains("\"word\":\"c\"")), "{lines:?}");
    let updated = lines.iter().filter(|line| line.contains("\"word\":\"b\",\"n\":2")).count();
    assert_eq!(updated, 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("\"word\":\"a\"")).count(), 1, "{lines:?}");
}

/// Would fail if rows from a pipe or a socket were lost, or waited for the end of the input.
#[test]
fn lines_stream_from_pipes_and_sockets() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::Stdio;

    let place = Place::new();
    let query = "SELECT UPPER(line) AS shout FROM lines WHERE line <> 'quiet'";
    let stdin = format!("CREATE TABLE lines (line STRING) WITH ('connector'='stdin'); {query}");
    let mut command = place.command(&["run", "-e", &stdin, "--output", "csv"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    input.write_all(b"one\nquiet\n").unwrap();
    assert_eq!(output.next().unwrap().unwrap(), "shout");
    assert_eq!(output.next().unwrap().unwrap(), "ONE");
    input.write_all(b"two").unwrap();
    drop(input);
    assert_eq!(output.next().unwrap().unwrap(), "TWO");
    assert!(child.wait().unwrap().success());

    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let socket = format!(
        "CREATE TABLE lines (line STRING)
         WITH ('connector'='socket', 'hostname'='127.0.0.1', 'port'='{port}'); {query}"
    );
    let mut child = place
        .command(&["run", "-e", &socket, "--output", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut peer, _) = server.accept().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for word in ["a", "b"] {
        writeln!(peer, "{word}").unwrap();
        let expected = format!("{{\"shout\":\"{}\"}}", word.to_uppercase());
        assert_eq!(output.next().unwrap().unwrap(), expected);
    }
    drop(peer);
    assert!(child.wait().unwrap().success());
}

/// Would fail if a job that waits for a slow reader of its output were never woken again: more is
/// shown here than its queues hold.
#[test]
fn a_slow_reader_gets_everything() {
    use std::io::Read;
    use std::process::Stdio;

    let place = Place::new();
    let script = "CREATE TABLE t (n BIGINT, word STRING) WITH ('connector' = 'datagen',
        'rows-per-second' = '10000000', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1',
        'fields.n.end' = '600000', 'fields.word.length' = '90'); SELECT n, word FROM t";
    let mut command = place.command(&["run", "-e", script, "--output", "csv", "--workers", "2"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    // Let all queues fill first.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let (mut lines, mut block) = (0, vec![0; 1 << 20]);
    loop {
        let count = output.read(&mut block).unwrap();
        if count == 0 {
            break;
        }
        lines += block[..count].iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(lines, 600_001);
    assert!(child.wait().unwrap().success());
}

/// Would fail if a terminal were told nothing, or if something else than a terminal were told.
#[test]
fn a_terminal_gets_a_line_of_progress() {
    let place = Place::new();
    let script = "CREATE TABLE t (n BIGINT, at TIMESTAMP(3),
        WATERMARK FOR at AS at - INTERVAL '1' SECOND) WITH ('connector' = 'datagen',
        'rows-per-second' = '1000', 'number-of-rows' = '1600');
        CREATE TABLE o (n BIGINT) WITH ('connector' = 'blackhole'); INSERT INTO o SELECT n FROM t";
    place.write("job.sql", script);
    let spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", spawn, env!("CARGO_BIN_EXE_thalweg"), "run"]).arg(place.path("job.sql"));
    let shown = command.output().unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success(), "{text}");
    assert!(text.contains("1 s: ") && text.contains(" rows/s, watermark 20"), "{text}");
    assert!(text.contains("1600 rows in"), "{text}");
    let output = place.run(&["run", "job.sql"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("rows/s"));
}
