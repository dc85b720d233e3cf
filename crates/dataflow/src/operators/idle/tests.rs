use super::*;

const SECOND: i64 = 1_000_000_000;

fn at(seconds: f64) -> EventTime {
    EventTime((seconds * SECOND as f64) as i64 + 1_700_000_000 * SECOND)
}

/// Would fail if something were forgotten early, late, twice or although it was written again.
#[test]
fn what_is_not_written_for_the_time_to_live_is_forgotten_once() {
    let mut idle = Idle::new(Duration::from_secs(16));
    idle.write(&[0, 1, 2], at(0.0));
    idle.write(&[1], at(10.0));
    assert_eq!(idle.take(at(15.9)), [0_u32; 0]);
    assert_eq!(idle.take(at(16.9)), [0_u32; 0]);
    assert_eq!(idle.take(at(17.1)), [0, 2]);
    assert_eq!(idle.wake(), Some(at(27.0)));
    idle.write(&[2], at(20.0));
    assert_eq!(idle.take(at(27.1)), [1]);
    assert_eq!(idle.take(at(100.0)), [2]);
    assert_eq!(idle.take(at(1000.0)), [0_u32; 0]);
    assert_eq!(idle.wake(), None);
}

#[test]
fn new_numbers_keep_their_times() {
    let mut idle = Idle::new(Duration::from_secs(16));
    idle.write(&[0, 1, 2, 3], at(0.0));
    idle.write(&[3], at(9.0));
    idle.renumber(&[1, 3]);
    assert_eq!(idle.take(at(17.5)), [0]);
    assert_eq!(idle.take(at(26.5)), [1]);
}
