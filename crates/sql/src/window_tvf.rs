//! Relations that we plan ourselves: window table functions, arrays unnested beside a table, and
//! tables with a `STATE_TTL` hint, of a query with `EMIT`, or searched by `MATCH_RECOGNIZE`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue, TableReference};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore, col,
};
use datafusion::sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, TableAlias, TableFactor,
};
use thalweg_plan::window::Assigner;
use thalweg_types::Error;

use crate::emit;
use crate::noted::{Note, Noted};
use crate::patterns::{Patterns, SearchPlan};
use crate::rewrite::{UNNEST, Unnests};
use crate::table_hint::marked;
use crate::text::wrap;

/// Names of the columns that a window table function adds.
pub(crate) const WINDOW_COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// Adds window columns to its input.
#[derive(Clone, Debug)]
pub(crate) struct WindowTvf {
    pub(crate) input: LogicalPlan,
    /// Position of the time column in the input.
    pub(crate) time: usize,
    pub(crate) assigner: Assigner,
    /// Columns of the input by which sessions are told apart.
    pub(crate) partition: Vec<usize>,
    schema: DFSchemaRef,
}

impl WindowTvf {
    /// Returns the schema of the result.
    pub(crate) fn schema_ref(&self) -> &DFSchema {
        &self.schema
    }

    fn new(
        input: LogicalPlan,
        time: usize,
        assigner: Assigner,
        partition: Vec<usize>,
    ) -> Result<WindowTvf> {
        let schema = input.schema();
        let kind = schema.field(time).data_type().clone();
        let qualifier = schema.qualified_field(time).0.cloned();
        let mut fields: Vec<(Option<TableReference>, Arc<Field>)> =
            schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
        // As in Flink, the bounds are plain times, and the last time is of the time column's type.
        let bound = match &kind {
            DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, None),
            other => other.clone(),
        };
        for (name, kind) in WINDOW_COLUMNS.into_iter().zip([bound.clone(), bound, kind]) {
            fields.push((qualifier.clone(), Arc::new(Field::new(name, kind, false))));
        }
        let schema = DFSchema::new_with_metadata(fields, schema.metadata().clone())?;
        Ok(WindowTvf { input, time, assigner, partition, schema: Arc::new(schema) })
    }
}

impl PartialEq for WindowTvf {
    fn eq(&self, other: &Self) -> bool {
        (self.time, self.assigner, &self.partition, &self.input)
            == (other.time, other.assigner, &other.partition, &other.input)
    }
}

impl Eq for WindowTvf {}

impl Hash for WindowTvf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.time, self.assigner, &self.partition, &self.input).hash(state);
    }
}

impl PartialOrd for WindowTvf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let own = (self.time, self.assigner, &self.partition);
        match own.cmp(&(other.time, other.assigner, &other.partition)) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for WindowTvf {
    fn name(&self) -> &str {
        "WindowTvf"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let columns = [self.time].into_iter().chain(self.partition.iter().copied());
        columns.map(|column| Expr::from(self.input.schema().qualified_field(column))).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "WindowTvf: {} on {}", self.assigner, self.input.schema().field(self.time).name())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let missing = || DataFusionError::Internal("a window function lost its input".to_owned());
        let input = inputs.into_iter().next().ok_or_else(missing)?;
        let mut columns = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let Expr::Column(column) = expr else { return Err(missing()) };
            columns.push(input.schema().index_of_column(&column)?);
        }
        let Some((time, partition)) = columns.split_first() else { return Err(missing()) };
        WindowTvf::new(input, *time, self.assigner, partition.to_vec())
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        let mut needed: Vec<usize> =
            output_columns.iter().copied().filter(|column| *column < width).collect();
        needed.push(self.time);
        needed.extend(&self.partition);
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// Plans the relations of one script.
#[derive(Debug)]
pub(crate) struct Relations {
    pub(crate) unnests: Unnests,
    pub(crate) patterns: Patterns,
}

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if let Some((relation, asked)) = marked(&relation) {
            let input = context.plan(relation.clone())?;
            let planned = PlannedRelation::new(Noted::plan(input, Note::Hint(asked)), None);
            return Ok(RelationPlanning::Planned(Box::new(planned)));
        }
        if let Some((relation, emit)) = emit::marked(&relation) {
            let input = context.plan(relation.clone())?;
            let planned =
                PlannedRelation::new(Noted::plan(input, Note::Emit(Box::new(emit))), None);
            return Ok(RelationPlanning::Planned(Box::new(planned)));
        }
        if let Some((relation, clause)) = self.patterns.marked(&relation) {
            let input = context.plan(relation)?;
            let found = SearchPlan::plan(clause, input, context).map_err(wrap)?;
            return Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(found, None))));
        }
        let (name, arguments, alias) = match &relation {
            TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } => {
                (&function.name, arguments(function), alias.clone())
            }
            // Without `TABLE(…)` around it, as Flink also takes it.
            TableFactor::Table { name, args: Some(call), alias, .. } => {
                (name, call.args.clone(), alias.clone())
            }
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let name = name.to_string().to_ascii_uppercase();
        if name == UNNEST.to_ascii_uppercase() {
            return self.unnest(&arguments, context);
        }
        if !["TUMBLE", "HOP", "CUMULATE", "SESSION"].contains(&name.as_str()) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let mut call = Call::read(&name, &arguments)?;
        let partition = call.take_partition()?;
        let input = context.plan(call.relation()?)?;
        let time = call.time(&input)?;
        let assigner = call.assigner(context, input.schema())?;
        let mut columns = Vec::with_capacity(partition.len());
        for expr in partition {
            match context.sql_to_expr(expr, input.schema())? {
                Expr::Column(column) => columns.push(input.schema().index_of_column(&column)?),
                other => {
                    return refuse(format!("PARTITION BY `{other}` is no column"), "name columns");
                }
            }
        }
        let node = WindowTvf::new(input, time, assigner, columns)?;
        let node = Extension { node: Arc::new(node) };
        let planned = PlannedRelation::new(LogicalPlan::Extension(node), alias);
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

impl Relations {
    /// Plans `r CROSS JOIN UNNEST(e) AS t(c)`: the columns of `r`, and `t.c` behind them.
    fn unnest(
        &self,
        given: &[FunctionArg],
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let lost = || DataFusionError::Internal("an unnested relation is lost".to_owned());
        let Some(FunctionArgExpr::Expr(ast::Expr::Value(number))) = given.first().map(value) else {
            return Err(lost());
        };
        let number = number.value.to_string().parse().map_err(|_| lost())?;
        let unnested = self.unnests.get(number).ok_or_else(lost)?;
        let input = context.plan(unnested.relation)?;
        let array = context.sql_to_expr(unnested.array, input.schema())?;
        let name = format!("__unnest_{number}");
        let mut columns: Vec<Expr> =
            input.schema().columns().into_iter().map(Expr::Column).collect();
        let before = columns.clone();
        columns.push(array.alias(name.clone()));
        let plan = LogicalPlanBuilder::from(input).project(columns)?;
        let plan = plan.unnest_column(datafusion::common::Column::from_name(name.clone()))?;
        let (qualifier, column) = alias_of(unnested.alias);
        let word =
            col(datafusion::common::Column::from_name(name)).alias_qualified(qualifier, column);
        let plan = plan.project(before.into_iter().chain([word]))?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

fn alias_of(alias: Option<TableAlias>) -> (Option<TableReference>, String) {
    match alias {
        None => (None, "unnest".to_owned()),
        Some(alias) => {
            let column = alias.columns.first().map(|column| column.name.value.clone());
            let table = alias.name.value;
            let column = column.unwrap_or_else(|| table.clone());
            (Some(TableReference::bare(table)), column)
        }
    }
}

fn arguments(function: &ast::Function) -> Vec<FunctionArg> {
    match &function.args {
        FunctionArguments::List(list) => list.args.clone(),
        _ => Vec::new(),
    }
}

fn value(argument: &FunctionArg) -> FunctionArgExpr {
    match argument {
        FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } => arg.clone(),
        FunctionArg::Unnamed(arg) => arg.clone(),
    }
}

/// A call of a window table function, its arguments in the order of the documentation.
struct Call {
    name: String,
    arguments: Vec<ast::Expr>,
}

fn refuse<T>(message: impl Into<String>, remedy: &str) -> Result<T> {
    Err(wrap(Error::invalid(message).remedy(remedy)))
}

impl Call {
    /// Puts named arguments into their places.
    fn read(name: &str, given: &[FunctionArg]) -> Result<Call> {
        let names: &[&str] = match name {
            "TUMBLE" => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
            "HOP" => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
            "CUMULATE" => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
            _ => &["DATA", "TIMECOL", "GAP"],
        };
        let usage = format!("write {name}(TABLE t, DESCRIPTOR(time), …): {}", names.join(", "));
        let mut places: Vec<Option<ast::Expr>> = vec![None; names.len()];
        for (at, argument) in given.iter().enumerate() {
            let place = match argument {
                FunctionArg::Named { name, .. } => {
                    names.iter().position(|known| name.value.eq_ignore_ascii_case(known))
                }
                _ => Some(at).filter(|at| *at < names.len()),
            };
            match (place, value(argument)) {
                (Some(place), FunctionArgExpr::Expr(expr)) => places[place] = Some(expr),
                _ => {
                    return refuse(
                        format!("argument {} of {name} is not understood", at + 1),
                        &usage,
                    );
                }
            }
        }
        let required = names.len() - usize::from(names.contains(&"OFFSET"));
        if let Some(missing) = (0..required).find(|place| places[*place].is_none()) {
            return refuse(format!("{name} lacks its argument {}", names[missing]), &usage);
        }
        let arguments = places.into_iter().map_while(|place| place).collect();
        Ok(Call { name: name.to_owned(), arguments })
    }

    /// Takes out the columns of `TABLE t PARTITION BY …`, which stand in the sub-query as its
    /// `CLUSTER BY`: a place that the parser has and that means nothing else here.
    fn take_partition(&mut self) -> Result<Vec<ast::Expr>> {
        let Some(ast::Expr::Subquery(query)) = self.arguments.first_mut() else {
            return Ok(Vec::new());
        };
        let ast::SetExpr::Select(select) = query.body.as_mut() else { return Ok(Vec::new()) };
        let partition = std::mem::take(&mut select.cluster_by);
        if !partition.is_empty() && self.name != "SESSION" {
            return refuse(
                format!("{} takes no PARTITION BY", self.name),
                "leave it out, and name the columns in GROUP BY",
            );
        }
        Ok(partition)
    }

    fn relation(&self) -> Result<TableFactor> {
        match &self.arguments[0] {
            ast::Expr::Subquery(subquery) => Ok(TableFactor::Derived {
                lateral: false,
                subquery: subquery.clone(),
                alias: None,
                sample: None,
            }),
            other => {
                refuse(format!("`{other}` is no table"), "write TABLE t as the first argument")
            }
        }
    }

    /// Returns the position of the time column.
    fn time(&self, input: &LogicalPlan) -> Result<usize> {
        let descriptor = match &self.arguments[1] {
            ast::Expr::Function(function)
                if function.name.to_string().eq_ignore_ascii_case("DESCRIPTOR") =>
            {
                match arguments(function).first().map(value) {
                    Some(FunctionArgExpr::Expr(ast::Expr::Identifier(column))) => Some(column),
                    _ => None,
                }
            }
            _ => None,
        };
        let Some(column) = descriptor else {
            return refuse(
                format!("`{}` is no DESCRIPTOR", self.arguments[1]),
                "write DESCRIPTOR(column) as the second argument",
            );
        };
        let schema = input.schema();
        let found = schema.fields().iter().position(|field| *field.name() == column.value);
        let Some(found) = found else {
            return refuse(
                format!("there is no column `{}` to window by", column.value),
                "name the time column of the table in DESCRIPTOR",
            );
        };
        match schema.field(found).data_type() {
            DataType::Timestamp(_, _) => Ok(found),
            other => refuse(
                format!("column `{}` has type {other}, which is no time", column.value),
                "window by a TIMESTAMP column that has a WATERMARK",
            ),
        }
    }

    fn assigner(
        &self,
        context: &mut dyn RelationPlannerContext,
        schema: &DFSchema,
    ) -> Result<Assigner> {
        let mut spans = Vec::new();
        for argument in &self.arguments[2..] {
            let expr = context.sql_to_expr(argument.clone(), schema)?;
            spans.push(span_of(&expr)?);
        }
        let offset = |at: usize| spans.get(at).copied().unwrap_or(0);
        let positive = spans.iter().take(if self.name == "TUMBLE" { 1 } else { 2 }).all(|s| *s > 0);
        if !positive {
            return refuse(format!("the spans of {} must be positive", self.name), "use INTERVALs");
        }
        Ok(match self.name.as_str() {
            "TUMBLE" => Assigner::Tumble { size: spans[0], offset: offset(1) },
            "HOP" | "CUMULATE" if spans[1] % spans[0] != 0 => {
                return refuse(
                    format!("the size of {} is no multiple of its step", self.name),
                    "choose a size that the step divides",
                );
            }
            "HOP" => Assigner::Hop { slide: spans[0], size: spans[1], offset: offset(2) },
            "CUMULATE" => Assigner::Cumulate { step: spans[0], size: spans[1], offset: offset(2) },
            _ => Assigner::Session { gap: spans[0] },
        })
    }
}

/// Returns the nanoseconds of an interval that is a constant.
pub(crate) fn span_of(expr: &Expr) -> Result<i64> {
    const DAY: i64 = 86_400_000_000_000;
    let span = match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(span)), _) if span.months == 0 => {
            Some(i64::from(span.days) * DAY + span.nanoseconds)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(span)), _) => {
            Some(i64::from(span.days) * DAY + i64::from(span.milliseconds) * 1_000_000)
        }
        Expr::Negative(inner) => Some(-span_of(inner)?),
        _ => None,
    };
    match span {
        Some(span) => Ok(span),
        None => refuse(
            format!("`{expr}` is no span of fixed length"),
            "write INTERVAL '10' SECOND, MINUTE, HOUR or DAY",
        ),
    }
}

/// Returns the assigner with its spans in `unit` instead of nanoseconds.
///
/// # Errors
/// `Invalid` if a span is no whole number of units.
pub(crate) fn in_unit(assigner: Assigner, unit: TimeUnit) -> Result<Assigner, Error> {
    let nanos_per = thalweg_types::time::nanos_per(unit);
    let of = |nanos: i64| match nanos % nanos_per {
        0 => Ok(nanos / nanos_per),
        _ => Err(Error::invalid(format!(
            "a window of {nanos} nanoseconds does not fit a time column in {unit:?}s"
        ))
        .remedy("declare the time column with more digits, or choose whole units")),
    };
    Ok(match assigner {
        Assigner::Tumble { size, offset } => {
            Assigner::Tumble { size: of(size)?, offset: of(offset)? }
        }
        Assigner::Hop { size, slide, offset } => {
            Assigner::Hop { size: of(size)?, slide: of(slide)?, offset: of(offset)? }
        }
        Assigner::Cumulate { size, step, offset } => {
            Assigner::Cumulate { size: of(size)?, step: of(step)?, offset: of(offset)? }
        }
        Assigner::Session { gap } => Assigner::Session { gap: of(gap)? },
        other => other,
    })
}
