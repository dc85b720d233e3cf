//! Aggregates that keep all their values: lists, texts and JSON made of them, and percentiles.
//!
//! Invariants: values are kept in the order of `ORDER BY`, and where that says nothing in their own, so
//! the result depends neither on workers nor on how rows arrive; rows can be taken back. What is stored
//! are the values and how often there is each, never how they are kept.

mod finish;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, SchemaRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::logical_expr::expr::AggregateFunction as AggregateExpr;
use thalweg_plan::function::{Accumulator, AggregateFunction, Rows};
use thalweg_types::{Error, Groups, Result};

use self::finish::Finish;
pub(super) use self::finish::shares;

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
    let kind = |at: usize| schema.field(columns[at]).data_type().clone();
    let arguments = expr.params.args.len();
    let order = expr.params.order_by.iter().enumerate().map(|(at, key)| {
        let options = SortOptions { descending: !key.asc, nulls_first: key.nulls_first };
        (arguments + at, options)
    });
    let values = (0..finish.values()).map(|at| (at, SortOptions::default()));
    let columns_kept: Vec<(usize, SortOptions)> = order.chain(values).collect();
    // Names are part of the stored state.
    let stored = columns_kept.iter().enumerate();
    let stored = stored.map(|(at, (from, _))| Field::new(format!("c{at}"), kind(*from), true));
    let stored = stored.chain([Field::new("count", DataType::Int64, false)]).collect();
    Ok(Some(Arc::new(Gathered {
        name: format!("gathered {}", super::name_of(expr, columns, schema)),
        result: Arc::new(Field::new(expr.func.name(), finish.result(&kind(0)), true)),
        columns: columns_kept,
        stored,
        is_distinct: expr.params.distinct,
        finish,
    })))
}

#[derive(Clone, Debug)]
struct Gathered {
    name: String,
    result: FieldRef,
    /// Which arguments are kept, and how each is sorted: the order first, then the values.
    columns: Vec<(usize, SortOptions)>,
    /// What is stored: those columns, and how often there is such a row.
    stored: Fields,
    is_distinct: bool,
    finish: Finish,
}

impl Gathered {
    /// Returns where the values begin, behind the order.
    fn first_value(&self) -> usize {
        self.columns.len() - self.finish.values()
    }

    fn list(&self) -> FieldRef {
        Arc::new(Field::new("item", DataType::Struct(self.stored.clone()), false))
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
        vec![Arc::new(Field::new("rows", DataType::List(self.list()), false))]
    }

    fn is_retractable(&self) -> bool {
        true
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let fields = self.columns.iter().zip(&self.stored);
        let fields = fields.map(|((_, options), field)| {
            SortField::new_with_options(field.data_type().clone(), *options)
        });
        let converter = RowConverter::new(fields.collect());
        let converter = converter.map_err(|error| Error::invalid(error.to_string()))?;
        let (groups, bytes) = (Vec::new(), 0);
        Ok(Box::new(Gatherer { function: self.clone(), converter, groups, bytes }))
    }
}

/// The rows of a group, in order, as Arrow's row format has them, and how often there is each.
type Kept = BTreeMap<Box<[u8]>, i64>;

/// Bytes of a kept row beside its own.
const ENTRY_BYTES: usize = size_of::<(Box<[u8]>, i64)>();

struct Gatherer {
    function: Gathered,
    converter: RowConverter,
    groups: Vec<Kept>,
    /// Bytes of all kept rows.
    bytes: usize,
}

/// The rows of some groups.
struct Taken {
    /// The columns that are kept, all groups after each other.
    columns: Vec<ArrayRef>,
    /// How often there is each row.
    counts: Vec<i64>,
    /// The rows of each group.
    groups: Vec<Range<usize>>,
}

impl Gatherer {
    fn resize(&mut self, total: usize) {
        self.groups.resize_with(total.max(self.groups.len()), Kept::new);
    }

    /// Adds so many equal rows to a group; takes them back if they are less than none.
    fn add(&mut self, group: usize, row: &[u8], count: i64) {
        let kept = &mut self.groups[group];
        match kept.get_mut(row) {
            None if count == 0 => {}
            None => {
                self.bytes += row.len() + ENTRY_BYTES;
                kept.insert(row.into(), count);
            }
            Some(known) => {
                *known += count;
                if *known == 0 {
                    kept.remove(row);
                    self.bytes -= row.len() + ENTRY_BYTES;
                }
            }
        }
    }

    fn taken(&self, groups: Groups<'_>) -> Result<Taken> {
        let (mut rows, mut counts, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
        let parser = self.converter.parser();
        groups.for_each(|group| {
            let from = rows.len();
            for (row, count) in self.groups.get(group).into_iter().flatten() {
                rows.push(parser.parse(row));
                counts.push(*count);
            }
            ranges.push(from..rows.len());
        });
        let columns = self.converter.convert_rows(rows)?;
        Ok(Taken { columns, counts, groups: ranges })
    }
}

impl Accumulator for Gatherer {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.resize(rows.total);
        let columns = self.function.columns.iter();
        let columns: Vec<ArrayRef> =
            columns.map(|(argument, _)| rows.arguments[*argument].clone()).collect();
        let converted = self.converter.convert_columns(&columns)?;
        let value = &columns[self.function.first_value()];
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
            self.add(*group as usize, converted.row(row).as_ref(), weight.saturating_mul(times));
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.resize(total);
        let lists = partial[0].as_list::<i32>();
        let stored = lists.values().as_struct().columns();
        let Some((counts, columns)) = stored.split_last() else {
            return Err(Error::internal("a state without columns"));
        };
        let counts = counts.as_primitive::<Int64Type>();
        let converted = self.converter.convert_columns(columns)?;
        for (at, group) in groups.iter().enumerate() {
            let (from, to) = (lists.value_offsets()[at], lists.value_offsets()[at + 1]);
            for row in from as usize..to as usize {
                self.add(*group as usize, converted.row(row).as_ref(), counts.value(row));
            }
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let taken = self.taken(groups)?;
        let offsets = OffsetBuffer::from_lengths(taken.groups.iter().map(ExactSizeIterator::len));
        let counts: ArrayRef = Arc::new(Int64Array::from(taken.counts));
        let columns = taken.columns.into_iter().chain([counts]).collect();
        let rows = StructArray::try_new(self.function.stored.clone(), columns, None)?;
        let list = ListArray::try_new(self.function.list(), offsets, Arc::new(rows), None)?;
        Ok(vec![Arc::new(list)])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut taken = self.taken(groups)?;
        if self.function.is_distinct {
            taken.counts.iter_mut().for_each(|count| *count = (*count).min(1));
        }
        taken.columns.drain(..self.function.first_value());
        self.function.finish.result_of(&taken)
    }

    fn clear(&mut self) {
        (self.groups, self.bytes) = (Vec::new(), 0);
    }

    fn bytes(&self) -> usize {
        self.bytes + self.groups.capacity() * size_of::<Kept>()
    }
}
