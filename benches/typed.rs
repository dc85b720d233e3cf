//! The typed API: what a struct costs on its way to columns and back, and word count and a keyed sum
//! beside hand-written loops over the same structs.
//!
//! `cargo bench --bench typed -- FILE [ROUNDS]` prints the best of the rounds. FILE holds text. Loop and
//! job read the same lines and make the same structs of them; each has two threads, and the loop
//! neither keeps state nor could go on after a crash.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::time::Instant;

use thalweg::derived::ReadRows;
use thalweg::stream::{Record, Stream, Timestamp, count, sum};
use thalweg::{Job, RunOptions};

const THREADS: usize = 2;

/// A row of five fields.
#[derive(Clone, Record)]
struct Bid {
    auction: i64,
    price: f64,
    channel: String,
    url: String,
    at: Timestamp,
}

#[derive(Clone, Record)]
struct Line {
    line: String,
}

#[derive(Clone, Record)]
struct Word {
    word: String,
}

#[derive(Clone, Record)]
struct Count {
    word: String,
    occurrences: i64,
}

/// A line of text as something to add up.
#[derive(Clone, Record)]
struct Sale {
    shop: String,
    cents: i64,
}

#[derive(Clone, Record)]
struct Total {
    shop: String,
    cents: Option<i64>,
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let Some(path) = arguments.first() else {
        // `cargo test` starts benchmarks without arguments; there is nothing to measure then.
        println!("usage: cargo bench --bench typed -- FILE [ROUNDS]");
        return;
    };
    let rounds = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(3);
    conversions(rounds);
    compare("word count", rounds, || words_by_hand(path), || run(|job| words_by_job(job, path)));
    compare("keyed sum", rounds, || sales_by_hand(path), || run(|job| sales_by_job(job, path)));
}

/// Returns the seconds that `work` takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

/// Returns the least of some measurements.
fn best(rounds: usize, mut measure: impl FnMut() -> f64) -> f64 {
    (0..rounds).map(|_| measure()).fold(f64::MAX, f64::min)
}

/// Prints what structs of five fields cost on their way to columns and back.
fn conversions(rounds: usize) {
    const ROWS: usize = 8192;
    const BATCHES: usize = 200;
    let bid = |row: i64| Bid {
        auction: row,
        price: row as f64 / 3.0,
        channel: format!("channel-{}", row % 7),
        url: format!("https://www.example.com/item.html?query={row}"),
        at: Timestamp(row),
    };
    let bids: Vec<Bid> = (0..ROWS as i64).map(bid).collect();
    let rows = Bid::write(&bids).expect("bids are rows");
    let of = |name: &str, work: &dyn Fn()| {
        let nanos = best(rounds, || {
            let began = cpu_nanos();
            (0..BATCHES).for_each(|_| work());
            cpu_nanos() - began
        });
        println!("{name}: {:.1} ns", nanos / (ROWS * BATCHES) as f64);
    };
    of("struct to columns", &|| drop(black_box(Bid::write(black_box(&bids)))));
    of("columns to struct, each on its own", &|| {
        let reader = Bid::rows(black_box(&rows)).expect("bids are rows");
        (0..ROWS).for_each(|row| drop(black_box(reader.get(row))));
    });
    of("columns to structs, all at once", &|| drop(black_box(Bid::read(black_box(&rows)))));
    let kept = RefCell::new(Vec::new());
    of("columns to structs, all at once, in the place of those before", &|| {
        Bid::read_into(black_box(&rows), &mut kept.borrow_mut()).expect("bids are rows");
        black_box(&kept);
    });
    of("columns to struct, one after the other in one place", &|| {
        let reader = Bid::rows(black_box(&rows)).expect("bids are rows");
        let mut bid = reader.get(0);
        (1..ROWS).for_each(|row| reader.fill(row, black_box(&mut bid)));
    });
}

/// Returns how long this thread was on a processor, in nanoseconds.
fn cpu_nanos() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has /proc");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("it begins with a number")
}

/// Prints how long loop and job take.
fn compare(name: &str, rounds: usize, by_hand: impl Fn() -> u64, by_job: impl Fn() -> u64) {
    let by_hand = best(rounds, || seconds(|| assert!(black_box(by_hand()) > 0)));
    let by_job = best(rounds, || seconds(|| assert!(black_box(by_job()) > 0)));
    println!(
        "{name}: by hand {by_hand:.2} s, by job {by_job:.2} s, rate of job to loop {:.2}",
        by_hand / by_job
    );
}

fn words(line: Line) -> Vec<Word> {
    line.line.split(' ').map(|word| Word { word: word.to_owned() }).collect()
}

fn sale(line: Line) -> Sale {
    let shop = line.line.split(' ').next().unwrap_or_default().to_owned();
    Sale { shop, cents: line.line.len() as i64 }
}

/// Folds the lines of a file into counts by key, with some threads; returns how many keys there are.
fn loop_over(path: &str, fold: impl Fn(Line, &mut HashMap<String, i64>) + Sync) -> u64 {
    let bytes = std::fs::metadata(path).expect("the file is there").len();
    let part = |index: usize| bytes * index as u64 / THREADS as u64;
    let counts: Vec<HashMap<String, i64>> = std::thread::scope(|scope| {
        let fold = &fold;
        let work = |index| {
            scope.spawn(move || {
                let mut counts = HashMap::new();
                lines(path, part(index), part(index + 1), |line| fold(line, &mut counts));
                counts
            })
        };
        let threads: Vec<_> = (0..THREADS).map(work).collect();
        threads.into_iter().map(|thread| thread.join().expect("the loop does not panic")).collect()
    });
    let mut all: HashMap<String, i64> = HashMap::new();
    for (key, count) in counts.into_iter().flatten() {
        *all.entry(key).or_default() += count;
    }
    all.len() as u64
}

/// Hands over the lines that begin in a range of a file.
fn lines(path: &str, from: u64, to: u64, mut take: impl FnMut(Line)) {
    let mut file = File::open(path).expect("the file is there");
    // The byte before tells whether a line begins at `from`.
    file.seek(SeekFrom::Start(from.saturating_sub(1))).expect("a file can be sought");
    let (mut file, mut at) = (BufReader::with_capacity(1 << 20, file), from.saturating_sub(1));
    let mut line = String::new();
    if from > 0 {
        at += file.read_line(&mut line).expect("the file is text") as u64;
    }
    while at < to {
        line.clear();
        let read = file.read_line(&mut line).expect("the file is text");
        if read == 0 {
            return;
        }
        at += read as u64;
        take(Line { line: line.trim_end_matches('\n').to_owned() });
    }
}

fn words_by_hand(path: &str) -> u64 {
    loop_over(path, |line, counts| {
        for word in words(line) {
            *counts.entry(word.word).or_default() += 1;
        }
    })
}

fn sales_by_hand(path: &str) -> u64 {
    loop_over(path, |line, totals| {
        let sale = sale(line);
        *totals.entry(sale.shop).or_default() += sale.cents;
    })
}

fn read<'j>(job: &'j Job, path: &str) -> Stream<'j, Line> {
    let lines = job.source("lines", "filesystem", &[("path", path), ("format", "raw")]);
    lines.stream().expect("the file is there")
}

fn words_by_job(job: &Job, path: &str) {
    read(job, path)
        .flat_map(words)
        .key_by(|word| word.word.clone())
        .aggregate::<Count>("counts", vec![count()])
        .and_then(|counts| counts.sink("counts", "blackhole", &[]))
        .expect("words can be counted");
}

fn sales_by_job(job: &Job, path: &str) {
    read(job, path)
        .map(sale)
        .key_by(|sale| sale.shop.clone())
        .aggregate::<Total>("totals", vec![sum(|sale: &Sale| sale.cents)])
        .and_then(|totals| totals.sink("totals", "blackhole", &[]))
        .expect("sales can be added up");
}

/// Runs a job; returns how many rows came out.
fn run(build: impl Fn(&Job)) -> u64 {
    let job = thalweg::job();
    build(&job);
    let options = RunOptions { workers: THREADS, ..RunOptions::new("typed") };
    thalweg::run(job, &options).expect("the job runs").rows_out.values().sum()
}
