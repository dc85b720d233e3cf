//! Rows of `SESSION` windows that are not aggregated.

use std::sync::Arc;

use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_types::{Error, Result};

use super::{Lowering, Role, Stream, forward, lost_window, unit_of};
use crate::window_tvf::in_unit;
use crate::windowing::{Pick, Reorder};

impl Lowering<'_> {
    /// Makes true sessions of those that rows would have alone.
    pub(super) fn session_rows(&mut self, mut stream: Stream) -> Result<Stream> {
        let schema = self.schema(&stream);
        let at = |role| stream.roles.iter().position(|r| *r == role).ok_or_else(lost_window);
        let (start, end) = (at(Role::WindowStart)?, at(Role::WindowEnd)?);
        let roles = stream.roles.iter().enumerate();
        let keys = roles.filter(|(_, role)| **role == Role::SessionKey).map(|(column, _)| column);
        let keys: Vec<usize> = keys.collect();
        let (Some(assigner), true) = (stream.window, keys.len() == stream.session_keys) else {
            return Err(Error::invalid(
                "a column that tells sessions apart is left out before them",
            )
            .remedy("keep the columns of PARTITION BY"));
        };
        let assigner = in_unit(assigner, unit_of(&schema, start)?)?;
        let (basis, zone) = (stream.basis, stream.zone);
        let divert_late = stream.late_table.is_some() && basis == TimeBasis::Event;
        let window = WindowSpec { assigner, basis, start, end, zone };
        stream.node = self.builder.session_rows(stream.node, window, keys, divert_late)?;
        if let (true, Some(table)) = (divert_late, &stream.late_table) {
            self.reject(table, forward(stream.node, 1));
        }
        let picks = stream.roles.iter().enumerate().map(|(column, role)| match role {
            Role::WindowTime => Pick::LastOf(end, stream.zone),
            _ => Pick::Column(column),
        });
        let picks = picks.collect();
        self.map(&mut stream, Arc::new(Reorder { picks, schema }));
        stream.window = Some(Assigner::Attached);
        stream.pass_times();
        Ok(stream)
    }
}

impl Stream {
    /// Notes that rows come out when their window is complete: the watermark has passed their times by then,
    /// and only the ends of windows still tell when nothing older comes.
    pub(super) fn pass_times(&mut self) {
        let times = self.roles.iter_mut().filter(|role| **role == Role::Rowtime);
        times.for_each(|role| *role = Role::Plain);
    }
}
