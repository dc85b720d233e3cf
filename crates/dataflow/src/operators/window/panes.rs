//! Windows that send panes when a trigger fires: early, on time and late, of any assigner.
//!
//! Invariants: what a window sends is decided at closes alone, in order of window ends, then starts,
//! then keys as they came; a window sends at most one pane at a close. The on-time pane is sent also if
//! nothing came since the last early one, any other pane only if something did; a window to which no row
//! came sends nothing. A window is kept until the watermark is its lateness behind its end, and sends
//! then what no pane has yet. Where panes are taken back, a window has one row at most in the result
//! at the end of an epoch, and one that stays the same is not sent again.

mod cells;

mod own_time;

mod assign;
mod sending;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
use thalweg_plan::node::AggregateNode;
use thalweg_plan::pane::{Accumulation, Panes, Timing};
use thalweg_plan::trigger::{Machine, Now, State};
use thalweg_plan::window::WindowSpec;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::epoch::Ending;
use thalweg_types::fault::is_planted;
use thalweg_types::{Change, EventTime, Groups, Moment, Result};

use self::assign::{Assigned, Assigning, Rule};
use self::cells::{Cells, Closing};
use self::own_time::OwnTime;
use self::sending::Sending;
use crate::operator::{Close, Operator, Output, Step};
use crate::operators::accumulators::Accumulators;
use crate::operators::batches::{BATCH_ROWS, batch, groups_of};
use crate::operators::due::{Due, refuse};
use crate::operators::keyed::Blueprint;
use crate::operators::slices::{column_of, times};

/// Aggregates from which on the memory of those that are not needed any more is given back.
const PACK_SLOTS: usize = 4096;
/// Windows whose panes are made at once; each may be several rows.
const PANES_MAX: usize = BATCH_ROWS / 2;

/// A pane to be sent.
#[derive(Clone, Copy, Debug)]
struct Fired {
    cell: u32,
    timing: Timing,
    /// Is it the last one of its window?
    is_last: bool,
    /// Is the window over for good?
    is_over: bool,
}

/// Aggregates by key and window, and sends panes.
pub(super) struct PaneWindow {
    blueprint: Arc<Blueprint>,
    window: Option<WindowSpec>,
    panes: Panes,
    machine: Machine,
    divert_late: bool,
    /// Which windows are complete; `None` for one of all time.
    due: Option<Due>,
    /// Which windows take no more rows.
    over: Option<Due>,
    /// Where windows go by the rows of their key instead.
    own: Option<OwnTime>,
    is_finished: bool,
    /// Shape: keys…, start, end, what the trigger has seen…, panes, waiting, states….
    state: SchemaRef,
    input: SchemaRef,
    table: GroupTable,
    cells: Cells,
    accumulators: Accumulators,
    /// How many groups of aggregates there are.
    slots: u32,
    sending: Sending,
    /// Panes that are sent next, the last one first.
    fired: Vec<Fired>,
    groups: Vec<u32>,
}

impl PaneWindow {
    pub(super) fn new(
        node: &AggregateNode,
        panes: Panes,
        input: &SchemaRef,
        output: SchemaRef,
    ) -> Result<PaneWindow> {
        let blueprint = Blueprint::new(node, input)?;
        let machine = Machine::new(&panes.trigger)?;
        let due = node.window.map(|spec| Due::new(&spec, input)).transpose()?;
        let middle = middle(node, &machine, &output);
        Ok(PaneWindow {
            window: node.window,
            divert_late: node.divert_late,
            due,
            over: due,
            own: OwnTime::new((&panes, node.window.as_ref()), blueprint.key_fields(), input)?,
            is_finished: false,
            state: blueprint.state_schema(&middle),
            input: input.clone(),
            table: blueprint.table()?,
            cells: Cells::default(),
            accumulators: blueprint.accumulators()?,
            slots: 0,
            sending: Sending::new(node, &panes, output)?,
            fired: Vec::new(),
            groups: Vec::new(),
            blueprint,
            machine,
            panes,
        })
    }

    /// Returns how many columns of the state tell windows of a key apart.
    fn bounds(&self) -> usize {
        if self.window.is_some() { 2 } else { 0 }
    }

    /// Returns the greatest end of a window that is complete.
    fn complete(&self) -> i64 {
        match self.due {
            Some(due) => due.complete(),
            None if self.is_finished => i64::MAX,
            None => i64::MIN,
        }
    }

    fn assign(&mut self, rows: &RecordBatch) -> Result<Assigned> {
        self.table.intern(&self.blueprint.keys_of(rows), rows.num_rows(), &mut self.groups)?;
        let bounds = match self.window {
            Some(spec) => Some((times(rows.column(spec.start))?, times(rows.column(spec.end))?)),
            None => None,
        };
        let rule = Rule {
            machine: &self.machine,
            assigner: self.window.map(|spec| spec.assigner),
            complete: self.complete(),
            over: self.over,
            own: self.own.as_ref(),
        };
        let (cells, slots, assigned) = (&mut self.cells, &mut self.slots, Assigned::default());
        let bounds = bounds.as_ref().map(|(starts, ends)| (starts, ends));
        let assigned = Assigning { rule, cells, slots, assigned }.rows(&self.groups, bounds);
        if let Some(own) = &mut self.own {
            own.note(rows, &self.groups)?;
        }
        Ok(assigned)
    }

    /// Lets aggregates have all groups, also those without rows.
    fn grow(&mut self) -> Result<()> {
        let none = Change::append(RecordBatch::new_empty(self.input.clone()));
        self.accumulators.update(&none, &[], self.slots as usize)
    }

    /// Takes note of a close, and returns the times between which windows are due.
    fn advance(&mut self, close: &Close) -> Closing {
        let before = self.complete();
        self.is_finished |= close.ending == Some(Ending::Finish);
        let mut late = *close;
        late.moment.watermark = close.moment.watermark.minus(self.panes.lateness);
        if let (Some(due), Some(over)) = (&mut self.due, &mut self.over) {
            due.close(close);
            over.close(&late);
        }
        let complete = self.complete();
        let over = self.over.map_or(complete, |over| over.complete());
        Closing { before, complete, over, clock: close.moment.clock.0 }
    }

    /// Asks the triggers of windows that are due.
    fn decide(&mut self, closing: &Closing) {
        let due = match &mut self.own {
            None => self.cells.due(closing),
            Some(own) => {
                let risen = own.close((self.is_finished, closing.clock), self.table.len());
                let risen = risen.into_iter().map(|group| (group, own.complete(group)));
                self.cells.due_by_key(closing.clock, risen)
            }
        };
        for number in due {
            let closing = &self.closing_of(number, closing);
            if let Some(fired) = self.ask(number, closing) {
                self.fired.push(fired);
            } else if self.cells.get(number).end <= closing.over {
                let cell = self.cells.remove(number);
                self.sending.forget(cell.sent);
            }
        }
        self.fired.reverse();
    }

    /// Returns between which times a window is due: where keys have their own, between those of its key.
    fn closing_of(&self, number: u32, closing: &Closing) -> Closing {
        let Some(own) = &self.own else { return *closing };
        let group = self.cells.get(number).group;
        let (before, complete, over) = (own.before(group), own.complete(group), own.over(group));
        Closing { before, complete, over, clock: closing.clock }
    }

    /// Returns the pane that a window sends, if it sends one.
    fn ask(&mut self, number: u32, closing: &Closing) -> Option<Fired> {
        let clock = EventTime(closing.clock);
        let cell = self.cells.get_mut(number);
        let arrived = std::mem::take(&mut cell.arrived);
        if arrived > 0 {
            self.machine.rows(&mut cell.trigger, arrived, clock);
        }
        let now = Now { clock, is_over: cell.end <= closing.complete };
        let fires = self.machine.fires(&cell.trigger, now);
        if fires {
            self.machine.fire(&mut cell.trigger, now);
        }
        let timing = match (cell.end <= closing.before, now.is_over) {
            (true, _) if is_planted("late-is-early") => Timing::Early,
            (true, _) => Timing::Late,
            (false, true) => Timing::OnTime,
            (false, false) => Timing::Early,
        };
        let is_over = cell.end <= closing.over;
        let is_last = is_over || self.machine.is_finished(&cell.trigger);
        let has_rows = cell.waiting > 0;
        let is_due = timing == Timing::OnTime && !is_planted("no-empty-on-time");
        let is_sent = (fires && (has_rows || is_due)) || (is_over && has_rows);
        let timer = self.machine.wake(&cell.trigger).map(|at| at.0);
        self.cells.set_timer(number, timer.filter(|at| *at > closing.clock));
        if fires {
            self.cells.change(number);
        }
        is_sent.then_some(Fired { cell: number, timing, is_last, is_over })
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        while !self.fired.is_empty() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let mut fired = self.fired.split_off(self.fired.len().saturating_sub(PANES_MAX));
            fired.reverse();
            self.grow()?;
            let values = self.values(&fired)?;
            out.send(self.sending.panes(&mut self.cells, &fired, values)?);
            fired.iter().for_each(|fired| self.go_on(fired));
        }
        let keys = self.cells.used() + self.own.as_ref().map_or(0, OwnTime::used);
        if self.slots as usize >= PACK_SLOTS.max(self.cells.used() * 2)
            || self.table.len() >= PACK_SLOTS.max(keys * 2)
        {
            self.pack()?;
        }
        Ok(Step::Done)
    }

    /// Returns keys and values of windows.
    fn values(&mut self, fired: &[Fired]) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let cells = fired.iter().map(|fired| self.cells.get(fired.cell));
        let (groups, slots): (Vec<u32>, Vec<u32>) =
            cells.map(|cell| (cell.group, cell.slot)).unzip();
        let keys = self.table.keys(Groups::At(&groups))?;
        Ok((keys, self.accumulators.evaluate(Groups::At(&slots))?))
    }

    /// Goes on with a window behind one of its panes.
    fn go_on(&mut self, fired: &Fired) {
        if fired.is_over {
            let cell = self.cells.remove(fired.cell);
            return self.sending.forget(cell.sent);
        }
        let cell = self.cells.get_mut(fired.cell);
        cell.waiting = 0;
        let is_discarded = self.panes.accumulation == Accumulation::Discarding;
        if is_discarded && !is_planted("kept-discarded") {
            (cell.slot, self.slots) = (self.slots, self.slots + 1);
        }
        self.cells.change(fired.cell);
    }

    /// Gives the memory of aggregates and keys back that no window has any more.
    fn pack(&mut self) -> Result<()> {
        self.grow()?;
        let (numbers, gone) = (self.cells.all(), self.cells.take_gone());
        let old = numbers.iter().map(|number| self.cells.get(*number));
        let (old_groups, old_slots): (Vec<u32>, Vec<u32>) =
            old.map(|cell| (cell.group, cell.slot)).unzip();
        let old_gone: Vec<u32> = gone.iter().map(|(group, _, _)| *group).collect();
        let mut table = self.blueprint.table()?;
        let (mut groups, mut gone_groups) = (Vec::new(), Vec::new());
        if let Some(own) = &mut self.own {
            // Keys that have a time of their own stay, the first of all.
            let kept = own.renumber();
            table.intern(&self.table.keys(Groups::At(&kept))?, kept.len(), &mut groups)?;
        }
        let keys = self.table.keys(Groups::At(&old_groups))?;
        table.intern(&keys, numbers.len(), &mut groups)?;
        table.intern(&self.table.keys(Groups::At(&old_gone))?, gone.len(), &mut gone_groups)?;
        let mut accumulators = self.blueprint.accumulators()?;
        if !numbers.is_empty() {
            let states = self.accumulators.partial(Groups::At(&old_slots))?;
            accumulators.merge(&groups_of(0..numbers.len()), &states, numbers.len())?;
        }
        let gone = gone_groups.into_iter().zip(gone);
        let gone = gone.map(|(group, (_, start, end))| (group, start, end)).collect();
        self.cells.renumber(&numbers, &groups, gone);
        (self.table, self.accumulators) = (table, accumulators);
        self.slots = numbers.len() as u32;
        Ok(())
    }

    fn saved_table(&self) -> TableSpec {
        let keys = self.blueprint.key_count();
        TableSpec { name: "panes", key: keys + self.bounds(), route: (0..keys).collect() }
    }

    /// Returns columns of bounds, where windows have some.
    fn bound_columns(&self, bounds: &[(i64, i64)]) -> Result<Vec<ArrayRef>> {
        if self.window.is_none() {
            return Ok(Vec::new());
        }
        let kind = self.state.field(self.blueprint.key_count()).data_type();
        let (starts, ends) = bounds.iter().copied().unzip();
        Ok(vec![column_of(starts, kind)?, column_of(ends, kind)?])
    }

    /// Says that windows are no more.
    fn delete_gone(&mut self, to: &mut StateWriter) -> Result<()> {
        let gone = self.cells.take_gone();
        if to.is_full() || gone.is_empty() {
            return Ok(());
        }
        let table = self.saved_table();
        let groups: Vec<u32> = gone.iter().map(|(group, _, _)| *group).collect();
        let bounds: Vec<(i64, i64)> = gone.iter().map(|(_, start, end)| (*start, *end)).collect();
        let mut columns = self.table.keys(Groups::At(&groups))?;
        columns.extend(self.bound_columns(&bounds)?);
        let schema = Arc::new(self.state.project(&(0..table.key).collect::<Vec<_>>())?);
        to.delete(&table, batch(&schema, columns, gone.len())?)
    }

    /// Returns rows of the state.
    fn saved(&mut self, numbers: &[u32]) -> Result<RecordBatch> {
        self.grow()?;
        let cells: Vec<_> = numbers.iter().map(|number| self.cells.get(*number)).collect();
        let groups: Vec<u32> = cells.iter().map(|cell| cell.group).collect();
        let slots: Vec<u32> = cells.iter().map(|cell| cell.slot).collect();
        let bounds: Vec<(i64, i64)> = cells.iter().map(|cell| (cell.start, cell.end)).collect();
        let mut columns = self.table.keys(Groups::At(&groups))?;
        columns.extend(self.bound_columns(&bounds)?);
        let finished = cells.iter().map(|cell| cell.trigger.finished as i64);
        columns.push(Arc::new(Int64Array::from_iter_values(finished)));
        for value in 0..self.machine.values() {
            let values = cells.iter().map(|cell| cell.trigger.values[value]);
            columns.push(Arc::new(values.collect::<Int64Array>()));
        }
        let panes = cells.iter().map(|cell| cell.panes);
        columns.push(Arc::new(Int64Array::from_iter_values(panes)));
        let waiting = cells.iter().map(|cell| cell.waiting as i64);
        columns.push(Arc::new(Int64Array::from_iter_values(waiting)));
        columns.extend(self.accumulators.partial(Groups::At(&slots))?);
        batch(&self.state, columns, numbers.len())
    }

    /// Returns the first column of the state that is of an aggregate.
    fn states_at(&self) -> usize {
        self.blueprint.key_count() + self.bounds() + 3 + self.machine.values()
    }

    /// Takes one batch of restored windows.
    fn restore_rows(&mut self, rows: RecordBatch) -> Result<()> {
        let (keys, bounds) = (self.blueprint.key_count(), self.bounds());
        let states = self.states_at();
        let rows = self.blueprint.restored(rows, &self.state, states)?;
        self.table.intern(&rows.columns()[..keys], rows.num_rows(), &mut self.groups)?;
        let starts_and_ends = match bounds {
            0 => None,
            _ => Some((times(rows.column(keys))?, times(rows.column(keys + 1))?)),
        };
        let first = keys + bounds;
        let number = |column: usize| rows.column(first + column).as_primitive::<Int64Type>();
        let (values, first_slot) = (self.machine.values(), self.slots);
        for (row, group) in self.groups.iter().enumerate() {
            let (start, end) = match &starts_and_ends {
                None => (i64::MIN, i64::MAX),
                Some((starts, ends)) => (starts.value(row), ends.value(row)),
            };
            let value = |value: usize| {
                let column = number(1 + value);
                column.is_valid(row).then(|| column.value(row))
            };
            let trigger = State {
                finished: number(0).value(row) as u64,
                values: (0..values).map(value).collect(),
            };
            let wake = self.machine.wake(&trigger).map(|at| at.0);
            let cell = self.cells.restore((*group, start, end), (self.slots, trigger));
            self.slots += 1;
            self.cells.set_timer(cell, wake);
            let cell = self.cells.get_mut(cell);
            cell.panes = number(1 + values).value(row);
            cell.waiting = number(2 + values).value(row) as u64;
        }
        let slots: Vec<u32> = (first_slot..self.slots).collect();
        self.accumulators.merge(&slots, &rows.columns()[states..], self.slots as usize)
    }

    /// Gives restored rows of the last panes to their windows, whose rows have the columns of `saved`.
    fn restore_sent(&mut self, from: &StateReader, saved: &SchemaRef) -> Result<()> {
        let (first, blueprint) = (self.states_at(), self.blueprint.clone());
        let kept = self
            .sending
            .restore(from, |call, values| blueprint.migrated_value((saved, first), call, values))?;
        let Some(kept) = kept else { return Ok(()) };
        let rows = kept.slots.len();
        self.table.intern(&kept.keys, rows, &mut self.groups)?;
        for (row, slot) in kept.slots.into_iter().enumerate() {
            let group = self.groups[row];
            let (start, end) = kept.bounds.as_ref().map_or((i64::MIN, i64::MAX), |bounds| {
                (bounds[0].value(row), bounds[1].value(row))
            });
            // Of a session that became part of another one the bounds are its own.
            let is_session = self.cells.find((group, start, end)).is_none();
            let cell = match is_session {
                false => self.cells.find((group, start, end)),
                true => self.cells.holding(group, start),
            };
            match cell {
                Some(cell) => self.cells.get_mut(cell).sent.push(slot),
                None => self.sending.forget(vec![slot]),
            }
        }
        Ok(())
    }
}

/// Returns the columns of the state between keys and aggregates.
fn middle(node: &AggregateNode, machine: &Machine, output: &SchemaRef) -> Vec<Field> {
    let bounds = if node.window.is_some() { 2 } else { 0 };
    let mut fields: Vec<Field> =
        output.fields()[..bounds].iter().map(|field| field.as_ref().clone()).collect();
    let number = |name: String, is_nullable| Field::new(name, DataType::Int64, is_nullable);
    fields.push(number("finished".to_owned(), false));
    fields.extend((0..machine.values()).map(|value| number(format!("seen {value}"), true)));
    fields.push(number("panes".to_owned(), false));
    fields.push(number("waiting".to_owned(), false));
    fields
}

impl Operator for PaneWindow {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        let Assigned { pairs, late, joined } = self.assign(&change.rows)?;
        self.accumulators.merge_groups(&joined.0, &joined.1, self.slots as usize)?;
        let slots: Vec<u32> =
            pairs.iter().map(|(_, number)| self.cells.get(*number).slot).collect();
        let is_whole = pairs.len() == change.len() && late.is_empty();
        let good = match is_whole {
            true => change.clone(),
            false => {
                let rows = pairs.iter().map(|(row, _)| *row);
                change.take(&UInt32Array::from_iter_values(rows))?
            }
        };
        refuse(&change, late, self.divert_late, out)?;
        self.accumulators.update(&good, &slots, self.slots as usize)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        let closing = self.advance(close);
        self.decide(&closing);
        if let Some(own) = &mut self.own {
            out.count_forgotten(own.forget());
        }
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        let end = self.cells.next_end(self.complete()).filter(|_| self.own.is_none());
        let end = end.and_then(|end| self.due.and_then(|due| due.wake(end)));
        let timer = self.cells.next_timer().map(EventTime);
        let forgotten = self.own.as_ref().and_then(OwnTime::wake);
        end.into_iter().chain(timer).chain(forgotten).min()
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.delete_gone(to)?;
        let numbers = self.cells.save(to.is_full());
        if !numbers.is_empty() {
            let rows = self.saved(&numbers)?;
            to.put(&self.saved_table(), rows)?;
        }
        if let Some(own) = &mut self.own {
            own.snapshot(&self.table, to)?;
        }
        self.sending.snapshot(to)
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        let late = Moment { watermark: at.watermark.minus(self.panes.lateness), ..*at };
        if let (Some(due), Some(over)) = (&mut self.due, &mut self.over) {
            due.restore(at);
            over.restore(&late);
        }
        let mut saved = self.state.clone();
        for rows in from.table("panes")? {
            saved = rows.schema();
            self.restore_rows(rows)?;
        }
        if let Some(own) = &mut self.own {
            own.restore(&mut self.table, from, at.clock)?;
        }
        self.restore_sent(from, &saved)
    }

    fn size(&self) -> (usize, usize) {
        let kept = self.table.bytes() + self.accumulators.bytes() + self.sending.bytes();
        let own = self.own.as_ref().map_or(0, OwnTime::bytes);
        (kept + self.cells.bytes() + own, self.cells.len())
    }
}

#[cfg(test)]
mod tests;
