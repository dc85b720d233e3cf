//! Jobs and their streams.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_plan::connector::{Options, Registry, TableSpec};
use thalweg_plan::graph::Aggregation;
use thalweg_plan::node::{AggregateCall, BadRecords, MapNode, SinkNode, SourceNode};
use thalweg_plan::sink::Accepts;
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_plan::{Exchange, Input, NodeKind, Plan, PlanBuilder};
use thalweg_types::{Error, NodeId, Result};

use crate::aggregate::{Aggregate, Read};
use crate::closure::{Behind, Closure, shared};
use crate::record::Record;
use crate::value::{Key, Timestamp, Value};
use crate::windowing;

/// A job in the making. Streams keep it alive; [`Job::plan`] ends it.
#[derive(Debug)]
pub struct Job {
    registry: Registry,
    builder: Rc<RefCell<PlanBuilder>>,
}

impl Job {
    /// Returns an empty job, which finds its connectors in `registry`.
    pub fn new(registry: Registry) -> Job {
        Job { registry, builder: Rc::default() }
    }

    /// Reads a table called `name` by a connector, with its options; rows are structs.
    pub fn source<T: Record>(
        &self,
        name: &str,
        connector: &str,
        options: &[(&str, &str)],
    ) -> SourceBuilder<'_, T> {
        SourceBuilder {
            job: self,
            spec: spec::<T>(name, connector, options),
            rows_per_second: None,
            watermark: None,
            bad_records: BadRecords::Fail,
            rows: PhantomData,
        }
    }

    /// Returns the plan of all that was said.
    pub fn plan(self) -> Plan {
        std::mem::take(&mut *self.builder.borrow_mut()).finish()
    }
}

fn spec<T: Record>(name: &str, connector: &str, options: &[(&str, &str)]) -> TableSpec {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let connector = ("connector".to_owned(), connector.to_owned());
    TableSpec {
        name: name.to_owned(),
        schema: T::schema(),
        primary_key: Vec::new(),
        options: Options(options.chain([connector]).collect::<BTreeMap<_, _>>()),
    }
}

/// A source in the making.
pub struct SourceBuilder<'j, T> {
    job: &'j Job,
    spec: TableSpec,
    rows_per_second: Option<u64>,
    watermark: Option<Arc<dyn thalweg_plan::function::Watermarker>>,
    bad_records: BadRecords,
    rows: PhantomData<fn() -> T>,
}

impl<T: Record> SourceBuilder<'_, T> {
    /// Says when a row happened, and by how much rows may be out of order: what comes later than
    /// that is late.
    pub fn watermark(
        mut self,
        time: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
        delay: Duration,
    ) -> Self {
        let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        let watermark: Behind<T, _> = Behind { time, delay_ms, record: PhantomData };
        self.watermark = Some(Arc::new(watermark));
        self
    }

    /// Slows the source down.
    pub fn rows_per_second(mut self, rows: u64) -> Self {
        self.rows_per_second = Some(rows);
        self
    }

    /// Leaves malformed records out and counts them; else one fails the job.
    pub fn skip_bad_records(mut self) -> Self {
        self.bad_records = BadRecords::Skip;
        self
    }

    /// Returns the rows.
    ///
    /// # Errors
    /// `Invalid` if connector, options or struct do not fit each other.
    pub fn stream(self) -> Result<Stream<T>> {
        let connector = self.job.registry.get(self.spec.options.required("connector")?)?;
        connector.validate(&self.spec)?;
        let columns: Vec<usize> = (0..self.spec.schema.fields().len()).collect();
        let source = connector.source(&self.spec, &columns)?;
        let builder = self.job.builder.clone();
        let name = self.spec.name.clone();
        let domain = self.watermark.is_some().then(|| builder.borrow_mut().domain(name.clone()));
        let node = SourceNode {
            table: name,
            source,
            domain,
            watermark: self.watermark,
            idle_timeout: None,
            rows_per_second: self.rows_per_second,
            bad_records: self.bad_records,
        };
        let schema = self.spec.schema.clone();
        let node = builder.borrow_mut().add(NodeKind::Source(node), Vec::new(), schema);
        Ok(Stream { builder, registry: self.job.registry.clone(), node, rows: PhantomData })
    }
}

fn forward(from: NodeId) -> Vec<Input> {
    vec![Input { from, port: 0, exchange: Exchange::Forward }]
}

/// Rows of type `T`.
pub struct Stream<T> {
    builder: Rc<RefCell<PlanBuilder>>,
    registry: Registry,
    node: NodeId,
    rows: PhantomData<fn() -> T>,
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        let (builder, registry) = (self.builder.clone(), self.registry.clone());
        Stream { builder, registry, node: self.node, rows: PhantomData }
    }
}

impl<T: Record> Stream<T> {
    /// Adds a function.
    fn then<U>(self, closure: Closure) -> Stream<U> {
        let transform = shared(closure);
        let schema = transform.schema();
        let map = MapNode {
            transforms: vec![transform],
            bad_records: BadRecords::Fail,
            statement: String::new(),
        };
        let node = self.builder.borrow_mut().add_map(map, forward(self.node), schema);
        Stream { builder: self.builder, registry: self.registry, node, rows: PhantomData }
    }

    /// Makes one row of each.
    pub fn map<U: Record>(self, function: impl Fn(T) -> U + Send + Sync + 'static) -> Stream<U> {
        self.then(Closure::map(function))
    }

    /// Keeps the rows for which `function` is true.
    pub fn filter(self, function: impl Fn(&T) -> bool + Send + Sync + 'static) -> Stream<T> {
        self.then(Closure::filter(function))
    }

    /// Makes any number of rows of each.
    pub fn flat_map<U: Record, I: IntoIterator<Item = U>>(
        self,
        function: impl Fn(T) -> I + Send + Sync + 'static,
    ) -> Stream<U> {
        self.then(Closure::flat_map(function))
    }

    /// Groups rows by a key.
    pub fn key_by<K: Key>(self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Keyed<T, K> {
        Keyed { stream: self, key: Arc::new(key) }
    }

    /// Writes the rows to a table called `name` by a connector, with its options.
    ///
    /// # Errors
    /// `Invalid` if connector, options or struct do not fit each other, or the connector cannot
    /// take back rows of an updating stream.
    pub fn sink(self, name: &str, connector: &str, options: &[(&str, &str)]) -> Result<()> {
        let spec = spec::<T>(name, connector, options);
        let connector = self.registry.get(connector)?;
        connector.validate(&spec)?;
        let sink = connector.sink(&spec)?;
        let mut builder = self.builder.borrow_mut();
        if builder.plan().node(self.node).is_updating && sink.accepts() == Accepts::Append {
            return Err(Error::invalid(format!(
                "the rows of this stream are updated, and table `{name}` takes inserts only"
            ))
            .remedy("aggregate over windows, or write with 'format' = 'debezium-json'"));
        }
        builder.statement(name);
        let node = SinkNode { table: name.to_owned(), sink };
        builder.add(NodeKind::Sink(node), forward(self.node), spec.schema);
        Ok(())
    }
}

type KeyOf<T, K> = Arc<dyn Fn(&T) -> K + Send + Sync>;
type TimeOf<T> = Arc<dyn Fn(&T) -> Timestamp + Send + Sync>;

/// Rows in groups.
pub struct Keyed<T, K> {
    stream: Stream<T>,
    key: KeyOf<T, K>,
}

/// Which windows rows fall into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(Assigner);

impl Window {
    /// Returns windows side by side.
    pub fn tumble(size: Duration) -> Window {
        Window(Assigner::Tumble { size: millis(size), offset: 0 })
    }

    /// Returns windows of `size` that start every `slide`, of which `size` is a multiple.
    pub fn hop(slide: Duration, size: Duration) -> Window {
        Window(Assigner::Hop { size: millis(size), slide: millis(slide), offset: 0 })
    }

    /// Returns windows that a pause of `gap` ends.
    pub fn session(gap: Duration) -> Window {
        Window(Assigner::Session { gap: millis(gap) })
    }

    fn check(self) -> Result<()> {
        let fits = match self.0 {
            Assigner::Hop { size, slide, .. } => slide > 0 && size > 0 && size % slide == 0,
            Assigner::Session { gap } => gap > 0,
            assigner => assigner.slice() > 0,
        };
        match fits {
            true => Ok(()),
            false => Err(Error::invalid(format!("there are no windows {} (in ms)", self.0))
                .remedy(
                    "lengths are a millisecond at least, and a size is a multiple of its slide",
                )),
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Rows in groups and windows.
pub struct Windowed<T, K> {
    keyed: Keyed<T, K>,
    window: Window,
    time: TimeOf<T>,
}

impl<T: Record, K: Key> Keyed<T, K> {
    /// Groups rows by windows, too. The time should be the one that the source's watermark follows.
    pub fn window(
        self,
        window: Window,
        time: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
    ) -> Windowed<T, K> {
        Windowed { keyed: self, window, time: Arc::new(time) }
    }

    /// Aggregates the rows of each group. The result is updated with each row, so it carries
    /// retractions. The fields of `U` are the key's, and the aggregates' in order. State is kept
    /// under `name`: a program in which it has another meaning must give it another name, since
    /// closures cannot be compared.
    ///
    /// # Errors
    /// `Invalid` if an aggregate cannot take its argument, or `U` is no such row.
    pub fn aggregate<U: Record>(self, name: &str, calls: Vec<Aggregate<T>>) -> Result<Stream<U>> {
        aggregate(self, None, name, calls)
    }
}

impl<T: Record, K: Key> Windowed<T, K> {
    /// Aggregates the rows of each group and window, when the watermark has passed its end. The
    /// fields of `U` are start and end of the window, the key's, and the aggregates' in order. As
    /// for state and `name`, see [`Keyed::aggregate`].
    ///
    /// # Errors
    /// `Invalid` if an aggregate cannot take its argument, or `U` is no such row.
    pub fn aggregate<U: Record>(self, name: &str, calls: Vec<Aggregate<T>>) -> Result<Stream<U>> {
        self.window.check()?;
        aggregate(self.keyed, Some((self.window.0, self.time)), name, calls)
    }
}

fn aggregate<T: Record, K: Key, U: Record>(
    keyed: Keyed<T, K>,
    window: Option<(Assigner, TimeOf<T>)>,
    name: &str,
    calls: Vec<Aggregate<T>>,
) -> Result<Stream<U>> {
    let Keyed { stream, key } = keyed;
    let mut fields = K::fields();
    let (mut reads, mut made): (Vec<Read<T>>, Vec<AggregateCall>) = (Vec::new(), Vec::new());
    for call in calls {
        let mut arguments = Vec::new();
        if let Some((kind, read)) = call.argument {
            arguments.push(fields.len());
            fields.push(Field::new(format!("argument{}", reads.len()), kind, true));
            reads.push(read);
        }
        made.push(AggregateCall { function: call.function?, arguments, filter: None });
    }
    let spec = window.as_ref().map(|(assigner, _)| WindowSpec {
        assigner: *assigner,
        basis: TimeBasis::Event,
        start: fields.len(),
        end: fields.len() + 1,
    });
    if spec.is_some() {
        fields.extend([Timestamp::field("start"), Timestamp::field("end")]);
    }
    let columns = move |records: Vec<T>| -> Result<Vec<ArrayRef>> {
        let mut columns = K::columns(records.iter().map(|record| key(record)).collect());
        columns.extend(reads.iter().map(|read| read(&records)));
        if let Some((assigner, time)) = &window {
            let times: Vec<Timestamp> = records.iter().map(|record| time(record)).collect();
            columns.extend(windowing::columns(&times, *assigner));
        }
        Ok(columns)
    };
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    stream.builder.borrow_mut().statement(name);
    let prepared: Stream<T> =
        stream.then(Closure::columns(schema, format!("key and arguments of {name}"), columns));
    let aggregation = Aggregation {
        window: spec,
        keys: (0..K::width()).collect(),
        calls: made,
        divert_late: false,
    };
    let result = prepared.builder.borrow_mut().aggregate(prepared.node, aggregation)?.result;
    fits::<U>(&prepared.builder.borrow().plan().node(result).schema, name)?;
    let aggregated: Stream<T> = Stream { node: result, ..prepared };
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

#[cfg(test)]
mod tests;
