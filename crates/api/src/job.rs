//! Jobs and their streams.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_plan::connector::{Options, Registry, TableSpec};
use thalweg_plan::graph::Aggregation;
use thalweg_plan::node::{AggregateCall, BadRecords, MapNode, SinkNode, SourceNode};

use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_plan::{Exchange, Input, NodeKind, Plan, PlanBuilder, write};
use thalweg_types::{Error, NodeId, Result};

use crate::aggregate::{Aggregate, Read};
use crate::closure::{Behind, Closure, shared};
use crate::record::Record;
use crate::value::{Key, Timestamp, Value};
use crate::windowing;

/// A job in the making. Its streams borrow it, so none can be used once [`Job::plan`] ended it:
///
/// ```compile_fail,E0505
/// thalweg_api::record! {
///     struct Line { line: String }
/// }
/// let job = thalweg_api::Job::new(thalweg_plan::connector::Registry::new(Vec::new()));
/// let lines = job.source::<Line>("lines", "filesystem", &[]).stream().unwrap();
/// job.plan();
/// lines.sink("copy", "print", &[]).unwrap();
/// ```
#[derive(Debug)]
pub struct Job {
    registry: Registry,
    builder: RefCell<PlanBuilder>,
}

impl Job {
    /// Returns an empty job, which finds its connectors in `registry`.
    pub fn new(registry: Registry) -> Job {
        Job { registry, builder: RefCell::default() }
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
        self.builder.into_inner().finish()
    }
}

fn spec<T: Record>(name: &str, connector: &str, options: &[(&str, &str)]) -> TableSpec {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let connector = ("connector".to_owned(), connector.to_owned());
    TableSpec::new(
        name,
        T::schema(),
        Options(options.chain([connector]).collect::<BTreeMap<_, _>>()),
    )
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

impl<'j, T: Record> SourceBuilder<'j, T> {
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
    pub fn stream(self) -> Result<Stream<'j, T>> {
        let connector = self.job.registry.get(self.spec.options.required("connector")?)?;
        connector.validate(&self.spec)?;
        let columns: Vec<usize> = (0..self.spec.schema.fields().len()).collect();
        let source = connector.source(&self.spec, &columns)?;
        let changes = connector.changes(&self.spec);
        let mut builder = self.job.builder.borrow_mut();
        let name = self.spec.name.clone();
        let domain = self.watermark.is_some().then(|| builder.domain(name.clone()));
        let node = SourceNode {
            table: name,
            source,
            changes,
            key: Vec::new(),
            domain,
            watermark: self.watermark,
            idle_timeout: None,
            rows_per_second: self.rows_per_second,
            bad_records: self.bad_records,
        };
        let schema = self.spec.schema.clone();
        let node = builder.add(NodeKind::Source(node), Vec::new(), schema);
        Ok(Stream { job: self.job, node, rows: PhantomData })
    }
}

fn forward(from: NodeId) -> Input {
    Input { from, port: 0, exchange: Exchange::Forward }
}

/// Rows of type `T`. A clone is a second reader of the same rows.
pub struct Stream<'j, T> {
    job: &'j Job,
    node: NodeId,
    rows: PhantomData<fn() -> T>,
}

impl<T> Clone for Stream<'_, T> {
    fn clone(&self) -> Self {
        self.job.builder.borrow_mut().share(self.node);
        Stream { job: self.job, node: self.node, rows: PhantomData }
    }
}

impl<'j, T: Record> Stream<'j, T> {
    /// Adds a function.
    fn then<U>(self, closure: Closure) -> Stream<'j, U> {
        let transform = shared(closure);
        let schema = transform.schema();
        let map = MapNode {
            transforms: vec![transform],
            bad_records: BadRecords::Fail,
            statement: String::new(),
        };
        let node = self.job.builder.borrow_mut().add_map(map, vec![forward(self.node)], schema);
        Stream { job: self.job, node, rows: PhantomData }
    }

    /// Makes one row of each.
    pub fn map<U: Record>(
        self,
        function: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> Stream<'j, U> {
        self.then(Closure::map(function))
    }

    /// Keeps the rows for which `function` is true.
    pub fn filter(self, function: impl Fn(&T) -> bool + Send + Sync + 'static) -> Stream<'j, T> {
        self.then(Closure::filter(function))
    }

    /// Makes any number of rows of each.
    pub fn flat_map<U: Record, I: IntoIterator<Item = U>>(
        self,
        function: impl Fn(T) -> I + Send + Sync + 'static,
    ) -> Stream<'j, U> {
        self.then(Closure::flat_map(function))
    }

    /// Groups rows by a key.
    pub fn key_by<K: Key>(self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Keyed<'j, T, K> {
        Keyed { stream: self, key: Arc::new(key) }
    }

    /// Writes the rows to a table called `name` by a connector, with its options.
    ///
    /// # Errors
    /// `Invalid` if connector, options or struct do not fit each other, or the connector cannot
    /// take back rows of an updating stream.
    pub fn sink(self, name: &str, connector: &str, options: &[(&str, &str)]) -> Result<()> {
        let spec = spec::<T>(name, connector, options);
        let connector = self.job.registry.get(connector)?;
        connector.validate(&spec)?;
        let sink = connector.sink(&spec)?;
        let mut builder = self.job.builder.borrow_mut();
        builder.statement(name);
        let node = SinkNode { table: name.to_owned(), sink };
        write::add(&mut builder, forward(self.node), node).map(|_| ())
    }
}

type KeyOf<T, K> = Arc<dyn Fn(&T) -> K + Send + Sync>;
type TimeOf<T> = Arc<dyn Fn(&T) -> Timestamp + Send + Sync>;

/// Rows in groups.
pub struct Keyed<'j, T, K> {
    stream: Stream<'j, T>,
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
pub struct Windowed<'j, T, K> {
    keyed: Keyed<'j, T, K>,
    window: Window,
    time: TimeOf<T>,
}

impl<'j, T: Record, K: Key> Keyed<'j, T, K> {
    /// Groups rows by windows, too. The time should be the one that the source's watermark follows.
    pub fn window(
        self,
        window: Window,
        time: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
    ) -> Windowed<'j, T, K> {
        Windowed { keyed: self, window, time: Arc::new(time) }
    }

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

impl<'j, T: Record, K: Key> Windowed<'j, T, K> {
    /// Aggregates the rows of each group and window, when the watermark has passed its end. The
    /// fields of `U` are start and end of the window, the key's, and the aggregates' in order. As
    /// for state and `name`, see [`Keyed::aggregate`].
    ///
    /// # Errors
    /// `Invalid` if an aggregate cannot take its argument, or `U` is no such row.
    pub fn aggregate<U: Record>(
        self,
        name: &str,
        calls: Vec<Aggregate<T>>,
    ) -> Result<Stream<'j, U>> {
        self.window.check()?;
        aggregate(self.keyed, Some((self.window.0, self.time)), name, calls)
    }
}

fn aggregate<'j, T: Record, K: Key, U: Record>(
    keyed: Keyed<'j, T, K>,
    window: Option<(Assigner, TimeOf<T>)>,
    name: &str,
    calls: Vec<Aggregate<T>>,
) -> Result<Stream<'j, U>> {
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
    stream.job.builder.borrow_mut().statement(name);
    let prepared: Stream<'_, T> =
        stream.then(Closure::columns(schema, format!("key and arguments of {name}"), columns));
    let aggregation = Aggregation {
        window: spec,
        keys: (0..K::width()).collect(),
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

#[cfg(test)]
mod tests;
