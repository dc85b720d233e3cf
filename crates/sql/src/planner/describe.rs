//! `DESCRIBE`: the columns of a table or view, one a line, in Flink's words.

use datafusion::arrow::datatypes::Field;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::catalog::{Column, Table};
use crate::session::Session;
use crate::types;

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

fn of_field(field: &Field) -> String {
    let null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{} {}{null}", field.name(), types::name(field.data_type()))
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
        text.push_str(&token.token.to_string());
        before = Some(&token.token);
    }
    text
}
