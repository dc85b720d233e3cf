//! Table scans: which columns a source delivers, computed columns, the watermark.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, TableScan};
use thalweg_plan::alignment::Alignment;
use thalweg_plan::connector::Registry;
use thalweg_plan::function::Watermarker;
use thalweg_plan::join::VersionSource;
use thalweg_plan::node::{
    BadRecords, CheckNode, Exchange, Input, NodeKind, SourceNode, UpsertNode,
};
use thalweg_plan::source::Changes;
use thalweg_plan::trail::Share;
use thalweg_plan::window::TimeBasis;
use thalweg_types::{Error, NodeId, Result, Zone};

use super::prune::{self, table};
use super::{Lowering, Query, Role, Stream, Versioned, forward, nullable_tail, role_of};
use super::{halves, recursion};
use crate::catalog::{
    CDC_DUPLICATES, Column, Table, Watermark, declared_name, hint_of, hinted_name,
    recursive_relation,
};
use crate::expression::{
    AtTheEnd, Expression, GreatestWatermark, OfSource, PercentileWatermark, Projection,
};
use crate::local_time;
use crate::noted::{Note, Noted};
use crate::session::Session;
use crate::text::plan_error;

/// Adds the columns of sources that the scans of `plan` need to `needed`.
pub(super) fn collect_needed(
    (session, registry): (&Session, &Registry),
    query: &Query,
    needed: &mut BTreeMap<String, BTreeSet<usize>>,
) -> Result<()> {
    let mut outcome = Ok(());
    let walked = query.plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && recursive_relation(scan).is_none()
        {
            let columns = table(scan).and_then(|table| {
                let shape = Shape::of(session, &table, query.zone)?;
                let scanned = scanned_columns(scan, &table);
                let mut needed = shape.needed(scanned.iter().copied());
                let changes = changes(registry, &table)?;
                if changes != Changes::Append {
                    needed.extend(key_of(&table)?);
                }
                if is_checked(&table, changes) {
                    needed.extend(0..table.spec.schema.fields().len());
                }
                Ok((table.name.clone(), needed))
            });
            match columns {
                Ok((name, columns)) => needed.entry(name).or_default().extend(columns),
                Err(error) => outcome = Err(error),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(plan_error)?;
    outcome
}

/// Adds the names by which the scans of `plan` read each table that was declared, where watermarks trail by
/// `percentile`.
pub(super) fn collect_readings(
    plan: &LogicalPlan,
    percentile: Option<Share>,
    readings: &mut BTreeMap<String, BTreeSet<String>>,
) -> Result<()> {
    if let LogicalPlan::TableScan(scan) = plan
        && recursive_relation(scan).is_none()
    {
        let table = table(scan)?;
        let names = readings.entry(declared_name(&table.name).to_owned()).or_default();
        names.insert(reading_name(&table, percentile));
    }
    let percentile = match Noted::of(plan) {
        Some(Noted { note: Note::Emit(emit), .. }) => emit.percentile().or(percentile),
        _ => percentile,
    };
    plan.inputs().into_iter().try_for_each(|input| collect_readings(input, percentile, readings))
}

/// Returns the name by which what reads a table is known: for a watermark of its own it is read apart.
fn reading_name(table: &Table, percentile: Option<Share>) -> String {
    match (percentile, &table.watermark) {
        (Some(share), Some(_)) => {
            let (declared, options) = hint_of(&table.name).unwrap_or((&table.name, ""));
            let comma = if options.is_empty() { "" } else { ", " };
            hinted_name(declared, &format!("{options}{comma}AT PERCENTILE {share}"))
        }
        _ => table.name.clone(),
    }
}

/// Returns what the rows of a table say.
fn changes(registry: &Registry, table: &Table) -> Result<Changes> {
    Ok(registry.get(table.connector()?)?.changes(&table.spec))
}

/// Must it be known of each row of a table without a key whether it is there? What takes back another one is a
/// bad record then, and does not end the job.
fn is_checked(table: &Table, changes: Changes) -> bool {
    let is_tolerant = table.engine.bad_records != BadRecords::Fail;
    changes == Changes::Changelog && is_tolerant && table.spec.primary_key.is_empty()
}

/// Is a deletion of a version that is not there a bad record?
fn are_versions_checked(table: &Table, changes: Changes) -> bool {
    changes != Changes::Append && table.engine.bad_records != BadRecords::Fail
}

/// Returns the columns of a table's primary key among those that its source can hand over.
fn key_of(table: &Table) -> Result<Vec<usize>> {
    let schema = &table.spec.schema;
    table.spec.primary_key.iter().map(|column| Ok(schema.index_of(column)?)).collect()
}

fn scanned_columns(scan: &TableScan, table: &Table) -> Vec<usize> {
    scan.projection.clone().unwrap_or_else(|| (0..table.columns.len()).collect())
}

/// A table's columns as expressions over those that its source can hand over.
struct Shape {
    /// The columns of the source: physical ones and metadata.
    readable: DFSchema,
    /// For each column of the table, its expression over those of the source.
    columns: Vec<Expr>,
    watermark: Option<Expr>,
    /// The column of event time, beside a watermark.
    rowtime: Option<Expr>,
}

impl Shape {
    fn of(session: &Session, table: &Table, zone: Zone) -> Result<Shape> {
        let readable = DFSchema::try_from(table.spec.readable().as_ref().clone());
        let readable = readable.map_err(plan_error)?;
        let whole = DFSchema::try_from(table.schema().as_ref().clone()).map_err(plan_error)?;
        let mut columns: Vec<Expr> = Vec::new();
        for column in &table.columns {
            let field = column.field();
            let plain = Expr::Column(datafusion::common::Column::from_name(field.name()));
            columns.push(match column {
                Column::Metadata { .. } => {
                    let cast = plain.cast_to(field.data_type(), &readable).map_err(plan_error)?;
                    local_time::expression(cast, &readable, zone).map_err(plan_error)?
                }
                Column::Physical(_) | Column::Computed { .. } => plain,
            });
        }
        for (place, column) in table.columns.iter().enumerate() {
            if let Column::Computed { tokens, .. } = column {
                let expr = session.expression(tokens, &whole, zone)?;
                columns[place] = substitute(expr, &whole, &columns)?;
            }
        }
        let watermark = match &table.watermark {
            None => None,
            Some(watermark) if watermark.is_of_source() => {
                let column = whole.index_of_column_by_name(None, &watermark.column);
                column.map(|column| columns[column].clone())
            }
            Some(watermark) => {
                let expr = session.expression(&watermark.tokens, &whole, zone)?;
                Some(substitute(expr, &whole, &columns)?)
            }
        };
        let rowtime = table.watermark.as_ref();
        let rowtime = rowtime.and_then(|w| whole.index_of_column_by_name(None, &w.column));
        let rowtime = rowtime.map(|column| columns[column].clone());
        Ok(Shape { readable, columns, watermark, rowtime })
    }

    /// Returns the columns of the source that some columns of the table and the watermark need.
    fn needed(&self, scanned: impl Iterator<Item = usize>) -> BTreeSet<usize> {
        let mut needed = BTreeSet::new();
        let of_time = self.watermark.iter().chain(&self.rowtime);
        for expr in scanned.map(|column| &self.columns[column]).chain(of_time) {
            let columns = expr.column_refs();
            needed.extend(columns.iter().filter_map(|c| self.readable.maybe_index_of_column(c)));
        }
        needed
    }
}

/// Replaces columns of a table by their expressions over those of its source.
fn substitute(expr: Expr, whole: &DFSchema, columns: &[Expr]) -> Result<Expr> {
    let replaced = expr.transform(|node| {
        use datafusion::common::tree_node::Transformed;
        Ok(match &node {
            Expr::Column(column) => {
                let index = whole.index_of_column(column)?;
                Transformed::yes(columns[index].clone())
            }
            _ => Transformed::no(node),
        })
    });
    Ok(replaced.map_err(plan_error)?.data)
}

/// What reads a table.
pub(super) struct Reading {
    /// What its source says.
    stream: Stream,
    watermark: Option<Expr>,
    /// What keeps the row of each key, once somebody reads the rows of such a source.
    rows: Option<NodeId>,
    /// What leaves out deletions of versions that are not there, once somebody reads versions of it.
    versions: Option<NodeId>,
}

impl Lowering<'_> {
    /// Lowers a scan: the table's one source, and a projection to what this scan reads.
    pub(super) fn scan(&mut self, scan: &TableScan) -> Result<Stream> {
        if let Some(name) = recursive_relation(scan) {
            return Err(recursion::unseen(&name));
        }
        let table = table(scan)?;
        let shape = Shape::of(self.session, &table, self.zone)?;
        let mut stream = self.changes_of(&table, &shape)?;
        stream.node = self.rows_of(&table, stream.node)?;
        self.scanned(stream, (&table, &shape), scan)
    }

    /// Lowers a scan whose rows are versions: all changes that the source tells of.
    pub(super) fn scan_versions(&mut self, scan: &TableScan) -> Result<Stream> {
        let table = table(scan)?;
        let shape = Shape::of(self.session, &table, self.zone)?;
        let mut stream = self.changes_of(&table, &shape)?;
        let NodeKind::Source(source) = &self.builder.plan().node(stream.node).kind else {
            return Err(Error::internal("a table is read by something else than a source"));
        };
        if source.changes == Changes::Changelog && self.reads_facts(&table) {
            return Err(Error::invalid(format!(
                "metadata of changes of table `{}`, whose versions a temporal join takes",
                table.name
            ))
            .remedy("leave the metadata out, or join by PROCTIME()"));
        }
        let source_changes = source.changes;
        let key = Some(source.key.clone()).filter(|key| !key.is_empty());
        stream.versioned = match source_changes {
            Changes::Append if table.spec.primary_key.is_empty() => None,
            Changes::Append => Some(VersionSource::Rows),
            // Without a key nothing says what a row is a version of.
            _ if table.spec.primary_key.is_empty() => {
                return Err(Error::invalid(format!(
                    "table `{}` has no PRIMARY KEY whose versions a temporal join could take",
                    table.name
                ))
                .remedy("declare PRIMARY KEY (…) NOT ENFORCED"));
            }
            changes => Some(VersionSource::Changes(changes)),
        }
        .map(|source| Versioned { source, key: table.spec.primary_key.clone() });
        if let Some(key) = key.filter(|_| are_versions_checked(&table, source_changes)) {
            stream.node = self.checked_versions(&table, stream.node, key);
        }
        if self.tells_halves(&table, source_changes) {
            self.leave_out_old_halves(&mut stream)?;
        }
        let mut stream = self.scanned(stream, (&table, &shape), scan)?;
        let names = scanned_columns(scan, &table).into_iter();
        let names = names.map(|column| table.columns[column].field().name());
        for (role, name) in stream.roles.iter_mut().zip(names) {
            if *role == Role::Plain && table.spec.primary_key.contains(name) {
                *role = Role::VersionKey;
            }
        }
        Ok(stream)
    }

    /// Leaves out what deletes versions of keys that are not there, of the changes of a table. Old halves of updates
    /// are still among them: what updates a key that is not there is said once, as everywhere.
    ///
    /// The keys are known for ever, as the versions are, which have no time-to-live either.
    fn checked_versions(&mut self, table: &Table, from: NodeId, key: Vec<usize>) -> NodeId {
        let name = self.name_of(table);
        if let Some(checked) = self.sources.get(&name).and_then(|reading| reading.versions) {
            return checked;
        }
        let schema = self.builder.plan().node(from).schema.clone();
        let diverts = table.engine.bad_records == BadRecords::Divert;
        let input = Input { from, port: 0, exchange: Exchange::ByKey(key.clone()) };
        let node = CheckNode { table: self.source_name(table), key: Some(key), ttl: None, diverts };
        let checked = self.builder.add(NodeKind::Check(node), vec![input], schema);
        if let Some(bad) = table.engine.bad_table.as_ref().filter(|_| diverts) {
            self.reject(bad, forward(checked, 1));
        }
        if let Some(reading) = self.sources.get_mut(&name) {
            reading.versions = Some(checked);
        }
        checked
    }

    /// Returns the columns of a scan, of what its source delivers.
    fn scanned(
        &mut self,
        mut stream: Stream,
        (table, shape): (&Arc<Table>, &Shape),
        scan: &TableScan,
    ) -> Result<Stream> {
        let delivered =
            DFSchema::try_from(self.schema(&stream).as_ref().clone()).map_err(plan_error)?;
        let scanned = scanned_columns(scan, table);
        let plain: Vec<Option<usize>> = scanned
            .iter()
            .map(|column| super::column_of(&shape.columns[*column], &delivered))
            .collect();
        let is_as_delivered = plain.iter().copied().eq((0..delivered.fields().len()).map(Some));
        let name = |column: &usize| table.columns[*column].field().name().clone();
        let rowtime = table.watermark.as_ref().map(|watermark| watermark.column.clone());
        stream.roles = scanned
            .iter()
            .map(|c| match Some(name(c)) == rowtime {
                true => Role::Rowtime,
                false => role_of(&shape.columns[*c], &delivered, &[]),
            })
            .collect();
        if !is_as_delivered {
            let expressions =
                scanned.iter().map(|c| Expression::new(&shape.columns[*c], &delivered));
            let expressions = expressions.collect::<Result<Vec<_>>>()?;
            let mut schema: SchemaRef = Arc::new(table.schema().project(&scanned)?);
            if stream.versioned.is_some() {
                schema = nullable_tail(&schema, scanned.len());
            }
            self.map(&mut stream, Arc::new(Projection::new(expressions, schema)));
        }
        Ok(stream)
    }

    /// Returns what the source of a table says, which is read once.
    fn changes_of(&mut self, table: &Arc<Table>, shape: &Shape) -> Result<Stream> {
        let name = self.name_of(table);
        match self.sources.get(&name) {
            Some(known) if known.watermark == shape.watermark => Ok(known.stream.clone()),
            Some(_) => Err(two_watermarks(&table.name)),
            None => {
                let stream = self.source(table, shape)?;
                let (watermark, rows, versions) = (shape.watermark.clone(), None, None);
                let reading = Reading { stream: stream.clone(), watermark, rows, versions };
                self.sources.insert(name, reading);
                Ok(stream)
            }
        }
    }

    fn name_of(&self, table: &Table) -> String {
        reading_name(table, self.percentile)
    }

    fn source(&mut self, table: &Arc<Table>, shape: &Shape) -> Result<Stream> {
        let columns = self.columns_read(table);
        let connector = self.registry.get(table.connector()?)?;
        let changes = connector.changes(&table.spec);
        let mut source = match self.tells_halves(table, changes) {
            true => halves::source(connector.as_ref(), &table.spec, &columns)?,
            false => connector.source(&table.spec, &columns)?,
        };
        if let Some(filter) = prune::filter(&self.kept, table)? {
            source = source.pruned(filter).unwrap_or(source);
        }
        let schema: SchemaRef = source.schema();
        let delivered = DFSchema::try_from(schema.as_ref().clone()).map_err(plan_error)?;
        let name = self.source_name(table);
        let (mut domain, mut watermark) = (None, None);
        if let Some(strategy) = self.watermark(table, shape, &delivered)? {
            domain = Some(self.builder.domain(name.clone()));
            watermark = Some(strategy);
        }
        // A script stands for a stream, which nobody can wait for.
        let is_bounded = source.is_bounded() && source.script().is_none();
        if is_bounded && domain.is_none() && self.awaited.contains(&table.name) {
            domain = Some(self.builder.domain(name.clone()));
            watermark = Some(Arc::new(AtTheEnd) as _);
        }
        let place = |column: usize| columns.iter().position(|read| *read == column);
        let key = key_of(table)?.into_iter().map(place).collect::<Option<Vec<_>>>();
        let node = SourceNode {
            table: name,
            source,
            changes,
            key: key.unwrap_or_default(),
            domain,
            watermark,
            idle_timeout: table.engine.idle_timeout,
            split_share: table.engine.split_share,
            alignment: alignment(table),
            rows_per_second: table.engine.rows_per_second,
            bad_records: table.engine.bad_records,
        };
        let node = self.builder.add(NodeKind::Source(node), Vec::new(), schema);
        if let Some(name) = &table.engine.bad_table {
            self.rejected_table(name)?;
            self.reject(name, forward(node, 1));
        }
        if let Some(name) = &table.engine.late_table {
            self.rejected_table(name)?;
        }
        Ok(Stream {
            node,
            roles: Vec::new(),
            window: None,
            basis: TimeBasis::Event,
            zone: None,
            session_keys: 0,
            bad_records: table.engine.bad_records,
            bad_table: table.engine.bad_table.clone(),
            late_table: table.engine.late_table.clone(),
            is_bounded,
            ttl: None,
            is_copied: false,
            emit: None,
            versioned: None,
        })
    }

    /// Returns what a source is called, and its state found by: as its table was declared, so that other
    /// options and watermarks can go on from it, unless a script reads the table with several.
    fn source_name(&self, table: &Table) -> String {
        let declared = declared_name(&table.name);
        match self.readings.get(declared).is_some_and(|names| names.len() > 1) {
            true => self.name_of(table),
            false => declared.to_owned(),
        }
    }

    /// Returns how event time goes on in a table, if it has some.
    fn watermark(
        &self,
        table: &Table,
        shape: &Shape,
        delivered: &DFSchema,
    ) -> Result<Option<Arc<dyn Watermarker>>> {
        let Some(expr) = &shape.watermark else { return Ok(None) };
        check_watermark(table, expr, delivered)?;
        if let (Some(share), Some(rowtime)) = (self.percentile, &shape.rowtime) {
            let times = Expression::new(rowtime, delivered)?;
            return Ok(Some(Arc::new(PercentileWatermark::new(times, share)?)));
        }
        let expression = Expression::new(expr, delivered)?;
        Ok(Some(match table.watermark.as_ref().is_some_and(Watermark::is_of_source) {
            true => Arc::new(OfSource),
            false => Arc::new(GreatestWatermark::new(expression)?),
        }))
    }

    /// Returns the columns of a table's source that the script reads.
    fn columns_read(&self, table: &Table) -> Vec<usize> {
        self.needed.get(&table.name).into_iter().flatten().copied().collect()
    }

    /// Returns what puts out the rows of a table, of whose changes its source tells.
    fn rows_of(&mut self, table: &Arc<Table>, from: NodeId) -> Result<NodeId> {
        let NodeKind::Source(source) = &self.builder.plan().node(from).kind else {
            return Err(Error::internal("a table is read by something else than a source"));
        };
        let is_checked = is_checked(table, source.changes);
        match source.changes {
            Changes::Append => return Ok(from),
            Changes::Changelog if !is_checked && !self.is_kept_by_key(table) => return Ok(from),
            Changes::Changelog | Changes::Upsert => {}
        }
        if let Some(rows) = self.sources.get(&self.name_of(table)).and_then(|reading| reading.rows)
        {
            return Ok(rows);
        }
        let (name, key) = (source.table.clone(), source.key.clone());
        let from = match self.tells_halves(table, source.changes) {
            true => self.without_halves(from)?,
            false => from,
        };
        let schema = Arc::new(table.spec.readable().project(&self.columns_read(table))?);
        let why = match self.has_duplicates {
            true => format!("'{CDC_DUPLICATES}' is set"),
            false => "an update has other metadata than the row that it takes back".to_owned(),
        };
        let (ttl, diverts) = (self.ttl, table.engine.bad_records == BadRecords::Divert);
        let rows = match is_checked && !self.is_kept_by_key(table) {
            true => {
                let columns = (0..schema.fields().len()).collect();
                let input = Input { from, port: 0, exchange: Exchange::ByKey(columns) };
                let node = NodeKind::Check(CheckNode { table: name, key: None, ttl, diverts });
                self.builder.add(node, vec![input], schema)
            }
            false => {
                self.upsert(from, UpsertNode { table: name, key, ttl, diverts }, (why, schema))?
            }
        };
        if let Some(bad) = table.engine.bad_table.as_ref().filter(|_| diverts) {
            self.reject(bad, forward(rows, 1));
        }
        if let Some(reading) = self.sources.get_mut(&self.name_of(table)) {
            reading.rows = Some(rows);
        }
        Ok(rows)
    }

    /// Must the row of each key be kept, so that what takes a row back is that row? Changes may come again,
    /// what is known of a change is not what was known of the one before, and a key tells best what is there.
    fn is_kept_by_key(&self, table: &Table) -> bool {
        let is_tolerant = table.engine.bad_records != BadRecords::Fail;
        let is_checked = is_tolerant && !table.spec.primary_key.is_empty();
        self.has_duplicates || is_checked || self.reads_facts(table)
    }

    /// Is something read that the format of a table says of changes?
    fn reads_facts(&self, table: &Table) -> bool {
        let physical = table.spec.schema.fields().len();
        let read = self.columns_read(table).into_iter().filter_map(|c| c.checked_sub(physical));
        read.into_iter().any(|place| table.spec.metadata[place].key.starts_with("value."))
    }

    /// Keeps the row of each key of a source.
    fn upsert(
        &mut self,
        from: NodeId,
        node: UpsertNode,
        (why, schema): (String, SchemaRef),
    ) -> Result<NodeId> {
        if node.key.is_empty() {
            return Err(Error::invalid(format!(
                "{why}, and table `{}` has no PRIMARY KEY to tell its rows by",
                node.table
            ))
            .remedy("declare PRIMARY KEY (…) NOT ENFORCED"));
        }
        let input = Input { from, port: 0, exchange: Exchange::ByKey(node.key.clone()) };
        Ok(self.builder.add(NodeKind::Upsert(node), vec![input], schema))
    }
}

/// Returns which splits of a table wait for others.
fn alignment(table: &Table) -> Option<Alignment> {
    let (group, max_drift) = table.engine.alignment.clone()?;
    let group = group.unwrap_or_else(|| declared_name(&table.name).to_owned());
    Some(Alignment { group, max_drift })
}

/// A table is read once for all statements, so it has one watermark.
fn two_watermarks(table: &str) -> Error {
    Error::invalid(format!(
        "the watermark of table `{table}` depends on the time zone, and statements of two zones \
         read it"
    ))
    .remedy("SET 'table.local-time-zone' once, before the first statement")
}

fn check_watermark(table: &Table, expr: &Expr, schema: &DFSchema) -> Result<()> {
    let kind = expr.get_type(schema).map_err(plan_error)?;
    match kind {
        DataType::Timestamp(_, _) => Ok(()),
        other => {
            Err(Error::invalid(format!("the watermark of table `{}` has type {other}", table.name))
                .remedy("a watermark is a TIMESTAMP, such as ts - INTERVAL '5' SECOND"))
        }
    }
}
