//! Queries as logical plans.

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use thalweg_types::Result;

use crate::session::Session;

/// Plans a query.
///
/// # Errors
/// `Invalid`, at the place in the text.
pub(super) fn query(session: &Session, tokens: &[TokenWithSpan]) -> Result<LogicalPlan> {
    session.query(tokens)
}
