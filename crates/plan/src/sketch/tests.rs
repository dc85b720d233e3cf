use std::collections::BTreeMap;

use arrow::array::{Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use thalweg_types::ErrorKind;

use super::distinct::approx_count_distinct;
use super::frequent::approx_top_k;
use super::moment::approx_f2;
use super::percentile::{Shares, approx_percentile};
use super::*;

/// Seeds on which errors are measured, and rows for each.
const SEEDS: u64 = 200;
const ROWS: usize = 4000;

type Function = Arc<dyn AggregateFunction>;

/// Returns numbers from 0 to `bound`, small ones more often.
fn numbers(seed: u64, bound: f64) -> Vec<i64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..ROWS).map(|_| (unit().powi(3) * bound) as i64).collect()
}

fn counts(numbers: &[i64]) -> BTreeMap<i64, i64> {
    let mut counts = BTreeMap::new();
    numbers.iter().for_each(|number| *counts.entry(*number).or_default() += 1);
    counts
}

fn add(accumulator: &mut dyn Accumulator, column: ArrayRef, weights: Option<&Int64Array>) {
    let groups = vec![0; column.len()];
    let arguments = &[column];
    let rows = Rows { groups: &groups, arguments, filter: None, weights, total: 1 };
    accumulator.update(rows).unwrap();
}

/// Returns the value over a column that came in `pieces`, each sketched by itself and then merged.
fn merged(function: &Function, column: &ArrayRef, pieces: usize) -> ArrayRef {
    let mut whole = function.accumulator().unwrap();
    let length = column.len().div_ceil(pieces);
    for piece in (0..pieces).rev() {
        let mut part = function.accumulator().unwrap();
        let length = length.min(column.len() - piece * length);
        add(part.as_mut(), column.slice(piece * column.len().div_ceil(pieces), length), None);
        whole.merge(&[0], &part.partial(Groups::First(1)).unwrap(), 1).unwrap();
    }
    whole.evaluate(Groups::First(1)).unwrap()
}

fn column(numbers: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(numbers.to_vec()))
}

fn number(value: &ArrayRef) -> f64 {
    match value.data_type() {
        DataType::Int64 => value.as_primitive::<Int64Type>().value(0) as f64,
        _ => value.as_primitive::<Float64Type>().value(0),
    }
}

/// Returns the root of the mean of the squares, and the greatest.
fn spread(errors: &[f64]) -> (f64, f64) {
    let squares = errors.iter().map(|error| error * error).sum::<f64>();
    let greatest = errors.iter().map(|error| error.abs()).fold(0.0, f64::max);
    ((squares / errors.len() as f64).sqrt(), greatest)
}

/// Would fail if registers were lost on the way, or hashed with a bias.
#[test]
fn distinct_counts_are_off_by_one_percent() {
    let function = approx_count_distinct(&DataType::Int64).unwrap();
    let errors = (0..SEEDS).map(|seed| {
        let numbers = numbers(seed, 1e6);
        let exact = counts(&numbers).len() as f64;
        number(&merged(&function, &column(&numbers), 3)) / exact - 1.0
    });
    let (root, greatest) = spread(&errors.collect::<Vec<_>>());
    assert!(root < 0.01 && greatest < 0.033, "{root}, {greatest}");
}

/// Would fail if a rank drifted when sketches are merged: 99 of 100 must be within 0.8 %.
#[test]
fn ranks_are_off_by_less_than_one_percent() {
    let shares = vec![0.01, 0.5, 0.99];
    let function = approx_percentile(&DataType::Int64, Shares::Each(shares.clone())).unwrap();
    let mut wrong = 0;
    for seed in 0..SEEDS {
        let mut numbers = numbers(seed, 1e9);
        let found = merged(&function, &column(&numbers), 3);
        let found = found.as_list::<i32>().value(0);
        numbers.sort_unstable();
        for (share, value) in shares.iter().zip(found.as_primitive::<Float64Type>().values()) {
            let rank = numbers.partition_point(|number| *number as f64 <= *value);
            wrong += usize::from((rank as f64 / ROWS as f64 - share).abs() > 0.008);
        }
    }
    // Six are expected; more than twenty would be one chance in a million.
    assert!(wrong < 20, "{wrong}");
}

/// Would fail if a frequent value were missed, or counted beyond the bound, which has no exceptions.
#[test]
fn frequent_values_are_found_with_their_counts() {
    let function = approx_top_k(&DataType::Int64, 200).unwrap();
    let bound = (ROWS as f64 * 3.5 / 1024.0) as i64;
    for seed in 0..SEEDS {
        let numbers = numbers(seed, 1e6);
        let exact = counts(&numbers);
        let found = merged(&function, &column(&numbers), 3);
        let found = found.as_list::<i32>().value(0);
        let [values, counts] = found.as_struct().columns() else { panic!("two columns") };
        let values = values.as_primitive::<Int64Type>().values();
        for (value, count) in values.iter().zip(counts.as_primitive::<Int64Type>().values()) {
            let exact = exact[value];
            assert!(
                (exact..=exact + bound).contains(count),
                "seed {seed}: {value} {count} {exact}"
            );
        }
        let missed =
            exact.iter().filter(|(value, count)| **count > bound && !values.contains(value));
        assert_eq!(missed.count(), 0, "seed {seed}");
        assert!((50..=200).contains(&values.len()), "seed {seed}: {}", values.len());
    }
}

/// Would fail if signs or columns were not independent.
#[test]
fn second_moments_are_off_by_a_few_percent() {
    let function = approx_f2(&DataType::Int64).unwrap();
    let errors = (0..SEEDS).map(|seed| {
        let numbers = numbers(seed, 3e4);
        let exact: i64 = counts(&numbers).values().map(|count| count * count).sum();
        number(&merged(&function, &column(&numbers), 3)) / exact as f64 - 1.0
    });
    let errors: Vec<f64> = errors.collect();
    let (root, _) = spread(&errors);
    let wrong = errors.iter().filter(|error| error.abs() > 0.1).count();
    assert!(root < 0.03 && wrong <= 2, "{root}, {wrong}");
}

/// Would fail if the number of workers showed: the same rows in other pieces and another order.
#[test]
fn distinct_counts_and_moments_do_not_depend_on_pieces() {
    let functions =
        [approx_count_distinct(&DataType::Int64).unwrap(), approx_f2(&DataType::Int64).unwrap()];
    for (function, bound) in functions.iter().flat_map(|f| [(f, 10.0), (f, 1e3), (f, 1e9)]) {
        let numbers = numbers(7, bound);
        let expected = merged(function, &column(&numbers), 1);
        let mut shuffled = numbers.clone();
        shuffled.sort_by_key(|number| number.wrapping_mul(7_919) % 1_009);
        for pieces in [2, 5, 17] {
            assert_eq!(
                &merged(function, &column(&shuffled), pieces),
                &expected,
                "{}",
                function.name()
            );
        }
    }
}

/// Would fail if a retraction left something behind, in few counters or in all.
#[test]
fn moments_take_rows_back_without_a_trace() {
    let function = approx_f2(&DataType::Int64).unwrap();
    let mut accumulator = function.accumulator().unwrap();
    add(accumulator.as_mut(), column(&[1, 1, 2]), None);
    let before = accumulator.partial(Groups::First(1)).unwrap();
    assert_eq!(number(&accumulator.evaluate(Groups::First(1)).unwrap()), 5.0);
    let more = numbers(3, 1e6);
    for weight in [1, -1] {
        let weights = Int64Array::from(vec![weight; ROWS]);
        add(accumulator.as_mut(), column(&more), Some(&weights));
    }
    assert_eq!(accumulator.partial(Groups::First(1)).unwrap(), before);
    assert!(function.is_retractable());
    assert!(!approx_top_k(&DataType::Int64, 1).unwrap().is_retractable());
}

/// Would fail if reading a sketch changed it: what is retracted must be what was inserted.
#[test]
fn values_are_the_same_when_read_again_and_restored() {
    let column = column(&numbers(5, 1e6));
    for function in all() {
        let mut accumulator = function.accumulator().unwrap();
        add(accumulator.as_mut(), column.clone(), None);
        let value = accumulator.evaluate(Groups::First(1)).unwrap();
        let stored = accumulator.partial(Groups::First(1)).unwrap();
        assert_eq!(&accumulator.evaluate(Groups::First(1)).unwrap(), &value, "{}", function.name());
        let mut restored = function.accumulator().unwrap();
        restored.merge(&[0], &stored, 1).unwrap();
        assert_eq!(&restored.evaluate(Groups::First(1)).unwrap(), &value, "{}", function.name());
        assert!(accumulator.bytes() > 0);
        accumulator.clear();
        assert_eq!(accumulator.bytes(), 0);
    }
}

fn all() -> [Function; 4] {
    [
        approx_count_distinct(&DataType::Int64).unwrap(),
        approx_percentile(&DataType::Int64, Shares::One(0.5)).unwrap(),
        approx_top_k(&DataType::Int64, 2).unwrap(),
        approx_f2(&DataType::Int64).unwrap(),
    ]
}

/// Would fail if a NULL counted, or no rows were taken for some.
#[test]
fn nulls_are_no_values() {
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None, None]));
    let values: Vec<String> = all().iter().map(|f| shown(&merged(f, &nulls, 1))).collect();
    assert_eq!(values, ["0", "", "", "0.0"]);
}

fn shown(value: &ArrayRef) -> String {
    arrow::util::display::array_value_to_string(value, 0).unwrap()
}

/// Would fail if few values were not exact, or equal numbers were told apart.
#[test]
fn few_values_are_exact() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", "c", "b", "a"]));
    let top = approx_top_k(&DataType::Utf8, 2).unwrap();
    assert_eq!(shown(&merged(&top, &texts, 2)), "[{value: a, count: 2}, {value: b, count: 2}]");
    let f2 = approx_f2(&DataType::Utf8).unwrap();
    assert_eq!(shown(&merged(&f2, &texts, 2)), "9.0");
    let numbers = [-1.5, 0.0, -0.0, f64::NAN, -f64::NAN, f64::NEG_INFINITY];
    let numbers: ArrayRef = Arc::new(Float64Array::from(numbers.to_vec()));
    let top = approx_top_k(&DataType::Float64, 2).unwrap();
    let expected = "[{value: 0.0, count: 2}, {value: NaN, count: 2}]";
    assert_eq!(shown(&merged(&top, &numbers, 3)), expected);
    let shares = Shares::Each(vec![0.0, 0.2, 0.5, 0.6, 1.0]);
    let percentile = approx_percentile(&DataType::Float64, shares).unwrap();
    assert_eq!(shown(&merged(&percentile, &numbers, 3)), "[-inf, -1.5, 0.0, 0.0, NaN]");
    let distinct = approx_count_distinct(&DataType::Float64).unwrap();
    assert_eq!(shown(&merged(&distinct, &numbers, 3)), "4");
}

/// Would fail if this version could not open what version 1 wrote. Written once, with `UPDATE=1`.
#[test]
fn the_fixtures_of_version_1_open() {
    let expected = ["890", "129.0", "[{value: 0, count: 368}, {value: 1, count: 131}]", "191010.0"];
    for (function, expected) in all().iter().zip(expected) {
        let name = function.name().split('(').next().unwrap();
        let path = format!("{}/fixtures/sketch/v1/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE").is_some() && !std::path::Path::new(&path).exists() {
            let mut accumulator = function.accumulator().unwrap();
            add(accumulator.as_mut(), column(&numbers(1, 1e3)), None);
            let stored = accumulator.partial(Groups::First(1)).unwrap();
            std::fs::write(&path, stored[0].as_binary::<i64>().value(0)).unwrap();
        }
        let stored: ArrayRef =
            Arc::new(LargeBinaryArray::from_vec(vec![&std::fs::read(&path).unwrap()]));
        let mut accumulator = function.accumulator().unwrap();
        accumulator.merge(&[0], &[stored], 1).unwrap();
        assert_eq!(shown(&accumulator.evaluate(Groups::First(1)).unwrap()), expected, "{name}");
    }
}

/// Would fail if a value in a checkpoint could not be read by the name that stands there.
#[test]
fn sketches_are_found_by_their_names() {
    let decimal = DataType::Decimal128(10, 2);
    let shares = || Shares::Each(vec![0.25, 1.0]);
    let more = [
        approx_percentile(&decimal, Shares::One(0.5)).unwrap(),
        approx_percentile(&decimal, shares()).unwrap(),
        approx_percentile(&decimal, Shares::Each(vec![])).unwrap(),
        approx_top_k(&decimal, 7).unwrap(),
    ];
    for function in all().iter().chain(&more) {
        assert_eq!(named(function.name()).unwrap().name(), function.name());
    }
    assert!(named("sum(Int64)").is_none());
    assert!(named("approx_top_k(Int64)").is_none());
}

/// Would fail if damage, or a later version, were taken for a sketch.
#[test]
fn what_cannot_be_read_is_an_error_of_state() {
    for (function, stored) in all().iter().flat_map(|f| [(f, [1, 255, 0]), (f, [2, 0, 0])]) {
        let mut accumulator = function.accumulator().unwrap();
        let stored: ArrayRef = Arc::new(LargeBinaryArray::from_vec(vec![&stored]));
        let error = accumulator.merge(&[0], &[stored], 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{}: {error}", function.name());
    }
}

/// Would fail if a sketch took what it cannot tell apart or write.
#[test]
fn types_that_cannot_be_sketched_are_refused() {
    let list = DataType::new_list(DataType::Int64, true);
    assert!(approx_percentile(&DataType::Utf8, Shares::One(0.5)).is_err());
    assert!(approx_percentile(&DataType::Int64, Shares::One(1.5)).is_err());
    assert!(approx_top_k(&list, 1).is_err());
    assert!(approx_top_k(&DataType::Int64, 0).is_err());
    assert!(approx_count_distinct(&list).is_ok());
}
