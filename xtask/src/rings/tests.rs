use super::*;

fn found(files: &[(&str, &str)]) -> Vec<String> {
    check(&Tree::of(files)).iter().map(ToString::to_string).collect()
}

const LIB: (&str, &str) = ("src/lib.rs", "//! A.\nmod low;\nmod high;\n");

#[test]
fn a_module_may_name_what_is_declared_above_it() {
    // The check would cry wolf.
    let high =
        ("src/high.rs", "use crate::low::{A, B as C};\nfn f() { crate::low::g(); self::h() }");
    assert_eq!(found(&[high, LIB, ("src/low.rs", "pub fn g() {}")]), Vec::<String>::new());
}

#[test]
fn a_module_that_names_one_declared_below_it_is_found() {
    // A ring begins with the first arrow against the order.
    let low = ("src/low.rs", "// crate::high\nfn f() {\n    crate::high::g::<u8>()\n}");
    let expected = ["src/low.rs:3: module `low` names `high`, which is declared below it"];
    assert_eq!(found(&[LIB, ("src/high.rs", ""), low]), expected);
    let low = ("src/low.rs", "use super::{\n    high::{self, G},\n};");
    let expected = ["src/low.rs:2: module `low` names `high`, which is declared below it"];
    assert_eq!(found(&[LIB, ("src/high.rs", ""), low]), expected);
}

#[test]
fn siblings_deep_in_the_tree_keep_their_order_too() {
    // Only the first floor would be in order.
    let high = ("src/high.rs", "mod first;\nmod second;\npub(crate) struct H;");
    let low = ("src/low.rs", "");
    let first = ("src/high/first.rs", "use super::second::S;\nuse super::H;\nuse crate::low;");
    let second = ("src/high/second.rs", "use super::first::F;");
    let expected =
        ["src/high/first.rs:1: module `first` names `second`, which is declared below it"];
    assert_eq!(found(&[high, first, second, LIB, low]), expected);
}

#[test]
fn a_name_that_the_root_re_exports_is_a_name_of_its_module() {
    // `crate::High` would hide the arrow that `crate::high::High` shows.
    let lib = ("src/lib.rs", "mod low;\nmod high;\npub use high::{High, Other};\n");
    let low = ("src/low.rs", "use crate::High;");
    assert_eq!(found(&[lib, ("src/high.rs", ""), low]).len(), 1);
}

#[test]
fn tests_may_name_everything() {
    // A test of a low module may use a high one to make its input.
    let low = ("src/low.rs", "#[cfg(test)]\nmod tests;");
    let tests = ("src/low/tests.rs", "use crate::high::G;");
    assert_eq!(found(&[LIB, ("src/high.rs", ""), low, tests]), Vec::<String>::new());
}

#[test]
fn a_module_inside_a_file_is_found() {
    // Its `super` is another one than that of the file.
    let low = ("src/low.rs", "#[cfg(test)]\nmod tests {\n}");
    let expected = ["src/low.rs:2: module `tests` stands inside a file: give it one of its own"];
    assert_eq!(found(&[LIB, ("src/high.rs", ""), low]), expected);
}
