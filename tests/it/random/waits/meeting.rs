//! How far two rows that meet can be apart in time, as the condition of their join says it.

use std::collections::BTreeMap;

use super::super::expression::Expr;
use super::super::query::JoinKind;
use super::{Role, Rows};

/// How two rows meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    Join(JoinKind),
    Semi,
    Anti,
}

impl Meeting {
    /// Do rows of the left and of the right side come out that meet nothing?
    pub(super) fn has_alone(self) -> [bool; 2] {
        match self {
            Meeting::Join(JoinKind::Left) | Meeting::Anti => [true, false],
            Meeting::Join(JoinKind::Right) => [false, true],
            Meeting::Join(JoinKind::Full) => [true, true],
            Meeting::Join(JoinKind::Inner) | Meeting::Semi => [false, false],
        }
    }

    /// Can a row of the left and of the right side be missing in what comes out?
    pub(super) fn may_lack(self) -> [bool; 2] {
        match self {
            Meeting::Join(JoinKind::Left) => [false, true],
            Meeting::Join(JoinKind::Right) => [true, false],
            Meeting::Join(JoinKind::Full) => [true, true],
            _ => [false, false],
        }
    }
}

/// A time of one side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shifted {
    pub(super) side: usize,
    pub(super) column: usize,
    /// What is added to it, in milliseconds. A window ends one after its last time.
    pub(super) shift: i64,
}

/// How far the times of two rows that meet can be apart: `right - earlier ≤ left ≤ right + later`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) columns: [usize; 2],
    pub(super) earlier: Option<i64>,
    pub(super) later: Option<i64>,
}

impl Bound {
    pub(super) fn said(&self) -> usize {
        usize::from(self.earlier.is_some()) + usize::from(self.later.is_some())
    }

    /// Returns how much longer than their time rows of a side are needed.
    pub(super) fn more(&self, side: usize) -> Option<i64> {
        [self.earlier, self.later][side]
    }
}

/// Returns the columns of a join. Times stay times where the bound says how old a row is that comes out,
/// and windows where both rows are of one.
pub(super) fn met(
    sides: &[Rows; 2],
    bound: Option<Bound>,
    meeting: Meeting,
) -> Vec<(String, Role)> {
    let bound = bound.filter(|bound| bound.said() == 2);
    let shown = if matches!(meeting, Meeting::Join(_)) { 2 } else { 1 };
    let mut columns = Vec::new();
    for (side, rows) in sides.iter().enumerate().take(shown) {
        let time = bound.filter(|_| !meeting.may_lack()[side]).map(|bound| bound.columns[side]);
        let is_at_once = bound.is_some_and(|b| b.earlier == Some(0) && b.later == Some(0));
        let of_window = time.is_some_and(|at| is_at_once && rows.columns[at].1 == Role::End);
        for (at, (name, role)) in rows.columns.iter().enumerate() {
            let stays = match role {
                Role::Time => time == Some(at),
                Role::Start | Role::End => of_window,
                Role::Plain => false,
            };
            columns.push((name.clone(), if stays { *role } else { Role::Plain }));
        }
    }
    columns
}

/// How two times are compared, as far as it matters how far apart they can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Same,
    Less,
    Greater,
}

/// Returns the comparisons that must hold where a condition does.
pub(super) fn compared(expr: &Expr) -> Vec<(Expr, Order, Expr)> {
    let Expr::Call(operator, arguments) = expr else { return Vec::new() };
    let two = |order| vec![(arguments[0].clone(), order, arguments[1].clone())];
    match operator.stream {
        "({0} = {1})" => two(Order::Same),
        "({0} < {1})" => two(Order::Less),
        "({0} >= {1})" => two(Order::Greater),
        "({0} BETWEEN {1} AND {2})" => {
            let [value, low, high] = [0, 1, 2].map(|at| arguments[at].clone());
            vec![(value.clone(), Order::Greater, low), (value, Order::Less, high)]
        }
        "({0} AND {1})" => arguments.iter().flat_map(compared).collect(),
        "(NOT {0})" => negated(&arguments[0]),
        _ => Vec::new(),
    }
}

/// Returns the comparisons that must hold where a condition is false.
pub(super) fn negated(expr: &Expr) -> Vec<(Expr, Order, Expr)> {
    let Expr::Call(operator, arguments) = expr else { return Vec::new() };
    let order = match operator.stream {
        "({0} < {1})" => Order::Greater,
        "({0} >= {1})" => Order::Less,
        "({0} <> {1})" => Order::Same,
        _ => return Vec::new(),
    };
    vec![(arguments[0].clone(), order, arguments[1].clone())]
}

/// Reads a time of one of two sides, and what is added to it.
pub(super) fn shifted(expr: &Expr, sides: &[Rows; 2]) -> Option<Shifted> {
    match expr {
        Expr::Column(name) => (0..2).find_map(|side| {
            let column = sides[side].columns.iter().position(|(own, _)| own == name)?;
            let shift = match sides[side].columns[column].1 {
                Role::Time => 0,
                Role::End => 1,
                Role::Plain | Role::Start => return None,
            };
            Some(Shifted { side, column, shift })
        }),
        Expr::Call(operator, arguments) if operator.name == "intervals" => {
            let inner = shifted(&arguments[0], sides)?;
            Some(Shifted { shift: inner.shift + 2000, ..inner })
        }
        _ => None,
    }
}

/// Returns what comparisons say of two columns; of several pairs of columns, of that of which they say most.
pub(super) fn bound(comparisons: impl Iterator<Item = (Shifted, Order, Shifted)>) -> Option<Bound> {
    let mut found: BTreeMap<[usize; 2], Bound> = BTreeMap::new();
    for (first, order, second) in comparisons {
        let (left, order, right) = match (first.side, order, second.side) {
            (0, order, 1) => (first, order, second),
            (1, Order::Same, 0) => (second, Order::Same, first),
            (1, Order::Less, 0) => (second, Order::Greater, first),
            (1, Order::Greater, 0) => (second, Order::Less, first),
            _ => continue,
        };
        let columns = [left.column, right.column];
        let known = found.entry(columns).or_insert(Bound { columns, earlier: None, later: None });
        let least = |old: &mut Option<i64>, new: i64| *old = Some(old.map_or(new, |o| o.min(new)));
        if order != Order::Less {
            least(&mut known.earlier, left.shift - right.shift);
        }
        if order != Order::Greater {
            least(&mut known.later, right.shift - left.shift);
        }
    }
    let most = found.values().map(Bound::said).max()?;
    found.into_values().find(|bound| bound.said() == most)
}

/// Returns the column of one side that a condition says is equal to one of the other.
pub(super) fn key_of(expr: &Expr, side: usize, sides: &[Rows; 2]) -> Option<String> {
    let Expr::Call(operator, arguments) = expr else { return None };
    let [Expr::Column(first), Expr::Column(second)] = arguments.as_slice() else { return None };
    let has = |side: usize, name: &String| sides[side].columns.iter().any(|(own, _)| own == name);
    let (own, other) = match has(side, first) {
        true => (first, second),
        false => (second, first),
    };
    let is_key = operator.stream == "({0} = {1})" && has(side, own) && has(1 - side, other);
    is_key.then(|| own.clone())
}
