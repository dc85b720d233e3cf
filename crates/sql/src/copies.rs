//! Several `OVER` windows of one `SELECT`, of different orders or partitions, over the same rows.
//!
//! The planner makes one node of each, the second over what the first makes. Where an order leaves ties the
//! columns of `FROM` decide, in all of them alike, and of rows that are equal there the k-th copy has the
//! k-th result of each. So the first of them numbers the copies, and all are told the columns that tell rows
//! apart: those of `FROM` that the `SELECT` reads, and behind the first window that number. They are told by
//! a last sort key, which the optimiser sees, so that it drops none of these columns, and [`ties_of`]
//! takes off.
//!
//! Invariant: what has the mark are the windows of one `SELECT`; a window over a sub-query that has windows
//! of its own takes their results for columns of `FROM`.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{
    ScalarFunction, WindowFunction, WindowFunctionDefinition, WindowFunctionParams,
};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, Filter, LogicalPlan, PartitionEvaluator, Projection,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, SortExpr, Volatility, Window,
    WindowFrameUnits, WindowUDF, WindowUDFImpl,
};
use thalweg_types::Error;

use crate::text::wrap;

/// The function that numbers equal rows, and its column.
pub(crate) const COPY: &str = "__copy";
/// The function whose arguments are the columns that tell rows apart.
const TIES: &str = "__ties";

/// Marks the windows of each `SELECT` that has several.
///
/// # Errors
/// Whatever the planner says of the parts.
pub(crate) fn mark(plan: LogicalPlan) -> Result<LogicalPlan> {
    let marked = plan.transform_down_with_subqueries(|plan| match plan {
        LogicalPlan::Projection(projection) => {
            match below(&projection.input, &mut projection.expr.clone())? {
                Some(input) => {
                    let projection = Projection::try_new(projection.expr, Arc::new(input))?;
                    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
                }
                None => Ok(Transformed::no(LogicalPlan::Projection(projection))),
            }
        }
        plan => Ok(Transformed::no(plan)),
    });
    Ok(marked?.data)
}

/// Returns what a `SELECT` is over with its windows marked; `None` if nothing is to be marked. It reads
/// `read` itself.
fn below(plan: &LogicalPlan, read: &mut Vec<Expr>) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(filter) => {
            read.push(filter.predicate.clone());
            let Some(input) = below(&filter.input, read)? else { return Ok(None) };
            let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
            Ok(Some(LogicalPlan::Filter(filter)))
        }
        LogicalPlan::Window(_) => {
            let (mut windows, mut base) = (Vec::new(), plan);
            while let LogicalPlan::Window(window) = base {
                windows.push(window);
                read.extend(window.window_expr.iter().cloned());
                base = &window.input;
            }
            let calls = windows.iter().flat_map(|window| &window.window_expr).map(call_of);
            // What has no order is refused by whoever lowers it.
            let is_ordered =
                |call: Option<&WindowFunction>| call.is_some_and(|c| !c.params.order_by.is_empty());
            let telling = windows.iter().filter(|window| tells_apart(window)).count();
            match telling > 1 && calls.clone().all(is_ordered) {
                true => marked(&windows, base, read).map(Some),
                false => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// Can equal rows have results that differ? By the clock rows come one after the other.
fn tells_apart(window: &Window) -> bool {
    let schema = window.input.schema();
    let tells =
        |call: &WindowFunction| match (&call.fun, call.params.window_frame.units) {
            (WindowFunctionDefinition::WindowUDF(function), _)
                if ["rank", "dense_rank"].contains(&function.name()) =>
            {
                false
            }
            (WindowFunctionDefinition::WindowUDF(function), _)
                if !["first_value", "last_value"].contains(&function.name()) =>
            {
                true
            }
            (_, WindowFrameUnits::Range) => call.params.order_by.iter().any(|key| {
                matches!(key.expr.get_type(schema), Ok(DataType::Timestamp(_, Some(_))))
            }),
            _ => true,
        };
    window.window_expr.iter().filter_map(call_of).any(tells)
}

/// Returns windows with the mark, the last one of the list over `base`, of which a `SELECT` reads `read`.
fn marked(windows: &[&Window], base: &LogicalPlan, read: &[Expr]) -> Result<LogicalPlan> {
    let schema = base.schema();
    let columns = read.iter().flat_map(Expr::column_refs);
    let columns: BTreeSet<usize> =
        columns.filter_map(|column| schema.maybe_index_of_column(column)).collect();
    let columns = columns.into_iter().map(|column| Expr::from(schema.qualified_field(column)));
    let (mut ties, mut plan) = (columns.collect::<Vec<_>>(), base.clone());
    for window in windows.iter().rev() {
        let calls = window.window_expr.iter().map(|expr| with_ties(expr, &ties));
        let mut calls: Vec<Expr> = calls.collect();
        let copy = Expr::Column(Column::new_unqualified(COPY));
        if !ties.contains(&copy) {
            let first = calls.first().and_then(call_of).map(copy_number);
            calls.splice(..0, first);
            ties.push(copy);
        }
        plan = LogicalPlan::Window(Window::try_new(calls, Arc::new(plan))?);
    }
    Ok(plan)
}

/// Returns the call of a window function with the mark, under the same name.
fn with_ties(expr: &Expr, ties: &[Expr]) -> Expr {
    let Some(call) = call_of(expr) else { return expr.clone() };
    let mut call = call.clone();
    let told = ScalarFunction::new_udf(Arc::new(ScalarUDF::from(Ties::new())), ties.to_vec());
    call.params.order_by.push(SortExpr::new(Expr::ScalarFunction(told), true, false));
    Expr::from(call).alias(expr.schema_name().to_string())
}

/// Returns what numbers equal rows in the order of a call.
fn copy_number(like: &WindowFunction) -> Expr {
    let signature = Signature::nullary(Volatility::Immutable);
    let function = WindowUDF::from(CopyNumber { signature });
    let params = WindowFunctionParams {
        args: Vec::new(),
        filter: None,
        null_treatment: None,
        distinct: false,
        ..like.params.clone()
    };
    let fun = WindowFunctionDefinition::WindowUDF(Arc::new(function));
    Expr::from(WindowFunction { fun, params }).alias(COPY)
}

/// Returns the sort keys of a window function, and the columns that tell rows apart where these leave ties;
/// none where all columns do.
pub(crate) fn ties_of(call: &WindowFunction) -> (&[SortExpr], &[Expr]) {
    let keys = call.params.order_by.as_slice();
    match keys.split_last() {
        Some((SortExpr { expr: Expr::ScalarFunction(told), .. }, keys)) if told.name() == TIES => {
            (keys, &told.args)
        }
        _ => (keys, &[]),
    }
}

/// Returns the call of a window function that an expression is.
pub(crate) fn call_of(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::WindowFunction(call) => Some(call),
        _ => None,
    }
}

/// Names the columns that tell rows apart; nothing computes it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Ties {
    signature: Signature,
}

impl Ties {
    fn new() -> Ties {
        // What it is for is not to be computed once for several windows.
        Ties { signature: Signature::variadic_any(Volatility::Volatile) }
    }
}

impl ScalarUDFImpl for Ties {
    fn name(&self) -> &str {
        TIES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(wrap(Error::internal("the columns that tell rows apart have no value")))
    }
}

/// Numbers equal rows; an operator runs it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CopyNumber {
    signature: Signature,
}

impl WindowUDFImpl for CopyNumber {
    fn name(&self) -> &str {
        COPY
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(arguments.name(), DataType::Int64, false)))
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Err(wrap(Error::internal("equal rows are numbered by an operator")))
    }
}
