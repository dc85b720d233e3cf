use serde::Deserialize;
use thalweg_types::ErrorKind;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Visits {
    count: u64,
    last: Option<String>,
}

/// What version 1 of the format is for `Visits { count: 3, last: Some("home") }`. Never to be changed.
const FIXTURE: &[u8] = b"\x82\xa5count\x03\xa4last\xa4home";

fn visits() -> Visits {
    Visits { count: 3, last: Some("home".to_owned()) }
}

#[test]
fn what_was_stored_opens_for_ever() {
    let stored: Stored<Visits> = Stored::new("visits");
    assert_eq!(stored.decode(1, FIXTURE).unwrap(), visits());
    assert_eq!(stored.encode(&visits()).unwrap(), FIXTURE);
}

#[test]
fn older_versions_are_migrated() {
    let stored: Stored<Visits> = Stored::new("visits")
        .version(3)
        .migrate(1, |count: u64| Visits { count, last: None })
        .migrate(2, |(count, last): (u64, String)| Visits { count, last: Some(last) });
    let old = Stored::<u64>::new("visits").encode(&5u64).unwrap();
    assert_eq!(stored.decode(1, &old).unwrap(), Visits { count: 5, last: None });
    let old = Stored::<(u64, String)>::new("visits").encode(&(3u64, "home")).unwrap();
    assert_eq!(stored.decode(2, &old).unwrap(), visits());
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_both_versions() {
    let check = |stored: Stored<Visits>, version: u32, bytes: &[u8], said: &str| {
        let error = stored.decode(version, bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State);
        assert!(error.to_string().contains(said), "{error}");
    };
    let newer = "`visits` was saved in version 2, and the program has version 1";
    check(Stored::new("visits"), 2, FIXTURE, newer);
    let unknown = "`visits` was saved in version 1, and the program has version 2";
    check(Stored::new("visits").version(2), 1, FIXTURE, unknown);
    // A struct that somebody changed without a new version.
    let number = Stored::<u64>::new("visits").encode(&5u64).unwrap();
    check(Stored::new("visits"), 1, &number, "has a value of version 1 that its type cannot read");
}
