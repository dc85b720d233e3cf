//! Ctrl-C and SIGTERM: the first ends the job with a last checkpoint, the second at once.

use thalweg_cluster::Control;
use thalweg_cluster::message::Stop;
use thalweg_types::epoch::Ending;
use thalweg_types::{Error, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Listens for signals; `drains` fires open windows before the job ends.
pub(crate) fn listen(runtime: &Runtime, control: Control, drains: bool) -> Result<()> {
    let _context = runtime.enter();
    let failed = |error| Error::failed(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let ending = if drains { Ending::Finish } else { Ending::Suspend };
    runtime.spawn(async move {
        for stop in [Stop::Gently(ending), Stop::AtOnce] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            control.stop(stop);
        }
    });
    Ok(())
}
