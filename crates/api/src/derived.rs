//! What derived code names. Nobody else needs it.

pub use arrow::array::ArrayRef;
pub use arrow::buffer::NullBuffer;
pub use arrow::datatypes::{Field, SchemaRef};
pub use thalweg_types::Result;

pub use crate::record::{ReadRows, Record, WriteRows, open, schema};
pub use crate::value::{Reader, Value, Writer};
