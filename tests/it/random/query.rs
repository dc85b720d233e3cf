//! Queries as trees, written in two dialects.

use std::collections::BTreeSet;

use super::expression::{Dialect, Expr, ranked};
use super::schema::{Code, Kind};
use super::timed::{END, Fired, HERE, Over, START, Windowed};

/// A query; the names of its columns are told apart.
#[derive(Clone, Debug)]
pub(super) enum Query {
    /// A table or a common table expression; stands in FROM only.
    Table(String),
    Values(Values),
    Select(Select),
    Set(SetOperation, Box<[Query; 2]>),
    Top(Top),
    Windowed(Windowed),
    Fired(Fired),
    Over(Over),
    With {
        name: String,
        definition: Box<Query>,
        body: Box<Query>,
    },
    /// Rows for which conditions hold; asked by the oracle only.
    Complete {
        query: Box<Query>,
        complete: Vec<String>,
    },
}

/// Rows in the text.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) columns: Vec<(String, Kind)>,
    pub(super) rows: Vec<Vec<Code>>,
}

/// `SELECT … FROM … WHERE … GROUP BY …`.
#[derive(Clone, Debug, Default)]
pub(super) struct Select {
    pub(super) is_distinct: bool,
    pub(super) items: Vec<(Expr, String)>,
    /// What is joined, from left to right.
    pub(super) from: Vec<Joined>,
    /// Conditions that must all hold.
    pub(super) filter: Vec<Expr>,
    pub(super) group: Option<Group>,
    /// What the oracle asks, too: of rows that meet nothing, that the watermark is there.
    pub(super) complete: Vec<String>,
    /// And of distinct rows.
    pub(super) distinct_complete: Vec<String>,
}

/// Something that is joined to what stands before it.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// Of the first one it means nothing.
    pub(super) kind: JoinKind,
    pub(super) query: Query,
    pub(super) alias: String,
    /// Conditions that must all hold.
    pub(super) on: Vec<Expr>,
    /// Does a hint ask that its rows are copied to all workers?
    pub(super) is_copied: bool,
    /// Does the oracle need a column that says that there is a row?
    pub(super) is_shown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

/// `GROUP BY keys HAVING …`.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) keys: Vec<Expr>,
    /// Which of the keys are grouped by together.
    pub(super) sets: Option<Sets>,
    pub(super) having: Option<Expr>,
    /// What the oracle asks of windows, too: that the watermark is there.
    pub(super) complete: Vec<String>,
}

/// Sets of keys, of which there is a result each.
#[derive(Clone, Debug)]
pub(super) enum Sets {
    Rollup,
    Cube,
    /// Lists of places among the keys.
    Listed(Vec<Vec<usize>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetOperation {
    Union,
    UnionAll,
    Intersect,
    IntersectAll,
    Except,
    ExceptAll,
}

/// The first rows of each partition.
#[derive(Clone, Debug)]
pub(super) struct Top {
    pub(super) query: Box<Query>,
    pub(super) alias: String,
    /// `ROW_NUMBER`, `RANK` or `DENSE_RANK`.
    pub(super) function: &'static str,
    pub(super) partition: Vec<String>,
    pub(super) order: Vec<Order>,
    pub(super) limit: u64,
    /// Is the number a column of the result?
    pub(super) is_numbered: bool,
    /// What the oracle asks of the rows, too: that the watermark is there.
    pub(super) complete: Vec<String>,
}

/// A column that rows are ordered by.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) column: String,
    pub(super) is_descending: bool,
}

impl Order {
    pub(super) fn sql(&self, dialect: Dialect) -> String {
        // NULLs are low in Flink, and last in DataFusion unless they are asked for.
        let direction = match (self.is_descending, dialect) {
            (false, Dialect::Stream) => "",
            (true, Dialect::Stream) => " DESC",
            (false, Dialect::Batch) => " NULLS FIRST",
            (true, Dialect::Batch) => " DESC NULLS LAST",
        };
        format!("{}{direction}", self.column)
    }
}

impl Query {
    pub(super) fn sql(&self, dialect: Dialect) -> String {
        match self {
            Query::Table(name) => format!("SELECT * FROM {name}"),
            Query::Values(values) => values.sql(),
            Query::Select(select) => select.sql(dialect),
            Query::Set(operation, sides) => operation.sql(sides, dialect),
            Query::Top(top) => top.sql(dialect),
            Query::Windowed(windowed) => windowed.sql(dialect),
            Query::Fired(fired) => fired.sql(dialect),
            Query::Over(over) => over.sql(dialect),
            Query::With { name, definition, body } => {
                format!("WITH {name} AS ({}) {}", definition.sql(dialect), body.sql(dialect))
            }
            Query::Complete { query, complete } => completed(query.sql(dialect), complete),
        }
    }

    /// Returns the rows whose one column is not for sure another value, as the oracle reads it. The condition
    /// stands where the others do, so that DataFusion finds what is correlated.
    pub(super) fn members(&self, value: &str) -> String {
        match self {
            Query::Select(select) if select.group.is_none() => {
                let (mut select, item) = (select.clone(), select.items[0].0.sql(Dialect::Batch));
                select.complete.push(format!("({value} = {item}) IS NOT FALSE"));
                select.sql(Dialect::Batch)
            }
            query => {
                let (text, name) = (query.sql(Dialect::Batch), query.names().remove(0));
                format!("SELECT * FROM ({text}) AS m WHERE ({value} = m.{name}) IS NOT FALSE")
            }
        }
    }

    /// Returns the names of the columns, but not those of a table.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Query::Table(_) => Vec::new(),
            Query::Values(values) => values.columns.iter().map(|(name, _)| name.clone()).collect(),
            Query::Select(select) => select.items.iter().map(|(_, name)| name.clone()).collect(),
            Query::Set(_, sides) => sides[0].names(),
            Query::Top(top) => {
                let mut names = top.query.names();
                names.extend(top.is_numbered.then(|| top.number()));
                names
            }
            Query::Windowed(windowed) => windowed.names(),
            Query::Fired(fired) => fired.names(),
            Query::Over(over) => over.names(),
            Query::With { body, .. } => body.names(),
            Query::Complete { query, .. } => query.names(),
        }
    }

    pub(super) fn features(&self, found: &mut BTreeSet<&'static str>) {
        match self {
            Query::Table(_) => {}
            Query::Values(_) => {
                found.insert("VALUES");
            }
            Query::Select(select) => select.features(found),
            Query::Set(operation, sides) => {
                found.insert(operation.name());
                sides.iter().for_each(|side| side.features(found));
            }
            Query::Top(top) => {
                found.insert(top.function);
                let is_first = top.function == "ROW_NUMBER" && top.limit == 1;
                found.extend(is_first.then_some("first row"));
                top.query.features(found);
            }
            Query::Windowed(windowed) => {
                found.insert(windowed.feature());
            }
            Query::Fired(fired) => fired.features(found),
            Query::Over(over) => over.features(found),
            Query::With { definition, body, .. } => {
                found.insert("WITH");
                definition.features(found);
                body.features(found);
            }
            Query::Complete { query, .. } => query.features(found),
        }
    }
}

pub(super) fn listed<T>(things: &[T], separator: &str, text: impl Fn(&T) -> String) -> String {
    things.iter().map(text).collect::<Vec<_>>().join(separator)
}

/// Returns the rows of a query for which conditions hold, as the oracle reads it.
fn completed(query: String, complete: &[String]) -> String {
    match complete.is_empty() {
        true => query,
        false => format!("SELECT * FROM ({query}) WHERE {}", complete.join(" AND ")),
    }
}

impl Values {
    fn sql(&self) -> String {
        let row = |codes: &Vec<Code>| {
            let cells = self.columns.iter().zip(codes).map(|((_, kind), code)| kind.value(*code));
            format!("({})", cells.collect::<Vec<_>>().join(", "))
        };
        let names = listed(&self.columns, ", ", |(name, _)| name.clone());
        format!("SELECT {names} FROM (VALUES {}) AS v ({names})", listed(&self.rows, ", ", row))
    }
}

impl Select {
    fn sql(&self, dialect: Dialect) -> String {
        let item = |(expr, name): &(Expr, String)| format!("{} AS {name}", expr.sql(dialect));
        let condition = |expr: &Expr| expr.sql(dialect);
        let distinct = if self.is_distinct { "DISTINCT " } else { "" };
        let copied: Vec<_> = self.from.iter().filter(|joined| joined.is_copied).collect();
        let hint = match copied.is_empty() || dialect == Dialect::Batch {
            true => String::new(),
            false => {
                format!(
                    "/*+ BROADCAST({}) */ ",
                    listed(&copied, ", ", |joined| joined.alias.clone())
                )
            }
        };
        let items = listed(&self.items, ", ", item);
        let mut text = format!("SELECT {hint}{distinct}{items} FROM ");
        for (place, joined) in self.from.iter().enumerate() {
            if place > 0 {
                text += &format!(" {} ", joined.kind.sql());
            }
            let is_shown = joined.is_shown && dialect == Dialect::Batch;
            text += &match &joined.query {
                query if is_shown => format!(
                    "(SELECT *, TRUE AS {HERE} FROM ({})) AS {}",
                    query.sql(dialect),
                    joined.alias
                ),
                Query::Table(name) => format!("{name} AS {}", joined.alias),
                query => format!("({}) AS {}", query.sql(dialect), joined.alias),
            };
            if place > 0 {
                let on = if joined.on.is_empty() { "TRUE".to_owned() } else { String::new() };
                text += &format!(" ON {on}{}", listed(&joined.on, " AND ", condition));
            }
        }
        let waits = self.complete.iter().filter(|_| dialect == Dialect::Batch).cloned();
        let filter: Vec<_> = self.filter.iter().map(condition).chain(waits).collect();
        if !filter.is_empty() {
            text += &format!(" WHERE {}", filter.join(" AND "));
        }
        if let Some(group) = &self.group {
            let sets = group.sets.as_ref().filter(|_| !group.keys.is_empty());
            let keys = listed(&group.keys, ", ", condition);
            text += &match sets {
                Some(sets) => format!(" GROUP BY {}", sets.sql(&group.keys, dialect)),
                None if keys.is_empty() => keys,
                None => format!(" GROUP BY {keys}"),
            };
            // A stream without rows has no row in its one group, either.
            let has_one = group.keys.is_empty() || sets.is_some();
            let is_there = has_one && dialect == Dialect::Batch;
            let is_there = is_there.then(|| "COUNT(*) > 0".to_owned());
            let waits = group.complete.iter().filter(|_| dialect == Dialect::Batch).cloned();
            let having = group.having.iter().map(condition).chain(is_there).chain(waits);
            let having = having.collect::<Vec<_>>();
            if !having.is_empty() {
                text += &format!(" HAVING {}", having.join(" AND "));
            }
        }
        match dialect {
            Dialect::Stream => text,
            Dialect::Batch => completed(text, &self.distinct_complete),
        }
    }

    fn features(&self, found: &mut BTreeSet<&'static str>) {
        found.extend(self.is_distinct.then_some("DISTINCT"));
        self.items.iter().for_each(|(expr, _)| expr.features(found));
        self.filter.iter().for_each(|expr| expr.features(found));
        found.extend((!self.filter.is_empty()).then_some("WHERE"));
        for (place, joined) in self.from.iter().enumerate() {
            if place > 0 {
                found.insert(joined.kind.name(joined.on.is_empty()));
                joined.on.iter().for_each(|expr| expr.features(found));
                found.extend(joined.is_copied.then_some("BROADCAST"));
            }
            joined.query.features(found);
        }
        if let Some(group) = &self.group {
            found.insert(match &group.sets {
                _ if group.keys.is_empty() => "one group",
                Some(Sets::Rollup) => "ROLLUP",
                Some(Sets::Cube) => "CUBE",
                Some(Sets::Listed(_)) => "GROUPING SETS",
                None if is_windowed(&group.keys) => "GROUP BY windows",
                None => "GROUP BY",
            });
            if let Some(having) = &group.having {
                found.insert("HAVING");
                having.features(found);
            }
        }
    }
}

/// Are windows among the keys?
fn is_windowed(keys: &[Expr]) -> bool {
    let ends = |key: &Expr, end: &str| matches!(key, Expr::Column(name) if name.ends_with(end));
    [START, END].iter().all(|end| keys.iter().any(|key| ends(key, end)))
}

impl Sets {
    fn sql(&self, keys: &[Expr], dialect: Dialect) -> String {
        let text = |key: &Expr| key.sql(dialect);
        match self {
            Sets::Rollup => format!("ROLLUP ({})", listed(keys, ", ", text)),
            Sets::Cube => format!("CUBE ({})", listed(keys, ", ", text)),
            Sets::Listed(sets) => {
                let set = |set: &Vec<usize>| {
                    let keys: Vec<_> = set.iter().filter_map(|at| keys.get(*at)).collect();
                    format!("({})", listed(&keys, ", ", |key| text(key)))
                };
                format!("GROUPING SETS ({})", listed(sets, ", ", set))
            }
        }
    }
}

impl JoinKind {
    fn sql(self) -> &'static str {
        match self {
            JoinKind::Inner => "JOIN",
            JoinKind::Left => "LEFT JOIN",
            JoinKind::Right => "RIGHT JOIN",
            JoinKind::Full => "FULL JOIN",
        }
    }

    fn name(self, is_crossed: bool) -> &'static str {
        match self {
            _ if is_crossed => "cross join",
            JoinKind::Inner => "inner join",
            JoinKind::Left => "left join",
            JoinKind::Right => "right join",
            JoinKind::Full => "full join",
        }
    }
}

impl SetOperation {
    pub(super) const ALL: [SetOperation; 6] = [
        SetOperation::Union,
        SetOperation::UnionAll,
        SetOperation::Intersect,
        SetOperation::IntersectAll,
        SetOperation::Except,
        SetOperation::ExceptAll,
    ];

    fn name(self) -> &'static str {
        match self {
            SetOperation::Union => "UNION",
            SetOperation::UnionAll => "UNION ALL",
            SetOperation::Intersect => "INTERSECT",
            SetOperation::IntersectAll => "INTERSECT ALL",
            SetOperation::Except => "EXCEPT",
            SetOperation::ExceptAll => "EXCEPT ALL",
        }
    }

    fn sql(self, sides: &[Query; 2], dialect: Dialect) -> String {
        let [left, right] = sides.each_ref().map(|side| side.sql(dialect));
        let is_counted = matches!(self, SetOperation::IntersectAll | SetOperation::ExceptAll);
        if dialect == Dialect::Stream || !is_counted {
            return format!("({left}) {} ({right})", self.name());
        }
        // DataFusion makes joins of them, which do not count.
        let [left_names, right_names] = sides.each_ref().map(|side| side.names().join(", "));
        let counted = |side: &str, names: &str| {
            format!(
                "SELECT {names}, ROW_NUMBER() OVER (PARTITION BY {names}) AS copy FROM ({side})"
            )
        };
        let name = if self == SetOperation::ExceptAll { "EXCEPT" } else { "INTERSECT" };
        let (left, right) = (counted(&left, &left_names), counted(&right, &right_names));
        format!("SELECT {left_names} FROM ({left} {name} {right})")
    }
}

impl Top {
    pub(super) fn number(&self) -> String {
        format!("{}_n", self.alias)
    }

    fn sql(&self, dialect: Dialect) -> String {
        let Top { alias, function, limit, .. } = self;
        let number = self.number();
        let names = self.query.names();
        let partition = match self.partition.is_empty() {
            true => String::new(),
            false => format!("PARTITION BY {} ", self.partition.join(", ")),
        };
        let shown = self.is_numbered.then_some(number.as_str());
        let shown = names.iter().map(String::as_str).chain(shown).collect::<Vec<_>>().join(", ");
        let order = listed(&self.order, ", ", |order| order.sql(dialect));
        let ranked = ranked(&format!("{function}() OVER ({partition}ORDER BY {order})"), dialect);
        let waits = self.complete.iter().filter(|_| dialect == Dialect::Batch);
        let waits = waits.map(|wait| format!(" AND {wait}")).collect::<String>();
        format!(
            "SELECT {shown} FROM (SELECT *, {ranked} AS {number} FROM ({}) AS {alias}) AS {alias}_top \
             WHERE {number} <= {limit}{waits}",
            self.query.sql(dialect),
        )
    }
}
