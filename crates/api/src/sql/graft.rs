//! The plan of a query as a part of a job.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use thalweg_plan::node::{BadRecords, Exchange, Input, MapNode, NodeKind, SourceNode};
use thalweg_plan::{Plan, PlanBuilder};
use thalweg_types::{Error, NodeId, Result};

use super::stand_in::CONNECTOR;
use crate::closure::{Closure, shared};

/// Adds the nodes of a plan, of which some tables are what other nodes put out; returns where the rows
/// come from that go to what stands for a stream.
///
/// # Errors
/// `Internal` if the plan is not of these tables.
pub(super) fn graft(
    builder: &mut PlanBuilder,
    plan: Plan,
    tables: &BTreeMap<String, (NodeId, SchemaRef)>,
) -> Result<Option<Input>> {
    let Plan { nodes, domains } = plan;
    let (mut places, mut result) = (Vec::new(), None);
    for node in nodes {
        let from = |input: Input| Input { from: places[input.from.0], ..input };
        let inputs: Vec<Input> = node.inputs.into_iter().map(from).collect();
        let place = match node.kind {
            NodeKind::Source(source) if source.source.connector() == CONNECTOR => {
                read(builder, &source, tables)?
            }
            NodeKind::Source(mut source) => {
                let name = source.domain.map(|domain| domains[domain.0].clone());
                source.domain = name.map(|name| builder.domain(name));
                builder.add(NodeKind::Source(source), inputs, node.schema)
            }
            NodeKind::Sink(sink) if sink.sink.connector() == CONNECTOR => {
                let input = inputs.into_iter().next();
                let input = input.ok_or_else(|| Error::internal("a sink has an input"))?;
                let from = input.from;
                result = Some(input);
                from
            }
            kind => builder.add(kind, inputs, node.schema),
        };
        places.push(place);
    }
    Ok(result)
}

/// Adds the columns of a stream that a query reads.
fn read(
    builder: &mut PlanBuilder,
    source: &SourceNode,
    tables: &BTreeMap<String, (NodeId, SchemaRef)>,
) -> Result<NodeId> {
    let name = source.table.split("/*+").next().unwrap_or_default();
    let (from, schema) = tables
        .get(name)
        .ok_or_else(|| Error::internal(format!("a query reads `{name}`, which is no stream")))?;
    let read = source.source.schema();
    let places = read.fields().iter().map(|field| schema.index_of(field.name()));
    let places = places.collect::<std::result::Result<Vec<usize>, _>>()?;
    let text = format!("columns of `{name}`");
    let columns = Closure::columns(read.clone(), text, move |rows| {
        Ok(rows.project(&places)?.columns().to_vec())
    });
    let transforms = vec![shared(columns)];
    let bad_records = BadRecords::Fail;
    let map = MapNode { transforms, bad_records, statement: String::new() };
    let input = Input { from: *from, port: 0, exchange: Exchange::Forward };
    Ok(builder.add(NodeKind::Map(map), vec![input], read))
}
