//! `INSERT INTO t PARTITION (…) (…) query`: what goes where.

use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use thalweg_types::Result;

use super::{Name, begins_query, expression, name, names, query, table_name};
use crate::text;
use crate::tokens::Tokens;

/// `INSERT INTO`.
#[derive(Clone, Debug)]
pub(crate) struct Insert {
    pub(crate) table: Name,
    /// `PARTITION (column = value, …)`.
    pub(crate) partition: Vec<(Name, Vec<TokenWithSpan>)>,
    /// Columns that the query gives; none for all.
    pub(crate) columns: Vec<Name>,
    pub(crate) query: Vec<TokenWithSpan>,
}

/// Reads what stands behind `INSERT INTO`.
pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Insert> {
    let table = table_name(tokens)?;
    let partition = if tokens.take_word("PARTITION") { partition(tokens)? } else { Vec::new() };
    // A parenthesis may also begin the query.
    let has_columns = tokens.clone().take_symbol("(") && !begins_query(tokens);
    let columns = if has_columns { names(tokens)? } else { Vec::new() };
    Ok(Insert { table, partition, columns, query: query(tokens)? })
}

/// Reads `(column = value, …)`.
fn partition(tokens: &mut Tokens<'_>) -> Result<Vec<(Name, Vec<TokenWithSpan>)>> {
    let mut values: Vec<(Name, Vec<TokenWithSpan>)> = Vec::new();
    tokens.symbol("(")?;
    loop {
        let column = name(tokens)?;
        if values.iter().any(|(known, _)| known.text == column.text) {
            let message = format!("column `{}` stands there twice", column.text);
            return Err(text::at(&column.at, message));
        }
        tokens.symbol("=")?;
        values.push((column, expression(tokens)?));
        if !tokens.take_symbol(",") {
            tokens.symbol(")")?;
            return Ok(values);
        }
    }
}
