//! How rows are shown: as a table, as CSV and as JSON, on a terminal and elsewhere.

use crate::support::Place;

const WORDS: &str = "CREATE TABLE w (word STRING, n BIGINT, x DOUBLE) WITH
    ('connector'='filesystem','path'='w.json','format'='json');";

fn place() -> Place {
    let place = Place::new();
    place.write(
        "w.json",
        "{\"word\":\"a\",\"n\":1,\"x\":0.1}\n{\"word\":\"two, \\\"three\\\"\\n\",\"n\":-20}\n",
    );
    place
}

/// Would fail if a table were not as wide as its rows, or a line feed ended a row.
#[test]
fn rows_are_shown_in_each_style() {
    let place = place();
    let check = |query: &str, output: &str, expected: &str| {
        let script = format!("{WORDS} {query}");
        let arguments = ["run", "-q", "-e", &script, "--output", output, "--workers", "2"];
        assert_eq!(place.succeed(&arguments), expected, "{query} as {output}");
    };
    let all = "SELECT * FROM w";
    check(
        all,
        "table",
        "word           |   n |    x\n\
         ---------------+-----+-----\n\
         a              |   1 |  0.1\n\
         two, \"three\"\\n | -20 | NULL\n",
    );
    check(all, "csv", "word,n,x\na,1,0.1\n\"two, \"\"three\"\"\n\",-20,\n");
    let one = "SELECT CAST(1.50 AS DECIMAL(5, 2)) AS d, CAST(0.1 AS DOUBLE) + 0.2 AS x,
        CAST('ab' AS BYTES) AS b FROM w WHERE n = 1";
    check(one, "json", "{\"d\":1.50,\"x\":0.30000000000000004,\"b\":\"YWI=\"}\n");
    let updating = "SELECT COUNT(*) AS c, MAX(word) AS word FROM w WHERE n = 1";
    check(updating, "table", "op | c | word\n---+---+-----\n+I | 1 | a\n");
}

/// Would fail if a person read another time than clocks show, or a program one without its zone.
#[test]
fn people_read_instants_in_their_zone_and_programs_in_utc() {
    let place = Place::new();
    let summer = "SET 'table.local-time-zone' = 'Europe/Berlin';
        CREATE TABLE p (n BIGINT, at TIMESTAMP_LTZ(3)) WITH ('connector'='print');
        CREATE VIEW v AS SELECT 1 AS n, TO_TIMESTAMP_LTZ(1711846800, 0) AS at;";
    let check = |statement: &str, output: &str, expected: &str| {
        let script = format!("{summer} {statement}");
        let found = place.succeed(&["run", "-q", "-e", &script, "--output", output]);
        assert_eq!(found, expected, "{statement} as {output}");
    };
    let table = "n | at\n--+------------------------\n1 | 2024-03-31 03:00:00.000\n";
    check("SELECT n, at FROM v", "table", table);
    check("SELECT n, at FROM v", "csv", "n,at\n1,2024-03-31 01:00:00.000Z\n");
    check("SELECT n, at FROM v", "json", "{\"n\":1,\"at\":\"2024-03-31 01:00:00.000Z\"}\n");
    check("INSERT INTO p SELECT n, at FROM v", "table", "+I[1, 2024-03-31 03:00:00.000]\n");
    check("INSERT INTO p SELECT n, at FROM v WHERE n > 1", "table", "");
}

/// Would fail if a terminal were given changes rather than the result, or lines longer than it.
#[test]
fn a_terminal_shows_the_current_result() {
    let place = place();
    let spawn = "import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 20, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
shown = b''
while True:
    try:
        block = os.read(terminal, 65536)
    except OSError:
        break
    if not block:
        break
    shown += block
sys.stdout.buffer.write(shown)
sys.exit(os.waitpid(pid, 0)[1] >> 8)";
    place.write("spawn.py", spawn);
    let query = |query: &str| {
        let mut command = std::process::Command::new("python3");
        command.arg(place.path("spawn.py")).arg(env!("CARGO_BIN_EXE_thalweg"));
        let script = format!("{WORDS} {query}")
            .replace("'w.json'", &format!("'{}'", place.path("w.json").display()));
        command.args(["run", "-q", "-e", &script]).env_remove("THALWEG_OUTPUT");
        let shown = command.output().unwrap();
        let text = String::from_utf8_lossy(&shown.stdout).replace('\r', "");
        assert!(shown.status.success(), "{text}");
        text
    };
    let text = query("SELECT word, n, n FROM w");
    assert!(text.lines().all(|line| line.chars().count() <= 20), "{text}");
    assert!(text.contains("two, \"t… | -20 | -20"), "{text}");
    let text = query("SELECT n > 0 AS p, COUNT(*) AS c FROM w GROUP BY n > 0");
    let last = text.rsplit("\x1b[J").next().unwrap_or_default();
    let mut lines: Vec<&str> = last.lines().map(str::trim_end).collect();
    lines[2..].sort_unstable();
    assert_eq!(lines, ["p     | c", "------+--", "false | 1", "true  | 1"], "{text}");
}
