use arrow::array::{ArrayRef, StringViewArray};

use super::*;

fn words() -> Change {
    let long = "a word that does not fit into a view";
    let column: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, Some(long)]));
    let rows = RecordBatch::try_from_iter_with_nullable([("word", column, true)]).unwrap();
    Change::weighted(rows, Int64Array::from(vec![1, -1, 1])).unwrap()
}

/// Would fail if a process read other rows than its peer sent.
#[test]
fn a_frame_gives_the_change_back() {
    let frame = FrameId { plan: 7, channel: 3 };
    for change in [words(), Change::append(words().rows)] {
        let mut bytes = encode(&change, frame).unwrap();
        assert_eq!(bytes.len() % 8, 0);
        let sender = Sender { node: NodeId(2), worker: WorkerId(1) };
        address(&mut bytes, sender);
        assert_eq!(decode(&bytes, frame, &change.schema()).unwrap().1, Some(sender));
        let bytes = encode(&change, frame).unwrap();
        assert_eq!(decode(&bytes, frame, &change.schema()).unwrap(), (change, None));
    }
}

/// Would fail if bytes of another dataflow were decoded as garbage.
#[test]
fn a_frame_of_another_channel_is_refused() {
    let change = words();
    let bytes = encode(&change, FrameId { plan: 7, channel: 3 }).unwrap();
    for other in [FrameId { plan: 8, channel: 3 }, FrameId { plan: 7, channel: 4 }] {
        assert!(decode(&bytes, other, &change.schema()).is_err());
    }
}

/// Would fail if a torn frame made a worker panic.
#[test]
fn a_torn_frame_is_an_error() {
    let change = words();
    let frame = FrameId::default();
    let bytes = encode(&change, frame).unwrap();
    for length in (0..bytes.len() - 64).step_by(8) {
        assert!(decode(&bytes[..length], frame, &change.schema()).is_err(), "{length} bytes");
    }
}
