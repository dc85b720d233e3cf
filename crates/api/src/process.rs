//! Functions with state and timers over keyed streams: one, two, or one beside a stream that all
//! workers get.
//!
//! What must always hold: what a function remembers is in states that it declared, so a job goes on
//! after a crash, and on any number of workers, as if nothing had been. It does *not* run anything.

mod stored;

mod cells;

mod context;

mod handles;

mod setup;

mod function;

mod definition;

mod step;

mod connected;

pub use connected::{Connected, WithBroadcast};
pub use context::{BroadcastContext, Context, Side, Timer};
pub use function::{BroadcastProcess, CoProcess, Process};
pub use handles::{BroadcastState, ListState, MapState, ReducingState, ValueState};
pub use setup::Setup;
pub use stored::{State, Stored};
