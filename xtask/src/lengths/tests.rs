use super::*;
use crate::scan::scan;

fn found(path: &str, text: &str) -> Vec<Violation> {
    check(&File { path: path.to_owned(), text: text.to_owned() }, &scan(text))
}

#[test]
fn a_function_of_71_lines_is_found() {
    // The scanner would lose count at the brace in a string, or at the comment.
    let body = "    call(\"}\"); // }\n".repeat(69);
    let text = format!("//! A.\n\nfn long() {{\n{body}}}\n");
    let violations = found("src/a.rs", &text);
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].line, 3);
    assert_eq!(violations[0].message, "function `long` has 71 lines, more than 70");
}

#[test]
fn a_function_of_70_lines_passes() {
    // The bound is a bound, not one less.
    let text = format!("fn long() {{\n{}}}\n", "    call();\n".repeat(68));
    assert_eq!(found("src/a.rs", &text), Vec::new());
}

#[test]
fn functions_without_body_and_function_types_are_no_functions() {
    // A trait method would run on into the next item.
    let code = "trait T { fn a(&self, b: [u8; 4]) -> fn (u8) -> u8; fn c() {\n} }";
    assert_eq!(functions(code), vec![Function { name: "c", line: 1, lines: 2 }]);
}

#[test]
fn a_file_of_601_lines_is_found_unless_it_is_for_tests() {
    // Files grow one line at a time.
    let text = "// line\n".repeat(601);
    assert_eq!(found("src/a.rs", &text)[0].line, 601);
    assert_eq!(found("src/a/tests.rs", &text), Vec::new());
    assert_eq!(found("tests/it/main.rs", &text), Vec::new());
}
