//! What makes plans of queries: a contract, since this crate knows no language.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_plan::Plan;
use thalweg_plan::connector::Registry;
use thalweg_plan::sink::Sink;
use thalweg_types::Result;

/// A table that stands for a stream.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// The column that is its event time.
    pub rowtime: Option<String>,
}

/// What a language is handed with a text.
pub struct Question<'a> {
    /// The text.
    pub text: &'a str,
    /// The connectors of tables, also of those that stand for streams.
    pub registry: Registry,
    /// The connector of tables that stand for streams.
    pub connector: &'static str,
    /// The tables that stand for streams.
    pub tables: Vec<Declared>,
    /// Makes the sink of what a query gives.
    pub result: Arc<dyn Fn() -> Arc<dyn Sink> + Send + Sync>,
}

/// Plans queries: what makes SQL of a job's [`Job::sql`](crate::Job::sql).
///
/// # Contract
/// In the plan a table that stands for a stream is read by sources that its connector made; the rows of
/// a query without a target go to the sink that `result` made.
pub trait Language: Debug + Send + Sync {
    /// Returns the plan of a text; `None` if it asks for nothing.
    ///
    /// # Errors
    /// `Invalid`, at the place in the text.
    fn plan(&self, question: Question<'_>) -> Result<Option<Plan>>;
}
