use super::*;

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);

fn line(line: u64) -> Step {
    Step { line, ..Step::default() }
}

fn clock(line: u64, clock: i64) -> Step {
    Step { line, clock: Some(EventTime(clock)), ..Step::default() }
}

/// A script of two sources and two workers, both through what is before epoch 5.
fn script() -> Script {
    let mut script = Script::new([A, B].into_iter(), 2);
    (0..2).for_each(|worker| script.reach(worker, Epoch(5)));
    script
}

/// Would fail if a line could overtake the rows, or the timers, of the one before it.
#[test]
fn a_line_waits_for_all_sources_and_workers() {
    let mut script = script();
    let turn = |script: &Script| script.turn(Epoch(5), EventTime(0), None);
    script.show(A, line(3));
    assert_eq!(turn(&script), Turn::Wait);
    script.show(B, line(3));
    assert_eq!(turn(&script), Turn::Line(line(3)));
    script.reach(1, Epoch(4));
    assert_eq!(turn(&script), Turn::Wait);
    script.reach(1, Epoch(5));
    let claim = Step { watermark: Some(EventTime(7)), ..line(3) };
    script.show(B, claim);
    assert_eq!(script.take(3), [(B, EventTime(7))]);
    assert_eq!(turn(&script), Turn::Wait);
    // What a source said before it heard that its line was taken.
    [A, B].into_iter().for_each(|source| script.show(source, line(3)));
    assert_eq!(turn(&script), Turn::Wait);
}

/// Would fail if a timer fired behind the line that made it due, or at another time than its own.
#[test]
fn timers_come_first_each_at_its_time() {
    let mut script = script();
    script.show(A, clock(4, 100));
    script.show(B, clock(4, 100));
    let turn = |timer: i64| script.turn(Epoch(5), EventTime(50), Some(EventTime(timer)));
    assert_eq!(turn(70), Turn::Timer(EventTime(70)));
    assert_eq!(turn(100), Turn::Timer(EventTime(100)));
    assert_eq!(turn(101), Turn::Line(clock(4, 100)));
    // One that is due already: the clock does not go back for it.
    assert_eq!(turn(20), Turn::Timer(EventTime(50)));
}

/// Would fail if the job ended before the last line, or a due timer, of any source.
#[test]
fn the_end_comes_last() {
    let mut script = script();
    script.finish(A);
    script.show(B, line(9));
    let turn = |script: &Script, timer| script.turn(Epoch(5), EventTime(50), timer);
    assert_eq!(turn(&script, None), Turn::Line(line(9)));
    script.take(9);
    script.finish(B);
    assert_eq!(turn(&script, Some(EventTime(50))), Turn::Timer(EventTime(50)));
    assert_eq!(turn(&script, Some(EventTime(51))), Turn::Finish);
}
