//! `SET`: which keys mean something, and which values they take.
//!
//! Invariant: a setting is obeyed, or named in a notice, or an error. None is dropped in silence.

use std::collections::BTreeMap;

use thalweg_plan::connector::{nearest, parse_duration};
use thalweg_types::{Error, Result, Zone};

use crate::catalog::CDC_DUPLICATES;
use crate::statement::{Name, Pair};
use crate::text;
use crate::write::literal;

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The engine obeys it.
    Obeyed,
    /// It is Flink's and changes nothing here.
    Ignored,
}

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
enum Values {
    Workers,
    Rounds,
    Span,
    /// A time span; 0 turns it off.
    SpanOrNone,
    Zone,
    Flag,
    Text,
}

/// Settings that the engine obeys.
const OBEYED: [(&str, Values); 9] = [
    ("execution.checkpointing.interval", Values::Span),
    ("parallelism.default", Values::Workers),
    ("pipeline.name", Values::Text),
    ("require.exactly-once", Values::Flag),
    (CDC_DUPLICATES, Values::Flag),
    (STATE_TTL, Values::SpanOrNone),
    (IDLE_TIMEOUT, Values::SpanOrNone),
    (ROUNDS, Values::Rounds),
    (TIME_ZONE, Values::Zone),
];

/// In which time zone the statements behind it take and show local times. UTC unless a script says
/// otherwise: results do not depend on the machine.
pub(super) const TIME_ZONE: &str = "table.local-time-zone";

/// How long a source may be silent before watermarks no longer wait for it, for tables that do not
/// say so themselves.
pub(super) const IDLE_TIMEOUT: &str = "table.exec.source.idle-timeout";

/// How long the statements behind it keep rows of state that nothing else bounds, after they were
/// written.
pub(super) const STATE_TTL: &str = "table.exec.state.ttl";

/// Rounds after which a recursive relation of the statements behind it is taken for one that never
/// ends.
pub(super) const ROUNDS: &str = "table.exec.recursion.max-rounds";

/// Settings of Flink's that change how it works, not what comes out.
const WITHOUT_MEANING: [&str; 62] = [
    "execution.attached",
    "execution.buffer-timeout",
    "execution.buffer-timeout.interval",
    "execution.checkpointing.aligned-checkpoint-timeout",
    "execution.checkpointing.dir",
    "execution.checkpointing.externalized-checkpoint-retention",
    "execution.checkpointing.incremental",
    "execution.checkpointing.max-concurrent-checkpoints",
    "execution.checkpointing.min-pause",
    "execution.checkpointing.num-retained",
    "execution.checkpointing.storage",
    "execution.checkpointing.timeout",
    "execution.checkpointing.tolerable-failed-checkpoints",
    "execution.checkpointing.unaligned.enabled",
    "execution.runtime-mode",
    "execution.shutdown-on-attached-exit",
    "execution.target",
    "jobmanager.memory.process.size",
    "pipeline.auto-watermark-interval",
    "pipeline.jars",
    "pipeline.max-parallelism",
    "pipeline.object-reuse",
    "pipeline.operator-chaining",
    "pipeline.operator-chaining.enabled",
    "restart-strategy",
    "restart-strategy.exponential-delay.initial-backoff",
    "restart-strategy.exponential-delay.max-backoff",
    "restart-strategy.failure-rate.delay",
    "restart-strategy.failure-rate.max-failures-per-interval",
    "restart-strategy.fixed-delay.attempts",
    "restart-strategy.fixed-delay.delay",
    "restart-strategy.type",
    "sql-client.execution.max-table-result.rows",
    "sql-client.execution.result-mode",
    "sql-client.verbose",
    "state.backend",
    "state.backend.incremental",
    "state.backend.rocksdb.localdir",
    "state.backend.rocksdb.memory.managed",
    "state.backend.type",
    "state.checkpoint-storage",
    "state.checkpoints.dir",
    "state.checkpoints.num-retained",
    "table.dml-sync",
    "table.exec.async-lookup.buffer-capacity",
    "table.exec.async-lookup.timeout",
    "table.exec.async-state.enabled",
    "table.exec.mini-batch.allow-latency",
    "table.exec.mini-batch.enabled",
    "table.exec.mini-batch.size",
    "table.exec.sink.upsert-materialize",
    "table.exec.spill-compression.enabled",
    "table.optimizer.agg-phase-strategy",
    "table.optimizer.distinct-agg.split.bucket-num",
    "table.optimizer.distinct-agg.split.enabled",
    "table.optimizer.join-reorder-enabled",
    "table.optimizer.multiple-input-enabled",
    "table.optimizer.reuse-source-enabled",
    "table.optimizer.reuse-sub-plan-enabled",
    "table.plan.compile.catalog-objects",
    "taskmanager.memory.process.size",
    "taskmanager.numberOfTaskSlots",
];

/// Returns the keys that are obeyed, in order.
pub fn obeyed() -> Vec<&'static str> {
    OBEYED.iter().map(|(key, _)| *key).collect()
}

/// Returns what is set, one a line.
pub(super) fn list(settings: &BTreeMap<String, String>) -> String {
    let lines = settings.iter().map(|(key, value)| format!("'{key}' = {}", literal(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Most workers that a script may ask for.
const WORKERS_MAX: u64 = 256;

/// Checks a key.
///
/// # Errors
/// `Invalid`, naming the nearest one.
pub(super) fn known(key: &Name) -> Result<Effect> {
    if OBEYED.iter().any(|(known, _)| *known == key.text) {
        return Ok(Effect::Obeyed);
    }
    if WITHOUT_MEANING.contains(&key.text.as_str()) {
        return Ok(Effect::Ignored);
    }
    let obeyed = obeyed();
    let all: Vec<&str> = obeyed.iter().copied().chain(WITHOUT_MEANING).collect();
    let error = text::at(&key.at, format!("unknown setting '{}'", key.text));
    Err(match nearest(&key.text, &all) {
        Some(near) => error.remedy(format!("did you mean '{near}'?")),
        None => error.remedy(format!("known settings: {}", obeyed.join(", "))),
    })
}

/// Checks `'key' = 'value'`.
///
/// # Errors
/// As [`known`], and `Invalid` at a value that the key does not take.
pub(super) fn check(pair: &Pair) -> Result<Effect> {
    let effect = known(&pair.key)?;
    let value = pair.value.text.trim();
    let found = OBEYED.iter().find(|(known, _)| *known == pair.key.text);
    let Some((_, values)) = found else { return Ok(effect) };
    let (fits, wanted) = match values {
        Values::Workers => (
            value.parse().is_ok_and(|workers: u64| (1..=WORKERS_MAX).contains(&workers)),
            "a number of workers, 1 to 256",
        ),
        Values::Rounds => (
            value.parse().is_ok_and(|rounds: u32| (1..u32::MAX).contains(&rounds)),
            "a number of rounds, 1 or more",
        ),
        Values::Span => {
            (parse_duration(value).is_some_and(|span| !span.is_zero()), "a time span such as '1s'")
        }
        Values::SpanOrNone => (parse_duration(value).is_some(), "a time span such as '5s', or 0"),
        Values::Zone => (Zone::named(value).is_some(), "a time zone"),
        Values::Flag => (matches!(value, "true" | "false"), "true or false"),
        Values::Text => (true, "a text"),
    };
    match fits {
        true => Ok(effect),
        false => {
            let message = format!("'{}' is not {wanted}: '{value}'", pair.key.text);
            let error = text::at(&pair.value.at, message);
            Err(if pair.key.text == TIME_ZONE { near_zone(error, value) } else { error })
        }
    }
}

/// Names the regions that may be meant: those spelled nearly so, or else those of a city.
fn near_zone(error: Error, value: &str) -> Error {
    let regions = Zone::regions();
    let city = format!("/{}", value.to_ascii_lowercase().replace(' ', "_"));
    let by_city = regions.iter().filter(|name| name.to_ascii_lowercase().ends_with(&city));
    let by_city: Vec<&str> = by_city.map(String::as_str).collect();
    let names: Vec<&str> = regions.iter().map(String::as_str).collect();
    match nearest(value, &names).into_iter().chain(by_city).next() {
        Some(near) => error.remedy(format!("did you mean '{near}'?")),
        None => error.remedy("write a region such as 'Europe/Berlin', 'UTC', or 'GMT+02:00'"),
    }
}
