//! Aggregations of groups, as nodes of a plan.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_plan::graph::Aggregation;
use thalweg_plan::node::AggregateCall;
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_types::{Error, Result};

use crate::aggregate::{Aggregate, Collect};
use crate::closure::Closure;
use crate::keyed::Keyed;
use crate::record::{Record, each};
use crate::scalar::Timestamp;
use crate::stream::Stream;
use crate::value::{Key, KeyColumns, Value};
use crate::windowing;

impl<'j, T: Record, K: Key> Keyed<'j, T, K> {
    /// Aggregates the rows of each group. The result is updated with each row, so it carries
    /// retractions. The fields of `U` are the key's, and the aggregates' in order. State is kept
    /// under `name`: a program in which it has another meaning must give it another name, since
    /// closures cannot be compared.
    ///
    /// # Errors
    /// `Invalid` if an aggregate cannot take its argument, or `U` is no such row.
    pub fn aggregate<U: Record>(
        self,
        name: &str,
        calls: Vec<Aggregate<T>>,
    ) -> Result<Stream<'j, U>> {
        aggregate(self, None, name, calls)
    }
}

/// Returns the time of a struct.
pub(crate) type TimeOf<T> = Arc<dyn Fn(&T) -> Timestamp + Send + Sync>;

/// Adds an aggregation of groups, or of groups and windows.
pub(crate) fn aggregate<'j, T: Record, K: Key, U: Record>(
    keyed: Keyed<'j, T, K>,
    window: Option<(Assigner, TimeOf<T>)>,
    name: &str,
    calls: Vec<Aggregate<T>>,
) -> Result<Stream<'j, U>> {
    let Keyed { stream, key } = keyed;
    let mut fields = K::fields();
    let (mut collects, mut made): (Vec<Collect<T>>, Vec<AggregateCall>) = (Vec::new(), Vec::new());
    for call in calls {
        let mut arguments = Vec::new();
        if let Some((kind, collect)) = call.argument {
            arguments.push(fields.len());
            fields.push(Field::new(format!("argument{}", collects.len()), kind, true));
            collects.push(collect);
        }
        made.push(AggregateCall {
            function: call.function?,
            arguments,
            filter: None,
            distinct: false,
        });
    }
    let spec = window.as_ref().map(|(assigner, _)| WindowSpec {
        assigner: *assigner,
        basis: TimeBasis::Event,
        start: fields.len(),
        end: fields.len() + 1,
        zone: None,
    });
    if spec.is_some() {
        fields.extend([Timestamp::field("start"), Timestamp::field("end")]);
    }
    let columns = move |rows: &RecordBatch| -> Result<Vec<ArrayRef>> {
        let count = rows.num_rows();
        let mut keys = K::Columns::with_capacity(count);
        let mut arguments: Vec<_> = collects.iter().map(|collect| collect(count)).collect();
        let mut times = Vec::new();
        each(rows, |record: &T| {
            keys.push(&key(record));
            arguments.iter_mut().for_each(|argument| argument.push(record));
            times.extend(window.iter().map(|(_, time)| time(record)));
        })?;
        let mut columns = keys.finish();
        columns.extend(arguments.iter_mut().map(|argument| argument.finish()));
        if let Some((assigner, _)) = &window {
            columns.extend(windowing::columns(&times, *assigner));
        }
        Ok(columns)
    };
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    stream.job.builder.borrow_mut().statement(name);
    let prepared: Stream<'_, T> =
        stream.then(Closure::columns(schema, format!("key and arguments of {name}"), columns));
    let aggregation = Aggregation {
        window: spec,
        keys: (0..K::fields().len()).collect(),
        calls: made,
        divert_late: false,
        ttl: None,
        panes: None,
    };
    let result = prepared.job.builder.borrow_mut().aggregate(prepared.node, aggregation)?.result;
    fits::<U>(&prepared.job.builder.borrow().plan().node(result).schema, name)?;
    let aggregated: Stream<'_, T> = Stream { node: result, ..prepared };
    Ok(aggregated.then(Closure::rename::<U>()))
}

/// Checks that rows of `schema` are a `U`.
fn fits<U: Record>(schema: &SchemaRef, name: &str) -> Result<()> {
    let kinds = |schema: &SchemaRef| -> Vec<String> {
        schema.fields().iter().map(|field| field.data_type().to_string()).collect()
    };
    let (found, wanted) = (kinds(schema), kinds(&U::schema()));
    match found == wanted {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the rows of `{name}` are of other types than the fields of the struct: {} and {}",
            found.join(", "),
            wanted.join(", ")
        ))),
    }
}
