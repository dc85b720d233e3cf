use super::*;

fn shown(error: Error) -> String {
    format!("{:?} {:?} {:?}", error.message(), error.places(), error.remedy_text())
}

/// Would fail if the place that the parser names were lost, or its words were not ours.
#[test]
fn messages_of_the_parser_keep_their_place() {
    let error = parser_message("sql parser error: Expected: ), found: FORM at Line: 3, Column: 14");
    let place = "[Sql { line: 3, column: 14, length: 1 }]";
    assert_eq!(shown(error), format!("\"expected ), found `FORM`\" {place} None"));
    let error = parser_message("sql parser error: Expected: an expression, found: EOF");
    assert_eq!(shown(error), "\"expected an expression, found the end of the statement\" [] None");
    let error = parser_message("Recursion limit exceeded");
    assert_eq!(shown(error), "\"recursion limit exceeded\" [] None");
}

/// Would fail if what is missing at the end were reported at the start.
#[test]
fn what_is_missing_at_the_end_is_missing_behind_the_last_token() {
    let tokens = crate::tokens::tokenize("SELECT a\n  FROM").unwrap();
    let error = parse_error(&ParserError::ParserError("Expected: a, found: EOF".into()), &tokens);
    assert_eq!(error.places(), [Place::Sql { line: 2, column: 7, length: 1 }]);
}

/// Would fail if a name were suggested that nobody can have meant.
#[test]
fn only_near_names_are_suggested() {
    let remedy = |name: &str, known: &[&str]| {
        let error = suggest(Error::invalid("x"), name, known);
        error.remedy_text().map(str::to_owned)
    };
    assert_eq!(remedy("prce", &["price", "auction"]).unwrap(), "did you mean `price`?");
    assert_eq!(remedy("ID", &["a", "id"]).unwrap(), "did you mean `id`?");
    assert_eq!(remedy("now", &["row"]), None);
    assert_eq!(remedy("elephant", &["price"]), None);
}

/// Would fail if an error of ours lost its kind or its remedy on the way through DataFusion.
#[test]
fn errors_of_ours_pass_through_datafusion() {
    let error = Error::new(ErrorKind::State, "lost").remedy("look");
    let wrapped = wrap(error).context("planning").context("more");
    let back = plan_error(wrapped);
    assert_eq!(
        (back.kind(), back.message(), back.remedy_text()),
        (ErrorKind::State, "lost", Some("look"))
    );
}
