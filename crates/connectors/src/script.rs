//! `'connector' = 'script'`: rows, watermarks and the clock as a file says, line by line.
//!
//! | Line | What happens in its epoch |
//! |---|---|
//! | `{"row": {…}}` | a row of the table comes |
//! | `{"rows": [{…}, {…}]}` | several rows of the table come together |
//! | `{"watermark": "2015-01-01 12:02:00"}` | the table's watermark moves to this time |
//! | `{"clock": "2015-01-01 12:06:00"}` | the clock moves to this time; timers that are due come first |
//! | `{"checkpoint": true}` | a checkpoint is made |
//! | `{"end": true}` | the script is at its end, as at the end of the file |
//!
//! Invariants: every table of a script hands over every line, that of another one as no rows, so the
//! engine can take line after line from all of them alike; what is no line of a script is an error,
//! and a row that does not fit its table is a bad record.

mod line;

mod reader;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::Sink;
use thalweg_plan::source::{self as plan, Discovery, Offset, Replay, Source, Split, SplitReader};
use thalweg_types::{Error, Result, SplitId};

use self::reader::ScriptReader;
use crate::formats;

const OPTIONS: [&str; 2] = ["connector", "path"];

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Script;

/// The names of tables, for lines that name one.
#[derive(Clone, Debug)]
struct Names {
    /// This table.
    own: String,
    /// The tables of the script that the job reads.
    read: BTreeSet<String>,
    /// The tables that are declared.
    known: BTreeSet<String>,
}

/// Returns the table with the format of its rows.
fn with_format(table: &TableSpec) -> TableSpec {
    let mut table = table.clone();
    table.options.0.insert("format".to_owned(), "json".to_owned());
    table
}

/// Returns the file of a script.
fn path(table: &TableSpec) -> Result<String> {
    let path = table.options.required("path")?;
    match path.split_once("://") {
        None => Ok(path.to_owned()),
        Some(("file", path)) => Ok(path.to_owned()),
        Some((scheme, _)) => {
            let message = format!("option 'path': a script cannot be read from `{scheme}://`");
            Err(Error::invalid(message).remedy("use a path of the local disk"))
        }
    }
}

impl Connector for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn has_watermarks(&self) -> bool {
        true
    }

    fn options(&self) -> Vec<&'static str> {
        OPTIONS.to_vec()
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        if table.options.get("format").is_some() {
            let error = Error::invalid("option 'format': the rows of a script are JSON");
            return Err(error.remedy("leave it out"));
        }
        path(table)?;
        let table = with_format(table);
        formats::check_options(&table.options, &["connector", "path", "format"])?;
        let columns: Vec<usize> = (0..table.schema.fields().len()).collect();
        formats::decoder(&table, &columns).map(|_| ())
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        // As it was declared, whatever hint it is used with.
        let own = table.name.split("/*+").next().unwrap_or_default().to_owned();
        let (read, known) = (BTreeSet::from([own.clone()]), BTreeSet::from([own.clone()]));
        Ok(Arc::new(ScriptSource {
            path: path(table)?,
            schema: Arc::new(table.schema.project(columns)?),
            columns: columns.to_vec(),
            table: with_format(table),
            names: Names { own, read, known },
        }))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(Error::invalid(format!("table `{}`: 'script' can only be read", table.name)))
    }
}

/// A table of a script.
#[derive(Clone, Debug)]
struct ScriptSource {
    path: String,
    table: TableSpec,
    columns: Vec<usize>,
    schema: SchemaRef,
    names: Names,
}

#[async_trait]
impl Source for ScriptSource {
    fn connector(&self) -> &str {
        "script"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn script(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn among(&self, script: &plan::Script) -> Option<Arc<dyn Source>> {
        let (read, known) = (script.read.clone(), script.known.clone());
        let names = Names { own: self.names.own.clone(), read, known };
        Some(Arc::new(ScriptSource { names, ..self.clone() }))
    }

    fn is_local(&self) -> bool {
        true
    }

    fn explain(&self) -> Option<String> {
        Some(format!("follows the script `{}`: a line in an epoch, time as it says", self.path))
    }

    async fn enumerate(&self, known: &[Split]) -> Result<Discovery> {
        if !Path::new(&self.path).exists() {
            return Err(Error::invalid(format!("there is no file `{}`", self.path)));
        }
        let split = || Split {
            id: SplitId(self.path.clone()),
            sequence: self.path.clone(),
            payload: String::new(),
        };
        let splits = if known.is_empty() { vec![split()] } else { Vec::new() };
        Ok(Discovery { splits, again: None })
    }

    async fn reader(&self, _: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let decoder = formats::decoder(&self.table, &self.columns)?;
        Ok(Box::new(ScriptReader::open(&self.path, self.names.clone(), decoder, from)?))
    }
}

#[cfg(test)]
mod tests;
