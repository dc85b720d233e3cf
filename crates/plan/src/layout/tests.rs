use thalweg_types::ErrorKind;

use super::*;
use crate::window::TimeBasis;

/// Would fail if this version could not read what version 1 wrote.
#[test]
fn the_fixture_of_version_1_opens() {
    let text = include_str!("../../fixtures/layout/v1.json");
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let assigner = Assigner::Hop { size: 60_000, slide: 10_000, offset: 0 };
    let expected = Layout {
        version: 1,
        table: "panes".to_owned(),
        key: vec![KeyColumn { name: "user".to_owned(), kind: "Utf8View".to_owned() }],
        key_at: 2,
        window: Some(WindowSpec {
            assigner,
            basis: TimeBasis::Event,
            start: 0,
            end: 1,
            zone: None,
        }),
        domains: vec!["views".to_owned()],
        values_at: 3,
        calls: vec![KeptCall {
            text: "SUM(price)".to_owned(),
            function: "sum(Int64)".to_owned(),
            states: 2,
            distinct: None,
        }],
        order: None,
        states: Vec::new(),
    };
    assert_eq!(Layout::read(&value).unwrap(), expected);
    assert_eq!(expected.write().unwrap(), value);
}

/// Would fail if this version could not read what was noted of users' functions.
#[test]
fn the_fixture_of_a_function_opens() {
    let text = include_str!("../../fixtures/layout/v1-function.json");
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let layout = Layout::read(&value).unwrap();
    let state = |name: &str, kind| KeptState { name: name.to_owned(), kind };
    assert_eq!(layout.states, [state("sum", StateKind::Value), state("last", StateKind::List)]);
    assert_eq!(layout.write().unwrap(), value);
}

/// Would fail if this version could not read what was noted of arguments that are read once.
#[test]
fn the_fixture_of_distinct_arguments_opens() {
    let text = include_str!("../../fixtures/layout/v1-distinct.json");
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let layout = Layout::read(&value).unwrap();
    let table = entry_table(1);
    let distinct = Some(DistinctArguments { table, values: 1, filter: 0 });
    assert_eq!(
        layout.calls.iter().map(|call| call.distinct.clone()).collect::<Vec<_>>(),
        [None, distinct]
    );
    assert_eq!(layout.write().unwrap(), value);
}

/// Would fail if a layout of a later release were taken for one of this, or damage for none.
#[test]
fn what_cannot_be_read_is_an_error_of_state() {
    for text in ["{\"version\": 2}", "{\"version\": 1}", "{}", "[]"] {
        let value = serde_json::from_str(text).unwrap();
        assert_eq!(Layout::read(&value).unwrap_err().kind(), ErrorKind::State, "{text}");
    }
}
