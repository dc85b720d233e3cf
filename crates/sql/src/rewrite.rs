//! From Flink's dialect to what DataFusion's parser knows, token by token and then node by node.
//!
//! Invariants: tokens keep the places of the user's text, so errors still point there; what is
//! rewritten means the same as before, and what has no counterpart is refused. Columns of a
//! result that would have the same name get others, as Flink gives them.

mod forms;

mod as_of;
mod calls;
mod clauses;
mod group_windows;
mod unheard;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, Spanned,
    TableAlias, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};
use thalweg_types::{Error, Result};

use crate::text::{self, parse_error};
use crate::tokens::{finished, parser};

pub(crate) use as_of::AS_OF;

/// Rewrites the tokens of a query or an expression: `TABLE t PARTITION BY k` as an argument
/// becomes `(SELECT * FROM t CLUSTER BY k)`, where `window_tvf` looks for the keys,
/// `TIMESTAMP(3) WITH LOCAL TIME ZONE` becomes `TIMESTAMP_LTZ(3)`, and `0.5`, which is no floating
/// number in SQL, `CAST('0.5' AS DECIMAL(2, 1))`; `TIMESTAMP '…'` becomes a cast, too. For
/// calls see `clauses`, for the rest `forms`.
pub(crate) fn tokens(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let after = table_argument(tokens, at, &mut out)
            .or_else(|| local_time(tokens, at, &mut out))
            .or_else(|| decimal(tokens, at, &mut out))
            .or_else(|| timestamp(tokens, at, &mut out))
            .or_else(|| as_of::rewrite(tokens, at, &mut out))
            .or_else(|| forms::rewrite(tokens, at, &mut out, self::tokens))
            .or_else(|| clauses::rewrite(tokens, at, &mut out, self::tokens));
        at = after.unwrap_or_else(|| {
            out.push(token.clone());
            at + 1
        });
    }
    out
}

/// Rewrites `TABLE t [PARTITION BY …]` at `at`; returns where it ends.
fn table_argument(
    tokens: &[TokenWithSpan],
    at: usize,
    out: &mut Vec<TokenWithSpan>,
) -> Option<usize> {
    let is_name = |at: usize| matches!(tokens.get(at).map(|t| &t.token), Some(Token::Word(_)));
    let is_period = |at: usize| matches!(tokens.get(at).map(|t| &t.token), Some(Token::Period));
    if !is_word(tokens.get(at)?, "TABLE") || !is_name(at + 1) {
        return None;
    }
    let mut end = at + 2;
    while is_period(end) && is_name(end + 1) {
        end += 2;
    }
    let span = tokens.get(at)?.span;
    let like = |token: Token| TokenWithSpan { token, span };
    out.push(like(Token::LParen));
    out.push(like(keyword("SELECT", Keyword::SELECT)));
    out.push(like(Token::Mul));
    out.push(like(keyword("FROM", Keyword::FROM)));
    out.extend_from_slice(tokens.get(at + 1..end)?);
    let is_word_at = |at: usize, name: &str| tokens.get(at).is_some_and(|t| is_word(t, name));
    if is_word_at(end, "PARTITION") && is_word_at(end + 1, "BY") {
        out.push(like(keyword("CLUSTER", Keyword::CLUSTER)));
        out.extend(tokens.get(end + 1).cloned());
        let count = key_count(tokens.get(end + 2..).unwrap_or(&[]));
        let keys = tokens.get(end + 2..end + 2 + count)?;
        out.extend_from_slice(match keys {
            // Flink also takes the keys in parentheses.
            [open, keys @ .., close]
                if open.token == Token::LParen && close.token == Token::RParen =>
            {
                keys
            }
            keys => keys,
        });
        end += 2 + count;
    }
    out.push(like(Token::RParen));
    Some(end)
}

/// Counts the tokens of a list of keys: it ends where the next argument begins.
fn key_count(tokens: &[TokenWithSpan]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        let begins_argument = |at: usize| {
            tokens.get(at).is_some_and(|next| is_word(next, "DESCRIPTOR"))
                || tokens.get(at + 1).is_some_and(|next| next.token == Token::RArrow)
        };
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return at,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 && begins_argument(at + 1) => return at,
            _ => {}
        }
    }
    tokens.len()
}

/// Rewrites `TIMESTAMP[(p)] WITH LOCAL TIME ZONE` at `at`; returns where it ends.
fn local_time(tokens: &[TokenWithSpan], at: usize, out: &mut Vec<TokenWithSpan>) -> Option<usize> {
    let first = tokens.get(at).filter(|token| is_word(token, "TIMESTAMP"))?;
    let is_open = tokens.get(at + 1).is_some_and(|token| token.token == Token::LParen);
    let words = if is_open { at + 4 } else { at + 1 };
    let zone = ["WITH", "LOCAL", "TIME", "ZONE"];
    let is_local = zone
        .iter()
        .enumerate()
        .all(|(n, word)| tokens.get(words + n).is_some_and(|token| is_word(token, word)));
    if !is_local {
        return None;
    }
    let name = keyword("TIMESTAMP_LTZ", Keyword::NoKeyword);
    out.push(TokenWithSpan { token: name, span: first.span });
    out.extend_from_slice(tokens.get(at + 1..words)?);
    Some(words + zone.len())
}

/// Rewrites a number with a point and without an exponent; returns where it ends. One of more than 38
/// digits is left as a floating number.
fn decimal(tokens: &[TokenWithSpan], at: usize, out: &mut Vec<TokenWithSpan>) -> Option<usize> {
    let TokenWithSpan { token: Token::Number(number, _), span } = tokens.get(at)? else {
        return None;
    };
    let (whole, fraction) = number.split_once('.')?;
    let digits = whole.len() + fraction.len();
    if number.contains(['e', 'E']) || !(1..=38).contains(&digits) {
        return None;
    }
    let count = |count: usize| Token::Number(count.to_string(), false);
    let cast = [
        keyword("CAST", Keyword::CAST),
        Token::LParen,
        Token::SingleQuotedString(number.clone()),
        keyword("AS", Keyword::AS),
        keyword("DECIMAL", Keyword::DECIMAL),
        Token::LParen,
        count(digits),
        Token::Comma,
        count(fraction.len()),
        Token::RParen,
        Token::RParen,
    ];
    out.extend(cast.map(|token| TokenWithSpan { token, span: *span }));
    Some(at + 1)
}

/// Rewrites `TIMESTAMP '… 10:20:30.5'`, which has as many digits as are written; returns where it ends.
fn timestamp(tokens: &[TokenWithSpan], at: usize, out: &mut Vec<TokenWithSpan>) -> Option<usize> {
    let TokenWithSpan { span, .. } = tokens.get(at).filter(|token| is_word(token, "TIMESTAMP"))?;
    let literal = tokens.get(at + 1)?;
    let Token::SingleQuotedString(text) = &literal.token else { return None };
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end().len());
    let like = |token: Token| TokenWithSpan { token, span: *span };
    out.push(like(keyword("CAST", Keyword::CAST)));
    out.push(like(Token::LParen));
    out.push(literal.clone());
    let rest = [
        keyword("AS", Keyword::AS),
        keyword("TIMESTAMP", Keyword::TIMESTAMP),
        Token::LParen,
        Token::Number(digits.min(9).to_string(), false),
        Token::RParen,
        Token::RParen,
    ];
    out.extend(rest.map(like));
    Some(at + 2)
}

/// Refuses `SELECT a, b + FROM t`, which the parser takes for a column called `FROM`, and forms of `FOR
/// SYSTEM_TIME AS OF` that mean nothing.
///
/// # Errors
/// `Invalid`, at the word.
pub(crate) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    for (at, pair) in tokens.windows(2).enumerate() {
        let [before, token] = pair else { continue };
        as_of::check(tokens, at)?;
        let wants_operand = matches!(
            before.token,
            Token::Comma
                | Token::Plus
                | Token::Minus
                | Token::Div
                | Token::Eq
                | Token::Lt
                | Token::Gt
        ) || is_word(before, "SELECT");
        if wants_operand && is_word(token, "FROM") {
            return Err(text::at(token, "expected an expression, found `FROM`"));
        }
    }
    Ok(())
}

fn is_word(token: &TokenWithSpan, name: &str) -> bool {
    matches!(&token.token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
}

fn keyword(text: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: text.to_owned(), quote_style: None, keyword })
}

/// A relation and what is unnested beside it.
#[derive(Clone, Debug)]
pub(crate) struct Unnested {
    /// What stands before.
    pub(crate) relation: TableFactor,
    /// The array.
    pub(crate) array: Expr,
    /// Name of the result and of its column.
    pub(crate) alias: Option<TableAlias>,
}

/// The unnested relations of a script, by the number that stands for them in the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unnests(Arc<Mutex<Vec<Unnested>>>);

/// Name of the table function that stands for an unnested relation.
pub(crate) const UNNEST: &str = "__thalweg_unnest";

impl Unnests {
    /// Returns the relation with this number.
    pub(crate) fn get(&self, number: usize) -> Option<Unnested> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned()
    }

    fn add(&self, unnested: Unnested) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(unnested);
        all.len() - 1
    }

    /// Rewrites a query: names its columns apart, and replaces each `r CROSS JOIN UNNEST(e) AS
    /// t(c)` by a table function that we plan ourselves: the array is an expression over `r`,
    /// which DataFusion's joins do not run as a stream.
    ///
    /// # Errors
    /// `Invalid` for forms of `UNNEST` that do not run.
    pub(crate) fn rewrite(&self, query: &mut Query) -> Result<()> {
        match query.visit(&mut Rewriter(self)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Reads an expression that stands alone, and rewrites it.
    ///
    /// # Errors
    /// `Invalid` if it is none; as [`Unnests::rewrite`].
    pub(crate) fn expression(&self, tokens: &[TokenWithSpan]) -> Result<Expr> {
        let tokens = self::tokens(tokens);
        let mut parser = parser(&tokens);
        let mut expr = parser.parse_expr().map_err(|error| parse_error(&error, &tokens))?;
        finished(&parser)?;
        match expr.visit(&mut Rewriter(self)) {
            ControlFlow::Continue(()) => Ok(expr),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn rewrite_from(&self, from: &mut TableWithJoins) -> Result<()> {
        let is_unnest = |join: &Join| matches!(join.relation, TableFactor::UNNEST { .. });
        while let Some(at) = from.joins.iter().position(is_unnest) {
            let mut before: Vec<_> = from.joins.drain(..=at).collect();
            let Some(join) = before.pop() else { break };
            let (array, alias) = array_of(join)?;
            let relation = match before.is_empty() {
                true => from.relation.clone(),
                false => TableFactor::NestedJoin {
                    table_with_joins: Box::new(TableWithJoins {
                        relation: from.relation.clone(),
                        joins: before,
                    }),
                    alias: None,
                },
            };
            let mention = mention(&relation);
            let number = self.add(Unnested { relation, array, alias });
            from.relation = TableFactor::TableFunction { expr: call(number, mention), alias: None };
        }
        Ok(())
    }
}

/// Takes the array and its alias out of `CROSS JOIN UNNEST(array) AS alias`.
fn array_of(join: Join) -> Result<(Expr, Option<TableAlias>)> {
    let place = text::place(join.relation.span());
    let refuse = |message: &str| Error::invalid(message).at(place.clone());
    let to_come = |what: &str, meanwhile: &str| {
        text::to_come(text::RELATIONAL, what, meanwhile).at(place.clone())
    };
    let is_cross = match &join.join_operator {
        JoinOperator::CrossJoin(_) => true,
        JoinOperator::Inner(on) | JoinOperator::Join(on) => {
            matches!(on, JoinConstraint::None) || is_true(on)
        }
        _ => false,
    };
    if !is_cross {
        let meanwhile = "use CROSS JOIN UNNEST, which leaves out rows without elements";
        return Err(to_come("UNNEST with this kind of join is", meanwhile));
    }
    let TableFactor::UNNEST { alias, array_exprs, with_offset, with_ordinality, .. } =
        join.relation
    else {
        return Err(refuse("only an array can be unnested"));
    };
    if with_offset || with_ordinality {
        return Err(to_come("WITH ORDINALITY is", ""));
    }
    let [array] = <[Expr; 1]>::try_from(array_exprs).map_err(|_| {
        to_come("UNNEST of more than one array is", "unnest them one after the other")
    })?;
    Ok((array, alias))
}

fn is_true(on: &JoinConstraint) -> bool {
    matches!(on, JoinConstraint::On(Expr::Value(value)) if value.value == Value::Boolean(true))
}

/// Returns a sub-query that names the tables of a relation, for whoever looks for names.
fn mention(relation: &TableFactor) -> Option<Expr> {
    let mut parser = crate::tokens::parser(&crate::tokens::tokenize("SELECT * FROM t").ok()?);
    let mut query = parser.parse_query().ok()?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![TableWithJoins { relation: relation.clone(), joins: Vec::new() }];
    }
    Some(Expr::Subquery(query))
}

/// Returns the call that stands for the unnested relation `number`.
fn call(number: usize, mention: Option<Expr>) -> Expr {
    let number = Expr::Value(Value::Number(number.to_string(), false).into());
    function(UNNEST, [number].into_iter().chain(mention))
}

/// Returns a plain call.
fn function(name: &str, arguments: impl IntoIterator<Item = Expr>) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: ObjectName::from(Ident::new(name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(argument).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

struct Rewriter<'a>(&'a Unnests);

/// Goes on with the visit, or ends it by the error.
fn flow(outcome: Result<()>) -> ControlFlow<Error> {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        flow(unheard::in_query(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(unheard::in_select(select))
    }

    fn pre_visit_table_factor(&mut self, relation: &mut TableFactor) -> ControlFlow<Error> {
        flow(unheard::in_relation(relation))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        flow(calls::rewrite(expr))
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let rewritten = rewrite_body(self.0, &mut query.body);
        flow(rewritten.and_then(|()| group_windows::rewrite(query)))
    }
}

fn rewrite_body(unnests: &Unnests, body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(select) => {
            name_apart(&mut select.projection);
            join_commas(&mut select.from);
            select.from.iter_mut().try_for_each(|from| unnests.rewrite_from(from))
        }
        SetExpr::SetOperation { left, right, .. } => {
            rewrite_body(unnests, left)?;
            rewrite_body(unnests, right)
        }
        _ => Ok(()),
    }
}

/// Makes `FROM r, UNNEST(e)` what it means: a cross join.
fn join_commas(from: &mut Vec<TableWithJoins>) {
    let mut joined: Vec<TableWithJoins> = Vec::with_capacity(from.len());
    for item in from.drain(..) {
        match joined.last_mut() {
            Some(before) if matches!(item.relation, TableFactor::UNNEST { .. }) => {
                let join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
                before.joins.push(Join { relation: item.relation, global: false, join_operator });
                before.joins.extend(item.joins);
            }
            _ => joined.push(item),
        }
    }
    *from = joined;
}

/// Returns the column that an expression names, without its table.
fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.clone()),
        _ => None,
    }
}

/// Names what has no name, as Flink does: `EXPR$1` for an expression, `price0` for a column whose
/// name is taken.
fn name_apart(items: &mut [SelectItem]) {
    let mut taken: Vec<String> = items
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
            _ => None,
        })
        .collect();
    for (index, item) in items.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let column = name_of(expr);
        let base = column.clone().unwrap_or_else(|| format!("EXPR${index}"));
        let numbered = (0..=taken.len()).map(|number| format!("{base}{number}"));
        // One more name than there are taken ones: one is free.
        let names = [base.clone()].into_iter().chain(numbered);
        let Some(name) = names.into_iter().find(|name| !taken.contains(name)) else { continue };
        taken.push(name.clone());
        if column.as_ref() != Some(&name) {
            let alias = Ident::with_quote('"', name);
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

#[cfg(test)]
mod tests;
