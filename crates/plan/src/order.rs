//! Orders of rows as data.

/// One column of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// The column.
    pub column: usize,
    /// Greatest first?
    pub descending: bool,
    /// NULLs before all values?
    pub nulls_first: bool,
}
