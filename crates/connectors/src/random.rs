//! Random numbers that depend on a counter alone, so that any row can be made again by itself.

/// Returns 64 random bits for `counter` in one of 32 streams (SplitMix64 of a counter; Steele, Lea
/// and Flood, Fast Splittable Pseudorandom Number Generators, 2014).
#[inline]
pub fn bits(counter: u64, stream: u64) -> u64 {
    let mut z = ((counter << 5) | stream).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns a number from 0 to before 1.
#[inline]
pub fn unit(counter: u64, stream: u64) -> f64 {
    (bits(counter, stream) >> 11) as f64 / (1_u64 << 53) as f64
}
