//! Each kind of cell, saved piece by piece and restored.

use std::collections::BTreeMap;

use arrow::array::{Array, UInt32Array};

use super::*;

/// What a state has saved, by group and entry.
#[derive(Default)]
struct Saved(BTreeMap<(u32, Vec<u8>), Vec<u8>>);

impl Saved {
    fn take(&mut self, cells: &mut dyn Slot, all: bool) -> usize {
        let changes = cells.take_changes(all).unwrap();
        if all {
            self.0.clear();
        }
        for row in 0..changes.entries.len() {
            let group = changes.groups.get(row).copied().unwrap_or(0);
            let key = (group, changes.entries.value(row).to_vec());
            match changes.values.is_valid(row) {
                true => self.0.insert(key, changes.values.value(row).to_vec()),
                false => self.0.remove(&key),
            };
        }
        changes.entries.len()
    }

    /// Restores in the order of the values, which is no order of a list.
    fn restore(&self, cells: &mut dyn Slot) {
        cells.grow(10);
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_by_key(|(_, value)| value.as_slice());
        let groups: Vec<u32> = rows.iter().map(|((group, _), _)| *group).collect();
        let entries: BinaryArray = rows.iter().map(|((_, entry), _)| Some(entry)).collect();
        let values: BinaryArray = rows.iter().map(|(_, value)| Some(value)).collect();
        let versions = UInt32Array::from_value(1, rows.len());
        let saved = SavedState {
            state: 0,
            groups: &groups,
            entries: &entries,
            versions: &versions,
            values: &values,
        };
        cells.restore(saved).unwrap();
        cells.restored();
    }
}

fn cells<C: Cell>() -> Cells<C> {
    let mut cells = Cells::new(Stored::new("cell"), false);
    cells.grow(10);
    cells
}

#[test]
fn lists_save_what_was_added_and_come_back_in_order() {
    // A list would be saved whole with each value, or mixed up where parts were saved apart.
    let (mut list, mut saved) = (cells::<Many<i64>>(), Saved::default());
    list.get_mut(3).values.extend([9, 8, 7]);
    assert_eq!(saved.take(&mut list, false), 3);
    list.get_mut(3).values.push(6);
    assert_eq!(saved.take(&mut list, false), 1);
    assert_eq!(saved.take(&mut list, false), 0);
    let mut restored = cells::<Many<i64>>();
    saved.restore(&mut restored);
    assert_eq!(restored.get(3).values, [9, 8, 7, 6]);
    // A shorter one leaves nothing behind.
    let cell = restored.get_mut(3);
    (cell.values, cell.unchanged) = (vec![1], 0);
    assert_eq!(saved.take(&mut restored, false), 4);
    let mut again = cells::<Many<i64>>();
    saved.restore(&mut again);
    assert_eq!(again.get(3).values, [1]);
    assert_eq!(saved.take(&mut again, true), 1);
}

#[test]
fn maps_save_entries_that_changed() {
    let (mut map, mut saved) = (cells::<Mapped<String, i64>>(), Saved::default());
    let set = |map: &mut Cells<Mapped<String, i64>>, key: &str, value: Option<i64>| {
        let cell = map.get_mut(1);
        cell.changed.insert(key.to_owned());
        match value {
            Some(value) => cell.values.insert(key.to_owned(), value),
            None => cell.values.remove(key),
        };
    };
    ["a", "b", "c"].iter().for_each(|key| set(&mut map, key, Some(1)));
    assert_eq!(saved.take(&mut map, false), 3);
    set(&mut map, "a", None);
    set(&mut map, "b", Some(2));
    assert_eq!(saved.take(&mut map, false), 2);
    let mut restored = cells::<Mapped<String, i64>>();
    saved.restore(&mut restored);
    assert_eq!(restored.get(1).values, map.get(1).values);
    assert!(!restored.is_live(0) && restored.is_live(1));
}

#[test]
fn values_that_were_taken_are_deleted() {
    let (mut value, mut saved) = (cells::<One<String>>(), Saved::default());
    value.get_mut(2).0 = Some("two".to_owned());
    value.get_mut(5).0 = Some("five".to_owned());
    saved.take(&mut value, true);
    value.get_mut(2).0 = None;
    assert_eq!(saved.take(&mut value, false), 1);
    let mut restored = cells::<One<String>>();
    saved.restore(&mut restored);
    assert_eq!(restored.get(2).0, None);
    assert_eq!(restored.get(5).0.as_deref(), Some("five"));
    // Groups with new numbers.
    restored.retain(&[5]);
    assert_eq!(restored.get(0).0.as_deref(), Some("five"));
}

#[test]
fn what_is_forgotten_is_deleted_and_was_no_writing() {
    let ttl = std::time::Duration::from_secs(1);
    let mut list: Cells<Many<i64>> = Cells::new(Stored::new("cell").ttl(ttl), false);
    list.grow(10);
    let mut saved = Saved::default();
    list.get_mut(4).values.extend([1, 2]);
    list.get_mut(7).values.push(3);
    assert_eq!(list.take_written(), [4, 7]);
    saved.take(&mut list, false);
    assert_eq!(list.forget(&[4, 5]), 1);
    assert!(list.take_written().is_empty());
    assert_eq!(saved.take(&mut list, false), 2);
    let mut restored = cells::<Many<i64>>();
    saved.restore(&mut restored);
    assert!(!restored.is_live(4));
    assert_eq!(restored.get(7).values, [3]);
}
