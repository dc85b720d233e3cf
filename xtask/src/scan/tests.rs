use super::*;

/// Compares code and, apart from blanks around them, comments.
fn check(text: &str, code: &str, comments: &str) {
    let scanned = scan(text);
    assert_eq!(scanned.code, code, "code of {text}");
    assert_eq!(scanned.comments.trim(), comments, "comments of {text}");
    assert_eq!(scanned.comments.len(), text.len(), "columns of {text}");
}

#[test]
fn strings_and_comments_leave_the_code() {
    // A brace in a string would end a function too early.
    check("a \"}\" b", "a \" \" b", "");
    check("a // } b\nc", "a       \nc", "// } b");
    check("a /*/* } */}*/ b", "a              b", "/*/* } */}*/");
}

#[test]
fn raw_strings_end_at_their_hashes() {
    // A quote inside a raw string would turn the rest of the file inside out.
    check("r#\"a\"}\"# x", "r#\"   \"# x", "");
    check("br\"\\\" x", "br\" \" x", "");
    check("\"\\\"}\" x", "\"   \" x", "");
}

#[test]
fn a_lifetime_is_no_character() {
    // Otherwise the text up to the next apostrophe would vanish.
    check("<'a>{ '}' }", "<'a>{ ' ' }", "");
    check("'\\'' }", "'  ' }", "");
    check("b'{' '\u{e9}'", "b' ' '  '", "");
}

#[test]
fn a_word_that_ends_in_r_starts_no_string() {
    // The quote behind `for` opens a string that knows escapes.
    check("for\"\\\"}\"", "for\"   \"", "");
}
