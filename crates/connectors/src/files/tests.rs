use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema};
use thalweg_plan::connector::Options;
use thalweg_plan::source::Offset;
use thalweg_types::ErrorKind;

use super::*;

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn table(path: &str, more: &[(&str, &str)]) -> TableSpec {
    let field = Field::new("line", DataType::Utf8View, true);
    let mut options: BTreeMap<String, String> =
        more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    options.insert("path".to_owned(), path.to_owned());
    options.entry("format".to_owned()).or_insert("raw".to_owned());
    TableSpec::new("lines", Arc::new(Schema::new(vec![field])), Options(options))
}

/// Reads all splits from their offsets on; returns lines, and every offset with what follows it.
fn read(source: &Arc<dyn Source>) -> Vec<String> {
    let found = block(source.enumerate(&[])).unwrap();
    let mut lines = Vec::new();
    for split in &found.splits {
        let whole = read_from(source, split, None);
        for at in 0..whole.len() {
            let rest: Vec<String> =
                whole[at + 1..].iter().flat_map(|(_, lines)| lines.clone()).collect();
            let again = read_from(source, split, Some(&whole[at].0));
            let again: Vec<String> = again.into_iter().flat_map(|(_, lines)| lines).collect();
            assert_eq!(again, rest, "split {} from {}", split.id, whole[at].0.0);
        }
        lines.extend(whole.into_iter().flat_map(|(_, lines)| lines));
    }
    lines
}

fn read_from(
    source: &Arc<dyn Source>,
    split: &thalweg_plan::source::Split,
    from: Option<&Offset>,
) -> Vec<(Offset, Vec<String>)> {
    let mut reader = block(source.reader(split, from)).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = block(reader.next()).unwrap() {
        let lines = batch.rows.rows.column(0).as_string_view().iter();
        batches.push((batch.next, lines.map(|line| line.unwrap().to_owned()).collect()));
    }
    batches
}

/// Would fail if a line at the edge of two ranges were lost or read twice.
#[test]
fn ranges_hold_each_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.txt");
    let texts =
        ["", "a", "a\n", "a\nb", "\n\n", "one\r\ntwo\r\n\r\nthree", "long line here\nx\ny\n"];
    for text in texts {
        std::fs::write(&path, text).unwrap();
        let mut expected: Vec<&str> = text.split('\n').collect();
        if text.ends_with('\n') || text.is_empty() {
            expected.pop();
        }
        let expected: Vec<&str> = expected.iter().map(|l| l.trim_end_matches('\r')).collect();
        for bytes in 1..=text.len().max(1) + 1 {
            let range = format!("{bytes}b");
            let spec = table(path.to_str().unwrap(), &[("scan.range-size", &range)]);
            let source = Filesystem.source(&spec, &[0]).unwrap();
            assert_eq!(read(&source), expected, "{text:?} in ranges of {bytes}");
        }
    }
}

/// Would fail if a large file were cut wrongly between blocks.
#[test]
fn blocks_hold_each_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.txt");
    let lines: Vec<String> = (0..300_000).map(|n| format!("line number {n}")).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let spec = table(path.to_str().unwrap(), &[("scan.range-size", "3mb")]);
    assert_eq!(read(&Filesystem.source(&spec, &[0]).unwrap()), lines);
}

/// Would fail if an offset in a packed file were one of packed bytes, or if a second member of a
/// gzip file were not read.
#[test]
fn packed_files_are_unpacked() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..200_000).map(|n| format!("line number {n}")).collect();
    let (first, second) = lines.split_at(70_000);
    let mut gzip = Vec::new();
    for part in [first, second] {
        let text = part.join("\n") + "\n";
        let mut encoder = flate2::write::GzEncoder::new(&mut gzip, flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }
    let zstd = zstd::encode_all(lines.join("\n").as_bytes(), 1).unwrap();
    for (name, bytes) in [("lines.txt.gz", gzip), ("lines.zst", zstd)] {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let spec = table(path.to_str().unwrap(), &[("scan.range-size", "1kb")]);
        let source = Filesystem.source(&spec, &[0]).unwrap();
        assert_eq!(read(&source), lines, "{name}");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let found = block(source.enumerate(&[])).unwrap();
        let mut reader = block(source.reader(&found.splits[0], None)).unwrap();
        let error = loop {
            match block(reader.next()) {
                Ok(batch) => assert!(batch.is_some(), "{name}: half a file is not a whole one"),
                Err(error) => break error,
            }
        };
        assert!(error.message().contains(name), "{error}");
    }
}

/// Would fail if a file of CSV were cut within quotes, or its header read as a row.
#[test]
fn records_of_several_lines_are_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("texts.csv");
    let texts: Vec<String> = (0..100_000).map(|n| format!("text {n},\nof two lines")).collect();
    let quoted: Vec<String> = texts.iter().map(|text| format!("\"{text}\"\n")).collect();
    std::fs::write(&path, format!("line\n{}", quoted.concat())).unwrap();
    let options = [("format", "csv"), ("csv.header", "true"), ("scan.range-size", "1kb")];
    let spec = table(path.to_str().unwrap(), &options);
    assert_eq!(read(&Filesystem.source(&spec, &[0]).unwrap()), texts);
}

/// Would fail if a job went on in a file that is not the one it stopped in.
#[test]
fn a_changed_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.txt");
    let spec = table(path.to_str().unwrap(), &[]);
    let source = Filesystem.source(&spec, &[0]).unwrap();
    std::fs::write(&path, "first\nsecond\n").unwrap();
    let found = block(source.enumerate(&[])).unwrap();
    let offset = read_from(&source, &found.splits[0], None)[0].0.clone();
    let refuse = |expected: &str| {
        let error = block(source.reader(&found.splits[0], Some(&offset))).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::State);
        assert!(error.message().contains(expected), "{error}");
        assert!(error.message().contains("lines.txt"), "{error}");
    };
    std::fs::write(&path, "first\nsecund\n").unwrap();
    refuse("changed");
    std::fs::write(&path, "first\n").unwrap();
    refuse("shrank");
    std::fs::remove_file(&path).unwrap();
    refuse("vanished");
}

/// Would fail if files were read in another order than that of their names, or hidden ones at all.
#[test]
fn directories_and_globs_are_listed_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.txt", "a.txt", "c.log", ".hidden.txt", "_temporary.txt"] {
        std::fs::write(folder.path().join(name), format!("{name}\n")).unwrap();
    }
    let lines = |pattern: &str| {
        let path = folder.path().join(pattern);
        let spec = table(path.to_str().unwrap(), &[]);
        read(&Filesystem.source(&spec, &[0]).unwrap())
    };
    assert_eq!(lines(""), ["a.txt", "b.txt", "c.log"]);
    assert_eq!(lines("*.txt"), ["a.txt", "b.txt"]);
    assert_eq!(lines("?.log"), ["c.log"]);
}

/// Returns the lines of all splits that were not known, which become known.
fn read_new(
    source: &Arc<dyn Source>,
    known: &mut Vec<thalweg_plan::source::Split>,
) -> Result<Vec<String>> {
    let found = block(source.enumerate(known))?.splits;
    let lines = found.iter().flat_map(|split| read_from(source, split, None));
    let lines = lines.flat_map(|(_, lines)| lines).collect();
    known.extend(found);
    Ok(lines)
}

/// Would fail if what is appended to a file were lost, or a line were read before it is whole.
#[test]
fn a_watched_file_may_grow() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.txt");
    let mut file = std::fs::File::create(&path).unwrap();
    let options = [("source.monitor-interval", "1s"), ("scan.range-size", "8b")];
    let source = Filesystem.source(&table(path.to_str().unwrap(), &options), &[0]).unwrap();
    let mut known = Vec::new();
    let steps: [(&str, &[&str]); 6] = [
        ("half", &[]),
        (" a line\nand", &["half a line"]),
        ("", &[]),
        (" another\n", &["and another"]),
        ("three\nlines\nhere, and ", &["three", "lines"]),
        ("so on\n", &["here, and so on"]),
    ];
    for (appended, expected) in steps {
        file.write_all(appended.as_bytes()).unwrap();
        assert_eq!(read_new(&source, &mut known).unwrap(), expected, "after {appended:?}");
    }
    // Nobody writes on for a while: what stands there is a line, and what comes later another.
    file.write_all(b"without a feed").unwrap();
    let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    file.set_modified(past).unwrap();
    assert_eq!(read_new(&source, &mut known).unwrap(), ["without a feed"]);
    file.write_all(b"after all\n").unwrap();
    assert_eq!(read_new(&source, &mut known).unwrap(), ["after all"]);
    // Another file of the same name is not the one that was read.
    let other = "X".repeat(200);
    std::fs::write(&path, format!("{other}\n")).unwrap();
    let error = read_new(&source, &mut known).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.to_string().contains("changed before byte"), "{error}");
}
