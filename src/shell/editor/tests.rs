use super::*;

/// Would fail if Enter ran half a statement, or did not run a whole one.
#[test]
fn what_is_whole_is_run() {
    let cases = [
        ("", true),
        ("SELECT 1", false),
        ("SELECT 1;", true),
        ("SELECT 1; SELECT", false),
        ("SELECT ';", false),
        ("-- a comment", true),
        ("quit", true),
        ("Exit ", true),
        ("\\d", true),
        ("SELECT 1\n\\c", true),
        ("SELECT 'a\n\\c", false),
    ];
    for (text, expected) in cases {
        assert_eq!(is_whole(text), expected, "{text}");
    }
}

/// Would fail if painting changed what stands there.
#[test]
fn painting_keeps_the_text() {
    for text in ["SELECT 'ä' -- b\n  FROM `c d`, 1", "\\d x", "'open", "🦀 é\u{301}"] {
        let painted: String =
            Painter.highlight(text, 0).buffer.into_iter().map(|(_, piece)| piece).collect();
        assert_eq!(painted, text);
    }
}
