//! What conditions and measures say of rows of a match: columns of their own.
//!
//! `LAST(A.price, 1) < SUM(price)` becomes an expression over two columns, `LAST(A.price, 1)` and
//! `SUM(price)`, and two [`Operand`]s, which say what these columns hold. What an operand reads of a row
//! (`price`) is an expression over that row.

use std::ops::ControlFlow;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::DFSchema;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::{
    self, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned,
    Value as Constant, VisitMut, VisitorMut,
};
use thalweg_plan::pattern::{End, Position, Scope};
use thalweg_types::{Error, Result};

use super::mode::{Mode, call_name, call_place};
use super::row::{RowValue, is_aggregate, sub_query};
use super::scopes::Scopes;
use crate::meaning;
use crate::text::{place, plan_error};

/// A column of a condition or of measures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Operand {
    pub(crate) value: Value,
    /// Is it of the whole match, also where a row within it comes out?
    pub(crate) is_final: bool,
}

/// What an operand is; expressions are over columns of a row, without the names of tables.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A value of a row.
    Column(Expr, Position),
    /// The variable of a row.
    Classifier(Position),
    /// The number of the match.
    MatchNumber,
    /// Is the row of a match?
    IsMatched,
    /// An aggregate over rows.
    Aggregate(Expr, Scope),
}

impl Value {
    fn kind(&self, row: &DFSchema) -> Result<DataType> {
        match self {
            Value::Column(expr, _) | Value::Aggregate(expr, _) => {
                expr.get_type(row).map_err(plan_error)
            }
            Value::Classifier(_) => Ok(DataType::Utf8View),
            Value::MatchNumber => Ok(DataType::Int64),
            Value::IsMatched => Ok(DataType::Boolean),
        }
    }
}

/// Operands, each with the name of its column, which is how it is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operands(pub(crate) Vec<(String, Operand)>);

impl Operands {
    /// Returns the schema of their columns, given that of a row.
    pub(crate) fn schema(&self, row: &DFSchema) -> Result<DFSchema> {
        let fields = self.0.iter();
        let fields = fields
            .map(|(name, operand)| Ok(Field::new(name, operand.value.kind(row)?, true)))
            .collect::<Result<Vec<_>>>()?;
        DFSchema::from_unqualified_fields(fields.into(), Default::default()).map_err(plan_error)
    }

    /// Adds an operand, unless it is there; returns the name of its column, which has a mark behind it where
    /// another one is written alike.
    pub(super) fn add(&mut self, mut name: String, operand: Operand) -> String {
        while let Some((_, known)) = self.0.iter().find(|(known, _)| *known == name) {
            if *known == operand {
                return name;
            }
            name.push('\'');
        }
        self.0.push((name.clone(), operand));
        name
    }
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Define,
    Measures,
}

/// Finds the operands of expressions.
pub(super) struct Finder<'a> {
    pub(super) planner: &'a mut dyn RelationPlannerContext,
    pub(super) scopes: &'a Scopes,
    /// The columns of a row.
    pub(super) row: &'a DFSchema,
    /// The column of time.
    pub(super) time: &'a Ident,
    pub(super) part: Part,
    pub(super) operands: Operands,
}

impl Finder<'_> {
    /// Plans an expression over its operands.
    ///
    /// # Errors
    /// `Invalid`, at what cannot be said of a match.
    pub(super) fn expression(&mut self, mut expr: ast::Expr) -> Result<Expr> {
        if let ControlFlow::Break(error) = expr.visit(self) {
            return Err(error);
        }
        let schema = self.operands.schema(self.row)?;
        let planned = self.planner.sql_to_expr(expr, &schema);
        planned.and_then(|expr| meaning::expression(expr, &schema)).map_err(plan_error)
    }

    fn step(&mut self, expr: &mut ast::Expr) -> Result<()> {
        match expr {
            ast::Expr::Identifier(_)
            | ast::Expr::CompoundIdentifier(_)
            | ast::Expr::CompoundFieldAccess { .. } => {
                let value = self.value(expr)?;
                self.replace(expr, value, false);
                Ok(())
            }
            ast::Expr::Function(function) => {
                let function = function.clone();
                self.call(expr, function)
            }
            ast::Expr::Subquery(_) | ast::Expr::InSubquery { .. } | ast::Expr::Exists { .. } => {
                Err(sub_query(expr))
            }
            _ => Ok(()),
        }
    }

    /// Puts the column of an operand into the place of `expr`.
    fn replace(&mut self, expr: &mut ast::Expr, value: Value, is_final: bool) {
        let name = expr.to_string().replace('`', "");
        let name = self.operands.add(name, Operand { value, is_final });
        *expr = ast::Expr::Identifier(Ident::with_quote_and_span('`', expr.span(), name));
    }

    /// Returns a value of the last row that it may be of.
    fn value(&mut self, expr: &ast::Expr) -> Result<Value> {
        let value = RowValue::new(self.scopes, self.row, &*self.planner);
        let (expr, scope) = value.value(expr)?;
        Ok(Value::Column(self.over_row(expr)?, Position::last(scope)))
    }

    /// Plans what is read of a row.
    fn over_row(&mut self, expr: ast::Expr) -> Result<Expr> {
        let planned = self.planner.sql_to_expr(expr, self.row);
        planned.and_then(|expr| meaning::expression(expr, self.row)).map_err(plan_error)
    }

    fn call(&mut self, expr: &mut ast::Expr, function: Function) -> Result<()> {
        let at = call_place(&function);
        let (mode, name) = call_name(&function);
        let is_aggregate = is_aggregate(&name, &*self.planner);
        let takes_mode = is_aggregate || ["FIRST", "LAST"].contains(&name.as_str());
        if mode.is_some() && !takes_mode {
            let message = format!("FINAL and RUNNING mean nothing before {name}");
            let remedy = "write them before FIRST, LAST or an aggregate";
            return Err(Error::invalid(message).at(at).remedy(remedy));
        }
        let value = match name.as_str() {
            "FIRST" | "LAST" | "PREV" | "NEXT" => self.navigation(&function)?,
            "CLASSIFIER" => Value::Classifier(self.classified(&function)?),
            "MATCH_NUMBER" => Value::MatchNumber,
            "MATCH_ROWTIME" => {
                let time = match arguments(&function)?.as_slice() {
                    [] => ast::Expr::Identifier(self.time.clone()),
                    [time] => time.clone(),
                    _ => {
                        return Err(Error::invalid("MATCH_ROWTIME takes one column at most").at(at));
                    }
                };
                self.value(&time)?
            }
            "MATCH_PROCTIME" => {
                *expr = ast::Expr::Function(Function { name: proctime(), ..function });
                return Ok(());
            }
            _ if is_aggregate => self.aggregate(function.clone())?,
            _ => return Ok(()),
        };
        let is_final = is_final(&function)? || name == "MATCH_ROWTIME";
        if is_final && self.part == Part::Define {
            let message = format!("{name} in a condition is of what comes behind its row, too");
            let remedy = "leave FINAL out, or ask for it in MEASURES";
            return Err(Error::invalid(message).at(at).remedy(remedy));
        }
        self.replace(expr, value, is_final);
        Ok(())
    }

    /// Returns the value that `FIRST`, `LAST`, `PREV` or `NEXT` leads to.
    fn navigation(&mut self, function: &Function) -> Result<Value> {
        let (_, name) = call_name(function);
        let is_physical = ["PREV", "NEXT"].contains(&name.as_str());
        let (value, count) = match arguments(function)?.as_slice() {
            [value] => (value.clone(), usize::from(is_physical)),
            [value, count] => (value.clone(), offset(count)?),
            _ => {
                let message = format!("{name} takes a value, and perhaps an offset");
                return Err(Error::invalid(message).at(call_place(function)));
            }
        };
        let mut found = match inner(&value) {
            Some((call, "FIRST" | "LAST")) if is_physical => self.navigation(call)?,
            Some((call, "CLASSIFIER")) if !is_physical => Value::Classifier(self.classified(call)?),
            _ => self.value(&value)?,
        };
        let position = match &mut found {
            Value::Column(_, position) => position,
            Value::Classifier(position) if !is_physical => position,
            _ => {
                let message = format!("{name} may lead to a row that has no variable");
                return Err(Error::invalid(message)
                    .at(call_place(function))
                    .remedy("ask FIRST or LAST for the CLASSIFIER of a row of the match"));
            }
        };
        let shift = isize::try_from(count).unwrap_or(isize::MAX);
        match name.as_str() {
            "FIRST" => (position.from, position.offset) = (End::First, count),
            "LAST" => position.offset = count,
            "PREV" => position.shift = -shift,
            _ => position.shift = shift,
        }
        Ok(found)
    }

    /// Returns the row whose variable `CLASSIFIER()` or `CLASSIFIER(subset)` is.
    fn classified(&self, function: &Function) -> Result<Position> {
        match arguments(function)?.as_slice() {
            [] => Ok(Position::last(Scope::ALL)),
            [ast::Expr::Identifier(name)] => Ok(Position::last(self.scopes.get(name)?)),
            _ => Err(Error::invalid("CLASSIFIER takes one variable or subset at most")
                .at(call_place(function))),
        }
    }

    fn aggregate(&mut self, function: Function) -> Result<Value> {
        if function.over.is_some() {
            return Err(Error::invalid("OVER within MATCH_RECOGNIZE")
                .at(call_place(&function))
                .remedy("leave OVER out: an aggregate is over rows of the match"));
        }
        let value = RowValue::new(self.scopes, self.row, &*self.planner);
        let (mut function, scope) = value.aggregate(function)?;
        let (_, name) = call_name(&function);
        function.name = ast::ObjectName::from(Ident::new(name));
        Ok(Value::Aggregate(self.over_row(ast::Expr::Function(function))?, scope))
    }
}

impl VisitorMut for Finder<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<Error> {
        match self.step(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// The function that makes a time attribute of the clock.
fn proctime() -> ast::ObjectName {
    ast::ObjectName::from(Ident::new("proctime"))
}

/// Returns the plain arguments of a call.
fn arguments(function: &Function) -> Result<Vec<ast::Expr>> {
    let given = match &function.args {
        FunctionArguments::None => &[],
        FunctionArguments::List(list) => list.args.as_slice(),
        FunctionArguments::Subquery(_) => {
            return Err(sub_query(&ast::Expr::Function(function.clone())));
        }
    };
    let plain = given.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
        other => Err(Error::invalid(format!("`{other}` is no value")).at(call_place(function))),
    });
    plain.collect()
}

/// Returns the call that an argument is, and its name.
fn inner(value: &ast::Expr) -> Option<(&Function, &'static str)> {
    let ast::Expr::Function(function) = value else { return None };
    let (_, name) = call_name(function);
    let known = ["FIRST", "LAST", "CLASSIFIER"].into_iter().find(|known| *known == name)?;
    Some((function, known))
}

/// Is a call of the whole match: itself, or what `PREV` or `NEXT` go out from?
fn is_final(function: &Function) -> Result<bool> {
    let (mode, name) = call_name(function);
    if !["PREV", "NEXT"].contains(&name.as_str()) {
        return Ok(mode == Some(Mode::Final));
    }
    let arguments = arguments(function)?;
    let inner = arguments.first().and_then(inner);
    Ok(inner.is_some_and(|(call, _)| call_name(call).0 == Some(Mode::Final)))
}

/// Reads how many rows away a row is.
fn offset(count: &ast::Expr) -> Result<usize> {
    let number = match count {
        ast::Expr::Value(value) => match &value.value {
            Constant::Number(number, _) => number.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    number.ok_or_else(|| {
        Error::invalid(format!("`{count}` is no whole number of rows from 0 on"))
            .at(place(count.span()))
            .remedy("write a number, as in LAST(A.price, 1)")
    })
}
