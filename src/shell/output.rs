//! Where results go, and as what.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use thalweg_connectors::print::Screen;
use thalweg_types::{Error, Result};

use crate::arguments::OutputFormat;
use crate::report;
use crate::wire::View;

/// Where results go, and as what.
pub(super) struct Output {
    pub(super) style: OutputFormat,
    /// Instead of standard output.
    file: Option<Screen>,
}

impl Output {
    /// Returns standard output.
    pub(super) fn new(style: OutputFormat) -> Output {
        Output { style, file: None }
    }

    /// Sends results to a file, or back to standard output.
    ///
    /// # Errors
    /// `Failed` if the file cannot be made.
    pub(super) fn send_to(&mut self, path: Option<&str>) -> Result<()> {
        self.file = match path {
            None => None,
            Some(path) => {
                let file = File::create(path)
                    .map_err(|error| Error::failed(format!("cannot write `{path}`: {error}")))?;
                Some(Arc::new(Mutex::new(file)))
            }
        };
        Ok(())
    }

    /// Returns the view of one query.
    pub(super) fn view(&self) -> View {
        View::new(self.style, self.file.clone())
    }

    /// Writes a text.
    ///
    /// # Errors
    /// `Closed` if nobody reads it; `Failed` if it cannot be written.
    pub(super) fn say(&self, text: &str) -> Result<()> {
        let Some(file) = &self.file else { return report::say(text) };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.write_all(text.as_bytes());
        written.map_err(|error| Error::failed(format!("cannot write the output: {error}")))
    }
}
