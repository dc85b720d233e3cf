use super::*;

/// Would fail if a unit were passed over, or a size rounded to more than its unit holds.
#[test]
fn sizes_are_shown_in_their_unit() {
    let cases = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (u64::MAX, "16384.0 PiB"),
    ];
    for (bytes, shown) in cases {
        assert_eq!(ByteCount(bytes).to_string(), shown, "{bytes}");
    }
}
