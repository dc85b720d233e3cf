use jiff::civil::DateTime;

use super::*;

/// A zone that counts seconds.
fn zone(name: &str) -> ZonedUnit {
    Zone::named(name).unwrap().counting(1)
}

/// Seconds of a local time, as if it were UTC.
fn second(time: &str) -> i64 {
    let time: DateTime = time.parse().unwrap();
    time.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second()
}

const ZONES: [&str; 12] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Africa/Casablanca",
    "America/Caracas",
    "Asia/Pyongyang",
    "Europe/Dublin",
    "Antarctica/Troll",
    "America/St_Johns",
    "Pacific/Kwajalein",
];

/// Instants around every change of `name`, and some anywhere.
fn instants(name: &str) -> Vec<i64> {
    let spans = &Zone::named(name).unwrap().0.spans;
    let mut seed = 7_u64;
    let mut any = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 31) as i64 - (1 << 31)
    };
    let near = [-90_000, -7_200, -3_600, -1_801, -1_800, -1, 0, 1, 1_799, 1_800, 3_600, 86_399];
    let around = spans[1..].iter().filter(|span| span.from < 1 << 33);
    let mut instants: Vec<i64> =
        around.flat_map(|span| near.iter().map(|near| span.from + near)).collect();
    instants.extend((0..2_000).map(|_| any()));
    instants
}

/// Would fail if an instant had another local time than by the rules themselves, or the function
/// that remembers gave another one than the one that does not.
#[test]
fn local_times_are_those_of_the_rules() {
    for name in ZONES {
        let (rules, zone) = (TimeZoneDatabase::bundled().get(name).unwrap(), zone(name));
        let mut locals = zone.locals();
        for instant in instants(name) {
            let offset = rules.to_offset(Timestamp::from_second(instant).unwrap());
            let expected = instant + i64::from(offset.seconds());
            assert_eq!(zone.local(instant), expected, "{name} {instant}");
            assert_eq!(locals(instant), expected, "{name} {instant}");
        }
    }
}

/// Would fail if a local time in a gap was not moved on by the gap, or of two instants the wrong one
/// was taken.
#[test]
fn local_times_come_back_as_java_has_it() {
    for name in ZONES {
        let (rules, zone) = (TimeZoneDatabase::bundled().get(name).unwrap(), zone(name));
        for local in instants(name) {
            let civil = TimeZone::UTC.to_datetime(Timestamp::from_second(local).unwrap());
            let meant = rules.to_ambiguous_timestamp(civil);
            // What jiff calls compatible is the rule of java.time.
            let earlier = meant.compatible().unwrap().as_second();
            assert_eq!(zone.instant(local, Overlap::Earlier), earlier, "{name} {civil}");
            let later = meant.later().unwrap().as_second();
            assert_eq!(zone.instant(local, Overlap::Later), later, "{name} {civil}");
        }
    }
}

/// Would fail if a clock showed less than was said, or a window were held back for nothing.
#[test]
fn nothing_below_the_least_is_still_to_come() {
    for name in ZONES {
        let zone = zone(name);
        for instant in instants(name).into_iter().step_by(5) {
            let least = zone.least_from(instant);
            let day = (0..172_800).step_by(900).map(|later| zone.local(instant + later));
            let seen = day.min().unwrap();
            assert!(least <= seen && seen - least < 900, "{name} {instant}: {least} {seen}");
            let first = zone.first_past(least);
            assert!(first <= instant && zone.least_from(first) >= least, "{name} {instant}");
            assert!(zone.least_from(first - 1) < least, "{name} {instant}: not the first");
        }
    }
}

/// Would fail if what a user reads in a calendar were not so.
#[test]
fn days_of_change_are_as_long_as_they_are() {
    let length = |name, day: &str, next: &str| {
        let begin = |day| zone(name).instant(second(day), Overlap::Earlier);
        begin(next) - begin(day)
    };
    let hours = |name, day, next| length(name, day, next) as f64 / 3_600.0;
    assert_eq!(hours("Europe/Berlin", "2024-03-31T00:00", "2024-04-01T00:00"), 23.0);
    assert_eq!(hours("Europe/Berlin", "2024-10-27T00:00", "2024-10-28T00:00"), 25.0);
    assert_eq!(hours("Europe/Berlin", "2524-07-01T00:00", "2524-07-02T00:00"), 24.0);
    assert_eq!(hours("Australia/Lord_Howe", "2024-04-07T00:00", "2024-04-08T00:00"), 24.5);
    assert_eq!(hours("Australia/Lord_Howe", "2024-10-06T00:00", "2024-10-07T00:00"), 23.5);
    assert_eq!(hours("Pacific/Apia", "2011-12-29T00:00", "2011-12-31T00:00"), 24.0);
}

/// Would fail if a finer unit lost a digit, or a time at the end of all times overflowed.
#[test]
fn every_unit_and_every_number_has_a_local_time() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let nanos = berlin.in_unit(TimeUnit::Nanosecond);
    let change = 1_711_846_800_000_000_000;
    assert_eq!(nanos.local(change - 1), change - 1 + 3_600_000_000_000);
    assert_eq!(nanos.first_past(nanos.local(change - 1)), change - 1);
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Nanosecond] {
        let zone = berlin.in_unit(unit);
        for end in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            let mut locals = zone.locals();
            assert_eq!(locals(end), zone.local(end));
            let _ = (zone.instant(end, Overlap::Later), zone.least_from(end), zone.first_past(end));
        }
    }
}

/// Would fail if a name of Java's were not known, or one that it refuses were taken.
#[test]
fn names_are_those_of_java() {
    let known = |name: &str| Zone::named(name).map(Zone::name);
    let same = ["Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+3", "US/Pacific"];
    same.iter().for_each(|name| assert_eq!(known(name), Some(*name)));
    for name in ["UTC", "Z", "GMT", "UT", "+00:00", "-0", "UTC+0", "GMT-00:00"] {
        assert_eq!(known(name), Some("UTC"), "{name}");
        assert!(Zone::named(name).unwrap().is_utc());
    }
    let offsets = [("+2", "+02:00"), ("UTC-08:00", "-08:00"), ("GMT+0530", "+05:30")];
    let offsets = offsets.into_iter().chain([("+01:02:03", "+01:02:03"), ("-18:00", "-18:00")]);
    offsets.for_each(|(name, expected)| assert_eq!(known(name), Some(expected), "{name}"));
    let unknown = ["", "europe/berlin", "Europe/Berln", "+19", "+18:01", "+1:30", "+01:60", "UTC2"];
    unknown.iter().for_each(|name| assert_eq!(known(name), None, "{name}"));
    ["+é1", "++1", "+-1", "default"].iter().for_each(|name| assert_eq!(known(name), None));
    assert!(Zone::regions().len() > 500);
    assert!(Zone::regions().iter().all(|name| Zone::named(name).is_some()));
}
