//! The one integration-test binary: the program as its users run it.

// A test may panic and may wait for a moment to kill at.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod api;
mod changelogs;
mod command_line;
mod crash;
mod examples;
mod explain;
mod full_disk;
mod generators;
mod guide;
mod joins;
mod lookup;
mod loops;
mod match_recognize;
mod memory;
mod nexmark;
mod object_store;
mod oracle;
mod own_windows;
mod panes;
mod partitions;
mod patterns;
mod process;
mod processes;
mod random;
mod script;
mod shell;
mod sql;
mod support;
mod testkit;
mod timers;
mod tutorial;
mod windows;
mod worked;
