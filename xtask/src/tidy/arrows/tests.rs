use super::*;

/// Would fail if a crate could name one that the table does not allow it.
#[test]
fn arrows_that_are_not_in_the_table_are_found() {
    let allowed =
        table("| Crate | May name |\n|---|---|\n| `plan` | types |\n| `sql` | types, plan |\n");
    let fine = "[dependencies]\nthalweg-types.workspace = true\n";
    assert!(manifest("plan", fine, &allowed).is_empty());
    let upward = "[dependencies]\nthalweg-sql.workspace = true\ntimely.workspace = true\n";
    let found = manifest("plan", upward, &allowed);
    assert!(
        found[0].contains("may not name `sql`") && found[1].contains("only `dataflow`"),
        "{found:?}"
    );
}

/// Would fail if a ring of modules went unseen.
#[test]
fn names_of_modules_are_read() {
    assert_eq!(named("use crate::{alpha, beta::Gamma}; // crate::delta"), ["alpha", "beta"]);
    assert_eq!(named("let x = crate::alpha::f(crate::beta);"), ["alpha", "beta"]);
}
