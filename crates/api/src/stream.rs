//! Streams of structs, and what is done to each row by itself.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use arrow::datatypes::SchemaRef;
use thalweg_plan::connector::{Options, TableSpec};
use thalweg_plan::node::{BadRecords, MapNode, SinkNode};
use thalweg_plan::{Exchange, Input, write};
use thalweg_types::{NodeId, Result};

use crate::closure::{Closure, shared};
use crate::job::Job;
use crate::record::Record;

/// Returns an edge that leaves rows where they are.
pub(crate) fn forward(from: NodeId) -> Input {
    Input { from, port: 0, exchange: Exchange::Forward }
}

/// Rows of type `T`. A clone is a second reader of the same rows.
pub struct Stream<'j, T> {
    pub(crate) job: &'j Job,
    pub(crate) node: NodeId,
    pub(crate) rows: PhantomData<fn() -> T>,
}

/// What comes out of a node, whatever its columns are.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'j> {
    pub(crate) job: &'j Job,
    pub(crate) node: NodeId,
    pub(crate) port: usize,
}

impl<'j> Rows<'j> {
    /// Returns the columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.job.builder.borrow().plan().output_schema(self.node, self.port)
    }

    /// Can rows be taken back?
    pub(crate) fn is_updating(&self) -> bool {
        self.port == 0 && self.job.builder.borrow().plan().node(self.node).is_updating
    }

    /// Does a watermark say how far their event time has come?
    pub(crate) fn has_watermark(&self) -> bool {
        !self.job.builder.borrow().plan().node(self.node).domains.is_empty()
    }

    /// Adds a function, whose results are structs.
    pub(crate) fn then<U>(self, closure: Closure) -> Stream<'j, U> {
        let transform = shared(closure);
        let schema = transform.schema();
        let map = MapNode {
            transforms: vec![transform],
            bad_records: BadRecords::Fail,
            statement: String::new(),
        };
        let input = Input { from: self.node, port: self.port, exchange: Exchange::Forward };
        let node = self.job.builder.borrow_mut().add_map(map, vec![input], schema);
        Stream { job: self.job, node, rows: PhantomData }
    }
}

impl<T> Clone for Stream<'_, T> {
    fn clone(&self) -> Self {
        self.job.builder.borrow_mut().share(self.node);
        Stream { job: self.job, node: self.node, rows: PhantomData }
    }
}

impl<'j, T: Record> Stream<'j, T> {
    /// Adds a function.
    pub(crate) fn then<U>(self, closure: Closure) -> Stream<'j, U> {
        Rows { job: self.job, node: self.node, port: 0 }.then(closure)
    }

    /// Gives the steps that follow a name, by which plans and errors call them.
    pub fn name(self, name: &str) -> Stream<'j, T> {
        self.job.builder.borrow_mut().statement(name);
        self
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

    /// Writes the rows to a table called `name` by a connector, with its options.
    ///
    /// # Errors
    /// `Invalid` if connector, options or struct do not fit each other, or the connector cannot
    /// take back rows of an updating stream.
    pub fn sink(self, name: &str, connector: &str, options: &[(&str, &str)]) -> Result<()> {
        self.add_sink(name, connector, options)
            .map_err(|error| error.context(format!("table `{name}`")))
    }

    fn add_sink(self, name: &str, connector: &str, options: &[(&str, &str)]) -> Result<()> {
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

/// Returns a table whose rows are a struct.
pub(crate) fn spec<T: Record>(name: &str, connector: &str, options: &[(&str, &str)]) -> TableSpec {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let connector = ("connector".to_owned(), connector.to_owned());
    TableSpec::new(
        name,
        T::schema(),
        Options(options.chain([connector]).collect::<BTreeMap<_, _>>()),
    )
}
