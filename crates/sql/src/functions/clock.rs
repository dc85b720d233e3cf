//! Functions that ask for the time: `PROCTIME()`, `NOW()` and the like.
//!
//! They are never called: an expression that holds one reads the wall clock of its epoch, or the
//! watermark that the epoch's rows met, from a hidden column instead. They are volatile so that no
//! optimiser folds them to the time of planning. Those that show a local time show it in UTC:
//! [`crate::local_time`] puts others into their place.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::ScalarUDF;
use thalweg_types::Error;

use super::{Function, Kind};
use crate::text::wrap;

const PROCTIME: &str = "proctime";
const NOW: &str = "now";
const LOCALTIMESTAMP: &str = "localtimestamp";
const CURRENT_DATE: &str = "current_date";
const CURRENT_TIME: &str = "current_time";
/// `CURRENT_WATERMARK(time)`.
pub(crate) const CURRENT_WATERMARK: &str = "current_watermark";
/// Without arguments this one asks for the time; with some it does not.
pub(super) const UNIX_TIMESTAMP: &str = "unix_timestamp";

/// Returns the types through which `TIMESTAMP(3)` becomes what a function of the clock returns;
/// `None` if `name` is no such function.
pub(crate) fn clock_types(name: &str) -> Option<Vec<DataType>> {
    let local = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    match name {
        PROCTIME | NOW => Some(vec![local]),
        LOCALTIMESTAMP => Some(vec![DataType::Timestamp(TimeUnit::Millisecond, None)]),
        CURRENT_DATE => Some(vec![DataType::Date32]),
        CURRENT_TIME => Some(vec![DataType::Time32(TimeUnit::Millisecond)]),
        UNIX_TIMESTAMP => Some(vec![DataType::Timestamp(TimeUnit::Second, None), DataType::Int64]),
        _ => None,
    }
}

/// Does this function make a time attribute?
pub(crate) fn is_processing_time(name: &str) -> bool {
    name == PROCTIME
}

macro_rules! clock {
    ($name:expr, $usage:expr) => {
        Function::new($usage, &[])
            .optional(0)
            .named($name, |_, _| {
                let types = clock_types($name).unwrap_or_default();
                types.into_iter().next_back().unwrap_or(DataType::Null)
            })
            .volatile()
            .body(|_| Err(wrap(Error::internal("the clock was asked outside of a stream"))))
    };
}

pub(super) fn all() -> Vec<Function> {
    vec![
        clock!(PROCTIME, "PROCTIME()"),
        now_function(),
        clock!(LOCALTIMESTAMP, "LOCALTIMESTAMP"),
        clock!(CURRENT_DATE, "CURRENT_DATE").alias("today"),
        clock!(CURRENT_TIME, "CURRENT_TIME").alias("localtime"),
        Function::new("CURRENT_WATERMARK(time)", &[Kind::Moment])
            .named(CURRENT_WATERMARK, |kinds, _| match &kinds[0] {
                DataType::Timestamp(_, zone) => {
                    DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
                }
                _ => DataType::Timestamp(TimeUnit::Millisecond, None),
            })
            .volatile()
            .body(|_| Err(wrap(Error::internal("the watermark was asked outside of a stream")))),
    ]
}

fn now_function() -> Function {
    clock!(NOW, "NOW()").alias("current_timestamp").alias("current_row_timestamp")
}

/// Returns `NOW`.
pub(crate) fn now() -> ScalarUDF {
    ScalarUDF::from(now_function())
}
