//! What windows send, in words.

use std::fmt::Write;

use super::text;
use crate::pane::Panes;
use crate::trigger::Trigger;
use crate::window::{TimeBasis, WindowSpec};

/// Says when windows send panes, and what these have.
pub(super) fn emits(panes: &Panes, window: Option<&WindowSpec>) -> String {
    let end = match window.map(|window| window.basis) {
        None => "at the end of the input",
        Some(TimeBasis::Event) if panes.own_time.is_some() => {
            "when the watermark of its key passes the end of the window"
        }
        Some(TimeBasis::Event) => "when the watermark passes the end of the window",
        Some(TimeBasis::Processing) => "when the clock reaches the end of the window",
    };
    let mut text = format!("{} panes: ", panes.accumulation);
    match &panes.trigger {
        Trigger::Watermark { early, late } => {
            if let Some(early) = early {
                let _ = write!(text, "early {early}, ");
            }
            text += end;
            if let Some(late) = late {
                let _ = write!(text, ", late {late}");
            }
        }
        other => text += &other.to_string(),
    }
    text
}

/// Says until when a window is kept that is complete as `due` says.
pub(super) fn until(panes: &Panes, due: &str) -> String {
    match panes.lateness.is_zero() {
        true => due.to_owned(),
        false => format!("{due} by {}", text::span(panes.lateness)),
    }
}
