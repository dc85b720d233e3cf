//! How a row lies in memory: a part of fixed width, and the bytes of its texts and nested values.
//!
//! The fixed part is a bit for each column that says whether it is NULL, then the values of fixed
//! width one after the other. What has no fixed width stands behind each other elsewhere, each
//! as its column's dictionary has it; nested values as Arrow's row format has them. Invariant: equal
//! rows of a store have equal bytes, bit by bit of their values, so they are compared without being read.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, make_array,
};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use thalweg_types::{Error, Result, text};

use super::dictionary::Dictionary;

/// How one column is kept.
#[derive(Debug)]
enum Kind {
    /// Values of so many bytes, at this place of the fixed part.
    Fixed {
        width: usize,
        at: usize,
    },
    /// A bit, as a byte at this place.
    Bit {
        at: usize,
    },
    Text,
    Bytes,
    /// Arrow's row format.
    Nested(RowConverter),
}

#[derive(Debug)]
struct Column {
    of: DataType,
    kind: Kind,
}

/// The layout of the rows of a schema.
#[derive(Debug)]
pub(super) struct Layout {
    columns: Vec<Column>,
    /// Bytes of the fixed part.
    pub(super) fixed: usize,
    /// Is there a column without a fixed width?
    pub(super) is_variable: bool,
}

/// Rows in their layout, not in a store yet.
#[derive(Debug, Default)]
pub struct Encoded {
    /// The fixed parts.
    pub(super) fixed: Vec<u8>,
    /// Bytes of a fixed part.
    pub(super) width: usize,
    /// What has no fixed width.
    pub(super) variable: Vec<u8>,
    /// Where each row's ends in `variable`; none if no column has it.
    pub(super) ends: Vec<usize>,
    /// Columns with a NULL among these rows.
    pub(super) with_nulls: Vec<usize>,
    /// Number of rows.
    pub(super) rows: usize,
}

impl Encoded {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Are there no rows?
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the two parts of a row; rows are equal if both are.
    pub fn row(&self, row: usize) -> (&[u8], &[u8]) {
        let fixed = &self.fixed[row * self.width..(row + 1) * self.width];
        let Some(end) = self.ends.get(row) else { return (fixed, &[]) };
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        (fixed, &self.variable[start..*end])
    }
}

impl Layout {
    pub(super) fn new(schema: &SchemaRef) -> Result<Layout> {
        let mut fixed = schema.fields().len().div_ceil(8);
        let mut columns = Vec::new();
        for field in schema.fields() {
            let of = field.data_type().clone();
            let kind = match &of {
                DataType::Null | DataType::Boolean => Kind::Bit { at: fixed },
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Kind::Bytes,
                other => match other.primitive_width() {
                    Some(width) => Kind::Fixed { width, at: fixed },
                    None => Kind::Nested(converter(field.name(), other)?),
                },
            };
            fixed += match kind {
                Kind::Fixed { width, .. } => width,
                Kind::Bit { .. } => 1,
                _ => 0,
            };
            columns.push(Column { of, kind });
        }
        let is_variable = columns
            .iter()
            .any(|column| matches!(column.kind, Kind::Text | Kind::Bytes | Kind::Nested(_)));
        Ok(Layout { columns, fixed, is_variable })
    }

    /// Brings rows `rows` of `columns` into the layout.
    pub(super) fn encode(
        &self,
        columns: &[ArrayRef],
        rows: &[u32],
        dictionaries: &mut [Dictionary],
    ) -> Result<Encoded> {
        self.check(columns)?;
        let count = rows.len();
        let (fixed, width) = (vec![0; count * self.fixed], self.fixed);
        let mut encoded = Encoded { fixed, width, rows: count, ..Encoded::default() };
        let mut variable = Vec::new();
        for (index, (column, array)) in self.columns.iter().zip(columns).enumerate() {
            let (byte, bit) = (index / 8, 1 << (index % 8));
            if let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
                encoded.with_nulls.push(index);
                for (fixed, row) in encoded.fixed.chunks_exact_mut(width).zip(rows) {
                    fixed[byte] |= if nulls.is_null(*row as usize) { bit } else { 0 };
                }
            }
            match &column.kind {
                Kind::Fixed { width, at } => put_fixed(&mut encoded, (*width, *at), array, rows),
                Kind::Bit { at } => put_bits(&mut encoded, *at, array, rows),
                Kind::Text | Kind::Bytes => variable.push(cast(array, &DataType::BinaryView)?),
                Kind::Nested(converter) => {
                    let nested = converter.convert_columns(std::slice::from_ref(array))?;
                    let nested: ArrayRef = Arc::new(nested.try_into_binary()?);
                    variable.push(cast(&nested, &DataType::BinaryView)?);
                }
            }
        }
        if self.is_variable {
            let kinds = self.columns.iter().enumerate();
            let places: Vec<usize> = kinds.filter(|(_, c)| c.is_variable()).map(|c| c.0).collect();
            let columns: Vec<_> = variable.iter().map(|array| array.as_binary_view()).collect();
            let columns = columns.into_iter().zip(places).zip(dictionaries);
            let columns = columns.map(|((values, at), known)| Variable { values, at, known });
            encoded.put_variable(columns.collect(), rows);
        }
        Ok(encoded)
    }

    fn check(&self, columns: &[ArrayRef]) -> Result<()> {
        let found = columns.iter().map(|column| column.data_type());
        if found.eq(self.columns.iter().map(|column| &column.of)) {
            return Ok(());
        }
        Err(Error::internal("rows of other columns than their store's"))
    }

    /// Returns the number of columns without a fixed width; each has a dictionary.
    pub(super) fn variable_columns(&self) -> usize {
        self.columns.iter().filter(|column| column.is_variable()).count()
    }

    /// Returns the columns of some rows, given by their two parts; `has_nulls` says which columns can
    /// hold a NULL.
    pub(super) fn decode<'a>(
        &self,
        wanted: &[usize],
        (has_nulls, dictionaries): (&[bool], &'a [Dictionary]),
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<Vec<ArrayRef>> {
        let mut texts = match wanted.iter().any(|at| self.columns[*at].is_variable()) {
            true => self.variable(wanted, dictionaries, rows.clone())?,
            false => Vec::new(),
        }
        .into_iter();
        let columns = wanted.iter().map(|index| {
            let column = &self.columns[*index];
            let nulls = if has_nulls[*index] { nulls_of(*index, rows.clone()) } else { None };
            match &column.kind {
                Kind::Fixed { width, at } => {
                    get_fixed((*width, *at), &column.of, nulls, rows.clone())
                }
                Kind::Bit { .. } if column.of == DataType::Null => {
                    Ok(arrow::array::new_null_array(&DataType::Null, rows.clone().count()))
                }
                Kind::Bit { at } => {
                    let values = rows.clone().map(|(fixed, _)| fixed[*at] != 0).collect();
                    Ok(Arc::new(BooleanArray::new(values, nulls)) as ArrayRef)
                }
                _ => texts
                    .next()
                    .expect("each column without a width was read")
                    .finish(column, nulls),
            }
        });
        columns.collect()
    }

    /// Reads the wanted columns without a fixed width, row by row.
    fn variable<'a>(
        &self,
        wanted: &[usize],
        dictionaries: &'a [Dictionary],
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Vec<Pieces>> {
        let mut target = vec![None; self.columns.len()];
        let mut pieces = Vec::new();
        for index in wanted.iter().filter(|index| self.columns[**index].is_variable()) {
            target[*index] = Some(pieces.len());
            pieces.push(Pieces::default());
        }
        let targets: Vec<(usize, Option<usize>)> = target
            .into_iter()
            .enumerate()
            .filter(|(index, _)| self.columns[*index].is_variable())
            .collect();
        for (fixed, variable) in rows {
            let mut rest = variable;
            for ((index, target), dictionary) in targets.iter().zip(dictionaries) {
                let is_null = fixed[index / 8] & (1 << (index % 8)) != 0;
                let piece = if is_null { &[] } else { dictionary.take(&mut rest) };
                if let Some(target) = target {
                    pieces[*target].push(piece);
                }
            }
        }
        Ok(pieces)
    }
}

impl Column {
    fn is_variable(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Bytes | Kind::Nested(_))
    }
}

/// A column without a fixed width that is encoded.
struct Variable<'a> {
    values: &'a BinaryViewArray,
    /// Its place among all columns.
    at: usize,
    known: &'a mut Dictionary,
}

impl Encoded {
    /// Writes the values without a fixed width behind each other, row by row.
    fn put_variable(&mut self, mut columns: Vec<Variable>, rows: &[u32]) {
        self.ends.reserve(rows.len());
        let numbers: Vec<Vec<u32>> = columns
            .iter_mut()
            .map(|Variable { values, known, .. }| {
                // What stands below a NULL is nothing.
                let value = |row: &u32| match values.is_null(*row as usize) {
                    true => &[],
                    false => values.value(*row as usize),
                };
                known.find(rows.iter().map(value))
            })
            .collect();
        for (place, row) in rows.iter().enumerate() {
            let fixed = &self.fixed[place * self.width..];
            for (column, numbers) in columns.iter().zip(&numbers) {
                if fixed[column.at / 8] & (1 << (column.at % 8)) == 0 {
                    let value = column.values.value(*row as usize);
                    Dictionary::put(numbers[place], value, &mut self.variable);
                }
            }
            self.ends.push(self.variable.len());
        }
    }
}

fn converter(name: &str, kind: &DataType) -> Result<RowConverter> {
    RowConverter::new(vec![SortField::new(kind.clone())]).map_err(|error| {
        Error::invalid(format!("column `{name}` of type {kind} cannot be kept: {error}"))
    })
}

fn put_fixed(encoded: &mut Encoded, (width, at): (usize, usize), array: &ArrayRef, rows: &[u32]) {
    let data = array.to_data();
    let bytes = &data.buffers()[0].as_slice()[data.offset() * width..];
    // A width known when compiling makes a move of each copy.
    match width {
        1 => put::<1>(encoded, at, bytes, rows),
        2 => put::<2>(encoded, at, bytes, rows),
        4 => put::<4>(encoded, at, bytes, rows),
        8 => put::<8>(encoded, at, bytes, rows),
        16 => put::<16>(encoded, at, bytes, rows),
        _ => put::<32>(encoded, at, bytes, rows),
    }
    if array.null_count() > 0 {
        // What stands below a NULL is no part of the row.
        for (fixed, row) in encoded.fixed.chunks_exact_mut(encoded.width).zip(rows) {
            if array.is_null(*row as usize) {
                fixed[at..at + width].fill(0);
            }
        }
    }
}

fn put<const WIDTH: usize>(encoded: &mut Encoded, at: usize, bytes: &[u8], rows: &[u32]) {
    let (values, _) = bytes.as_chunks::<WIDTH>();
    for (fixed, row) in encoded.fixed.chunks_exact_mut(encoded.width).zip(rows) {
        fixed[at..at + WIDTH].copy_from_slice(&values[*row as usize]);
    }
}

fn put_bits(encoded: &mut Encoded, at: usize, array: &ArrayRef, rows: &[u32]) {
    let Some(bits) = array.as_boolean_opt() else { return };
    for (fixed, row) in encoded.fixed.chunks_exact_mut(encoded.width).zip(rows) {
        let row = *row as usize;
        fixed[at] = u8::from(bits.is_valid(row) && bits.value(row));
    }
}

fn nulls_of<'a>(
    index: usize,
    rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Option<NullBuffer> {
    let (byte, bit) = (index / 8, 1 << (index % 8));
    let nulls: NullBuffer = rows.map(|(fixed, _)| fixed[byte] & bit == 0).collect();
    (nulls.null_count() > 0).then_some(nulls)
}

fn get_fixed<'a>(
    (width, at): (usize, usize),
    kind: &DataType,
    nulls: Option<NullBuffer>,
    rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<ArrayRef> {
    let fixed = rows.map(|(fixed, _)| &fixed[at..]);
    let (count, bytes) = match width {
        1 => get::<1>(fixed),
        2 => get::<2>(fixed),
        4 => get::<4>(fixed),
        8 => get::<8>(fixed),
        16 => get::<16>(fixed),
        _ => get::<32>(fixed),
    };
    let data = arrow::array::ArrayData::builder(kind.clone())
        .len(count)
        .nulls(nulls)
        .add_buffer(bytes)
        .align_buffers(true)
        .build()?;
    Ok(make_array(data))
}

fn get<'a, const WIDTH: usize>(fixed: impl Iterator<Item = &'a [u8]>) -> (usize, Buffer) {
    let mut values: Vec<[u8; WIDTH]> = Vec::new();
    values.extend(fixed.map(|bytes| *bytes.first_chunk::<WIDTH>().expect("a row has its width")));
    (values.len(), Buffer::from(values.as_flattened()))
}

/// The values of one column, behind each other.
#[derive(Default)]
struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(self.bytes.len());
    }

    fn ranges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied())
    }

    fn finish(mut self, column: &Column, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let bytes = Buffer::from_vec(std::mem::take(&mut self.bytes));
        let array: ArrayRef = match &column.kind {
            Kind::Text => {
                let texts = text::cut_block(&bytes, self.ranges(), nulls);
                Arc::new(texts.ok_or_else(|| Error::internal("kept text is not UTF-8"))?)
            }
            Kind::Nested(converter) => return nested(converter, &bytes, &self, nulls),
            _ => {
                let pieces = self.ranges().enumerate().map(|(row, (from, to))| {
                    let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                    (!is_null).then(|| &bytes[from..to])
                });
                Arc::new(BinaryArray::from_iter(pieces))
            }
        };
        match array.data_type() == &column.of {
            true => Ok(array),
            false => Ok(cast(&array, &column.of)?),
        }
    }
}

/// Reads nested values; NULLs have no bytes of their own, so they are put in afterwards.
fn nested(
    converter: &RowConverter,
    bytes: &Buffer,
    pieces: &Pieces,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let parser = converter.parser();
    let rows = pieces.ranges().filter(|(from, to)| from < to);
    let rows = rows.map(|(from, to)| parser.parse(&bytes[from..to]));
    let mut columns = converter.convert_rows(rows)?;
    let values = columns.pop().ok_or_else(|| Error::internal("a column was not read"))?;
    let Some(nulls) = nulls else { return Ok(values) };
    let mut next = 0;
    let places = nulls.iter().map(|is_valid| {
        is_valid.then(|| {
            next += 1;
            next - 1
        })
    });
    let places: arrow::array::UInt32Array = places.collect();
    Ok(arrow::compute::take(&values, &places, None)?)
}
