//! Aggregates that keep all their values: lists, texts and JSON made of them, percentiles, and what is
//! computed anew from all of them where rows can be taken back.
//!
//! Invariants: values are kept in the order of `ORDER BY`, and where that says nothing in their own, so
//! the result depends neither on workers nor on how rows arrive; rows can be taken back.

mod finish;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Field, FieldRef, Int64Type, SchemaRef};
use datafusion::logical_expr::expr::AggregateFunction as AggregateExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use thalweg_plan::aggregate::multisets::{Keeper, KeptColumns, Multisets, OverRows};
use thalweg_plan::function::{Accumulator, AggregateFunction, Rows};
use thalweg_types::{Groups, Result};

use self::finish::Finish;
pub(super) use self::finish::shares;

/// Is `expr` one of these?
///
/// # Errors
/// As [`function`].
pub(super) fn is_one(expr: &AggregateExpr) -> Result<bool> {
    Ok(Finish::of(expr)?.is_some())
}

/// Returns the aggregate of `expr`, if it is one of these; `columns` are those of its arguments and of
/// its order.
///
/// # Errors
/// `Invalid` if a separator or a share is no constant.
pub(super) fn function(
    expr: &AggregateExpr,
    columns: &[usize],
    schema: &SchemaRef,
) -> Result<Option<Arc<dyn AggregateFunction>>> {
    let Some(finish) = Finish::of(expr)? else { return Ok(None) };
    let arguments = expr.params.args.len();
    let order = expr.params.order_by.iter().enumerate().map(|(at, key)| {
        let options = SortOptions { descending: !key.asc, nulls_first: key.nulls_first };
        (arguments + at, options)
    });
    let kept = [order.collect(), sorted(finish.values())];
    Ok(Some(Arc::new(Gathered::new(expr, (columns, schema), kept, finish))))
}

/// Returns the aggregate of `expr`, which `runs` computes anew from all its rows.
pub(super) fn computed_anew(
    expr: &AggregateExpr,
    columns: &[usize],
    schema: &SchemaRef,
    runs: Arc<AggregateFunctionExpr>,
) -> Result<Arc<dyn AggregateFunction>> {
    let kept = [Vec::new(), sorted(columns.len())];
    let function = Gathered::new(expr, (columns, schema), kept, Finish::Anew(runs));
    function.accumulator()?;
    Ok(Arc::new(function))
}

/// An argument, and how rows are sorted by it.
type Sorted = (usize, SortOptions);

/// Returns the first arguments, each in the order of its values.
fn sorted(count: usize) -> Vec<Sorted> {
    (0..count).map(|at| (at, SortOptions::default())).collect()
}

#[derive(Clone, Debug)]
struct Gathered {
    name: String,
    result: FieldRef,
    /// What is kept: the order first, then the values.
    kept: KeptColumns,
    /// The argument of each kept column.
    arguments: Vec<usize>,
    /// Where the values begin, behind the order.
    first_value: usize,
    is_distinct: bool,
    finish: Finish,
}

impl Gathered {
    fn new(
        expr: &AggregateExpr,
        (columns, schema): (&[usize], &SchemaRef),
        [order, values]: [Vec<Sorted>; 2],
        finish: Finish,
    ) -> Gathered {
        let first_value = order.len();
        let kept: Vec<Sorted> = order.into_iter().chain(values).collect();
        let kind = |at: usize| schema.field(columns[at]).data_type().clone();
        Gathered {
            name: format!("gathered {}", super::name_of(expr, columns, schema)),
            result: Arc::new(Field::new(expr.func.name(), finish.result(&kind(0)), true)),
            kept: KeptColumns::new(kept.iter().map(|(at, options)| (kind(*at), *options))),
            arguments: kept.into_iter().map(|(at, _)| at).collect(),
            first_value,
            is_distinct: expr.params.distinct,
            finish,
        }
    }
}

impl AggregateFunction for Gathered {
    fn name(&self) -> &str {
        &self.name
    }

    fn result(&self) -> FieldRef {
        self.result.clone()
    }

    fn state(&self) -> Vec<FieldRef> {
        vec![self.kept.state()]
    }

    fn entries(&self) -> Vec<FieldRef> {
        self.kept.fields()
    }

    fn is_retractable(&self) -> bool {
        true
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Keeper::new(self.clone(), self.kept.clone())?))
    }
}

impl OverRows for Gathered {
    fn arguments(&self) -> &[usize] {
        &self.arguments
    }

    fn times(&self, rows: &Rows<'_>, columns: &[ArrayRef], row: usize) -> i64 {
        if self.finish.skips_nulls() && columns[self.first_value].is_null(row) {
            return 0;
        }
        let Some(at) = self.finish.frequency() else { return 1 };
        let times = rows.arguments[at].as_primitive::<Int64Type>();
        if times.is_valid(row) { times.value(row).max(0) } else { 0 }
    }

    fn value(&self, rows: &Multisets, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut taken = rows.taken(groups)?;
        if self.is_distinct {
            taken.counts.iter_mut().for_each(|count| *count = (*count).min(1));
        }
        taken.columns.drain(..self.first_value);
        self.finish.result_of(&taken)
    }
}
