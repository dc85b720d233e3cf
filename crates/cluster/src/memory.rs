//! How much memory a process may use, how much it uses, and what is done near the limit. No I/O
//! but reading `/proc` and the control groups.
//!
//! Invariants: near the limit sources are held back for a while, so that what is under way drains
//! and a last checkpoint has room; a job that reaches it is ended by us, with a checkpoint and a
//! reason, and not by the kernel. Where the system does not say what a process uses, nothing is limited.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thalweg_plan::connector::parse_bytes;
use thalweg_types::Error;
use thalweg_types::size::ByteCount;

/// How often memory is looked at near the limit.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked at far from it.
const LOOK_SELDOM: Duration = Duration::from_secs(1);
/// Bytes that a process takes in a second at most, about.
const GROWTH_MAX: f64 = (1_u64 << 30) as f64;
/// How long a last checkpoint may take.
pub const LAST_CHECKPOINT_MAX: Duration = Duration::from_secs(30);
/// How long sources are held back in the hope that memory falls; then they go on to the limit.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// Percent of the limit from which on sources are held back.
const HOLD_PERCENT: u64 = 90;
/// Percent of the limit below which they go on.
const RELEASE_PERCENT: u64 = 85;
/// Percent of the machine's memory at which there is no time for a checkpoint.
const HOPELESS_PERCENT: u64 = 95;
/// Operators that an error names.
const NAMED_MAX: usize = 3;

/// A limit as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLimit {
    /// No limit.
    None,
    /// So many bytes for each process.
    Bytes(u64),
    /// So much of the machine's memory, or of the control group's, for all processes together.
    Percent(u64),
}

impl MemoryLimit {
    /// Reads a limit: `2GB`, `80%`, `0` or `none`.
    pub fn parse(text: &str) -> Option<MemoryLimit> {
        if let Some(percent) = text.trim().strip_suffix('%') {
            let percent = percent.trim().parse().ok()?;
            return (1..=100).contains(&percent).then_some(MemoryLimit::Percent(percent));
        }
        match (text.trim(), parse_bytes(text.trim())) {
            ("none", _) | (_, Some(0)) => Some(MemoryLimit::None),
            (_, bytes) => bytes.map(MemoryLimit::Bytes),
        }
    }

    /// Returns the bytes that each of `processes` may use; `None` for no limit.
    pub fn of_process(self, processes: usize) -> Option<u64> {
        match self {
            MemoryLimit::None => None,
            MemoryLimit::Bytes(bytes) => Some(bytes),
            MemoryLimit::Percent(percent) => {
                available().map(|all| share(all, percent) / processes as u64)
            }
        }
    }
}

fn share(bytes: u64, percent: u64) -> u64 {
    (u128::from(bytes) * u128::from(percent) / 100) as u64
}

/// Returns the bytes of memory that this process has and the kernel cannot take back.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    // Pages of files, such as those of the program, are read again when they are needed.
    kilobytes(&status, "RssAnon:").or_else(|| kilobytes(&status, "VmRSS:"))
}

/// Returns the bytes of memory that there are: the machine's, or the control group's if those are
/// fewer.
fn available() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kilobytes(&text, "MemTotal:"));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups, Path::new("/sys/fs/cgroup"));
    let limits = limits.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    // `max` is no number, and says that there is no limit.
    limits.filter_map(|text| text.trim().parse().ok()).chain(machine).min()
}

/// Returns the value of a line such as `VmRSS:  1024 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the files below `root` that may limit the groups of `/proc/self/cgroup`, of version 1
/// and 2: those of a group and of all above it.
fn limit_files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| root.join(group).join(file)));
    }
    files
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Go,
    /// Hold sources back.
    Hold,
    /// End the job with a checkpoint.
    End,
    /// End the job at once.
    Abort,
}

/// Looks at the memory of a process.
#[derive(Clone, Debug)]
pub struct Gauge {
    limit: u64,
    hopeless: u64,
    /// Since when it is near the limit.
    near: Option<Instant>,
    /// Was the limit reached? Then nothing but the end follows.
    is_over: bool,
}

impl Gauge {
    /// Returns a gauge of a process that may use `limit` bytes.
    pub fn new(limit: u64) -> Gauge {
        let machine = available().map_or(u64::MAX, |all| share(all, HOPELESS_PERCENT));
        Gauge { limit, hopeless: machine.max(limit), near: None, is_over: false }
    }

    /// Measures the process; `None` where the system does not say.
    pub fn look(&mut self) -> Option<(Verdict, Shortage)> {
        let used = resident()?;
        Some((self.judge(used, Instant::now()), Shortage { used, limit: self.limit }))
    }

    fn judge(&mut self, used: u64, now: Instant) -> Verdict {
        if used >= self.hopeless {
            return Verdict::Abort;
        }
        self.is_over |= used >= self.limit;
        if self.is_over {
            return Verdict::End;
        }
        let far = if self.near.is_some() { RELEASE_PERCENT } else { HOLD_PERCENT };
        if used < share(self.limit, far) {
            self.near = None;
            return Verdict::Go;
        }
        let near = *self.near.get_or_insert(now);
        match now.duration_since(near) < HOLD_MAX {
            true => Verdict::Hold,
            false => Verdict::Go,
        }
    }
}

/// What a process used when it was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Bytes that it used.
    pub used: u64,
    /// Bytes that it may use.
    pub limit: u64,
}

/// The state of an operator on all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSize {
    /// The operator.
    pub operator: String,
    /// Rows of its state.
    pub rows: u64,
    /// Bytes of its state.
    pub bytes: u64,
}

impl Shortage {
    /// Returns when to look again: before memory can have come near the limit.
    pub fn next_look(self) -> Duration {
        let room = share(self.limit, RELEASE_PERCENT).saturating_sub(self.used);
        let seconds = room as f64 / GROWTH_MAX;
        Duration::from_secs_f64(seconds).clamp(LOOK_EVERY, LOOK_SELDOM)
    }

    /// Returns the error that ends the job; `checkpoint` says which one holds its state.
    pub fn error(self, mut sizes: Vec<StateSize>, checkpoint: &str) -> Error {
        sizes.sort_by_key(|size| std::cmp::Reverse(size.bytes));
        let named = sizes.iter().filter(|size| size.bytes > 0).take(NAMED_MAX);
        let named = named.map(|StateSize { operator, rows, bytes }| {
            format!("`{operator}` {rows} rows ({})", ByteCount(*bytes))
        });
        let named = match named.collect::<Vec<_>>().join(", ") {
            named if named.is_empty() => "no operator keeps state".to_owned(),
            named => format!("largest state: {named}"),
        };
        let (used, limit) = (ByteCount(self.used), ByteCount(self.limit));
        Error::failed(format!(
            "memory is at its limit: a process uses {used} and may use {limit}; {named}; \
             {checkpoint}"
        ))
        .remedy(
            "start the job again with the same --state-dir and a larger --memory-limit, or give \
             its state an end: EXPLAIN names what is unbounded",
        )
    }
}

#[cfg(test)]
mod tests;
