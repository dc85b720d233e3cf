//! Commands that run nothing, and what is configured: the file, the environment, flags, `SET`.

use crate::support::Place;

const ROWS: &str = "CREATE TABLE t (n BIGINT) WITH ('connector'='datagen','number-of-rows'='2',
    'fields.n.kind'='sequence','fields.n.start'='1','fields.n.end'='2')";

/// Would fail if `check` ran something, or an error were told otherwise than by `run`.
#[test]
fn check_plans_and_touches_nothing() {
    let place = Place::new();
    let sink = "CREATE TABLE o (n BIGINT) WITH
        ('connector'='filesystem','path'='out','format'='json')";
    place.write("job.sql", &format!("{ROWS}; {sink}; INSERT INTO o SELECT n FROM t"));
    let output = place.run(&["check", "job.sql"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok: 3 statements\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("note: sink `o` is exactly once"));
    assert!(!place.path("out").exists());
    let output = place.run(&["check", "-q", "-e", ROWS]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok: 1 statement\n");
    assert!(output.stderr.is_empty());
    let wrong = format!("{ROWS}; SELECT m FROM t");
    let (checked, run) = (place.run(&["check", "-e", &wrong]), place.run(&["run", "-e", &wrong]));
    assert_eq!((checked.status.code(), &checked.stderr), (Some(2), &run.stderr));
}

/// Would fail if a shell could not read the completions.
#[test]
fn completions_name_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = place.succeed(&["completions", shell]);
        assert!(text.contains("checkpoint-interval") && text.contains("schema"), "{shell}");
    }
    assert_eq!(place.run(&["completions", "dos"]).status.code(), Some(2));
}

/// Would fail if a value came from the wrong place, or was not the one that a run obeys.
#[test]
fn values_come_from_file_environment_and_flags() {
    let place = Place::new();
    place.write("thalweg.toml", "[run]\noutput = \"json\"\nworkers = 3\nstate_dir = \"state\"\n");
    let mut command = place.command(&["config", "--processes", "1"]);
    let shown = command.env("THALWEG_WORKERS", "2").output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let check = |start: &str, origin: &str| {
        let line = shown.lines().find(|line| line.starts_with(start));
        assert!(
            line.is_some_and(|line| line.ends_with(&format!("# {origin}"))),
            "{start}: {shown}"
        );
    };
    check("workers = 2 ", "THALWEG_WORKERS");
    check("processes = 1 ", "flag");
    check("output = \"json\"", "thalweg.toml");
    check("checkpoint_interval = \"1s\"", "default");

    let rows = format!("{ROWS}; SELECT n FROM t");
    assert_eq!(place.succeed(&["run", "-e", &rows]), "{\"n\":1}\n{\"n\":2}\n");
    assert!(place.path("state").exists(), "the file names a state directory");
    place.write("other.toml", "[run]\noutput = \"csv\"\n");
    assert_eq!(place.succeed(&["run", "--config", "other.toml", "-e", &rows]), "n\n1\n2\n");

    // SET goes before the file, and a flag before SET.
    let shared = format!("SET 'parallelism.default' = '4'; {rows}");
    let workers = |more: &[&str]| {
        let arguments = [&["run", "--fresh", "--processes", "2", "-e", shared.as_str()], more];
        place.run(&arguments.concat())
    };
    assert!(workers(&[]).status.success(), "4 workers in 2 processes");
    let output = workers(&["--workers", "3"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("3 workers cannot be shared"));
}

/// Would fail if a mistyped key or value were passed over.
#[test]
fn wrong_configuration_is_refused_with_its_place() {
    let place = Place::new();
    place.write("thalweg.toml", "[run]\n\ncheckpoint_intervall = \"1s\"\n");
    let output = place.run(&["check", "-e", ROWS]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("thalweg.toml:3"), "{error}");
    assert!(error.contains("did you mean `checkpoint_interval`?"), "{error}");
    let output = place.run(&["config", "--config", "nowhere.toml"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("`nowhere.toml`"));
    let mut command = place.command(&["config", "--config", "/dev/null"]);
    let output = command.env("THALWEG_OUTPUT", "xml").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("THALWEG_OUTPUT"), "{error}");
}

/// Would fail if a quiet run said anything, or a setting of Flink's stopped a job or was dropped
/// in silence.
#[test]
fn notices_are_told_unless_it_is_quiet() {
    let place = Place::new();
    let script = format!(
        "SET 'execution.runtime-mode' = 'streaming'; SET 'restart-strategy.type' = 'none';
         SET 'table.exec.source.idle-timeout' = '1 s'; {ROWS}; SELECT n FROM t"
    );
    let output = place.run(&["run", "-e", &script]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for key in ["execution.runtime-mode", "restart-strategy.type"] {
        assert_eq!(told.matches(&format!("note: '{key}'")).count(), 1, "{told}");
    }
    assert!(told.contains("2 rows in"), "{told}");
    let output = place.run(&["run", "--quiet", "-e", &script]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success() && !output.stdout.is_empty());
    let output = place.run(&["run", "-q", "-e", "SELECT x"]);
    assert!(!output.stderr.is_empty(), "errors are told");
    let output = place.run(&["run", "-qv", "-e", &script]);
    assert_eq!(output.status.code(), Some(2));
}

/// Would fail if another process of a job did not hear how much is to be logged, or in which form.
#[test]
fn all_processes_of_a_job_log_alike() {
    let place = Place::new();
    let script = format!("{ROWS}; SELECT n FROM t");
    let processes = ["--processes", "2", "--workers", "2", "-e", script.as_str()];
    let told = |flags: &[&str]| {
        let output = place.run(&[&["run"], flags, &processes].concat());
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(!told(&[]).contains("Process takes part."));
    let text = told(&["-v"]);
    assert!(text.contains("Process takes part.") && text.contains("Attempt ends."), "{text}");
    let json = told(&["-v", "--log-format", "json"]);
    assert!(json.contains("\"message\":\"Process takes part.\""), "{json}");
}

/// Would fail if an error in a long line could not be seen for it, or pointed beside what is wrong.
#[test]
fn an_error_in_a_long_line_is_shown_with_what_is_around_it() {
    let place = Place::new();
    let blank = " ".repeat(400);
    let output =
        place.run(&["check", "-e", &format!("{ROWS};{blank}SELECT m FROM t;{blank}SELECT 1")]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = told.lines().collect();
    let line = lines.iter().position(|line| line.starts_with("2 | …")).expect("the line is cut");
    assert!(lines[line].ends_with('…') && lines[line].chars().count() < 130, "{told}");
    let at = lines[line].chars().position(|c| c == 'm');
    assert_eq!(lines[line + 1].chars().position(|c| c == '^'), at, "{told}");
}

/// Would fail if a query that has all of its rows read on for ever.
#[test]
fn a_limit_ends_a_job_whose_input_does_not() {
    let place = Place::new();
    let script = "CREATE TABLE g (n BIGINT) WITH ('connector'='datagen',
        'fields.n.kind'='sequence','fields.n.start'='1','fields.n.end'='1000000000');
        SELECT n FROM g LIMIT 3 OFFSET 2";
    let shown = place.succeed(&["run", "-q", "-e", script, "--output", "csv", "--workers", "1"]);
    assert_eq!(shown, "n\n3\n4\n5\n");
}
