//! What of a result waits for watermarks, and until when.
//!
//! Most of a result is there in the epoch of its rows. Four things come later, each in the first epoch whose
//! watermark says that nothing can change them any more:
//!
//! - what is grouped by a window: when the watermark has passed the window's end;
//! - the first rows of a window: then, too;
//! - the first row of a partition by event time, of rows that are only inserted: at its own time;
//! - rows of an outer join, or of `NOT EXISTS`, that meet nothing, where both sides are only inserted and
//!   the condition says how far apart in time two rows can be that meet: when no row can come any more that is
//!   near enough.
//!
//! The watermark of rows is the least one of all tables behind them, less what joins by time hold back: of
//! two rows that are five seconds apart the older one comes out five seconds late.
//!
//! [`asked`] follows times and windows through a query, as its text says them, and writes what is waited for
//! into the parts that wait; the oracle's text asks for it. So nobody asks the planner when something is final.
//! It is asked only whether it waits where nothing was expected to: it may find out that a condition is
//! always true, or move one. Such a query is compared at the end only, and counted.

mod meeting;

use std::collections::BTreeSet;

use thalweg_plan::Plan;
use thalweg_plan::join::{Alone, JoinNode};
use thalweg_plan::node::NodeKind;

use super::expression::{Dialect, Expr, SCALAR_QUERY, scalar};
use super::query::{Group, JoinKind, Joined, Query, Select, SetOperation, Top};
use super::schema::{Comes, Input, TIME};
use super::timed::{END, HERE, START, watermark};
use meeting::{Meeting, bound, compared, key_of, met, shifted};

/// What a column is beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Plain,
    /// Event time.
    Time,
    /// Where the row's window starts.
    Start,
    /// Where it ends.
    End,
}

/// What is known of some rows.
#[derive(Clone, Debug, Default)]
struct Rows {
    columns: Vec<(String, Role)>,
    /// Are rows taken back?
    is_updating: bool,
    /// The tables whose watermarks are behind them.
    tables: BTreeSet<String>,
    /// By how much they may be behind these, in milliseconds.
    delay: i64,
}

/// What waits; of a join how far its rows can be apart, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wait {
    Window,
    FirstOfWindow,
    First,
    Alone { earlier: Option<i64>, later: Option<i64> },
}

impl Wait {
    /// Returns the feature under which it is counted.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Wait::Window => "waiting for a window",
            Wait::FirstOfWindow => "waiting for the first row of a window",
            Wait::First => "waiting for the first row in time",
            Wait::Alone { .. } => "waiting to be alone in time",
        }
    }
}

/// Returns the query as the oracle asks it, and what of it waits; or why nobody knows. `is_false` says of
/// a condition without columns if it is false.
pub(super) fn asked(
    query: &Query,
    input: &Input,
    is_false: &dyn Fn(&str) -> bool,
) -> Result<(Query, BTreeSet<Wait>), &'static str> {
    let mut query = query.clone();
    let (with, found, unsure) = (Vec::new(), BTreeSet::new(), None);
    let mut reader = Reader { input, is_false, with, found, unsure };
    reader.query(&mut query);
    match reader.unsure {
        Some(why) => Err(why),
        None => Ok((query, reader.found)),
    }
}

/// Returns what waits in a plan.
pub(super) fn planned(plan: &Plan) -> BTreeSet<Wait> {
    let waits = plan.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Aggregate(aggregate) => aggregate.window.is_some().then_some(Wait::Window),
        NodeKind::WindowTop(_) => Some(Wait::FirstOfWindow),
        NodeKind::Top(top) => top.final_by.map(|_| Wait::First),
        NodeKind::Join(join) => alone(join),
        _ => None,
    });
    waits.collect()
}

fn alone(join: &JoinNode) -> Option<Wait> {
    let bound = join.bound.filter(|_| join.is_monotone())?;
    let unmatched = [join.kind.left_alone(), join.kind.right_alone()];
    let millis = |nanos: Option<i64>| nanos.map(|nanos| nanos / 1_000_000);
    unmatched
        .contains(&Some(Alone::Unmatched))
        .then(|| Wait::Alone { earlier: millis(bound.earlier), later: millis(bound.later) })
}

impl Rows {
    fn role(&self, name: &str) -> Role {
        let found = self.columns.iter().find(|(own, _)| own == name);
        found.map_or(Role::Plain, |(_, role)| *role)
    }

    fn first(&self, role: Role) -> Option<&str> {
        self.columns.iter().find(|(_, own)| *own == role).map(|(name, _)| name.as_str())
    }

    /// Returns the end of the window that rows are grouped by if `keys` have these roles.
    fn window_of(&self, keys: &[Role]) -> Option<String> {
        let is_whole = [Role::Start, Role::End].iter().all(|role| keys.contains(role));
        self.first(Role::End).filter(|_| is_whole).map(str::to_owned)
    }

    /// Returns the conditions that the watermark has passed a time of some of these rows, and `more`.
    fn passed(&self, time: &str, more: i64) -> Vec<String> {
        let time = format!("arrow_cast({time}, 'Int64') + ({})", more + self.delay);
        self.tables.iter().map(|table| format!("{time} <= {}", watermark(table))).collect()
    }

    /// Returns rows that come and go, and whose times say nothing.
    fn updated(mut self) -> Rows {
        self.is_updating = true;
        self.plain()
    }

    fn plain(mut self) -> Rows {
        self.columns.iter_mut().for_each(|(_, role)| *role = Role::Plain);
        self
    }

    fn named(mut self, alias: &str) -> Rows {
        self.columns.iter_mut().for_each(|(name, _)| *name = format!("{alias}.{name}"));
        self
    }
}

struct Reader<'a> {
    input: &'a Input,
    /// Is a condition without columns false?
    is_false: &'a dyn Fn(&str) -> bool,
    /// Common table expressions in scope.
    with: Vec<(String, Rows)>,
    found: BTreeSet<Wait>,
    /// Why nobody knows.
    unsure: Option<&'static str>,
}

impl Reader<'_> {
    fn query(&mut self, query: &mut Query) -> Rows {
        match query {
            Query::Table(name) => self.named(name),
            Query::Values(values) => plain(values.columns.iter().map(|(name, _)| name.clone())),
            Query::Select(select) => self.select(select),
            Query::Set(operation, sides) => {
                let mut complete = Vec::new();
                let rows = self.set(*operation, sides, &mut complete);
                if !complete.is_empty() {
                    let inner = Box::new(query.clone());
                    *query = Query::Complete { query: inner, complete };
                }
                rows
            }
            Query::Top(top) => self.top(top),
            Query::Windowed(windowed) => {
                let ends = [(START.to_owned(), Role::Start), (END.to_owned(), Role::End)];
                let mut rows = self.named(&windowed.table);
                rows.columns.extend(ends);
                rows
            }
            Query::Fired(fired) => {
                self.found.insert(Wait::Window);
                let tables = [fired.table.clone()].into();
                Rows { tables, ..plain(fired.names()) }
            }
            Query::Over(over) => {
                let rows = self.named(&over.table);
                Rows { columns: plain(over.names()).columns, is_updating: !over.is_final(), ..rows }
            }
            Query::With { name, definition, body } => {
                let rows = self.query(definition);
                self.with.push((name.clone(), rows));
                let rows = self.query(body);
                self.with.pop();
                rows
            }
            Query::Complete { .. } => unreachable!("a query is read once"),
        }
    }

    /// Returns what is known of a table.
    fn named(&mut self, name: &str) -> Rows {
        if let Some((_, rows)) = self.with.iter().rev().find(|(known, _)| known == name) {
            return rows.clone();
        }
        let Some(table) = self.input.tables.iter().find(|table| table.name == name) else {
            // A query that was made smaller may have lost it; the planner refuses that.
            self.unsure = Some("it reads what is not there");
            return Rows::default();
        };
        let role = |name: &str| if name == TIME { Role::Time } else { Role::Plain };
        Rows {
            columns: table.columns.iter().map(|(name, _)| (name.clone(), role(name))).collect(),
            is_updating: table.comes != Comes::Append,
            tables: table.has_time().then(|| name.to_owned()).into_iter().collect(),
            delay: 0,
        }
    }

    fn select(&mut self, select: &mut Select) -> Rows {
        let mut scope = self.from(select);
        let exprs = select.filter.iter_mut().chain(select.items.iter_mut().map(|(expr, _)| expr));
        let mut has_scalars = false;
        for expr in exprs {
            has_scalars |= self.scalars(expr);
        }
        if has_scalars {
            // Each row comes again if what it is compared with changes.
            scope = scope.updated();
        }
        for at in 0..select.filter.len() {
            if let Expr::Query(operator, arguments, query) = &mut select.filter[at] {
                let meeting = match operator.name {
                    "NOT EXISTS" => Meeting::Anti,
                    "NOT IN sub-query" if is_tied_by_time(query, &scope) => Meeting::Anti,
                    "NOT IN sub-query" => {
                        self.query(query);
                        scope = scope.updated();
                        continue;
                    }
                    _ => Meeting::Semi,
                };
                let (rows, mut conditions) = self.sub_query(query);
                if let (Some(member), Query::Select(own)) = (arguments.first(), query.as_ref())
                    && meeting == Meeting::Semi
                {
                    conditions.push(equal(member.clone(), own.items[0].0.clone()));
                }
                let (rows, complete) = self.meet([scope, rows], meeting, &conditions);
                scope = rows;
                select.complete.extend(complete.into_iter().flatten());
            }
        }
        let role = |expr: &Expr| match expr {
            Expr::Column(name) => scope.role(name),
            _ => Role::Plain,
        };
        let items = select.items.iter().map(|(expr, name)| (name.clone(), role(expr)));
        let columns: Vec<_> = items.collect();
        let mut rows = Rows { columns, ..scope.clone() };
        if let Some(group) = &mut select.group {
            rows = self.group(group, &scope, rows);
        }
        match select.is_distinct {
            true => self.distinct(rows, &mut select.distinct_complete),
            false => rows,
        }
    }

    /// Looks at the queries of single rows in an expression; are there any?
    fn scalars(&mut self, expr: &mut Expr) -> bool {
        match expr {
            Expr::Column(_) | Expr::Value(..) => false,
            Expr::Query(operator, arguments, query) if operator.name == SCALAR_QUERY.name => {
                debug_assert!(arguments.is_empty(), "nothing is compared with it within");
                self.query(query);
                true
            }
            Expr::Call(_, arguments) | Expr::Query(_, arguments, _) => {
                let mut is_found = false;
                for argument in arguments {
                    is_found |= self.scalars(argument);
                }
                is_found
            }
        }
    }

    /// Returns the rows of a sub-query of one table, and its conditions; they may be about the row around it.
    fn sub_query(&mut self, query: &mut Query) -> (Rows, Vec<Expr>) {
        if let Query::Select(select) = query
            && let ([_], None) = (select.from.as_slice(), &select.group)
            && !select.is_distinct
            && !select.filter.iter().any(|expr| matches!(expr, Expr::Query(..)))
        {
            return (self.from(select), select.filter.clone());
        }
        let rows = self.query(query);
        let Query::Select(select) = query else { return (rows, Vec::new()) };
        // What is compared with the first item is compared with the column of its name.
        let (item, name) = &select.items[0];
        let rows = match item {
            Expr::Column(column) => {
                let mut rows = rows;
                let first = rows.columns.iter_mut().find(|(own, _)| own == name);
                first.into_iter().for_each(|(own, _)| own.clone_from(column));
                rows
            }
            _ => rows.plain(),
        };
        (rows, Vec::new())
    }

    /// Returns the rows of what is joined, from left to right.
    fn from(&mut self, select: &mut Select) -> Rows {
        let mut scope = Rows::default();
        let mut complete = Vec::new();
        for at in 0..select.from.len() {
            let rows = self.query(&mut select.from[at].query).named(&select.from[at].alias);
            if at == 0 {
                scope = rows;
                continue;
            }
            let (kind, later) = (select.from[at].kind, &select.from[at + 1..]);
            // A condition of WHERE goes down to where its columns are.
            let keeps = |joined: &Joined| matches!(joined.kind, JoinKind::Inner | JoinKind::Left);
            let is_open = kind == JoinKind::Inner && later.iter().all(keeps);
            let asked = select.filter.iter().filter(|_| is_open);
            let conditions: Vec<Expr> = select.from[at].on.iter().chain(asked).cloned().collect();
            let (rows, waits) = self.meet([scope, rows], Meeting::Join(kind), &conditions);
            scope = rows;
            for (side, passed) in waits.into_iter().enumerate() {
                if passed.is_empty() {
                    continue;
                }
                if !later.iter().all(keeps) {
                    self.unsure = Some("a row that waits may be missed by an outer join behind it");
                }
                let others = if side == 0 { at..at + 1 } else { 0..at };
                let others = others.map(|at| format!("{}.{HERE} IS NULL", select.from[at].alias));
                let is_alone = others.collect::<Vec<_>>().join(" AND ");
                complete.push(format!("(({is_alone}) IS FALSE OR {})", passed.join(" AND ")));
            }
        }
        if !complete.is_empty() {
            select.from.iter_mut().for_each(|joined| joined.is_shown = true);
            select.complete.extend(complete);
        }
        scope
    }

    /// Returns what comes out where two sides meet, and what rows of each wait for that meet nothing.
    fn meet(
        &mut self,
        sides: [Rows; 2],
        meeting: Meeting,
        conditions: &[Expr],
    ) -> (Rows, [Vec<String>; 2]) {
        let is_updating = sides.iter().any(|side| side.is_updating);
        let comparisons = conditions.iter().flat_map(compared).filter_map(|(first, op, second)| {
            Some((shifted(&first, &sides)?, op, shifted(&second, &sides)?))
        });
        // What is never true says nothing of times, and rows that meet nothing are there at once.
        let is_never = conditions.iter().any(|condition| self.is_never(condition));
        let bound = bound(comparisons).filter(|_| !is_updating && !is_never);
        let alone = meeting.has_alone();
        let ends = |side: usize| bound.is_some_and(|bound| bound.more(side).is_some());
        let is_known = (0..2).all(|side| !alone[side] || ends(side));
        let delay = sides[0].delay.max(sides[1].delay);
        let tables: BTreeSet<_> =
            sides.iter().flat_map(|side| side.tables.iter().cloned()).collect();
        let own = Rows { tables, delay, ..Rows::default() };
        let mut waits = [Vec::new(), Vec::new()];
        if let Some(bound) = bound.filter(|_| is_known && alone.contains(&true)) {
            self.found.insert(Wait::Alone { earlier: bound.earlier, later: bound.later });
            for side in (0..2).filter(|side| alone[*side]) {
                let (name, role) = &sides[side].columns[bound.columns[side]];
                let more = bound.more(side).unwrap_or(0) - i64::from(*role == Role::End);
                let passed = own.passed(name, more).join(" AND ");
                // Of a row whose key is NULL it is known at once.
                let keys = conditions.iter().filter_map(|expr| key_of(expr, side, &sides));
                let nulls = keys.map(|key| format!(" OR {key} IS NULL"));
                waits[side] = vec![format!("({passed}{})", nulls.collect::<String>())];
            }
        }
        let held = bound.map_or(0, |bound| (0..2).filter_map(|s| bound.more(s)).max().unwrap_or(0));
        let columns = met(&sides, bound, meeting);
        let is_updating = is_updating || !is_known;
        (Rows { columns, is_updating, delay: delay + held.max(0), ..own }, waits)
    }

    /// Is a condition false, whatever the row?
    fn is_never(&self, condition: &Expr) -> bool {
        match condition {
            Expr::Call(operator, both) if operator.stream == "({0} AND {1})" => {
                both.iter().any(|condition| self.is_never(condition))
            }
            _ => is_constant(condition) && (self.is_false)(&condition.sql(Dialect::Batch)),
        }
    }

    fn group(&mut self, group: &mut Group, scope: &Rows, rows: Rows) -> Rows {
        let role = |key: &Expr| match key {
            Expr::Column(name) => scope.role(name),
            _ => Role::Plain,
        };
        let roles: Vec<Role> = group.keys.iter().map(role).collect();
        let Some(end) = scope.window_of(&roles) else { return rows.updated() };
        if group.sets.is_some() {
            self.unsure = Some("grouping sets of windows");
        }
        self.found.insert(Wait::Window);
        group.complete = scope.passed(&end, -1);
        let mut rows = Rows { is_updating: false, ..rows };
        let times = rows.columns.iter_mut().filter(|(_, role)| *role == Role::Time);
        times.for_each(|(_, role)| *role = Role::Plain);
        rows
    }

    /// Returns the distinct ones of some rows; those of a window wait for its end.
    fn distinct(&mut self, rows: Rows, complete: &mut Vec<String>) -> Rows {
        let roles: Vec<Role> = rows.columns.iter().map(|(_, role)| *role).collect();
        let Some(end) = rows.window_of(&roles) else { return rows.updated() };
        self.found.insert(Wait::Window);
        complete.extend(rows.passed(&end, -1));
        let mut rows = Rows { is_updating: false, ..rows };
        let times = rows.columns.iter_mut().filter(|(_, role)| *role == Role::Time);
        times.for_each(|(_, role)| *role = Role::Plain);
        rows
    }

    fn set(
        &mut self,
        operation: SetOperation,
        sides: &mut [Query; 2],
        complete: &mut Vec<String>,
    ) -> Rows {
        let [left, right] = sides;
        let (left, right) = (self.query(left), self.query(right));
        let meeting = match operation {
            SetOperation::Intersect => Meeting::Semi,
            SetOperation::Except => Meeting::Anti,
            SetOperation::UnionAll => return both(left, right),
            // Of which it is counted how often they are on each side.
            _ => return self.distinct(both(left, right), complete),
        };
        let mut left = self.distinct(left, complete);
        let right = right.renamed("right");
        let names: Vec<_> = left.columns.iter().map(|(name, _)| name.clone()).collect();
        left = left.renamed("left");
        let conditions = (0..names.len()).map(|at| {
            equal(Expr::Column(format!("left {at}")), Expr::Column(format!("right {at}")))
        });
        let conditions: Vec<_> = conditions.collect();
        let (mut rows, waits) = self.meet([left, right], meeting, &conditions);
        if waits.iter().any(|waits| !waits.is_empty()) {
            self.unsure = Some("EXCEPT of windows");
        }
        rows.columns.iter_mut().zip(names).for_each(|((own, _), name)| *own = name);
        rows
    }

    fn top(&mut self, top: &mut Top) -> Rows {
        let rows = self.query(&mut top.query);
        let partition: Vec<Role> = top.partition.iter().map(|name| rows.role(name)).collect();
        let number = top.is_numbered.then(|| (top.number(), Role::Plain));
        let mut made = rows.clone();
        made.columns.extend(number);
        if let Some(end) = rows.window_of(&partition).filter(|_| !rows.is_updating) {
            self.found.insert(Wait::FirstOfWindow);
            top.complete = rows.passed(&end, -1);
            return made;
        }
        let is_first = top.function == "ROW_NUMBER" && top.limit == 1 && !rows.is_updating;
        match top.order.as_slice() {
            [by] if is_first && !by.is_descending && rows.role(&by.column) == Role::Time => {
                self.found.insert(Wait::First);
                top.complete = rows.passed(&by.column, 0);
                made
            }
            _ => made.updated(),
        }
    }
}

impl Rows {
    fn renamed(mut self, side: &str) -> Rows {
        let columns = self.columns.iter_mut().enumerate();
        columns.for_each(|(at, (name, _))| *name = format!("{side} {at}"));
        self
    }
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Query(..) => false,
        Expr::Value(..) => true,
        Expr::Call(_, arguments) => arguments.iter().all(is_constant),
    }
}

fn plain(names: impl IntoIterator<Item = String>) -> Rows {
    let columns = names.into_iter().map(|name| (name, Role::Plain)).collect();
    Rows { columns, ..Rows::default() }
}

/// Returns the rows of both sides, one behind the other.
fn both(left: Rows, right: Rows) -> Rows {
    let role = |own: Role, other: Role| if own == other { own } else { Role::Plain };
    let columns = left.columns.into_iter().zip(&right.columns);
    Rows {
        columns: columns.map(|((name, own), (_, other))| (name, role(own, *other))).collect(),
        is_updating: left.is_updating || right.is_updating,
        tables: left.tables.into_iter().chain(right.tables).collect(),
        delay: left.delay.max(right.delay),
    }
}

/// Does a condition of a sub-query compare a time with the row around it, or anything in another way than by
/// `=`? Then `NOT IN` compares each two rows that are tied, and there may be a time when it is known; else it
/// counts, and each row comes again if the count changes.
fn is_tied_by_time(query: &Query, scope: &Rows) -> bool {
    let Query::Select(select) = query else { return false };
    let is_outer = |name: &String| scope.columns.iter().any(|(own, _)| own == name);
    let is_time = |name: &String| matches!(scope.role(name), Role::Time | Role::End);
    select.filter.iter().any(|condition| match condition {
        Expr::Call(operator, sides) if operator.stream == "({0} = {1})" => {
            sides.iter().any(|side| matches!(side, Expr::Column(name) if is_time(name)))
        }
        other => names(other).iter().any(is_outer),
    })
}

/// Returns the columns that an expression reads.
fn names(expr: &Expr) -> Vec<String> {
    match expr {
        Expr::Column(name) => vec![name.clone()],
        Expr::Value(..) => Vec::new(),
        Expr::Call(_, arguments) | Expr::Query(_, arguments, _) => {
            arguments.iter().flat_map(names).collect()
        }
    }
}

/// Returns the condition that two expressions are equal.
fn equal(left: Expr, right: Expr) -> Expr {
    Expr::Call(scalar("({0} = {1})"), vec![left, right])
}
