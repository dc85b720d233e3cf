//! What DataFusion planned and optimised, as nodes of a plan.
//!
//! Invariants: the columns of a lowered node are those of the logical plan, in order; for each
//! column it is known whether it is a time attribute or part of a window, so that whatever needs
//! one can say what is missing.

mod aggregate;
mod ranking;
mod statement;

mod rejected;

mod prune;

mod broadcast;
mod temporal;
mod time_bound;

mod join;

mod recursion;

mod halves;

mod scan;
mod search;
mod sessions;
mod top;
mod values;

mod order;
mod over;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{
    Distinct, Expr, Extension, Filter as FilterPlan, LogicalPlan, Projection as ProjectionPlan,
    Unnest as UnnestPlan,
};
use thalweg_plan::PlanBuilder;
use thalweg_plan::connector::Registry;
use thalweg_plan::function::Transform;
use thalweg_plan::join::VersionSource;
use thalweg_plan::loops::ROUNDS_MAX;
use thalweg_plan::node::{BadRecords, Exchange, Input, MapNode, NodeKind};
use thalweg_plan::trail::Share;
use thalweg_plan::window::{Assigner, TimeBasis};
use thalweg_types::{Error, NodeId, Result, Zone};

use self::prune::Kept;
use self::scan::Reading;
pub(crate) use self::statement::{Query, Target};
use crate::emit::Emit;
use crate::expression::{Expression, Filter, Projection};
use crate::functions::{SPLIT, is_processing_time, one_byte};
use crate::local_time::is_instant;
use crate::noted::{Note, Noted};
use crate::session::Session;
use crate::table_hint::Asked;
use crate::text::{RELATIONAL, plan_error, to_come};
use crate::unnest::{SplitWords, Unnest};
use crate::window_tvf::{WindowTvf, in_unit};
use crate::windowing::{AssignWindow, ExpandWindows};

/// What a column means beyond its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing.
    #[default]
    Plain,
    /// Event time, with a watermark behind it.
    Rowtime,
    /// Event time of a match that nothing says how long it takes: the watermark may be far ahead.
    Belated,
    /// The wall clock, from `PROCTIME()`.
    Proctime,
    /// What the sessions of the row's window are told apart by.
    SessionKey,
    /// What the row is a version of.
    VersionKey,
    /// Start of the row's window.
    WindowStart,
    /// End of the row's window.
    WindowEnd,
    /// Last instant of the row's window; event time as well.
    WindowTime,
}

impl Role {
    /// Is the column a part of the row's window?
    fn is_window(self) -> bool {
        matches!(self, Role::WindowStart | Role::WindowEnd | Role::WindowTime)
    }
}

/// A lowered node and what its columns mean.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) node: NodeId,
    pub(crate) roles: Vec<Role>,
    /// The windows that rows carry: true ones, or slices and proto-sessions that only an
    /// aggregation can make true ones of.
    pub(crate) window: Option<Assigner>,
    /// Which time drives the windows.
    pub(crate) basis: TimeBasis,
    /// The zone in whose local time they lie, if they were assigned to instants.
    pub(crate) zone: Option<Zone>,
    /// By how many columns sessions are told apart; 0 if the query did not say.
    pub(crate) session_keys: usize,
    /// What becomes of rows whose expressions fail.
    pub(crate) bad_records: BadRecords,
    /// Where they go, if they are diverted.
    pub(crate) bad_table: Option<String>,
    /// Where late rows go, if anywhere.
    pub(crate) late_table: Option<String>,
    pub(crate) is_bounded: bool,
    /// How long what reads it keeps its rows, if a hint says so; zero for ever.
    pub(crate) ttl: Option<Duration>,
    /// Does a hint ask that a join copies its rows to all workers?
    pub(crate) is_copied: bool,
    /// What the aggregation that reads it sends, if the query says so.
    pub(crate) emit: Option<Emit>,
    /// What its rows are versions of, if they are lowered for a temporal join.
    pub(crate) versioned: Option<Versioned>,
}

/// A table whose rows say from when on the row of a key is which.
#[derive(Clone, Debug)]
pub(crate) struct Versioned {
    /// What its rows say.
    pub(crate) source: VersionSource,
    /// Names of the columns of its key, which have [`Role::VersionKey`].
    pub(crate) key: Vec<String>,
}

impl Stream {
    /// Can the row's window be told from columns of these roles? Where clocks are set back its last
    /// instant does not tell its last local time.
    fn is_kept(&self, roles: &[Role]) -> bool {
        let tells =
            |role: &Role| role.is_window() && (*role != Role::WindowTime || self.zone.is_none());
        roles.iter().any(tells)
    }
}

/// Lowers the statements of one script into one plan.
pub(crate) struct Lowering<'a> {
    pub(crate) builder: PlanBuilder,
    pub(crate) session: &'a Session,
    pub(crate) registry: &'a Registry,
    /// Columns of each table's source that the whole script needs.
    needed: BTreeMap<String, BTreeSet<usize>>,
    /// The names by which the whole script reads each table that was declared.
    readings: BTreeMap<String, BTreeSet<String>>,
    /// What of each table's partitions the whole script needs.
    kept: Kept,
    /// Tables whose end somebody waits for.
    awaited: BTreeSet<String>,
    /// What reads each table.
    sources: BTreeMap<String, Reading>,
    /// Name of the statement, for errors at run time.
    statement: String,
    /// The session's time zone for the statement.
    zone: Zone,
    /// By which share of delays the watermarks of tables trail their newest rows, instead of what
    /// their declarations say.
    percentile: Option<Share>,
    /// How long the statement keeps rows of state after they were written; `None` for ever.
    ttl: Option<Duration>,
    /// Rounds after which recursive relations of the statement end the job.
    rounds_max: u32,
    /// Late rows and bad records, by the table that they go to.
    rejected: BTreeMap<String, Vec<Input>>,
    /// Can a changelog say the same change several times?
    pub(crate) has_duplicates: bool,
    /// Statements that are still to come; behind the last one rejected rows get their sinks.
    to_come: usize,
}

impl<'a> Lowering<'a> {
    /// Returns a lowering of `plans`, all of one script, each with what was set for it.
    pub(crate) fn new(
        session: &'a Session,
        registry: &'a Registry,
        plans: &[Query],
    ) -> Result<Lowering<'a>> {
        let (mut needed, mut kept) = (BTreeMap::new(), Kept::new());
        let mut readings = BTreeMap::new();
        let mut awaited = BTreeSet::new();
        for plan in plans {
            scan::collect_needed((session, registry), plan, &mut needed)?;
            scan::collect_readings(&plan.plan, None, &mut readings)?;
            prune::collect(&plan.plan, &mut kept)?;
            temporal::collect_awaited(&plan.plan, &mut awaited)?;
        }
        let (builder, sources, rejected) = (PlanBuilder::new(), BTreeMap::new(), BTreeMap::new());
        let (statement, zone, to_come) = (String::new(), Zone::utc(), plans.len());
        Ok(Lowering {
            builder,
            session,
            registry,
            needed,
            readings,
            kept,
            awaited,
            sources,
            statement,
            zone,
            percentile: None,
            ttl: None,
            rounds_max: ROUNDS_MAX,
            rejected,
            has_duplicates: false,
            to_come,
        })
    }

    /// Lowers a logical plan.
    pub(crate) fn lower(&mut self, plan: &LogicalPlan) -> Result<Stream> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => {
                Ok(Stream { ttl: None, is_copied: false, ..self.lower(&alias.input)? })
            }
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                let all: Vec<usize> = (0..filter.input.schema().fields().len()).collect();
                Ok(self.filter(filter, all)?.0)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(input),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::RecursiveQuery(query) => self.recursive(query),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Sort(sort) => self.sort(sort, 0, sort.fetch),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Window(window) => self.over(window),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(empty) => self.empty(empty),
            LogicalPlan::Extension(Extension { node }) => {
                if let Some(Noted { input, note }) = Noted::of(plan) {
                    let before = self.percentile;
                    if let Note::Emit(emit) = note {
                        self.percentile = emit.percentile().or(before);
                    }
                    let stream = self.lower(input);
                    self.percentile = before;
                    let stream = stream?;
                    return Ok(match note {
                        Note::Hint(Asked::StateTtl(ttl)) => Stream { ttl: Some(*ttl), ..stream },
                        Note::Hint(Asked::Broadcast) => Stream { is_copied: true, ..stream },
                        Note::Emit(emit) => Stream { emit: Some(emit.as_ref().clone()), ..stream },
                        Note::Snapshot => stream,
                    });
                }
                if let Some(search) = node.as_any().downcast_ref() {
                    return self.search(search);
                }
                match node.as_any().downcast_ref::<WindowTvf>() {
                    Some(tvf) => self.window_tvf(tvf),
                    None => Err(unsupported(plan)),
                }
            }
            other => Err(unsupported(other)),
        }
    }

    /// Adds a stateless function behind a stream, fusing it with the one before.
    pub(crate) fn map(&mut self, stream: &mut Stream, transform: Arc<dyn Transform>) {
        let schema = transform.schema();
        let node = MapNode {
            transforms: vec![transform],
            bad_records: stream.bad_records,
            statement: self.statement.clone(),
        };
        let input = vec![forward(stream.node, 0)];
        stream.node = self.builder.add_map(node, input, schema);
        if let (BadRecords::Divert, Some(table)) = (stream.bad_records, &stream.bad_table) {
            self.reject(table, forward(stream.node, 1));
        }
    }

    pub(crate) fn schema(&self, stream: &Stream) -> SchemaRef {
        self.builder.plan().node(stream.node).schema.clone()
    }

    fn projection(&mut self, projection: &ProjectionPlan) -> Result<Stream> {
        let LogicalPlan::Filter(filter) = projection.input.as_ref() else {
            let stream = self.lower(&projection.input)?;
            return self.project(stream, projection.input.schema(), projection);
        };
        // Columns that only the condition reads are not filtered themselves.
        let input = filter.input.schema();
        let refs: BTreeSet<_> = projection.expr.iter().flat_map(Expr::column_refs).collect();
        let read: BTreeSet<usize> =
            refs.into_iter().filter_map(|column| input.maybe_index_of_column(column)).collect();
        let (stream, schema) = self.filter(filter, read.into_iter().collect())?;
        self.project(stream, &schema, projection)
    }

    /// Computes the columns of a projection over a stream of schema `input`.
    fn project(
        &mut self,
        mut stream: Stream,
        input: &DFSchema,
        projection: &ProjectionPlan,
    ) -> Result<Stream> {
        let exprs = &projection.expr;
        let roles: Vec<Role> =
            exprs.iter().map(|expr| role_of(expr, input, &stream.roles)).collect();
        let keeps_window = stream.is_kept(&roles);
        // An end that stands there twice is of one window in both places.
        let is_twice = |role: &Role| {
            role.is_window() && roles.iter().filter(|other| *other == role).count() > 1
        };
        if !keeps_window || roles.iter().any(is_twice) || touches_window(exprs, input, &stream) {
            stream = self.settle(stream)?;
        }
        let expressions = exprs.iter().map(|expr| Expression::new(expr, input));
        let expressions = expressions.collect::<Result<Vec<_>>>()?;
        let mut schema = nullable_windows(projection.schema.as_arrow());
        if stream.versioned.is_some() {
            // Of a key that is gone nothing else is known.
            schema = nullable_tail(&schema, exprs.len());
        }
        self.map(&mut stream, Arc::new(Projection::new(expressions, schema)));
        stream.roles = roles;
        stream.window = stream.window.filter(|_| keeps_window);
        Ok(stream)
    }

    /// Keeps the rows of a condition, and of their columns at least those of `read`; returns the
    /// schema of what is left.
    fn filter(&mut self, filter: &FilterPlan, read: Vec<usize>) -> Result<(Stream, DFSchema)> {
        let (predicate, input) = (&filter.predicate, filter.input.schema());
        if let Some(stream) = self.numbered_filter(predicate, &filter.input, &read)? {
            return Ok((stream, input.as_ref().clone()));
        }
        let mut stream = self.lower(&filter.input)?;
        let condition = Expr::IsTrue(Box::new(predicate.clone()));
        let kept: Vec<Role> = read.iter().map(|column| stream.roles[*column]).collect();
        // Which rows are of one session is decided before any of them is left out.
        let is_session = matches!(stream.window, Some(Assigner::Session { .. }));
        if is_session
            || !stream.is_kept(&kept)
            || touches_window(std::slice::from_ref(&condition), input, &stream)
        {
            stream = self.settle(stream)?;
        }
        let condition = Expression::new(predicate, input)?;
        let schema = self.schema(&stream);
        if read.len() == schema.fields().len() {
            self.map(&mut stream, Arc::new(Filter::new(condition, schema)));
            return Ok((stream, input.as_ref().clone()));
        }
        let fields = read.iter().map(|column| {
            let (qualifier, field) = input.qualified_field(*column);
            (qualifier.cloned(), field.clone())
        });
        let left = DFSchema::new_with_metadata(fields.collect(), input.metadata().clone());
        let left = left.map_err(plan_error)?;
        stream.roles = read.iter().map(|column| stream.roles[*column]).collect();
        let schema = Arc::new(schema.project(&read)?);
        self.map(&mut stream, Arc::new(Filter::keeping(condition, read, schema)));
        Ok((stream, left))
    }

    /// Makes true windows of slices.
    pub(crate) fn settle(&mut self, mut stream: Stream) -> Result<Stream> {
        match stream.window {
            None | Some(Assigner::Attached) => Ok(stream),
            Some(Assigner::Session { .. }) => self.session_rows(stream),
            Some(assigner) => {
                let at = |role| stream.roles.iter().position(|r| *r == role);
                let columns = [Role::WindowStart, Role::WindowEnd, Role::WindowTime].map(at);
                let some = columns.iter().flatten().next().copied().ok_or_else(lost_window)?;
                let schema = self.schema(&stream);
                let assigner = in_unit(assigner, unit_of(&schema, some)?)?;
                let zone = stream.zone;
                let expand = ExpandWindows { columns, assigner, zone, schema };
                self.map(&mut stream, Arc::new(expand));
                stream.window = Some(Assigner::Attached);
                Ok(stream)
            }
        }
    }

    fn window_tvf(&mut self, tvf: &WindowTvf) -> Result<Stream> {
        let stream = self.lower(&tvf.input)?;
        let basis = match stream.roles[tvf.time] {
            Role::Rowtime => TimeBasis::Event,
            Role::WindowTime => stream.basis,
            Role::Proctime => TimeBasis::Processing,
            _ => {
                let name = tvf.input.schema().field(tvf.time).name();
                return Err(no_time(name, stream.roles[tvf.time]));
            }
        };
        let mut stream = self.settle(stream)?;
        let schema = Arc::new(tvf.schema_ref().as_arrow().clone());
        let assigner = in_unit(tvf.assigner, unit_of(&schema, tvf.time)?)?;
        let schema = nullable_tail(&schema, 3);
        let is_zoned = is_instant(schema.field(tvf.time).data_type()) && !self.zone.is_utc();
        let zone = is_zoned.then_some(self.zone);
        self.map(&mut stream, Arc::new(AssignWindow { time: tvf.time, assigner, zone, schema }));
        for (column, role) in stream.roles.iter_mut().enumerate() {
            // The columns of an earlier window are times like others now.
            *role = match *role {
                Role::WindowTime if stream.basis == TimeBasis::Event => Role::Rowtime,
                _ if tvf.partition.contains(&column) => Role::SessionKey,
                Role::WindowStart | Role::WindowEnd | Role::WindowTime | Role::SessionKey => {
                    Role::Plain
                }
                other => other,
            };
        }
        stream.roles.extend([Role::WindowStart, Role::WindowEnd, Role::WindowTime]);
        (stream.basis, stream.zone) = (basis, zone);
        stream.session_keys = tvf.partition.len();
        stream.window = Some(match tvf.assigner {
            Assigner::Tumble { .. } => Assigner::Attached,
            assigner => assigner,
        });
        Ok(stream)
    }

    fn union(&mut self, union: &datafusion::logical_expr::Union) -> Result<Stream> {
        let mut streams = Vec::new();
        for input in &union.inputs {
            let stream = self.lower(input)?;
            streams.push(self.settle(stream)?);
        }
        let mut whole = streams[0].clone();
        for stream in &streams[1..] {
            for (role, other) in whole.roles.iter_mut().zip(&stream.roles) {
                *role = if role == other { *role } else { Role::Plain };
            }
            whole.is_bounded &= stream.is_bounded;
            let is_same =
                stream.window.is_some() && (stream.basis, stream.zone) == (whole.basis, whole.zone);
            whole.window = whole.window.filter(|_| is_same);
        }
        let inputs = streams.iter().map(|stream| forward(stream.node, 0)).collect();
        let schema: SchemaRef = Arc::new(union.schema.as_arrow().clone());
        let schema = nullable_windows(&schema);
        whole.node = self.builder.add(NodeKind::Union, inputs, schema);
        Ok(whole)
    }

    fn unnest(&mut self, unnest: &UnnestPlan) -> Result<Stream> {
        let [column] = unnest.list_type_columns.as_slice() else {
            let error = "UNNEST of more than one array is";
            return Err(to_come(RELATIONAL, error, "unnest them one after the other"));
        };
        let schema: SchemaRef = Arc::new(unnest.schema.as_arrow().clone());
        if let LogicalPlan::Projection(projection) = unnest.input.as_ref()
            && let Some((text, delimiter)) = split_of(&projection.expr[column.0])
        {
            let mut stream = self.lower(&projection.input)?;
            let input = projection.input.schema();
            let text = Expression::new(&as_view(text, input)?, input)?;
            let columns = projection.expr.iter().enumerate().map(|(index, expr)| {
                (index != column.0).then(|| Expression::new(expr, input)).transpose()
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let exprs = &projection.expr;
            let roles = exprs.iter().map(|expr| role_of(expr, input, &stream.roles)).collect();
            let schema = nullable_windows(&schema);
            self.map(&mut stream, Arc::new(SplitWords { text, delimiter, columns, schema }));
            stream.roles = roles;
            return Ok(stream);
        }
        let mut stream = self.lower(&unnest.input)?;
        let schema = nullable_windows(&schema);
        self.map(&mut stream, Arc::new(Unnest { column: column.0, schema }));
        stream.roles[column.0] = Role::Plain;
        Ok(stream)
    }
}

/// Says what cannot run as a stream, or not yet.
fn unsupported(plan: &LogicalPlan) -> Error {
    let (item, what, remedy) = match plan {
        LogicalPlan::Subquery(_) => (RELATIONAL, "a sub-query outside FROM is", "put it into FROM"),
        other => return Error::invalid(format!("`{}` is not supported yet", other.display())),
    };
    to_come(item, what, remedy)
}

/// Says that a column has no watermark behind it.
fn no_time(name: &str, role: Role) -> Error {
    match role {
        Role::Belated => Error::invalid(format!("column `{name}` may come long behind the watermark"))
            .remedy("bound how long a match may take: PATTERN (…) WITHIN INTERVAL …"),
        _ => Error::invalid(format!("column `{name}` is no event time")).remedy(format!(
            "declare WATERMARK FOR {name} AS … on its table, or window by a column that is PROCTIME()"
        )),
    }
}

fn lost_window() -> Error {
    Error::invalid(
        "the columns of a HOP, CUMULATE or SESSION window are left out before it is used",
    )
    .remedy("keep window_start and window_end until the GROUP BY")
}

pub(crate) fn forward(from: NodeId, port: usize) -> Input {
    Input { from, port, exchange: Exchange::Forward }
}

/// Returns the position of the column that `expr` is, if it is nothing else.
pub(crate) fn column_of(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Alias(alias) => column_of(&alias.expr, schema),
        _ => None,
    }
}

/// Returns what the value of `expr` over columns of these roles means.
pub(crate) fn role_of(expr: &Expr, schema: &DFSchema, roles: &[Role]) -> Role {
    match expr {
        Expr::Alias(alias) => role_of(&alias.expr, schema, roles),
        Expr::ScalarFunction(call) if is_processing_time(call.func.name()) => Role::Proctime,
        other => column_of(other, schema)
            .and_then(|column| roles.get(column))
            .map_or(Role::Plain, |role| *role),
    }
}

/// Does an expression compute with the window of slices, rather than pass it on?
fn touches_window(exprs: &[Expr], schema: &DFSchema, stream: &Stream) -> bool {
    let is_window = |column: usize| stream.roles[column].is_window();
    let has_slices = stream.window.is_some_and(|assigner| assigner != Assigner::Attached);
    has_slices
        && exprs.iter().filter(|expr| column_of(expr, schema).is_none()).any(|expr| {
            let columns = expr.column_refs();
            columns.iter().filter_map(|c| schema.maybe_index_of_column(c)).any(is_window)
        })
}

/// Returns the unit of a timestamp column.
pub(crate) fn unit_of(schema: &SchemaRef, column: usize) -> Result<TimeUnit> {
    match schema.field(column).data_type() {
        DataType::Timestamp(unit, _) => Ok(*unit),
        other => Err(Error::internal(format!("a window column of type {other}"))),
    }
}

/// Rows without a time have no window, until they are counted as late: such columns can be NULL.
fn nullable_windows(schema: &datafusion::arrow::datatypes::Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let is_time = matches!(field.data_type(), DataType::Timestamp(_, _));
        field.as_ref().clone().with_nullable(field.is_nullable() || is_time)
    });
    Arc::new(datafusion::arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

fn nullable_tail(schema: &SchemaRef, count: usize) -> SchemaRef {
    let first = schema.fields().len() - count;
    let fields = schema.fields().iter().enumerate().map(|(index, field)| {
        field.as_ref().clone().with_nullable(field.is_nullable() || index >= first)
    });
    Arc::new(datafusion::arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

/// Returns text and delimiter of `SPLIT(text, 'c')`.
fn split_of(expr: &Expr) -> Option<(&Expr, u8)> {
    match expr {
        Expr::Alias(alias) => split_of(&alias.expr),
        Expr::ScalarFunction(call) if call.func.name() == SPLIT => match call.args.as_slice() {
            [text, Expr::Literal(delimiter, _)] => Some((text, one_byte(delimiter)?)),
            _ => None,
        },
        _ => None,
    }
}

/// Returns `expr` as a string view.
fn as_view(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    use datafusion::logical_expr::ExprSchemable;
    expr.clone().cast_to(&DataType::Utf8View, schema).map_err(plan_error)
}

#[cfg(test)]
mod tests;
