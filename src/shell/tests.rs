use super::*;

/// Would fail if an error in a later statement pointed at another place.
#[test]
fn a_statement_keeps_its_place() {
    let script = "SELECT 'ä';\n  SELECT b;";
    let found = lexemes::statements(script).whole;
    assert_eq!(placed(script, found[0].clone()), "SELECT 'ä';");
    assert_eq!(placed(script, found[1].clone()), "           \n  SELECT b;");
}

/// Would fail if `\df` did not find what a pattern means.
#[test]
fn patterns_find_names() {
    for (name, pattern, expected) in [
        ("regexp_extract", "regexp", true),
        ("regexp_extract", "EXTRACT", true),
        ("regexp_extract", "regexp*", true),
        ("regexp_extract", "*regexp", false),
        ("regexp_extract", "r*_*t", true),
        ("regexp_extract", "e*", false),
        ("aa", "aa*a", false),
        ("upper", "*", true),
    ] {
        assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
    }
}

/// Would fail if a name were taken for a word, or a comment for a statement.
#[test]
fn a_statement_begins_with_words() {
    assert_eq!(
        first_words("-- x\ncreate temporary table t (a INT)"),
        ["CREATE", "TEMPORARY", "TABLE"]
    );
    assert_eq!(first_words(" quit ;"), ["QUIT"]);
    assert_eq!(first_words("t"), [""; 0]);
}
