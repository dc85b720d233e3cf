//! Statements, read from tokens: what each asks for, not yet what it means.
//!
//! Invariants: every name keeps its place in the text, so that whoever refuses it later can point
//! at it; a statement set is opened and closed, and holds `INSERT`s only. It does *not* know
//! which tables, columns or settings exist.

mod foreign;
mod hint;
mod insert;
mod like;
mod table;

use datafusion::arrow::datatypes::Field;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use thalweg_types::Result;

pub(crate) use self::hint::Hints;
pub(crate) use self::insert::Insert;
pub(crate) use self::like::Like;
use crate::text;
use crate::tokens::{Tokens, tokenize};

/// The one catalog, called as Flink calls the one that is always there.
const CATALOG: &str = "default_catalog";
/// The one database.
const DATABASE: &str = "default_database";

/// A name and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) at: TokenWithSpan,
    pub(crate) text: String,
}

/// A column as it is declared.
#[derive(Clone, Debug)]
pub(crate) enum Declared {
    /// `name type [NOT NULL]`.
    Physical(Name, Field),
    /// `name AS expression`.
    Computed(Name, Vec<TokenWithSpan>),
    /// `name type METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata(Name, Field, Metadata),
}

/// What a metadata column holds.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) key: Name,
    /// Is it only read, never written?
    pub(crate) is_virtual: bool,
}

impl Declared {
    pub(crate) fn name(&self) -> &Name {
        match self {
            Declared::Physical(name, _)
            | Declared::Computed(name, _)
            | Declared::Metadata(name, ..) => name,
        }
    }
}

/// `'key' = 'value'`.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) key: Name,
    pub(crate) value: Name,
}

/// `CREATE TABLE`.
#[derive(Clone, Debug)]
pub(crate) struct CreateTable {
    pub(crate) name: Name,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<Declared>,
    /// The time column and the expression.
    pub(crate) watermark: Option<(Name, Vec<TokenWithSpan>)>,
    pub(crate) primary_key: Vec<Name>,
    /// Columns of `PARTITIONED BY`.
    pub(crate) partitions: Vec<Name>,
    pub(crate) options: Vec<Pair>,
    /// The table whose declaration is taken over.
    pub(crate) like: Option<Like>,
    /// The query whose columns the table gets, and whose rows are inserted.
    pub(crate) query: Option<Vec<TokenWithSpan>>,
}

/// `CREATE VIEW`.
#[derive(Clone, Debug)]
pub(crate) struct CreateView {
    pub(crate) name: Name,
    pub(crate) if_not_exists: bool,
    /// Names of the columns; none for those of the query.
    pub(crate) columns: Vec<Name>,
    pub(crate) query: Vec<TokenWithSpan>,
}

/// A statement and its first token, to point at.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) first: TokenWithSpan,
    pub(crate) kind: Kind,
    pub(crate) hints: Hints,
}

/// What `SHOW` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Tables,
    Views,
    Functions,
    /// What is set, by a bare `SET`.
    Settings,
    /// What there is one of here, and what it is called.
    Only(&'static str),
}

/// What a statement asks for.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    CreateTable(Box<CreateTable>),
    CreateView(CreateView),
    Insert(Insert),
    Query(Vec<TokenWithSpan>),
    Set(Pair),
    Reset(Option<Name>),
    Show(Shown),
    /// `SHOW CREATE TABLE`.
    ShowCreate(Name),
    Describe(Name),
    Drop {
        table: Name,
        is_view: bool,
        if_exists: bool,
    },
    Explain(Detail, Vec<Statement>),
    /// To be run for what it says of itself.
    Analyze(Vec<Statement>),
    /// A statement of Flink's that changes nothing here; why.
    Ignored(String),
}

/// Reads the statements of a script.
pub(crate) fn parse(text: &str) -> Result<Vec<Statement>> {
    let tokens = tokenize(text)?;
    let mut script = Script::default();
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        let (part, hints) = hint::take(part)?;
        script.read(&mut Tokens::new(&part), hints)?;
    }
    script.finish()
}

/// A script in the making.
#[derive(Default)]
struct Script {
    statements: Vec<Statement>,
    open: Option<Set>,
}

/// What is done with statements that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Run,
    Explain(Detail),
    Analyze,
}

/// What an explanation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What each operator does.
    Plan,
    /// Also how its rows change others.
    Changes,
}

/// A statement set that is not closed yet.
struct Set {
    first: TokenWithSpan,
    mode: Mode,
    inserts: Vec<Statement>,
}

impl Script {
    /// Reads what stands between two semicolons.
    fn read(&mut self, tokens: &mut Tokens<'_>, hints: Hints) -> Result<()> {
        let first = tokens.peek().clone();
        if let Some(mode) = opens_set(tokens)? {
            if self.open.is_some() {
                return Err(text::at(&first, "a statement set cannot hold another one"));
            }
            self.open = Some(Set { first: first.clone(), mode, inserts: Vec::new() });
        }
        if tokens.rest().len() == 1 && tokens.take_word("END") {
            let set = self.open.take();
            let set = set.ok_or_else(|| text::at(&first, "there is no statement set to END"))?;
            self.close(set);
        }
        if tokens.is_at_end() {
            return Ok(());
        }
        let statement = Statement { hints, ..statement(tokens)? };
        match (&mut self.open, &statement.kind) {
            (None, _) => self.statements.push(statement),
            (Some(set), Kind::Insert(_)) => set.inserts.push(statement),
            (Some(_), _) => {
                return Err(text::at(&statement.first, "a statement set holds INSERTs only")
                    .remedy("write END; before this statement"));
            }
        }
        Ok(())
    }

    fn close(&mut self, set: Set) {
        // All inserts of a script are one job, so a set adds nothing but its explanation.
        let kind = match set.mode {
            Mode::Run => return self.statements.extend(set.inserts),
            Mode::Explain(detail) => Kind::Explain(detail, set.inserts),
            Mode::Analyze => Kind::Analyze(set.inserts),
        };
        let hints = Hints::default();
        self.statements.push(Statement { first: set.first, kind, hints });
    }

    fn finish(self) -> Result<Vec<Statement>> {
        match self.open {
            None => Ok(self.statements),
            Some(set) => Err(text::at(&set.first, "the statement set is not closed")
                .remedy("write END; behind its last INSERT")),
        }
    }
}

/// Takes the words that open a statement set; returns what is done with it.
pub(crate) fn opens_set(tokens: &mut Tokens<'_>) -> Result<Option<Mode>> {
    if tokens.take_words(&["BEGIN", "STATEMENT", "SET"]) {
        tokens.finish().map_err(|error| error.remedy("write `;` behind BEGIN STATEMENT SET"))?;
        return Ok(Some(Mode::Run));
    }
    if tokens.take_words(&["EXECUTE", "STATEMENT", "SET"]) {
        tokens.words(&["BEGIN"])?;
        return Ok(Some(Mode::Run));
    }
    let mut ahead = tokens.clone();
    if ahead.take_word("EXPLAIN") {
        let mode = explains(&mut ahead);
        if ahead.take_words(&["STATEMENT", "SET"]) {
            ahead.words(&["BEGIN"])?;
            *tokens = ahead;
            return Ok(Some(mode));
        }
    }
    Ok(None)
}

/// Takes the words behind `EXPLAIN`.
fn explains(tokens: &mut Tokens<'_>) -> Mode {
    if tokens.take_word("ANALYZE") {
        return Mode::Analyze;
    }
    if tokens.take_word("CHANGELOG_MODE") {
        return Mode::Explain(Detail::Changes);
    }
    tokens.take_words(&["PLAN", "FOR"]);
    Mode::Explain(Detail::Plan)
}

fn statement(tokens: &mut Tokens<'_>) -> Result<Statement> {
    let first = tokens.peek().clone();
    let hints = Hints::default();
    if let Some(kind) = runs(tokens)? {
        return Ok(Statement { first, kind, hints });
    }
    let kind = if tokens.take_word("CREATE") {
        create(tokens)?
    } else if tokens.take_word("SET") {
        if tokens.is_at_end() {
            Kind::Show(Shown::Settings)
        } else {
            let pair = pair(tokens)?;
            tokens.finish()?;
            Kind::Set(pair)
        }
    } else if tokens.take_word("RESET") {
        let key = if tokens.is_at_end() { None } else { Some(quoted(tokens)?) };
        tokens.finish()?;
        Kind::Reset(key)
    } else if tokens.take_word("SHOW") {
        show(tokens)?
    } else if tokens.take_word("DESCRIBE") || tokens.take_word("DESC") {
        let table = table_name(tokens)?;
        tokens.finish()?;
        Kind::Describe(table)
    } else if tokens.take_word("DROP") {
        drop_table(tokens)?
    } else if tokens.take_word("EXPLAIN") {
        let mode = explains(tokens);
        let first = tokens.peek().clone();
        let kind = runs(tokens)?.ok_or_else(|| tokens.expected("a query or an INSERT"))?;
        let explained = vec![Statement { first, kind, hints: Hints::default() }];
        match mode {
            Mode::Explain(detail) => Kind::Explain(detail, explained),
            Mode::Analyze | Mode::Run => Kind::Analyze(explained),
        }
    } else {
        foreign::read(tokens)?
    };
    Ok(Statement { first, kind, hints })
}

/// Reads a statement that runs: a query or an `INSERT`.
fn runs(tokens: &mut Tokens<'_>) -> Result<Option<Kind>> {
    tokens.take_word("EXECUTE");
    if tokens.take_word("INSERT") {
        if tokens.take_word("OVERWRITE") {
            return Err(tokens.expected("INTO").remedy("a stream cannot overwrite a table"));
        }
        tokens.words(&["INTO"])?;
        let insert = insert::read(tokens)?;
        return Ok(Some(Kind::Insert(insert)));
    }
    let is_query = begins_query(tokens);
    if is_query { Ok(Some(Kind::Query(tokens.rest().to_vec()))) } else { Ok(None) }
}

/// Is a query next, in parentheses or not?
fn begins_query(tokens: &Tokens<'_>) -> bool {
    let mut ahead = tokens.clone();
    while ahead.take_symbol("(") {}
    ["SELECT", "WITH", "VALUES"].iter().any(|word| ahead.take_word(word))
}

fn create(tokens: &mut Tokens<'_>) -> Result<Kind> {
    if let Some(kind) = foreign::create(tokens)? {
        return Ok(kind);
    }
    tokens.take_word("TEMPORARY");
    if tokens.take_word("VIEW") {
        return create_view(tokens).map(Kind::CreateView);
    }
    tokens.words(&["TABLE"]).map_err(|_| tokens.expected("TABLE or VIEW"))?;
    Ok(Kind::CreateTable(Box::new(table::create(tokens)?)))
}

fn show(tokens: &mut Tokens<'_>) -> Result<Kind> {
    if tokens.take_words(&["CREATE", "TABLE"]) || tokens.take_words(&["CREATE", "VIEW"]) {
        let table = table_name(tokens)?;
        tokens.finish()?;
        return Ok(Kind::ShowCreate(table));
    }
    let known = [
        ("TABLES", Shown::Tables),
        ("VIEWS", Shown::Views),
        ("FUNCTIONS", Shown::Functions),
        ("CATALOGS", Shown::Only(CATALOG)),
        ("DATABASES", Shown::Only(DATABASE)),
    ];
    tokens.take_word("CURRENT");
    let singular = [("CATALOG", Shown::Only(CATALOG)), ("DATABASE", Shown::Only(DATABASE))];
    let mut known = known.into_iter().chain(singular);
    let found = known.find(|(word, _)| tokens.take_word(word));
    let (_, shown) = found.ok_or_else(|| {
        tokens.expected("TABLES, VIEWS, FUNCTIONS, CATALOGS, DATABASES or CREATE TABLE")
    })?;
    tokens.finish()?;
    Ok(Kind::Show(shown))
}

fn if_not_exists(tokens: &mut Tokens<'_>) -> bool {
    tokens.take_words(&["IF", "NOT", "EXISTS"])
}

fn name(tokens: &mut Tokens<'_>) -> Result<Name> {
    let at = tokens.peek().clone();
    Ok(Name { at, text: tokens.identifier()? })
}

fn table_name(tokens: &mut Tokens<'_>) -> Result<Name> {
    let at = tokens.peek().clone();
    Ok(Name { at, text: tokens.table_name()? })
}

/// Reads a text in single quotes.
fn quoted(tokens: &mut Tokens<'_>) -> Result<Name> {
    let at = tokens.peek().clone();
    Ok(Name { at, text: tokens.string()? })
}

/// Reads `'key' = 'value'`.
fn pair(tokens: &mut Tokens<'_>) -> Result<Pair> {
    let key = quoted(tokens)?;
    tokens.symbol("=")?;
    Ok(Pair { key, value: quoted(tokens)? })
}

/// Reads `(a, b, …)`.
fn names(tokens: &mut Tokens<'_>) -> Result<Vec<Name>> {
    let mut names: Vec<Name> = Vec::new();
    tokens.symbol("(")?;
    loop {
        let next = name(tokens)?;
        if names.iter().any(|name| name.text == next.text) {
            return Err(text::at(&next.at, format!("column `{}` stands there twice", next.text)));
        }
        names.push(next);
        if !tokens.take_symbol(",") {
            tokens.symbol(")")?;
            return Ok(names);
        }
    }
}

fn query(tokens: &Tokens<'_>) -> Result<Vec<TokenWithSpan>> {
    match begins_query(tokens) {
        true => Ok(tokens.rest().to_vec()),
        false => Err(tokens.expected("a query")),
    }
}

fn create_view(tokens: &mut Tokens<'_>) -> Result<CreateView> {
    let if_not_exists = if_not_exists(tokens);
    let name = table_name(tokens)?;
    let has_columns = tokens.clone().take_symbol("(");
    let columns = if has_columns { names(tokens)? } else { Vec::new() };
    comment(tokens)?;
    tokens.words(&["AS"])?;
    Ok(CreateView { name, if_not_exists, columns, query: query(tokens)? })
}

fn drop_table(tokens: &mut Tokens<'_>) -> Result<Kind> {
    tokens.take_word("TEMPORARY");
    let is_view = tokens.take_word("VIEW");
    if !is_view && !tokens.take_word("TABLE") {
        return Err(tokens.expected("TABLE or VIEW"));
    }
    let if_exists = tokens.take_words(&["IF", "EXISTS"]);
    let table = table_name(tokens)?;
    tokens.finish()?;
    Ok(Kind::Drop { table, is_view, if_exists })
}

fn comment(tokens: &mut Tokens<'_>) -> Result<()> {
    if tokens.take_word("COMMENT") { tokens.string().map(|_| ()) } else { Ok(()) }
}

fn options(tokens: &mut Tokens<'_>) -> Result<Vec<Pair>> {
    let mut options: Vec<Pair> = Vec::new();
    tokens.symbol("(")?;
    loop {
        let next = pair(tokens)?;
        if options.iter().any(|option| option.key.text == next.key.text) {
            let message = format!("option '{}' stands there twice", next.key.text);
            return Err(text::at(&next.key.at, message));
        }
        options.push(next);
        if !tokens.take_symbol(",") {
            tokens.symbol(")")?;
            return Ok(options);
        }
    }
}

fn expression(tokens: &mut Tokens<'_>) -> Result<Vec<TokenWithSpan>> {
    match tokens.expression() {
        [] => Err(tokens.expected("an expression")),
        expression => Ok(expression.to_vec()),
    }
}

#[cfg(test)]
mod tests;
