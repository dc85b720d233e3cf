//! `EXPLAIN ANALYZE`: the tree of `EXPLAIN`, with what each operator did.
//!
//! Invariants: figures are those of all workers of the job, in all its processes; rows of a query
//! go nowhere. It does *not* measure: the counters are the engine's, read once a second.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thalweg_cluster::RunOptions;
use thalweg_cluster::options::Watcher;
use thalweg_connectors::blackhole::Blackhole;
use thalweg_dataflow::stats::{Counted, Counts};
use thalweg_plan::explain::{Fact, explain_with};
use thalweg_plan::node::SinkNode;
use thalweg_plan::{Exchange, Node, NodeKind, Plan};
use thalweg_sql::Script;
use thalweg_types::clock::{Clock, SystemClock};
use thalweg_types::size::ByteCount;
use thalweg_types::{Error, EventTime, Result};

use crate::report;

/// Returns the plan of a query that is run to be analysed: its rows go nowhere, and after `limit`
/// of them the job ends.
pub(crate) fn without_rows(mut plan: Plan, limit: Option<u64>) -> Plan {
    for node in &mut plan.nodes {
        if let NodeKind::Sink(sink) = &mut node.kind
            && is_result(sink)
        {
            sink.sink = Arc::new(Blackhole::of(limit));
        }
    }
    plan
}

/// Makes a run one that is analysed, if its script asks for that.
///
/// # Errors
/// `Invalid` if rows are to be counted that several processes take.
pub(crate) fn prepare(
    script: &Script,
    plan: Plan,
    options: &mut RunOptions,
    limit: Option<u64>,
) -> Result<(Plan, Option<Arc<Analysis>>)> {
    if !script.analyzes {
        return Ok((plan, None));
    }
    let plan = without_rows(plan, limit);
    adapt(options, &plan, limit)?;
    let analysis = Analysis { plan: plan.clone(), drawn: Mutex::default() };
    Ok((plan, Some(Arc::new(analysis))))
}

/// Makes the options of a run those of an analysis: that of a query leaves the job's state alone.
fn adapt(options: &mut RunOptions, plan: &Plan, limit: Option<u64>) -> Result<()> {
    if limit.is_some() && options.others.is_some() {
        return Err(Error::invalid("EXPLAIN ANALYZE with --limit runs in one process")
            .remedy("leave --limit or --processes out"));
    }
    if !plan.nodes.iter().any(|node| matches!(&node.kind, NodeKind::Sink(sink) if !is_result(sink)))
    {
        options.state = None;
    }
    Ok(())
}

fn is_result(sink: &SinkNode) -> bool {
    sink.table == thalweg_sql::planner::RESULT
}

/// A run that is analysed.
pub(crate) struct Analysis {
    plan: Plan,
    /// What stands on the terminal, where standard output is one.
    drawn: Mutex<Drawing>,
}

impl Analysis {
    /// Has the tree drawn each second, where there is a terminal.
    pub(crate) fn watch(self: &Arc<Analysis>, options: &mut RunOptions) {
        let (Some(terminal), analysis) = (report::terminal(), self.clone()) else { return };
        options.watcher = Some(Watcher(Arc::new(move |progress, counts| {
            let size = terminal.0();
            let text = tree(&analysis.plan, counts, progress.elapsed);
            let text = analysis.drawn().next(&text, size.lines.saturating_sub(1), size.columns);
            // A terminal that is gone is noticed when the result is printed.
            let _ = put(&text);
        })));
    }

    /// Prints what the run did, in the place of the last drawing.
    ///
    /// # Errors
    /// `Closed` if nobody reads standard output, `Failed` if it cannot be written.
    pub(crate) fn print(&self, counts: &Counts, elapsed: Duration) -> Result<()> {
        let text = tree(&self.plan, counts, elapsed);
        let text = self.drawn().next(&text, usize::MAX, usize::MAX);
        put(&text)
    }

    fn drawn(&self) -> MutexGuard<'_, Drawing> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands on the terminal.
#[derive(Default)]
struct Drawing {
    lines: usize,
}

impl Drawing {
    /// Returns what puts the head of `text` in the place of the last drawing.
    fn next(&mut self, text: &str, lines_max: usize, columns: usize) -> String {
        let mut out = match self.lines {
            0 => String::new(),
            // Up to the first line, and nothing below it.
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        };
        self.lines = 0;
        for line in text.lines().take(lines_max.max(1)) {
            out.extend(line.chars().take(columns));
            out.push('\n');
            self.lines += 1;
        }
        out
    }
}

fn put(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Error::closed("nobody reads the output"),
        _ => Error::failed(format!("cannot write the analysis: {error}")),
    })
}

/// Returns the tree with what each operator did in a run of `elapsed`.
fn tree(plan: &Plan, counts: &Counts, elapsed: Duration) -> String {
    let figures = Figures::new(plan, counts);
    let mut text = format!("{}\n", figures.head(elapsed));
    text.push_str(&explain_with(plan, &|node| figures.of(node)));
    text
}

/// What all operators did.
struct Figures<'a> {
    plan: &'a Plan,
    counts: &'a Counts,
    /// The wall clock.
    now: EventTime,
    /// Time that all operators took on all workers.
    busy: Duration,
}

impl<'a> Figures<'a> {
    fn new(plan: &'a Plan, counts: &'a Counts) -> Figures<'a> {
        let busy = counts.iter().flatten().map(|counted| counted.busy).sum();
        Figures { plan, counts, now: SystemClock.now(), busy }
    }

    /// Returns the counters of an operator, by worker.
    fn workers(&self, node: &Node) -> impl Iterator<Item = &Counted> {
        self.counts.iter().filter_map(move |worker| worker.get(node.id.0))
    }

    fn sum(&self, node: &Node, count: fn(&Counted) -> u64) -> u64 {
        self.workers(node).map(count).sum()
    }

    fn head(&self, elapsed: Duration) -> String {
        let sources = self.plan.sources().map(|(node, _)| self.sum(node, |c| c.rows_out));
        let rows: u64 = sources.sum();
        let seconds = elapsed.as_secs_f64();
        let rate = rows as f64 / seconds.max(1e-3);
        let workers = self.counts.len();
        let plural = if workers == 1 { "" } else { "s" };
        format!(
            "{seconds:.2} s on {workers} worker{plural}: {} rows in, {} rows/s",
            grouped(rows),
            grouped(rate as u64)
        )
    }

    /// Returns what an operator did.
    fn of(&self, node: &Node) -> Vec<Fact> {
        let mut facts = vec![("rows", self.rows(node))];
        facts.extend(self.busy(node).map(|text| ("busy", text)));
        facts.extend(self.skew(node).map(|text| ("skew", text)));
        facts.extend(self.moved(node).map(|text| ("moved", text)));
        facts.extend(self.kept(node).map(|text| ("kept", text)));
        facts.extend(self.reached(node).map(|text| ("reached", text)));
        let rejected = [
            ("late", self.sum(node, |counted| counted.late)),
            ("bad", self.sum(node, |counted| counted.bad)),
            ("waiting", self.sum(node, |counted| counted.backlog_rows)),
        ];
        let rejected = rejected.into_iter().filter(|(_, rows)| *rows > 0);
        facts.extend(rejected.map(|(label, rows)| (label, format!("{} rows", grouped(rows)))));
        facts
    }

    fn rows(&self, node: &Node) -> String {
        let side = |rows, bytes, way| {
            format!(
                "{} {way} ({})",
                grouped(self.sum(node, rows)),
                ByteCount(self.sum(node, bytes))
            )
        };
        let into = side(|c| c.rows_in, |c| c.bytes_in, "in");
        let out = side(|c| c.rows_out, |c| c.bytes_out, "out");
        match &node.kind {
            NodeKind::Source(_) => out,
            NodeKind::Sink(_) => into,
            _ => format!("{into}, {out}"),
        }
    }

    /// Returns how long the workers were in the operator.
    fn busy(&self, node: &Node) -> Option<String> {
        let own: Duration = self.workers(node).map(|counted| counted.busy).sum();
        let share = own.as_secs_f64() / self.busy.as_secs_f64().max(1e-9);
        let is_known = !matches!(node.kind, NodeKind::Union);
        is_known
            .then(|| format!("{:.3} s, {:.0} % of all operators", own.as_secs_f64(), share * 100.0))
    }

    /// Returns the share of the worker that has most of the rows, where there are several.
    fn skew(&self, node: &Node) -> Option<String> {
        let all = self.sum(node, |c| c.rows_in);
        let (worker, most) =
            self.workers(node).map(|c| c.rows_in).enumerate().max_by_key(|(_, rows)| *rows)?;
        let has_several = self.counts.len() > 1 && all > 0;
        let share = most as f64 / all as f64 * 100.0;
        has_several.then(|| format!("worker {worker} has most rows: {share:.0} %"))
    }

    /// Returns what came from other workers.
    fn moved(&self, node: &Node) -> Option<String> {
        let is_exchanged = node.inputs.iter().any(|input| input.exchange != Exchange::Forward);
        let rows = grouped(self.sum(node, |c| c.moved_rows));
        let bytes = ByteCount(self.sum(node, |c| c.moved_bytes));
        (is_exchanged && self.counts.len() > 1)
            .then(|| format!("{rows} rows ({bytes}) came from other workers"))
    }

    /// Returns the size of the state.
    fn kept(&self, node: &Node) -> Option<String> {
        let size = |rows: fn(&Counted) -> u64, bytes: fn(&Counted) -> u64| {
            format!("{} rows ({})", grouped(self.sum(node, rows)), ByteCount(self.sum(node, bytes)))
        };
        let now = size(|c| c.state_rows, |c| c.state_bytes);
        let most = size(|c| c.state_rows_max, |c| c.state_bytes_max);
        node.kind.is_stateful().then(|| format!("{now}, {most} at most"))
    }

    /// Returns the watermark, and how far it is behind the clock.
    fn reached(&self, node: &Node) -> Option<String> {
        if node.domains.is_empty()
            || matches!(node.kind, NodeKind::Source(_) | NodeKind::Map(_) | NodeKind::Union)
        {
            return None;
        }
        match self.workers(node).map(|counted| EventTime(counted.watermark)).min()? {
            EventTime::MIN => Some("no watermark yet".to_owned()),
            EventTime::MAX => Some("the end of the input".to_owned()),
            watermark => {
                let behind = self.now.0.saturating_sub(watermark.0).max(0) as u64;
                let behind = Duration::from_nanos(behind).as_secs_f64();
                Some(format!("{watermark}, {behind:.1} s behind the clock"))
            }
        }
    }
}

/// Returns a number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
