//! Names of things, each a type of its own, so that two of them are never mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! index {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

index!(
    /// Position of a node in its plan; means nothing outside that plan.
    NodeId, usize
);
index!(
    /// Position of a time domain in its plan.
    DomainId, usize
);
index!(
    /// A worker (one timely thread), counted over all processes of the job.
    WorkerId, usize
);
index!(
    /// One life of a job's workers; each restart is a new attempt.
    AttemptId, u64
);
name!(
    /// Name of a job, unique within its state directory.
    JobId
);
name!(
    /// Stable name of an operator: the same in every plan of the same statement, so that
    /// state finds its operator again.
    OperatorId
);
name!(
    /// Name of a split, unique within its source and the same after a restart.
    SplitId
);
