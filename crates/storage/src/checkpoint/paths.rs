//! Names of stored objects; the only place that formats them.

/// Folder of the manifests.
pub const MANIFESTS: &str = "manifest";
/// Folder of the state files.
pub const STATE: &str = "state";

/// Returns the name of manifest `number`.
pub fn manifest(number: u64) -> String {
    format!("{MANIFESTS}/{number:020}.json")
}

/// Returns the number of a manifest from its name.
pub fn manifest_number(name: &str) -> Option<u64> {
    let name = name.strip_prefix(MANIFESTS)?.strip_prefix('/')?;
    name.strip_suffix(".json")?.parse().ok()
}

/// Returns the name of the state file that a worker wrote for an operator.
pub fn state(operator: &str, attempt: u64, epoch: u64, worker: usize) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let operator: String = operator.chars().map(safe).collect();
    format!("{STATE}/{attempt:06}-{epoch:012}/{operator}-{worker}.state")
}
