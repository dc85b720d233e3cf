//! SQL over the streams of a job: the planner, with tables that stand for streams.

use thalweg_api::language::{Declared, Language, Question};
use thalweg_plan::Plan;
use thalweg_sql::write::{literal, name, type_name};
use thalweg_sql::{Planner, Workspace};
use thalweg_types::Result;

/// Flink's dialect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flink;

impl Language for Flink {
    fn plan(&self, question: Question<'_>) -> Result<Option<Plan>> {
        let planner = Planner::new(question.registry, question.result);
        let mut workspace = Workspace::new(planner)?;
        for table in &question.tables {
            workspace.plan(&declaration(table, question.connector))?;
        }
        Ok(workspace.plan(question.text)?.plan)
    }
}

/// Returns the declaration of a table that stands for a stream.
fn declaration(table: &Declared, connector: &str) -> String {
    let mut columns: Vec<String> = Vec::new();
    for field in table.schema.fields() {
        let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
        let (column, kind) = (name(field.name()), type_name(field.data_type()));
        columns.push(format!("{column} {kind}{not_null}"));
    }
    if let Some(column) = &table.rowtime {
        columns.push(format!("WATERMARK FOR {} AS SOURCE_WATERMARK()", name(column)));
    }
    let (table, columns) = (name(&table.name), columns.join(", "));
    format!("CREATE TABLE {table} ({columns}) WITH ('connector' = {})", literal(connector))
}
