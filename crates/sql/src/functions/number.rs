//! Functions over numbers.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::numeric::rem;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;

use super::{Function, Kind};

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("MOD(number, divisor)", &[Kind::Number, Kind::Number])
            .named("mod", remainder_type)
            .body(remainder),
    ]
}

/// Whole numbers give BIGINT, all others DOUBLE.
fn remainder_type(kinds: &[DataType]) -> DataType {
    match kinds.iter().all(|kind| kind.is_integer() || *kind == DataType::Null) {
        true => DataType::Int64,
        false => DataType::Float64,
    }
}

fn remainder(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let kinds: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let kind = remainder_type(&kinds);
    let (number, divisor) = (cast(&columns[0], &kind)?, cast(&columns[1], &kind)?);
    Ok(rem(&number, &divisor)?)
}
