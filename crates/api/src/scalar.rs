//! Numbers, texts, bytes and times as values.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder,
    PrimitiveArray, PrimitiveBuilder, StringViewArray, StringViewBuilder,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimeUnit, TimestampMillisecondType,
};
use serde::{Deserialize, Serialize};
use thalweg_types::{Error, EventTime, Result};

use crate::value::{Reader, Value, Writer, typed};

/// A point in time: SQL's `TIMESTAMP(3)`, in milliseconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before all times: the watermark before there is one.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// Behind all times: the watermark at the end of all input.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// Returns the millisecond that an instant of the engine is in.
    pub(crate) fn of(time: EventTime) -> Timestamp {
        match time {
            EventTime::MIN => Timestamp::MIN,
            EventTime::MAX => Timestamp::MAX,
            EventTime(nanos) => Timestamp(nanos.div_euclid(NANOS)),
        }
    }

    /// Returns the instant as the engine counts it.
    pub(crate) fn instant(self) -> EventTime {
        EventTime(self.0.saturating_mul(NANOS))
    }

    /// Reads a time such as `2015-01-01 12:02:00`, with up to nine digits of a second, or one of
    /// 1970-01-01 such as `12:02:00`.
    ///
    /// # Errors
    /// `Invalid` if it is none.
    pub fn parse(text: &str) -> Result<Timestamp> {
        let nanos = string_to_timestamp_nanos(text)
            .or_else(|_| string_to_timestamp_nanos(&format!("1970-01-01 {text}")));
        let nanos = nanos.map_err(|_| {
            let error = Error::invalid(format!("\"{text}\" is no time"));
            error.remedy("write it as \"2015-01-01 12:02:00\" or \"12:02:00\"")
        })?;
        Ok(Timestamp(nanos.div_euclid(1_000_000)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        EventTime::from_unit(self.0, TimeUnit::Millisecond).fmt(f)
    }
}

/// Nanoseconds of a millisecond.
const NANOS: i64 = 1_000_000;

/// An instant, the same in all time zones: SQL's `TIMESTAMP_LTZ(3)`, in milliseconds since 1970 in UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Instant(pub i64);

impl From<Instant> for Timestamp {
    /// Returns what clocks in UTC show then.
    fn from(instant: Instant) -> Timestamp {
        Timestamp(instant.0)
    }
}

impl From<Timestamp> for Instant {
    /// Returns when clocks in UTC show that.
    fn from(time: Timestamp) -> Instant {
        Instant(time.0)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", Timestamp::from(*self))
    }
}

/// A time of day: SQL's `TIME(3)`, in milliseconds since midnight.
///
/// ```
/// assert_eq!(thalweg_api::Time(30_600_250).to_string(), "08:30:00.250");
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub i32);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, millis) = (self.0 / 60_000, self.0 % 60_000);
        let (hour, minute) = (minutes / 60, minutes % 60);
        write!(f, "{hour:02}:{minute:02}:{:02}.{:03}", millis / 1000, millis % 1000)
    }
}

/// A day: SQL's `DATE`, counted from 1970-01-01.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Date(pub i32);

/// An exact number: SQL's `DECIMAL(P, S)`, as a whole number of units of 10⁻ˢ.
///
/// ```
/// let price = thalweg_api::Decimal::<10, 2>(1999);
/// assert_eq!(price.to_string(), "19.99");
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Decimal<const P: u8, const S: i8>(pub i128);

impl<const P: u8, const S: i8> fmt::Display for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&<Decimal128Type as arrow::datatypes::DecimalType>::format_decimal(
            self.0, P, S,
        ))
    }
}

/// A value that Arrow has as a number.
pub trait Number: Copy + Send + Sync + 'static {
    /// The type of the column.
    type Column: ArrowPrimitiveType;

    /// Returns the type of the column, with its parameters.
    fn data_type() -> DataType {
        Self::Column::DATA_TYPE
    }

    /// Returns the value of a number.
    fn of(native: <Self::Column as ArrowPrimitiveType>::Native) -> Self;

    /// Returns the number.
    fn native(self) -> <Self::Column as ArrowPrimitiveType>::Native;
}

/// Reads numbers.
#[derive(Debug)]
pub struct Numbers<N: Number>(ScalarBuffer<<N::Column as ArrowPrimitiveType>::Native>);

impl<N: Number> Reader<N> for Numbers<N> {
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self> {
        Ok(Numbers(typed::<PrimitiveArray<N::Column>>(column, needed)?.values().clone()))
    }

    #[inline]
    fn get(&self, row: usize) -> N {
        N::of(self.0[row])
    }
}

/// Writes numbers.
#[derive(Debug)]
pub struct NumberWriter<N: Number>(PrimitiveBuilder<N::Column>);

impl<N: Number> Writer<N> for NumberWriter<N> {
    fn with_capacity(rows: usize) -> Self {
        let builder = PrimitiveBuilder::with_capacity(rows);
        NumberWriter(builder.with_data_type(N::data_type()))
    }

    #[inline]
    fn push(&mut self, value: &N) {
        self.0.append_value(value.native());
    }

    fn push_missing(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Says that a number is a value. A blanket implementation would collide with that of records.
macro_rules! number_value {
    ($($value:ty),*) => {$(
        impl Value for $value {
            type Reader = Numbers<$value>;
            type Writer = NumberWriter<$value>;

            fn data_type() -> DataType {
                <$value as Number>::data_type()
            }
        }
    )*};
}

macro_rules! native_number {
    ($($value:ty => $column:ty),*) => {$(
        impl Number for $value {
            type Column = $column;

            #[inline]
            fn of(native: $value) -> Self {
                native
            }

            #[inline]
            fn native(self) -> $value {
                self
            }
        }

        number_value!($value);
    )*};
}

native_number!(i8 => Int8Type, i16 => Int16Type, i32 => Int32Type, i64 => Int64Type);
native_number!(f32 => Float32Type, f64 => Float64Type);

macro_rules! wrapped_number {
    ($($value:ident($native:ty) => $column:ty),*) => {$(
        impl Number for $value {
            type Column = $column;

            #[inline]
            fn of(native: $native) -> Self {
                $value(native)
            }

            #[inline]
            fn native(self) -> $native {
                self.0
            }
        }

        number_value!($value);
    )*};
}

wrapped_number!(
    Timestamp(i64) => TimestampMillisecondType, Date(i32) => Date32Type, Time(i32) => Time32MillisecondType
);

impl Number for Instant {
    type Column = TimestampMillisecondType;

    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
    }

    #[inline]
    fn of(native: i64) -> Self {
        Instant(native)
    }

    #[inline]
    fn native(self) -> i64 {
        self.0
    }
}

number_value!(Instant);

impl<const P: u8, const S: i8> Number for Decimal<P, S> {
    type Column = Decimal128Type;

    fn data_type() -> DataType {
        const { assert!(P > 0 && P <= 38 && S >= 0 && S as u8 <= P, "no such DECIMAL") };
        DataType::Decimal128(P, S)
    }

    #[inline]
    fn of(native: i128) -> Self {
        Decimal(native)
    }

    #[inline]
    fn native(self) -> i128 {
        self.0
    }
}

impl<const P: u8, const S: i8> Value for Decimal<P, S> {
    type Reader = Numbers<Self>;
    type Writer = NumberWriter<Self>;

    fn data_type() -> DataType {
        <Self as Number>::data_type()
    }
}

impl Value for bool {
    type Reader = BooleanArray;
    type Writer = BooleanBuilder;

    fn data_type() -> DataType {
        DataType::Boolean
    }
}

impl Reader<bool> for BooleanArray {
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self> {
        typed(column, needed)
    }

    #[inline]
    fn get(&self, row: usize) -> bool {
        self.value(row)
    }
}

impl Writer<bool> for BooleanBuilder {
    fn with_capacity(rows: usize) -> Self {
        BooleanBuilder::with_capacity(rows)
    }

    #[inline]
    fn push(&mut self, value: &bool) {
        self.append_value(*value);
    }

    fn push_missing(&mut self) {
        self.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }
}

impl Value for String {
    type Reader = StringViewArray;
    type Writer = StringViewBuilder;

    fn data_type() -> DataType {
        DataType::Utf8View
    }
}

impl Reader<String> for StringViewArray {
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self> {
        typed(column, needed)
    }

    #[inline]
    fn get(&self, row: usize) -> String {
        self.value(row).to_owned()
    }

    #[inline]
    fn fill(&self, row: usize, value: &mut String) {
        self.value(row).clone_into(value);
    }
}

impl Writer<String> for StringViewBuilder {
    fn with_capacity(rows: usize) -> Self {
        StringViewBuilder::with_capacity(rows)
    }

    #[inline]
    fn push(&mut self, value: &String) {
        self.append_value(value);
    }

    fn push_missing(&mut self) {
        self.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }
}

impl Value for Vec<u8> {
    type Reader = BinaryArray;
    type Writer = BinaryBuilder;

    fn data_type() -> DataType {
        DataType::Binary
    }
}

impl Reader<Vec<u8>> for BinaryArray {
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self> {
        typed(column, needed)
    }

    #[inline]
    fn get(&self, row: usize) -> Vec<u8> {
        self.value(row).to_owned()
    }

    #[inline]
    fn fill(&self, row: usize, value: &mut Vec<u8>) {
        self.value(row).clone_into(value);
    }
}

impl Writer<Vec<u8>> for BinaryBuilder {
    fn with_capacity(rows: usize) -> Self {
        BinaryBuilder::with_capacity(rows, 0)
    }

    #[inline]
    fn push(&mut self, value: &Vec<u8>) {
        self.append_value(value);
    }

    fn push_missing(&mut self) {
        self.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }
}
