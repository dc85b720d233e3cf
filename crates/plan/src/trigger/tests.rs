use thalweg_types::EventTime;

use super::*;

fn watermark(early: Option<Trigger>, late: Option<Trigger>) -> Trigger {
    Trigger::Watermark { early: early.map(Box::new), late: late.map(Box::new) }
}

fn repeated(trigger: Trigger) -> Trigger {
    Trigger::Repeated(Box::new(trigger))
}

fn delay(seconds: u64) -> Trigger {
    Trigger::Delay(Duration::from_secs(seconds))
}

fn clock(seconds: i64) -> EventTime {
    EventTime(seconds * 1_000_000_000)
}

/// One window and its trigger; each step is an epoch at a clock in seconds.
struct Window {
    machine: Machine,
    state: State,
    is_over: bool,
}

impl Window {
    fn new(trigger: &Trigger) -> Window {
        let machine = Machine::new(trigger).unwrap();
        Window { state: machine.begin(), machine, is_over: false }
    }

    /// Returns whether the window fires at the close of an epoch with so many rows.
    fn close(&mut self, rows: u64, seconds: i64) -> bool {
        if rows > 0 {
            self.machine.rows(&mut self.state, rows, clock(seconds));
        }
        let now = Now { clock: clock(seconds), is_over: self.is_over };
        let fires = self.machine.fires(&self.state, now);
        if fires {
            self.machine.fire(&mut self.state, now);
        }
        fires
    }

    fn is_finished(&self) -> bool {
        self.machine.is_finished(&self.state)
    }
}

/// Runs epochs, each as (rows, clock in seconds), `over` before one at which the watermark passes; returns
/// a letter for each: `F` fires, `.` does not, `D` fires and is done.
fn transcript(trigger: &Trigger, epochs: &[(u64, i64)], over: usize) -> String {
    let mut window = Window::new(trigger);
    let epochs = epochs.iter().enumerate().map(|(at, (rows, seconds))| {
        window.is_over = at >= over;
        match (window.close(*rows, *seconds), window.is_finished()) {
            (true, true) => 'D',
            (true, false) => 'F',
            (false, _) => '.',
        }
    });
    epochs.collect()
}

const NEVER_OVER: usize = usize::MAX;

/// Beam's `AfterPaneStateMachineTest`: fires once at the count, at the close of its epoch, and is done.
#[test]
fn a_count_fires_once_when_at_least_so_many_rows_came() {
    let epochs = [(1, 0), (1, 1), (1, 2), (1, 3)];
    assert_eq!(transcript(&Trigger::Rows(2), &epochs, NEVER_OVER), ".D..");
    assert_eq!(transcript(&Trigger::Rows(2), &[(5, 0), (1, 1)], NEVER_OVER), "D.");
    assert_eq!(transcript(&repeated(Trigger::Rows(2)), &epochs, NEVER_OVER), ".F.F");
    assert_eq!(
        transcript(&repeated(Trigger::Rows(2)), &[(5, 0), (1, 1), (1, 2)], NEVER_OVER),
        "F.F"
    );
}

/// Beam's `AfterProcessingTimeStateMachineTest`: the delay is since the first row of the pane, whatever
/// comes later.
#[test]
fn a_delay_is_since_the_first_row_of_the_pane() {
    let epochs = [(1, 10), (1, 12), (0, 14), (0, 15), (0, 30), (1, 31), (0, 36)];
    assert_eq!(transcript(&delay(5), &epochs, NEVER_OVER), "...D...");
    assert_eq!(transcript(&repeated(delay(5)), &epochs, NEVER_OVER), "...F..F");
}

/// Would fail if aligned times depended on when rows came.
#[test]
fn an_aligned_time_is_the_next_whole_multiple() {
    let aligned = |offset| {
        let (period, offset) = (Duration::from_secs(60), Duration::from_secs(offset));
        repeated(Trigger::Aligned { period, offset })
    };
    let epochs = [(1, 61), (0, 119), (0, 120), (1, 180), (0, 239), (0, 240)];
    assert_eq!(transcript(&aligned(0), &epochs, NEVER_OVER), "..F..F");
    let epochs = [(1, 61), (0, 69), (0, 70), (0, 130), (1, 131), (0, 190)];
    assert_eq!(transcript(&aligned(10), &epochs, NEVER_OVER), "..F..F");
}

/// Would fail if a wake were asked for in vain, late, or by a part that is not active.
#[test]
fn a_trigger_says_when_the_clock_may_make_it_fire() {
    let wake = |window: &Window| window.machine.wake(&window.state);
    let mut window = Window::new(&watermark(Some(delay(5)), Some(delay(2))));
    assert_eq!(wake(&window), None);
    window.close(1, 10);
    assert_eq!(wake(&window), Some(clock(15)));
    assert!(window.close(0, 15));
    assert_eq!(wake(&window), None);
    window.close(1, 16);
    window.is_over = true;
    assert!(window.close(0, 17), "on time");
    assert_eq!(wake(&window), None, "the early firing is off");
    window.close(1, 18);
    assert_eq!(wake(&window), Some(clock(20)));

    let mut window = Window::new(&Trigger::InOrder(vec![Trigger::Rows(2), delay(5)]));
    window.close(1, 10);
    assert_eq!(wake(&window), None, "it is not its turn");
    window.close(1, 11);
    assert_eq!(wake(&window), None, "the pane begins with the next row");
    window.close(1, 12);
    assert_eq!(wake(&window), Some(clock(17)));
}

/// Beam's `AfterWatermarkStateMachineTest`: early, on time and late firings in one window.
#[test]
fn a_watermark_fires_early_on_time_and_late() {
    let epochs = [(1, 0), (1, 1), (0, 2), (1, 3), (1, 4), (0, 5), (1, 6), (1, 7), (1, 8)];
    let rows = |count| Some(Trigger::Rows(count));
    for (early, late, expected) in [
        (None, None, ".....D..."),
        (rows(2), None, ".F..FD..."),
        (rows(3), None, "...F.D..."),
        (None, rows(1), ".....FFFF"),
        (rows(1), rows(2), "FF.FFF.F."),
        (Some(repeated(Trigger::Rows(2))), rows(3), ".F..FF..F"),
    ] {
        let trigger = watermark(early, late);
        assert_eq!(transcript(&trigger, &epochs, 5), expected, "{trigger}");
    }
}

/// Would fail if rows of an early pane counted for the late one, or a pane fired twice at one close.
#[test]
fn the_late_trigger_begins_behind_the_on_time_pane() {
    let trigger = watermark(Some(Trigger::Rows(3)), Some(Trigger::Rows(2)));
    // Two rows wait when the watermark passes: on time, and gone with it.
    assert_eq!(transcript(&trigger, &[(2, 0), (0, 1), (1, 2), (1, 3), (2, 4)], 1), ".F.FF");
    // The third row and the watermark come together: one pane.
    assert_eq!(transcript(&trigger, &[(2, 0), (1, 1), (1, 2)], 1), ".F.");
}

/// Beam's `AfterFirstStateMachineTest`.
#[test]
fn any_fires_with_the_first_of_its_parts() {
    let any = Trigger::Any(vec![Trigger::Rows(3), delay(5)]);
    assert_eq!(transcript(&any, &[(1, 0), (2, 1), (1, 9)], NEVER_OVER), ".D.");
    assert_eq!(transcript(&any, &[(1, 0), (0, 5), (5, 6)], NEVER_OVER), ".D.");
    // The delay begins anew with the first row of the next pane.
    let epochs = [(1, 0), (2, 4), (1, 5), (0, 9), (0, 10)];
    assert_eq!(transcript(&repeated(any), &epochs, NEVER_OVER), ".F..F");
}

/// Beam's `AfterAllStateMachineTest`.
#[test]
fn all_waits_for_each_of_its_parts() {
    let all = Trigger::All(vec![Trigger::Rows(2), delay(5)]);
    assert_eq!(transcript(&all, &[(2, 0), (0, 4), (0, 5), (9, 20)], NEVER_OVER), "..D.");
    assert_eq!(transcript(&all, &[(1, 0), (0, 9), (1, 20)], NEVER_OVER), "..D");
    let epochs = [(2, 0), (0, 5), (2, 6), (0, 11)];
    assert_eq!(transcript(&repeated(all), &epochs, NEVER_OVER), ".F.F");
}

/// Beam's `AfterEachStateMachineTest`.
#[test]
fn in_order_takes_its_parts_one_after_the_other() {
    let parts = || vec![Trigger::Rows(3), Trigger::Rows(2), delay(5)];
    let epochs = [(2, 0), (1, 1), (1, 2), (1, 3), (1, 4), (0, 9), (9, 10)];
    assert_eq!(transcript(&Trigger::InOrder(parts()), &epochs, NEVER_OVER), ".F.F.D.");
    let last = Trigger::InOrder(vec![Trigger::Rows(3), repeated(Trigger::Rows(2))]);
    assert_eq!(transcript(&last, &[(3, 0), (1, 1), (1, 2), (2, 3)], NEVER_OVER), "F.FF");
}

/// Beam's `OrFinallyStateMachineTest`: the last one counts over panes, and ends the trigger.
#[test]
fn or_finally_ends_a_trigger() {
    let last = |last| Trigger::OrFinally(Box::new(repeated(Trigger::Rows(2))), Box::new(last));
    let epochs = [(2, 0), (1, 1), (1, 2), (1, 3), (2, 4)];
    assert_eq!(transcript(&last(Trigger::Rows(5)), &epochs, NEVER_OVER), "F.FD.");
    assert_eq!(transcript(&last(Trigger::on_time()), &epochs, 3), "F.FD.");
    let once = Trigger::OrFinally(Box::new(Trigger::Rows(2)), Box::new(Trigger::Never));
    assert_eq!(transcript(&once, &epochs, NEVER_OVER), "D....");
}

/// Would fail if an epoch without rows fired, or one with rows did not.
#[test]
fn an_epoch_fires_if_rows_came() {
    let epochs = [(1, 0), (0, 1), (7, 2), (1, 3)];
    assert_eq!(transcript(&Trigger::Epoch, &epochs, NEVER_OVER), "F.FF");
    assert_eq!(transcript(&Trigger::Once(Box::new(Trigger::Epoch)), &epochs, NEVER_OVER), "D...");
    assert_eq!(transcript(&Trigger::Never, &epochs, 0), "....");
}

/// Merges windows to which so many rows came, `None` for one that fired its trigger before.
fn merged(trigger: &Trigger, windows: &[Option<u64>], is_over: bool) -> Window {
    let states = windows.iter().map(|rows| {
        let mut window = Window::new(trigger);
        match rows {
            Some(rows) => assert!(!window.close(*rows, 10), "nothing fires before it merges"),
            None => {
                window.is_over = true;
                assert!(window.close(9, 10) || window.close(0, 99), "{trigger} fires");
            }
        }
        window.state
    });
    let states: Vec<State> = states.collect();
    let machine = Machine::new(trigger).unwrap();
    let state = machine.merge(&states.iter().collect::<Vec<_>>(), is_over);
    Window { machine, state, is_over }
}

/// Beam's `testMergingWindowFiring` and the like: what waited in each waits in the merged window.
#[test]
fn windows_that_become_one_wait_together() {
    let mut window = merged(&Trigger::Rows(5), &[Some(2), Some(2)], false);
    assert!(!window.close(0, 11));
    assert!(window.close(1, 12));
    let mut window = merged(&delay(5), &[Some(1), Some(1)], false);
    assert!(window.close(0, 15), "the earliest first row counts");
    let mut window = merged(&repeated(Trigger::Rows(3)), &[Some(2), None], false);
    assert!(window.close(1, 12), "what is sent waits no more");
    let mut window = merged(&Trigger::Epoch, &[None, None], false);
    assert!(!window.close(0, 12));
}

/// Beam's `testMergeFinishedTriggers`: a count or delay that fired in any window is finished in all.
#[test]
fn a_count_that_fired_in_one_window_is_finished_in_the_merged_one() {
    for trigger in [Trigger::Rows(5), delay(5), Trigger::Once(Box::new(Trigger::Rows(5)))] {
        let mut window = merged(&trigger, &[Some(2), None], false);
        assert!(window.is_finished(), "{trigger}");
        assert!(!window.close(9, 99));
    }
}

/// Beam's `AfterWatermarkStateMachineTest.testTimerForEndOfWindow…Merge…`: the watermark fires again if a
/// window grows beyond it, or merges with one that did not fire.
#[test]
fn a_watermark_fires_again_for_a_session_that_grows() {
    let trigger = Trigger::on_time();
    assert!(merged(&trigger, &[None, None], true).is_finished());
    let mut grown = merged(&trigger, &[None], false);
    assert!(!grown.is_finished() && !grown.close(1, 20));
    grown.is_over = true;
    assert!(grown.close(0, 21));
    let mut partly = merged(&trigger, &[None, Some(1)], true);
    assert!(partly.close(0, 20), "rows of one of them were not sent");

    let trigger = watermark(Some(Trigger::Rows(2)), Some(Trigger::Rows(3)));
    let mut grown = merged(&trigger, &[None], false);
    assert!(grown.close(2, 20), "early again");
    let mut late = merged(&trigger, &[None, None], true);
    assert!(!late.close(2, 20) && late.close(1, 21), "late still");
}

/// Beam's `AfterEachStateMachineTest.testMerge…`: a part that is active again is the current one.
#[test]
fn in_order_goes_back_to_a_part_that_is_active_again() {
    let trigger = Trigger::InOrder(vec![Trigger::on_time(), repeated(Trigger::Rows(1))]);
    let mut window = merged(&trigger, &[None], false);
    assert!(!window.close(1, 20), "the watermark is waited for again");
    window.is_over = true;
    assert!(window.close(0, 21) && window.close(1, 22));
}

/// Would fail if a trigger that cannot be meant were run.
#[test]
fn triggers_that_cannot_be_meant_are_refused() {
    for trigger in [
        Trigger::Rows(0),
        Trigger::Any(Vec::new()),
        Trigger::Aligned { period: Duration::ZERO, offset: Duration::ZERO },
        Trigger::All(vec![Trigger::Never; 63]),
    ] {
        assert!(Machine::new(&trigger).is_err(), "{trigger}");
    }
    assert!(Machine::new(&Trigger::All(vec![Trigger::Never; 62])).is_ok());
}

/// Would fail if the numbers of a stored state came to mean something else: raise [`FORMAT`] then.
#[test]
fn a_stored_state_keeps_its_meaning() {
    let parts = vec![watermark(Some(delay(5)), Some(Trigger::Rows(2))), Trigger::Rows(9)];
    let mut window = Window::new(&Trigger::Any(parts));
    window.close(1, 10);
    let stored = State { finished: 0, values: vec![Some(15_000_000_000), Some(1), Some(1)] };
    assert_eq!((window.state.clone(), FORMAT), (stored, 1));
    let mut window = Window::new(&watermark(None, Some(Trigger::Rows(2))));
    window.is_over = true;
    window.close(1, 10);
    window.close(1, 11);
    assert_eq!(window.state, State { finished: 0b10, values: vec![Some(1)] });
}
