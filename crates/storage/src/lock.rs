//! One run at a time on a state directory.
//!
//! The lock is the operating system's, on a file: it goes with the process that holds it, however
//! that process ends. The file says who holds it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use thalweg_types::{Error, Result};

/// Holds a state directory until it is dropped.
#[derive(Debug)]
pub struct StateDirLock {
    file: File,
}

impl Drop for StateDirLock {
    /// Gives the directory back now: a process that is being started by another thread has the file open
    /// until it runs its program, and would hold the lock as long.
    fn drop(&mut self) {
        // Without success the lock goes with the last of those who have the file open.
        let _ = self.file.unlock();
    }
}

impl StateDirLock {
    /// Takes the directory, making it if it is absent; `holder` says who asks.
    ///
    /// # Errors
    /// `State` if another run holds it, naming that run; `Failed` if it cannot be made.
    pub fn acquire(folder: &Path, holder: &str) -> Result<StateDirLock> {
        let failed = |error: std::io::Error| {
            let folder = folder.display();
            Error::failed(format!("cannot use `{folder}` as state directory: {error}"))
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let mut other = String::new();
                // Who holds it is only a courtesy; the refusal stands without it.
                let _ = file.read_to_string(&mut other);
                let folder = folder.display();
                return Err(Error::state(format!(
                    "state directory `{folder}` is held by another run: {}",
                    other.trim()
                ))
                .remedy("wait for it, stop it, or name another --state-dir"));
            }
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{holder}").map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(StateDirLock { file })
    }
}

#[cfg(test)]
mod tests;
