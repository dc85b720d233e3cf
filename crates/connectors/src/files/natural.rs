//! The order of files by name, in which `part-9` comes before `part-10`: what a job wrote is read in
//! the order in which it was written.

use std::cmp::Ordering;

/// Compares names; digits in a row count as one number.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    // Names that differ in leading zeros only still have an order.
    runs(left).cmp(runs(right)).then_with(|| left.cmp(right))
}

/// Returns the runs of digits and of other bytes; of two numbers the one with fewer digits is less.
fn runs(name: &str) -> impl Iterator<Item = (usize, &[u8])> {
    let is_one = |left: &u8, right: &u8| left.is_ascii_digit() == right.is_ascii_digit();
    name.as_bytes().chunk_by(is_one).map(|run| match run[0].is_ascii_digit() {
        true => {
            let zeros = run.iter().take_while(|digit| **digit == b'0').count();
            (run.len() - zeros, &run[zeros..])
        }
        // No number has so many digits: it comes before what is none.
        false => (usize::MAX, run),
    })
}

#[cfg(test)]
mod tests;
