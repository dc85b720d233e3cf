use super::*;

#[test]
fn quantiles_are_an_eighth_off_at_most() {
    let durations = Durations::default();
    assert_eq!(durations.quantile(0.5), Duration::ZERO);
    (1..=1000).for_each(|micros| durations.count(Duration::from_micros(micros)));
    for (quantile, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
        let micros = durations.quantile(quantile).as_secs_f64() * 1e6;
        assert!((exact..=exact * 1.125).contains(&micros), "{quantile}: {micros}");
    }
}
