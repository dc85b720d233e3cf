//! `INSERT`: a query's columns, in order, as the columns of a table.
//!
//! Invariants: what goes into a table has exactly its physical schema; a value becomes another
//! type by itself only where that is plain (numbers among each other, texts, times), and a number
//! that does not fit is an error at run time, never another number.

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::{ExprSchema, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use thalweg_types::{Error, Result};

use crate::catalog::Table;
use crate::statement::Name;
use crate::text::{self, plan_error, suggest};
use crate::types;

/// Gives a query the columns of the table that it is inserted into: those that `columns` names,
/// or all.
///
/// # Errors
/// `Invalid`, naming the column that does not fit.
pub(super) fn fit(plan: LogicalPlan, table: &Table, columns: &[Name]) -> Result<LogicalPlan> {
    let schema = &table.spec.schema;
    let sources = sources(table, columns)?;
    let wanted: Vec<&str> = match columns.is_empty() {
        true => schema.fields().iter().map(|field| field.name().as_str()).collect(),
        false => columns.iter().map(|column| column.text.as_str()).collect(),
    };
    let given = plan.schema().fields();
    if given.len() != wanted.len() {
        let given: Vec<&str> = given.iter().map(|field| field.name().as_str()).collect();
        return Err(Error::invalid(format!(
            "table `{}` takes {} columns, and the query has {}",
            table.name,
            wanted.len(),
            given.len()
        ))
        .remedy(format!("wanted: {}; given: {}", wanted.join(", "), given.join(", "))));
    }
    let exprs = schema.fields().iter().zip(sources).map(|(field, source)| {
        let expr = match source {
            Some(source) => assigned(&plan, source, field, table)?,
            None => absent(field, table)?,
        };
        Ok(expr.alias(field.name()))
    });
    let exprs = exprs.collect::<Result<Vec<Expr>>>()?;
    LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(plan_error)
}

/// Returns for each column of the table which column of the query goes there.
fn sources(table: &Table, columns: &[Name]) -> Result<Vec<Option<usize>>> {
    let schema: &SchemaRef = &table.spec.schema;
    if columns.is_empty() {
        return Ok((0..schema.fields().len()).map(Some).collect());
    }
    let mut sources = vec![None; schema.fields().len()];
    for (index, column) in columns.iter().enumerate() {
        let place = schema.index_of(&column.text).ok().and_then(|place| sources.get_mut(place));
        let place = place.ok_or_else(|| {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let name = &column.text;
            let is_computed = table.columns.iter().any(|known| known.field().name() == name);
            let what = if is_computed { "physical column" } else { "column" };
            let message = format!("table `{}` has no {what} `{name}`", table.name);
            suggest(text::at(&column.at, message), name, &names)
        })?;
        *place = Some(index);
    }
    Ok(sources)
}

/// Returns the query's column `source` as the table's column `field`.
fn assigned(plan: &LogicalPlan, source: usize, field: &Field, table: &Table) -> Result<Expr> {
    let (qualifier, from) = plan.schema().qualified_field(source);
    if !becomes(from.data_type(), field.data_type()) {
        return Err(Error::invalid(format!(
            "column `{}` of table `{}` is {}, and the query gives {}, which does not become it \
             by itself",
            field.name(),
            table.name,
            types::name(field.data_type()),
            types::name(from.data_type())
        ))
        .remedy(format!("CAST column `{}` of the query", from.name())));
    }
    let schema: &dyn ExprSchema = plan.schema().as_ref();
    Expr::from((qualifier, from)).cast_to(field.data_type(), schema).map_err(plan_error)
}

/// Returns what goes into a column that the `INSERT` does not name.
fn absent(field: &Field, table: &Table) -> Result<Expr> {
    if !field.is_nullable() {
        return Err(Error::invalid(format!(
            "column `{}` of table `{}` is NOT NULL, and the INSERT leaves it out",
            field.name(),
            table.name
        )));
    }
    let null = ScalarValue::try_from(field.data_type()).map_err(plan_error)?;
    Ok(Expr::Literal(null, None))
}

/// Does a value of one type become another by itself?
fn becomes(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, LargeBinary, LargeUtf8, List, Map, Null, Struct, Timestamp, Utf8,
        Utf8View,
    };
    let item = |from: &FieldRef, to: &FieldRef| becomes(from.data_type(), to.data_type());
    match (from, to) {
        (from, to) if from == to || *from == Null => true,
        (Utf8 | Utf8View | LargeUtf8, Utf8 | Utf8View | LargeUtf8) => true,
        (Binary | BinaryView | LargeBinary, Binary | BinaryView | LargeBinary) => true,
        (Timestamp(_, _), Timestamp(_, _)) => true,
        (List(from), List(to)) => item(from, to),
        // Fields are put into place by their names, so the names must be the same.
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| from.name() == to.name() && item(from, to))
        }
        (Map(from, _), Map(to, _)) => item(from, to),
        (from, to) => from.is_numeric() && to.is_numeric(),
    }
}
