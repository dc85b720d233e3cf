//! `TYPEOF`: what type an expression has, which is known when it is planned.

use super::{Function, Kind};

/// Its name, by which [`crate::meaning`] finds and answers it.
pub(crate) const TYPEOF: &str = "typeof";

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("TYPEOF(value)", &[Kind::Any])
            .named(TYPEOF, |_, _| datafusion::arrow::datatypes::DataType::Utf8View),
    ]
}
