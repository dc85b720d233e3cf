//! Values come back, equal ones have equal bytes, and the dictionary has an end.

use super::{BYTES_MAX, Dictionary, LENGTHS, VALUES_MAX};

fn kept(dictionary: &mut Dictionary, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let numbers = dictionary.find([value].into_iter());
    Dictionary::put(numbers[0], value, &mut bytes);
    bytes
}

/// Would fail if a value changed its form when the dictionary is full, or came back as another.
#[test]
fn a_value_has_one_form_whenever_it_is_put() {
    let mut dictionary = Dictionary::default();
    let long = "x".repeat(LENGTHS.end() + 1);
    let mut values: Vec<String> = ["", "a", "four", &long].map(str::to_owned).to_vec();
    values.extend((0..2 * VALUES_MAX).map(|n| format!("value {n}")));
    let first: Vec<Vec<u8>> =
        values.iter().map(|value| kept(&mut dictionary, value.as_bytes())).collect();
    for (value, first) in values.iter().zip(&first) {
        assert_eq!(kept(&mut dictionary, value.as_bytes()), *first);
        let mut rest = &first[..];
        assert_eq!(dictionary.take(&mut rest), value.as_bytes());
        assert!(rest.is_empty());
    }
    assert_eq!(dictionary.ends.len(), VALUES_MAX);
    assert!(first[4].len() < 4, "a frequent value is short");
    assert!(first[values.len() - 1].len() > values[values.len() - 1].len(), "it was full before");
}

/// Would fail if long values could fill memory.
#[test]
fn a_dictionary_of_long_values_has_an_end() {
    let mut dictionary = Dictionary::default();
    for n in 0..VALUES_MAX {
        let width = *LENGTHS.end();
        kept(&mut dictionary, format!("{n:>width$}").as_bytes());
    }
    assert!(dictionary.bytes.len() < BYTES_MAX + LENGTHS.end());
}
