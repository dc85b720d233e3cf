//! `INSERT`: a query's columns, in order, as the columns of a table.
//!
//! Invariants: what goes into a table has exactly its physical schema; a value becomes another
//! type by itself only where that is plain (numbers among each other, texts, times), and a number
//! that does not fit is an error at run time, never another number.

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::{DFSchema, ExprSchema, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use thalweg_types::{Error, Result, Zone};

use crate::catalog::{Column, Table};
use crate::session::Session;
use crate::statement::{Insert, Name};
use crate::text::{self, located, plan_error, suggest};
use crate::types;

/// What goes into a column of a table.
enum From {
    /// A column of the query.
    Query(usize),
    /// The value that PARTITION gives.
    Partition(Box<Expr>),
    /// Nothing that the INSERT names.
    Nothing,
}

/// Gives a query the columns of the table that it is inserted into: those that the INSERT names,
/// or all, save those that its PARTITION gives a value.
///
/// # Errors
/// `Invalid`, naming the column that does not fit.
pub(super) fn fit(
    plan: LogicalPlan,
    table: &Table,
    insert: &Insert,
    session: (&Session, Zone),
) -> Result<LogicalPlan> {
    let schema = &table.spec.schema;
    check_metadata(table)?;
    let (wanted, sources) = sources(table, insert, session)?;
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
            From::Query(source) => assigned(&plan, source, field, table)?,
            From::Partition(value) => *value,
            From::Nothing => absent(field, table)?,
        };
        Ok(expr.alias(field.name()))
    });
    let exprs = exprs.collect::<Result<Vec<Expr>>>()?;
    LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(plan_error)
}

/// Refuses a table with metadata that is not VIRTUAL: no sink here writes metadata.
fn check_metadata(table: &Table) -> Result<()> {
    let persisted = table.columns.iter().find_map(|column| match column {
        Column::Metadata { field, is_virtual: false, .. } => Some(field.name()),
        _ => None,
    });
    let Some(name) = persisted else { return Ok(()) };
    let connector = table.connector()?;
    Err(Error::invalid(format!(
        "column `{name}` of table `{}` is metadata, and connector '{connector}' writes none",
        table.name
    ))
    .remedy("declare it VIRTUAL, so that it is only read"))
}

/// Returns the columns that the query gives, and for each column of the table what goes there.
fn sources<'a>(
    table: &'a Table,
    insert: &'a Insert,
    (session, zone): (&Session, Zone),
) -> Result<(Vec<&'a str>, Vec<From>)> {
    let schema: &SchemaRef = &table.spec.schema;
    let mut sources: Vec<From> = schema.fields().iter().map(|_| From::Nothing).collect();
    for (column, tokens) in &insert.partition {
        let index = place(table, column)?;
        if !table.spec.partitions.contains(&column.text) {
            let message = format!("table `{}` is not partitioned by `{}`", table.name, column.text);
            return Err(text::at(&column.at, message));
        }
        let none = DFSchema::empty();
        let value = session.expression(tokens, &none, zone);
        let value = value.map_err(|error| located(error, &column.at))?;
        let value = value.cast_to(schema.field(index).data_type(), &none).map_err(plan_error)?;
        sources[index] = From::Partition(Box::new(value));
    }
    if insert.columns.is_empty() {
        let open = |source: &&mut From| matches!(source, From::Nothing);
        let left = sources.iter_mut().zip(schema.fields());
        let left = left.filter(|(source, _)| open(source)).enumerate();
        let wanted = left.map(|(index, (source, field))| {
            *source = From::Query(index);
            field.name().as_str()
        });
        return Ok((wanted.collect(), sources));
    }
    for (index, column) in insert.columns.iter().enumerate() {
        let source = &mut sources[place(table, column)?];
        if matches!(source, From::Partition(_)) {
            let message = format!("PARTITION gives column `{}` its value", column.text);
            return Err(text::at(&column.at, message));
        }
        *source = From::Query(index);
    }
    Ok((insert.columns.iter().map(|column| column.text.as_str()).collect(), sources))
}

/// Returns which physical column of the table a name is.
fn place(table: &Table, column: &Name) -> Result<usize> {
    let (schema, name) = (&table.spec.schema, &column.text);
    schema.index_of(name).map_err(|_| {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let is_other = table.columns.iter().any(|known| known.field().name() == name);
        let what = if is_other { "physical column" } else { "column" };
        let message = format!("table `{}` has no {what} `{name}`", table.name);
        suggest(text::at(&column.at, message), name, &names)
    })
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
