//! `ROW_NUMBER`, `RANK` and `DENSE_RANK` as planning sees them: BIGINT, as in Flink, where DataFusion's
//! own count in a type without a sign.
//!
//! They are run by operators: see [`crate::lower`].

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use thalweg_types::Error;

use crate::text::wrap;

/// Returns the functions of this module.
pub(crate) fn all() -> Vec<WindowUDF> {
    let function = |name| {
        let signature = Signature::nullary(Volatility::Immutable);
        WindowUDF::from(Numbering { name, signature })
    };
    ["row_number", "rank", "dense_rank"].map(function).to_vec()
}

/// A function that numbers rows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Numbering {
    name: &'static str,
    signature: Signature,
}

impl WindowUDFImpl for Numbering {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(arguments.name(), DataType::Int64, false)))
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Err(wrap(Error::internal(format!("{} is run by an operator", self.name))))
    }
}
