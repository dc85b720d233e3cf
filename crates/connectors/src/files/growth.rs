//! Up to where a file that may still grow can be read.
//!
//! What must always hold: no byte belongs to two readings of a file, and none to no reading. A
//! line without its feed is not read while somebody may be writing it; once the file is as it was
//! for a while it counts as a whole line, and so does what is appended to it later.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use super::listing::Found;

/// Bytes before an offset that must be the same when reading goes on there.
pub(super) const TAIL_BYTES: usize = 256;
/// A file that nobody changed for so long is not being written.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// Bytes looked through at once for a line feed.
const BLOCK_BYTES: u64 = 64 << 10;

/// Hashes bytes; stored in offsets and ranges.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a, 64 bits.
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Returns the hash of the last bytes before `to`.
pub(super) fn tail(file: &mut (impl Read + Seek), to: u64) -> io::Result<u64> {
    Ok(hash(&between(file, to.saturating_sub(TAIL_BYTES as u64), to)?))
}

/// Returns up to where a file that is read up to `from` can be read now, and the hash of the last
/// bytes before that place; `monitor` is how often a watched file is looked at.
pub(super) fn end(
    file: &mut (impl Read + Seek),
    found: &Found,
    from: u64,
    monitor: Option<Duration>,
) -> io::Result<(u64, u64)> {
    let is_settled = match monitor {
        None => true,
        // A clock that was put back makes a file look new, and it is read when that has passed.
        Some(often) => {
            found.modified.elapsed().is_ok_and(|since| since >= often.max(SETTLED_AFTER))
        }
    };
    let to = if is_settled { found.bytes } else { end_of_lines(file, from, found.bytes)? };
    Ok((to, tail(file, to)?))
}

/// Returns the byte behind the last line feed between two places; `from` if there is none.
fn end_of_lines(file: &mut (impl Read + Seek), from: u64, to: u64) -> io::Result<u64> {
    let mut end = to;
    while end > from {
        let begin = end.saturating_sub(BLOCK_BYTES).max(from);
        if let Some(feed) = memchr::memrchr(b'\n', &between(file, begin, end)?) {
            return Ok(begin + feed as u64 + 1);
        }
        end = begin;
    }
    Ok(from)
}

fn between(file: &mut (impl Read + Seek), from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (to - from) as usize];
    file.seek(SeekFrom::Start(from))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
