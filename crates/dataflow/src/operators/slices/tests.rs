use super::*;
use crate::operators::testing::{Random, Row, change, texts};
use thalweg_plan::window::TimeBasis;

/// Would fail if the closed forms differed from the windows as the plan lists them.
#[test]
fn slices_are_in_the_windows_that_the_plan_says() {
    let mut random = Random::new(1);
    for _ in 0..500 {
        let (slice, times) = (1 + random.below(20), 1 + random.below(8));
        let (size, offset) = (slice * times, random.below(50) - 25);
        let hop = Assigner::Hop { size, slide: slice, offset };
        let cumulate = Assigner::Cumulate { size, step: slice, offset };
        for assigner in [hop, cumulate] {
            let slices = Slices::new(assigner);
            let time = random.below(1000) - 500;
            let start = assigner.slice_start(time);
            let (place, windows) = ((start + slice, start), assigner.windows_of(start));
            let last = windows.iter().map(|window| window.1).max().unwrap();
            assert_eq!(slices.last_end(place), last, "{assigner:?} at {time}");
            let own = windows.iter().find(|window| window.1 == place.0).unwrap();
            assert_eq!(slices.window_start(place), own.0, "{assigner:?} at {time}");
            assert_eq!(slices.after(time), (times > 1).then_some(place), "{assigner:?} at {time}");
        }
    }
}

/// Would fail if a time at the end of the number range made the program panic.
#[test]
fn times_at_the_ends_of_the_range_saturate() {
    let assigner = Assigner::Hop { size: 10, slide: 2, offset: 1 };
    let slices = Slices::new(assigner);
    for time in [i64::MIN, i64::MAX] {
        let slice = slices.after(time).unwrap();
        let _ = (slices.last_end(slice), slices.window_start(slice));
    }
}

/// Would fail if rows got lost, changed their window, or changed their order in it.
#[test]
fn a_change_is_cut_by_window() {
    let row = |value, start| Row { key: String::new(), value: Some(value), start, end: start + 5 };
    let spec = WindowSpec {
        assigner: Assigner::Attached,
        basis: TimeBasis::Event,
        start: 2,
        end: 3,
        zone: None,
    };
    let rows = [row(1, 10), row(2, 10), row(3, 0), row(4, 10), row(5, 0)];
    let parts = by_window(&spec, change(&rows)).unwrap();
    let parts: Vec<_> = parts.iter().map(|(slice, part)| (*slice, texts(part))).collect();
    let part = |rows: &[Row]| texts(&change(rows));
    let first = [rows[2].clone(), rows[4].clone()];
    let second = [rows[0].clone(), rows[1].clone(), rows[3].clone()];
    assert_eq!(parts, [((5, 0), part(&first)), ((15, 10), part(&second))]);
}
