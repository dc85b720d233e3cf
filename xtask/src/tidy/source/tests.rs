use super::*;

/// Would fail if a rule could be broken unseen.
#[test]
fn each_rule_finds_its_violation() {
    let long = format!("//! x\nfn f() {{\n{}}}\n", "    a();\n".repeat(70));
    let marked = format!("//! x\n// {}: later\n", concat!("TO", "DO"));
    let cases = [
        ("fn f() {}\n".to_owned(), "does not open"),
        ("//! x\n".repeat(601), "601 lines"),
        (long, "the function has 72 lines"),
        (marked, "without the number"),
    ];
    for (text, expected) in cases {
        let found = check("src/a.rs", &text);
        assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
    }
    assert!(check("src/a.rs", "//! x\npub fn f() {\n    g();\n}\n").is_empty());
}
