use super::*;
use crate::checkpoint::manifest::OperatorState;

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn next(manifest: &Manifest) -> Manifest {
    let (number, epoch) = (manifest.number + 1, manifest.epoch + 10);
    Manifest { number, epoch, kind: Kind::Checkpoint, ..manifest.clone() }
}

/// Would fail if an attempt that was taken over could still complete a checkpoint.
#[test]
fn a_fenced_attempt_loses() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(folder.path().to_str().unwrap()).unwrap();
    let log = CheckpointLog::new(store);
    block(async {
        let first = log.fence(&Manifest::empty("job", 8)).await.unwrap();
        let checkpoint = next(&first);
        log.append(&checkpoint).await.unwrap();
        let newest = log.newest().await.unwrap().unwrap();
        assert_eq!(newest, checkpoint);
        let second = log.fence(&newest).await.unwrap();
        assert_eq!((second.attempt, second.epoch), (2, checkpoint.epoch));
        let error = log.append(&next(&checkpoint)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        log.append(&next(&second)).await.unwrap();
    });
}

/// Would fail if this version could not open what version 1 wrote.
#[test]
fn the_fixture_of_version_1_opens() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v1/manifest.json");
    let mut expected = Manifest::empty("job", 1024);
    expected.sources.insert("lines/Source-1".to_owned(), Default::default());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v1")).unwrap();
        std::fs::write(path, expected.encode().unwrap()).unwrap();
    }
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(Manifest::decode("fixture", &bytes).unwrap(), expected);
    let newer = br#"{"version": 2}"#;
    assert_eq!(Manifest::decode("newer", newer).unwrap_err().kind(), ErrorKind::State);
}

/// Would fail if state that an earlier release wrote, without a layout beside it, did not open.
#[test]
fn operators_with_and_without_a_layout_open() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v1/operators.json");
    let mut expected = Manifest::empty("job", 1024);
    let layouts = [("old", None), ("new", Some(serde_json::json!({"version": 1})))];
    for (operator, layout) in layouts {
        let state = OperatorState { signature: "s".to_owned(), layout, chains: Vec::new() };
        expected.operators.insert(operator.to_owned(), state);
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, expected.encode().unwrap()).unwrap();
    }
    let bytes = std::fs::read(path).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("null"), "what is absent is not written");
    assert_eq!(Manifest::decode("fixture", &bytes).unwrap(), expected);
}
