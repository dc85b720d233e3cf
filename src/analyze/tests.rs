use super::*;

/// Would fail if a comma were missing or at the front.
#[test]
fn thousands_are_grouped() {
    let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (123_456, "123,456")];
    for (number, shown) in cases {
        assert_eq!(grouped(number), shown);
    }
    assert_eq!(grouped(1_234_567), "1,234,567");
}

/// Would fail if an old drawing stayed on the terminal, or a new one did not fit on it.
#[test]
fn a_drawing_takes_the_place_of_the_last_one() {
    let mut drawn = Drawing::default();
    assert_eq!(drawn.next("abc\nd\ne\n", 2, 2), "ab\nd\n");
    assert_eq!(drawn.next("f\n", 2, 2), "\x1b[2A\r\x1b[Jf\n");
}
