use super::*;

/// Would fail if the tenth part were read before the second one.
#[test]
fn numbers_in_names_are_numbers() {
    let ordered = [
        "",
        "2024-01-09/part-1.json",
        "2024-01-09/part-02.json",
        "2024-01-09/part-2.json",
        "2024-01-09/part-10.json",
        "2024-01-10/part-1.json",
        "a",
        "a1b2",
        "a1b10",
        "a10b1",
        "b",
    ];
    for (place, name) in ordered.iter().enumerate() {
        for (other, later) in ordered.iter().enumerate() {
            assert_eq!(compare(name, later), place.cmp(&other), "{name} and {later}");
        }
    }
}
