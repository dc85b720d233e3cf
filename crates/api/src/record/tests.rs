use std::collections::BTreeMap;

use super::*;
use crate::scalar::{Instant, Time};

#[derive(Clone, Debug, PartialEq, thalweg::Record)]
struct Item {
    name: String,
    cents: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, thalweg::Record)]
struct Order {
    #[record(rename = "type")]
    kind: i8,
    first: Item,
    gift: Option<Item>,
    rest: Vec<Item>,
    r#match: bool,
}

fn orders() -> Vec<Order> {
    let item = |name: &str, cents| Item { name: name.to_owned(), cents };
    let (pen, ink) = (item("pen", Some(250)), item("ink", None));
    let first = Order { kind: 1, first: pen.clone(), gift: None, rest: vec![], r#match: true };
    let rest = vec![ink.clone(), pen.clone()];
    vec![first, Order { kind: -1, first: ink, gift: Some(pen), rest, r#match: false }]
}

#[test]
fn records_within_records_come_back() {
    let rows = Order::write(&orders()).unwrap();
    assert_eq!(Order::read(&rows).unwrap(), orders());
    let schema = rows.schema();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["type", "first", "gift", "rest", "match"]);
    let nullable: Vec<_> = schema.fields().iter().map(|field| field.is_nullable()).collect();
    assert_eq!(nullable, [false, false, true, false, false]);
    let empty = Order::write(&[]).unwrap();
    assert_eq!((Order::read(&empty).unwrap(), empty.num_rows()), (vec![], 0));
}

/// Would fail if the rows of a batch, read in each other's place, kept something of each other.
#[test]
fn each_row_is_read_as_it_is() {
    let rows = Order::write(&orders()).unwrap();
    let mut seen = Vec::new();
    each(&rows, |order: &Order| seen.push(order.clone())).unwrap();
    assert_eq!(seen, orders());
}

/// Would fail if rows that are read in the place of others kept something of these, or were more or fewer than the
/// batch has, or if text were copied to another place.
#[test]
fn rows_are_read_in_the_place_of_others() {
    let (whole, mut records) = (Order::write(&orders()).unwrap(), Vec::new());
    Order::read_into(&whole, &mut records).unwrap();
    assert_eq!(records, orders());
    let place = records[0].first.name.as_ptr();
    let turned: Vec<Order> = orders().into_iter().rev().collect();
    let batches = [turned, orders()[1..].to_vec(), vec![], orders()];
    for (number, orders) in batches.into_iter().enumerate() {
        Order::read_into(&Order::write(&orders).unwrap(), &mut records).unwrap();
        assert_eq!(records, orders);
        if number < 2 {
            assert_eq!(records[0].first.name.as_ptr(), place);
        }
    }
}

#[test]
fn what_is_missing_names_its_field() {
    #[derive(Clone, Debug, thalweg::Record)]
    struct Loose {
        kind: Option<i8>,
        first: Option<Item>,
    }
    #[derive(Clone, Debug, thalweg::Record)]
    struct Strict {
        kind: i8,
        first: Item,
    }
    let rows = Loose::write(&[Loose { kind: Some(1), first: None }]).unwrap();
    assert_eq!(Loose::read(&rows).unwrap()[0].kind, Some(1));
    let error = Strict::read(&rows).map(|rows| (rows[0].kind, rows[0].first.clone())).unwrap_err();
    assert_eq!(error.message(), "field `first`: a value is NULL where the struct has none");
}

/// Would fail if a value came back as another one, or columns were of other types than SQL's.
#[test]
fn times_and_maps_come_back() {
    #[derive(Clone, Debug, PartialEq, thalweg::Record)]
    struct Visit {
        at: Instant,
        time: Option<Time>,
        pages: BTreeMap<String, Option<i64>>,
        items: Option<BTreeMap<i32, Vec<Item>>>,
    }
    let item = |name: &str| Item { name: name.to_owned(), cents: None };
    let pages = |pages: &[(&str, Option<i64>)]| {
        pages.iter().map(|(page, n)| ((*page).to_owned(), *n)).collect::<BTreeMap<_, _>>()
    };
    let (first, items) = (pages(&[("home", Some(2)), ("cart", None)]), (7, vec![item("pen")]));
    let visits = [
        Visit { at: Instant(5), time: Some(Time(1)), pages: first, items: None },
        Visit { at: Instant(6), time: None, pages: pages(&[]), items: Some([items].into()) },
        Visit {
            at: Instant(7),
            time: None,
            pages: pages(&[("a", Some(1))]),
            items: Some([].into()),
        },
    ];
    let rows = Visit::write(&visits).unwrap();
    assert_eq!(Visit::read(&rows).unwrap(), visits);
    let kinds: Vec<_> = rows.schema().fields().iter().map(|f| rust_type(f.data_type())).collect();
    let entries = "BTreeMap<i32, Vec<{ name: String, cents: i64 }>>";
    assert_eq!(kinds, ["Instant", "Time", "BTreeMap<String, i64>", entries]);
    let empty = Visit::write(&[]).unwrap();
    assert_eq!(Visit::read(&empty).unwrap(), []);
    assert_eq!(Instant(0).to_string(), "1970-01-01 00:00:00.000Z");
}
