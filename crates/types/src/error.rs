//! One error type for all crates: what happened, where, and what to do about it.
//!
//! Invariants: the kind tells the *caller* what to do, the place tells the *user* where to
//! look, the remedy what to try. `Display` prints the message alone, never its source; drawing
//! carets and chains is the business of the binary.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The result of anything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller must do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same call may succeed later; retry within a bound.
    Retry,
    /// The other side is gone or stopping; end quietly.
    Closed,
    /// The user's text or options are wrong; tell them, do not retry.
    Invalid,
    /// A record that came from outside is malformed; obey the bad-record option.
    Data,
    /// Somebody else owns the job now; stop at once.
    Fenced,
    /// Stored state is held by another run, or cannot be read.
    State,
    /// A peer, a disk or a foreign system failed; end the attempt.
    Failed,
    /// An invariant is broken; end the attempt and report a defect.
    Internal,
}

/// Where an error happened, in the words of whoever has to look there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Place {
    /// A place in the text of a SQL script; line and column count from 1, in characters.
    Sql {
        /// First line of the span.
        line: usize,
        /// First column of the span.
        column: usize,
        /// Characters to underline, at least 1.
        length: usize,
    },
    /// A place in a file or object of the user's.
    File {
        /// Path or URL as the user wrote it.
        path: String,
        /// Line from 1, where it is known.
        line: Option<u64>,
        /// Byte offset of the record, where lines mean nothing.
        offset: Option<u64>,
    },
    /// An operator of a running job.
    Operator {
        /// Name of the operator, as `EXPLAIN` prints it.
        operator: String,
        /// Worker that ran it.
        worker: usize,
        /// Epoch that was open.
        epoch: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Sql { line, column, .. } => write!(f, "line {line}, column {column}"),
            Place::File { path, line: Some(line), .. } => write!(f, "{path}:{line}"),
            Place::File { path, offset: Some(offset), .. } => write!(f, "{path} at byte {offset}"),
            Place::File { path, .. } => write!(f, "{path}"),
            Place::Operator { operator, worker, epoch } => {
                write!(f, "operator `{operator}`, worker {worker}, epoch {epoch}")
            }
        }
    }
}

/// An error with its kind, its place and its remedy; sent to another process without its source.
#[derive(Clone, Serialize, Deserialize)]
pub struct Error(Box<Inner>);

#[derive(Clone, Serialize, Deserialize)]
struct Inner {
    kind: ErrorKind,
    message: String,
    places: Vec<Place>,
    remedy: Option<String>,
    #[serde(skip)]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Returns an error of `kind`; the message is lower case and has no full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Error(Box::new(Inner { kind, message, places: Vec::new(), remedy: None, source: None }))
    }

    /// Returns an error about the user's text or options.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Returns an error about a malformed record.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// Returns an error about stored state that is held or unreadable.
    pub fn state(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::State, message)
    }

    /// Returns an error about something outside that failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// Returns an error about a broken invariant of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Returns an error that says the other side is gone.
    pub fn closed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Closed, message)
    }

    /// Adds the place; the first one added is the innermost.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.places.push(place);
        self
    }

    /// Adds what the user can do about it, unless something closer already said so.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy.get_or_insert(remedy.into());
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Replaces the message by one that says more, keeping kind, places and remedy.
    #[must_use]
    pub fn context(mut self, before: impl fmt::Display) -> Self {
        self.0.message = format!("{before}: {}", self.0.message);
        self
    }

    /// Replaces the kind, for a caller that knows better what must be done.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Returns what the caller must do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the message alone.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the places, innermost first.
    pub fn places(&self) -> &[Place] {
        &self.0.places
    }

    /// Returns what the user can try, where something is known to help.
    pub fn remedy_text(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)?;
        for place in &self.0.places {
            write!(f, " ({place})")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    /// Arrow kernels fail on data (overflow, a cast) or on our own misuse; the first is common.
    fn from(error: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError as A;
        let kind = match error {
            A::CastError(_)
            | A::ArithmeticOverflow(_)
            | A::DivideByZero
            | A::ParseError(_)
            | A::ComputeError(_)
            | A::InvalidArgumentError(_) => ErrorKind::Data,
            A::IoError(_, _) => ErrorKind::Failed,
            _ => ErrorKind::Internal,
        };
        let message = error.to_string();
        Error::new(kind, message)
    }
}
