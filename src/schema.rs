//! `thalweg schema`: a `CREATE TABLE` for files that are there.

use std::process::ExitCode;

use thalweg_types::{Error, Result};

use crate::arguments::SchemaArguments;

/// Prints a script that reads the files.
pub(crate) fn schema(arguments: &SchemaArguments, _: bool) -> Result<ExitCode> {
    Err(Error::invalid(format!("no schema for `{}`", arguments.file)))
}
