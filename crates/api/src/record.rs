//! Structs that are rows.

use std::any::type_name;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, NullBufferBuilder, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
pub use thalweg_derive::Record;
use thalweg_types::{Error, Result};

use crate::value::{Reader, Value, Writer, typed};

/// A struct whose fields are the columns of a row, in order; made by `#[derive(Clone, Record)]`.
///
/// ```
/// # extern crate thalweg_api as thalweg;
/// use thalweg::{Record, Timestamp};
///
/// #[derive(Clone, Debug, PartialEq, Record)]
/// struct Reading {
///     sensor: String,
///     #[record(rename = "temperature")]
///     degrees: Option<f64>,
///     at: Timestamp,
/// }
/// let readings = [Reading { sensor: "attic".into(), degrees: Some(21.5), at: Timestamp(0) }];
/// let rows = Reading::write(&readings)?;
/// assert_eq!(rows.schema().field(1).name(), "temperature");
/// assert_eq!(Reading::read(&rows)?, readings);
/// # Ok::<(), thalweg::Error>(())
/// ```
///
/// A type that cannot be a value is an error at its field:
///
/// ```compile_fail,E0277
/// # extern crate thalweg_api as thalweg;
/// #[derive(Clone, thalweg::Record)]
/// struct Visit { duration: std::time::Duration }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no row, and no value of one",
    label = "no row, and no value of one",
    note = "a row is a struct with #[derive(Clone, Record)]; values are bool, i8 to i64, f32, f64, \
            String, Timestamp, Date, Decimal, Vec<u8>, Vec and Option of values, and such structs"
)]
pub trait Record: Clone + Send + Sync + Sized + 'static {
    /// Reads its columns.
    type Rows: ReadRows<Self>;
    /// Writes its columns.
    type Columns: WriteRows<Self>;

    /// Returns the fields of the columns.
    fn fields() -> Vec<Field>;

    /// Returns the columns.
    fn schema() -> SchemaRef;

    /// Returns what reads a batch of this schema.
    ///
    /// # Errors
    /// `Data` if a value is NULL that no `Option` takes.
    fn rows(batch: &RecordBatch) -> Result<Self::Rows> {
        Self::Rows::open(batch.columns(), None)
    }

    /// Returns the rows of a batch of this schema.
    ///
    /// # Errors
    /// `Data` if a value is NULL that no `Option` takes.
    fn read(batch: &RecordBatch) -> Result<Vec<Self>> {
        let rows = Self::rows(batch)?;
        Ok((0..batch.num_rows()).map(|row| rows.get(row)).collect())
    }

    /// Puts the rows of a batch of this schema in the place of `records`, whose memory is used again: to read batch
    /// after batch costs no allocation for texts that are not longer than those before.
    ///
    /// # Errors
    /// As [`Record::read`]; `records` are as they were then.
    fn read_into(batch: &RecordBatch, records: &mut Vec<Self>) -> Result<()> {
        let rows = Self::rows(batch)?;
        records.truncate(batch.num_rows());
        let there = records.len();
        for (row, record) in records.iter_mut().enumerate() {
            rows.fill(row, record);
        }
        records.extend((there..batch.num_rows()).map(|row| rows.get(row)));
        Ok(())
    }

    /// Makes a batch of rows.
    ///
    /// # Errors
    /// None that values can cause.
    fn write(records: &[Self]) -> Result<RecordBatch> {
        let mut columns = Self::Columns::with_capacity(records.len());
        records.iter().for_each(|record| columns.push(record));
        batch::<Self>(columns, records.len())
    }
}

/// Returns the batch that was written.
///
/// # Errors
/// None that values can cause.
pub(crate) fn batch<T: Record>(mut columns: T::Columns, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(T::schema(), columns.finish(), &options)?)
}

/// Returns columns of structs as one column.
///
/// # Errors
/// `Internal` if the columns are others.
pub(crate) fn structs<T: Record>(columns: Vec<ArrayRef>) -> Result<ArrayRef> {
    Ok(Arc::new(StructArray::try_new(nested::<T>(), columns, None)?))
}

/// Checks that columns are the fields of a struct.
///
/// # Errors
/// `Invalid`, saying of each column what is wrong with it.
pub(crate) fn fits<T: Record>(found: &[Field]) -> Result<()> {
    let wanted = T::fields();
    let mut wrong = Vec::new();
    for at in 0..found.len().max(wanted.len()) {
        let text = match (found.get(at), wanted.get(at)) {
            (Some(column), Some(field)) if column.data_type() == field.data_type() => continue,
            (Some(column), Some(field)) => {
                format!("{} is no {}", said(column), said(field))
            }
            (Some(column), None) => format!("there is no field for {}", said(column)),
            (None, Some(field)) => format!("there is no column for {}", said(field)),
            (None, None) => continue,
        };
        wrong.push(format!("column {}: {text}", at + 1));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => {
            Err(Error::invalid(format!("the rows are no {}: {}", name_of::<T>(), wrong.join("; ")))
                .remedy("the fields of the struct are the columns, in order"))
        }
    }
}

/// Returns a column with its type as Rust has it.
fn said(field: &Field) -> String {
    format!("`{}` ({})", field.name(), rust_type(field.data_type()))
}

/// Returns a type as Rust has it.
fn rust_type(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "bool".to_owned(),
        DataType::Int8 => "i8".to_owned(),
        DataType::Int16 => "i16".to_owned(),
        DataType::Int32 => "i32".to_owned(),
        DataType::Int64 => "i64".to_owned(),
        DataType::Float32 => "f32".to_owned(),
        DataType::Float64 => "f64".to_owned(),
        DataType::Utf8View => "String".to_owned(),
        DataType::Binary => "Vec<u8>".to_owned(),
        DataType::Timestamp(TimeUnit::Millisecond, None) => "Timestamp".to_owned(),
        DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => "Instant".to_owned(),
        DataType::Date32 => "Date".to_owned(),
        DataType::Time32(TimeUnit::Millisecond) => "Time".to_owned(),
        DataType::Decimal128(precision, scale) => format!("Decimal<{precision}, {scale}>"),
        DataType::List(item) => format!("Vec<{}>", rust_type(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) => {
                let sides: Vec<String> = entry.iter().map(|f| rust_type(f.data_type())).collect();
                format!("BTreeMap<{}>", sides.join(", "))
            }
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|f| format!("{}: {}", f.name(), rust_type(f.data_type())))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Returns the name of a type without its path.
pub(crate) fn name_of<T>() -> &'static str {
    let name = type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

/// Calls a function with each row of a batch. The rows share their memory.
///
/// # Errors
/// `Data` if a value is NULL that no `Option` takes.
pub(crate) fn each<T: Record>(batch: &RecordBatch, mut function: impl FnMut(&T)) -> Result<()> {
    if batch.num_rows() == 0 {
        return Ok(());
    }
    let rows = T::rows(batch)?;
    let mut record = rows.get(0);
    function(&record);
    for row in 1..batch.num_rows() {
        rows.fill(row, &mut record);
        function(&record);
    }
    Ok(())
}

/// Reads the columns of structs.
pub trait ReadRows<T>: Sized {
    /// Opens columns, of which the rows that are valid in `needed` are going to be read; all if there
    /// is none.
    ///
    /// # Errors
    /// `Data` if one of these is missing, `Internal` if columns are missing or of other types.
    fn open(columns: &[ArrayRef], needed: Option<&NullBuffer>) -> Result<Self>;

    /// Returns a row.
    fn get(&self, row: usize) -> T;

    /// Puts a row in the place of another one, whose memory may be used.
    fn fill(&self, row: usize, record: &mut T);
}

/// Writes structs to columns.
pub trait WriteRows<T>: Sized {
    /// Returns columns without rows, with room for some.
    fn with_capacity(rows: usize) -> Self;

    /// Adds a row.
    fn push(&mut self, record: &T);

    /// Adds a row without values.
    fn push_missing(&mut self);

    /// Returns the columns, and begins empty ones.
    fn finish(&mut self) -> Vec<ArrayRef>;
}

/// Returns the schema of a struct; what is derived keeps it.
#[doc(hidden)]
pub fn schema<T: Record>() -> SchemaRef {
    Arc::new(Schema::new(T::fields()))
}

/// Opens the column of a field; for what is derived.
///
/// # Errors
/// As [`Reader::open`], naming the field.
#[doc(hidden)]
pub fn open<V: Value>(
    column: Option<&ArrayRef>,
    field: &str,
    needed: Option<&NullBuffer>,
) -> Result<V::Reader> {
    let column = column.ok_or_else(|| {
        Error::internal(format!("a batch has no column for the field `{field}` of a struct"))
    })?;
    V::Reader::open(column, needed).map_err(|error| error.context(format!("field `{field}`")))
}

/// Returns the fields of a record within another. As SQL's, they may be missing whatever the struct says.
fn nested<R: Record>() -> Fields {
    R::fields().into_iter().map(|field| field.with_nullable(true)).collect()
}

/// Reads records that are values of another one.
pub struct Records<R: Record>(R::Rows);

/// Writes records that are values of another one.
pub struct RecordWriter<R: Record> {
    columns: R::Columns,
    valid: NullBufferBuilder,
}

impl<R: Record> Value for R {
    type Reader = Records<R>;
    type Writer = RecordWriter<R>;

    fn data_type() -> DataType {
        DataType::Struct(nested::<R>())
    }
}

impl<R: Record> Reader<R> for Records<R> {
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self> {
        let records: StructArray = typed(column, needed)?;
        let needed = NullBuffer::union(needed, records.nulls());
        Ok(Records(R::Rows::open(records.columns(), needed.as_ref())?))
    }

    #[inline]
    fn get(&self, row: usize) -> R {
        self.0.get(row)
    }

    #[inline]
    fn fill(&self, row: usize, value: &mut R) {
        self.0.fill(row, value);
    }
}

impl<R: Record> Writer<R> for RecordWriter<R> {
    fn with_capacity(rows: usize) -> Self {
        let (columns, valid) = (R::Columns::with_capacity(rows), NullBufferBuilder::new(rows));
        RecordWriter { columns, valid }
    }

    #[inline]
    fn push(&mut self, value: &R) {
        self.columns.push(value);
        self.valid.append_non_null();
    }

    fn push_missing(&mut self) {
        self.columns.push_missing();
        self.valid.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let (columns, valid) = (self.columns.finish(), self.valid.finish());
        Arc::new(StructArray::new(nested::<R>(), columns, valid))
    }
}

#[cfg(test)]
mod tests;
