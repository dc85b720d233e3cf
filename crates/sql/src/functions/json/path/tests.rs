use serde_json::json;

use super::{Found, Path};

/// Would fail if a step led elsewhere, or a path with `*` were taken for a single value.
#[test]
fn paths_lead_to_their_values() {
    let document = json!({"a": {"b c": [1, {"d": null}, "x"]}, "e.f": true});
    let cases = [
        ("$", Some(document.clone())),
        ("lax $.a['b c'][0]", Some(json!(1))),
        ("strict $.a[\"b c\"][-1]", Some(json!("x"))),
        ("$.['e.f']", Some(json!(true))),
        ("$.a['b c'][1].d", Some(json!(null))),
        ("$.a['b c'][*]", Some(json!([1, {"d": null}, "x"]))),
        ("$.a['b c'][*].d", Some(json!([null]))),
        ("$.*.x", Some(json!([]))),
        ("$.a['b c'][3]", None),
        ("$.a[0]", None),
        ("$['e.f'].g", None),
    ];
    for (text, expected) in cases {
        let found = match Path::new(text).unwrap().find(&document) {
            Found::One(value) => Some(value.clone()),
            Found::Many(values) => Some(values.into_iter().cloned().collect()),
            Found::Nothing => None,
        };
        assert_eq!(found, expected, "{text}");
    }
}

/// Would fail if a path that means something else in Flink were followed in part.
#[test]
fn other_paths_are_refused() {
    for text in ["", "a.b", "$a", "$..a", "$.", "$[", "$[a]", "$['a'", "$[?(@.x)]", "$[0:2]"] {
        let error = Path::new(text).unwrap_err();
        assert!(error.message().contains("is not understood"), "{text}: {error:?}");
    }
}

/// Would fail if a path without a mode were lax.
#[test]
fn paths_are_strict_unless_they_say_lax() {
    let is_lax = |text: &str| Path::new(text).unwrap().is_lax;
    assert!(is_lax("LAX $.a") && !is_lax("strict $.a") && !is_lax("$.a"));
}
