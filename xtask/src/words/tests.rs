use super::*;
use crate::scan::scan;

fn found(text: &str) -> usize {
    check(&File { path: "src/a.rs".to_owned(), text: text.to_owned() }, &scan(text)).len()
}

#[test]
fn a_note_to_come_back_needs_an_issue() {
    // Nobody would ever come back.
    assert_eq!(found(&format!("// {TODO}: later\n")), 1);
    assert_eq!(found(&format!("// {TODO}(#7): later\n")), 0);
    assert_eq!(found(&format!("let {TODO} = \"{TODO}\";\n")), 0);
}

#[test]
fn every_forbidden_word_is_found() {
    // A word in the list that is never looked for.
    for (word, _) in FORBIDDEN {
        assert_eq!(found(&format!("fn a() {{ {word} }}\n")), 1, "{word}");
    }
    assert_eq!(found("//! Rooms, not homes.\n"), 0);
}

#[test]
fn a_drawer_for_everything_is_found() {
    // A file called after nothing collects everything.
    let tree = Tree::of(&[("crates/a/src/utils.rs", ""), ("crates/a/src/utilization.rs", "")]);
    assert_eq!(check_names(&tree).len(), 1);
    assert_eq!(check_names(&Tree::of(&[("crates/common/src/lib.rs", "")])).len(), 1);
}
