//! What is said of a search for a pattern.

use arrow::datatypes::SchemaRef;

use super::Fact;
use super::text::{columns, partition_lived};
use crate::pattern::{MatchNode, RowsPerMatch, Scope, Skip, Variable, VariableId};
use crate::window::{TimeBasis, span};

/// Says what is searched for, and where.
pub(super) fn does(schema: &SchemaRef, search: &MatchNode) -> Vec<Fact> {
    let of = match search.partition.as_slice() {
        [] => "the rows".to_owned(),
        keys => format!("the rows of each ({})", columns(schema, keys)),
    };
    let (pattern, order) = (search.text(&search.pattern), order(search, schema));
    let searches = format!("searches {of}, in order of {order}, for {pattern}");
    let described = search.variables.iter().filter_map(|variable| {
        let conditions = conditions(variable);
        (!conditions.is_empty()).then(|| format!("{} is a row where {conditions}", variable.name))
    });
    let ends = format!("puts out {}, {}", rows(search.rows), goes_on(search));
    let all = [searches].into_iter().chain(described).chain([ends]);
    all.map(|text| ("does", text)).collect()
}

/// Returns the conditions of a variable, in the user's words.
fn conditions(variable: &Variable) -> String {
    let all = variable.conditions.iter().map(|condition| condition.condition.describe());
    all.collect::<Vec<_>>().join(" AND ")
}

fn order(search: &MatchNode, schema: &SchemaRef) -> String {
    let order: Vec<usize> = search.order.iter().map(|key| key.column).collect();
    columns(schema, &order)
}

fn rows(rows: RowsPerMatch) -> &'static str {
    match rows {
        RowsPerMatch::One => "one row per match",
        RowsPerMatch::All { shows_unmatched: true, .. } => {
            "all rows of each match, and those of none"
        }
        RowsPerMatch::All { .. } => "all rows of each match",
    }
}

/// Says where a search goes on.
fn goes_on(search: &MatchNode) -> String {
    let rows_of = |scope: Scope| {
        let named = (0..).zip(&search.variables);
        let named = named.filter(|(id, _)| scope.contains(VariableId(*id)));
        named.map(|(_, variable)| variable.name.clone()).collect::<Vec<_>>().join(" or ")
    };
    match search.skip {
        Skip::PastLastRow => "and goes on behind its last row".to_owned(),
        Skip::ToNextRow => "and goes on behind its first row".to_owned(),
        Skip::ToFirst(of) => format!("and goes on at its first row of {}", rows_of(of)),
        Skip::ToLast(of) => format!("and goes on at its last row of {}", rows_of(of)),
    }
}

/// Says what rows are kept, and what bounds them; is the input bounded?
pub(super) fn kept(schema: &SchemaRef, search: &MatchNode, is_bounded: bool) -> Vec<Fact> {
    let by = columns(schema, &search.partition);
    let per = if by.is_empty() { String::new() } else { format!(" of each ({by})") };
    let waiting = match search.basis {
        TimeBasis::Event => "rows that the watermark has not reached, and those",
        TimeBasis::Processing => "the rows",
    };
    let text = format!("{waiting}{per} from which a match may still come");
    let time = search.order.first().map(|key| schema.field(key.column).data_type());
    let within = match (search.within, time, search.endless()) {
        (Some(within), Some(time), None) => Some(format!(" within {}", span(within, time))),
        _ => None,
    };
    if let Some(ttl) = search.ttl {
        let (within, beside) = (within.unwrap_or_default(), beside(search));
        let and = if beside.is_empty() { String::new() } else { format!(", and {beside}") };
        return vec![("state", format!("{text}{within}{and}{}", partition_lived(ttl)))];
    }
    let numbers = for_ever(search, !by.is_empty());
    if let Some(within) = within {
        let bound = if numbers.is_empty() { ": bounded" } else { "" };
        return vec![("state", format!("{text}{within}{numbers}{bound}"))];
    }
    let help = match search.endless().as_deref() {
        Some("$") => "leave out $, which is known only when the input ends",
        _ => "WITHIN INTERVAL '…' behind the pattern bounds how long a match may take",
    };
    let help = ("help", help.to_owned());
    match (search.endless(), is_bounded) {
        (_, true) => {
            vec![("state", format!("{text}, until the input ends: grows with it{numbers}"))]
        }
        (Some(part), false) => {
            let ever =
                format!("unbounded, since a search that has come to {part} can run for ever");
            vec![("state", format!("{text}: {ever}{numbers}")), help]
        }
        (None, false) if by.is_empty() => {
            vec![("state", format!("{text}, as many as the pattern has{numbers}: bounded"))]
        }
        (None, false) => {
            let many = "as many as the pattern has, for ever: grows with the keys";
            vec![("state", format!("{text}, {many}{numbers}")), help]
        }
    }
}

/// Says what is kept whatever becomes of matches, and for how long.
fn for_ever(search: &MatchNode, has_keys: bool) -> String {
    let all = beside(search);
    match (all.is_empty(), has_keys) {
        (true, _) => String::new(),
        (false, false) => format!(", and {all}"),
        (false, true) => format!(", and of each key {all}, for ever: grows with the keys"),
    }
}

/// Names what is kept of a partition whatever becomes of matches.
fn beside(search: &MatchNode) -> String {
    let rows = |rows: usize, why: &str| match rows {
        1 => format!("its last row ({why})"),
        rows => format!("its last {rows} rows ({why})"),
    };
    let around = match (search.rows_back(), search.rows_ahead()) {
        (0, 0) => None,
        (back, 0) => Some(rows(back, "PREV")),
        (0, ahead) => Some(rows(ahead, "NEXT")),
        (back, ahead) => Some(rows(back.saturating_add(ahead), "PREV, NEXT")),
    };
    let matches = search.counts_for_ever().then(|| "how many matches there were".to_owned());
    let all: Vec<String> = around.into_iter().chain(matches).collect();
    all.join(" and ")
}

/// Says when a match comes out.
pub(super) fn leaves(search: &MatchNode) -> String {
    let when = match search.basis {
        TimeBasis::Event => "a match when the watermark reaches the row that decides it",
        TimeBasis::Processing => "a match at the end of the epoch of the row that decides it",
    };
    let ahead = match search.rows_ahead() {
        0 => String::new(),
        1 => ", and the next row is there".to_owned(),
        rows => format!(", and the next {rows} rows are there"),
    };
    let within = if search.within.is_some() { ", or its time is over" } else { "" };
    format!("{when}{within}{ahead}")
}
