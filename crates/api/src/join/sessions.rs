//! Sessions of two streams together: rows of both sides that are of one session.
//!
//! What must always hold: a session is made of the rows of both sides; the sides come out with the columns
//! that they went in with, and the bounds of their true sessions.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{filter_record_batch, is_not_null};
use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_plan::NodeKind;
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_types::Result;

use super::sides::Side;
use crate::closure::Closure;
use crate::stream::{Rows, Stream, forward};

/// Gives the rows of both sides true sessions for those that they would have alone. Returns the late rows
/// of each, if these are wanted.
///
/// # Errors
/// As [`thalweg_plan::PlanBuilder::session_rows`].
pub(super) fn add<'j>(
    from: Rows<'j>,
    sides: &mut [Side; 2],
    assigner: Assigner,
    divert_late: bool,
) -> Result<[Rows<'j>; 2]> {
    let job = from.job;
    let of = |side: usize| Rows { node: sides[side].node, ..from };
    let both = Both { heads: sides[0].keys.len(), sides: [0, 1].map(|side| of(side).schema()) };
    let spread: [Stream<'_, ()>; 2] = [0, 1].map(|side| of(side).then(both.spread(side)));
    let mut builder = job.builder.borrow_mut();
    let together = spread.map(|side| forward(side.node)).into();
    let from = builder.add(NodeKind::Union, together, both.schema());
    let (start, end) = (both.heads - 2, both.heads - 1);
    let keys: Vec<usize> = (0..start).collect();
    let window = WindowSpec { assigner, basis: TimeBasis::Event, start, end, zone: None };
    let node = builder.session_rows(from, window, keys, divert_late)?;
    drop(builder);
    for (side, own) in sides.iter_mut().enumerate() {
        let rows: Stream<'_, ()> = Rows { job, node, port: 0 }.then(both.side(side));
        own.node = rows.node;
    }
    let late = |side| -> Stream<'_, ()> { Rows { job, node, port: 1 }.then(both.side(side)) };
    Ok(match divert_late {
        true => [0, 1].map(|side| Rows { job, node: late(side).node, port: 0 }),
        false => [Rows { job, node, port: 1 }; 2],
    })
}

/// How rows of both sides are rows of one stream: behind the columns of keys and bounds stand those of the
/// left side and those of the right, of which one are missing.
struct Both {
    /// How many columns both have alike.
    heads: usize,
    sides: [SchemaRef; 2],
}

impl Both {
    fn schema(&self) -> SchemaRef {
        let (heads, left) = self.sides[0].fields().split_at(self.heads);
        let own = left.iter().chain(&self.sides[1].fields()[self.heads..]);
        let own = own.map(|field| field.as_ref().clone().with_nullable(true));
        let heads = heads.iter().map(|field| field.as_ref().clone());
        Arc::new(Schema::new(heads.chain(own).collect::<Vec<Field>>()))
    }

    /// Returns the places of the columns of a side.
    fn places(&self, side: usize) -> Range<usize> {
        let [left, right] = [0, 1].map(|side| self.sides[side].fields().len() - self.heads);
        match side {
            0 => self.heads..self.heads + left,
            _ => self.heads + left..self.heads + left + right,
        }
    }

    /// Returns what makes rows of both of rows of a side.
    fn spread(&self, side: usize) -> Closure {
        let (schema, places, heads) = (self.schema(), self.places(side), self.heads);
        let made = schema.clone();
        let columns = move |rows: &RecordBatch| {
            let column = |place: usize| -> ArrayRef {
                let own = match place {
                    head if head < heads => Some(head),
                    place => places.contains(&place).then(|| place - places.start + heads),
                };
                let kind = schema.field(place).data_type();
                own.map_or_else(
                    || new_null_array(kind, rows.num_rows()),
                    |own| rows.column(own).clone(),
                )
            };
            Ok((0..schema.fields().len()).map(column).collect())
        };
        Closure::columns(made, "rows of both sides".to_owned(), columns)
    }

    /// Returns what makes rows of a side of rows of both. Its last column is missing in those of the other.
    fn side(&self, side: usize) -> Closure {
        let (places, heads) = (self.places(side), self.heads);
        let text = format!("rows of side {}", side + 1);
        Closure::copies(self.sides[side].clone(), text, move |rows| {
            let own: Vec<usize> = (0..heads).chain(places.clone()).collect();
            let is_own = is_not_null(rows.column(places.end - 1))?;
            let rows = filter_record_batch(&rows.project(&own)?, &is_own)?;
            Ok((rows.columns().to_vec(), None))
        })
    }
}
