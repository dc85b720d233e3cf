//! Functions of Flink's that DataFusion lacks.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringViewBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Returns all functions of this module.
pub(crate) fn all() -> Vec<ScalarUDF> {
    vec![ScalarUDF::from(Split::new())]
}

/// Name of `SPLIT`, which the fused unnest looks for.
pub(crate) const SPLIT: &str = "split";

/// `SPLIT(text, delimiter)`: the parts of a text, as Flink has it; an empty delimiter gives the
/// whole text.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Split {
    signature: Signature,
}

impl Split {
    fn new() -> Split {
        Split { signature: Signature::string(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Split {
    fn name(&self) -> &str {
        SPLIT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let column = |value: &ColumnarValue| -> Result<ArrayRef> {
            Ok(cast(&value.to_array(rows)?, &DataType::Utf8View)?)
        };
        let (texts, delimiters) = (column(&args.args[0])?, column(&args.args[1])?);
        let (texts, delimiters) = (texts.as_string_view(), delimiters.as_string_view());
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for row in 0..texts.len() {
            if texts.is_null(row) || delimiters.is_null(row) {
                lists.append_null();
                continue;
            }
            let (text, delimiter) = (texts.value(row), delimiters.value(row));
            match delimiter.is_empty() {
                true => lists.values().append_value(text),
                false => text.split(delimiter).for_each(|part| lists.values().append_value(part)),
            }
            lists.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(lists.finish())))
    }
}

/// Returns the one-byte delimiter that `value` is, if it is one.
pub(crate) fn one_byte(value: &ScalarValue) -> Option<u8> {
    let text = match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => text,
        _ => return None,
    };
    match text.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    }
}
