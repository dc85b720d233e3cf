//! From Flink's dialect to what DataFusion's parser knows, token by token and then node by node.
//!
//! Tokens keep the places of the user's text, so errors still point there.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    JoinConstraint, JoinOperator, ObjectName, Query, SetExpr, TableAlias, TableFactor,
    TableWithJoins, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Rewrites the tokens of a query: `TABLE t` as an argument becomes `(SELECT * FROM t)`, and
/// STRING becomes VARCHAR.
pub(crate) fn tokens(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        let next = tokens.get(at + 1);
        let is_word = |name: &str| is_word(token, name);
        if is_word("TABLE") && next.is_some_and(|next| matches!(next.token, Token::Word(_))) {
            let mut end = at + 2;
            while end + 1 < tokens.len() && matches!(tokens[end].token, Token::Period) {
                end += 2;
            }
            let like = |token: Token| TokenWithSpan { token, span: tokens[at].span };
            out.push(like(Token::LParen));
            out.push(like(keyword("SELECT", Keyword::SELECT)));
            out.push(like(Token::Mul));
            out.push(like(keyword("FROM", Keyword::FROM)));
            out.extend_from_slice(&tokens[at + 1..end]);
            out.push(like(Token::RParen));
            at = end;
        } else if is_word("STRING") && is_type_position(out.last()) {
            out.push(TokenWithSpan {
                token: keyword("VARCHAR", Keyword::VARCHAR),
                span: token.span,
            });
            at += 1;
        } else {
            out.push(token.clone());
            at += 1;
        }
    }
    out
}

fn is_word(token: &TokenWithSpan, name: &str) -> bool {
    matches!(&token.token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
}

/// A type stands behind `AS` in a cast.
fn is_type_position(before: Option<&TokenWithSpan>) -> bool {
    before.is_some_and(|token| is_word(token, "AS"))
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

    /// Replaces each `r CROSS JOIN UNNEST(e) AS t(c)` by a table function that we plan ourselves:
    /// the array is an expression over `r`, which DataFusion's joins do not run as a stream.
    pub(crate) fn rewrite(&self, query: &mut Query) {
        let _ = query.visit(&mut Rewriter(self));
    }

    fn rewrite_from(&self, from: &mut TableWithJoins) {
        while let Some(at) =
            from.joins.iter().position(|join| is_unnest(&join.relation, &join.join_operator))
        {
            let mut before: Vec<_> = from.joins.drain(..=at).collect();
            let Some(join) = before.pop() else { return };
            let TableFactor::UNNEST { alias, mut array_exprs, .. } = join.relation else { return };
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
            let array = array_exprs.remove(0);
            let mention = mention(&relation);
            let number = self.add(Unnested { relation, array, alias });
            from.relation = TableFactor::TableFunction { expr: call(number, mention), alias: None };
        }
    }
}

fn is_unnest(relation: &TableFactor, operator: &JoinOperator) -> bool {
    let is_cross = match operator {
        JoinOperator::CrossJoin(_) => true,
        JoinOperator::Inner(on) | JoinOperator::Join(on) => {
            matches!(on, JoinConstraint::None) || is_true(on)
        }
        _ => false,
    };
    is_cross
        && matches!(relation, TableFactor::UNNEST { array_exprs, .. } if array_exprs.len() == 1)
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
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: ObjectName::from(Ident::new(UNNEST)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: [number].into_iter().chain(mention).map(argument).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

struct Rewriter<'a>(&'a Unnests);

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        rewrite_body(self.0, &mut query.body);
        ControlFlow::Continue(())
    }
}

fn rewrite_body(unnests: &Unnests, body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            select.from.iter_mut().for_each(|from| unnests.rewrite_from(from));
        }
        SetExpr::SetOperation { left, right, .. } => {
            rewrite_body(unnests, left);
            rewrite_body(unnests, right);
        }
        _ => {}
    }
}
