//! Functions that give rows their windows.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{cast, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use thalweg_plan::function::Transform;
use thalweg_plan::window::Assigner;
use thalweg_types::{Change, Error, Moment, Result};

fn whole(column: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn column_of(values: Int64Array, kind: &DataType) -> Result<ArrayRef> {
    Ok(cast(&values, kind)?)
}

/// Appends the window that each row carries to a window operator: its own (tumbling), its slice
/// (hopping, cumulating), or the one it would have alone (sessions); and the window's last time.
#[derive(Debug)]
pub(crate) struct AssignWindow {
    /// The time column.
    pub(crate) time: usize,
    /// In the time column's unit.
    pub(crate) assigner: Assigner,
    pub(crate) schema: SchemaRef,
}

impl Transform for AssignWindow {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let column = input.rows.column(self.time);
        let times = whole(column)?;
        let (starts, ends): (Int64Array, Int64Array) = match self.assigner {
            Assigner::Session { gap } => {
                (times.clone(), times.unary(|time| time.saturating_add(gap)))
            }
            assigner => {
                let slice = assigner.slice();
                let starts: Int64Array = times.unary(|time| assigner.slice_start(time));
                let ends = starts.unary(|start: i64| start + slice);
                (starts, ends)
            }
        };
        let last: Int64Array = ends.unary(|end: i64| end - 1);
        let kind = column.data_type();
        let mut columns = input.rows.columns().to_vec();
        for values in [starts, ends, last] {
            columns.push(column_of(values, kind)?);
        }
        let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        out.push(Change { rows, weights: input.weights.clone() });
        Ok(())
    }

    fn explain(&self) -> String {
        format!("window by {}", self.schema.field(self.time).name())
    }
}

/// Makes a row for each window that holds a row's slice.
#[derive(Debug)]
pub(crate) struct ExpandWindows {
    /// Columns of start, end and last time, as far as they are there; at least one is.
    pub(crate) columns: [Option<usize>; 3],
    pub(crate) assigner: Assigner,
    pub(crate) schema: SchemaRef,
}

impl Transform for ExpandWindows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let slice = self.assigner.slice();
        let found = self.columns.iter().zip([0, slice, slice - 1]);
        let found =
            found.filter_map(|(column, behind)| column.map(|column| (column, behind))).next();
        let (column, behind) =
            found.ok_or_else(|| Error::internal("no window column is left to expand"))?;
        let starts: Int64Array = whole(input.rows.column(column))?.unary(|time: i64| time - behind);
        let (mut rows, mut windows) = (Vec::new(), Vec::new());
        for row in (0..starts.len()).filter(|row| starts.is_valid(*row)) {
            for window in self.assigner.windows_of(starts.value(row)) {
                rows.push(row as u32);
                windows.push(window);
            }
        }
        let rows = UInt32Array::from(rows);
        let change = input.take(&rows)?;
        let mut columns = take_record_batch(&input.rows, &rows)?.columns().to_vec();
        let kind = input.rows.column(column).data_type().clone();
        let values: [Int64Array; 3] = [
            windows.iter().map(|window| window.0).collect(),
            windows.iter().map(|window| window.1).collect(),
            windows.iter().map(|window| window.1 - 1).collect(),
        ];
        for (column, values) in self.columns.iter().zip(values) {
            if let Some(column) = column {
                columns[*column] = column_of(values, &kind)?;
            }
        }
        let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        out.push(Change { rows, weights: change.weights });
        Ok(())
    }

    fn explain(&self) -> String {
        "expand windows".to_owned()
    }
}

/// Where a column of a result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// A column of the input.
    Column(usize),
    /// The last time of the window that ends in a column.
    LastOf(usize),
}

/// Puts columns into another order.
#[derive(Debug)]
pub(crate) struct Reorder {
    pub(crate) picks: Vec<Pick>,
    pub(crate) schema: SchemaRef,
}

impl Transform for Reorder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let columns = self.picks.iter().zip(self.schema.fields()).map(|(pick, field)| {
            let column = match pick {
                Pick::Column(column) => input.rows.column(*column).clone(),
                Pick::LastOf(column) => {
                    let ends = input.rows.column(*column);
                    let last = whole(ends)?.unary::<_, Int64Type>(|end| end - 1);
                    column_of(last, ends.data_type())?
                }
            };
            Ok(match column.data_type() == field.data_type() {
                true => column,
                false => cast(&column, field.data_type())?,
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = datafusion::arrow::array::RecordBatchOptions::new();
        let options = options.with_row_count(Some(input.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        out.push(Change { rows, weights: input.weights.clone() });
        Ok(())
    }

    fn explain(&self) -> String {
        let names: Vec<&str> =
            self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        format!("pick {}", names.join(", "))
    }
}
