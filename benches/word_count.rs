//! Word count: the program beside a hand-written loop over the same file, in the same run.
//!
//! `cargo bench --bench word_count -- FILE [ROUNDS]` prints seconds and CPU seconds of both, best
//! of the rounds. The loop reads halves of the file with two threads, splits, hashes and counts;
//! the program does the same by SQL, with two workers and checkpoints on.

use std::io::{Read, Seek, SeekFrom};
use std::process::Command;
use std::time::Instant;

use hashbrown::HashMap;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let Some(path) = arguments.first() else {
        // `cargo test` starts benchmarks without arguments; there is nothing to measure then.
        println!("usage: cargo bench --bench word_count -- FILE [ROUNDS]");
        return;
    };
    let rounds = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(3);
    let (mut by_hand, mut by_sql) = ((f64::MAX, f64::MAX), (f64::MAX, f64::MAX));
    for _ in 0..rounds {
        by_hand = least(by_hand, measure(|| count_by_hand(path)));
        by_sql = least(by_sql, measure(|| count_by_sql(path)));
    }
    println!("by hand: {:.2} s, {:.2} CPU s", by_hand.0, by_hand.1);
    println!("by SQL:  {:.2} s, {:.2} CPU s", by_sql.0, by_sql.1);
    println!(
        "rate of SQL to the loop: {:.2}; by CPU: {:.2}",
        by_hand.0 / by_sql.0,
        by_hand.1 / by_sql.1
    );
}

fn least(left: (f64, f64), right: (f64, f64)) -> (f64, f64) {
    (left.0.min(right.0), left.1.min(right.1))
}

/// Returns seconds and CPU seconds that `work` took, with those of ended children.
fn measure(work: impl FnOnce()) -> (f64, f64) {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    work();
    (began.elapsed().as_secs_f64(), cpu_seconds() - cpu)
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    // utime, stime, cutime, cstime, in hundredths of a second.
    fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap_or(0.0)).sum::<f64>() / 100.0
}

fn count_by_hand(path: &str) {
    let bytes = std::fs::metadata(path).expect("the file is there").len();
    let middle = bytes / 2;
    let counts = std::thread::scope(|scope| {
        let halves = [(0, middle), (middle, bytes)];
        let threads = halves.map(|(from, to)| scope.spawn(move || count_range(path, from, to)));
        threads.map(|thread| thread.join().expect("the loop does not panic"))
    });
    let [mut all, rest] = counts;
    for (word, count) in rest {
        *all.entry(word).or_default() += count;
    }
    assert!(!all.is_empty());
}

/// Counts the words of the lines that begin in a range.
fn count_range(path: &str, from: u64, to: u64) -> HashMap<Vec<u8>, u64> {
    let mut file = std::fs::File::open(path).expect("the file is there");
    file.seek(SeekFrom::Start(from)).expect("a file can be sought");
    let mut counts: HashMap<Vec<u8>, u64> = HashMap::new();
    let (mut block, mut rest, mut at) = (vec![0; 1 << 20], Vec::new(), from);
    let mut skips = from > 0;
    while at < to {
        let count = file.read(&mut block).expect("the file can be read");
        if count == 0 {
            break;
        }
        at += count as u64;
        rest.extend_from_slice(&block[..count]);
        let end = memchr::memrchr(b'\n', &rest).map_or(0, |end| end + 1);
        let start = if skips { memchr::memchr(b'\n', &rest).map_or(end, |n| n + 1) } else { 0 };
        skips = false;
        for word in rest[start..end].split(|byte| *byte == b' ' || *byte == b'\n') {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.to_vec(), 1);
                }
            }
        }
        rest.drain(..end);
    }
    counts
}

fn count_by_sql(path: &str) {
    let script = format!(
        "CREATE TABLE lines (line STRING) WITH ('connector'='filesystem', 'path'='{path}', 'format'='raw');
         CREATE TABLE counts (word STRING, n BIGINT) WITH ('connector'='blackhole');
         INSERT INTO counts SELECT word, COUNT(*)
         FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word) GROUP BY word"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["run", "-e", &script, "--workers", "2"])
        .output()
        .expect("the program is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
