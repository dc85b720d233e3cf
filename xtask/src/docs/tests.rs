use super::*;

fn check_text(path: &str, text: &str) -> usize {
    check(&File { path: path.to_owned(), text: text.to_owned() }).len()
}

#[test]
fn a_file_without_docs_is_found() {
    // The rule would be a wish.
    assert_eq!(check_text("src/a.rs", "use std::fmt;\n"), 1);
    assert_eq!(check_text("src/a.rs", "/// Of an item.\nstruct A;\n"), 1);
    assert_eq!(check_text("src/a.rs", "//! Words.\n"), 0);
}

#[test]
fn test_files_speak_for_themselves() {
    // The names of tests are claims; a headline adds nothing.
    assert_eq!(check_text("src/a/tests.rs", "use super::*;\n"), 0);
}
