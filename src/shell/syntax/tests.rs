use super::*;

/// Would fail if a statement could not be found by a part of its name, in any case.
#[test]
fn statements_are_found_by_how_they_begin() {
    assert!(help(None).unwrap().contains("CREATE VIEW"));
    let create = help(Some("create")).unwrap();
    assert!(create.contains("TABLE [IF") && create.contains("VIEW [IF"), "{create}");
    assert!(help(Some(" drop   view ")).unwrap().starts_with("DROP [TEMPORARY] VIEW"));
    let error = help(Some("SELCT")).unwrap_err();
    assert!(error.remedy_text().unwrap().contains("`SELECT`"));
}
