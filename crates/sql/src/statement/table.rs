//! `CREATE TABLE`: columns, watermark, primary key, partitions and options, token by token.
//!
//! Invariant: what may stand there once stands there once. It does *not* know whether columns that
//! are named exist, save for two of one name.

use datafusion::arrow::datatypes::Field;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use thalweg_types::{Error, Result};

use super::{
    CreateTable, Declared, Metadata, Name, comment, expression, if_not_exists, like, name, names,
    options, query, quoted, table_name,
};
use crate::text;
use crate::tokens::Tokens;
use crate::types;

/// Reads what stands behind `CREATE TABLE`.
///
/// # Errors
/// `Invalid`, at what is not understood.
pub(super) fn create(tokens: &mut Tokens<'_>) -> Result<CreateTable> {
    let mut table = CreateTable {
        if_not_exists: if_not_exists(tokens),
        name: table_name(tokens)?,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitions: Vec::new(),
        options: Vec::new(),
        like: None,
        query: None,
    };
    if tokens.take_symbol("(") {
        elements(tokens, &mut table)?;
    } else if !["LIKE", "AS", "WITH", "COMMENT", "PARTITIONED"]
        .iter()
        .any(|word| tokens.clone().take_word(word))
    {
        return Err(tokens.expected("`(`"));
    }
    comment(tokens)?;
    if tokens.take_words(&["PARTITIONED", "BY"]) {
        table.partitions = names(tokens)?;
    }
    if tokens.clone().take_word("DISTRIBUTED") {
        return Err(text::at(tokens.peek(), "DISTRIBUTED is not supported here"));
    }
    if tokens.take_word("WITH") {
        table.options = options(tokens)?;
    }
    if tokens.take_word("LIKE") {
        table.like = Some(like::read(tokens)?);
    } else if table.options.is_empty() {
        let error = tokens.expected("WITH");
        return Err(error.remedy("say where the table is: WITH ('connector' = 'filesystem', …)"));
    } else if tokens.take_word("AS") {
        table.query = Some(query(tokens)?);
        return Ok(table);
    }
    tokens.finish()?;
    Ok(table)
}

/// Reads columns, the watermark and the primary key, up to the closing parenthesis.
fn elements(tokens: &mut Tokens<'_>, table: &mut CreateTable) -> Result<()> {
    loop {
        element(tokens, table)?;
        if !tokens.take_symbol(",") {
            return tokens.symbol(")");
        }
    }
}

/// Reads a column, the watermark or the primary key.
fn element(tokens: &mut Tokens<'_>, table: &mut CreateTable) -> Result<()> {
    let at = tokens.peek().clone();
    if tokens.take_words(&["WATERMARK", "FOR"]) {
        let column = name(tokens)?;
        tokens.words(&["AS"])?;
        let expression = expression(tokens)?;
        if table.watermark.is_some() {
            return Err(text::at(&at, "a table has one WATERMARK"));
        }
        table.watermark = Some((column, expression));
        return Ok(());
    }
    if tokens.take_word("CONSTRAINT") {
        name(tokens)?;
        tokens.words(&["PRIMARY", "KEY"])?;
        return primary_key(table, &at, names(tokens)?, tokens);
    }
    if tokens.take_words(&["PRIMARY", "KEY"]) {
        return primary_key(table, &at, names(tokens)?, tokens);
    }
    let name = name(tokens)?;
    if let Some(known) = table.columns.iter().find(|known| known.name().text == name.text) {
        return Err(text::at(
            &name.at,
            format!("column `{}` stands there twice", known.name().text),
        ));
    }
    if tokens.take_word("AS") {
        let expression = expression(tokens)?;
        comment(tokens)?;
        table.columns.push(Declared::Computed(name, expression));
        return Ok(());
    }
    physical(tokens, table, name)
}

fn physical(tokens: &mut Tokens<'_>, table: &mut CreateTable, name: Name) -> Result<()> {
    let (kind, is_nullable) = types::parse(tokens)?;
    let field = Field::new(name.text.clone(), kind, is_nullable);
    if tokens.take_word("METADATA") {
        let key = if tokens.take_word("FROM") { quoted(tokens)? } else { name.clone() };
        let metadata = Metadata { key, is_virtual: tokens.take_word("VIRTUAL") };
        comment(tokens)?;
        table.columns.push(Declared::Metadata(name, field, metadata));
        return Ok(());
    }
    let at = tokens.peek().clone();
    if tokens.take_words(&["PRIMARY", "KEY"]) {
        primary_key(table, &at, vec![name.clone()], tokens)?;
    }
    comment(tokens)?;
    table.columns.push(Declared::Physical(name, field));
    Ok(())
}

fn primary_key(
    table: &mut CreateTable,
    at: &TokenWithSpan,
    key: Vec<Name>,
    tokens: &mut Tokens<'_>,
) -> Result<()> {
    if !table.primary_key.is_empty() {
        return Err(text::at(at, "a table has one PRIMARY KEY"));
    }
    table.primary_key = key;
    let unchecked = |error: Error| error.remedy("a stream does not check keys: NOT ENFORCED");
    tokens.words(&["NOT", "ENFORCED"]).map_err(unchecked)
}
