//! The beginning of a file, and the table that would read it.
//!
//! It reads so much of the first file as it needs, and no more than a bound; it changes nothing.

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use thalweg_types::{Error, Result};

use super::input::{Input, is_packed};
use super::listing::{Order, Rules};
use super::store::Store;
use crate::formats::Decoder;
use crate::formats::csv::CsvDecoder;
use crate::formats::infer::{self, Inferred};

/// Most bytes that are looked at.
const BYTES_MAX: usize = 64 << 20;
/// Bytes that are read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// What to look at, and what is known already.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// A path as the option `path` has it.
    pub path: &'a str,
    /// Rows to look at.
    pub rows: usize,
    /// The format; by the file's name and first bytes if `None`.
    pub format: Option<&'a str>,
    /// Has a CSV file a header? By its values if `None`.
    pub header: Option<bool>,
}

/// A table that reads the files.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its format.
    pub format: &'static str,
    /// Its columns, and options of the format.
    pub inferred: Inferred,
    /// Columns of the files that SQL has no type for.
    pub left_out: Vec<String>,
}

/// Looks at the first file that the path names.
///
/// # Errors
/// `Invalid` if there is none, `Data` if it makes no table, `Failed` if it cannot be read.
pub async fn look(question: &Question<'_>) -> Result<Answer> {
    let (store, place) = Store::of(question.path)?;
    let found = store.list(&place, Order::Name, &Rules::default()).await?;
    let first = found
        .into_iter()
        .next()
        .ok_or_else(|| Error::invalid(format!("there is no file at `{}`", question.path)))?;
    let path = first.path;
    let by_name = match question.format {
        Some(name) => Some(known(name)?),
        None => by_name(&path),
    };
    let answer = match by_name {
        Some("parquet") => parquet(&store, &path).await?,
        by_name => lines(&store, &path, by_name, question).await?,
    };
    if answer.inferred.schema.fields().is_empty() {
        let rows = answer.inferred.rows;
        let message = match rows {
            0 => format!("file `{path}` has no rows to learn from"),
            _ => format!(
                "none of the first {rows} records of `{path}` can be read as {}",
                answer.format
            ),
        };
        return Err(Error::data(message).remedy("say what it is by --format"));
    }
    Ok(answer)
}

fn known(name: &str) -> Result<&'static str> {
    let found = ["json", "csv", "parquet"].into_iter().find(|known| *known == name);
    found.ok_or_else(|| Error::invalid(format!("no schema is made for format '{name}'")))
}

/// Returns the format that the name of a file says.
fn by_name(path: &str) -> Option<&'static str> {
    let name = match is_packed(path) {
        true => path.rsplit_once('.').map_or(path, |(name, _)| name),
        false => path,
    };
    match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "json" | "jsonl" | "ndjson" => Some("json"),
        "csv" | "tsv" => Some("csv"),
        "parquet" | "pq" => Some("parquet"),
        _ => None,
    }
}

async fn parquet(store: &Store, path: &str) -> Result<Answer> {
    let file = store.open(path).await?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| {
        Error::data(format!("file `{path}` is no Parquet file, or damaged: {error}"))
    })?;
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(usize::MAX);
    let (schema, left_out) = infer::parquet(builder.schema());
    let inferred = Inferred { schema, options: Vec::new(), rows, bad: 0 };
    Ok(Answer { format: "parquet", inferred, left_out })
}

async fn lines(
    store: &Store,
    path: &str,
    format: Option<&'static str>,
    question: &Question<'_>,
) -> Result<Answer> {
    let mut input = Input::open(store, path).await?;
    // One record may be a header, and one may be cut.
    let (mut block, is_whole) = begin(&mut input, question.rows.saturating_add(2))?;
    if format.is_none() && block.starts_with(b"PAR1") {
        return parquet(store, path).await;
    }
    let is_json = block.trim_ascii_start().starts_with(b"{");
    let format = format.unwrap_or(if is_json { "json" } else { "csv" });
    if !is_whole {
        let end = match format {
            "csv" => CsvDecoder::plain().end_of_last(&block),
            _ => memchr::memrchr(b'\n', &block).map(|end| end + 1),
        };
        block.truncate(end.unwrap_or(0));
    }
    let is_tabbed = path.contains(".tsv");
    let inferred = match format {
        "json" => infer::json(&block, question.rows),
        _ => infer::csv(&block, question.rows, is_tabbed.then_some(b'\t'), question.header),
    };
    Ok(Answer { format, inferred, left_out: Vec::new() })
}

/// Reads so many lines, or all there are; says whether the file ends there.
fn begin(input: &mut Input, count: usize) -> Result<(Vec<u8>, bool)> {
    let (mut block, mut found) = (Vec::new(), 0);
    while found < count && block.len() < BYTES_MAX {
        let from = block.len();
        block.resize(from + BLOCK_BYTES, 0);
        let read = input.read(&mut block[from..])?;
        block.truncate(from + read);
        if read == 0 {
            return Ok((block, true));
        }
        found += memchr::memchr_iter(b'\n', &block[from..]).count();
    }
    Ok((block, false))
}
