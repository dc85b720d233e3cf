use super::*;

/// Would fail if a command were listed but not read, or took what does not belong to it.
#[test]
fn what_help_lists_is_read() {
    for (name, argument, _) in COMMANDS {
        let needs = !argument.is_empty() && !argument.starts_with('[');
        assert_eq!(Command::parse(name).is_err(), needs, "{name}");
        let with = Command::parse(&format!("{name} a b"));
        assert_eq!(with.is_err(), argument.is_empty(), "{name}: {with:?}");
        assert!(help().contains(&format!("{name} {argument}")), "{name}");
    }
}

/// Would fail if blanks, quotes or a semicolon changed what is meant.
#[test]
fn commands_are_read_as_people_type_them() {
    let check = |line: &str, expected: Command| {
        assert_eq!(Command::parse(line).ok(), Some(expected), "{line}");
    };
    check("\\d orders;", Command::Describe(Some("orders".to_owned())));
    check(" \\q ", Command::Quit);
    check("\\df  reg*", Command::Functions(Some("reg*".to_owned())));
    let set = Command::Set(Some(("parallelism.default".to_owned(), "2".to_owned())));
    for line in [
        "\\set parallelism.default 2",
        "\\set 'parallelism.default' = '2';",
        "\\set parallelism.default=2",
    ] {
        check(line, set.clone());
    }
}

/// Would fail if a slip of the finger were not answered by what was meant.
#[test]
fn an_unknown_command_names_the_nearest() {
    let error = Command::parse("\\timng").unwrap_err();
    assert_eq!(error.message(), "there is no command `\\timng`");
    assert!(error.remedy_text().unwrap().contains("`\\timing`"));
}
