use super::*;

const TABLES: &str = "\
# Architecture

<!-- arrows:begin -->
| Crate | May import | Holds |
|---|---|---|
| `types` | – | words |
| `plan` | `types` | the waist |
<!-- arrows:end -->

<!-- dependencies:begin -->
| Dependency | Used by | Why |
|---|---|---|
| `arrow` | any | batches |
| `timely` | `plan` | for this test |
<!-- dependencies:end -->
";

const TYPES: &str =
    "[package]\nname = \"thalweg-types\"\n\n[dependencies]\narrow.workspace = true\n";
const PLAN: &str = "[package]\nname = \"thalweg-plan\"\n\n[dependencies]\n\
    thalweg-types.workspace = true\ntimely = { version = \"1\", features = [\n  \"x\",\n] }\n";

fn found(types: &str, plan: &str) -> Vec<String> {
    let tree = Tree::of(&[
        ("ARCHITECTURE.md", TABLES),
        ("crates/plan/Cargo.toml", plan),
        ("crates/types/Cargo.toml", types),
    ]);
    check(&tree).iter().map(ToString::to_string).collect()
}

#[test]
fn what_the_tables_allow_passes() {
    // The check would cry wolf.
    assert_eq!(found(TYPES, PLAN), Vec::<String>::new());
}

#[test]
fn an_arrow_upward_is_found() {
    // A ring between crates does not compile, but an arrow to a stranger does.
    let types = format!("{TYPES}thalweg-plan.workspace = true\n");
    let violations = found(&types, PLAN);
    assert_eq!(violations.len(), 1);
    assert!(violations[0].starts_with("crates/types/Cargo.toml:6: `types` must not import `plan`"));
}

#[test]
fn a_dependency_of_somebody_else_is_found_in_tests_too() {
    // Two owners of one heavy crate are two places that break when it changes.
    let types = format!("{TYPES}\n[dev-dependencies]\ntimely.workspace = true\n");
    let violations = found(&types, PLAN);
    assert_eq!(violations.len(), 1);
    assert!(violations[0].contains("in ARCHITECTURE.md it belongs to [plan]"));
}

#[test]
fn an_unknown_dependency_and_an_unknown_crate_are_found() {
    // A dependency that nobody argued for.
    let violations = found(&format!("{TYPES}rand = \"1\"\n"), PLAN);
    assert!(violations[0].contains("`rand` is not in the table of dependencies"));
    let violations = found(TYPES, &PLAN.replace("thalweg-plan", "thalweg-log"));
    assert!(violations.iter().any(|v| v.contains("crate `log` is not in the table")));
}

#[test]
fn a_row_that_nothing_uses_is_found() {
    // A table that allows more than there is says nothing about the house.
    let violations = found(TYPES, &PLAN.replace("thalweg-types.workspace = true\n", ""));
    assert_eq!(
        violations,
        ["ARCHITECTURE.md:7: the table lets `plan` import `types`, and it does not"]
    );
}

#[test]
fn dependencies_are_read_in_every_way_of_writing() {
    // A section per dependency would slip through.
    let manifest = "[dependencies.a]\nversion = \"1\"\n\n[target.'cfg(unix)'.dependencies]\nb = \"1\" # b\n\
        [workspace.dependencies]\nc = \"1\"\n";
    let names: Vec<String> = imports(manifest).into_iter().map(|import| import.name).collect();
    assert_eq!(names, ["a", "b"]);
}
