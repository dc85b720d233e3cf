//! Joins against what a naive join gives.
