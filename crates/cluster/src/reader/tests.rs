use super::*;

/// Would fail if a throttled source that stopped within a batch lost or doubled rows of it.
#[test]
fn offsets_within_a_batch_name_the_rows_to_skip() {
    let base = Some(Offset("{\"byte\":7}".to_owned()));
    assert_eq!(unpack(Some(pack(&base, 12))), (12, base));
    assert_eq!(unpack(Some(pack(&None, 3))), (3, None));
    let plain = Some(Offset("70".to_owned()));
    assert_eq!(unpack(plain.clone()), (0, plain));
    assert_eq!(unpack(None), (0, None));
}
