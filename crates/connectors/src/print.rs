//! Rows to standard output: `'connector' = 'print'` in Flink's notation, and the result of a bare
//! `SELECT` as JSON, CSV or a table.
//!
//! Rows are shown at once, so after a crash some may be shown again (at least once). A table of a
//! bounded job waits until its widths are known, for a bounded number of rows and no longer than to
//! the next checkpoint; an updating one is drawn again and again on a terminal.

mod render;

mod table;

mod live;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::{
    Accepts, Committable, Committer, Delivery, Prepared, Sink, SinkWriter, WriterContext,
};
use thalweg_plan::source::Source;
use thalweg_types::{Change, Epoch, Error, Result};

use self::live::Live;
use self::table::Grid;

/// How rows are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// `+I[a, b]`, behind this prefix.
    Flink(String),
    /// One JSON object a line.
    Json,
    /// RFC 4180 with a header.
    Csv,
    /// Columns that stand below each other.
    Table,
}

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Print;

impl Connector for Print {
    fn name(&self) -> &'static str {
        "print"
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["connector", "print-identifier", "standard-error"]
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        table.options.only(&self.options())?;
        table.options.flag("standard-error").map(|_| ())
    }

    fn source(&self, table: &TableSpec, _: &[usize]) -> Result<Arc<dyn Source>> {
        Err(Error::invalid(format!("table `{}`: 'print' can only be written", table.name)))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        let prefix = table.options.get("print-identifier");
        let prefix = prefix.map(|name| format!("{name}> ")).unwrap_or_default();
        let out: Screen = match table.options.flag("standard-error")? {
            Some(true) => Arc::new(Mutex::new(std::io::stderr())),
            _ => Arc::new(Mutex::new(std::io::stdout())),
        };
        Ok(Arc::new(Shown::new(Style::Flink(prefix), None, out)))
    }
}

/// Where rows are shown.
pub type Screen = Arc<Mutex<dyn Write + Send>>;

/// Columns and lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub lines: usize,
}

/// The terminal that rows are shown on.
#[derive(Clone, Copy, Debug)]
pub struct Terminal(
    /// Returns its size, which may change.
    pub fn() -> Size,
);

/// What is known of a result once its job is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Does its input end?
    pub is_bounded: bool,
    /// Can a row be taken back?
    pub is_updating: bool,
    /// How many rows there are at most, if the query says so.
    pub limit: Option<u64>,
}

/// A sink that shows rows.
#[derive(Clone)]
pub struct Shown {
    style: Style,
    limit: Option<u64>,
    terminal: Option<Terminal>,
    facts: Arc<OnceLock<Facts>>,
    out: Screen,
    /// Rows shown by all writers.
    shown: Arc<AtomicU64>,
    shared: Arc<Mutex<Shared>>,
}

/// What all writers of a sink have in common.
#[derive(Debug, Default)]
struct Shared {
    writers: usize,
    has_header: bool,
    grid: Grid,
    live: Live,
    /// When the live result was drawn last.
    drawn: Option<Instant>,
    /// Will somebody draw it soon?
    is_awaited: bool,
}

/// Time between two drawings of a live result, at least.
const REDRAW: Duration = Duration::from_millis(100);

impl Shown {
    /// Returns a sink that shows at most `limit` rows on `out`, and then ends the job.
    pub fn new(style: Style, limit: Option<u64>, out: Screen) -> Shown {
        let (facts, shown, shared) = (Arc::default(), Arc::default(), Arc::default());
        Shown { style, limit, terminal: None, facts, out, shown, shared }
    }

    /// Returns the sink on a terminal: a table is cut to its width, and drawn again if it changes.
    pub fn on(self, terminal: Option<Terminal>) -> Shown {
        Shown { terminal, ..self }
    }

    /// Returns the sink of a result of which `facts` will be known before the first row.
    pub fn with_facts(self, facts: Arc<OnceLock<Facts>>) -> Shown {
        Shown { facts, ..self }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_updating(&self, change: &Change) -> bool {
        change.weights.is_some() || self.facts.get().is_some_and(|facts| facts.is_updating)
    }

    /// Returns the terminal on which the result is drawn again when it changes.
    /// Returns how many rows are shown at most.
    fn limit(&self) -> Option<u64> {
        let of_query = self.facts.get().and_then(|facts| facts.limit);
        self.limit.into_iter().chain(of_query).min()
    }

    fn live(&self) -> Option<Terminal> {
        let is_updating = self.facts.get().is_some_and(|facts| facts.is_updating);
        self.terminal.filter(|_| is_updating && self.style == Style::Table)
    }

    fn put(&self, text: &str) -> Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Error::closed("nobody reads the output"),
            _ => Error::failed(format!("cannot write rows: {error}")).caused_by(error),
        })
    }

    /// Writes the rows of the table that wait.
    fn put_table(&self) -> Result<()> {
        let mut text = String::new();
        let mut shared = self.shared();
        let line = self.terminal.map(|terminal| terminal.0().columns);
        shared.grid.write(line, &mut text);
        if text.is_empty() { Ok(()) } else { self.put(&text) }
    }

    /// Draws a live result, now or soon.
    fn redraw(&self, terminal: Terminal) -> Result<()> {
        let mut shared = self.shared();
        let since = shared.drawn.map_or(REDRAW, |drawn| drawn.elapsed());
        if since < REDRAW {
            if !std::mem::replace(&mut shared.is_awaited, true) {
                let sink = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(REDRAW - since).await;
                    sink.shared().is_awaited = false;
                    // The next epoch finds out if nobody reads any more.
                    let _ = sink.draw(terminal, Live::draw);
                });
            }
            return Ok(());
        }
        drop(shared);
        self.draw(terminal, Live::draw)
    }

    fn draw(&self, terminal: Terminal, how: fn(&mut Live, Size, &mut String)) -> Result<()> {
        let mut shared = self.shared();
        if shared.writers == 0 {
            return Ok(());
        }
        let mut text = String::new();
        how(&mut shared.live, terminal.0(), &mut text);
        shared.drawn = Some(Instant::now());
        if text.is_empty() { Ok(()) } else { self.put(&text) }
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shown({:?})", self.style)
    }
}

#[async_trait]
impl Sink for Shown {
    fn connector(&self) -> &str {
        "print"
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    fn accepts(&self) -> Accepts {
        Accepts::Changelog
    }

    fn is_local(&self) -> bool {
        true
    }

    fn is_for_people(&self) -> bool {
        matches!(self.style, Style::Flink(_) | Style::Table)
    }

    async fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(ShownWriter::new(self.clone())))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(NoCommitter))
    }
}

struct ShownWriter {
    sink: Shown,
    text: String,
    /// What stands before the first line, whoever writes it.
    header: String,
}

impl ShownWriter {
    fn new(sink: Shown) -> ShownWriter {
        sink.shared().writers += 1;
        ShownWriter { sink, text: String::new(), header: String::new() }
    }

    /// Shows what waits.
    fn flush(&mut self) -> Result<()> {
        if let Some(terminal) = self.sink.live() {
            return self.sink.redraw(terminal);
        }
        if self.sink.style == Style::Table {
            return self.sink.put_table();
        }
        let mut shared = self.sink.shared();
        if self.text.is_empty() {
            return Ok(());
        }
        if !std::mem::replace(&mut shared.has_header, true) {
            self.text.insert_str(0, &self.header);
        }
        let written = self.sink.put(&self.text);
        self.text.clear();
        written
    }

    fn take(&mut self, change: &Change) {
        if change.is_empty() {
            return;
        }
        let is_updating = self.sink.is_updating(change);
        match self.sink.style {
            Style::Table if self.sink.live().is_some() => self.sink.shared().live.apply(change),
            Style::Table => self.sink.shared().grid.push(change, is_updating),
            _ => {
                if self.header.is_empty() {
                    self.header = render::header(&self.sink.style, change, is_updating);
                }
                render::render(&self.sink.style, change, is_updating, &mut self.text);
            }
        }
    }

    /// Is there so much that it is shown before the epoch ends?
    fn is_full(&self) -> bool {
        match self.sink.style {
            Style::Table if self.sink.live().is_some() => false,
            Style::Table => self.sink.shared().grid.waiting() >= table::FITTED_ROWS_MAX,
            _ => self.text.len() > 1 << 16,
        }
    }

    /// Does a table wait for more rows, to be fitted over them?
    fn waits(&self) -> bool {
        let is_bounded = self.sink.facts.get().is_some_and(|facts| facts.is_bounded);
        is_bounded
            && self.sink.style == Style::Table
            && self.sink.live().is_none()
            && !self.sink.shared().grid.is_fitted()
    }
}

/// The last writer leaves the result as it is in the end, also where the job failed.
impl Drop for ShownWriter {
    fn drop(&mut self) {
        if self.sink.style == Style::Table {
            // The job has its outcome already.
            let _ = match self.sink.live() {
                Some(terminal) if self.sink.shared().writers == 1 => {
                    self.sink.draw(terminal, Live::draw_all)
                }
                Some(_) => Ok(()),
                None => self.sink.put_table(),
            };
        }
        self.sink.shared().writers -= 1;
    }
}

#[async_trait]
impl SinkWriter for ShownWriter {
    async fn write(&mut self, change: Change) -> Result<()> {
        let before = self.sink.shown.fetch_add(change.len() as u64, Ordering::Relaxed);
        let limit = self.sink.limit();
        let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(before));
        let change = change.slice(0, change.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        self.take(&change);
        // Another writer may reach the limit and end the job: what was counted must be out by then.
        if self.is_full() || (limit.is_some() && !self.waits()) {
            self.flush()?;
        }
        if limit.is_some_and(|limit| before + change.len() as u64 >= limit) {
            self.flush()?;
            return Err(Error::closed("the asked number of rows is shown"));
        }
        Ok(())
    }

    async fn end_epoch(&mut self, _: Epoch) -> Result<()> {
        if self.waits() { Ok(()) } else { self.flush() }
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared> {
        self.flush()?;
        Ok(Prepared::default())
    }
}

struct NoCommitter;

#[async_trait]
impl Committer for NoCommitter {
    async fn commit(&self, _: &Committable) -> Result<()> {
        Err(Error::internal("what is shown has nothing to commit"))
    }
}

#[cfg(test)]
mod tests;
