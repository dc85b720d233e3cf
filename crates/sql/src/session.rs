//! DataFusion's session: what it may know and which of its rules suit a stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::ViewTable;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_limit::EliminateLimit;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use thalweg_types::{Error, Result, Zone};
use tokio::runtime::Runtime;

use crate::as_of;
use crate::catalog::{Planned, Table, declared_name};
use crate::copies;
use crate::emit::{self, Surroundings};
use crate::functions;
use crate::grouping;
use crate::local_time;
use crate::meaning::{self, Meaning, simplifier};
use crate::not_in;
use crate::numbered;
use crate::one_group::LeaveOutColumns;
use crate::pane_functions;
use crate::patterns::{self, Patterns};
use crate::planned;
use crate::recursive;
use crate::rewrite::{self, Unnests};
use crate::scalar_subquery::{self, JoinScalars};
use crate::set_operation;
use crate::sums;
use crate::table_hint::TableHints;
use crate::text::{missing_table, parse_error, plan_error, suggest};
use crate::tokens::{finished, parser};
use crate::types::FlinkTypes;
use crate::window_tvf::{Relations, span_of};

/// Plans expressions and queries over the tables of a script.
pub(crate) struct Session {
    context: SessionContext,
    unnests: Unnests,
    patterns: Patterns,
    hints: TableHints,
    tables: BTreeMap<String, Arc<Table>>,
    views: BTreeMap<String, View>,
    runtime: Runtime,
}

/// The rules that keep a stream a stream: none folds the clock or turns a DISTINCT into joins.
///
/// Scalar sub-queries become joins before anything is made simpler: a condition that comes out as a
/// constant no longer says that a sub-query depends on the row around it. Some need it, though.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(RewriteSetComparison::new()),
        Arc::new(JoinScalars::if_possible()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(JoinScalars::or_refuse()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(DecorrelateLateralJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateLimit::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(LeaveOutColumns::default()),
    ]
}

/// DataFusion's functions that mean something else in a stream: a clock is folded into the time
/// of planning, which also differs from process to process; `DATE_FORMAT` reads another pattern
/// than Flink's; chance differs after a restart. They are taken out, so that only ours can be found.
const UNSUITED: [&str; 6] =
    ["now", "current_date", "current_time", "date_format", "random", "uuid"];

/// What a view is known by.
struct View {
    schema: SchemaRef,
}

impl Session {
    pub(crate) fn new() -> Result<Session> {
        let (unnests, patterns) = (Unnests::default(), Patterns::default());
        let mut config = SessionConfig::new();
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.collect_spans = true;
        // As in Flink, NULL is the lowest value.
        options.sql_parser.default_null_ordering = "nulls_min".to_owned();
        let planner = Relations { unnests: unnests.clone(), patterns: patterns.clone() };
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_optimizer_rules(rules())
            .with_relation_planners(vec![Arc::new(planner)])
            .with_type_planner(Arc::new(FlinkTypes))
            .build();
        let mut context = SessionContext::new_with_state(state);
        context.register_function_rewrite(Arc::new(Meaning)).map_err(plan_error)?;
        UNSUITED.iter().for_each(|name| context.deregister_udf(name));
        functions::all().into_iter().for_each(|function| context.register_udf(function));
        planned::all().into_iter().for_each(|function| context.register_udaf(function));
        pane_functions::all().into_iter().for_each(|function| context.register_udaf(function));
        sums::all().into_iter().for_each(|function| context.register_udaf(function));
        numbered::all().into_iter().for_each(|function| context.register_udwf(function));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| Error::failed(format!("cannot start the planner: {error}")))?;
        let (tables, views, hints) = Default::default();
        Ok(Session { context, unnests, patterns, hints, tables, views, runtime })
    }

    /// Forgets the hints of the script before.
    pub(crate) fn begin(&mut self) {
        self.hints = TableHints::default();
    }

    /// Heeds the `STATE_TTL` hints of a statement.
    pub(crate) fn heed(&mut self, hints: &TableHints) {
        self.hints.extend(hints);
    }

    /// Returns the table called `name`.
    pub(crate) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// Returns the schema of the table or view called `name`.
    pub(crate) fn schema(&self, name: &str) -> Option<SchemaRef> {
        let table = self.tables.get(name).map(|table| table.schema());
        table.or_else(|| self.views.get(name).map(|view| view.schema.clone()))
    }

    /// Is `name` a view?
    pub(crate) fn is_view(&self, name: &str) -> bool {
        self.views.contains_key(name)
    }

    /// Returns the names of all tables and views, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.tables.keys().chain(self.views.keys()).map(String::as_str).collect();
        names.retain(|name| declared_name(name) == *name);
        names.sort_unstable();
        names
    }

    /// Returns the names of all views, in order.
    pub(crate) fn views(&self) -> Vec<&str> {
        self.views.keys().map(String::as_str).collect()
    }

    /// Returns the names of all functions and aggregates, in order.
    pub(crate) fn functions(&self) -> Vec<String> {
        let state = self.context.state();
        let scalars = state.scalar_functions().keys();
        let names = scalars.chain(state.aggregate_functions().keys());
        // Ours alone begin so.
        let names: BTreeSet<&String> = names.filter(|name| !name.starts_with("__")).collect();
        names.into_iter().cloned().collect()
    }

    /// Says that there is no table called `name`, and which one may be meant.
    pub(crate) fn unknown_table(&self, name: &str) -> Error {
        let error = Error::invalid(format!("there is no table `{name}`"));
        suggest(error, name, &self.names())
    }

    /// Turns an error of DataFusion's into ours.
    fn failed(&self, error: DataFusionError) -> Error {
        match missing_table(&error) {
            None => plan_error(error),
            Some(name) => {
                let places = plan_error(error).places().to_vec();
                places.into_iter().fold(self.unknown_table(&name), Error::at)
            }
        }
    }

    pub(crate) fn add_table(&mut self, table: Table) -> Result<()> {
        let table = Arc::new(table);
        self.register(&table.name, Arc::new(Planned(table.clone())))?;
        self.tables.insert(table.name.clone(), table);
        Ok(())
    }

    pub(crate) fn add_view(&mut self, name: &str, plan: LogicalPlan) -> Result<()> {
        let schema = Arc::new(plan.schema().as_arrow().clone());
        self.register(name, Arc::new(ViewTable::new(plan, None)))?;
        self.views.insert(name.to_owned(), View { schema });
        Ok(())
    }

    fn register(&self, name: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
        if self.schema(name).is_some() {
            return Err(Error::invalid(format!("table or view `{name}` exists already")));
        }
        let registered = self.context.register_table(TableReference::bare(name), provider);
        registered.map(|_| ()).map_err(plan_error)
    }

    /// Forgets a table or view, also with other options; returns whether it was there.
    pub(crate) fn remove(&mut self, name: &str) -> Result<bool> {
        self.views.remove(name);
        let context = &self.context;
        let forget = |name: &str| context.deregister_table(TableReference::bare(name));
        let mut removed = forget(name).map_err(plan_error)?.is_some();
        for hinted in self.tables.keys().filter(|known| declared_name(known) == name) {
            removed |= forget(hinted).map_err(plan_error)?.is_some();
        }
        self.tables.retain(|known, _| declared_name(known) != name);
        Ok(removed)
    }

    /// Plans an expression over the columns of `schema`, as it is meant in `zone`.
    pub(crate) fn expression(
        &self,
        tokens: &[TokenWithSpan],
        schema: &DFSchema,
        zone: Zone,
    ) -> Result<Expr> {
        let parsed = self.unnests.expression(tokens)?;
        let state = self.context.state();
        let expr = state.create_logical_expr_from_sql_expr(
            datafusion::sql::sqlparser::ast::ExprWithAlias { expr: parsed, alias: None },
            schema,
        );
        let expr = expr.and_then(|expr| meaning::expression(expr, schema)).map_err(plan_error)?;
        localized(expr, schema, zone)
    }

    /// Plans a query, without optimising it.
    pub(crate) fn query(&self, tokens: &[TokenWithSpan]) -> Result<LogicalPlan> {
        rewrite::check(tokens)?;
        let (tokens, emits) = emit::take(tokens, self)?;
        let tokens = patterns::take(&tokens, self, (&self.patterns, &self.unnests))?;
        let tokens = rewrite::tokens(&tokens);
        let mut parser = parser(&tokens);
        let mut query: Box<Query> =
            parser.parse_query().map_err(|error| parse_error(&error, &tokens))?;
        finished(&parser)?;
        self.hints.mark(&mut query)?;
        self.unnests.rewrite(&mut query)?;
        let state = self.context.state();
        emits.mark(&mut query, &|name| state.aggregate_functions().contains_key(name))?;
        let statement = DataFusionStatement::Statement(Box::new(Statement::Query(query)));
        let plan = self.runtime.block_on(state.statement_to_plan(statement));
        plan.map_err(|error| self.failed(error))
    }

    /// Coerces types, takes times as they are meant in `zone`, and optimises.
    pub(crate) fn optimize(&self, plan: &LogicalPlan, zone: Zone) -> Result<LogicalPlan> {
        let state = self.context.state();
        let joined = not_in::as_exists(plan.clone())
            .and_then(scalar_subquery::join)
            .and_then(set_operation::count)
            .and_then(as_of::tie)
            .and_then(grouping::of_columns)
            .and_then(copies::mark);
        let analyze =
            |plan| state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {});
        let settled = joined.and_then(|plan| recursive::settle(plan, &analyze));
        let meant = settled.and_then(analyze).and_then(|plan| local_time::plan(plan, zone));
        let optimized = meant.and_then(|plan| state.optimizer().optimize(plan, &state, |_, _| {}));
        optimized.map_err(plan_error)
    }
}

impl Surroundings for Session {
    fn span(&self, interval: &[TokenWithSpan]) -> Result<Duration> {
        let interval = self.expression(interval, &DFSchema::empty(), Zone::utc())?;
        let nanos = span_of(&interval).map_err(plan_error)?;
        let nanos = u64::try_from(nanos);
        Ok(Duration::from_nanos(nanos.map_err(|_| Error::invalid("an INTERVAL below 0"))?))
    }

    fn columns(&self, table: &str) -> Result<Vec<String>> {
        let schema = self.table(table).map(|table| table.spec.schema.clone());
        let schema = schema.ok_or_else(|| self.unknown_table(table))?;
        Ok(schema.fields().iter().map(|field| field.name().clone()).collect())
    }
}

/// Returns an expression whose types are coerced as it is meant in `zone`, with its constants folded.
pub(crate) fn localized(expr: Expr, schema: &DFSchema, zone: Zone) -> Result<Expr> {
    let meant = local_time::expression(expr, schema, zone);
    meant.and_then(|expr| simplifier(schema).simplify(expr)).map_err(plan_error)
}
