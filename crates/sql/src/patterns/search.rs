//! A search for a pattern in a logical plan.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNodeCore, when,
};
use datafusion::sql::sqlparser::ast::{self, Ident, Spanned};
use thalweg_plan::pattern::{Pattern, RowsPerMatch, Skip};
use thalweg_types::{Error, Place, Result};

use super::clause::{Clause, Skip as Said};
use super::mode::call_name;
use super::operand::{Finder, Operand, Operands, Part, Value};
use super::pattern::begins_with;
use super::scopes::Scopes;
use crate::text::{place, placed, plan_error, suggest};

/// What is searched for, and what comes out of it. Columns of rows are known by their names.
#[derive(Debug)]
pub(crate) struct Search {
    /// Where the clause stands.
    pub(crate) at: Place,
    pub(crate) partition: Vec<String>,
    /// The order, and which columns of it fall.
    pub(crate) order: Vec<(String, bool)>,
    /// Where its first column stands.
    pub(crate) order_at: Place,
    /// The variables, each with its conditions.
    pub(crate) variables: Vec<(String, Vec<Condition>)>,
    pub(crate) pattern: Pattern,
    pub(crate) skip: Skip,
    pub(crate) rows: RowsPerMatch,
    pub(crate) within: Option<Duration>,
    pub(crate) measures: Vec<Measure>,
    /// What the measures are over.
    pub(crate) operands: Operands,
}

/// A condition over operands.
#[derive(Debug)]
pub(crate) struct Condition {
    /// Where it stands, or the whole of which it is a part.
    pub(crate) at: Place,
    pub(crate) expr: Expr,
    pub(crate) operands: Operands,
}

/// A column of the result.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) name: String,
    pub(crate) expr: Expr,
    /// Is it the time of the match, `MATCH_ROWTIME()`? Then where that stands.
    pub(crate) time_at: Option<Place>,
}

impl Search {
    /// Returns the columns of rows that come out before the measures, and those behind them.
    pub(crate) fn passed(&self, row: &DFSchema) -> (Vec<String>, Vec<String>) {
        let mut before = self.partition.clone();
        if self.rows == RowsPerMatch::One {
            return (before, Vec::new());
        }
        for (column, _) in &self.order {
            if !before.contains(column) {
                before.push(column.clone());
            }
        }
        let names = row.fields().iter().map(|field| field.name().clone());
        let rest = names.filter(|name| !before.contains(name)).collect();
        (before, rest)
    }

    /// Returns the columns of rows that are read.
    fn read(&self, row: &DFSchema) -> BTreeSet<String> {
        let (before, rest) = self.passed(row);
        let order = self.order.iter().map(|(column, _)| column.clone());
        let conditions = self.variables.iter().flat_map(|(_, conditions)| conditions);
        let operands = conditions.map(|condition| &condition.operands).chain([&self.operands]);
        let values = operands.flat_map(|operands| &operands.0).filter_map(|(_, operand)| {
            match &operand.value {
                Value::Column(expr, _) | Value::Aggregate(expr, _) => Some(expr.column_refs()),
                _ => None,
            }
        });
        let values = values.flatten().map(|column| column.name.clone());
        before.into_iter().chain(rest).chain(order).chain(values).collect()
    }

    fn schema(&self, row: &DFSchema) -> Result<DFSchema> {
        let (before, rest) = self.passed(row);
        let over = self.operands.schema(row)?;
        let column = |name: &String| -> Result<FieldRef> {
            let field = row.field_with_unqualified_name(name).map_err(plan_error)?;
            Ok(field.clone())
        };
        let measure = |measure: &Measure| -> Result<FieldRef> {
            let kind = measure.expr.get_type(&over).map_err(plan_error)?;
            Ok(Arc::new(Field::new(&measure.name, kind, true)))
        };
        let fields = before.iter().map(column).chain(self.measures.iter().map(measure));
        let fields = fields.chain(rest.iter().map(column)).collect::<Result<Vec<FieldRef>>>()?;
        let fields = fields.into_iter().map(|field| (None, field)).collect();
        DFSchema::new_with_metadata(fields, Default::default()).map_err(plan_error)
    }
}

/// Returns the columns of rows, without the names of their tables.
pub(crate) fn row_of(input: &DFSchema) -> Result<DFSchema> {
    let fields = input.fields().iter().map(|field| (None, field.clone())).collect();
    DFSchema::new_with_metadata(fields, Default::default()).map_err(plan_error)
}

/// A search in a logical plan.
#[derive(Clone, Debug)]
pub(crate) struct SearchPlan {
    pub(crate) input: LogicalPlan,
    pub(crate) search: Arc<Search>,
    schema: DFSchemaRef,
}

impl SearchPlan {
    /// Returns the schema of the result.
    pub(crate) fn result(&self) -> &DFSchema {
        &self.schema
    }

    /// Plans a clause over `input`.
    ///
    /// # Errors
    /// `Invalid`, at what is wrong in the clause.
    pub(crate) fn plan(
        clause: Clause,
        input: LogicalPlan,
        planner: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let at = place(clause.at);
        let row = row_of(input.schema()).map_err(|error| error.at(at.clone()))?;
        let search = Planning { row: &row, planner }.search(clause)?;
        let schema = search.schema(&row).map_err(|error| error.at(at))?;
        let node = SearchPlan { input, search: Arc::new(search), schema: Arc::new(schema) };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

impl PartialEq for SearchPlan {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.search, &other.search) && self.input == other.input
    }
}

impl Eq for SearchPlan {}

impl Hash for SearchPlan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
    }
}

impl PartialOrd for SearchPlan {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match Arc::ptr_eq(&self.search, &other.search) {
            true => self.input.partial_cmp(&other.input),
            false => None,
        }
    }
}

impl UserDefinedLogicalNodeCore for SearchPlan {
    fn name(&self) -> &str {
        "MatchRecognize"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// None: those of the clause are over columns that only the search has.
    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "MatchRecognize: {:?}", self.search.pattern)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> PlanResult<Self> {
        let lost = || DataFusionError::Internal("a search for a pattern lost its input".to_owned());
        let input = inputs.into_iter().next().ok_or_else(lost)?;
        Ok(SearchPlan { input, search: self.search.clone(), schema: self.schema.clone() })
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let read = self.search.read(schema);
        let columns = schema.fields().iter().enumerate();
        let columns = columns.filter(|(_, field)| read.contains(field.name()));
        Some(vec![columns.map(|(column, _)| column).collect()])
    }
}

/// Plans one clause.
struct Planning<'a> {
    row: &'a DFSchema,
    planner: &'a mut dyn RelationPlannerContext,
}

impl Planning<'_> {
    fn search(mut self, clause: Clause) -> Result<Search> {
        let scopes = Scopes::of(&clause)?;
        let partition = clause.partition.iter().map(|key| self.column(key, "PARTITION BY"));
        let partition = partition.collect::<Result<Vec<_>>>()?;
        let order = clause.order.iter().map(|key| self.column(&key.column, "ORDER BY"));
        let order = order.collect::<Result<Vec<_>>>()?;
        let at = place(clause.at);
        let (Some(time), Some(first)) = (order.first(), clause.order.first()) else {
            return Err(Error::invalid("MATCH_RECOGNIZE without an order of its rows").at(at).remedy(
                "add ORDER BY with the time of the table's WATERMARK, or one that is PROCTIME()",
            ));
        };
        let order_at = place(first.column.span());
        let skip = skip(&clause, &scopes)?;
        let variables = self.variables(&clause, &scopes, time)?;
        let (measures, operands) = self.measures(&clause, &scopes, time)?;
        self.check_names(&clause, &partition, &order)?;
        let order = order.iter().map(|name| name.value.clone());
        let order = order.zip(clause.order.iter().map(|key| key.descending)).collect();
        let (pattern, rows, within) = (clause.pattern.pattern, clause.rows, clause.within);
        let partition = partition.into_iter().map(|name| name.value).collect();
        Ok(Search {
            at,
            partition,
            order,
            order_at,
            variables,
            pattern,
            skip,
            rows,
            within,
            measures,
            operands,
        })
    }

    /// Returns the column that an expression names.
    fn column(&self, expr: &ast::Expr, clause: &str) -> Result<Ident> {
        let at = place(expr.span());
        let name = match expr {
            ast::Expr::Identifier(name) => name.clone(),
            ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [_, name] => name.clone(),
                _ => return Err(no_column(expr, clause).at(at)),
            },
            _ => return Err(no_column(expr, clause).at(at)),
        };
        if self.row.has_column_with_unqualified_name(&name.value) {
            return Ok(name);
        }
        let fields = self.row.fields().iter();
        let known: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
        let error = Error::invalid(format!("there is no column `{}`", name.value)).at(at);
        Err(suggest(error, &name.value, &known)
            .remedy(format!("columns are: {}", known.join(", "))))
    }

    fn finder<'b>(&'b mut self, scopes: &'b Scopes, time: &'b Ident, part: Part) -> Finder<'b> {
        let operands = Operands::default();
        Finder { planner: &mut *self.planner, scopes, row: self.row, time, part, operands }
    }

    fn variables(
        &mut self,
        clause: &Clause,
        scopes: &Scopes,
        time: &Ident,
    ) -> Result<Vec<(String, Vec<Condition>)>> {
        let known = &clause.pattern.variables;
        for (at, (name, _)) in clause.definitions.iter().enumerate() {
            if known.iter().all(|known| known.value != name.value) {
                return Err(scopes.unknown(name));
            }
            let before = clause.definitions.iter().take(at);
            if before.into_iter().any(|(before, _)| before.value == name.value) {
                let error = Error::invalid(format!("`{}` is defined twice", name.value));
                return Err(error.at(place(name.span)).remedy("join its conditions by AND"));
            }
        }
        let mut variables = Vec::with_capacity(known.len());
        for name in known {
            let mut definitions = clause.definitions.iter();
            let conditions = match definitions.find(|(defined, _)| defined.value == name.value) {
                None => Vec::new(),
                Some((_, condition)) => {
                    let finder = self.finder(scopes, time, Part::Define);
                    conditions(finder, condition.clone())?
                }
            };
            variables.push((name.value.clone(), conditions));
        }
        Ok(variables)
    }

    fn measures(
        &mut self,
        clause: &Clause,
        scopes: &Scopes,
        time: &Ident,
    ) -> Result<(Vec<Measure>, Operands)> {
        let shows_unmatched =
            matches!(clause.rows, RowsPerMatch::All { shows_unmatched: true, .. });
        let mut finder = self.finder(scopes, time, Part::Measures);
        let mut measures = Vec::with_capacity(clause.measures.len());
        for (value, name) in &clause.measures {
            let time_at = match value {
                ast::Expr::Function(call) if call_name(call).1 == "MATCH_ROWTIME" => {
                    Some(place(value.span()))
                }
                _ => None,
            };
            let at = place(value.span());
            let mut expr = finder.expression(value.clone()).map_err(|error| placed(error, &at))?;
            if shows_unmatched {
                let is_matched = Expr::Column(Column::new_unqualified(IS_MATCHED));
                expr = when(is_matched, expr).end().map_err(plan_error)?;
            }
            measures.push(Measure { name: name.value.clone(), expr, time_at });
        }
        let mut operands = finder.operands;
        if shows_unmatched {
            let operand = Operand { value: Value::IsMatched, is_final: false };
            operands.add(IS_MATCHED.to_owned(), operand);
        }
        Ok((measures, operands))
    }

    /// Fails where two columns of the result have one name.
    fn check_names(&self, clause: &Clause, partition: &[Ident], order: &[Ident]) -> Result<()> {
        let fields = self.row.fields().iter().map(|field| field.name().as_str());
        let mut taken: BTreeSet<&str> = match clause.rows {
            RowsPerMatch::One => partition.iter().map(|name| name.value.as_str()).collect(),
            RowsPerMatch::All { .. } => fields.collect(),
        };
        if taken.is_empty() && clause.measures.is_empty() {
            return Err(Error::invalid("the result of MATCH_RECOGNIZE has no columns")
                .at(place(clause.at))
                .remedy("add MEASURES A.price AS price, or ALL ROWS PER MATCH"));
        }
        let columns = [partition, order].concat();
        let listed = if clause.rows == RowsPerMatch::One { partition } else { columns.as_slice() };
        let names = clause.measures.iter().map(|(_, name)| name);
        for name in names {
            if !taken.insert(&name.value) {
                let message = format!("two columns of the result are called `{}`", name.value);
                let error = Error::invalid(message).at(place(name.span));
                let is_listed = listed.iter().any(|known| known.value == name.value);
                return Err(error.remedy(match is_listed {
                    true => "leave the measure out: the column is in the result anyway",
                    false => "give the measure another name",
                }));
            }
        }
        Ok(())
    }
}

/// Name of the column that says whether a row is of a match.
const IS_MATCHED: &str = "is matched";

fn no_column(expr: &ast::Expr, clause: &str) -> Error {
    Error::invalid(format!("{clause} `{expr}` is no column"))
        .remedy("compute it as a column of a sub-query, and search that")
}

/// Takes a condition apart where AND joins it.
fn conditions(mut finder: Finder<'_>, condition: ast::Expr) -> Result<Vec<Condition>> {
    let at = place(condition.span());
    let expr = finder.expression(condition).map_err(|error| placed(error, &at))?;
    let schema = finder.operands.schema(finder.row)?;
    let kind = expr.get_type(&schema).map_err(plan_error)?;
    if !matches!(kind, DataType::Boolean) {
        return Err(Error::invalid("a condition that is neither true nor false").at(at));
    }
    let all = finder.operands;
    let parts = split_conjunction_owned(expr).into_iter().map(|expr| {
        let columns = expr.column_refs();
        let is_read = |name: &String| columns.iter().any(|column| column.name == *name);
        let operands = all.0.iter().filter(|(name, _)| is_read(name)).cloned().collect();
        Condition { at: at.clone(), expr, operands: Operands(operands) }
    });
    Ok(parts.collect())
}

/// Returns where the search goes on.
fn skip(clause: &Clause, scopes: &Scopes) -> Result<Skip> {
    match &clause.skip {
        Said::PastLast => Ok(Skip::PastLastRow),
        Said::ToNext => Ok(Skip::ToNextRow),
        Said::ToLast(variable) => Ok(Skip::ToLast(scopes.get(variable)?)),
        Said::ToFirst(variable) => {
            let scope = scopes.get(variable)?;
            if begins_with(&clause.pattern.pattern, scope) {
                let name = &variable.value;
                let message = format!(
                    "AFTER MATCH SKIP TO FIRST {name}, and {name} begins each match: the search \
                     would not go on"
                );
                return Err(Error::invalid(message)
                    .at(place(variable.span))
                    .remedy("write AFTER MATCH SKIP TO NEXT ROW, or name a later variable"));
            }
            Ok(Skip::ToFirst(scope))
        }
    }
}
