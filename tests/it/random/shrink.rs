//! Makes a trial that fails small: rows go first, then parts of the query, as long as it fails.
//!
//! A smaller query may mean nothing any more; then it is refused, which is no failure, and another
//! part is tried. So the candidates need not be right.

use super::expression::{AGGREGATES, Expr, Operator};
use super::query::{Query, Select};
use super::schema::Input;
use super::timed::{Fired, Over};
use super::trial::Trial;

/// Trials that are run to make one small.
const TRIALS_MAX: usize = 600;

/// Returns the smallest trial found for which `fails` holds.
pub(super) fn shrink(trial: &Trial, fails: impl Fn(&Trial) -> bool) -> Trial {
    let (mut best, mut left) = (trial.clone(), TRIALS_MAX);
    loop {
        let found = inputs(&best).into_iter().chain(queries(&best)).find(|candidate| {
            left = left.saturating_sub(1);
            left > 0 && fails(candidate)
        });
        match found {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

/// Returns the trial with fewer rows: without whole steps, halves of steps, single rows.
fn inputs(trial: &Trial) -> Vec<Trial> {
    let mut found = Vec::new();
    let mut with = |input: Input| found.push(Trial { input, ..trial.clone() });
    let steps = &trial.input.steps;
    for at in 0..steps.len() {
        let mut input = trial.input.clone();
        input.steps.remove(at);
        with(input);
    }
    for (at, step) in steps.iter().enumerate() {
        let mut size = step.rows.len().div_ceil(2);
        while size > 0 && step.rows.len() > 1 {
            for from in (0..step.rows.len()).step_by(size) {
                let mut input = trial.input.clone();
                let to = (from + size).min(step.rows.len());
                input.steps[at].rows.drain(from..to);
                with(input);
            }
            size /= 2;
        }
    }
    let is_simple = trial.workers == 1 && trial.ahead == 0;
    let simple = (!is_simple).then(|| Trial { workers: 1, ahead: 0, ..trial.clone() });
    found.retain(|trial| trial.input.is_possible());
    found.into_iter().chain(simple).collect()
}

fn queries(trial: &Trial) -> Vec<Trial> {
    let queries = smaller(&trial.query).into_iter();
    queries.map(|query| Trial { query, ..trial.clone() }).collect()
}

/// Returns queries that are smaller than `query` by one part.
fn smaller(query: &Query) -> Vec<Query> {
    match query {
        Query::Table(_) | Query::Windowed(_) | Query::Complete { .. } => Vec::new(),
        Query::Over(over) => overs(over),
        Query::Fired(fired) => fireds(fired),
        Query::Values(values) => {
            let rows = 0..if values.rows.len() > 1 { values.rows.len() } else { 0 };
            let without = rows.map(|row| {
                let mut values = values.clone();
                values.rows.remove(row);
                Query::Values(values)
            });
            without.collect()
        }
        Query::Select(select) => selects(select),
        Query::Set(operation, sides) => {
            let mut found = sides.to_vec();
            for side in 0..2 {
                for smaller in smaller(&sides[side]) {
                    let mut sides = sides.clone();
                    sides[side] = smaller;
                    found.push(Query::Set(*operation, sides));
                }
            }
            found.extend(narrower(sides).map(|sides| Query::Set(*operation, sides)));
            found
        }
        Query::Top(top) => {
            let mut found = vec![top.query.as_ref().clone()];
            let mut plain = top.clone();
            plain.partition.pop();
            found.push(Query::Top(plain));
            found.extend(smaller(&top.query).into_iter().map(|query| {
                Query::Top(super::query::Top { query: Box::new(query), ..top.clone() })
            }));
            found
        }
        Query::With { name, definition, body } => {
            let with = |definition: Box<Query>, body: Box<Query>| Query::With {
                name: name.clone(),
                definition,
                body,
            };
            let mut found = vec![body.as_ref().clone(), definition.as_ref().clone()];
            let definitions = smaller(definition).into_iter();
            found.extend(definitions.map(|smaller| with(Box::new(smaller), body.clone())));
            let bodies = smaller(body).into_iter();
            found.extend(bodies.map(|smaller| with(definition.clone(), Box::new(smaller))));
            found
        }
    }
}

/// Returns results of windows without one of their parts.
fn fireds(fired: &Fired) -> Vec<Query> {
    let mut found = Vec::new();
    let mut changed = |change: &dyn Fn(&mut Fired)| {
        let mut fired = fired.clone();
        change(&mut fired);
        found.push(Query::Fired(fired));
    };
    (0..fired.filter.len()).for_each(|at| changed(&|fired| drop(fired.filter.remove(at))));
    (0..fired.having.len()).for_each(|at| changed(&|fired| drop(fired.having.remove(at))));
    (0..fired.calls.len()).for_each(|at| changed(&|fired| drop(fired.calls.remove(at))));
    (0..fired.keys.len()).for_each(|at| changed(&|fired| drop(fired.keys.remove(at))));
    found
}

/// Returns the functions without one of their parts.
fn overs(over: &Over) -> Vec<Query> {
    let mut found = Vec::new();
    let mut changed = |change: &dyn Fn(&mut Over)| {
        let mut over = over.clone();
        change(&mut over);
        found.push(Query::Over(over));
    };
    (0..over.filter.len()).for_each(|at| changed(&|over| drop(over.filter.remove(at))));
    (0..over.partition.len()).for_each(|at| changed(&|over| drop(over.partition.remove(at))));
    (0..over.passed.len()).for_each(|at| changed(&|over| drop(over.passed.remove(at))));
    let apart = (0..over.functions.len()).filter(|at| over.functions[*at].own.is_some());
    apart.for_each(|at| changed(&|over| over.functions[at].own = None));
    if over.functions.len() > 1 {
        (0..over.functions.len()).for_each(|at| changed(&|over| drop(over.functions.remove(at))));
    }
    found
}

/// Returns both sides of a set operation without one of their columns.
fn narrower(sides: &[Query; 2]) -> impl Iterator<Item = Box<[Query; 2]>> {
    let widths = sides.each_ref().map(|side| match side {
        Query::Select(select) => select.items.len(),
        _ => 0,
    });
    let columns = if widths[0] > 1 { widths[0].min(widths[1]) } else { 0 };
    let sides = sides.clone();
    (0..columns).map(move |column| {
        let mut sides = sides.clone();
        for side in &mut sides {
            if let Query::Select(select) = side {
                select.items.remove(column);
            }
        }
        Box::new(sides)
    })
}

fn selects(select: &Select) -> Vec<Query> {
    let mut found: Vec<Query> = Vec::new();
    found.extend(select.from.iter().map(|joined| joined.query.clone()));
    let exprs = select.items.iter().map(|(expr, _)| expr).chain(&select.filter);
    found.extend(exprs.filter_map(|expr| match expr {
        Expr::Query(_, _, query) => Some(query.as_ref().clone()),
        _ => None,
    }));
    found.retain(|query| !matches!(query, Query::Table(_)));
    let mut changed = |change: &dyn Fn(&mut Select)| {
        let mut select = select.clone();
        change(&mut select);
        found.push(Query::Select(select));
    };
    if select.is_distinct {
        changed(&|select| select.is_distinct = false);
    }
    for at in 1..select.from.len() {
        changed(&|select| drop(select.from.remove(at)));
    }
    if select.from.len() > 1 {
        changed(&|select| drop(select.from.remove(0)));
    }
    for at in 0..select.filter.len() {
        changed(&|select| drop(select.filter.remove(at)));
    }
    for at in 0..if select.items.len() > 1 { select.items.len() } else { 0 } {
        changed(&|select| drop(select.items.remove(at)));
    }
    if let Some(group) = &select.group {
        if !select.items.iter().any(|(expr, _)| is_aggregate(expr)) {
            changed(&|select| select.group = None);
        }
        if group.having.is_some() {
            changed(&|select| select.group.iter_mut().for_each(|group| group.having = None));
        }
        if group.sets.is_some() {
            changed(&|select| select.group.iter_mut().for_each(|group| group.sets = None));
        }
        for at in 0..group.keys.len() {
            changed(&|select| {
                select.group.iter_mut().for_each(|group| drop(group.keys.remove(at)));
            });
        }
    }
    for (at, joined) in select.from.iter().enumerate() {
        for condition in 0..joined.on.len() {
            changed(&|select| drop(select.from[at].on.remove(condition)));
        }
        for query in smaller(&joined.query) {
            changed(&|select| select.from[at].query = query.clone());
        }
        for (condition, expr) in joined.on.iter().enumerate() {
            for expr in simpler(expr) {
                changed(&|select| select.from[at].on[condition] = expr.clone());
            }
        }
    }
    for (at, expr) in select.filter.iter().enumerate() {
        for expr in simpler(expr) {
            changed(&|select| select.filter[at] = expr.clone());
        }
    }
    for (at, (expr, _)) in select.items.iter().enumerate() {
        for expr in simpler(expr) {
            changed(&|select| select.items[at].0 = expr.clone());
        }
    }
    found
}

/// Is an expression one of a whole group?
fn is_aggregate(expr: &Expr) -> bool {
    let is_one =
        |operator: &Operator| AGGREGATES.iter().any(|known| known.stream == operator.stream);
    matches!(expr, Expr::Call(operator, _) if is_one(operator))
}

/// Returns expressions that are simpler than `expr`: its arguments, and itself with simpler ones.
fn simpler(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::Column(_) | Expr::Value(..) => Vec::new(),
        Expr::Call(operator, arguments) => {
            let mut found = arguments.clone();
            let each = within(arguments).into_iter();
            found.extend(each.map(|arguments| Expr::Call(operator, arguments)));
            found
        }
        Expr::Query(operator, arguments, query) => {
            let each = within(arguments).into_iter();
            let mut found: Vec<Expr> =
                each.map(|arguments| Expr::Query(operator, arguments, query.clone())).collect();
            found.extend(
                smaller(query)
                    .into_iter()
                    .map(|query| Expr::Query(operator, arguments.clone(), Box::new(query))),
            );
            found
        }
    }
}

/// Returns the arguments with one of them simpler.
fn within(arguments: &[Expr]) -> Vec<Vec<Expr>> {
    let each = arguments
        .iter()
        .enumerate()
        .flat_map(|(at, argument)| simpler(argument).into_iter().map(move |simple| (at, simple)));
    let each = each.map(|(at, simple)| {
        let mut arguments = arguments.to_vec();
        arguments[at] = simple;
        arguments
    });
    each.collect()
}
