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
    let mut writer = ShownWriter { sink, text: String::new(), schema: None };
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
