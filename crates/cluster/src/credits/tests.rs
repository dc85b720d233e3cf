use super::*;

/// Would fail if a credit went to another process, or said something else there.
#[test]
fn a_credit_goes_to_the_process_of_its_sender() {
    let sender = |node, worker| Sender { node: NodeId(node), worker: WorkerId(worker) };
    let debts = [(sender(4, 1), 77), (sender(2, 3), 8 << 20), (sender(5, 3), 1)];
    let frames = frames(&debts.into_iter().collect(), 2);
    assert_eq!(frames.keys().copied().collect::<Vec<_>>(), [0, 1]);
    let read_all = |frame: &[u8]| -> Vec<_> {
        frame.chunks(CREDIT_BYTES).map(|chunk| read(chunk.try_into().unwrap())).collect()
    };
    assert_eq!(read_all(&frames[&0]), [(4, 1, 77)]);
    assert_eq!(read_all(&frames[&1]), [(2, 3, 8 << 20), (5, 3, 1)]);
}
