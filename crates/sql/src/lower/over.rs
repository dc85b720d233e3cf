//! `OVER` windows: functions over the rows up to each row.
//!
//! Invariant: of rows that are only inserted and are ordered by a time attribute the results are final;
//! any other order, and input that is updated, makes an updating result.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::{
    AggregateFunction as AggregateExpr, NullTreatment, WindowFunction,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprSchemable, SortExpr, Window, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition, cast,
};
use thalweg_plan::node::{Frame, Input, NodeKind, OverFunction, OverNode, Ranking, SortKey};
use thalweg_plan::window::TimeBasis;
use thalweg_types::time::nanos_per;
use thalweg_types::{Error, Result};

use super::aggregate::Columns;
use super::top::{exchange_by, sort_keys};
use super::{Lowering, Role, Stream, column_of, forward};
use crate::aggregate;
use crate::copies::{COPY, call_of, ties_of};
use crate::expression::Projection;
use crate::text::{place_in_plan, plan_error};
use crate::windowing::Pick;

/// A function whose columns are known, but not yet their types.
enum Called {
    Aggregate(AggregateExpr, Vec<usize>, Option<usize>),
    Other(OverFunction),
}

impl Lowering<'_> {
    pub(super) fn over(&mut self, window: &Window) -> Result<Stream> {
        let input = window.input.schema();
        let stream = self.lower(&window.input)?;
        let mut stream = self.settle(stream)?;
        let calls = window.window_expr.iter().filter_map(call_of).collect::<Vec<_>>();
        let Some(first) = calls.first() else {
            return Err(Error::internal("an OVER window without a function"));
        };
        let is_updating = self.builder.plan().node(stream.node).is_updating;
        let basis = basis_of(first, (&stream, is_updating), input)?;
        let mut columns = Columns::default();
        // The first columns decide what the order leaves open.
        let (order, ties) = ties_of(first);
        ties.iter().try_for_each(|column| columns.add(column, input).map(drop))?;
        let own = (0..input.fields().len()).map(|column| columns.add_column(column, input));
        let own = own.collect::<Result<Vec<usize>>>()?;
        let partition = first.params.partition_by.iter().map(|expr| columns.add(expr, input));
        let partition = partition.collect::<Result<Vec<_>>>()?;
        let keys = order.iter().map(|key| columns.add(&key.expr, input));
        let order = sort_keys(order, &keys.collect::<Result<Vec<_>>>()?);
        let called = calls.iter().map(|call| self.called(call, &mut columns, input));
        let called = called.collect::<Result<Vec<_>>>()?;
        let schema = columns.schema();
        if schema.fields().len() > own.len() || !own.iter().copied().eq(0..own.len()) {
            let mut roles = vec![Role::Plain; schema.fields().len()];
            own.iter().zip(&stream.roles).for_each(|(column, role)| roles[*column] = *role);
            stream.roles = roles;
            let wide = Projection::new(columns.into_expressions(), schema.clone());
            self.map(&mut stream, Arc::new(wide));
        }
        let frames = calls.iter().map(|call| frame_of(call, (&order, basis), &schema));
        let functions = called.into_iter().zip(frames);
        let functions = functions.map(|(called, frame)| made(called, frame?, &schema));
        let functions = functions.collect::<Result<Vec<_>>>()?;
        let ttl = self.ttl_of(&stream);
        let node = OverNode { partition, order, basis, functions, divert_late: false, ttl };
        let width = schema.fields().len();
        let results = width..width + node.functions.len();
        self.add_over(&mut stream, node);
        let picks = own.into_iter().chain(results).map(Pick::Column).collect();
        self.as_planned(&mut stream, window, picks);
        Ok(stream)
    }

    fn add_over(&mut self, stream: &mut Stream, mut node: OverNode) {
        let is_event_time = node.basis == Some(TimeBasis::Event);
        let late_table = stream.late_table.clone().filter(|_| is_event_time);
        node.divert_late = late_table.is_some();
        let before = self.schema(stream);
        let results = node.functions.iter().map(|function| match function {
            OverFunction::Aggregate { call, .. } => call.function.result().as_ref().clone(),
            OverFunction::Number(_) | OverFunction::Copy => {
                Field::new("number", DataType::Int64, false)
            }
            OverFunction::Shift { column, .. } => before.field(*column).clone().with_nullable(true),
        });
        let fields = before.fields().iter().map(|field| field.as_ref().clone()).chain(results);
        let made: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let waits = node.rows_ahead() > 0 || node.basis.is_none();
        stream.roles.resize(made.fields().len(), Role::Plain);
        let edge = Input { from: stream.node, port: 0, exchange: exchange_by(&node.partition) };
        stream.node = self.builder.add(NodeKind::Over(node), vec![edge], made);
        if let Some(table) = late_table {
            self.reject(&table, forward(stream.node, 1));
        }
        if waits {
            // The watermark has passed rows that wait for others, or may change.
            stream.roles.iter_mut().for_each(|role| *role = Role::Plain);
            stream.window = None;
        }
    }

    /// Returns a function and the columns that it reads.
    fn called(
        &self,
        call: &WindowFunction,
        columns: &mut Columns,
        input: &DFSchema,
    ) -> Result<Called> {
        let aggregate = |udaf: &Arc<AggregateUDF>| {
            let params = &call.params;
            let (args, filter) = (params.args.clone(), params.filter.clone());
            let nulls = params.null_treatment;
            let order = Vec::new();
            AggregateExpr::new_udf(udaf.clone(), args, params.distinct, filter, order, nulls)
        };
        let aggregate = match &call.fun {
            WindowFunctionDefinition::AggregateUDF(udaf) => aggregate(udaf),
            WindowFunctionDefinition::WindowUDF(function) => match function.name() {
                "first_value" => aggregate(&first_value_udaf()),
                "last_value" => aggregate(&last_value_udaf()),
                name => return other(name, call, columns, input).map(Called::Other),
            },
        };
        let (call, arguments, filter) =
            self.call(&Expr::AggregateFunction(aggregate), columns, input)?;
        Ok(Called::Aggregate(call, arguments, filter))
    }
}

/// Makes the aggregate of a call, which has a frame.
fn made(called: Called, frame: Option<Frame>, schema: &SchemaRef) -> Result<OverFunction> {
    match called {
        Called::Aggregate(call, arguments, filter) => {
            let frame = frame.ok_or_else(|| Error::internal("an OVER window without a frame"))?;
            let call = aggregate::call(call, arguments, filter, schema)?;
            Ok(OverFunction::Aggregate { call, frame })
        }
        Called::Other(function) => Ok(function),
    }
}

/// Returns a function that is no aggregate.
fn other(
    name: &str,
    call: &WindowFunction,
    columns: &mut Columns,
    input: &DFSchema,
) -> Result<OverFunction> {
    let is_back = match name {
        "row_number" => return Ok(OverFunction::Number(Ranking::RowNumber)),
        "rank" => return Ok(OverFunction::Number(Ranking::Rank)),
        "dense_rank" => return Ok(OverFunction::Number(Ranking::DenseRank)),
        COPY => return Ok(OverFunction::Copy),
        "lag" => true,
        "lead" => false,
        other => {
            let error = format!("{} needs all rows of its partition", other.to_uppercase());
            return Err(Error::invalid(error)
                .remedy("use an aggregate, ROW_NUMBER, RANK, DENSE_RANK, LAG or LEAD"));
        }
    };
    let name = name.to_uppercase();
    if call.params.null_treatment == Some(NullTreatment::IgnoreNulls) {
        return Err(Error::invalid(format!("{name} takes no IGNORE NULLS")));
    }
    let [value, rest @ ..] = call.params.args.as_slice() else {
        return Err(Error::invalid(format!("{name} needs a value")));
    };
    let rows = match rest.first() {
        None => 1,
        Some(Expr::Literal(rows, _)) => match rows.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(rows))) if rows >= 0 => isize::try_from(rows).ok(),
            _ => None,
        }
        .ok_or_else(|| Error::invalid(format!("{name} looks no whole number of rows away")))?,
        Some(_) => {
            return Err(Error::invalid(format!("{name} looks a constant number of rows away")));
        }
    };
    let kind = value.get_type(input).map_err(plan_error)?;
    let default = rest.get(1).map(|default| {
        let is_same = default.get_type(input).map_err(plan_error)? == kind;
        columns.add(&if is_same { default.clone() } else { cast(default.clone(), kind) }, input)
    });
    let by = if is_back { -rows } else { rows };
    Ok(OverFunction::Shift {
        column: columns.add(value, input)?,
        by,
        default: default.transpose()?,
    })
}

/// Returns the time by which a window is ordered, if its results are final.
fn basis_of(
    call: &WindowFunction,
    (stream, is_updating): (&Stream, bool),
    input: &DFSchema,
) -> Result<Option<TimeBasis>> {
    let (order, _) = ties_of(call);
    let role = |key: &SortExpr| column_of(&key.expr, input).map(|column| stream.roles[column]);
    let is_arrival = |role: Option<Role>| match role {
        Some(Role::WindowTime) => stream.basis == TimeBasis::Processing,
        role => role == Some(Role::Proctime),
    };
    match order {
        [] => Err(Error::invalid("an OVER window has no order")
            .remedy("add ORDER BY: by the time of the table's WATERMARK, or by any columns")),
        [key] if key.asc && !is_updating => Ok(match role(key) {
            Some(Role::Rowtime) => Some(TimeBasis::Event),
            Some(Role::WindowTime) => Some(stream.basis),
            Some(Role::Proctime) => Some(TimeBasis::Processing),
            _ => None,
        }),
        keys => match keys.iter().find(|key| is_arrival(role(key))) {
            None => Ok(None),
            Some(key) => {
                let error = Error::invalid(
                    "an OVER window is ordered by processing time alone, rising, and of rows that \
                     are only inserted",
                )
                .remedy("order by a column that the rows have, or drop what updates them");
                Err(match key.expr.spans().and_then(|spans| spans.first()) {
                    Some(span) => error.at(place_in_plan(span)),
                    None => error,
                })
            }
        },
    }
}

/// Returns the frame of an aggregate; `None` for a function that has none.
fn frame_of(
    call: &WindowFunction,
    (order, basis): (&[SortKey], Option<TimeBasis>),
    schema: &SchemaRef,
) -> Result<Option<Frame>> {
    if let WindowFunctionDefinition::WindowUDF(function) = &call.fun
        && !["first_value", "last_value"].contains(&function.name())
    {
        return Ok(None);
    }
    let frame = &call.params.window_frame;
    if frame.end_bound != WindowFrameBound::CurrentRow {
        return Err(refused("ends at the current row"));
    }
    let is_rows = match frame.units {
        WindowFrameUnits::Rows => true,
        WindowFrameUnits::Range => false,
        WindowFrameUnits::Groups => return Err(refused("counts rows or time")),
    };
    let start = match &frame.start_bound {
        WindowFrameBound::CurrentRow => Some(ScalarValue::Int64(Some(0))),
        WindowFrameBound::Preceding(value) if value.is_null() => None,
        WindowFrameBound::Preceding(value) => Some(value.clone()),
        WindowFrameBound::Following(_) => return Err(refused("begins before the current row")),
    };
    Ok(Some(match (is_rows, start) {
        // Rows of the clock come one after the other, also those of one instant.
        (false, None) if basis != Some(TimeBasis::Processing) => Frame::Range(None),
        (_, None) => Frame::Rows(None),
        (true, Some(rows)) => {
            let rows = whole(&rows).and_then(|rows| usize::try_from(rows).ok());
            Frame::Rows(Some(rows.ok_or_else(|| refused("begins a whole number of rows before"))?))
        }
        (false, Some(length)) => Frame::Range(Some(range_of(&length, order, schema)?)),
    }))
}

/// Says what of a frame is not as it must be.
fn refused(what: &str) -> Error {
    Error::invalid(format!("a frame of an OVER window {what}"))
        .remedy("write ROWS or RANGE BETWEEN … PRECEDING AND CURRENT ROW")
}

/// Returns how far before the sort key of a row its frame begins.
fn range_of(length: &ScalarValue, order: &[SortKey], schema: &SchemaRef) -> Result<i64> {
    let [key] = order else { return Err(refused("measures a range by one column only")) };
    let (length, wanted) = match schema.field(key.column).data_type() {
        DataType::Timestamp(unit, _) => {
            let nanos = nanos_of(length).map(|nanos| nanos / nanos_per(*unit));
            (nanos, "begins an interval of days or less before")
        }
        kind if kind.is_integer() => (whole(length), "begins a whole number before"),
        _ => (None, "measures a range of times or of whole numbers"),
    };
    length.filter(|length| *length >= 0).ok_or_else(|| refused(wanted))
}

fn whole(value: &ScalarValue) -> Option<i64> {
    match value.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(whole) => whole,
        _ => None,
    }
}

/// Returns the length of an interval; `None` for months, whose length differs.
fn nanos_of(value: &ScalarValue) -> Option<i64> {
    const DAY: i64 = 86_400_000_000_000;
    match value {
        ScalarValue::Int64(Some(0)) => Some(0),
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            i64::from(interval.days).checked_mul(DAY)?.checked_add(interval.nanoseconds)
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            let nanos = i64::from(interval.milliseconds) * 1_000_000;
            i64::from(interval.days).checked_mul(DAY)?.checked_add(nanos)
        }
        _ => None,
    }
}
