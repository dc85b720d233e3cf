//! `MIN` and `MAX` of everything that has an order; rows cannot be taken back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::*;
use thalweg_types::{Error, Groups, Result};

use crate::function::{Accumulator, Rows};

pub(super) fn accumulator(argument: &DataType, is_max: bool) -> Result<Box<dyn Accumulator>> {
    macro_rules! of {
        ($kind:ty) => {
            Box::new(Extreme::<$kind> { kind: argument.clone(), is_max, values: Vec::new() })
        };
    }
    use TimeUnit as U;
    Ok(match argument {
        DataType::Int8 => of!(Int8Type),
        DataType::Int16 => of!(Int16Type),
        DataType::Int32 => of!(Int32Type),
        DataType::Int64 => of!(Int64Type),
        DataType::UInt64 => of!(UInt64Type),
        DataType::Float32 => of!(Float32Type),
        DataType::Float64 => of!(Float64Type),
        DataType::Decimal128(_, _) => of!(Decimal128Type),
        DataType::Date32 => of!(Date32Type),
        DataType::Time32(U::Second) => of!(Time32SecondType),
        DataType::Time32(_) => of!(Time32MillisecondType),
        DataType::Time64(U::Microsecond) => of!(Time64MicrosecondType),
        DataType::Time64(_) => of!(Time64NanosecondType),
        DataType::Timestamp(U::Second, _) => of!(TimestampSecondType),
        DataType::Timestamp(U::Millisecond, _) => of!(TimestampMillisecondType),
        DataType::Timestamp(U::Microsecond, _) => of!(TimestampMicrosecondType),
        DataType::Timestamp(U::Nanosecond, _) => of!(TimestampNanosecondType),
        DataType::Utf8 | DataType::Utf8View => {
            Box::new(ExtremeText { kind: argument.clone(), is_max, values: Vec::new() })
        }
        other => return Err(Error::invalid(format!("MIN and MAX of {other} are not supported"))),
    })
}

fn not_retractable() -> Error {
    Error::internal("a row was taken back from MIN or MAX")
}

/// The extreme of each group, by the total order of the type.
#[derive(Debug)]
struct Extreme<T: ArrowPrimitiveType> {
    kind: DataType,
    is_max: bool,
    values: Vec<Option<T::Native>>,
}

impl<T: ArrowPrimitiveType> Extreme<T> {
    #[inline]
    fn add(&mut self, group: u32, value: T::Native) {
        let best = &mut self.values[group as usize];
        let is_better = match best {
            None => true,
            Some(best) if self.is_max => value.is_gt(*best),
            Some(best) => value.is_lt(*best),
        };
        if is_better {
            *best = Some(value);
        }
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Extreme<T> {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.values.resize(rows.total, None);
        let values = rows.arguments[0].as_primitive::<T>();
        for (row, group) in rows.groups.iter().enumerate() {
            match rows.weight(row) {
                0 => {}
                weight if weight < 0 => return Err(not_retractable()),
                _ if values.is_valid(row) => self.add(*group, values.value(row)),
                _ => {}
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.values.resize(total, None);
        for (group, value) in groups.iter().zip(partial[0].as_primitive::<T>().iter()) {
            if let Some(value) = value {
                self.add(*group, value);
            }
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut values = Vec::with_capacity(groups.len());
        groups.for_each(|group| values.push(self.values.get(group).copied().flatten()));
        let values = PrimitiveArray::<T>::from_iter(values).with_data_type(self.kind.clone());
        Ok(Arc::new(values))
    }

    fn clear(&mut self) {
        self.values = Vec::new();
    }

    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<T::Native>>()
    }
}

/// The extreme text of each group, by bytes.
#[derive(Debug)]
struct ExtremeText {
    kind: DataType,
    is_max: bool,
    values: Vec<Option<Box<str>>>,
}

impl ExtremeText {
    fn add(&mut self, group: u32, value: &str) {
        let best = &mut self.values[group as usize];
        let is_better = match best {
            None => true,
            Some(best) if self.is_max => value > &**best,
            Some(best) => value < &**best,
        };
        if is_better {
            *best = Some(value.into());
        }
    }
}

impl Accumulator for ExtremeText {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.values.resize(rows.total, None);
        let values = cast(&rows.arguments[0], &DataType::Utf8View)?;
        let values = values.as_string_view();
        for (row, group) in rows.groups.iter().enumerate() {
            match rows.weight(row) {
                0 => {}
                weight if weight < 0 => return Err(not_retractable()),
                _ if values.is_valid(row) => self.add(*group, values.value(row)),
                _ => {}
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.values.resize(total, None);
        let values = cast(&partial[0], &DataType::Utf8View)?;
        for (group, value) in groups.iter().zip(values.as_string_view().iter()) {
            if let Some(value) = value {
                self.add(*group, value);
            }
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut values = Vec::with_capacity(groups.len());
        groups.for_each(|group| values.push(self.values.get(group).and_then(|v| v.as_deref())));
        let values: ArrayRef = Arc::new(StringViewArray::from_iter(values));
        Ok(cast(&values, &self.kind)?)
    }

    fn clear(&mut self) {
        self.values = Vec::new();
    }

    fn bytes(&self) -> usize {
        self.values.iter().flatten().map(|value| value.len()).sum::<usize>()
            + self.values.capacity() * 16
    }
}
