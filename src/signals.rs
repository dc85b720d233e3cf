//! Ctrl-C and SIGTERM in a shell: each ends the job that runs then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thalweg::console::signals;
use thalweg_cluster::Control;
use thalweg_cluster::message::Stop;
use thalweg_types::epoch::Ending;
use thalweg_types::{Error, Result};
use tokio::runtime::Runtime;

/// How long a query whose state nobody keeps may take to end.
const PATIENCE: Duration = Duration::from_millis(700);

/// Listens for signals as long as a shell lives: each one ends the job that runs then.
pub(crate) struct Listener {
    shared: Arc<Shared>,
    /// What listens goes with it.
    _runtime: Runtime,
}

#[derive(Default)]
struct Shared {
    job: Mutex<Option<Job>>,
    /// Was the program asked to terminate?
    ends: Arc<AtomicBool>,
}

/// The job that runs.
struct Job {
    control: Control,
    /// Does somebody keep its state, so that it must not be cut short?
    is_kept: bool,
    is_stopping: bool,
}

impl Shared {
    fn job(&self) -> MutexGuard<'_, Option<Job>> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the job; returns false if none runs.
    fn stop(&self) -> bool {
        let mut job = self.job();
        let Some(job) = job.as_mut() else { return false };
        if std::mem::replace(&mut job.is_stopping, true) {
            job.control.stop(Stop::AtOnce);
            return true;
        }
        job.control.stop(Stop::Gently(Ending::Suspend));
        if !job.is_kept {
            let control = job.control.clone();
            tokio::spawn(async move {
                tokio::time::sleep(PATIENCE).await;
                control.stop(Stop::AtOnce);
            });
        }
        true
    }
}

impl Listener {
    /// Starts to listen. While no job runs, a signal ends the program, unless an editor `reads`:
    /// Ctrl-C is a key there, and it looks at [`Listener::ends`].
    ///
    /// # Errors
    /// `Failed` if signals cannot be heard.
    pub(crate) fn new(reads: bool) -> Result<Listener> {
        let built =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime =
            built.map_err(|error| Error::failed(format!("cannot start the runtime: {error}")))?;
        let (mut interrupt, mut terminate) = signals(&runtime)?;
        let shared = Arc::new(Shared::default());
        let heard = shared.clone();
        runtime.spawn(async move {
            // It ends with its runtime.
            loop {
                let code = tokio::select! {
                    _ = interrupt.recv() => 130,
                    _ = terminate.recv() => 143,
                };
                heard.ends.fetch_or(code == 143, Ordering::Relaxed);
                if !heard.stop() && !reads {
                    std::process::exit(code);
                }
            }
        });
        Ok(Listener { shared, _runtime: runtime })
    }

    /// Returns what becomes true when the program is asked to terminate.
    pub(crate) fn ends(&self) -> Arc<AtomicBool> {
        self.shared.ends.clone()
    }

    /// Has signals end a job as long as what is returned lives.
    pub(crate) fn during(&self, control: Control, is_kept: bool) -> Running<'_> {
        *self.shared.job() = Some(Job { control, is_kept, is_stopping: false });
        Running(&self.shared)
    }
}

/// A job runs.
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.job() = None;
    }
}
