//! Aggregates that keep one of the values they saw: the least, the greatest, the first, the last.
//!
//! Invariants: NULLs never count; a rule decides by the new value and the kept one alone, so a
//! merge of partial states is an update with them. Rows cannot be taken back, since what would
//! take the place of a value is not kept.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, PrimitiveArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use thalweg_types::{Error, Groups, Result};

use crate::function::{Accumulator, Rows};

/// Decides which of two values is kept.
pub(super) trait Rule: Debug + Send + 'static {
    /// The aggregate's name, for errors.
    const NAME: &str;

    /// Does a new value take the place of the kept one?
    fn replaces<N: ArrowNativeTypeOp>(new: N, kept: N) -> bool;

    /// Does a new text take the place of the kept one?
    fn replaces_text(new: &str, kept: &str) -> bool;
}

pub(super) fn accumulator<R: Rule>(argument: &DataType) -> Result<Box<dyn Accumulator>> {
    macro_rules! of {
        ($kind:ty) => {
            Box::new(Kept::<$kind, R>::new(argument.clone()))
        };
    }
    use TimeUnit as U;
    Ok(match argument {
        // A boolean is kept as 0 or 1.
        DataType::Boolean | DataType::UInt8 => of!(UInt8Type),
        DataType::UInt16 => of!(UInt16Type),
        DataType::UInt32 => of!(UInt32Type),
        DataType::UInt64 => of!(UInt64Type),
        DataType::Int8 => of!(Int8Type),
        DataType::Int16 => of!(Int16Type),
        DataType::Int32 => of!(Int32Type),
        DataType::Int64 => of!(Int64Type),
        DataType::Float32 => of!(Float32Type),
        DataType::Float64 => of!(Float64Type),
        DataType::Decimal128(_, _) => of!(Decimal128Type),
        DataType::Date32 => of!(Date32Type),
        DataType::Date64 => of!(Date64Type),
        DataType::Time32(U::Second) => of!(Time32SecondType),
        DataType::Time32(_) => of!(Time32MillisecondType),
        DataType::Time64(U::Microsecond) => of!(Time64MicrosecondType),
        DataType::Time64(_) => of!(Time64NanosecondType),
        DataType::Timestamp(U::Second, _) => of!(TimestampSecondType),
        DataType::Timestamp(U::Millisecond, _) => of!(TimestampMillisecondType),
        DataType::Timestamp(U::Microsecond, _) => of!(TimestampMicrosecondType),
        DataType::Timestamp(U::Nanosecond, _) => of!(TimestampNanosecondType),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Box::new(KeptText::<R>::new(argument.clone()))
        }
        other => return Err(Error::invalid(format!("{} of {other} is not supported", R::NAME))),
    })
}

/// Calls `f` with each row that counts: its group and its place.
fn each_row<R: Rule>(
    rows: Rows<'_>,
    values: &dyn Array,
    mut f: impl FnMut(usize, usize),
) -> Result<()> {
    if rows.filter.is_none() && rows.weights.is_none() && values.null_count() == 0 {
        rows.groups.iter().enumerate().for_each(|(row, group)| f(*group as usize, row));
        return Ok(());
    }
    for (row, group) in rows.groups.iter().enumerate() {
        match rows.weight(row) {
            0 => {}
            weight if weight < 0 => {
                return Err(Error::internal(format!("a row was taken back from {}", R::NAME)));
            }
            _ if values.is_valid(row) => f(*group as usize, row),
            _ => {}
        }
    }
    Ok(())
}

/// One value of a fixed width for each group.
#[derive(Debug)]
struct Kept<T: ArrowPrimitiveType, R> {
    kind: DataType,
    values: Vec<Option<T::Native>>,
    rule: PhantomData<R>,
}

impl<T: ArrowPrimitiveType, R: Rule> Kept<T, R> {
    fn new(kind: DataType) -> Kept<T, R> {
        Kept { kind, values: Vec::new(), rule: PhantomData }
    }

    /// Returns a column as it is kept.
    fn stored(&self, column: &ArrayRef) -> Result<PrimitiveArray<T>> {
        match self.kind {
            DataType::Boolean => Ok(cast(column, &T::DATA_TYPE)?.as_primitive::<T>().clone()),
            _ => Ok(column.as_primitive::<T>().clone()),
        }
    }

    #[inline]
    fn add(&mut self, group: usize, value: T::Native) {
        let kept = &mut self.values[group];
        if kept.is_none_or(|kept| R::replaces(value, kept)) {
            *kept = Some(value);
        }
    }
}

impl<T: ArrowPrimitiveType, R: Rule> Accumulator for Kept<T, R> {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.values.resize(rows.total, None);
        let column = self.stored(&rows.arguments[0])?;
        let values = column.values();
        each_row::<R>(rows, &column, |group, row| self.add(group, values[row]))
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.values.resize(total, None);
        let column = self.stored(&partial[0])?;
        for (group, value) in groups.iter().zip(&column) {
            if let Some(value) = value {
                self.add(*group as usize, value);
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
        let values = PrimitiveArray::<T>::from_iter(values);
        match self.kind {
            DataType::Boolean => Ok(cast(&values, &DataType::Boolean)?),
            _ => Ok(Arc::new(values.with_data_type(self.kind.clone()))),
        }
    }

    fn clear(&mut self) {
        self.values = Vec::new();
    }

    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<T::Native>>()
    }
}

/// One text for each group.
#[derive(Debug)]
struct KeptText<R> {
    kind: DataType,
    values: Vec<Option<Box<str>>>,
    /// Bytes of all texts, so that asking for the size costs nothing.
    text_bytes: usize,
    rule: PhantomData<R>,
}

impl<R: Rule> KeptText<R> {
    fn new(kind: DataType) -> KeptText<R> {
        KeptText { kind, values: Vec::new(), text_bytes: 0, rule: PhantomData }
    }

    fn add(&mut self, group: usize, value: &str) {
        let kept = &mut self.values[group];
        if kept.as_deref().is_none_or(|kept| R::replaces_text(value, kept)) {
            self.text_bytes += value.len();
            self.text_bytes -= kept.as_deref().map_or(0, str::len);
            *kept = Some(value.into());
        }
    }
}

impl<R: Rule> Accumulator for KeptText<R> {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.values.resize(rows.total, None);
        let column = cast(&rows.arguments[0], &DataType::Utf8View)?;
        let values = column.as_string_view();
        each_row::<R>(rows, values, |group, row| self.add(group, values.value(row)))
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.values.resize(total, None);
        let column = cast(&partial[0], &DataType::Utf8View)?;
        for (group, value) in groups.iter().zip(column.as_string_view()) {
            if let Some(value) = value {
                self.add(*group as usize, value);
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
        (self.values, self.text_bytes) = (Vec::new(), 0);
    }

    fn bytes(&self) -> usize {
        self.text_bytes + self.values.capacity() * size_of::<Option<Box<str>>>()
    }
}
