//! `STDDEV_POP`, `STDDEV_SAMP`, `VAR_POP` and `VAR_SAMP` of whole numbers, which are whole numbers in
//! Flink, where each division cuts off: (Σx² - (Σx)² / n) / n, or / (n - 1).
//!
//! Invariants: rows can be taken back; what is too large wraps, as all sums of whole numbers do.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use thalweg_plan::function::{Accumulator, AggregateFunction, Rows};
use thalweg_types::{Groups, Result};

/// Returns the aggregate called `name` of an argument of `kind`, if it is one of these.
pub(super) fn function(name: &str, kind: &DataType) -> Option<Arc<dyn AggregateFunction>> {
    let (is_root, is_sample) = match name {
        "stddev_pop" => (true, false),
        "stddev_samp" => (true, true),
        "var_pop" => (false, false),
        "var_samp" => (false, true),
        _ => return None,
    };
    let name = format!("{name}({kind})");
    kind.is_integer().then(|| Arc::new(Spread { name, is_root, is_sample }) as _)
}

#[derive(Clone, Debug)]
struct Spread {
    name: String,
    /// Is it the root of the variance?
    is_root: bool,
    /// Is the mean one that was found in the same sample?
    is_sample: bool,
}

impl AggregateFunction for Spread {
    fn name(&self) -> &str {
        &self.name
    }

    fn result(&self) -> FieldRef {
        Arc::new(Field::new("spread", DataType::Int64, true))
    }

    fn state(&self) -> Vec<FieldRef> {
        let fields = [
            ("count", DataType::Int64),
            ("sum", DataType::Decimal128(38, 0)),
            ("squares", DataType::Decimal128(38, 0)),
        ];
        fields.map(|(name, kind)| Arc::new(Field::new(name, kind, false))).to_vec()
    }

    fn is_retractable(&self) -> bool {
        true
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Spreads { function: self.clone(), sums: Vec::new() }))
    }
}

/// How many numbers, their sum, and the sum of their squares.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: i64,
    sum: i128,
    squares: i128,
}

impl Sums {
    fn add(&mut self, count: i64, sum: i128, squares: i128) {
        self.count = self.count.wrapping_add(count);
        self.sum = self.sum.wrapping_add(sum);
        self.squares = self.squares.wrapping_add(squares);
    }

    fn value(&self, function: &Spread) -> Option<i64> {
        let count = i128::from(self.count);
        let degrees = if function.is_sample { count - 1 } else { count };
        if count <= 0 || degrees == 0 {
            return None;
        }
        let variance = (self.squares - self.sum.wrapping_mul(self.sum) / count) / degrees;
        Some(if function.is_root { (variance as f64).sqrt() as i64 } else { variance as i64 })
    }
}

struct Spreads {
    function: Spread,
    sums: Vec<Sums>,
}

impl Spreads {
    fn of(&self, group: usize) -> Sums {
        self.sums.get(group).copied().unwrap_or_default()
    }
}

impl Accumulator for Spreads {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.sums.resize(rows.total, Sums::default());
        let numbers = cast(&rows.arguments[0], &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        for (row, group) in rows.groups.iter().enumerate() {
            let weight = rows.weight(row);
            if weight != 0 && numbers.is_valid(row) {
                let (number, times) = (i128::from(numbers.value(row)), i128::from(weight));
                let squares = number.wrapping_mul(number).wrapping_mul(times);
                self.sums[*group as usize].add(weight, number.wrapping_mul(times), squares);
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.sums.resize(total, Sums::default());
        let counts = partial[0].as_primitive::<Int64Type>().values();
        let sums = partial[1].as_primitive::<Decimal128Type>().values();
        let squares = partial[2].as_primitive::<Decimal128Type>().values();
        for (row, group) in groups.iter().enumerate() {
            self.sums[*group as usize].add(counts[row], sums[row], squares[row]);
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut all = Vec::with_capacity(groups.len());
        groups.for_each(|group| all.push(self.of(group)));
        let decimals = |part: fn(&Sums) -> i128| {
            let column = Decimal128Array::from_iter_values(all.iter().map(part));
            Arc::new(column.with_data_type(DataType::Decimal128(38, 0))) as ArrayRef
        };
        let counts = Int64Array::from_iter_values(all.iter().map(|sums| sums.count));
        Ok(vec![Arc::new(counts), decimals(|sums| sums.sum), decimals(|sums| sums.squares)])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut values = Vec::with_capacity(groups.len());
        groups.for_each(|group| values.push(self.of(group).value(&self.function)));
        Ok(Arc::new(Int64Array::from(values)))
    }

    fn clear(&mut self) {
        self.sums = Vec::new();
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Sums>()
    }
}
