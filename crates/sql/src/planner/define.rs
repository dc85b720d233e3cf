//! `CREATE TABLE` and `CREATE VIEW`: what is declared, checked and given its types.
//!
//! Invariants: a table that was made is right in itself: its expressions have types, its
//! watermark is a time, its key is made of its columns, its connector took its options. It does
//! *not* look at anything outside: files and ports are the business of the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use thalweg_plan::connector::{self, Connector, Options, Registry, TableSpec};
use thalweg_types::{Error, Result, Zone};

use super::queries;
use crate::catalog::{Column, EngineOptions, MAX_DRIFT, Table, Watermark};
use crate::session::Session;
use crate::statement::{CreateTable, CreateView, Declared, Metadata, Name, Pair};
use crate::text::{self, located, plan_error, suggest};
use crate::types;

/// Makes a table.
///
/// # Errors
/// `Invalid`, at the column or option.
pub(super) fn table(
    create: CreateTable,
    (session, zone): (&Session, Zone),
    registry: &Registry,
) -> Result<Table> {
    let mut spec = spec(&create, registry)?;
    let columns = columns(create.columns, (session, zone))?;
    let watermark = match create.watermark {
        None => None,
        Some((column, tokens)) => Some(watermark(column, tokens, (session, zone), &columns)?),
    };
    check_physical("PRIMARY KEY", &create.primary_key, &columns)?;
    check_physical("partition", &create.partitions, &columns)?;
    let engine = checked_options(&mut spec, registry, watermark.is_some())
        .map_err(|error| at_option(error, &create.options, &create.name))?;
    if let Some(watermark) = watermark.as_ref().filter(|watermark| watermark.is_of_source()) {
        check_source_watermark(watermark, registry.get(spec.options.required("connector")?)?)?;
    }
    Ok(Table { name: create.name.text, columns, watermark, engine, spec })
}

/// Returns the columns of a table that is made by a query, which are those of the query.
///
/// # Errors
/// `Invalid`, at a column that the table declares itself, or in the query.
pub(super) fn columns_of(
    session: &Session,
    query: &[TokenWithSpan],
    create: &CreateTable,
) -> Result<Vec<Declared>> {
    let own = create.columns.iter().find(|own| matches!(own, Declared::Physical(..)));
    if let Some(own) = own {
        let error = text::at(&own.name().at, "a table made by a query gets its columns from it");
        return Err(error.remedy("leave out the columns, or write CREATE TABLE and INSERT INTO"));
    }
    let plan = queries::query(session, query)?;
    let fields = plan.schema().fields().iter().map(|field| {
        let name = Name { at: create.name.at.clone(), text: field.name().clone() };
        Declared::Physical(name, field.as_ref().clone())
    });
    Ok(fields.collect())
}

/// Returns the table as its connector is shown it.
fn spec(create: &CreateTable, registry: &Registry) -> Result<TableSpec> {
    let physical = create.columns.iter().filter_map(|column| match column {
        Declared::Physical(_, field) => Some(field.clone()),
        Declared::Metadata(..) | Declared::Computed(..) => None,
    });
    let schema = Arc::new(Schema::new(physical.collect::<Vec<_>>()));
    let is_partition = |column: &str| create.partitions.iter().any(|name| name.text == column);
    if schema.fields().iter().all(|field| is_partition(field.name())) {
        let what = match schema.fields().is_empty() {
            true => "no physical columns",
            false => "no columns but those of its partitions",
        };
        let message = format!("table `{}` has {what}", create.name.text);
        return Err(text::at(&create.name.at, message));
    }
    let texts = |names: &[Name]| names.iter().map(|name| name.text.clone()).collect();
    Ok(TableSpec {
        name: create.name.text.clone(),
        schema,
        metadata: metadata(create, registry)?,
        primary_key: texts(&create.primary_key),
        partitions: texts(&create.partitions),
        options: Options(options(create)),
    })
}

fn options(create: &CreateTable) -> BTreeMap<String, String> {
    let pairs = create.options.iter();
    pairs.map(|Pair { key, value }| (key.text.clone(), value.text.clone())).collect()
}

/// Returns what the metadata columns of a table are read from.
fn metadata(create: &CreateTable, registry: &Registry) -> Result<Vec<connector::Metadata>> {
    let declared = create.columns.iter().filter_map(|column| match column {
        Declared::Metadata(name, field, metadata) => Some((name, field, &metadata.key)),
        Declared::Physical(..) | Declared::Computed(..) => None,
    });
    // A table without a connector, or with an unknown one, is refused for that.
    let options = Options(options(create));
    let known = options.get("connector").and_then(|name| registry.get(name).ok());
    let known = known.map(|connector| (connector.name(), connector.metadata(&options)));
    let known = known.unwrap_or_default();
    declared.map(|(name, field, key)| given(name, field, key, &known)).collect()
}

/// Finds what a metadata column is read from, and checks that it becomes what is declared.
fn given(
    name: &Name,
    field: &Field,
    key: &Name,
    (connector, known): &(&str, Vec<Field>),
) -> Result<connector::Metadata> {
    let Some(found) = known.iter().find(|known| *known.name() == key.text) else {
        let message = format!("connector '{connector}' has no metadata '{}'", key.text);
        let names: Vec<&str> = known.iter().map(|known| known.name().as_str()).collect();
        return Err(text::at(&key.at, message).remedy(match names.is_empty() {
            true => "it has no metadata at all".to_owned(),
            false => format!("known keys: {}", names.join(", ")),
        }));
    };
    let kind = found.data_type();
    if field.data_type().is_nested() || !can_cast_types(kind, field.data_type()) {
        let (declared, given) = (types::name(field.data_type()), types::name(kind));
        let message = format!("metadata '{}' is {given}, which is no {declared}", key.text);
        return Err(text::at(&name.at, message).remedy(format!("declare it {given}")));
    }
    let field = found.clone().with_name(name.text.clone());
    Ok(connector::Metadata { key: key.text.clone(), field })
}

/// Gives computed columns their types; they are computed from the others.
fn columns(declared: Vec<Declared>, (session, zone): (&Session, Zone)) -> Result<Vec<Column>> {
    let given = declared.iter().filter_map(|column| match column {
        Declared::Physical(_, field) | Declared::Metadata(_, field, _) => Some(field.clone()),
        Declared::Computed(..) => None,
    });
    let rows = DFSchema::try_from(Schema::new(given.collect::<Vec<_>>())).map_err(plan_error)?;
    let mut columns = Vec::new();
    for column in declared {
        columns.push(match column {
            Declared::Physical(_, field) => Column::Physical(field),
            Declared::Metadata(_, field, Metadata { key, is_virtual }) => {
                Column::Metadata { field, key: key.text, is_virtual }
            }
            Declared::Computed(name, tokens) => {
                let expr = session.expression(&tokens, &rows, zone);
                let expr = expr.map_err(|error| located(error, &name.at))?;
                let (_, field) = expr.to_field(&rows).map_err(plan_error)?;
                let field = field.as_ref().clone().with_name(name.text);
                Column::Computed { field, tokens }
            }
        });
    }
    Ok(columns)
}

fn watermark(
    column: Name,
    tokens: Vec<TokenWithSpan>,
    (session, zone): (&Session, Zone),
    columns: &[Column],
) -> Result<Watermark> {
    let wrong = |message: String| text::at(&column.at, message);
    let known = columns.iter().find(|known| *known.field().name() == column.text);
    match known.map(|known| known.field().data_type()) {
        Some(DataType::Timestamp(_, _)) => {}
        Some(other) => {
            let kind = types::name(other);
            return Err(wrong(format!("column `{}` has type {kind}", column.text))
                .remedy("a WATERMARK is for a TIMESTAMP column"));
        }
        None => return Err(no_column(&column, columns)),
    }
    let watermark = Watermark { column: column.text.clone(), tokens };
    if watermark.is_of_source() {
        return Ok(watermark);
    }
    let fields: Vec<Field> = columns.iter().map(|column| column.field().clone()).collect();
    let rows = DFSchema::try_from(Schema::new(fields)).map_err(plan_error)?;
    let expr = session
        .expression(&watermark.tokens, &rows, zone)
        .map_err(|error| located(error, &column.at))?;
    match expr.get_type(&rows).map_err(plan_error)? {
        DataType::Timestamp(_, _) => Ok(watermark),
        other => {
            let error = wrong(format!("this WATERMARK has type {}", types::name(&other)));
            let example = format!("{} - INTERVAL '5' SECOND", column.text);
            Err(error.remedy(format!("a watermark is a TIMESTAMP, such as {example}")))
        }
    }
}

/// Checks that a connector claims watermarks.
fn check_source_watermark(watermark: &Watermark, connector: &Arc<dyn Connector>) -> Result<()> {
    if connector.has_watermarks() {
        return Ok(());
    }
    let message = format!("connector '{}' has no watermarks of its own", connector.name());
    let at = &watermark.tokens[0];
    let example = format!("{} - INTERVAL '5' SECOND", watermark.column);
    Err(text::at(at, message).remedy(format!("make them of the rows, such as {example}")))
}

fn no_column(name: &Name, columns: &[Column]) -> Error {
    let names: Vec<&str> = columns.iter().map(|column| column.field().name().as_str()).collect();
    suggest(text::at(&name.at, format!("there is no column `{}`", name.text)), &name.text, &names)
}

/// Checks that a primary key or a partition is made of physical columns.
fn check_physical(what: &str, names: &[Name], columns: &[Column]) -> Result<()> {
    for name in names {
        let kind = match columns.iter().find(|column| *column.field().name() == name.text) {
            Some(Column::Physical(_)) => continue,
            Some(Column::Computed { .. }) => "computed",
            Some(Column::Metadata { .. }) => "metadata",
            None => return Err(no_column(name, columns)),
        };
        let message = format!("column `{}` is {kind}", name.text);
        let remedy = format!("a {what} is made of physical columns");
        return Err(text::at(&name.at, message).remedy(remedy));
    }
    Ok(())
}

/// Takes the engine's options out, and shows the connector the rest.
fn checked_options(
    spec: &mut TableSpec,
    registry: &Registry,
    has_watermark: bool,
) -> Result<EngineOptions> {
    let engine = EngineOptions::take(&mut spec.options)?;
    if engine.alignment.is_some() && !has_watermark {
        return Err(Error::invalid(format!("option '{MAX_DRIFT}' without a watermark"))
            .remedy("declare WATERMARK FOR the column of event time"));
    }
    let connector = registry.get(spec.options.required("connector")?)?;
    connector.validate(spec)?;
    Ok(engine)
}

/// Points at the option that an error talks about, or at the table.
fn at_option(error: Error, options: &[Pair], table: &Name) -> Error {
    let quoted = |name: &Name| error.message().contains(&format!("'{}'", name.text));
    let by_key = options.iter().find(|option| quoted(&option.key));
    let at = match by_key {
        Some(option) if quoted(&option.value) => &option.value.at,
        Some(option) => &option.key.at,
        None => match options.iter().find(|option| quoted(&option.value)) {
            Some(option) => &option.value.at,
            None => &table.at,
        },
    };
    located(error, at)
}

/// Plans a view, and gives its columns the names that it asks for.
///
/// # Errors
/// `Invalid`, at the place in the query.
pub(super) fn view(create: &CreateView, session: &Session) -> Result<LogicalPlan> {
    let plan = queries::query(session, &create.query)?;
    if create.columns.is_empty() {
        return Ok(plan);
    }
    let given = plan.schema().fields().len();
    if given != create.columns.len() {
        let message = format!(
            "view `{}` names {} columns, and its query has {given}",
            create.name.text,
            create.columns.len()
        );
        return Err(text::at(&create.name.at, message));
    }
    let columns = plan.schema().columns().into_iter().map(Expr::Column);
    let named: Vec<Expr> = columns
        .zip(&create.columns)
        .map(|(column, name)| column.alias(name.text.clone()))
        .collect();
    LogicalPlanBuilder::from(plan)
        .project(named)
        .and_then(LogicalPlanBuilder::build)
        .map_err(plan_error)
}
