//! `GROUP BY` and `DISTINCT`, with windows and without.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, cast};
use thalweg_plan::function::Transform;
use thalweg_plan::graph::Aggregation;
use thalweg_plan::pane::{OwnTime, PaneColumn, Panes};
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_types::{Error, Result};

use super::{Lowering, Role, Stream, column_of, forward, unit_of};
use crate::aggregate::call;
use crate::emit::Emit;
use crate::expression::{Expression, Projection, column_name};
use crate::grouping::Sets;
use crate::noted::{Note, Noted};
use crate::pane_functions::column_of as column_of_pane;
use crate::planned;
use crate::sums;
use crate::text::plan_error;
use crate::window_tvf::in_unit;
use crate::windowing::{Pick, Reorder};

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Stream> {
        let whole = with_late_columns(&aggregate.input);
        let (mut stream, input) = (self.lower(whole)?, whole.schema());
        let sets = Sets::of(aggregate)?;
        let groups = sets.as_ref().map_or(&aggregate.group_expr, |sets| &sets.exprs);
        let role = |expr: &Expr| column_of(expr, input).map_or(Role::Plain, |c| stream.roles[c]);
        let mut roles: Vec<Role> = groups.iter().map(role).collect();
        let is_windowed = is_windowed(&stream, &roles)?;
        if let Some(sets) = sets.as_ref().filter(|_| is_windowed) {
            check_windows(sets, &roles)?;
        }
        if !is_windowed || reads_window((groups, &roles), &aggregate.aggr_expr, input, &stream) {
            stream = self.settle(stream)?;
        }
        let mut columns = Columns::default();
        let mut of_window = vec![false; groups.len()];
        if is_windowed {
            of_window = window_keys((groups, &roles), input, &mut columns)?;
        }
        let mut keys = Vec::new();
        let mut grouped = Vec::new();
        for (at, (expr, of_window)) in groups.iter().zip(&of_window).enumerate() {
            if !of_window {
                grouped.push(at);
                keys.push(columns.add(expr, input)?);
            }
        }
        let (mut calls, mut said) = (Vec::new(), Vec::new());
        for expr in &aggregate.aggr_expr {
            match column_of_pane(expr)? {
                Some(column) => said.push(column),
                None => calls.push(self.call(expr, &mut columns, input)?),
            }
        }
        let emit = stream.emit.take();
        let panes = panes(emit.as_ref(), &stream, is_windowed, said)?;
        let (ttl, asked) = (self.ttl_of(&stream), emit.as_ref().zip(panes));
        let panes = with_own_time((asked, ttl), &stream, &mut columns, input)?;
        let late_table = late_table(emit.as_ref(), &stream).filter(|_| is_windowed);
        if let Some(name) = &late_table {
            self.carry_late_columns(name, &mut columns, input)?;
        }
        let schema = columns.schema();
        let calls = calls
            .into_iter()
            .map(|(expr, arguments, filter)| call(expr, arguments, filter, &schema))
            .collect::<Result<Vec<_>>>()?;
        self.map(&mut stream, Arc::new(Projection::new(columns.expressions, schema.clone())));
        if let Some(sets) = &sets {
            let expand = sets.expand(&schema, &grouped, &keys);
            keys = (schema.fields().len()..expand.schema().fields().len()).collect();
            self.map(&mut stream, Arc::new(expand));
            roles.push(Role::Plain);
            of_window.push(false);
        }
        let window = if is_windowed { window(&stream, &schema)? } else { None };
        let divert_late = late_table.is_some();
        let aggregation = Aggregation { window, keys, calls, divert_late, ttl, panes };
        let made = self.builder.aggregate(stream.node, aggregation);
        let made = made.map_err(|error| match &emit {
            Some(emit) => emit.located(error),
            None => error,
        })?;
        if let Some(name) = late_table {
            self.reject(&name, forward(made.late, 1));
        }
        (stream.node, stream.ttl, stream.is_copied) = (made.result, None, false);
        let keys: Vec<(Role, bool)> = roles.into_iter().zip(of_window).collect();
        self.reorder(&mut stream, aggregate, (&keys, is_windowed))
    }

    /// Lets late rows have the columns that their table asks for, as far as they are there.
    pub(super) fn carry_late_columns(
        &self,
        table: &str,
        columns: &mut Columns,
        input: &DFSchema,
    ) -> Result<()> {
        let table = self.rejected_table(table)?;
        for wanted in table.spec.schema.fields() {
            let found = input.fields().iter().position(|field| field.name() == wanted.name());
            if let Some(column) = found {
                columns.add_column(column, input)?;
            }
        }
        Ok(())
    }

    /// Returns an aggregate, the columns of its arguments and of its order, and its filter's.
    pub(super) fn call(
        &self,
        expr: &Expr,
        columns: &mut Columns,
        input: &DFSchema,
    ) -> Result<(datafusion::logical_expr::expr::AggregateFunction, Vec<usize>, Option<usize>)>
    {
        let call = match expr {
            Expr::Alias(alias) => return self.call(&alias.expr, columns, input),
            Expr::AggregateFunction(call) => total_order(runnable(call.clone(), input)?, input)?,
            other => return Err(Error::invalid(format!("`{other}` is no aggregate"))),
        };
        let is_count_of_rows = call.func.name() == "count"
            && !call.params.distinct
            && call
                .params
                .args
                .iter()
                .all(|arg| matches!(arg, Expr::Literal(value, _) if !value.is_null()));
        let mut arguments = Vec::new();
        if !is_count_of_rows {
            let order = call.params.order_by.iter().map(|key| &key.expr);
            for argument in call.params.args.iter().chain(order) {
                arguments.push(columns.add(argument, input)?);
            }
        }
        let filter = match &call.params.filter {
            None => None,
            Some(filter) => Some(columns.add(filter, input)?),
        };
        Ok((call, arguments, filter))
    }

    /// Puts the result's columns into the order that the query asks for; of each key it is known what
    /// it means, and whether it is of the window that is grouped by.
    fn reorder(
        &mut self,
        stream: &mut Stream,
        aggregate: &Aggregate,
        (keys, is_windowed): (&[(Role, bool)], bool),
    ) -> Result<Stream> {
        let mut next = if is_windowed { 2 } else { 0 };
        let mut picks = Vec::new();
        let mut result = Vec::new();
        for (role, of_window) in keys {
            let (pick, role) = match role {
                Role::WindowStart if *of_window => (Pick::Column(0), Role::WindowStart),
                Role::WindowEnd if *of_window => (Pick::Column(1), Role::WindowEnd),
                Role::WindowTime if *of_window => (Pick::LastOf(1, stream.zone), Role::WindowTime),
                role => {
                    next += 1;
                    // It may be where another window starts that ends there, too.
                    let is_window = is_windowed && role.is_window();
                    (Pick::Column(next - 1), if is_window { *role } else { Role::Plain })
                }
            };
            picks.push(pick);
            result.push(role);
        }
        // What panes say of themselves stands behind all values.
        let said = aggregate.aggr_expr.iter().map(|expr| Ok(column_of_pane(expr)?.is_some()));
        let said = said.collect::<Result<Vec<bool>>>()?;
        let mut next_said = next + said.iter().filter(|said| !**said).count();
        for is_said in said {
            let column = if is_said { &mut next_said } else { &mut next };
            picks.push(Pick::Column(*column));
            result.push(Role::Plain);
            *column += 1;
        }
        let is_plain = picks.iter().enumerate().all(|(index, pick)| *pick == Pick::Column(index));
        let made = self.schema(stream);
        let fields = aggregate.schema.fields().iter().zip(&picks).map(|(wanted, pick)| {
            let is_nullable = match pick {
                Pick::Column(column) | Pick::LastOf(column, _) => made.field(*column).is_nullable(),
                Pick::Number(_) => false,
                Pick::Null => true,
            };
            // Names and types are the query's.
            wanted.as_ref().clone().with_nullable(is_nullable || wanted.is_nullable())
        });
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        if !is_plain || picks.len() != made.fields().len() || schema != made {
            self.map(stream, Arc::new(Reorder { picks, schema }));
        }
        stream.roles = result;
        stream.window = is_windowed.then_some(Assigner::Attached);
        Ok(stream.clone())
    }

    pub(super) fn distinct(&mut self, input: &LogicalPlan) -> Result<Stream> {
        let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
        let aggregate = Aggregate::try_new(Arc::new(input.clone()), columns, Vec::new());
        self.aggregate(&aggregate.map_err(plan_error)?)
    }
}

/// Puts what is run in the place of what was planned: see [`sums`] and [`planned`].
fn runnable(
    mut call: datafusion::logical_expr::expr::AggregateFunction,
    input: &DFSchema,
) -> Result<datafusion::logical_expr::expr::AggregateFunction> {
    let [argument] = call.params.args.as_slice() else { return Ok(call) };
    let kind = argument.get_type(input).map_err(plan_error)?;
    let runs = sums::runs(&call.func, &kind);
    if let Some((function, wide)) = runs.or_else(|| planned::runs(&call.func, &kind)) {
        call.func = function;
        if wide != kind {
            call.params.args = vec![cast(argument.clone(), wide)];
        }
    }
    Ok(call)
}

/// Lets the arguments of an aggregate decide where its `ORDER BY` leaves ties: else the answer would
/// depend on which row came first.
fn total_order(
    mut call: datafusion::logical_expr::expr::AggregateFunction,
    input: &DFSchema,
) -> Result<datafusion::logical_expr::expr::AggregateFunction> {
    if call.params.order_by.is_empty() || call.func.supports_within_group_clause() {
        return Ok(call);
    }
    for argument in call.params.args.clone() {
        let kind = argument.get_type(input).map_err(plan_error)?;
        let is_ordered = call.params.order_by.iter().any(|key| key.expr == argument);
        if !(is_ordered || kind.is_nested() || matches!(argument, Expr::Literal(..))) {
            call.params.order_by.push(argument.sort(true, false));
        }
    }
    Ok(call)
}

/// Returns the windows of rows that begin with where theirs starts and ends.
fn window(stream: &Stream, schema: &SchemaRef) -> Result<Option<WindowSpec>> {
    let Some(assigner) = stream.window else { return Ok(None) };
    let assigner = in_unit(assigner, unit_of(schema, 0)?)?;
    let (basis, zone) = (stream.basis, stream.zone);
    Ok(Some(WindowSpec { assigner, basis, start: 0, end: 1, zone }))
}

/// Returns the table that late rows of windows go to: the one that the query names, or else that its
/// input does.
fn late_table(emit: Option<&Emit>, stream: &Stream) -> Option<String> {
    let named = emit.and_then(|emit| emit.late_table().map(str::to_owned));
    let table = named.or_else(|| stream.late_table.clone());
    table.filter(|_| stream.basis == TimeBasis::Event)
}

/// Returns what an aggregation reads with the columns that the table of `LATE INTO` has, and the time of
/// rows, too: those that the query does not use are left out on top of it.
fn with_late_columns(input: &LogicalPlan) -> &LogicalPlan {
    let LogicalPlan::Projection(projection) = input else { return input };
    let Some(Noted { note: Note::Emit(emit), .. }) = Noted::of(&projection.input) else {
        return input;
    };
    let asks_for_more = emit.late_table().is_some() || emit.of_each_key().is_some();
    match asks_for_more && projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) {
        true => &projection.input,
        false => input,
    }
}

/// Lets windows go by the rows of their key, if the clause says so.
fn with_own_time(
    (asked, ttl): (Option<(&Emit, Panes)>, Option<Duration>),
    stream: &Stream,
    columns: &mut Columns,
    input: &DFSchema,
) -> Result<Option<Panes>> {
    let Some((emit, mut panes)) = asked else { return Ok(None) };
    if let Some(behind) = emit.of_each_key() {
        let column = time_of_rows(stream, input).map_err(|error| emit.located(error))?;
        let column = columns.add_column(column, input)?;
        panes.own_time = Some(OwnTime { column, behind, ttl });
    }
    Ok(Some(panes))
}

/// Returns the column of event time of what an aggregation reads, in the unit of its windows.
fn time_of_rows(stream: &Stream, input: &DFSchema) -> Result<usize> {
    let found = |role: Role| stream.roles.iter().position(|own| *own == role);
    let (Some(time), Some(end)) = (found(Role::Rowtime), found(Role::WindowEnd)) else {
        return Err(Error::invalid(
            "OF EACH KEY, and the query does not read the time of its rows",
        )
        .remedy("let it read the table that declares the WATERMARK"));
    };
    let schema = input.inner();
    match unit_of(schema, time)? == unit_of(schema, end)? {
        true => Ok(time),
        false => Err(Error::internal("windows have another unit than the time of their rows")),
    }
}

/// Returns the panes that a query asks for; `None` for what an aggregation sends anyway.
fn panes(
    emit: Option<&Emit>,
    stream: &Stream,
    is_windowed: bool,
    said: Vec<PaneColumn>,
) -> Result<Option<Panes>> {
    let is_said = !said.is_empty();
    let Some(emit) = emit else {
        return match is_said {
            false => Ok(None),
            true => Err(Error::invalid("a function of panes in a query without EMIT")
                .remedy("write EMIT AFTER WATERMARK … behind the GROUP BY")),
        };
    };
    let has_late_rows = is_windowed && stream.basis == TimeBasis::Event;
    let of_event_time = emit.of_event_time();
    if !of_event_time.is_empty() && !has_late_rows {
        let error = Error::invalid("no row is late without windows by event time");
        let remedy = format!("leave out {}", of_event_time.join(" and "));
        return Err(emit.located(error.remedy(remedy)));
    }
    let panes = emit.panes(is_windowed, said);
    if is_said && panes.is_none() {
        let error = Error::invalid("EMIT CHANGES of a query without windows has no panes");
        return Err(
            emit.located(error.remedy("leave out PANE_TIMING, PANE_INDEX and PANE_IS_LAST"))
        );
    }
    Ok(panes)
}

/// Do keys that are no window, or aggregates, read where the row's window starts or ends? Slices do
/// not say it.
fn reads_window(
    (keys, roles): (&[Expr], &[Role]),
    calls: &[Expr],
    input: &DFSchema,
    stream: &Stream,
) -> bool {
    let is_window = |column: usize| stream.roles[column].is_window();
    let keys = keys.iter().zip(roles).filter(|(_, role)| !role.is_window());
    keys.map(|(key, _)| key).chain(calls).any(|expr| {
        let columns = expr.column_refs();
        columns.iter().filter_map(|column| input.maybe_index_of_column(column)).any(is_window)
    })
}

/// Checks that windows are in all sets, where they are in some.
fn check_windows(sets: &Sets, roles: &[Role]) -> Result<()> {
    let windows = sets.exprs.iter().zip(roles).filter(|(_, role)| role.is_window());
    match windows.map(|(expr, _)| expr).all(|expr| sets.all_have(expr)) {
        true => Ok(()),
        false => Err(Error::invalid("not all GROUPING SETS have the window")
            .remedy("GROUP BY window_start, window_end, GROUPING SETS (…)")),
    }
}

/// Adds where the window starts and ends that is grouped by; returns which keys say it.
///
/// Windows that were joined because they end together may start apart: the first start that is named counts,
/// and another one is a key like any other.
fn window_keys(
    (keys, roles): (&[Expr], &[Role]),
    input: &DFSchema,
    columns: &mut Columns,
) -> Result<Vec<bool>> {
    let first = |wanted: Role| {
        let found = roles.iter().position(|role| *role == wanted);
        found.and_then(|at| column_of(&keys[at], input)).ok_or_else(super::lost_window)
    };
    let (start, end) = (first(Role::WindowStart)?, first(Role::WindowEnd)?);
    columns.add_column(start, input)?;
    columns.add_column(end, input)?;
    let is_other = |key: &Expr| column_of(key, input) != Some(start);
    let of_window = |(key, role): (&Expr, &Role)| match role {
        Role::WindowStart => !is_other(key),
        role => role.is_window(),
    };
    Ok(keys.iter().zip(roles).map(of_window).collect())
}

/// Is this a `GROUP BY` on windows? Then it must say so whole.
fn is_windowed(stream: &Stream, roles: &[Role]) -> Result<bool> {
    let has = |role| roles.contains(&role);
    if stream.window.is_none() || !(has(Role::WindowStart) || has(Role::WindowEnd)) {
        return Ok(false);
    }
    if !(has(Role::WindowStart) && has(Role::WindowEnd)) {
        return Err(Error::invalid("GROUP BY names one end of the window only")
            .remedy("GROUP BY window_start, window_end, …"));
    }
    let session_keys = stream.session_keys;
    let keys = roles.iter().filter(|role| !role.is_window());
    let (by_key, others): (Vec<&Role>, Vec<&Role>) =
        keys.partition(|role| **role == Role::SessionKey);
    let is_same = others.is_empty() && by_key.len() == session_keys;
    if matches!(stream.window, Some(Assigner::Session { .. })) && session_keys > 0 && !is_same {
        return Err(Error::invalid("sessions are grouped by other columns than they are made by")
            .remedy("name the columns of PARTITION BY in GROUP BY, and no others"));
    }
    Ok(true)
}

/// The columns that an aggregation reads, each computed once.
#[derive(Default)]
pub(super) struct Columns {
    exprs: Vec<Expr>,
    expressions: Vec<Expression>,
    fields: Vec<Field>,
}

impl Columns {
    /// Adds an expression, unless it is there; returns its column.
    pub(super) fn add(&mut self, expr: &Expr, input: &DFSchema) -> Result<usize> {
        if let Some(found) = self.exprs.iter().position(|known| known == expr) {
            return Ok(found);
        }
        let (_, field) = expr.to_field(input).map_err(plan_error)?;
        let is_time = matches!(field.data_type(), DataType::Timestamp(_, _));
        let is_nullable = field.is_nullable() || is_time;
        // State and explanations call the column so.
        self.fields.push(Field::new(column_name(expr), field.data_type().clone(), is_nullable));
        self.expressions.push(Expression::new(expr, input)?);
        self.exprs.push(expr.clone());
        Ok(self.exprs.len() - 1)
    }

    /// Adds a column of the input.
    pub(super) fn add_column(&mut self, column: usize, input: &DFSchema) -> Result<usize> {
        let (qualifier, field) = input.qualified_field(column);
        self.add(&Expr::from((qualifier, field)), input)
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields.clone()))
    }

    /// Returns what computes the columns.
    pub(super) fn into_expressions(self) -> Vec<Expression> {
        self.expressions
    }
}
