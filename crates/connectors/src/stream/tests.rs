use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema};
use thalweg_plan::connector::Options;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

fn table(options: &[(&str, &str)]) -> TableSpec {
    let options: BTreeMap<String, String> =
        options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    TableSpec::new(
        "lines",
        Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8View, true)])),
        Options(options),
    )
}

/// Would fail if a line waited for the next one, were cut at a packet, or lost at the end.
#[test]
fn lines_come_as_they_are_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        let spec = table(&[("hostname", "127.0.0.1"), ("port", &port)]);
        let source = Lines::Socket.source(&spec, &[0]).unwrap();
        let split = source.enumerate(&[]).await.unwrap().splits.remove(0);
        let (reader, peer) = tokio::join!(source.reader(&split, None), server.accept());
        let (mut reader, mut peer) = (reader.unwrap(), peer.unwrap().0);
        let mut seen = Vec::new();
        for text in ["one\ntw", "o\n", "three"] {
            peer.write_all(text.as_bytes()).await.unwrap();
            if text.contains('\n') {
                let batch = reader.next().await.unwrap().unwrap();
                let lines = batch.rows.rows.column(0).as_string_view().iter();
                seen.extend(lines.map(|line| line.unwrap().to_owned()));
            }
        }
        drop(peer);
        let last = reader.next().await.unwrap().unwrap();
        seen.push(last.rows.rows.column(0).as_string_view().value(0).to_owned());
        assert_eq!(seen, ["one", "two", "three"]);
        assert!(reader.next().await.unwrap().is_none());
    });
}

/// Would fail if a wrong option were found out only when the job runs.
#[test]
fn options_are_checked_at_once() {
    for options in [&[("hostname", "h")][..], &[("hostname", "h"), ("port", "70000")]] {
        assert!(Lines::Socket.validate(&table(options)).is_err());
    }
    let error = Lines::Stdin.validate(&table(&[("formt", "raw")])).unwrap_err();
    assert_eq!(error.remedy_text(), Some("did you mean 'format'?"));
}
