//! Bugs planted on purpose, to prove that tests see them.
//!
//! Only debug builds can plant one; in a release the question is a constant.

/// Is this bug planted, by `THALWEG_PLANT` in the environment?
pub fn is_planted(name: &str) -> bool {
    cfg!(debug_assertions)
        && std::env::var_os("THALWEG_PLANT").is_some_and(|planted| planted == name)
}
