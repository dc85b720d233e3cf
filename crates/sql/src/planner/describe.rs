//! `DESCRIBE` and `SHOW CREATE`: tables and views in Flink's words.
//!
//! What must always hold: what `SHOW CREATE` says makes the same table or view.

use datafusion::arrow::datatypes::Field;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::catalog::{Column, Table, hint_of};
use crate::session::Session;
use crate::statement::{CreateTable, CreateView, Declared, Metadata, Name};
use crate::types;
use crate::write::{literal, name};

/// Returns the lines that describe `name`; `None` if there is no such table or view.
pub(super) fn describe(session: &Session, name: &str) -> Option<String> {
    let lines: Vec<String> = match session.table(name) {
        Some(table) => of_table(table),
        None => session.schema(name)?.fields().iter().map(|field| of_field(field)).collect(),
    };
    Some(lines.join("\n"))
}

fn of_table(table: &Table) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for column in &table.columns {
        let mut line = of_field(column.field());
        match column {
            Column::Physical(_) => {}
            Column::Metadata { key, is_virtual, .. } => {
                let is_virtual = if *is_virtual { " VIRTUAL" } else { "" };
                line.push_str(&format!(" METADATA FROM '{key}'{is_virtual}"));
            }
            Column::Computed { tokens, .. } => line.push_str(&format!(" AS {}", written(tokens))),
        }
        lines.push(line);
    }
    if let Some(watermark) = &table.watermark {
        let expression = written(&watermark.tokens);
        lines.push(format!("WATERMARK FOR {} AS {expression}", watermark.column));
    }
    if !table.spec.primary_key.is_empty() {
        lines.push(format!("PRIMARY KEY ({}) NOT ENFORCED", table.spec.primary_key.join(", ")));
    }
    if !table.spec.partitions.is_empty() {
        lines.push(format!("PARTITIONED BY ({})", table.spec.partitions.join(", ")));
    }
    lines
}

/// Returns the statement that makes a table.
pub(super) fn create_table(table: &CreateTable) -> String {
    let mut parts: Vec<String> = table.columns.iter().map(column).collect();
    if let Some((column, expression)) = &table.watermark {
        parts.push(format!("WATERMARK FOR {} AS {}", name(&column.text), written(expression)));
    }
    if !table.primary_key.is_empty() {
        parts.push(format!("PRIMARY KEY ({}) NOT ENFORCED", names(&table.primary_key)));
    }
    let options = table.options.iter();
    let options: Vec<String> = options
        .map(|pair| format!("{} = {}", literal(&pair.key.text), literal(&pair.value.text)))
        .collect();
    let partitions = match table.partitions.is_empty() {
        true => String::new(),
        false => format!(" PARTITIONED BY ({})", names(&table.partitions)),
    };
    format!(
        "CREATE TABLE {} (\n  {}\n){partitions} WITH (\n  {}\n)",
        name(&table.name.text),
        parts.join(",\n  "),
        options.join(",\n  ")
    )
}

/// Returns the statement that makes a view.
pub(super) fn create_view(view: &CreateView) -> String {
    let columns = match view.columns.is_empty() {
        true => String::new(),
        false => format!(" ({})", names(&view.columns)),
    };
    format!("CREATE VIEW {}{columns} AS {}", name(&view.name.text), written(&view.query))
}

fn typed(field: &Field) -> String {
    let null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{} {}{null}", name(field.name()), types::name(field.data_type()))
}

fn column(column: &Declared) -> String {
    match column {
        Declared::Physical(_, field) => typed(field),
        Declared::Metadata(_, field, Metadata { key, is_virtual }) => {
            let (key, is_virtual) = (literal(&key.text), if *is_virtual { " VIRTUAL" } else { "" });
            format!("{} METADATA FROM {key}{is_virtual}", typed(field))
        }
        Declared::Computed(column, expression) => {
            format!("{} AS {}", name(&column.text), written(expression))
        }
    }
}

fn names(columns: &[Name]) -> String {
    let names: Vec<_> = columns.iter().map(|column| name(&column.text)).collect();
    names.join(", ")
}

fn of_field(field: &Field) -> String {
    let null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{} {}{null}", field.name(), types::name(field.data_type()))
}

fn written_token(token: &Token) -> String {
    match token {
        Token::SingleQuotedString(text) => literal(text),
        Token::Word(word) => match hint_of(&word.value) {
            Some((table, options)) => format!("{} /*+ OPTIONS({options}) */", name(table)),
            None => token.to_string(),
        },
        _ => token.to_string(),
    }
}

/// Returns tokens as text, with spaces where people put them.
fn written(tokens: &[TokenWithSpan]) -> String {
    let mut text = String::new();
    let mut before: Option<&Token> = None;
    for token in tokens {
        let is_call = matches!((before, &token.token), (Some(Token::Word(_)), Token::LParen));
        let is_tight = matches!(token.token, Token::Comma | Token::RParen | Token::Period)
            || matches!(before, None | Some(Token::LParen | Token::Period));
        if !is_tight && !is_call {
            text.push(' ');
        }
        text.push_str(&written_token(&token.token));
        before = Some(&token.token);
    }
    text
}
