//! What every source must do: the same rows again, from any offset, in any projection.

use std::io::Write;
use std::net::TcpListener;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use thalweg_plan::source::Replay;
use thalweg_types::{Change, ErrorKind};

use super::*;
use crate::datagen::Datagen;
use crate::files::Filesystem;
use crate::formats::file::Format;
use crate::nexmark::Nexmark;
use crate::script::Script;
use crate::stream::Lines;

/// Checks what a bounded source must do that can be read again.
fn replays(case: &Case) {
    let (name, columns) = (case.name(), case.all_columns());
    let source = case.source(&columns);
    assert_eq!((source.replay(), source.is_bounded()), (Replay::Exact, true), "{name}");
    assert_eq!(source.schema(), case.spec.schema, "{name}");
    let found = block(source.enumerate(&[])).unwrap();
    assert!(found.again.is_none() && !found.splits.is_empty(), "{name}");
    assert_eq!(block(source.enumerate(&[])).unwrap().splits, found.splits, "{name}");
    assert!(block(source.enumerate(&found.splits)).unwrap().splits.is_empty(), "{name}");
    // Finished splits of a sequence are forgotten, all but the last one.
    let last: Vec<Split> = found.splits.last().cloned().into_iter().collect();
    let is_one = found.splits.iter().all(|split| split.sequence == last[0].sequence);
    assert!(!is_one || block(source.enumerate(&last)).unwrap().splits.is_empty(), "{name}");
    for split in &found.splits {
        replays_split(&source, split, &name);
    }
    for column in columns {
        let one = read_all(&case.source(&[column]));
        assert!(one == read_all(&source).project(&[column]).unwrap(), "{column} of {name}");
    }
    assert_eq!(read_all(&case.source(&[])).num_rows(), read_all(&source).num_rows(), "{name}");
}

fn replays_split(source: &Arc<dyn Source>, split: &Split, name: &str) {
    let whole = read(source, split, None).unwrap();
    for (at, batch) in whole.iter().enumerate() {
        assert_eq!(batch.rows.schema(), source.schema(), "{name}");
        assert!(batch.bad.is_empty(), "{name}: {:?}", batch.bad);
        let again = read(source, split, Some(&batch.next)).unwrap();
        let rest = rows_of(&source.schema(), &whole[at + 1..]);
        assert!(rows_of(&source.schema(), &again) == rest, "{name}, from {}", batch.next.0);
    }
    for text in ["", "no offset", "{}", "-1"] {
        let damaged = read(source, split, Some(&Offset(text.to_owned())));
        let error = damaged.err().unwrap_or_else(|| panic!("{name} takes the offset {text:?}"));
        assert_eq!(error.kind(), ErrorKind::State, "{name}: {error}");
    }
}

/// Writes a file of a format, packed if its name says so.
fn fill(path: &std::path::Path, options: &[(&str, &str)], rows: RecordBatch) {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let format = Format::of(&keyed(rows.schema(), Options(options.collect()))).unwrap();
    let mut encoder = format.encoder().unwrap();
    encoder.write(&Change::append(rows)).unwrap();
    let end = encoder.cut().unwrap();
    let bytes = [encoder.take(), end].concat();
    let bytes = match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => zstd::encode_all(bytes.as_slice(), 1).unwrap(),
        Some("gz") => {
            let fast = flate2::Compression::fast();
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), fast);
            packed.write_all(&bytes).unwrap();
            packed.finish().unwrap()
        }
        _ => bytes,
    };
    std::fs::write(path, bytes).unwrap();
}

/// Would fail if any format lost a value, or a reader went on elsewhere than where it stopped.
#[test]
fn files_of_every_format_replay() {
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let is_parquet = format[0].1 == "parquet";
        for name in ["plain", "packed.gz", "packed.zst"] {
            if is_parquet && name != "plain" {
                continue;
            }
            let path = folder.path().join(name);
            fill(&path, format, rows(0, 500));
            let path = path.to_str().unwrap();
            let options = [format, &[("path", path), ("scan.range-size", "700b")]].concat();
            let case = Case::new(Filesystem, rows(0, 0).schema(), &options);
            replays(&case);
            assert!(read_all(&case.source(&case.all_columns())) == rows(0, 500), "{path}");
        }
    }
}

#[test]
fn files_of_raw_lines_replay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.txt");
    std::fs::write(&path, "one\n\ntwo words\nthe last one").unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8View, true)]));
    let options = [("format", "raw"), ("path", path.to_str().unwrap()), ("scan.range-size", "5b")];
    replays(&Case::new(Filesystem, schema, &options));
}

#[test]
fn generators_replay() {
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let options = [("number-of-rows", "3000")];
    let schema = Schema::new(vec![number("a"), Field::new("b", DataType::Utf8View, true)]);
    replays(&Case::new(Datagen, Arc::new(schema), &options));
    let schema =
        Schema::new(vec![number("auction"), number("price"), Field::new("dateTime", time, true)]);
    let options = [("nexmark.table", "bid"), ("nexmark.events", "5000")];
    replays(&Case::new(Nexmark, Arc::new(schema), &options));
}

/// Would fail if a script lost a line when it is gone on with.
#[test]
fn scripts_replay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.json");
    let lines = [
        r#"{"clock": "2024-05-01 10:00:00"}"#,
        r#"{"row": {"n": 1, "word": "one"}}"#,
        "",
        r#"{"watermark": "2024-05-01 10:00:00"}"#,
        r#"{"checkpoint": true}"#,
        r#"{"row": {"n": 2}}"#,
        r#"{"end": true}"#,
    ];
    std::fs::write(&path, lines.join("\n")).unwrap();
    let fields = [("n", DataType::Int64), ("word", DataType::Utf8View)];
    let fields = fields.map(|(name, kind)| Field::new(name, kind, true));
    let options = [("path", path.to_str().unwrap())];
    replays(&Case::new(Script, Arc::new(Schema::new(fields.to_vec())), &options));
}

/// Would fail if a socket lost a line, cut one, or promised to give it again.
#[test]
fn a_socket_gives_each_line_once() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let lines: Vec<String> = (0..20_000).map(|n| format!("line {n}")).collect();
    let text = lines.join("\n");
    let served = std::thread::spawn(move || server.accept().unwrap().0.write_all(text.as_bytes()));
    let schema = Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8View, true)]));
    let case = Case::new(Lines::Socket, schema, &[("hostname", "127.0.0.1"), ("port", &port)]);
    let source = case.source(&[0]);
    assert_eq!((source.replay(), source.is_bounded()), (Replay::None, false));
    let found = read_all(&source);
    served.join().unwrap().unwrap();
    let found: Vec<Option<&str>> = found.column(0).as_string_view().iter().collect();
    assert_eq!(found.len(), lines.len());
    assert!(found.iter().zip(&lines).all(|(found, line)| *found == Some(line.as_str())));
}
