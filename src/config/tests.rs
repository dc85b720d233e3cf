use super::*;

fn config(text: &str, variables: &[(&str, &str)]) -> Result<Config> {
    let mut config = Config::usual();
    for (key, value) in parse(text, FILE)? {
        config.set(key, value, Origin::File);
    }
    config.read_environment(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })?;
    Ok(config)
}

/// Would fail if one source of values went before the wrong one, or its origin were lost.
#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let file = "[run]\nworkers = 2\nprocesses = 2\noutput = \"json\"\n[log]\nlevel = \"info\"\n";
    let mut config = config(file, &[("THALWEG_WORKERS", "4"), ("THALWEG_OUTPUT", "csv")]).unwrap();
    config.flag(Key::Output, Some("table".to_owned()));
    config.flag(Key::StateDir, None);
    let shown = config.to_string();
    let lines: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected: [&[&str]; 12] = [
        &["[run]"],
        &["workers", "=", "4", "#", "THALWEG_WORKERS"],
        &["processes", "=", "2", "#", "thalweg.toml"],
        &["checkpoint_interval", "=", "\"1s\"", "#", "default"],
        &["#", "state_dir", "=", "#", "default"],
        &["memory_limit", "=", "\"80%\"", "#", "default"],
        &["#", "clock", "=", "#", "default"],
        &["output", "=", "\"table\"", "#", "flag"],
        &[],
        &["[log]"],
        &["level", "=", "\"info\"", "#", "thalweg.toml"],
        &["format", "=", "\"text\"", "#", "default"],
    ];
    assert_eq!(lines, expected, "{shown}");
    parse(&shown, FILE).expect("what is shown is a file");
    assert_eq!(config.with_script(Key::Workers, Some("8")), Some("4"));
    assert_eq!(config.with_script(Key::Processes, Some("8")), Some("8"));
    assert_eq!(config.with_script(Key::Processes, None), Some("2"));
}

/// Would fail if a mistyped key were passed over, or an error did not say where it is.
#[test]
fn what_is_wrong_is_named_with_its_place() {
    let cases = [
        (
            "[run]\nworker = 2",
            &[][..],
            "thalweg.toml:2 unknown key `worker` did you mean `workers`?",
        ),
        ("\n[rum]\nworkers = 2", &[], "thalweg.toml:2 unknown section `rum` did you mean `run`?"),
        ("run = 3", &[], "thalweg.toml:1 `run` is a section write [run]"),
        ("[run]\n\nworkers = \"2\"", &[], "thalweg.toml:3 `workers` is a number, not: string"),
        ("[run]\nworkers = 0", &[], "thalweg.toml:2 `workers` is not a number from 1 to 256: '0'"),
        (
            "[run]\ncheckpoint_interval = \"soon\"",
            &[],
            "thalweg.toml:2 `checkpoint_interval` is not a time span such as \"1s\": 'soon'",
        ),
        (
            "[log]\nformat = \"xml\"",
            &[],
            "thalweg.toml:2 `format` is not \"text\" or \"json\": 'xml'",
        ),
        (
            "[run]\nclock = \"noon\"",
            &[],
            "thalweg.toml:2 `clock` is not a time from 1970 to 2199 such as \"2026-01-01 00:00:00\": 'noon'",
        ),
        (
            "",
            &[("THALWEG_PROCESSES", "many")],
            "THALWEG_PROCESSES is not a number from 1 to 256: 'many'",
        ),
    ];
    for (file, variables, expected) in cases {
        let error = config(file, variables).unwrap_err();
        let place = error.places().first().map(|place| format!("{place} ")).unwrap_or_default();
        let remedy = error.remedy_text().map(|text| format!(" {text}")).unwrap_or_default();
        assert_eq!(format!("{place}{}{remedy}", error.message()), expected, "{file}");
    }
    let error = config("[run\n", &[]).unwrap_err();
    assert_eq!(error.places().len(), 1, "{error:?}");
}
