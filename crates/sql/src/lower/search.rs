//! `MATCH_RECOGNIZE`: the rows of a match, and what is computed of them.
//!
//! Before the search stands a projection with what is read of rows, behind it one with the measures; the
//! search itself knows columns only.

use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::AggregateFunction;
use thalweg_plan::function::Condition;
use thalweg_plan::order::SortKey;
use thalweg_plan::pattern::{
    MatchCondition, MatchNode, Operand, RowsPerMatch, Scope, Value, Variable,
};
use thalweg_plan::window::TimeBasis;
use thalweg_types::time::nanos_per;
use thalweg_types::{Error, Moment, Result, Zone};

use super::aggregate::Columns;
use super::{Lowering, Role, Stream, forward, role_of, unit_of};
use crate::aggregate;
use crate::expression::{Expression, Projection, Test};
use crate::patterns::{self, Operands, Search, SearchPlan, row_of};
use crate::session::localized;
use crate::text::{placed, plan_error};
use crate::windowing::{Pick, Reorder, settled_rows};

/// An operand whose columns are known, but not yet their types.
enum Called {
    Plain(Value),
    Aggregate(AggregateFunction, Vec<usize>, Option<usize>, Scope),
}

/// What a search reads: columns, and operands that are made of columns.
struct Read {
    partition: Vec<usize>,
    order: Vec<usize>,
    passed: Vec<usize>,
    /// Of each condition of each variable.
    conditions: Vec<Vec<Vec<Called>>>,
    measures: Vec<Called>,
}

impl Lowering<'_> {
    pub(super) fn search(&mut self, plan: &SearchPlan) -> Result<Stream> {
        let search = plan.search.as_ref();
        let row = row_of(plan.input.schema())?;
        let stream = self.lower(&plan.input)?;
        let mut stream = self.settle(stream)?;
        let basis = basis_of(search, &row, &stream)?;
        let mut columns = Columns::default();
        let read = self.read(search, &mut columns, &row)?;
        let late_table = stream.late_table.clone().filter(|_| basis == TimeBasis::Event);
        if let Some(table) = &late_table {
            self.carry_late_columns(table, &mut columns, &row)?;
        }
        let schema = columns.schema();
        let mut node = search_node((search, &row), read, (basis, self.zone), &schema)?;
        node.divert_late = late_table.is_some();
        node.ttl = self.ttl_of(&stream).filter(|_| !node.ends());
        let wide = Projection::new(columns.into_expressions(), schema.clone());
        self.map(&mut stream, Arc::new(wide));
        let time = match (basis, node.delay(&schema)) {
            (TimeBasis::Event, Some(_)) => Role::Rowtime,
            (TimeBasis::Event, None) => Role::Belated,
            (TimeBasis::Processing, _) => Role::Plain,
        };
        let added = self.builder.match_rows(stream.node, node);
        stream.node = added.map_err(|error| placed(error, &search.at))?;
        if let Some(table) = late_table {
            self.reject(&table, forward(stream.node, 1));
        }
        let over = found_columns(search, &row)?;
        let found = Arc::new(over.as_arrow().clone());
        if found.fields().iter().zip(self.schema(&stream).fields()).any(is_other) {
            let picks = (0..found.fields().len()).map(Pick::Column).collect();
            self.map(&mut stream, Arc::new(Reorder { picks, schema: found }));
        }
        let exprs = results(search, &row)
            .map(|expr| Expression::new(&localized(expr, &over, self.zone)?, &over));
        let exprs = exprs.collect::<Result<Vec<_>>>().map_err(|e| placed(e, &search.at))?;
        let result = Arc::new(plan.result().as_arrow().clone());
        self.map(&mut stream, Arc::new(Projection::new(exprs, result)));
        Ok(Stream {
            roles: roles(search, &row, time),
            window: None,
            basis: TimeBasis::Event,
            zone: None,
            session_keys: 0,
            ttl: None,
            is_copied: false,
            emit: None,
            versioned: None,
            ..stream
        })
    }

    /// Adds what a search reads to the columns before it.
    fn read(&self, search: &Search, columns: &mut Columns, row: &DFSchema) -> Result<Read> {
        let mut named = |names: &[String]| -> Result<Vec<usize>> {
            let all = names.iter().map(Column::new_unqualified).map(Expr::Column);
            all.map(|column| columns.add(&column, row)).collect()
        };
        let (before, rest) = search.passed(row);
        let order: Vec<String> = search.order.iter().map(|(name, _)| name.clone()).collect();
        let (partition, order) = (named(&search.partition)?, named(&order)?);
        let passed = named(&[before, rest].concat())?;
        let conditions = search.variables.iter().map(|(_, conditions)| {
            let operands = conditions.iter().map(|condition| &condition.operands);
            operands.map(|operands| self.operands(operands, columns, row)).collect()
        });
        let conditions = conditions.collect::<Result<_>>()?;
        let measures = self.operands(&search.operands, columns, row)?;
        Ok(Read { partition, order, passed, conditions, measures })
    }

    fn operands(
        &self,
        operands: &Operands,
        columns: &mut Columns,
        row: &DFSchema,
    ) -> Result<Vec<Called>> {
        let called = operands.0.iter().map(|(_, operand)| match &operand.value {
            patterns::Value::Column(expr, at) => {
                let column = columns.add(&localized(expr.clone(), row, self.zone)?, row)?;
                Ok(Called::Plain(Value::Column { column, at: *at }))
            }
            patterns::Value::Classifier(at) => Ok(Called::Plain(Value::Classifier(*at))),
            patterns::Value::MatchNumber => Ok(Called::Plain(Value::MatchNumber)),
            patterns::Value::IsMatched => Ok(Called::Plain(Value::IsMatched)),
            patterns::Value::Aggregate(expr, of) => {
                let expr = localized(expr.clone(), row, self.zone)?;
                let (call, arguments, filter) = self.call(&expr, columns, row)?;
                Ok(Called::Aggregate(call, arguments, filter, *of))
            }
        });
        called.collect()
    }
}

/// Has a column another type than the query gives it?
fn is_other((wanted, made): (&FieldRef, &FieldRef)) -> bool {
    wanted.data_type() != made.data_type()
}

/// A condition over operands, which get the types of the query first.
#[derive(Debug)]
struct Asked {
    over: SchemaRef,
    test: Test,
}

impl Condition for Asked {
    fn holds(&self, rows: &RecordBatch, moment: &Moment) -> Result<BooleanArray> {
        self.test.holds(&settled_rows(rows, &self.over)?, moment)
    }

    fn describe(&self) -> String {
        self.test.describe()
    }
}

/// Returns the time by which rows are ordered.
fn basis_of(search: &Search, row: &DFSchema, stream: &Stream) -> Result<TimeBasis> {
    let time = search.order.first().map_or("", |(name, _)| name.as_str());
    let column = row.index_of_column_by_name(None, time);
    let basis = match column.and_then(|column| stream.roles.get(column)) {
        Some(Role::Rowtime) => TimeBasis::Event,
        Some(Role::WindowTime) => stream.basis,
        Some(Role::Proctime) => TimeBasis::Processing,
        _ => {
            let message = format!("ORDER BY `{time}` of MATCH_RECOGNIZE is no time attribute");
            return Err(Error::invalid(message).at(search.order_at.clone()).remedy(format!(
                "declare WATERMARK FOR {time} AS … on its table, or order by a column that is \
                 PROCTIME()"
            )));
        }
    };
    let time_at = search.measures.iter().find_map(|measure| measure.time_at.clone());
    match (basis, time_at) {
        (TimeBasis::Processing, Some(at)) => {
            Err(Error::invalid("MATCH_ROWTIME() of rows in the order of processing time")
                .at(at)
                .remedy("write MATCH_PROCTIME()"))
        }
        _ => Ok(basis),
    }
}

/// Returns the search, given what it reads of rows of `schema`.
fn search_node(
    (search, row): (&Search, &DFSchema),
    read: Read,
    (basis, zone): (TimeBasis, Zone),
    schema: &SchemaRef,
) -> Result<MatchNode> {
    let within = within(search, &read, schema)?;
    let variables = search.variables.iter().zip(read.conditions);
    let variables = variables.map(|((name, conditions), called)| {
        let conditions = conditions.iter().zip(called).map(|(condition, called)| {
            let operands = made(&condition.operands, called, schema)?;
            let over = condition.operands.schema(row)?;
            let expr = localized(condition.expr.clone(), &over, zone)?;
            let test = Expression::new(&expr, &over)
                .and_then(|test| Test::new(test, &format!("the condition of {name}")))
                .map_err(|error| placed(error, &condition.at))?;
            let over = Arc::new(over.as_arrow().clone());
            Ok(MatchCondition { condition: Arc::new(Asked { over, test }), operands })
        });
        Ok(Variable { name: name.clone(), conditions: conditions.collect::<Result<_>>()? })
    });
    let variables = variables.collect::<Result<_>>()?;
    let order = search.order.iter().zip(&read.order).map(|((_, descending), column)| SortKey {
        column: *column,
        descending: *descending,
        // As in Flink, NULL is the lowest value.
        nulls_first: !descending,
    });
    Ok(MatchNode {
        partition: read.partition,
        order: order.collect(),
        basis,
        variables,
        pattern: search.pattern.clone(),
        skip: search.skip,
        rows: search.rows,
        within,
        columns: read.passed,
        operands: made(&search.operands, read.measures, schema)?,
        divert_late: false,
        ttl: None,
    })
}

/// Returns how long a match may take, in the unit of its rows' times.
fn within(search: &Search, read: &Read, schema: &SchemaRef) -> Result<Option<i64>> {
    let (Some(within), Some(time)) = (search.within, read.order.first()) else { return Ok(None) };
    let nanos = i64::try_from(within.as_nanos()).unwrap_or(i64::MAX);
    Ok(Some(nanos / nanos_per(unit_of(schema, *time)?)))
}

/// Makes operands over columns of `schema`.
fn made(operands: &Operands, called: Vec<Called>, schema: &SchemaRef) -> Result<Vec<Operand>> {
    let made = operands.0.iter().zip(called).map(|((_, operand), called)| {
        let value = match called {
            Called::Plain(value) => value,
            Called::Aggregate(call, arguments, filter, of) => {
                let call = aggregate::call(call, arguments, filter, schema)?;
                Value::Aggregate { of, call }
            }
        };
        Ok(Operand { value, is_final: operand.is_final })
    });
    made.collect()
}

/// Returns the columns that come out of a search, with the types of the query: those of rows, and operands.
fn found_columns(search: &Search, row: &DFSchema) -> Result<DFSchema> {
    let (before, rest) = search.passed(row);
    let rows = before.iter().chain(&rest).map(|name| {
        let field = row.field_with_unqualified_name(name).map_err(plan_error)?;
        Ok(Arc::new(field.as_ref().clone().with_name(of_row(name)).with_nullable(true)))
    });
    let mut fields = rows.collect::<Result<Vec<FieldRef>>>()?;
    fields.extend(search.operands.schema(row)?.fields().iter().cloned());
    DFSchema::from_unqualified_fields(fields.into(), Default::default()).map_err(plan_error)
}

/// Names a column of the row that comes out, which is no operand.
fn of_row(name: &str) -> String {
    format!("{name} of the row")
}

/// Returns the columns of the result, over what comes out of the search.
fn results(search: &Search, row: &DFSchema) -> impl Iterator<Item = Expr> {
    let (before, rest) = search.passed(row);
    let column = |name: String| Expr::Column(Column::new_unqualified(of_row(&name)));
    let measures: Vec<Expr> = search.measures.iter().map(|measure| measure.expr.clone()).collect();
    before.into_iter().map(column).chain(measures).chain(rest.into_iter().map(column))
}

/// Returns what the columns of the result mean: those of time are `time`.
fn roles(search: &Search, row: &DFSchema, time: Role) -> Vec<Role> {
    let (before, rest) = search.passed(row);
    let ordered = search.order.first().map(|(name, _)| name);
    let is_each_row = search.rows != RowsPerMatch::One;
    let column = |name: &String| match is_each_row && Some(name) == ordered {
        true => time,
        false => Role::Plain,
    };
    let measures = search.measures.iter().map(|measure| match measure.time_at {
        Some(_) => time,
        None => role_of(&measure.expr, row, &[]),
    });
    before.iter().map(column).chain(measures).chain(rest.iter().map(column)).collect()
}
