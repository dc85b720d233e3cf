//! Scripts to plans: all `INSERT`s of a script, and its one bare `SELECT`, are one job.
//!
//! Invariants: statements take effect in the order of the text; the same text gives the same
//! plan, in every process; an error points into the text. It does *not* run anything, and it
//! looks at nothing outside the text.

mod queries;

mod define;
mod describe;
mod insert;
mod script;
pub mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use thalweg_plan::connector::{Registry, parse_duration};
use thalweg_plan::loops::ROUNDS_MAX;
use thalweg_plan::sink::{Delivery, Sink};
use thalweg_plan::source::Replay;
use thalweg_plan::{NodeKind, Plan, explain};
use thalweg_types::{Error, Result, Zone};

use self::settings::Effect;
use crate::catalog::{CDC_DUPLICATES, ENGINE_OPTIONS, Table, declared_name};
use crate::lower::{Lowering, Query, Target};
use crate::session::Session;
use crate::statement::{
    self, CreateTable, CreateView, Detail, Hints, Insert, Kind, Name, Pair, Shown, Statement,
};
use crate::text::{self, located};

/// Makes the sink of a bare `SELECT`.
pub type ResultSink = Arc<dyn Fn() -> Arc<dyn Sink> + Send + Sync>;

/// Plans scripts.
#[derive(Clone)]
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
    /// How many statements there are.
    pub statements: usize,
    /// Statements that make the tables that `CREATE TABLE … AS query` made.
    pub defines: Vec<String>,
    /// Is the job run for `EXPLAIN ANALYZE`?
    pub analyzes: bool,
    /// What the user should know: guarantees, settings without meaning here.
    pub notices: Vec<String>,
}

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
        Workspace::new(self.clone())?.plan(text)
    }
}

/// A statement that runs.
struct Job {
    name: String,
    plan: LogicalPlan,
    target: Target,
    /// Is it a bare `SELECT`?
    is_shown: bool,
    /// The session's time zone when it was planned.
    zone: Zone,
    /// How long its state keeps rows.
    ttl: Option<Duration>,
    /// Rounds after which its recursive relations end the job.
    rounds_max: u32,
    first: TokenWithSpan,
}

/// Tables, views and settings, and the scripts that are planned over them one after the other.
pub struct Workspace {
    planner: Planner,
    session: Session,
    /// In the making; its settings stay for the next one.
    script: Script,
    jobs: Vec<Job>,
    /// Tables as they were declared, for those that are made like them.
    declared: BTreeMap<String, CreateTable>,
    /// Views as they were declared.
    views: BTreeMap<String, CreateView>,
    /// What was dropped after a statement of the script was planned. Sources are told apart by the
    /// names of their tables, so none of these may come to mean another table.
    dropped: BTreeSet<String>,
}

impl Workspace {
    /// Returns a workspace without tables.
    ///
    /// # Errors
    /// `Failed` if the planner cannot start.
    pub fn new(planner: Planner) -> Result<Workspace> {
        let (session, script) = (Session::new()?, Script::default());
        let (declared, views, dropped) = Default::default();
        Ok(Workspace { planner, session, script, jobs: Vec::new(), declared, views, dropped })
    }

    /// Plans a script over what is there; what it creates and sets stays, also what stands before
    /// an error.
    ///
    /// # Errors
    /// `Invalid`, at the place in the text.
    pub fn plan(&mut self, text: &str) -> Result<Script> {
        let settings = std::mem::take(&mut self.script.settings);
        self.script = Script { settings, ..Script::default() };
        self.jobs.clear();
        self.dropped.clear();
        self.session.begin();
        for statement in statement::parse(text)? {
            self.script.statements += 1;
            let first = statement.first.clone();
            self.statement(statement).map_err(|error| located(error, &first))?;
        }
        self.finish()
    }

    /// Has the next bare `SELECT` shown by another sink.
    pub fn show_by(&mut self, result: ResultSink) {
        self.planner.result = result;
    }

    /// Returns the names of tables and views, with the names of their columns.
    pub fn tables(&self) -> Vec<(String, Vec<String>)> {
        let columns = |name: &str| {
            let schema = self.session.schema(name);
            let fields = schema.iter().flat_map(|schema| schema.fields().iter());
            fields.map(|field| field.name().clone()).collect()
        };
        self.session.names().into_iter().map(|name| (name.to_owned(), columns(name))).collect()
    }

    /// Returns the names of connectors, with the keys of the options that their tables take.
    pub fn connectors(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let connectors = self.planner.registry.all();
        let keys = |own: Vec<&'static str>| own.into_iter().chain(ENGINE_OPTIONS).collect();
        connectors.map(|connector| (connector.name(), keys(connector.options()))).collect()
    }

    /// Is `name` a view?
    pub fn is_view(&self, name: &str) -> bool {
        self.session.is_view(name)
    }

    /// Returns the names of all functions, in order.
    pub fn functions(&self) -> Vec<String> {
        self.session.functions()
    }

    /// Returns what is set, by key.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.script.settings
    }

    fn statement(&mut self, statement: Statement) -> Result<()> {
        self.hinted(&statement.hints)?;
        let first = statement.first;
        match statement.kind {
            Kind::CreateTable(create) => self.create_table(*create, first),
            Kind::CreateView(create) => self.create_view(create),
            Kind::Drop { table, is_view, if_exists } => self.drop(&table, is_view, if_exists),
            Kind::Show(shown) => {
                self.script.outputs.push(match shown {
                    Shown::Tables => self.session.names().join("\n"),
                    Shown::Views => self.session.views().join("\n"),
                    Shown::Functions => self.session.functions().join("\n"),
                    Shown::Settings => settings::list(&self.script.settings),
                    Shown::Only(name) => name.to_owned(),
                });
                Ok(())
            }
            Kind::ShowCreate(name) => {
                let text = match self.views.get(&name.text) {
                    Some(view) => describe::create_view(view),
                    None => describe::create_table(self.declaration(&name)?),
                };
                self.script.outputs.push(text);
                Ok(())
            }
            Kind::Ignored(why) => {
                add_once(&mut self.script.notices, why);
                Ok(())
            }
            Kind::Describe(name) => {
                let text = describe::describe(&self.session, &name.text);
                let text = text.ok_or_else(|| self.unknown_table(&name))?;
                self.script.outputs.push(text);
                Ok(())
            }
            Kind::Set(pair) => self.set(pair),
            Kind::Reset(None) => {
                self.script.settings.clear();
                Ok(())
            }
            Kind::Reset(Some(key)) => {
                settings::known(&key)?;
                self.script.settings.remove(&key.text);
                Ok(())
            }
            Kind::Explain(detail, statements) => self.explain(detail, statements),
            Kind::Analyze(_) if !self.jobs.is_empty() => Err(not_alone(&first)),
            Kind::Analyze(statements) => {
                self.script.analyzes = true;
                self.jobs = self.jobs_of(statements)?;
                Ok(())
            }
            Kind::Insert(_) | Kind::Query(_) if self.script.analyzes => Err(not_alone(&first)),
            kind @ (Kind::Insert(_) | Kind::Query(_)) => {
                let job = self.job(kind, first, &self.jobs)?;
                self.jobs.push(job);
                Ok(())
            }
        }
    }

    /// Plans a statement that runs beside `others`.
    fn job(&self, kind: Kind, first: TokenWithSpan, others: &[Job]) -> Result<Job> {
        match kind {
            Kind::Insert(insert) => {
                let target = self.target(&insert.table)?;
                let plan = queries::query(&self.session, &insert.query)?;
                let plan = insert::fit(plan, &target, &insert, (&self.session, self.zone()));
                let table = insert.table;
                let plan = plan.map_err(|error| located(error, &table.at))?;
                let connector = self.planner.registry.get(target.connector()?)?;
                if !target.spec.partitions.is_empty() && !connector.has_partitions() {
                    let connector = connector.name();
                    let message = format!("connector '{connector}' writes no partitions");
                    return Err(text::at(&table.at, message).remedy("leave out PARTITIONED BY"));
                }
                let sink = connector.sink(&target.spec)?;
                let name = declared_name(&table.text).to_owned();
                let target = Target { name, sink };
                let name = name_of(&target.name, others);
                let (zone, ttl) = (self.zone(), self.span(settings::STATE_TTL));
                let rounds_max = self.rounds_max();
                Ok(Job { name, plan, target, is_shown: false, zone, ttl, rounds_max, first })
            }
            Kind::Query(query) => {
                if others.iter().any(|job| job.is_shown) {
                    return Err(text::at(&first, "a script may have one SELECT without INSERT")
                        .remedy(
                            "INSERT the results into tables, or put them together by UNION ALL",
                        ));
                }
                let plan = queries::query(&self.session, &query)?;
                let target = Target { name: RESULT.to_owned(), sink: (self.planner.result)() };
                let name = name_of(RESULT, others);
                let (zone, ttl) = (self.zone(), self.span(settings::STATE_TTL));
                let rounds_max = self.rounds_max();
                Ok(Job { name, plan, target, is_shown: true, zone, ttl, rounds_max, first })
            }
            _ => Err(text::at(&first, "only a query or an INSERT can be planned")),
        }
    }

    /// Returns the table that an `INSERT` writes.
    fn target(&self, name: &Name) -> Result<Arc<Table>> {
        if self.session.is_view(&name.text) {
            return Err(text::at(&name.at, format!("`{}` is a view", name.text))
                .remedy("INSERT INTO a table"));
        }
        self.session.table(&name.text).cloned().ok_or_else(|| self.unknown_table(name))
    }

    fn unknown_table(&self, name: &Name) -> Error {
        self.session.unknown_table(&name.text).at(text::place(name.at.span))
    }

    /// Refuses names that stood for something else when a statement was planned.
    fn check_free(&self, name: &Name) -> Result<()> {
        if self.dropped.contains(&name.text) {
            let message = format!("`{}` was dropped behind an INSERT of this script", name.text);
            return Err(text::at(&name.at, message).remedy("give the new one another name"));
        }
        Ok(())
    }

    /// Makes a table; `CREATE TABLE … AS query` also inserts what the query gives.
    fn create_table(&mut self, mut create: CreateTable, first: TokenWithSpan) -> Result<()> {
        if create.if_not_exists && self.session.schema(&create.name.text).is_some() {
            return Ok(());
        }
        self.check_free(&create.name)?;
        if let Some(like) = create.like.take() {
            create = like.merge(self.declaration(&like.table)?, create)?;
        }
        let table = create.name.clone();
        let Some(query) = create.query.take() else { return self.declare(create) };
        create.columns.extend(define::columns_of(&self.session, &query, &create)?);
        self.script.defines.push(describe::create_table(&create));
        self.declare(create)?;
        let insert = Insert { table, partition: Vec::new(), columns: Vec::new(), query };
        let job = self.job(Kind::Insert(insert), first, &self.jobs)?;
        self.jobs.push(job);
        Ok(())
    }

    /// Returns how a table was declared.
    fn declaration(&self, name: &Name) -> Result<&CreateTable> {
        self.declared.get(&name.text).ok_or_else(|| match self.session.is_view(&name.text) {
            true => {
                text::at(&name.at, format!("`{}` is a view", name.text)).remedy("name a table here")
            }
            false => self.unknown_table(name),
        })
    }

    /// Makes the tables that a statement uses with other options than their own.
    fn hinted(&mut self, hints: &Hints) -> Result<()> {
        self.session.heed(&hints.of_tables);
        for name in &hints.ignored {
            let notice = format!("hint {name} has no meaning here and is ignored");
            add_once(&mut self.script.notices, notice);
        }
        for hint in &hints.tables {
            if self.session.table(&hint.name).is_some() {
                continue;
            }
            let mut create = self.declaration(&hint.table)?.clone();
            create.name = Name { at: hint.table.at.clone(), text: hint.name.clone() };
            create.options.retain(|own| hint.options.iter().all(|o| o.key.text != own.key.text));
            create.options.extend(hint.options.iter().cloned());
            self.declare(create)?;
        }
        Ok(())
    }

    fn declare(&mut self, create: CreateTable) -> Result<()> {
        let at = create.name.at.clone();
        let place = (&self.session, self.zone());
        let table = define::table(create.clone(), place, &self.planner.registry)?;
        self.declared.insert(create.name.text.clone(), create);
        for key in &table.engine.parallelism {
            let notice =
                format!("'{key}' has no meaning here: every worker of a job reads and writes");
            add_once(&mut self.script.notices, notice);
        }
        self.session.add_table(table).map_err(|error| located(error, &at))
    }

    fn create_view(&mut self, create: CreateView) -> Result<()> {
        let name = &create.name;
        if create.if_not_exists && self.session.schema(&name.text).is_some() {
            return Ok(());
        }
        self.check_free(name)?;
        let plan = define::view(&create, &self.session)?;
        self.session.add_view(&name.text, plan).map_err(|error| located(error, &name.at))?;
        self.views.insert(name.text.clone(), create);
        Ok(())
    }

    fn drop(&mut self, name: &Name, is_view: bool, if_exists: bool) -> Result<()> {
        if self.session.schema(&name.text).is_none() {
            return if if_exists { Ok(()) } else { Err(self.unknown_table(name)) };
        }
        if is_view != self.session.is_view(&name.text) {
            let (found, other) = if is_view { ("table", "TABLE") } else { ("view", "VIEW") };
            return Err(text::at(&name.at, format!("`{}` is a {found}", name.text))
                .remedy(format!("write DROP {other}")));
        }
        self.session.remove(&name.text)?;
        self.declared.remove(&name.text);
        self.views.remove(&name.text);
        if !self.jobs.is_empty() {
            self.dropped.insert(name.text.clone());
        }
        Ok(())
    }

    fn set(&mut self, pair: Pair) -> Result<()> {
        match settings::check(&pair)? {
            Effect::Obeyed => {
                self.script.settings.insert(pair.key.text, pair.value.text);
            }
            Effect::Ignored => {
                let notice = format!("'{}' has no meaning here and is ignored", pair.key.text);
                add_once(&mut self.script.notices, notice);
            }
        }
        Ok(())
    }

    /// Plans statements that are explained together.
    fn jobs_of(&mut self, statements: Vec<Statement>) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for statement in statements {
            let first = statement.first.clone();
            self.hinted(&statement.hints)?;
            let job = self.job(statement.kind, statement.first, &jobs);
            jobs.push(job.map_err(|error| located(error, &first))?);
        }
        Ok(jobs)
    }

    fn explain(&mut self, detail: Detail, statements: Vec<Statement>) -> Result<()> {
        let jobs = self.jobs_of(statements)?;
        let plan = self.lower(jobs)?;
        let tree = match detail {
            Detail::Plan => explain::explain(&plan),
            Detail::Changes => explain::explain_with(&plan, &|node| explain::changes(&plan, node)),
        };
        self.script.outputs.push(tree.trim_end().to_owned());
        Ok(())
    }

    /// Lowers statements into one plan.
    fn lower(&self, jobs: Vec<Job>) -> Result<Plan> {
        let mut optimized = Vec::new();
        for job in &jobs {
            let plan = self.session.optimize(&job.plan, job.zone);
            let plan = plan.map_err(|e| located(e, &job.first))?;
            let (zone, ttl, rounds_max) = (job.zone, job.ttl, job.rounds_max);
            optimized.push(Query { plan, zone, ttl, rounds_max });
        }
        let mut lowering = Lowering::new(&self.session, &self.planner.registry, &optimized)?;
        let has_duplicates = self.script.settings.get(CDC_DUPLICATES);
        lowering.has_duplicates = has_duplicates.is_some_and(|value| value == "true");
        for (job, plan) in jobs.into_iter().zip(&optimized) {
            let lowered = lowering.statement(&job.name, plan, job.target);
            lowered.map_err(|error| located(error, &job.first))?;
        }
        let mut plan = lowering.builder.finish();
        script::share(&mut plan, self.declared.keys().map(String::as_str))?;
        if let Some(timeout) = self.span(settings::IDLE_TIMEOUT) {
            let sources = plan.nodes.iter_mut().filter_map(|node| match &mut node.kind {
                NodeKind::Source(source) => Some(source),
                _ => None,
            });
            sources.for_each(|source| {
                source.idle_timeout.get_or_insert(timeout);
            });
        }
        Ok(plan)
    }

    /// Returns the session's time zone, as far as the script is read.
    fn zone(&self) -> Zone {
        let name = self.script.settings.get(settings::TIME_ZONE);
        name.and_then(|name| Zone::named(name.trim())).unwrap_or_else(Zone::utc)
    }

    /// Returns a span of time that is set; `None` if it is not, or 0.
    /// Returns how many rounds a recursive relation may take.
    fn rounds_max(&self) -> u32 {
        let rounds = self.script.settings.get(settings::ROUNDS);
        rounds.and_then(|text| text.trim().parse().ok()).unwrap_or(ROUNDS_MAX)
    }

    fn span(&self, key: &str) -> Option<Duration> {
        let text = self.script.settings.get(key)?;
        parse_duration(text.trim()).filter(|span| !span.is_zero())
    }

    fn finish(&mut self) -> Result<Script> {
        let jobs = std::mem::take(&mut self.jobs);
        if jobs.is_empty() {
            return Ok(self.script.clone());
        }
        let plan = self.lower(jobs)?;
        let weak = guarantees(&plan, &mut self.script.notices);
        self.script.notices.extend(endless(&plan));
        let required = self.script.settings.get("require.exactly-once");
        if required.is_some_and(|value| value == "true")
            && let Some(weak) = weak
        {
            return Err(Error::invalid(format!("'require.exactly-once' is set, and {weak}")));
        }
        Ok(Script { plan: Some(plan), ..self.script.clone() })
    }
}

fn not_alone(first: &TokenWithSpan) -> Error {
    text::at(first, "EXPLAIN ANALYZE runs what it explains, and nothing else of its script")
        .remedy("put all INSERTs into one: EXPLAIN ANALYZE STATEMENT SET BEGIN … END")
}

/// Names a statement by what it writes, so that its state is found again.
fn name_of(target: &str, others: &[Job]) -> String {
    match others.iter().filter(|job| job.target.name == target).count() {
        0 => target.to_owned(),
        count => format!("{target}-{}", count + 1),
    }
}

fn add_once(notices: &mut Vec<String>, notice: String) {
    if !notices.contains(&notice) {
        notices.push(notice);
    }
}

/// Name under which the result of a bare `SELECT` goes.
pub const RESULT: &str = "result";

/// Names the operators whose state grows as long as the job runs.
fn endless(plan: &Plan) -> impl Iterator<Item = String> {
    explain::unbounded(plan).into_iter().map(|node| {
        let (name, remedy) = (&node.operator, "or see EXPLAIN");
        match &node.kind {
            NodeKind::Match(search) if search.endless().is_some() => format!(
                "the search of `{name}` can run for ever: PATTERN (…) WITHIN INTERVAL …, {remedy}"
            ),
            NodeKind::Match(_) => {
                format!("state of `{name}` is unbounded: PATTERN (…) WITHIN INTERVAL …, {remedy}")
            }
            _ => format!("state of `{name}` is unbounded: SET 'table.exec.state.ttl', {remedy}"),
        }
    })
}

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
        add_once(notices, text);
    }
    weak
}

#[cfg(test)]
mod tests;
