//! Scripts to plans: all `INSERT`s of a script, and its one bare `SELECT`, are one job.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use thalweg_plan::connector::{Registry, TableSpec, nearest};
use thalweg_plan::sink::{Delivery, Sink};
use thalweg_plan::source::Replay;
use thalweg_plan::{NodeKind, Plan, explain};
use thalweg_types::{Error, Result};

use crate::catalog::{Column, EngineOptions, Table, Watermark};
use crate::lower::{Lowering, Target};
use crate::session::Session;
use crate::statement::{self, CreateTable, Declared, Kind, Statement};
use crate::text::{self, plan_error};

/// Makes the sink of a bare `SELECT`.
pub type ResultSink = Arc<dyn Fn() -> Arc<dyn Sink> + Send + Sync>;

/// Plans scripts.
pub struct Planner {
    registry: Registry,
    result: ResultSink,
}

/// What a script asks for.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The job; `None` if the script only looks at things.
    pub plan: Option<Plan>,
    /// What `SHOW`, `DESCRIBE` and `EXPLAIN` say, in order.
    pub outputs: Vec<String>,
    /// Settings, by key.
    pub settings: BTreeMap<String, String>,
    /// What the user should know: guarantees, settings without meaning here.
    pub notices: Vec<String>,
}

/// Settings that the engine obeys.
const SETTINGS: [&str; 4] = [
    "parallelism.default",
    "execution.checkpointing.interval",
    "require.exactly-once",
    "pipeline.name",
];
/// Settings of Flink's that have no meaning here.
const WITHOUT_MEANING: [&str; 3] =
    ["execution.runtime-mode", "sql-client.execution.result-mode", "table.exec.mini-batch.enabled"];

impl Planner {
    /// Returns a planner that knows these connectors; `result` makes the sink of a bare `SELECT`.
    pub fn new(registry: Registry, result: ResultSink) -> Planner {
        Planner { registry, result }
    }

    /// Plans a script.
    ///
    /// # Errors
    /// `Invalid`, at the place in the text.
    pub fn plan(&self, text: &str) -> Result<Script> {
        let mut work = Work {
            planner: self,
            session: Session::new()?,
            script: Script::default(),
            jobs: Vec::new(),
        };
        for statement in statement::parse(text)? {
            let first = statement.first.clone();
            work.statement(statement).map_err(|error| located(error, &first))?;
        }
        work.finish()
    }
}

/// Points at the statement where nothing closer is known.
fn located(error: Error, first: &TokenWithSpan) -> Error {
    if error.places().is_empty() { error.at(text::place(first.span)) } else { error }
}

/// A statement that runs.
struct Job {
    name: String,
    plan: LogicalPlan,
    target: Target,
    first: TokenWithSpan,
}

/// A script in the making.
struct Work<'a> {
    planner: &'a Planner,
    session: Session,
    script: Script,
    jobs: Vec<Job>,
}

impl Work<'_> {
    fn statement(&mut self, statement: Statement) -> Result<()> {
        let first = statement.first;
        match statement.kind {
            Kind::CreateTable(create) => self.create_table(*create, &first),
            Kind::CreateView { name, if_not_exists, query } => {
                if if_not_exists && self.session.names().contains(&name.as_str()) {
                    return Ok(());
                }
                let plan = self.session.query(&query)?;
                self.session.add_view(&name, plan)
            }
            Kind::Drop { name, table, if_exists } => {
                match self.session.remove(&table)? || if_exists {
                    true => Ok(()),
                    false => Err(self.unknown_table(&name, &table)),
                }
            }
            Kind::ShowTables => {
                let mut names = self.session.names();
                names.sort_unstable();
                self.script.outputs.push(names.join("\n"));
                Ok(())
            }
            Kind::Describe(at, name) => self.describe(&at, &name),
            Kind::Set { key, name, value } => self.set(&key, name, value),
            Kind::Reset(None) => {
                self.script.settings.clear();
                Ok(())
            }
            Kind::Reset(Some(name)) => {
                self.script.settings.remove(&name);
                Ok(())
            }
            Kind::Explain(inner) => self.explain(*inner),
            kind @ (Kind::Insert { .. } | Kind::Query(_)) => {
                let job = self.job(kind, first)?;
                self.jobs.push(job);
                Ok(())
            }
        }
    }

    /// Plans a statement that runs.
    fn job(&mut self, kind: Kind, first: TokenWithSpan) -> Result<Job> {
        match kind {
            Kind::Insert { table, name, columns, query } => {
                let found = self.session.table(&name).cloned();
                let target = found.ok_or_else(|| self.unknown_table(&table, &name))?;
                let plan = self.session.query(&query)?;
                let plan = fit(plan, &target, &columns).map_err(|e| located(e, &table))?;
                let connector = self.planner.registry.get(target.connector()?)?;
                let sink = connector.sink(&target.spec)?;
                let statement = self.name_of(&name);
                Ok(Job { name: statement, plan, target: Target { name, sink }, first })
            }
            Kind::Query(query) => {
                if self.jobs.iter().any(|job| job.target.name == RESULT) {
                    return Err(text::at(&first, "a script may have one SELECT without INSERT")
                        .remedy(
                            "INSERT the results into tables, or put them together by UNION ALL",
                        ));
                }
                let plan = self.session.query(&query)?;
                let target = Target { name: RESULT.to_owned(), sink: (self.planner.result)() };
                Ok(Job { name: self.name_of(RESULT), plan, target, first })
            }
            _ => Err(text::at(&first, "only a query or an INSERT can be planned")),
        }
    }

    /// Names a statement by what it writes, so that its state is found again.
    fn name_of(&self, target: &str) -> String {
        match self.jobs.iter().filter(|job| job.target.name == target).count() {
            0 => target.to_owned(),
            count => format!("{target}-{}", count + 1),
        }
    }

    fn unknown_table(&self, at: &TokenWithSpan, name: &str) -> Error {
        let error = text::at(at, format!("there is no table `{name}`"));
        match nearest(name, &self.session.names()) {
            Some(near) => error.remedy(format!("did you mean `{near}`?")),
            None => error,
        }
    }

    fn create_table(&mut self, create: CreateTable, first: &TokenWithSpan) -> Result<()> {
        if create.if_not_exists && self.session.names().contains(&create.name.as_str()) {
            return Ok(());
        }
        let table = self.table(create).map_err(|error| located(error, first))?;
        self.session.add_table(table)
    }

    fn table(&self, create: CreateTable) -> Result<Table> {
        let physical: Vec<_> = create
            .columns
            .iter()
            .filter_map(|column| match column {
                Declared::Physical(field) => Some(field.clone()),
                Declared::Computed(..) => None,
            })
            .collect();
        if physical.is_empty() {
            return Err(Error::invalid(format!("table `{}` has no columns", create.name)));
        }
        let schema: SchemaRef = Arc::new(Schema::new(physical));
        let rows = DFSchema::try_from(schema.as_ref().clone()).map_err(plan_error)?;
        let mut columns = Vec::new();
        for column in create.columns {
            columns.push(match column {
                Declared::Physical(field) => Column::Physical(field),
                Declared::Computed(name, tokens) => {
                    let expr = self.session.expression(&tokens, &rows)?;
                    let (_, field) = expr.to_field(&rows).map_err(plan_error)?;
                    Column::Computed { field: field.as_ref().clone().with_name(name), tokens }
                }
            });
        }
        let names: Vec<&str> =
            columns.iter().map(|column| column.field().name().as_str()).collect();
        let watermark = match create.watermark {
            None => None,
            Some((at, column, tokens)) => {
                let found = columns.iter().find(|known| *known.field().name() == column);
                match found.map(|found| found.field().data_type()) {
                    Some(DataType::Timestamp(_, _)) => Some(Watermark { column, tokens }),
                    Some(other) => {
                        return Err(text::at(&at, format!("column `{column}` has type {other}"))
                            .remedy("a WATERMARK is for a TIMESTAMP column"));
                    }
                    None => {
                        let error = text::at(&at, format!("there is no column `{column}`"));
                        return Err(match nearest(&column, &names) {
                            Some(near) => error.remedy(format!("did you mean `{near}`?")),
                            None => error,
                        });
                    }
                }
            }
        };
        let mut options = create.options;
        let engine = EngineOptions::take(&mut options)?;
        let spec = TableSpec {
            name: create.name.clone(),
            schema,
            primary_key: create.primary_key,
            options,
        };
        let connector = self.planner.registry.get(spec.options.required("connector")?)?;
        connector.validate(&spec)?;
        Ok(Table { name: create.name, columns, watermark, engine, spec })
    }

    fn describe(&mut self, at: &TokenWithSpan, name: &str) -> Result<()> {
        let table = self.session.table(name).cloned();
        let table = table.ok_or_else(|| self.unknown_table(at, name))?;
        let lines = table.columns.iter().map(|column| {
            let field = column.field();
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            let computed =
                if matches!(column, Column::Computed { .. }) { " (computed)" } else { "" };
            format!("{} {}{null}{computed}", field.name(), field.data_type())
        });
        self.script.outputs.push(lines.collect::<Vec<_>>().join("\n"));
        Ok(())
    }

    fn set(&mut self, at: &TokenWithSpan, name: String, value: String) -> Result<()> {
        if SETTINGS.contains(&name.as_str()) {
            self.script.settings.insert(name, value);
            return Ok(());
        }
        if WITHOUT_MEANING.contains(&name.as_str()) {
            self.script.notices.push(format!("'{name}' has no meaning here and is ignored"));
            return Ok(());
        }
        let error = text::at(at, format!("unknown setting '{name}'"));
        Err(match nearest(&name, &SETTINGS) {
            Some(near) => error.remedy(format!("did you mean '{near}'?")),
            None => error.remedy(format!("known settings: {}", SETTINGS.join(", "))),
        })
    }

    fn explain(&mut self, statement: Statement) -> Result<()> {
        let job = self.job(statement.kind, statement.first)?;
        let plan = self.lower(vec![job])?;
        self.script.outputs.push(explain::explain(&plan).trim_end().to_owned());
        Ok(())
    }

    /// Lowers statements into one plan.
    fn lower(&self, jobs: Vec<Job>) -> Result<Plan> {
        let mut optimized = Vec::new();
        for job in &jobs {
            let plan = self.session.optimize(&job.plan).map_err(|e| located(e, &job.first))?;
            optimized.push(plan);
        }
        let plans: Vec<&LogicalPlan> = optimized.iter().collect();
        let mut lowering = Lowering::new(&self.session, &self.planner.registry, &plans)?;
        for (job, plan) in jobs.into_iter().zip(&optimized) {
            let lowered = lowering.statement(&job.name, plan, job.target);
            lowered.map_err(|error| located(error, &job.first))?;
        }
        Ok(lowering.builder.finish())
    }

    fn finish(mut self) -> Result<Script> {
        let jobs = std::mem::take(&mut self.jobs);
        if jobs.is_empty() {
            return Ok(self.script);
        }
        let plan = self.lower(jobs)?;
        let weak = guarantees(&plan, &mut self.script.notices);
        let required = self.script.settings.get("require.exactly-once");
        if required.is_some_and(|value| value == "true")
            && let Some(weak) = weak
        {
            return Err(Error::invalid(format!("'require.exactly-once' is set, and {weak}")));
        }
        self.script.plan = Some(plan);
        Ok(self.script)
    }
}

/// Name under which the result of a bare `SELECT` goes.
const RESULT: &str = "result";

/// Says what each source and sink guarantees; returns the first one that is weaker than exactly
/// once.
fn guarantees(plan: &Plan, notices: &mut Vec<String>) -> Option<String> {
    let mut weak = None;
    for node in &plan.nodes {
        let (text, is_exact) = match &node.kind {
            NodeKind::Source(source) => match source.source.replay() {
                Replay::Exact => (format!("source `{}` can be replayed", source.table), true),
                Replay::None => {
                    (format!("source `{}` cannot be replayed after a crash", source.table), false)
                }
            },
            NodeKind::Sink(sink) => match sink.sink.delivery() {
                Delivery::ExactlyOnce => (format!("sink `{}` is exactly once", sink.table), true),
                Delivery::AtLeastOnce => (
                    format!("sink `{}` shows rows at once, again after a crash", sink.table),
                    false,
                ),
                Delivery::AtMostOnce => (format!("sink `{}` keeps nothing", sink.table), true),
            },
            _ => continue,
        };
        if !is_exact && weak.is_none() {
            weak = Some(text.clone());
        }
        notices.push(text);
    }
    weak
}

/// Gives a query the columns of the table that it is inserted into.
fn fit(plan: LogicalPlan, table: &Table, columns: &[String]) -> Result<LogicalPlan> {
    let schema = &table.spec.schema;
    let given = plan.schema().fields().len();
    let mut sources: Vec<Option<usize>> = vec![None; schema.fields().len()];
    if columns.is_empty() {
        sources = (0..schema.fields().len()).map(Some).collect();
    }
    for (index, column) in columns.iter().enumerate() {
        let place = schema.index_of(column).map_err(|_| {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let error = Error::invalid(format!("table `{}` has no column `{column}`", table.name));
            match nearest(column, &names) {
                Some(near) => error.remedy(format!("did you mean `{near}`?")),
                None => error,
            }
        })?;
        sources[place] = Some(index);
    }
    let wanted = if columns.is_empty() { schema.fields().len() } else { columns.len() };
    if given != wanted {
        return Err(Error::invalid(format!(
            "table `{}` takes {wanted} columns, and the query has {given}",
            table.name
        )));
    }
    let mut exprs = Vec::new();
    for (field, source) in schema.fields().iter().zip(sources) {
        let expr = match source {
            Some(source) => {
                let (qualifier, from) = plan.schema().qualified_field(source);
                check_cast(from.data_type(), field.data_type()).map_err(|why| {
                    Error::invalid(format!(
                        "column `{}` of table `{}` is {}, and the query gives {}{why}",
                        field.name(),
                        table.name,
                        field.data_type(),
                        from.data_type()
                    ))
                    .remedy("CAST it in the query")
                })?;
                let column = Expr::from((qualifier, from));
                column.cast_to(field.data_type(), plan.schema()).map_err(plan_error)?
            }
            None => Expr::Literal(
                datafusion::common::ScalarValue::try_from(field.data_type()).map_err(plan_error)?,
                None,
            ),
        };
        exprs.push(expr.alias(field.name()));
    }
    LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(plan_error)
}

/// Allows what loses nothing, and numbers among each other, as Flink does.
fn check_cast(from: &DataType, to: &DataType) -> Result<(), &'static str> {
    let is_text =
        |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
    let is_time = |kind: &DataType| matches!(kind, DataType::Timestamp(_, _));
    let fits = from == to
        || *from == DataType::Null
        || (from.is_numeric() && to.is_numeric())
        || (is_text(from) && is_text(to))
        || (is_time(from) && is_time(to))
        || (from.is_nested() && to.is_nested());
    if fits { Ok(()) } else { Err(", which does not become it by itself") }
}

#[cfg(test)]
mod tests;
