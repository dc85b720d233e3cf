use super::*;

fn pieces(text: &str) -> (Vec<&str>, &str, bool) {
    let found = statements(text);
    let whole = found.whole.iter().map(|range| &text[range.clone()]).collect();
    (whole, &text[found.rest..], found.is_unfinished)
}

/// Would fail if a semicolon inside something ended a statement, or one outside did not.
#[test]
fn statements_end_where_the_parser_ends_them() {
    let check = |text: &str, whole: &[&str], rest: &str, is_unfinished: bool| {
        assert_eq!(pieces(text), (whole.to_vec(), rest, is_unfinished), "{text}");
    };
    check("", &[], "", false);
    check(" ; ;\n", &[], "\n", false);
    check("SELECT 1", &[], "SELECT 1", true);
    check("SELECT 1;", &["SELECT 1;"], "", false);
    check("a; b;c", &["a;", "b;"], "c", true);
    check("SELECT ';';", &["SELECT ';';"], "", false);
    check("SELECT 'it''s;", &[], "SELECT 'it''s;", true);
    check("SELECT `a;b`, \"c;\";", &["SELECT `a;b`, \"c;\";"], "", false);
    check("SELECT `a;", &[], "SELECT `a;", true);
    check("-- no;\nSELECT 1; -- done;", &["SELECT 1;"], " -- done;", false);
    check("SELECT /* ; */ 1;", &["SELECT /* ; */ 1;"], "", false);
    check("SELECT 1 /* ;", &[], "SELECT 1 /* ;", true);
    check("SELECT 'ä🦀;'; x", &["SELECT 'ä🦀;';"], " x", true);
    let set = "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END;";
    check(&format!("{set} x;"), &[set, "x;"], "", false);
    let set = "begin statement set; INSERT INTO a SELECT 1; end;";
    check(set, &[set], "", false);
    let open = "EXPLAIN STATEMENT SET BEGIN INSERT INTO a SELECT 1;";
    check(open, &[], open, true);
}

/// Would fail if a text were painted as something else, or an open quote were not seen.
#[test]
fn lexemes_have_classes() {
    let text = "select näme, `q x` 'ü' 12 /* c */ + -- d\nFROM";
    let found: Vec<(Class, &str)> =
        lexemes(text).iter().map(|l| (l.class, &text[l.range.clone()])).collect();
    let expected = [
        (Class::Keyword, "select"),
        (Class::Name, "näme"),
        (Class::Symbol, ","),
        (Class::Quoted, "`q x`"),
        (Class::Text, "'ü'"),
        (Class::Number, "12"),
        (Class::Comment, "/* c */"),
        (Class::Symbol, "+"),
        (Class::Comment, "-- d\n"),
        (Class::Keyword, "FROM"),
    ];
    assert_eq!(found, expected);
    for (text, class) in [
        ("a 'b", Class::Text),
        ("a `b c", Class::Quoted),
        ("a /* b", Class::Comment),
        ("'path' = 'a b", Class::Text),
    ] {
        let last = lexemes(text).pop().unwrap();
        assert_eq!((last.class, last.is_open), (class, true), "{text}");
    }
}

/// Would fail if some text made whoever types it lose the shell.
#[test]
fn any_text_is_cut() {
    for text in [
        "\\",
        "\u{0}",
        "'\\",
        "é'",
        "$a$",
        "U&'\\",
        "x'",
        "@@",
        "1e",
        "\r\n;",
        "🦀;🦀",
        "$$;",
        "/*/* */;",
    ] {
        let found = statements(text);
        assert!(found.rest <= text.len(), "{text}");
        assert!(lexemes(text).iter().all(|l| text.get(l.range.clone()).is_some()), "{text}");
    }
}
