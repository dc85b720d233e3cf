use thalweg_types::Epoch;

use super::*;

#[derive(Clone, Debug, PartialEq, Record)]
struct Number {
    n: i64,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Text {
    text: String,
}

fn apply(closure: Closure, numbers: &[i64], weights: Option<Vec<i64>>) -> Change {
    let rows =
        Number::write(&numbers.iter().map(|n| Number { n: *n }).collect::<Vec<_>>()).unwrap();
    let input = Change { rows, weights: weights.map(Int64Array::from) };
    let moment = Moment { epoch: Epoch(1), clock: EventTime(0), watermark: EventTime(0) };
    let mut out = Vec::new();
    closure.apply(&input, &moment, &mut out).unwrap();
    assert_eq!(out[0].schema(), closure.schema());
    out.remove(0)
}

fn weights(change: &Change) -> Vec<i64> {
    change.weights.as_ref().unwrap().values().to_vec()
}

/// Would fail if a row that is made of another lost its weight: a retraction would become an insert.
#[test]
fn rows_keep_the_weight_of_what_they_were_made_of() {
    let numbers = [1, 2, 3];
    let signs = || Some(vec![1, -1, 1]);
    let made = apply(Closure::map(|n: Number| Text { text: n.n.to_string() }), &numbers, signs());
    assert_eq!(Text::read(&made.rows).unwrap()[2].text, "3");
    assert_eq!(weights(&made), [1, -1, 1]);
    let made = apply(Closure::filter(|n: &Number| n.n != 1), &numbers, signs());
    assert_eq!(weights(&made), [-1, 1]);
    let several = |n: Number| vec![Text { text: "x".into() }; n.n as usize - 1];
    let made = apply(Closure::flat_map(several), &numbers, signs());
    assert_eq!(weights(&made), [-1, 1, 1], "the first makes none");
    assert!(apply(Closure::flat_map(several), &[1], None).rows.num_rows() == 0);
}

#[test]
fn watermarks_stay_behind() {
    let time = |n: &Number| Timestamp(n.n);
    let behind: Behind<Number, _> = Behind { time, delay_ms: 5, record: PhantomData };
    let rows = |numbers: &[i64]| {
        Number::write(&numbers.iter().map(|n| Number { n: *n }).collect::<Vec<_>>())
    };
    let watermark = behind.watermark(&rows(&[10, 30, 20]).unwrap()).unwrap();
    assert_eq!(watermark, Some(EventTime(25_000_000)));
    assert_eq!(behind.watermark(&rows(&[]).unwrap()).unwrap(), None);
}

/// Would fail if times came in another unit, or a share that is none were taken for one.
#[test]
fn watermarks_trail_by_a_share_of_the_delays() {
    let time = |n: &Number| Timestamp(n.n);
    let newest = || Behind::<Number, _> { time, delay_ms: 0, record: PhantomData };
    let trailing = Trailing { newest: newest(), share: "0.9".parse().unwrap() };
    let rows = Number::write(&[Number { n: 10 }, Number { n: 7 }]).unwrap();
    let (times, share) = trailing.trailing(&rows).unwrap().unwrap();
    assert_eq!(times.values(), &[10_000_000, 7_000_000]);
    assert_eq!(
        (share, trailing.watermark(&rows).unwrap()),
        (trailing.share, Some(EventTime(10_000_000)))
    );
    assert!(newest().trailing(&rows).unwrap().is_none());
}
