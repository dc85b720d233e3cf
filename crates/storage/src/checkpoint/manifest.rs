//! The document of one checkpoint. Stored format, version 1: JSON with these names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thalweg_types::{Error, KeyGroupRange, Result};

/// Version that this program writes.
pub const VERSION: u32 = 1;

/// What a record of the log is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A checkpoint.
    Checkpoint,
    /// A new attempt took over; whoever wrote before must stop. It repeats the checkpoint that
    /// it goes on from, so the newest record is always enough to recover.
    Fence,
}

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub version: u32,
    /// Number in the log, from 1.
    pub number: u64,
    /// What it is.
    pub kind: Kind,
    /// Name of the job.
    pub job: String,
    /// Attempt that wrote it.
    pub attempt: u64,
    /// The epoch whose end it describes; 0 before the first.
    pub epoch: u64,
    /// Wall clock of that epoch, nanoseconds since 1970.
    pub clock: i64,
    /// Number of key groups.
    pub key_groups: u16,
    /// Is all input processed, and was everything emitted?
    pub is_finished: bool,
    /// Watermark of each time domain, nanoseconds since 1970.
    pub watermarks: BTreeMap<String, i64>,
    /// Sources, by operator.
    pub sources: BTreeMap<String, SourceState>,
    /// Stateful operators.
    pub operators: BTreeMap<String, OperatorState>,
    /// What writers left for their successors, by operator of the sink.
    pub writers: BTreeMap<String, Vec<String>>,
    /// Committables that nobody confirmed yet, of all checkpoints.
    pub committables: Vec<Pending>,
    /// Rows counted since the job began, by name.
    pub counters: BTreeMap<String, u64>,
}

/// Where a source is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// All known splits, in the order of discovery.
    pub splits: Vec<SplitState>,
}

/// Where a split is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitState {
    /// Name of the split.
    pub id: String,
    /// The sequence it belongs to.
    pub sequence: String,
    /// What its connector needs to open it.
    pub payload: String,
    /// Was it begun?
    pub is_begun: bool,
    /// Where to go on.
    pub offset: Option<String>,
    /// Is it at its end?
    pub is_finished: bool,
    /// Its watermark, nanoseconds since 1970.
    pub watermark: i64,
    /// What is known of its times, where the watermark trails them; only the plan's room reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<serde_json::Value>,
}

/// State of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorState {
    /// What decides the layout of the state; another signature cannot read it.
    pub signature: String,
    /// What the columns of the state are, for who reads single values; only the plan's room reads
    /// it. Absent where an earlier release wrote the checkpoint, or where there is no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<serde_json::Value>,
    /// State files, by the key groups of the workers that wrote them.
    pub chains: Vec<Chain>,
}

/// State files of one worker, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The key groups.
    pub groups: KeyGroupRange,
    /// The files.
    pub files: Vec<StateFile>,
}

/// A state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Name of the object.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
}

/// A committable that is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Operator of the sink.
    pub sink: String,
    /// Epoch of the checkpoint that it belongs to.
    pub epoch: u64,
    /// What the sink made of it.
    pub committable: String,
}

impl Manifest {
    /// Returns the record before the first one of a job.
    pub fn empty(job: &str, key_groups: u16) -> Manifest {
        Manifest {
            version: VERSION,
            number: 0,
            kind: Kind::Checkpoint,
            job: job.to_owned(),
            attempt: 0,
            epoch: 0,
            clock: 0,
            key_groups,
            is_finished: false,
            watermarks: BTreeMap::new(),
            sources: BTreeMap::new(),
            operators: BTreeMap::new(),
            writers: BTreeMap::new(),
            committables: Vec::new(),
            counters: BTreeMap::new(),
        }
    }

    /// Returns the names of the state files.
    pub fn files(&self) -> impl Iterator<Item = &StateFile> {
        self.operators.values().flat_map(|o| &o.chains).flat_map(|chain| &chain.files)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `State` if it is damaged or of a newer version.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let damaged = |error: serde_json::Error| {
            Error::state(format!("manifest `{name}` is damaged: {error}"))
        };
        let Version { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        if version != VERSION {
            return Err(Error::state(format!(
                "manifest `{name}` has version {version}, this program reads {VERSION}"
            ))
            .remedy("use the release that wrote it, or a later one"));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    /// Returns the record as bytes.
    ///
    /// # Errors
    /// `Internal` if it cannot be written as JSON.
    pub fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|error| Error::internal(error.to_string()))
    }
}
