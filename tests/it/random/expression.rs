//! Expressions as trees, and the operators that random ones are made of.
//!
//! An operator is a text with holes in each of the two dialects, so only what means the same in
//! both stands here.

use std::collections::BTreeSet;

use super::query::Query;
use super::schema::{Code, Kind};

/// Who reads a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The engine that is tested.
    Stream,
    /// The one that says what is right.
    Batch,
}

/// The type of an operator's argument or result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Of(Kind),
    /// Whatever the others that say so have.
    Same,
}

/// An operator, a function or an aggregate: `{0}`, `{1}` are its arguments, `{q}` its query, `{m}` the rows of it
/// whose one column may be equal to the argument.
#[derive(Debug)]
pub(super) struct Operator {
    /// The feature under which it is counted.
    pub(super) name: &'static str,
    pub(super) stream: &'static str,
    pub(super) batch: &'static str,
    pub(super) arguments: &'static [Type],
    pub(super) result: Type,
}

/// Returns a row number or a rank as a BIGINT: DataFusion's have no sign, and are divided otherwise.
pub(super) fn ranked(value: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Stream => value.to_owned(),
        Dialect::Batch => format!("CAST({value} AS BIGINT)"),
    }
}

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    /// A column, by its qualified name.
    Column(String),
    Value(Kind, Code),
    Call(&'static Operator, Vec<Expr>),
    /// An operator over a query.
    Query(&'static Operator, Vec<Expr>, Box<Query>),
}

impl Expr {
    pub(super) fn sql(&self, dialect: Dialect) -> String {
        match self {
            Expr::Column(name) => name.clone(),
            Expr::Value(kind, code) => kind.value(*code),
            Expr::Call(operator, arguments) => operator.fill(dialect, arguments, None),
            Expr::Query(operator, arguments, query) => {
                operator.fill(dialect, arguments, Some(query))
            }
        }
    }

    /// Does it call one of these?
    pub(super) fn is_call_of(&self, operators: &[Operator]) -> bool {
        match self {
            Expr::Call(operator, _) => operators.iter().any(|other| other.name == operator.name),
            Expr::Column(_) | Expr::Value(..) | Expr::Query(..) => false,
        }
    }

    pub(super) fn features(&self, found: &mut BTreeSet<&'static str>) {
        match self {
            Expr::Column(_) | Expr::Value(..) => {}
            Expr::Call(operator, arguments) => {
                found.insert(operator.name);
                arguments.iter().for_each(|argument| argument.features(found));
            }
            Expr::Query(operator, arguments, query) => {
                found.insert(operator.name);
                arguments.iter().for_each(|argument| argument.features(found));
                query.features(found);
            }
        }
    }
}

impl Operator {
    fn fill(&self, dialect: Dialect, arguments: &[Expr], query: Option<&Query>) -> String {
        let template = match dialect {
            Dialect::Stream => self.stream,
            Dialect::Batch => self.batch,
        };
        let mut parts = template.split('{');
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            let (hole, rest) = part.split_once('}').unwrap();
            text += &match hole {
                "q" => query.unwrap().sql(dialect),
                "m" => query.unwrap().members(&arguments[0].sql(dialect)),
                number => arguments[number.parse::<usize>().unwrap()].sql(dialect),
            };
            text += rest;
        }
        text
    }
}

const fn same(
    name: &'static str,
    text: &'static str,
    arguments: &'static [Type],
    result: Type,
) -> Operator {
    Operator { name, stream: text, batch: text, arguments, result }
}

const SAME: Type = Type::Same;
const BIG: Type = Type::Of(Kind::BigInt);
const INT: Type = Type::Of(Kind::Int);
const TEXT: Type = Type::Of(Kind::Text);
const REAL: Type = Type::Of(Kind::Double);
const DECIMAL: Type = Type::Of(Kind::Decimal);
const FLAG: Type = Type::Of(Kind::Boolean);
const TIME: Type = Type::Of(Kind::Timestamp);
const DATE: Type = Type::Of(Kind::Date);

/// What stands in projections and conditions.
pub(super) const SCALARS: &[Operator] = &[
    same("arithmetic", "({0} + {1})", &[BIG, BIG], BIG),
    same("arithmetic", "({0} - {1})", &[BIG, BIG], BIG),
    same("arithmetic", "({0} * 2)", &[BIG], BIG),
    same("arithmetic", "({0} / 2)", &[BIG], BIG),
    same("arithmetic", "({0} % 3)", &[BIG], BIG),
    same("arithmetic", "({0} + {1})", &[INT, INT], INT),
    same("arithmetic", "({0} - {1})", &[REAL, REAL], REAL),
    same("arithmetic", "({0} + {1})", &[DECIMAL, DECIMAL], DECIMAL),
    same("functions", "ABS({0})", &[BIG], BIG),
    same("functions", "CHAR_LENGTH({0})", &[TEXT], INT),
    same("functions", "UPPER({0})", &[TEXT], TEXT),
    same("functions", "SUBSTRING({0}, 1, 2)", &[TEXT], TEXT),
    same("functions", "({0} || {1})", &[TEXT, TEXT], TEXT),
    same("functions", "EXTRACT(DAY FROM {0})", &[DATE], BIG),
    same("casts", "CAST({0} AS BIGINT)", &[INT], BIG),
    same("casts", "CAST({0} AS INT)", &[BIG], INT),
    same("casts", "CAST({0} AS DOUBLE)", &[BIG], REAL),
    same("casts", "CAST({0} AS VARCHAR)", &[BIG], TEXT),
    same("casts", "CAST({0} AS DATE)", &[TIME], DATE),
    same("intervals", "({0} + INTERVAL '2' SECOND)", &[TIME], TIME),
    same("CASE", "CASE WHEN {0} THEN {1} ELSE {2} END", &[FLAG, SAME, SAME], SAME),
    same("COALESCE", "COALESCE({0}, {1})", &[SAME, SAME], SAME),
    same("NULLIF", "NULLIF({0}, {1})", &[SAME, SAME], SAME),
    same("comparison", "({0} = {1})", &[SAME, SAME], FLAG),
    same("comparison", "({0} <> {1})", &[SAME, SAME], FLAG),
    same("comparison", "({0} < {1})", &[SAME, SAME], FLAG),
    same("comparison", "({0} >= {1})", &[SAME, SAME], FLAG),
    same("comparison", "({0} BETWEEN {1} AND {2})", &[SAME, SAME, SAME], FLAG),
    same("DISTINCT FROM", "({0} IS DISTINCT FROM {1})", &[SAME, SAME], FLAG),
    same("DISTINCT FROM", "({0} IS NOT DISTINCT FROM {1})", &[SAME, SAME], FLAG),
    same("IS NULL", "({0} IS NULL)", &[SAME], FLAG),
    same("IS NULL", "({0} IS NOT NULL)", &[SAME], FLAG),
    same("IS TRUE", "({0} IS TRUE)", &[FLAG], FLAG),
    same("IS TRUE", "({0} IS NOT FALSE)", &[FLAG], FLAG),
    same("logic", "({0} AND {1})", &[FLAG, FLAG], FLAG),
    same("logic", "({0} OR {1})", &[FLAG, FLAG], FLAG),
    same("logic", "(NOT {0})", &[FLAG], FLAG),
    // DataFusion takes a NULL of an outer join that is listed twice for FALSE.
    Operator {
        name: "IN of values",
        stream: "({0} IN ({1}, {2}))",
        batch: "({0} = {1} OR {0} = {2})",
        arguments: &[SAME, SAME, SAME],
        result: FLAG,
    },
    same("LIKE", "({0} LIKE 'a%')", &[TEXT], FLAG),
];

/// Returns the operator of [`SCALARS`] that is written so.
pub(super) fn scalar(text: &str) -> &'static Operator {
    let found = SCALARS.iter().find(|operator| operator.stream == text);
    found.unwrap_or_else(|| panic!("there is no operator {text}"))
}

/// Aggregates; the answer is the same in any order of the rows.
pub(super) const AGGREGATES: &[Operator] = &[
    same("COUNT", "COUNT(*)", &[], BIG),
    same("COUNT", "COUNT({0})", &[SAME], BIG),
    same("COUNT(DISTINCT)", "COUNT(DISTINCT {0})", &[SAME], BIG),
    same("SUM", "SUM({0})", &[BIG], BIG),
    same("SUM", "SUM({0})", &[INT], INT),
    same("SUM", "SUM({0})", &[REAL], REAL),
    same("SUM", "SUM({0})", &[DECIMAL], DECIMAL),
    same("SUM(DISTINCT)", "SUM(DISTINCT {0})", &[BIG], BIG),
    same("AVG", "AVG({0})", &[REAL], REAL),
    // Of whole numbers it is one in Flink, and a DOUBLE in DataFusion.
    Operator {
        name: "AVG",
        stream: "AVG({0})",
        batch: "(SUM({0}) / NULLIF(COUNT({0}), 0))",
        arguments: &[BIG],
        result: BIG,
    },
    same("MIN and MAX", "MIN({0})", &[SAME], SAME),
    same("MIN and MAX", "MAX({0})", &[SAME], SAME),
    same("FILTER", "COUNT(*) FILTER (WHERE {0})", &[FLAG], BIG),
    same("FILTER", "SUM({0}) FILTER (WHERE {1})", &[BIG, FLAG], BIG),
    same("FILTER", "MAX({0}) FILTER (WHERE {1})", &[SAME, FLAG], SAME),
];

/// Functions over the rows before each row, in order of time. (Numbers of rows have no frame.)
pub(super) const RUNNING: &[Operator] = &[
    same("COUNT", "COUNT(*)", &[], BIG),
    same("COUNT", "COUNT({0})", &[SAME], BIG),
    same("SUM", "SUM({0})", &[BIG], BIG),
    same("SUM", "SUM({0})", &[INT], INT),
    same("SUM", "SUM({0})", &[REAL], REAL),
    same("SUM", "SUM({0})", &[DECIMAL], DECIMAL),
    same("AVG", "AVG({0})", &[REAL], REAL),
    same("MIN and MAX", "MIN({0})", &[SAME], SAME),
    same("MIN and MAX", "MAX({0})", &[SAME], SAME),
    // Of what is not NULL, in Flink.
    Operator {
        name: "FIRST_VALUE and LAST_VALUE",
        stream: "FIRST_VALUE({0})",
        batch: "FIRST_VALUE({0}) IGNORE NULLS",
        arguments: &[SAME],
        result: SAME,
    },
    Operator {
        name: "FIRST_VALUE and LAST_VALUE",
        stream: "LAST_VALUE({0})",
        batch: "LAST_VALUE({0}) IGNORE NULLS",
        arguments: &[SAME],
        result: SAME,
    },
];

/// More of them, without a frame.
pub(super) const PLACED: &[Operator] = &[
    same("ROW_NUMBER of all", "ROW_NUMBER()", &[], BIG),
    same("LAG", "LAG({0})", &[SAME], SAME),
    same("LAG", "LAG({0}, 2)", &[SAME], SAME),
];

/// Conditions over a query of one column, whose type the argument has.
pub(super) const MEMBERS: &[Operator] = &[
    same("IN sub-query", "({0} IN ({q}))", &[SAME], FLAG),
    // DataFusion takes NULL for false where there is a constant or another condition; where a condition
    // is asked to be true, this means the same.
    Operator {
        name: "NOT IN sub-query",
        stream: "({0} NOT IN ({q}))",
        batch: "(NOT EXISTS ({m}))",
        arguments: &[SAME],
        result: FLAG,
    },
];

/// Conditions over any query.
pub(super) const EXISTENCE: &[Operator] =
    &[same("EXISTS", "EXISTS ({q})", &[], FLAG), same("NOT EXISTS", "NOT EXISTS ({q})", &[], FLAG)];

/// A query of one row as a value.
pub(super) const SCALAR_QUERY: &Operator = &same("scalar sub-query", "({q})", &[], SAME);
