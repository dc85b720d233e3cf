use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use thalweg_plan::window::Assigner;
use thalweg_types::Epoch;

use super::*;

/// Would fail if a window fired before its last millisecond was over, or a moment too late.
#[test]
fn a_window_is_complete_at_its_last_instant() {
    let kind = DataType::Timestamp(TimeUnit::Millisecond, None);
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("end", kind, false)]));
    let assigner = Assigner::Attached;
    let spec = WindowSpec { assigner, basis: TimeBasis::Event, start: 0, end: 0 };
    let due = Due::new(&spec, &schema).unwrap();
    let at = |watermark| Moment { epoch: Epoch(1), clock: EventTime(0), watermark };
    let watermark = |millis| at(EventTime::from_unit(millis, TimeUnit::Millisecond));
    assert_eq!(due.horizon(&watermark(9_998)), 9_999);
    assert_eq!(due.horizon(&watermark(9_999)), 10_000);
    assert_eq!(due.horizon(&at(EventTime::MIN)), i64::MIN);
    assert_eq!(due.horizon(&at(EventTime::MAX)), i64::MAX);
}
