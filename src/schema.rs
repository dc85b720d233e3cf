//! `thalweg schema`: a `CREATE TABLE` for files that are there.
//!
//! What it prints is a script that `thalweg run` accepts as it is. It does *not* look beyond the
//! first rows, so a later one may need another type.

use std::fmt::Write;
use std::process::ExitCode;

use thalweg_connectors::files::sample::{self, Answer, Question};
use thalweg_sql::write;
use thalweg_types::Result;

use crate::arguments::SchemaArguments;
use crate::{report, wire};

/// Prints a script that reads the files.
pub(crate) fn schema(arguments: &SchemaArguments, is_quiet: bool) -> Result<ExitCode> {
    let question = Question {
        path: &arguments.file,
        rows: usize::try_from(arguments.rows).unwrap_or(usize::MAX),
        format: arguments.format.as_deref(),
        header: arguments.header,
    };
    let answer = wire::runtime()?.block_on(sample::look(&question))?;
    report::say(&script(&arguments.file, &answer))?;
    if !is_quiet {
        report::notify(&notices(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

fn notices(answer: &Answer) -> Vec<String> {
    let mut notices = Vec::new();
    let (rows, bad) = (answer.inferred.rows, answer.inferred.bad);
    if bad > 0 {
        notices.push(format!(
            "{bad} of {rows} records cannot be read as {} like the others; \
             option 'bad-records' says what becomes of such",
            answer.format
        ));
    }
    notices.extend(
        answer
            .left_out
            .iter()
            .map(|name| format!("column `{name}` is left out: SQL has no type for its values")),
    );
    notices
}

fn script(path: &str, answer: &Answer) -> String {
    let table = write::name(&table_name(path)).into_owned();
    let fields = answer.inferred.schema.fields().iter();
    let columns: Vec<String> = fields
        .map(|field| {
            format!("  {} {}", write::name(field.name()), write::type_name(field.data_type()))
        })
        .collect();
    let mut options = vec![("connector", "filesystem"), ("path", path), ("format", answer.format)];
    options.extend(answer.inferred.options.iter().map(|(key, value)| (*key, value.as_str())));
    let options: Vec<String> = options
        .into_iter()
        .map(|(key, value)| format!("  {} = {}", write::literal(key), write::literal(value)))
        .collect();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "CREATE TABLE {table} (\n{}\n) WITH (\n{}\n);\n\n-- SELECT * FROM {table} LIMIT 10;\n",
        columns.join(",\n"),
        options.join(",\n"),
    );
    text
}

/// Names a table by the first file or folder that the path names in full.
fn table_name(path: &str) -> String {
    let mut parts =
        path.split('/').filter(|part| !part.is_empty() && !part.contains(['*', '?', ':']));
    let last = parts.next_back().unwrap_or_default();
    let stem = last.split('.').find(|part| !part.is_empty()).unwrap_or_default();
    let keep = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = stem.chars().map(keep).collect();
    match name.trim_matches('_').is_empty() {
        true => "files".to_owned(),
        false => name,
    }
}
