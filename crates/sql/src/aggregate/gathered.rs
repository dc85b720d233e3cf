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
use thalweg_plan::aggregate::multisets::{KeptColumns, Multisets};
use thalweg_plan::function::{Accumulator, AggregateFunction, Entries, Rows};
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
        let rows = Multisets::new(self.kept.clone())?;
        Ok(Box::new(Gatherer { function: self.clone(), rows }))
    }
}

struct Gatherer {
    function: Gathered,
    rows: Multisets,
}

impl Accumulator for Gatherer {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.rows.resize(rows.total);
        let arguments = self.function.arguments.iter();
        let columns: Vec<ArrayRef> = arguments.map(|at| rows.arguments[*at].clone()).collect();
        let kept = self.rows.rows(&columns)?;
        let value = &columns[self.function.first_value];
        let skips_nulls = self.function.finish.skips_nulls();
        let times = self.function.finish.frequency().map(|at| &rows.arguments[at]);
        for (row, group) in rows.groups.iter().enumerate() {
            let weight = rows.weight(row);
            if weight == 0 || skips_nulls && value.is_null(row) {
                continue;
            }
            let times = match times.map(|times| times.as_primitive::<Int64Type>()) {
                None => 1,
                Some(times) if times.is_valid(row) => times.value(row).max(0),
                Some(_) => 0,
            };
            self.rows.add(*group, kept.row(row).as_ref(), weight.saturating_mul(times));
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.rows.merge(groups, &partial[0], total)
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.rows.partial(groups)?])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut taken = self.rows.taken(groups)?;
        if self.function.is_distinct {
            taken.counts.iter_mut().for_each(|count| *count = (*count).min(1));
        }
        taken.columns.drain(..self.function.first_value);
        self.function.finish.result_of(&taken)
    }

    fn track(&mut self) {
        self.rows.track();
    }

    fn take_entries(&mut self, all: bool) -> Result<Entries> {
        self.rows.take_entries(all)
    }

    fn merge_entries(&mut self, entries: &Entries, total: usize) -> Result<()> {
        self.rows.merge_entries(entries, total)
    }

    fn overdrawn(&self) -> Option<u32> {
        self.rows.overdrawn()
    }

    fn clear(&mut self) {
        self.rows.clear();
    }

    fn bytes(&self) -> usize {
        self.rows.bytes()
    }
}
