//! Reads a script for one of its tables, from the start: what came before an offset decides what
//! may follow.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};

use arrow::buffer::Buffer;
use async_trait::async_trait;
use thalweg_plan::source::{BadRecord, Offset, SourceBatch, SplitReader, Step};
use thalweg_types::{Error, EventTime, Place, Result, hash};

use super::Names;
use super::line::{Action, Line};
use crate::formats::Decoder;

/// Longest line, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 24;

/// Where a reader is: lines read, and the hash of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    line: u64,
    hash: u64,
}

impl Position {
    fn write(self) -> Offset {
        Offset(format!("{} {:016x}", self.line, self.hash))
    }

    fn read(offset: &Offset) -> Option<Position> {
        let (line, hash) = offset.0.split_once(' ')?;
        Some(Position { line: line.parse().ok()?, hash: u64::from_str_radix(hash, 16).ok()? })
    }
}

/// Reads a script for one table.
pub(super) struct ScriptReader {
    file: BufReader<File>,
    path: String,
    names: Names,
    decoder: Box<dyn Decoder>,
    at: Position,
    watermark: EventTime,
    clock: EventTime,
    is_over: bool,
    step: Option<Step>,
}

impl ScriptReader {
    /// Opens the script at `path` behind the lines of `from`.
    ///
    /// # Errors
    /// `State` if these are other lines now, or the file vanished; `Invalid` if they are wrong.
    pub(super) fn open(
        path: &str,
        names: Names,
        decoder: Box<dyn Decoder>,
        from: Option<&Offset>,
    ) -> Result<ScriptReader> {
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::state(format!("script `{path}` vanished")),
            _ => Error::failed(format!("cannot read `{path}`: {error}")).caused_by(error),
        })?;
        let mut reader = ScriptReader {
            file: BufReader::new(file),
            path: path.to_owned(),
            names,
            decoder,
            at: Position::default(),
            watermark: EventTime::MIN,
            clock: EventTime(0),
            is_over: false,
            step: None,
        };
        if let Some(offset) = from {
            let until = Position::read(offset)
                .ok_or_else(|| Error::state(format!("script `{path}` has a damaged offset")))?;
            while reader.at.line < until.line && reader.advance()?.is_some() {}
            if reader.at != until {
                return Err(Error::state(format!("the first lines of `{path}` changed"))
                    .remedy("restore the file, or begin anew with --fresh"));
            }
        }
        Ok(reader)
    }

    fn wrong(&self, what: impl Into<String>) -> Error {
        let (path, line) = (self.path.clone(), Some(self.at.line));
        Error::invalid(what).at(Place::File { path, line, offset: None })
    }

    /// Returns the next bytes that are not blank, without white space around them.
    fn read(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let mut bytes = Vec::new();
            let mut rest = (&mut self.file).take(LINE_BYTES_MAX + 1);
            let count = rest.read_until(b'\n', &mut bytes).map_err(|error| {
                Error::failed(format!("cannot read `{}`: {error}", self.path)).caused_by(error)
            })?;
            if count == 0 {
                return Ok(None);
            }
            self.at.line += 1;
            if count as u64 > LINE_BYTES_MAX {
                return Err(self.wrong(format!("a line has at most {LINE_BYTES_MAX} bytes")));
            }
            let line = bytes.trim_ascii();
            if !line.is_empty() {
                self.at.hash = hash::hash_bytes(&[&self.at.hash.to_le_bytes()[..], line].concat());
                return Ok(Some(line.to_vec()));
            }
        }
    }

    /// Reads a line and checks it against those before it; `None` at the end.
    fn advance(&mut self) -> Result<Option<Line>> {
        let Some(text) = self.read()? else { return Ok(None) };
        if self.is_over {
            return Err(self.wrong("the script goes on behind its \"end\""));
        }
        let line = Line::parse(&text).map_err(|error| self.wrong(error))?;
        self.check_table(&line)?;
        match line.action {
            Action::Watermark(time) if self.is_own(&line) => {
                self.check_order("watermark", self.watermark, time)?;
                self.watermark = time;
            }
            Action::Clock(time) => {
                self.check_order("clock", self.clock, time)?;
                self.clock = time;
            }
            Action::End => {
                self.is_over = true;
                // Whatever follows is an error.
                return self.advance();
            }
            Action::Rows(_) | Action::Watermark(_) | Action::Checkpoint => {}
        }
        Ok(Some(line))
    }

    /// Does the line concern the table of this reader?
    fn is_own(&self, line: &Line) -> bool {
        line.table.as_ref().is_none_or(|table| *table == self.names.own)
    }

    fn check_table(&self, line: &Line) -> Result<()> {
        let Names { read, known, .. } = &self.names;
        let list = |names: &BTreeSet<String>| Vec::from_iter(names.iter().cloned()).join(", ");
        match &line.table {
            Some(table) if !known.contains(table) => {
                let error = self.wrong(format!("there is no table `{table}`"));
                Err(error.remedy(format!("tables: {}", list(known))))
            }
            None if matches!(line.action, Action::Rows(_)) && read.len() > 1 => {
                let error = self.wrong("the row names no table, and the job reads several");
                Err(error.remedy(format!("add \"table\", one of: {}", list(read))))
            }
            _ => Ok(()),
        }
    }

    fn check_order(&self, what: &str, before: EventTime, time: EventTime) -> Result<()> {
        match time < before {
            true => Err(self.wrong(format!("the {what} goes back, from {before} to {time}"))),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl SplitReader for ScriptReader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        let Some(line) = self.advance()? else { return Ok(None) };
        let is_own = self.is_own(&line);
        let mut step = Step { line: self.at.line, ..Step::default() };
        let mut rows = Vec::new();
        match line.action {
            Action::Rows(objects) if is_own => rows = objects,
            Action::Watermark(time) if is_own => step.watermark = Some(time),
            Action::Clock(time) => step.clock = Some(time),
            Action::Checkpoint => step.is_checkpoint = true,
            Action::Rows(_) | Action::Watermark(_) | Action::End => {}
        }
        self.step = Some(step);
        let bytes = rows.len();
        let decoded = self.decoder.decode(&Buffer::from_vec(rows))?;
        let place = format!("{}:{}", self.path, self.at.line);
        let bad = decoded.bad.into_iter().map(|bad| BadRecord {
            record: bad.record,
            place: place.clone(),
            error: bad.error,
        });
        let (rows, bad) = (decoded.rows, bad.collect());
        Ok(Some(SourceBatch { rows, bad, next: self.at.write(), bytes }))
    }

    fn step(&self) -> Option<Step> {
        self.step
    }
}
