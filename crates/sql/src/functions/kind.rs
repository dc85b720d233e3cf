//! Functions that are answered while planning, by [`crate::meaning`]: what type an expression has, and
//! whether two periods overlap, which is plain comparisons once the types are known.

use datafusion::arrow::datatypes::DataType;

use super::{Function, Kind};
use crate::rewrite::AS_OF;

/// Name of `TYPEOF`.
pub(crate) const TYPEOF: &str = "typeof";
/// Name of what `(a, b) OVERLAPS (c, d)` becomes.
pub(crate) const OVERLAPS: &str = "overlaps";

pub(super) fn all() -> Vec<Function> {
    let moments = &[Kind::Moment, Kind::Any, Kind::Moment, Kind::Any];
    vec![
        Function::new("TYPEOF(value)", &[Kind::Any]).named(TYPEOF, |_, _| DataType::Utf8View),
        Function::new("(start, end) OVERLAPS (start, end)", moments)
            .named(OVERLAPS, |_, _| DataType::Boolean),
        Function::new("FOR SYSTEM_TIME AS OF time", &[Kind::Any, Kind::Any])
            .optional(1)
            .named(AS_OF, |_, _| DataType::Boolean)
            .volatile(),
    ]
}
