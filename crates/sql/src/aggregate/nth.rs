//! `NTH_VALUE(x, n ORDER BY …)`: DataFusion's wants sorted rows, so the values are collected in order,
//! and one of them is picked when the result is asked for.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{Field, FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::AggregateFunction as AggregateExpr;
use thalweg_plan::function::{Accumulator, AggregateFunction, Entries, Rows};
use thalweg_types::{Error, Groups, Result};

/// Returns the aggregate; `columns` are those of the value, of the number, and of the order.
pub(super) fn function(
    expr: &AggregateExpr,
    columns: &[usize],
    schema: &SchemaRef,
) -> Result<Arc<dyn AggregateFunction>> {
    let number = match expr.params.args.get(1) {
        Some(Expr::Literal(ScalarValue::Int64(Some(number)), _)) if *number != 0 => *number,
        Some(Expr::Literal(ScalarValue::Int32(Some(number)), _)) if *number != 0 => {
            i64::from(*number)
        }
        _ => {
            return Err(Error::invalid("the number of NTH_VALUE is a constant, and not 0")
                .remedy("count from 1, or from the end with -1"));
        }
    };
    let mut list = AggregateExpr { func: array_agg_udaf(), params: expr.params.clone() };
    list.params.args.truncate(1);
    let mut places = columns.to_vec();
    places.remove(1);
    let list = super::wrapped(&list, &places, schema)?;
    let value = schema.field(columns[0]).data_type().clone();
    let result = Arc::new(Field::new("nth_value", value, true));
    let name = format!("nth_value({number}, {})", list.name());
    Ok(Arc::new(Nth { name, number, list, result }))
}

#[derive(Clone, Debug)]
struct Nth {
    name: String,
    number: i64,
    list: Arc<dyn AggregateFunction>,
    result: FieldRef,
}

impl AggregateFunction for Nth {
    fn name(&self) -> &str {
        &self.name
    }

    fn result(&self) -> FieldRef {
        self.result.clone()
    }

    fn state(&self) -> Vec<FieldRef> {
        self.list.state()
    }

    fn entries(&self) -> Vec<FieldRef> {
        self.list.entries()
    }

    fn is_retractable(&self) -> bool {
        self.list.is_retractable()
    }

    fn retractable(&self) -> Option<Arc<dyn AggregateFunction>> {
        Some(Arc::new(Nth { list: self.list.retractable()?, ..self.clone() }))
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Lists { number: self.number, lists: self.list.accumulator()? }))
    }
}

/// The lists of all groups.
struct Lists {
    number: i64,
    lists: Box<dyn Accumulator>,
}

impl Accumulator for Lists {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let mut arguments = rows.arguments.to_vec();
        arguments.remove(1);
        self.lists.update(Rows { arguments: &arguments, ..rows })
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.lists.merge(groups, partial, total)
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        self.lists.partial(groups)
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let lists = self.lists.evaluate(groups)?;
        let lists = lists.as_list::<i32>();
        let place = |row: usize| {
            let (from, to) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
            let place = match self.number {
                number @ 1.. => i64::from(from) + number - 1,
                number => i64::from(to) + number,
            };
            let is_there = lists.is_valid(row) && (i64::from(from)..i64::from(to)).contains(&place);
            is_there.then_some(place as u32)
        };
        let places: UInt32Array = (0..lists.len()).map(place).collect();
        Ok(take(lists.values(), &places, None)?)
    }

    fn track(&mut self) {
        self.lists.track();
    }

    fn take_entries(&mut self, all: bool) -> Result<Entries> {
        self.lists.take_entries(all)
    }

    fn merge_entries(&mut self, entries: &Entries, total: usize) -> Result<()> {
        self.lists.merge_entries(entries, total)
    }

    fn overdrawn(&self) -> Option<u32> {
        self.lists.overdrawn()
    }

    fn clear(&mut self) {
        self.lists.clear();
    }

    fn bytes(&self) -> usize {
        self.lists.bytes()
    }
}
