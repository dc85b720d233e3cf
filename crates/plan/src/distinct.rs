//! Calls that count equal arguments once: which of them share what they keep, and the columns of the
//! partial states of an aggregation.
//!
//! `COUNT(DISTINCT a)`, `COUNT(DISTINCT a) FILTER (WHERE b)` and `SUM(DISTINCT a)` all keep the values
//! of `a` that a group has: once, with how often there is each in all rows, and in those of `b`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};

use crate::node::AggregateCall;

/// Values that some calls of an aggregation keep together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinctSet {
    /// Columns of the values.
    pub arguments: Vec<usize>,
    /// The filters of the calls, each once.
    pub filters: Vec<Option<usize>>,
    /// The calls, and for each which of the filters it has.
    pub calls: Vec<(usize, usize)>,
}

/// Returns the sets of an aggregation, in the order of their first calls.
pub fn distinct_sets(calls: &[AggregateCall]) -> Vec<DistinctSet> {
    let mut sets: Vec<DistinctSet> = Vec::new();
    for (at, call) in calls.iter().enumerate().filter(|(_, call)| call.distinct) {
        let known = sets.iter().position(|set| set.arguments == call.arguments);
        let known = known.unwrap_or_else(|| {
            let (filters, calls) = (Vec::new(), Vec::new());
            sets.push(DistinctSet { arguments: call.arguments.clone(), filters, calls });
            sets.len() - 1
        });
        let set = &mut sets[known];
        let filter = set.filters.iter().position(|filter| *filter == call.filter);
        let filter = filter.unwrap_or_else(|| {
            set.filters.push(call.filter);
            set.filters.len() - 1
        });
        set.calls.push((at, filter));
    }
    sets
}

/// Returns the fields of the partial states of calls over rows of `input`: those of each call that is
/// not distinct, in order, then one for each set.
pub fn state_fields(calls: &[AggregateCall], input: &Schema) -> Vec<Field> {
    let plain = calls.iter().filter(|call| !call.distinct).flat_map(|call| call.function.state());
    let sets = distinct_sets(calls);
    let sets = sets.iter().map(|set| {
        let kinds = set.arguments.iter().map(|column| input.field(*column).data_type());
        let values = kinds.enumerate().map(|(at, kind)| value(at, kind.clone()));
        let counts = (0..set.filters.len())
            .map(|at| Field::new(format!("count{at}"), DataType::Int64, false));
        let item = DataType::Struct(values.chain(counts).collect::<Fields>());
        let list = DataType::List(Arc::new(Field::new("item", item, false)));
        Field::new("values", list, false)
    });
    plain.map(|field| field.as_ref().clone()).chain(sets).collect()
}

fn value(at: usize, kind: DataType) -> Field {
    Field::new(format!("c{at}"), kind, false)
}
