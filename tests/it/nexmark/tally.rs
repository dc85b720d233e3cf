//! What was run: how long each run took, and, in each manner, how often a kill came in the middle.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use super::life::{Kill, Outcome};
use super::manners::Manner;
use crate::oracle::Rows;

/// What was run in each manner.
pub(super) struct Tally(Vec<(Manner, Runs)>);

#[derive(Default)]
struct Runs {
    count: usize,
    seconds: f64,
    failed: usize,
    kills: Vec<Kill>,
}

impl Tally {
    pub(super) fn new(manners: Vec<Manner>) -> Tally {
        Tally(manners.into_iter().map(|manner| (manner, Runs::default())).collect())
    }

    /// Runs a query in a manner, and says how long it took; returns its answer.
    pub(super) fn run(
        &mut self,
        what: &str,
        manner: Manner,
        run: impl FnOnce() -> Result<Outcome, String>,
    ) -> Result<Rows, String> {
        let started = Instant::now();
        let outcome = run();
        let seconds = started.elapsed().as_secs_f64();
        let kill = outcome.as_ref().ok().and_then(|outcome| outcome.kill);
        let killed = kill.map(|kill| format!(", killed at {} %", kill.percent));
        println!("{what}: {seconds:.1} s{}", killed.unwrap_or_default());
        let (_, runs) = self.0.iter_mut().find(|(other, _)| *other == manner).unwrap();
        runs.count += 1;
        runs.seconds += seconds;
        runs.failed += usize::from(outcome.is_err());
        runs.kills.extend(kill);
        outcome.map(|outcome| outcome.rows)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (manner, Runs { count, seconds, failed, kills }) in &self.0 {
            write!(f, "{manner}: {count} runs, {seconds:.0} s, {failed} failed")?;
            let at: BTreeSet<u64> = kills.iter().map(|kill| kill.percent).collect();
            if let (Some(first), Some(last)) = (at.first(), at.last()) {
                let too_late: u32 = kills.iter().map(|kill| kill.too_late).sum();
                write!(f, "; {} killed with {first} to {last} % of the input", kills.len())?;
                write!(f, " behind a checkpoint, {too_late} ended before and ran anew")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
