//! Statements, read from tokens: what each asks for, not yet what it means.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use thalweg_plan::connector::Options;
use thalweg_types::Result;

use crate::text;
use crate::tokens::{Tokens, tokenize};
use crate::types;

/// A column as it is declared.
#[derive(Clone, Debug)]
pub(crate) enum Declared {
    /// `name type [NOT NULL]`.
    Physical(datafusion::arrow::datatypes::Field),
    /// `name AS expression`.
    Computed(String, Vec<TokenWithSpan>),
}

/// `CREATE TABLE`.
#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: String,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<Declared>,
    pub(crate) watermark: Option<(TokenWithSpan, String, Vec<TokenWithSpan>)>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) options: Options,
}

/// A statement and its first token, to point at.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) first: TokenWithSpan,
    pub(crate) kind: Kind,
}

/// What a statement asks for.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    CreateTable(Box<CreateTable>),
    CreateView { name: String, if_not_exists: bool, query: Vec<TokenWithSpan> },
    Insert { table: TokenWithSpan, name: String, columns: Vec<String>, query: Vec<TokenWithSpan> },
    Query(Vec<TokenWithSpan>),
    Set { key: TokenWithSpan, name: String, value: String },
    Reset(Option<String>),
    ShowTables,
    Describe(TokenWithSpan, String),
    Drop { name: TokenWithSpan, table: String, if_exists: bool },
    Explain(Box<Statement>),
}

/// Reads the statements of a script.
pub(crate) fn parse(text: &str) -> Result<Vec<Statement>> {
    let tokens = tokenize(text)?;
    let mut statements = Vec::new();
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        let mut part = Tokens::new(part);
        // Statement sets are what a script is anyway: all inserts are one job.
        let is_frame = part.take_words(&["EXECUTE", "STATEMENT", "SET", "BEGIN"])
            || part.take_words(&["BEGIN", "STATEMENT", "SET"])
            || (part.rest().len() == 1 && part.take_word("END"));
        let _ = is_frame;
        if !part.is_at_end() {
            statements.push(statement(&mut part)?);
        }
    }
    Ok(statements)
}

fn statement(tokens: &mut Tokens<'_>) -> Result<Statement> {
    let first = tokens.peek().clone();
    let kind = if tokens.take_word("CREATE") {
        tokens.take_word("TEMPORARY");
        if tokens.take_word("VIEW") {
            create_view(tokens)?
        } else {
            tokens.words(&["TABLE"]).map_err(|_| tokens.expected("TABLE or VIEW"))?;
            Kind::CreateTable(Box::new(create_table(tokens)?))
        }
    } else if tokens.take_words(&["INSERT", "INTO"]) {
        insert(tokens)?
    } else if tokens.take_word("SET") {
        let key = tokens.peek().clone();
        let name = tokens.string()?;
        tokens.symbol("=")?;
        let value = tokens.string()?;
        tokens.finish()?;
        Kind::Set { key, name, value }
    } else if tokens.take_word("RESET") {
        let key = if tokens.is_at_end() { None } else { Some(tokens.string()?) };
        Kind::Reset(key)
    } else if tokens.take_words(&["SHOW", "TABLES"]) || tokens.take_words(&["SHOW", "VIEWS"]) {
        tokens.finish()?;
        Kind::ShowTables
    } else if tokens.take_word("DESCRIBE") || tokens.take_word("DESC") {
        let at = tokens.peek().clone();
        let name = tokens.table_name()?;
        tokens.finish()?;
        Kind::Describe(at, name)
    } else if tokens.take_word("DROP") {
        drop_table(tokens)?
    } else if tokens.take_word("EXPLAIN") {
        tokens.take_words(&["PLAN", "FOR"]);
        Kind::Explain(Box::new(statement(tokens)?))
    } else if ["SELECT", "WITH", "VALUES"].iter().any(|word| tokens.clone().take_word(word)) {
        Kind::Query(tokens.rest().to_vec())
    } else if tokens.take_symbol("(") {
        return Err(text::at(&first, "a query in parentheses is no statement"));
    } else {
        return Err(tokens.expected("a statement").remedy(
            "statements are CREATE TABLE, CREATE VIEW, INSERT INTO, SELECT, SET, SHOW TABLES, \
             DESCRIBE, DROP and EXPLAIN",
        ));
    };
    Ok(Statement { first, kind })
}

fn if_not_exists(tokens: &mut Tokens<'_>) -> bool {
    tokens.take_words(&["IF", "NOT", "EXISTS"])
}

fn create_view(tokens: &mut Tokens<'_>) -> Result<Kind> {
    let if_not_exists = if_not_exists(tokens);
    let name = tokens.table_name()?;
    if tokens.take_word("COMMENT") {
        tokens.string()?;
    }
    tokens.words(&["AS"])?;
    Ok(Kind::CreateView { name, if_not_exists, query: tokens.rest().to_vec() })
}

fn insert(tokens: &mut Tokens<'_>) -> Result<Kind> {
    let table = tokens.peek().clone();
    let name = tokens.table_name()?;
    let mut columns = Vec::new();
    // A parenthesis may also begin the query.
    let mut ahead = tokens.clone();
    if ahead.take_symbol("(") && !ahead.take_word("SELECT") && !ahead.take_word("WITH") {
        tokens.symbol("(")?;
        loop {
            columns.push(tokens.identifier()?);
            if !tokens.take_symbol(",") {
                tokens.symbol(")")?;
                break;
            }
        }
    }
    Ok(Kind::Insert { table, name, columns, query: tokens.rest().to_vec() })
}

fn drop_table(tokens: &mut Tokens<'_>) -> Result<Kind> {
    tokens.take_word("TEMPORARY");
    if !tokens.take_word("TABLE") && !tokens.take_word("VIEW") {
        return Err(tokens.expected("TABLE or VIEW"));
    }
    let if_exists = tokens.take_words(&["IF", "EXISTS"]);
    let name = tokens.peek().clone();
    let table = tokens.table_name()?;
    tokens.finish()?;
    Ok(Kind::Drop { name, table, if_exists })
}

fn create_table(tokens: &mut Tokens<'_>) -> Result<CreateTable> {
    let if_not_exists = if_not_exists(tokens);
    let name = tokens.table_name()?;
    let mut table = CreateTable {
        name,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        options: Options::default(),
    };
    tokens.symbol("(")?;
    loop {
        column(tokens, &mut table)?;
        if !tokens.take_symbol(",") {
            tokens.symbol(")")?;
            break;
        }
    }
    if tokens.take_word("COMMENT") {
        tokens.string()?;
    }
    if tokens.take_word("PARTITIONED") {
        return Err(tokens.expected("WITH").remedy("PARTITIONED BY is not supported yet"));
    }
    tokens.words(&["WITH"])?;
    tokens.symbol("(")?;
    loop {
        let at = tokens.peek().clone();
        let key = tokens.string()?;
        tokens.symbol("=")?;
        let value = tokens.string()?;
        if table.options.0.insert(key.clone(), value).is_some() {
            return Err(text::at(&at, format!("option '{key}' stands there twice")));
        }
        if !tokens.take_symbol(",") {
            tokens.symbol(")")?;
            break;
        }
    }
    tokens.finish()?;
    Ok(table)
}

/// Reads a column, the watermark or the primary key.
fn column(tokens: &mut Tokens<'_>, table: &mut CreateTable) -> Result<()> {
    let at = tokens.peek().clone();
    if tokens.take_words(&["WATERMARK", "FOR"]) {
        let column = tokens.identifier()?;
        tokens.words(&["AS"])?;
        let expression = tokens.expression().to_vec();
        table.watermark = Some((at, column, expression));
        return Ok(());
    }
    if tokens.take_words(&["PRIMARY", "KEY"]) {
        tokens.symbol("(")?;
        loop {
            table.primary_key.push(tokens.identifier()?);
            if !tokens.take_symbol(",") {
                tokens.symbol(")")?;
                break;
            }
        }
        return tokens.words(&["NOT", "ENFORCED"]);
    }
    let name = tokens.identifier()?;
    if tokens.take_word("AS") {
        let expression = tokens.expression().to_vec();
        table.columns.push(Declared::Computed(name, expression));
        return Ok(());
    }
    let (kind, is_nullable) = types::parse(tokens)?;
    if tokens.take_words(&["PRIMARY", "KEY"]) {
        tokens.words(&["NOT", "ENFORCED"])?;
        table.primary_key.push(name.clone());
    }
    if tokens.take_word("COMMENT") {
        tokens.string()?;
    }
    let field = datafusion::arrow::datatypes::Field::new(name, kind, is_nullable);
    table.columns.push(Declared::Physical(field));
    Ok(())
}
