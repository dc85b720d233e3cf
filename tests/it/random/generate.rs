//! Makes random queries. Types are followed, so that most of them are valid.

use super::expression::{
    AGGREGATES, Dialect, EXISTENCE, Expr, MEMBERS, Operator, PLACED, RUNNING, SCALAR_QUERY,
    SCALARS, Type, scalar,
};
use super::query::{
    Group, JoinKind, Joined, Order, Query, Select, SetOperation, Sets, Top, Values,
};
use super::schema::{Comes, Input, Kind, TIME, Table};
use super::timed::{Called, END, FRAMES, Fired, Over, START, Sequence, Shape, Windowed};
use crate::support::Dice;

/// Columns by their names.
pub(super) type Columns = Vec<(String, Kind)>;

/// Makes queries over the tables of an input.
pub(super) struct Generator<'a> {
    dice: &'a mut Dice,
    /// Tables, and the common table expressions in scope.
    pub(super) tables: Vec<(String, Columns)>,
    /// All tables of the input.
    given: Vec<Table>,
    /// Tables with event time.
    pub(super) timed: Vec<Table>,
    /// Names given so far.
    names: usize,
}

/// How deep expressions are.
const EXPRESSION_DEPTH: usize = 2;

impl<'a> Generator<'a> {
    pub(super) fn new(input: &Input, dice: &'a mut Dice) -> Generator<'a> {
        let tables = input.tables.iter().map(|table| (table.name.clone(), table.columns.clone()));
        let timed = input.tables.iter().filter(|table| table.has_time()).cloned().collect();
        let given = input.tables.clone();
        Generator { dice, tables: tables.collect(), given, timed, names: 0 }
    }

    /// Returns a query, with at most so many levels of queries within.
    pub(super) fn query(&mut self, depth: usize) -> Query {
        match self.below(8) {
            0 if !self.timed.is_empty() => self.fired().0,
            1 => match self.over().0 {
                Query::Over(over) => Query::Over(Over { is_read: false, ..over }),
                other => other,
            },
            _ => self.any(depth).0,
        }
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.dice.below(count) == 0
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.dice.below(bound as u64) as usize
    }

    pub(super) fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn shuffle(&mut self, names: &mut [String]) {
        for at in (1..names.len()).rev() {
            let other = self.below(at + 1);
            names.swap(at, other);
        }
    }

    fn any(&mut self, depth: usize) -> (Query, Columns) {
        if depth == 0 {
            return self.select(0, None);
        }
        match self.below(20) {
            0..3 => self.set(depth),
            3..5 => self.with(depth),
            5..8 => self.top(depth),
            8 | 9 => self.over(),
            10 if !self.timed.is_empty() => self.fired(),
            _ => self.select(depth, None),
        }
    }

    fn values(&mut self) -> (Query, Columns) {
        let kinds: Vec<_> = (0..1 + self.below(2)).map(|_| Kind::random(self.dice)).collect();
        let columns: Columns = kinds.iter().map(|kind| (self.name("v"), *kind)).collect();
        let rows = 1 + self.below(3);
        let row = |_| kinds.iter().map(|_| Kind::code(self.dice)).collect();
        let rows = (0..rows).map(row).collect();
        (Query::Values(Values { columns: columns.clone(), rows }), columns)
    }

    fn set(&mut self, depth: usize) -> (Query, Columns) {
        let kinds: Vec<_> = (0..1 + self.below(3)).map(|_| Kind::random(self.dice)).collect();
        let operation = SetOperation::ALL[self.below(SetOperation::ALL.len())];
        let (left, columns) = self.select(depth - 1, Some(&kinds));
        let (right, _) = self.select(depth - 1, Some(&kinds));
        (Query::Set(operation, Box::new([left, right])), columns)
    }

    fn with(&mut self, depth: usize) -> (Query, Columns) {
        let (definition, columns) = self.any(depth - 1);
        let name = self.name("w");
        self.tables.push((name.clone(), columns));
        let (body, columns) = self.select(depth, None);
        self.tables.pop();
        let (definition, body) = (Box::new(definition), Box::new(body));
        (Query::With { name, definition, body }, columns)
    }

    fn top(&mut self, depth: usize) -> (Query, Columns) {
        let (query, mut columns) = self.select(depth - 1, None);
        let alias = self.name("r");
        let mut names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
        self.shuffle(&mut names);
        let partition = names[..self.below(names.len().min(2) + 1)].to_vec();
        let function = ["ROW_NUMBER", "ROW_NUMBER", "RANK", "DENSE_RANK"][self.below(4)];
        // Rows of one number are the same, or all of them are meant.
        if function != "ROW_NUMBER" {
            names.truncate(1 + self.below(2));
        }
        let order = |column: String| Order { column, is_descending: self.one_in(2) };
        let order = names.into_iter().map(order).collect();
        let (limit, is_numbered) = (1 + self.dice.below(3), self.one_in(2));
        if is_numbered {
            columns.push((format!("{alias}_n"), Kind::BigInt));
        }
        let query = Box::new(query);
        let complete = Vec::new();
        let top = Top { query, alias, function, partition, order, limit, is_numbered, complete };
        (Query::Top(top), columns)
    }

    /// Returns what can stand in FROM.
    fn relation(&mut self, depth: usize) -> (Query, Columns) {
        match self.below(10) {
            0..4 if depth > 0 => self.any(depth - 1),
            4 => self.values(),
            5 if !self.timed.is_empty() => self.windowed(),
            6 if self.one_in(2) => self.over(),
            6 if !self.timed.is_empty() => self.fired(),
            _ => {
                let at = self.below(self.tables.len());
                let (name, columns) = self.tables[at].clone();
                (Query::Table(name), columns)
            }
        }
    }

    /// Returns the rows of a table with their windows.
    pub(super) fn windowed(&mut self) -> (Query, Columns) {
        let at = self.below(self.timed.len());
        let Table { name: table, columns, .. } = self.timed[at].clone();
        let shape = self.shape();
        let ends = [START, END].map(|end| (end.to_owned(), Kind::Timestamp));
        let all = columns.iter().cloned().chain(ends).collect();
        (Query::Windowed(Windowed { table, columns, shape }), all)
    }

    /// Returns windows that are no sessions.
    fn shape(&mut self) -> Shape {
        let (step, times) = (1 + self.dice.below(5) as i64, 1 + self.dice.below(3) as i64);
        let size = step * times;
        match self.below(3) {
            0 => Shape::Tumble { size },
            1 => Shape::Hop { slide: step, size },
            _ => Shape::Cumulate { step, size },
        }
    }

    /// Returns what the windows of a table send.
    fn fired(&mut self) -> (Query, Columns) {
        let at = self.below(self.timed.len());
        let table = self.timed[at].clone();
        let shape = match self.one_in(3) {
            true => Shape::Session { gap: 1 + self.dice.below(6) as i64 },
            false => self.shape(),
        };
        let alias = self.name("r");
        // Its time is that of the windows, and nothing else.
        let own = table.columns.iter().filter(|(name, _)| name != TIME);
        let own: Columns = own.cloned().collect();
        let scope: Columns =
            own.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect();
        let mut all = Columns::new();
        let mut keys = Vec::new();
        for (name, kind) in &own[..self.below(own.len().min(2) + 1)] {
            all.push((self.name("x"), *kind));
            keys.push((name.clone(), all[all.len() - 1].0.clone()));
        }
        let ends = [self.name("x"), self.name("x")];
        all.extend(ends.iter().map(|end| (end.clone(), Kind::Timestamp)));
        let mut calls = Vec::new();
        for _ in 0..self.below(4) {
            let kind = self.kind_of(&scope);
            all.push((self.name("x"), kind));
            calls.push((self.aggregate(kind, &scope), all[all.len() - 1].0.clone()));
        }
        let filter = self.one_in(4).then(|| self.expr(Kind::Boolean, &scope, 2));
        let having = self.one_in(5).then(|| {
            let sides = vec![self.aggregate(Kind::BigInt, &scope), self.value(Kind::BigInt)];
            Expr::Call(self.comparison(), sides)
        });
        let (filter, having) = (filter.into_iter().collect(), having.into_iter().collect());
        let table = table.name;
        let fired = Fired { table, alias, shape, keys, ends, calls, filter, having };
        (Query::Fired(fired), all)
    }

    /// Returns a table, its columns and an order of its rows.
    fn ordered(&mut self) -> (Table, Sequence) {
        if !self.timed.is_empty() && !self.one_in(3) {
            let at = self.below(self.timed.len());
            let table = self.timed[at].clone();
            let order = if table.is_updating() { Sequence::Time } else { Sequence::Final };
            return (table, order);
        }
        let has_copies = |table: &&Table| table.comes != Comes::Upsert && !table.has_time();
        let mut known: Vec<Table> = self.given.iter().filter(has_copies).cloned().collect();
        if known.is_empty() || self.one_in(2) {
            known = self.given.clone();
        }
        let table = known.swap_remove(self.below(known.len()));
        let order = self.order_of(&table);
        (table, order)
    }

    /// Returns any order of the rows of a table.
    fn order_of(&mut self, table: &Table) -> Sequence {
        let mut names: Vec<String> = table.columns.iter().map(|(name, _)| name.clone()).collect();
        self.shuffle(&mut names);
        // In order of time first it would be one of the others.
        names.sort_by_key(|name| name == TIME);
        let order = |column: String| Order { column, is_descending: self.one_in(2) };
        Sequence::Columns(names.into_iter().map(order).collect())
    }

    /// Returns functions over the rows of a table that stand before each.
    fn over(&mut self) -> (Query, Columns) {
        let (table, order) = self.ordered();
        let columns = table.columns.clone();
        let frames = if let Sequence::Columns(_) = order { &FRAMES[..3] } else { &FRAMES[..] };
        let alias = self.name("r");
        let scope: Columns =
            columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect();
        let mut all = Columns::new();
        let mut passed = Vec::new();
        for (name, kind) in scope.iter().filter(|(name, _)| !name.ends_with(TIME)) {
            if self.one_in(2) {
                all.push((self.name("x"), *kind));
                passed.push((Expr::Column(name.clone()), all[all.len() - 1].0.clone()));
            }
        }
        let mut functions = Vec::new();
        for _ in 0..1 + self.below(3) {
            let is_placed = self.one_in(4);
            let known = if is_placed { PLACED } else { RUNNING };
            let operator = &known[self.below(known.len())];
            let kind = match operator.result {
                Type::Of(kind) => kind,
                Type::Same => self.kind_of(&scope),
            };
            let frame = if is_placed { "" } else { frames[self.below(frames.len())] };
            let function = self.call(operator, kind, &scope, 1);
            all.push((self.name("x"), kind));
            let name = all[all.len() - 1].0.clone();
            functions.push(Called { function, frame, name, own: None });
        }
        let partition = (0..self.below(3)).map(|at| scope[at].0.clone()).collect();
        if functions.len() > 1 && self.one_in(2) {
            for called in &mut functions[1..] {
                let order = match order {
                    Sequence::Columns(_) => self.order_of(&table),
                    Sequence::Final | Sequence::Time => order.clone(),
                };
                let first = self.below(2);
                let partition = (first..first + self.below(2)).map(|at| scope[at].0.clone());
                called.own = Some((partition.collect(), order));
            }
        }
        let filter = self.one_in(4).then(|| self.expr(Kind::Boolean, &scope, 2));
        let filter = filter.into_iter().collect();
        let (is_read, table) = (true, table.name);
        let over = Over { table, alias, passed, functions, partition, order, filter, is_read };
        (Query::Over(over), all)
    }

    fn joined(&mut self, depth: usize, scope: &mut Columns) -> Joined {
        let (query, columns) = self.relation(depth);
        let alias = self.name("r");
        let own: Columns =
            columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect();
        let kind = self.join_kind();
        let mut on = Vec::new();
        if !scope.is_empty() && !self.one_in(12) {
            for _ in 0..1 + self.below(2) {
                on.extend(self.met(scope, &own));
            }
        }
        let first = scope.is_empty();
        scope.extend(own);
        if !first && self.one_in(4) {
            on.push(self.expr(Kind::Boolean, scope, 1));
        }
        // Rows that come out alone must be where all that they may meet is.
        let can_be_copied = matches!(kind, JoinKind::Inner | JoinKind::Left) && !first;
        let is_copied = can_be_copied && self.one_in(6);
        Joined { kind, query, alias, on, is_copied, is_shown: false }
    }

    pub(super) fn join_kind(&mut self) -> JoinKind {
        match self.below(10) {
            0..4 => JoinKind::Inner,
            4..7 => JoinKind::Left,
            7 => JoinKind::Right,
            _ => JoinKind::Full,
        }
    }

    /// Returns the condition that a column of one side is that of another.
    pub(super) fn met(&mut self, left: &Columns, right: &Columns) -> Option<Expr> {
        let pairs: Vec<_> = left
            .iter()
            .flat_map(|l| right.iter().filter(move |r| r.1 == l.1).map(move |r| (&l.0, &r.0)))
            .collect();
        let (left, right) = *pairs.get(self.below(pairs.len().max(1)))?;
        let equal = scalar("({0} = {1})");
        Some(Expr::Call(equal, vec![Expr::Column(left.clone()), Expr::Column(right.clone())]))
    }

    pub(super) fn select(&mut self, depth: usize, wanted: Option<&[Kind]>) -> (Query, Columns) {
        let mut scope = Columns::new();
        let relations = [1, 1, 1, 2, 2, 2, 3][self.below(7)];
        let from: Vec<_> =
            (0..relations).map(|_| self.joined(depth.saturating_sub(1), &mut scope)).collect();
        let filter = 0..[0, 0, 1, 1, 2][self.below(5)];
        let filter = filter.map(|_| self.condition(depth, &scope)).collect();
        let kinds: Vec<Kind> = match wanted {
            Some(kinds) => kinds.to_vec(),
            None => (0..1 + self.below(4)).map(|_| self.kind_of(&scope)).collect(),
        };
        let is_grouped = self.one_in(3);
        let (exprs, group) = match is_grouped {
            true => self.grouped(&kinds, &scope),
            false => (kinds.iter().map(|kind| self.item(*kind, &scope, depth)).collect(), None),
        };
        let items: Vec<_> = exprs.into_iter().map(|expr| (expr, self.name("x"))).collect();
        let columns = items.iter().map(|(_, name)| name.clone()).zip(kinds).collect();
        let is_distinct = self.one_in(8);
        (
            Query::Select(Select { is_distinct, items, from, filter, group, ..Select::default() }),
            columns,
        )
    }

    /// Returns the kind of some column.
    pub(super) fn kind_of(&mut self, scope: &Columns) -> Kind {
        scope[self.below(scope.len())].1
    }

    pub(super) fn grouped(
        &mut self,
        kinds: &[Kind],
        scope: &Columns,
    ) -> (Vec<Expr>, Option<Group>) {
        let mut keys = Vec::new();
        let has_keys = !self.one_in(5);
        let mut items = Vec::new();
        if let Some(window) = window_of(scope)
            && self.one_in(2)
        {
            keys.extend(window.map(Expr::Column));
        }
        let has_window = !keys.is_empty();
        for kind in kinds {
            if has_keys && self.one_in(2) {
                let key = self.expr(*kind, scope, 1);
                if !matches!(key, Expr::Value(..)) && !is_among(&keys, &key) {
                    keys.push(key.clone());
                    items.push(key);
                    continue;
                }
            }
            items.push(self.aggregate(*kind, scope));
        }
        if has_keys && keys.is_empty() {
            let (name, _) = scope[self.below(scope.len())].clone();
            keys.push(Expr::Column(name));
        }
        let having = self.one_in(4).then(|| {
            let compared = Kind::BigInt;
            let sides = vec![self.aggregate(compared, scope), self.value(compared)];
            Expr::Call(self.comparison(), sides)
        });
        let sets = keys.iter().all(|key| matches!(key, Expr::Column(_))) && self.one_in(5);
        let sets = (sets && !has_window).then(|| self.sets(keys.len()));
        (items, Some(Group { keys, sets, having, ..Group::default() }))
    }

    fn sets(&mut self, keys: usize) -> Sets {
        match self.below(3) {
            0 => Sets::Rollup,
            1 => Sets::Cube,
            _ => {
                let sets = 1 + self.below(3);
                let set = |this: &mut Self| (0..keys).filter(|_| this.one_in(2)).collect();
                Sets::Listed((0..sets).map(|_| set(self)).collect())
            }
        }
    }

    fn comparison(&mut self) -> &'static Operator {
        let all: Vec<_> = SCALARS.iter().filter(|operator| operator.name == "comparison").collect();
        let two: Vec<_> = all.into_iter().filter(|o| o.arguments.len() == 2).collect();
        two[self.below(two.len())]
    }

    fn aggregate(&mut self, kind: Kind, scope: &Columns) -> Expr {
        let fits = |operator: &&Operator| match operator.result {
            Type::Of(own) => own == kind,
            Type::Same => true,
        };
        let all: Vec<_> = AGGREGATES.iter().filter(fits).collect();
        let operator = all[self.below(all.len())];
        self.call(operator, kind, scope, 1)
    }

    /// Returns a call of an operator whose result is of a kind.
    fn call(
        &mut self,
        operator: &'static Operator,
        kind: Kind,
        scope: &Columns,
        depth: usize,
    ) -> Expr {
        let same = match operator.result {
            Type::Same => kind,
            Type::Of(_) => self.kind_of(scope),
        };
        let arguments = operator.arguments.iter().map(|argument| match argument {
            Type::Of(kind) => self.expr(*kind, scope, depth - 1),
            Type::Same => self.expr(same, scope, depth - 1),
        });
        Expr::Call(operator, arguments.collect())
    }

    fn value(&mut self, kind: Kind) -> Expr {
        Expr::Value(kind, Kind::code(self.dice))
    }

    /// Returns an expression of a kind over columns in scope.
    pub(super) fn expr(&mut self, kind: Kind, scope: &Columns, depth: usize) -> Expr {
        let fitting: Vec<_> = scope.iter().filter(|(_, own)| *own == kind).collect();
        if depth > 0 && (self.one_in(3) || fitting.is_empty()) {
            let fits = |operator: &&Operator| match operator.result {
                Type::Of(own) => own == kind,
                Type::Same => true,
            };
            let all: Vec<_> = SCALARS.iter().filter(fits).collect();
            let operator = all[self.below(all.len())];
            return self.call(operator, kind, scope, depth);
        }
        match fitting.is_empty() || self.one_in(10) {
            true => self.value(kind),
            false => Expr::Column(fitting[self.below(fitting.len())].0.clone()),
        }
    }

    fn item(&mut self, kind: Kind, scope: &Columns, depth: usize) -> Expr {
        match depth > 0 && self.one_in(25) {
            true => self.scalar_query(kind, scope, depth),
            false => self.expr(kind, scope, EXPRESSION_DEPTH),
        }
    }

    /// Returns a condition of WHERE, which may be over a query.
    fn condition(&mut self, depth: usize, scope: &Columns) -> Expr {
        if depth == 0 {
            return self.expr(Kind::Boolean, scope, EXPRESSION_DEPTH);
        }
        match self.below(12) {
            0 | 1 => {
                let kind = self.kind_of(scope);
                let operator = &MEMBERS[self.below(2)];
                let query = match self.one_in(2) {
                    true => {
                        self.correlated(scope, depth, |this, own| (this.expr(kind, own, 1), false))
                    }
                    false => self.select(depth - 1, Some(&[kind])).0,
                };
                let member = self.expr(kind, scope, 1);
                Expr::Query(operator, vec![member], Box::new(query))
            }
            2 | 3 => {
                let query =
                    self.correlated(scope, depth, |_, _| (Expr::Value(Kind::Int, Some(3)), false));
                Expr::Query(&EXISTENCE[self.below(2)], Vec::new(), Box::new(query))
            }
            4 => {
                let kind = self.kind_of(scope);
                let sides = vec![self.expr(kind, scope, 1), self.scalar_query(kind, scope, depth)];
                Expr::Call(self.comparison(), sides)
            }
            _ => self.expr(Kind::Boolean, scope, EXPRESSION_DEPTH),
        }
    }

    /// Returns a query of one row as a value.
    fn scalar_query(&mut self, kind: Kind, scope: &Columns, depth: usize) -> Expr {
        let query = self.correlated(scope, depth, |this, own| (this.aggregate(kind, own), true));
        Expr::Query(SCALAR_QUERY, Vec::new(), Box::new(query))
    }

    /// Returns a query of one column that may look at the row around it; `item` makes that column, and
    /// says if it is an aggregate.
    fn correlated(
        &mut self,
        scope: &Columns,
        depth: usize,
        item: impl FnOnce(&mut Self, &Columns) -> (Expr, bool),
    ) -> Query {
        let mut own = Columns::new();
        let from = vec![self.joined(depth - 1, &mut own)];
        let mut filter = Vec::new();
        if !self.one_in(4) {
            filter.extend(self.met(&own, scope));
        }
        let is_correlated = !filter.is_empty();
        if self.one_in(3) {
            filter.push(self.expr(Kind::Boolean, &own, 1));
        }
        if is_correlated && self.one_in(6) {
            let both: Columns = own.iter().chain(scope).cloned().collect();
            filter.push(self.expr(Kind::Boolean, &both, 1));
        }
        let (expr, is_aggregate) = item(self, &own);
        // One group of a stream without rows has no row; of those that belong to a row each has one.
        let is_one_group = is_aggregate && !is_correlated;
        let group = is_one_group.then(Group::default);
        let items = vec![(expr, self.name("x"))];
        Query::Select(Select { items, from, filter, group, ..Select::default() })
    }
}

/// Returns the names of the first window's ends.
pub(super) fn window_of(scope: &Columns) -> Option<[String; 2]> {
    let start = scope.iter().find(|(name, _)| name.ends_with(START))?.0.clone();
    let end = start.replace(START, END);
    Some([start, end])
}

/// Is `expr` written as one of `exprs` is?
pub(super) fn is_among(exprs: &[Expr], expr: &Expr) -> bool {
    exprs.iter().any(|other| other.sql(Dialect::Stream) == expr.sql(Dialect::Stream))
}
