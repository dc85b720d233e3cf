//! Calls in conditions and measures: their names, and what stands before these, `FINAL` or `RUNNING`.

use datafusion::sql::sqlparser::ast::{Function, Spanned};
use thalweg_types::Place;

use crate::text::place;

/// Before a call: of which rows it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Of the whole match.
    Final,
    /// Of its rows so far.
    Running,
}

/// What `FINAL` and `RUNNING` become in the name of the call that they stand before.
pub(super) const MODES: [(&str, Mode); 2] = [("FINAL ", Mode::Final), ("RUNNING ", Mode::Running)];

/// Returns what stands before a call, and its name in capitals.
pub(super) fn call_name(function: &Function) -> (Option<Mode>, String) {
    let name = function.name.to_string().replace('`', "");
    let found = MODES.iter().find_map(|(text, mode)| Some((*mode, name.strip_prefix(text)?)));
    match found {
        Some((mode, name)) => (Some(mode), name.to_uppercase()),
        None => (None, name.to_uppercase()),
    }
}

/// Returns where the name of a call stands.
pub(super) fn call_place(function: &Function) -> Place {
    place(function.name.span())
}
