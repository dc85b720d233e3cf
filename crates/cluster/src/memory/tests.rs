use super::*;

/// Would fail if a limit were misread, or a wrong one taken for none.
#[test]
fn limits_are_read() {
    use MemoryLimit::{Bytes, None as Unlimited, Percent};
    let cases = [
        ("80%", Some(Percent(80))),
        ("512MB", Some(Bytes(512 << 20))),
        ("2 GiB", Some(Bytes(2 << 30))),
        ("0", Some(Unlimited)),
        ("none", Some(Unlimited)),
        ("0%", None),
        ("101%", None),
        ("many", None),
        ("", None),
    ];
    for (text, limit) in cases {
        assert_eq!(MemoryLimit::parse(text), limit, "{text}");
    }
    assert_eq!(Bytes(7).of_process(2), Some(7));
    let half = Percent(80).of_process(2).unwrap();
    assert!(Percent(80).of_process(1).unwrap() / 2 - half <= 1);
}

/// Would fail if a limit of a group, or of one above it, were passed over.
#[test]
fn limits_of_control_groups_are_found() {
    let files = |groups: &str| -> Vec<String> {
        let files = limit_files(groups, Path::new("/g"));
        files.iter().map(|file| file.display().to_string()).collect()
    };
    assert_eq!(files("0::/a/b\n"), ["/g/a/b/memory.max", "/g/a/memory.max", "/g/memory.max"]);
    assert_eq!(
        files("4:cpu:/x\n3:hugetlb,memory:/x\n"),
        ["/g/memory/x/memory.limit_in_bytes", "/g/memory/memory.limit_in_bytes"]
    );
    assert_eq!(kilobytes("Name: x\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12 * 1024));
    assert!(resident().unwrap() > 0 && available().unwrap() > resident().unwrap());
}

/// Would fail if a job were ended that needs a pause or little less than it may use, or went on at
/// its limit.
#[test]
fn sources_are_held_back_near_the_limit_and_the_job_ends_at_it() {
    let mut gauge = Gauge { limit: 100, hopeless: 150, near: None, is_over: false };
    let start = Instant::now();
    let mut at = |used, ms| gauge.judge(used, start + Duration::from_millis(ms));
    assert_eq!(at(89, 0), Verdict::Go);
    assert_eq!(at(90, 100), Verdict::Hold);
    assert_eq!(at(86, 200), Verdict::Hold);
    assert_eq!(at(84, 300), Verdict::Go);
    assert_eq!(at(95, 400), Verdict::Hold);
    assert_eq!(at(95, 2300), Verdict::Hold);
    assert_eq!(at(95, 2400), Verdict::Go);
    assert_eq!(at(99, 9000), Verdict::Go);
    assert_eq!(at(100, 9100), Verdict::End);
    assert_eq!(at(50, 9200), Verdict::End);
    assert_eq!(at(150, 9300), Verdict::Abort);
}

/// Would fail if the error did not name the largest state first.
#[test]
fn the_error_names_the_largest_operators() {
    let size = |operator: &str, bytes| StateSize { operator: operator.to_owned(), rows: 2, bytes };
    let sizes = vec![size("a", 1), size("b", 2048), size("c", 0), size("d", 3), size("e", 2)];
    let shortage = Shortage { used: 3 << 20, limit: 2 << 20 };
    assert_eq!(
        shortage.error(sizes, "it is in checkpoint 7").message(),
        "memory is at its limit: a process uses 3.0 MiB and may use 2.0 MiB; largest state: `b` 2 \
         rows (2.0 KiB), `d` 2 rows (3 B), `e` 2 rows (2 B); it is in checkpoint 7"
    );
}

/// Would fail if an idle job looked often, or one near its limit seldom.
#[test]
fn memory_is_looked_at_more_often_near_the_limit() {
    let next =
        |used: u64, limit: u64| Shortage { used: used << 20, limit: limit << 20 }.next_look();
    assert_eq!(next(100, 16 << 10), LOOK_SELDOM);
    assert_eq!(next(13 << 10, 16 << 10), Duration::from_secs_f64(614.4 / 1024.0));
    assert_eq!(next(14 << 10, 16 << 10), LOOK_EVERY);
    assert_eq!(next(20, 48), LOOK_EVERY);
}
