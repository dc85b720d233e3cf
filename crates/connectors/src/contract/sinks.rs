//! What every sink must do: nothing is seen before its commit, and nothing twice.

use arrow::compute::sort_to_indices;
use arrow::compute::take_record_batch;
use thalweg_plan::sink::{
    Committable, Delivery, Prepared, Sink, SinkWriter, WriterContext, WriterState,
};
use thalweg_types::{AttemptId, Change, Epoch, ErrorKind, JobId, NodeId, WorkerId};

use super::*;
use crate::blackhole::Blackhole;
use crate::files::Filesystem;
use crate::print::Print;

fn writer(
    sink: &Arc<dyn Sink>,
    (attempt, worker): (u64, usize),
    restored: Vec<WriterState>,
) -> Box<dyn SinkWriter> {
    let context = WriterContext {
        job: JobId("job".to_owned()),
        attempt: AttemptId(attempt),
        node: NodeId(0),
        worker: WorkerId(worker),
        workers: 2,
        lineage: "1ab".to_owned(),
        restored,
    };
    block(sink.writer(context)).unwrap()
}

fn write(writer: &mut dyn SinkWriter, from: i64, to: i64) {
    block(writer.write(Change::append(rows(from, to)))).unwrap();
}

fn prepare(writer: &mut dyn SinkWriter, epoch: u64, last: bool) -> Prepared {
    block(async {
        writer.end_epoch(Epoch(epoch)).await.unwrap();
        writer.prepare(Epoch(epoch), last).await.unwrap()
    })
}

/// Commits, each committable twice, as a crash between a commit and its confirmation makes it.
fn commit(sink: &Arc<dyn Sink>, committables: &[Committable]) {
    let committer = block(sink.committer()).unwrap();
    for committable in committables.iter().chain(committables) {
        block(committer.commit(committable)).unwrap();
    }
}

/// Does what a job does to a sink of files, with crashes; returns what can be read at the end.
fn transactions_hold(case: &Case) {
    let sink = case.connector.sink(&case.spec).unwrap();
    assert_eq!(sink.delivery(), Delivery::ExactlyOnce, "{}", case.name());
    let visible = |expected: RecordBatch, when: &str| {
        let found = read_all(&case.source(&case.all_columns()));
        let order = sort_to_indices(found.column(0), None, None).unwrap();
        let found = take_record_batch(&found, &order).unwrap();
        assert!(found == expected, "{when}, {}\n{found:?}\n{expected:?}", case.name());
    };
    let mut first = writer(&sink, (1, 0), vec![]);
    let mut second = writer(&sink, (1, 1), vec![]);
    write(&mut *first, 0, 50);
    write(&mut *second, 50, 60);
    let (one, two) = (prepare(&mut *first, 1, false), prepare(&mut *second, 1, false));
    let held: Vec<WriterState> = [one.states, two.states].concat();
    visible(rows(0, 0), "before any commit");
    // What comes after the checkpoint gets lost in the crash.
    write(&mut *first, 1000, 1500);
    prepare(&mut *first, 2, false);
    write(&mut *second, 2000, 2010);
    drop((first, second));
    visible(rows(0, 0), "after a crash");

    let mut third = writer(&sink, (2, 0), held);
    write(&mut *third, 60, 70);
    let next = prepare(&mut *third, 2, false);
    // A second crash, before the commit: the manifest has the committables.
    drop(third);
    visible(rows(0, 0), "before the commit");
    commit(&sink, &next.committables);
    visible(rows(0, 60), "after the commit");

    let mut fourth = writer(&sink, (3, 0), next.states);
    write(&mut *fourth, 70, 70);
    let quiet = prepare(&mut *fourth, 3, false);
    commit(&sink, &quiet.committables);
    write(&mut *fourth, 70, 80);
    let open = prepare(&mut *fourth, 4, false);
    write(&mut *fourth, 80, 90);
    let last = prepare(&mut *fourth, 5, true);
    assert!(last.states.is_empty(), "an open part is left at the end, {}", case.name());
    commit(&sink, &[open.committables, last.committables].concat());
    visible(rows(0, 90), "at the end");
}

/// Would fail if rows were seen before their checkpoint, or lost or doubled by a crash, in any
/// format and at any place.
#[test]
fn files_are_transactional() {
    for format in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        for place in places(&folder) {
            for is_partitioned in [false, true] {
                // A folder of a bucket is not there before it has an object.
                let place = format!("{}/{is_partitioned}/", place.trim_end_matches('/'));
                let options = [format, &[("path", place.as_str())]].concat();
                if !place.contains("://") {
                    std::fs::create_dir_all(&place).unwrap();
                }
                let case = Case::new(Filesystem, rows(0, 0).schema(), &options);
                transactions_hold(&if is_partitioned { case.partitioned() } else { case });
            }
        }
    }
}

/// Would fail if a writer kept a part open for each partition there is, or a row got lost when the
/// part that was not used for longest was closed.
#[test]
fn no_more_parts_are_open_than_may_be() {
    let folder = tempfile::tempdir().unwrap();
    for place in places(&folder) {
        let options = [("format", "json"), ("path", place.as_str())];
        let case = Case::new(Filesystem, rows(0, 0).schema(), &options).partitioned();
        let sink = case.connector.sink(&case.spec).unwrap();
        let mut one = writer(&sink, (1, 0), vec![]);
        write(&mut *one, 0, 300);
        let first = prepare(&mut *one, 1, false);
        assert_eq!(first.states.len(), 64);
        assert!(first.committables.len() > 100, "{}", first.committables.len());
        write(&mut *one, 300, 310);
        let last = prepare(&mut *one, 2, true);
        commit(&sink, &[first.committables, last.committables].concat());
        let found = read_all(&case.source(&case.all_columns()));
        let order = sort_to_indices(found.column(0), None, None).unwrap();
        assert!(take_record_batch(&found, &order).unwrap() == rows(0, 310), "{place}");
    }
}

/// Would fail if what a dead attempt staged stayed for ever, or a part went away that is another
/// job's, is published, or stands in a manifest.
#[test]
fn what_a_dead_attempt_staged_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("out");
    let options = [("format", "json"), ("path", place.to_str().unwrap())];
    let case = Case::new(Filesystem, rows(0, 0).schema(), &options).partitioned();
    let sink = case.connector.sink(&case.spec).unwrap();
    let mut kept = writer(&sink, (1, 0), vec![]);
    write(&mut *kept, 0, 3);
    let states = prepare(&mut *kept, 1, false).states;
    let mut dead = writer(&sink, (1, 1), vec![]);
    write(&mut *dead, 3, 6);
    let mut published = writer(&sink, (2, 0), vec![]);
    write(&mut *published, 6, 9);
    commit(&sink, &prepare(&mut *published, 1, true).committables);
    drop((kept, dead, published));
    std::fs::write(place.join(".part-other-1-0-0-0.json.2cd.inprogress"), "theirs").unwrap();
    let files = || {
        let mut folders = vec![place.clone()];
        let mut names = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { names.push(path) }
            }
        }
        let count = |of: &str| names.iter().filter(|n| n.to_string_lossy().contains(of)).count();
        (count("1ab.inprogress"), count("2cd.inprogress"), names.len())
    };
    assert_eq!(files(), (6, 1, 10));
    let committer = block(sink.committer()).unwrap();
    block(committer.clean("1ab", &states)).unwrap();
    assert_eq!(files(), (3, 1, 7));
    let again = writer(&sink, (3, 0), states);
    drop(again);
    block(committer.clean("1ab", &[])).unwrap();
    assert_eq!(files(), (0, 1, 4));
}

/// Would fail if a part of many pieces were put together wrongly, or a piece that came after the
/// checkpoint got into it.
#[test]
fn large_parts_are_transactional() {
    let folder = tempfile::tempdir().unwrap();
    for place in places(&folder) {
        let case =
            Case::new(Filesystem, rows(0, 0).schema(), &[("format", "json"), ("path", &place)]);
        let sink = case.connector.sink(&case.spec).unwrap();
        let mut one = writer(&sink, (1, 0), vec![]);
        for part in 0..30 {
            write(&mut *one, part * 4000, part * 4000 + 4000);
        }
        let held = prepare(&mut *one, 1, false).states;
        for part in 30..60 {
            write(&mut *one, part * 4000, part * 4000 + 4000);
        }
        drop(one);
        let mut two = writer(&sink, (2, 0), held);
        let last = prepare(&mut *two, 2, true);
        commit(&sink, &last.committables);
        assert!(read_all(&case.source(&case.all_columns())) == rows(0, 120_000), "{place}");
    }
}

/// Would fail if a lost part were taken for a published one.
#[test]
fn a_lost_part_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for place in places(&folder) {
        let case =
            Case::new(Filesystem, rows(0, 0).schema(), &[("format", "json"), ("path", &place)]);
        let sink = case.connector.sink(&case.spec).unwrap();
        let mut one = writer(&sink, (1, 0), vec![]);
        write(&mut *one, 0, 10);
        let part = prepare(&mut *one, 1, true).committables.remove(0);
        let mut gone: serde_json::Value = serde_json::from_str(&part.0).unwrap();
        match place.contains("://") {
            true => gone["upload"] = "gone".into(),
            false => gone["target"] = format!("{place}/part-other").into(),
        }
        gone["staged"] = "nowhere".into();
        let gone = Committable(gone.to_string());
        let error = block(async { sink.committer().await?.commit(&gone).await }).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::State | ErrorKind::Failed), "{error}");
        assert!(error.to_string().contains("/part-"), "{error}");
        commit(&sink, &[part]);
    }
}

/// Would fail if a sink that shows rows at once left something to commit or to restore.
#[test]
fn sinks_without_transactions_leave_nothing_open() {
    let schema = rows(0, 0).schema();
    let cases =
        [Case::new(Print, schema.clone(), &[]), Case::new(Blackhole::default(), schema, &[])];
    for case in cases {
        let sink = case.connector.sink(&case.spec).unwrap();
        assert_ne!(sink.delivery(), Delivery::ExactlyOnce, "{}", case.name());
        let mut one = writer(&sink, (1, 0), vec![]);
        write(&mut *one, 0, 3);
        for last in [false, true] {
            assert_eq!(prepare(&mut *one, 1, last), Prepared::default(), "{}", case.name());
        }
    }
}
