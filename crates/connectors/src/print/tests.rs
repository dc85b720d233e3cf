use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};

use super::*;

fn change() -> Change {
    let word: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "a", "a", "b"]));
    let count: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 2, 9]));
    let rows = RecordBatch::try_from_iter([("word", word), ("n", count)]).unwrap();
    Change::weighted(rows, Int64Array::from(vec![1, -1, 1, -1])).unwrap()
}

fn shown(style: Style, limit: Option<u64>) -> (String, Result<()>) {
    let out = Arc::new(Mutex::new(Vec::new()));
    let sink = Shown::new(style, limit, out.clone());
    let mut writer = ShownWriter::new(sink);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let result = runtime.block_on(async {
        writer.write(change()).await?;
        writer.end_epoch(Epoch(1)).await
    });
    let text = String::from_utf8(out.lock().unwrap().clone()).unwrap();
    (text, result)
}

/// Would fail if an update could not be told from an insert and a delete.
#[test]
fn operations_are_named() {
    let (text, _) = shown(Style::Flink("out> ".to_owned()), None);
    assert_eq!(text, "out> +I[a, 1]\nout> -U[a, 1]\nout> +U[a, 2]\nout> -D[b, 9]\n");
    let (text, _) = shown(Style::Json, None);
    assert_eq!(text.lines().nth(2).unwrap(), r#"{"op":"+U","word":"a","n":2}"#);
}

/// Would fail if `--limit` showed more rows, or kept the job running.
#[test]
fn a_limit_ends_the_job() {
    let (text, result) = shown(Style::Csv, Some(2));
    assert_eq!(text, "op,word,n\n+I,a,1\n-D,a,1\n");
    assert_eq!(result.unwrap_err().kind(), thalweg_types::ErrorKind::Closed);
}

fn words(words: &[&str], numbers: &[Option<i64>], weights: Option<&[i64]>) -> Change {
    let word: ArrayRef = Arc::new(StringViewArray::from(words.to_vec()));
    let number: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    let rows = RecordBatch::try_from_iter([("word", word), ("n", number)]).unwrap();
    match weights {
        None => Change::append(rows),
        Some(weights) => Change::weighted(rows, Int64Array::from(weights.to_vec())).unwrap(),
    }
}

/// Would fail if widths moved once they were fitted, or a value were cut where nobody said how
/// long a line is.
#[test]
fn widths_are_fitted_once() {
    let check = |line: Option<usize>, expected: &str| {
        let (mut grid, mut text) = (Grid::default(), String::new());
        grid.push(&words(&["plain", "two\nlines"], &[Some(1), Some(-2000)], None), false);
        grid.write(line, &mut text);
        grid.push(&words(&["a", "longer than before"], &[None, Some(3)], None), false);
        grid.write(line, &mut text);
        assert_eq!(text, expected, "{line:?}\n{text}");
    };
    let head = "word       |     n\n-----------+------\nplain      |     1\ntwo\\nlines | -2000\n";
    check(None, &format!("{head}a          |  NULL\nlonger than before |     3\n"));
    check(Some(21), &format!("{head}a          |  NULL\nlonger than … |     3\n"));
    let head = "word |     n\n-----+------\npla… |     1\ntwo… | -2000\n";
    check(Some(12), &format!("{head}a    |  NULL\nlon… |     3\n"));
}

/// Would fail if wide characters, or marks over others, bent the columns, or a cut went through one.
#[test]
fn columns_stand_below_each_other_in_every_script() {
    let check = |line: Option<usize>, expected: &str| {
        let (mut grid, mut text) = (Grid::default(), String::new());
        let names = ["東京都", "e\u{301}te\u{301}", "🦀🦀", "plain"];
        grid.push(&words(&names, &[Some(1), Some(2), Some(3), Some(40)], None), false);
        grid.write(line, &mut text);
        assert_eq!(text, expected, "{line:?}\n{text}");
    };
    let rows = "東京都 |  1\ne\u{301}te\u{301}    |  2\n🦀🦀   |  3\nplain  | 40\n";
    check(None, &format!("word   |  n\n-------+---\n{rows}"));
    let rows = "東… |  1\ne\u{301}te\u{301}  |  2\n🦀🦀 |  3\npla… | 40\n";
    let rows = rows.replace("東… |", "東…  |");
    check(Some(9), &format!("word |  n\n-----+---\n{rows}"));
}

/// Would fail if the current result were not what its changes make it, or left its place.
#[test]
fn a_live_result_is_drawn_in_its_place() {
    let mut live = Live::default();
    let mut drawn = |change: &Change, lines: usize| {
        let mut text = String::new();
        live.apply(change);
        live.draw(Size { columns: 40, lines }, &mut text);
        text
    };
    let first = words(&["a", "b", "c"], &[Some(1), Some(1), Some(1)], Some(&[1, 1, 1]));
    assert_eq!(drawn(&first, 24), "word | n\n-----+--\na    | 1\nb    | 1\nc    | 1\n");
    let update = words(&["b", "b", "c"], &[Some(1), Some(20), Some(1)], Some(&[-1, 1, -1]));
    assert_eq!(drawn(&update, 24), "\x1b[5A\r\x1b[Jword |  n\n-----+---\na    |  1\nb    | 20\n");
    let more = words(&["d"], &[Some(4)], Some(&[1]));
    assert_eq!(
        drawn(&more, 6),
        "\x1b[4A\r\x1b[Jword |  n\n-----+---\na    |  1\nb    | 20\n… 2 of 3 rows\n"
    );
    let mut last = String::new();
    live.draw_all(Size { columns: 40, lines: 6 }, &mut last);
    assert!(last.ends_with("a    |  1\nb    | 20\nd    |  4\n"), "{last}");
}

/// Would fail if the header were written once by each worker, or behind the first rows.
#[test]
fn the_header_is_written_once() {
    let out = Arc::new(Mutex::new(Vec::new()));
    let sink = Shown::new(Style::Csv, None, out.clone());
    let mut writers = [ShownWriter::new(sink.clone()), ShownWriter::new(sink)];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let rows = words(&["a \"b\",\n", ""], &[Some(1), None], None);
        writers[0].write(rows.slice(0, 0)).await.unwrap();
        writers[0].write(rows.slice(0, 1)).await.unwrap();
        writers[1].write(rows.slice(1, 1)).await.unwrap();
        writers[1].end_epoch(Epoch(1)).await.unwrap();
        writers[0].end_epoch(Epoch(1)).await.unwrap();
    });
    let text = String::from_utf8(out.lock().unwrap().clone()).unwrap();
    assert_eq!(text, "word,n\n\"\",\n\"a \"\"b\"\",\n\",1\n");
}

/// Would fail if a table of a bounded job were fitted over its first few rows, or rows were lost
/// at its end.
#[test]
fn a_bounded_table_waits_for_rows() {
    let out = Arc::new(Mutex::new(Vec::new()));
    let facts =
        Arc::new(OnceLock::from(Facts { is_bounded: true, is_updating: false, limit: None }));
    let sink = Shown::new(Style::Table, None, out.clone()).with_facts(facts);
    let mut writer = ShownWriter::new(sink);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        writer.write(words(&["a"], &[Some(1)], None)).await.unwrap();
        writer.end_epoch(Epoch(1)).await.unwrap();
        assert!(out.lock().unwrap().is_empty());
        writer.write(words(&["longer"], &[Some(10)], None)).await.unwrap();
        writer.end_epoch(Epoch(2)).await.unwrap();
    });
    drop(writer);
    let text = String::from_utf8(out.lock().unwrap().clone()).unwrap();
    assert_eq!(text, "word   |  n\n-------+---\na      |  1\nlonger | 10\n");
}
