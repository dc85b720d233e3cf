//! Makes random queries whose results wait for watermarks: windows and times that meet, first rows in time and
//! of windows, and what other queries make of these.

use super::expression::{EXISTENCE, Expr, scalar};
use super::generate::{Columns, Generator, is_among, window_of};
use super::query::{Group, JoinKind, Joined, Order, Query, Select, Top};
use super::schema::{Kind, TIME};
use super::timed::{END, START};

/// How often a query is made anew until it reads what it was made for.
const TRIES_MAX: usize = 8;

impl Generator<'_> {
    /// Returns a query over tables with event time; any other one if there are none.
    pub(super) fn timely(&mut self, depth: usize) -> Query {
        if self.timed.is_empty() {
            return self.query(depth);
        }
        let (definition, columns) = match self.below(6) {
            0 => self.first_in_time(),
            1 => self.first_of_windows(),
            _ => self.meeting(),
        };
        if self.one_in(2) {
            return definition;
        }
        let name = self.name("w");
        self.tables.push((name.clone(), columns));
        let mut body = self.select(depth.min(1), None).0;
        for _ in 1..TRIES_MAX {
            let is_read =
                |joined: &Joined| matches!(&joined.query, Query::Table(own) if *own == name);
            match &body {
                Query::Select(select) if select.from.iter().any(is_read) => break,
                _ => body = self.select(depth.min(1), None).0,
            }
        }
        self.tables.pop();
        Query::With { name, definition: Box::new(definition), body: Box::new(body) }
    }

    /// Returns a table or its windows, under an alias.
    fn side(&mut self) -> (Query, String, Columns) {
        let (query, columns) = match self.one_in(5) {
            true => {
                let at = self.below(self.timed.len());
                let table = self.timed[at].clone();
                (Query::Table(table.name), table.columns)
            }
            false => self.windowed(),
        };
        let alias = self.name("r");
        let named = columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind));
        let named = named.collect();
        (query, alias, named)
    }

    /// Returns rows that meet by windows or by time, grouped or not.
    fn meeting(&mut self) -> (Query, Columns) {
        let (query, alias, mut scope) = self.side();
        let mut from = vec![self.plain_side(query, alias)];
        if !self.one_in(4) {
            let (query, alias, own) = self.side();
            let mut joined = self.plain_side(query, alias);
            joined.kind = self.join_kind();
            joined.on = self.near(&scope, &own);
            scope.extend(own);
            from.push(joined);
        }
        let mut filter = Vec::new();
        if self.one_in(3) {
            filter.push(self.is_there(&scope));
        }
        if self.one_in(4) {
            filter.push(self.expr(Kind::Boolean, &scope, 2));
        }
        let mut kinds: Vec<Kind> = (0..1 + self.below(3)).map(|_| self.kind_of(&scope)).collect();
        let window = window_of(&scope).filter(|_| !self.one_in(4));
        let (exprs, group) = match self.one_in(3) {
            false => self.grouped_by(window.clone(), &kinds, &scope),
            true => {
                let mut exprs: Vec<Expr> =
                    kinds.iter().map(|kind| self.expr(*kind, &scope, 1)).collect();
                for end in window.into_iter().flatten() {
                    exprs.push(Expr::Column(end));
                    kinds.push(Kind::Timestamp);
                }
                (exprs, None)
            }
        };
        let items: Vec<_> = exprs.into_iter().map(|expr| (expr, self.name("x"))).collect();
        let columns = items.iter().map(|(_, name)| name.clone()).zip(kinds).collect();
        let is_distinct = self.one_in(6);
        let select = Select { is_distinct, items, from, filter, group, ..Select::default() };
        (Query::Select(select), columns)
    }

    /// Returns items by groups, of windows if there are some.
    fn grouped_by(
        &mut self,
        window: Option<[String; 2]>,
        kinds: &[Kind],
        scope: &Columns,
    ) -> (Vec<Expr>, Option<Group>) {
        let (exprs, mut group) = self.grouped(kinds, scope);
        for (group, window) in group.iter_mut().zip(window) {
            let missing = window.map(Expr::Column).into_iter();
            let missing: Vec<_> = missing.filter(|key| !is_among(&group.keys, key)).collect();
            group.keys.extend(missing);
            group.sets = None;
        }
        (exprs, group)
    }

    fn plain_side(&mut self, query: Query, alias: String) -> Joined {
        let kind = JoinKind::Inner;
        Joined { kind, query, alias, on: Vec::new(), is_copied: false, is_shown: false }
    }

    /// Returns the condition that there is, or that there is not, a row near in time.
    fn is_there(&mut self, scope: &Columns) -> Expr {
        let (query, alias, own) = self.side();
        let filter = self.near(&own, scope);
        let items = vec![(Expr::Value(Kind::Int, Some(3)), self.name("x"))];
        let from = vec![self.plain_side(query, alias)];
        let select = Select { items, from, filter, ..Select::default() };
        Expr::Query(&EXISTENCE[self.below(2)], Vec::new(), Box::new(Query::Select(select)))
    }

    /// Returns conditions that say how near in time two rows are, and maybe that they have a column in common.
    fn near(&mut self, left: &Columns, right: &Columns) -> Vec<Expr> {
        let mut conditions: Vec<Expr> = Vec::new();
        let windows = [window_of(left), window_of(right)];
        if let [Some(left), Some(right)] = &windows
            && !self.one_in(4)
        {
            let ends = left.iter().zip(right);
            let ends = ends
                .map(|(left, right)| compare("({0} = {1})", [left, right].map(|end| column(end))));
            conditions.extend(ends);
        } else {
            let [first, second] = [left, right].map(|side| self.time_of(side));
            let later = || Expr::Call(scalar("({0} + INTERVAL '2' SECOND)"), vec![column(&second)]);
            let (first, second) = (column(&first), column(&second));
            match self.below(5) {
                0 => conditions.push(compare("({0} = {1})", [first, second])),
                1 => {
                    conditions.push(compare("({0} >= {1})", [first.clone(), second.clone()]));
                    conditions.push(compare("({0} < {1})", [first, later()]));
                }
                2 => {
                    let between = scalar("({0} BETWEEN {1} AND {2})");
                    conditions.push(Expr::Call(between, vec![first, second.clone(), later()]));
                }
                3 => conditions.push(compare("({0} >= {1})", [first, second])),
                _ => conditions.push(compare("({0} < {1})", [first, later()])),
            }
        }
        if self.one_in(2) {
            conditions.extend(self.met(left, right));
        }
        conditions
    }

    /// Returns a time of a side: that of its rows, or the end of their windows.
    fn time_of(&mut self, side: &Columns) -> String {
        let is_time = |name: &str| name.ends_with(&format!(".{TIME}")) || name.ends_with(END);
        let times: Vec<_> =
            side.iter().map(|(name, _)| name).filter(|name| is_time(name)).collect();
        match times.is_empty() {
            true => side[0].0.clone(),
            false => times[self.below(times.len())].clone(),
        }
    }

    /// Returns the first row of each partition in order of time, which no two rows share.
    fn first_in_time(&mut self) -> (Query, Columns) {
        let at = self.below(self.timed.len());
        let (table, own) = (self.timed[at].name.clone(), self.timed[at].columns.clone());
        let (select, columns) = self.all_of(Query::Table(table), &own);
        let time = own.iter().position(|(name, _)| name == TIME).expect("it has event time");
        let order = vec![Order { column: columns[time].0.clone(), is_descending: false }];
        let partition = columns[..self.below(3).min(time)].iter().map(|(name, _)| name.clone());
        self.numbered((select, columns.clone()), partition.collect(), (order, 1))
    }

    /// Returns the first rows of each window.
    fn first_of_windows(&mut self) -> (Query, Columns) {
        let (query, own) = self.windowed();
        let (select, columns) = self.all_of(query, &own);
        let is_end = |name: &str| [START, END].contains(&name);
        let ends = own.iter().zip(&columns).filter(|((name, _), _)| is_end(name));
        let partition = ends.map(|(_, (name, _))| name.clone()).collect();
        let time = own.iter().position(|(name, _)| name == TIME).expect("it has event time");
        let first = Order { column: columns[0].0.clone(), is_descending: self.one_in(2) };
        let last = Order { column: columns[time].0.clone(), is_descending: self.one_in(2) };
        let limit = 1 + self.below(3) as u64;
        self.numbered((select, columns.clone()), partition, (vec![first, last], limit))
    }

    /// Returns all columns of some rows, under other names.
    fn all_of(&mut self, query: Query, own: &Columns) -> (Query, Columns) {
        let alias = self.name("r");
        let columns: Columns = own.iter().map(|(_, kind)| (self.name("x"), *kind)).collect();
        let items = own.iter().zip(&columns).map(|((name, _), (shown, _))| {
            (Expr::Column(format!("{alias}.{name}")), shown.clone())
        });
        let items = items.collect();
        let from = vec![self.plain_side(query, alias)];
        let filter = Vec::new();
        (Query::Select(Select { items, from, filter, ..Select::default() }), columns)
    }

    fn numbered(
        &mut self,
        (query, mut columns): (Query, Columns),
        partition: Vec<String>,
        (order, limit): (Vec<Order>, u64),
    ) -> (Query, Columns) {
        let alias = self.name("r");
        let is_numbered = self.one_in(2);
        if is_numbered {
            columns.push((format!("{alias}_n"), Kind::BigInt));
        }
        let (query, function, complete) = (Box::new(query), "ROW_NUMBER", Vec::new());
        let top = Top { query, alias, function, partition, order, limit, is_numbered, complete };
        (Query::Top(top), columns)
    }
}

fn column(name: &str) -> Expr {
    Expr::Column(name.to_owned())
}

fn compare(operator: &str, sides: [Expr; 2]) -> Expr {
    Expr::Call(scalar(operator), sides.to_vec())
}
