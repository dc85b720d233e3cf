use std::sync::atomic::AtomicU64;

use super::*;

const SENDER: Sender = Sender { node: NodeId(3), worker: WorkerId(1) };

/// Would fail if bytes that left the process were counted as consumed, or a sender that waits for
/// another process were never woken.
#[test]
fn bytes_in_another_process_count() {
    let (here, there) = (Arc::new(Flow::default()), Arc::new(Flow::default()));
    let count = here.count(SENDER);
    let woken = Arc::new(AtomicU64::new(0));
    let seen = woken.clone();
    count.wake_by(move || {
        seen.fetch_add(1, Ordering::Relaxed);
    });
    let credit = Credit::new(100, &count);
    assert_eq!(credit.lend(OUTPUT_BYTES_MAX), Some(SENDER));
    drop(credit);
    assert_eq!(count.bytes(), OUTPUT_BYTES_MAX);
    let received = Credit::received(OUTPUT_BYTES_MAX, SENDER, &there);
    drop(received);
    for (sender, bytes) in there.debts().unwrap() {
        here.settle(sender, bytes);
    }
    assert_eq!((count.bytes(), woken.load(Ordering::Relaxed)), (0, 1));
    there.close();
    assert!(there.debts().is_none());
}

/// Would fail if every output had to be told when it is consumed, asked for or not.
#[test]
fn nobody_is_told_who_does_not_ask() {
    let count: Arc<Unconsumed> = Arc::default();
    assert_eq!(Credit::new(100, &count).lend(100), None);
    assert_eq!(count.bytes(), 0);
}
