//! DataFusion's session: what it may know and which of its rules suit a stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, TableReference};
use datafusion::datasource::ViewTable;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_limit::EliminateLimit;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use thalweg_types::{Error, Result};
use tokio::runtime::Runtime;

use crate::catalog::{Planned, Table};
use crate::functions;
use crate::rewrite::{self, Unnests};
use crate::text::{parse_error, plan_error};
use crate::tokens::parser;
use crate::window_tvf::Relations;

/// Plans expressions and queries over the tables of a script.
pub(crate) struct Session {
    context: SessionContext,
    unnests: Unnests,
    tables: BTreeMap<String, Arc<Table>>,
    views: Vec<String>,
    runtime: Runtime,
}

/// The rules that keep a stream a stream: none folds the clock, turns a DISTINCT into joins or
/// pulls sub-queries apart.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateLimit::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ]
}

impl Session {
    pub(crate) fn new() -> Result<Session> {
        let unnests = Unnests::default();
        let mut config = SessionConfig::new();
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.collect_spans = true;
        let planner = Relations { unnests: unnests.clone() };
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_optimizer_rules(rules())
            .with_relation_planners(vec![Arc::new(planner)])
            .build();
        let context = SessionContext::new_with_state(state);
        functions::all().into_iter().for_each(|function| context.register_udf(function));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| Error::failed(format!("cannot start the planner: {error}")))?;
        let (tables, views) = (BTreeMap::new(), Vec::new());
        Ok(Session { context, unnests, tables, views, runtime })
    }

    /// Returns the table called `name`.
    pub(crate) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// Returns the names of all tables and views.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.tables.keys().chain(&self.views).map(String::as_str).collect()
    }

    pub(crate) fn add_table(&mut self, table: Table) -> Result<()> {
        let table = Arc::new(table);
        self.register(&table.name, Arc::new(Planned(table.clone())))?;
        self.tables.insert(table.name.clone(), table);
        Ok(())
    }

    pub(crate) fn add_view(&mut self, name: &str, plan: LogicalPlan) -> Result<()> {
        self.register(name, Arc::new(ViewTable::new(plan, None)))?;
        self.views.push(name.to_owned());
        Ok(())
    }

    fn register(&self, name: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
        let before = self.context.register_table(TableReference::bare(name), provider);
        match before.map_err(plan_error)? {
            None => Ok(()),
            Some(_) => Err(Error::invalid(format!("table or view `{name}` exists already"))),
        }
    }

    /// Forgets a table or view; returns whether it was there.
    pub(crate) fn remove(&mut self, name: &str) -> Result<bool> {
        self.tables.remove(name);
        self.views.retain(|view| view != name);
        let removed = self.context.deregister_table(TableReference::bare(name));
        Ok(removed.map_err(plan_error)?.is_some())
    }

    /// Plans an expression over the columns of `schema`.
    pub(crate) fn expression(&self, tokens: &[TokenWithSpan], schema: &DFSchema) -> Result<Expr> {
        let tokens = rewrite::tokens(tokens);
        let mut parser = parser(&tokens);
        let parsed = parser.parse_expr().map_err(|error| parse_error(&error.to_string()))?;
        let state = self.context.state();
        let expr = state.create_logical_expr_from_sql_expr(
            datafusion::sql::sqlparser::ast::ExprWithAlias { expr: parsed, alias: None },
            schema,
        );
        let expr = expr.map_err(plan_error)?;
        let context = datafusion::logical_expr::simplify::SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .build();
        let simplifier = datafusion::optimizer::simplify_expressions::ExprSimplifier::new(context);
        simplifier.coerce(expr, schema).map_err(plan_error)
    }

    /// Plans a query, without optimising it.
    pub(crate) fn query(&self, tokens: &[TokenWithSpan]) -> Result<LogicalPlan> {
        let tokens = rewrite::tokens(tokens);
        let mut parser = parser(&tokens);
        let failed = |error: datafusion::sql::sqlparser::parser::ParserError| {
            parse_error(&error.to_string())
        };
        let mut query: Box<Query> = parser.parse_query().map_err(failed)?;
        let left = parser.peek_token();
        if left.token != datafusion::sql::sqlparser::tokenizer::Token::EOF {
            let message = format!("expected the end of the statement, found `{}`", left.token);
            return Err(crate::text::at(&left, message));
        }
        self.unnests.rewrite(&mut query);
        let statement = DataFusionStatement::Statement(Box::new(Statement::Query(query)));
        let state = self.context.state();
        self.runtime.block_on(state.statement_to_plan(statement)).map_err(plan_error)
    }

    /// Coerces types and optimises.
    pub(crate) fn optimize(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        self.context.state().optimize(plan).map_err(plan_error)
    }
}
