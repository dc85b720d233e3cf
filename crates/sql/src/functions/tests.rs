use chrono::NaiveDate;

use super::pattern::Pattern;
use crate::test_support::plan;

/// Would fail if a letter of Java's were read as another part of the time.
#[test]
fn date_patterns_are_javas() {
    let time = NaiveDate::from_ymd_opt(2020, 4, 5).unwrap().and_hms_micro_opt(16, 7, 8, 90_123);
    let time = time.unwrap();
    let cases = [
        ("yyyy-MM-dd HH:mm:ss.SSS", "2020-04-05 16:07:08.090"),
        ("yy/M/d h:m:s a", "20/4/5 4:7:8 PM"),
        ("EEE, dd MMM yyyy", "Sun, 05 Apr 2020"),
        ("EEEE d. MMMM", "Sunday 5. April"),
        ("HH 'o''clock' ''100%''", "16 o'clock '100%'"),
        ("ss.SSSSSS D", "08.090123 096"),
        ("", ""),
    ];
    for (pattern, expected) in cases {
        let mut text = String::new();
        Pattern::new(pattern).unwrap().format(time, &mut text);
        assert_eq!(text, expected, "{pattern}");
    }
}

/// Would fail if a text that does not fit were read as some time.
#[test]
fn texts_are_read_by_their_pattern() {
    let read = |pattern: &str, text: &str| {
        Pattern::new(pattern).unwrap().parse(text).map(|time| time.to_string())
    };
    let cases = [
        ("yyyy-MM-dd HH:mm:ss.SSS", "2020-04-05 16:07:08.090", Some("2020-04-05 16:07:08.090")),
        ("dd.MM.yyyy", "05.04.2020", Some("2020-04-05 00:00:00")),
        ("yyyy-MM", "2020-04", Some("2020-04-01 00:00:00")),
        ("yyyy-MM-dd H", "2020-04-05 16", Some("2020-04-05 16:00:00")),
        ("hh:mm a", "04:07 PM", Some("1970-01-01 16:07:00")),
        ("yyyy-MM-dd", "2020-04-31", None),
        ("yyyy-MM-dd", "2020-04-05x", None),
        ("yyyy-MM-dd", "", None),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(read(pattern, text).as_deref(), expected, "{pattern}: {text}");
    }
}

/// Would fail if a letter without a meaning were written as it stands.
#[test]
fn unknown_letters_are_refused() {
    for pattern in ["yyyy q", "YYYYY", "SSSS", "'open", "n"] {
        let error = Pattern::new(pattern).unwrap_err();
        assert!(error.message().contains("is not understood"), "{pattern}: {error:?}");
    }
}

/// Would fail if the page of functions promised one that is not here, or left one out.
#[test]
fn the_page_of_functions_does_not_lie() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/sql/functions.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (mut here, mut wrong) = (0, Vec::new());
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let row = row.replace("\\|", "\u{0}");
        let cells: Vec<String> =
            row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect();
        let example = match cells[3].strip_prefix("`` ") {
            Some(rest) => rest.trim_end_matches("``").trim(),
            None => cells[3].trim_matches('`'),
        };
        let planned = plan(&format!("SELECT {example} AS v FROM bid"));
        here += usize::from(cells[2] == "yes");
        match (cells[2].as_str(), planned) {
            ("yes", Err(error)) => wrong.push(format!("{example}: {error:?}")),
            ("no", Ok(_)) => wrong.push(format!("{example} is here")),
            ("yes" | "no", _) => {}
            _ => wrong.push(format!("neither yes nor no: {row}")),
        }
    }
    // What begins so is written in another way.
    for function in super::all().iter().filter(|function| !function.name().starts_with("__")) {
        let name = function.name().to_uppercase().replace("IS_JSON", "IS JSON");
        if !page.contains(&name) {
            wrong.push(format!("{name} is not on the page"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(here > 150, "only {here} functions are on the page");
}
