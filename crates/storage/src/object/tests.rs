use super::*;

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

/// What every store must do.
async fn check(store: &ObjectStore) {
    assert_eq!(store.get("a/1").await.unwrap(), None);
    assert!(store.put_if_absent("a/1", "one".into()).await.unwrap());
    assert!(!store.put_if_absent("a/1", "two".into()).await.unwrap());
    assert_eq!(store.get("a/1").await.unwrap().unwrap(), "one");
    store.put("a/1", "three".into()).await.unwrap();
    assert_eq!(store.get("a/1").await.unwrap().unwrap(), "three");
    store.put("a/0", "zero".into()).await.unwrap();
    store.put("b/0", "other".into()).await.unwrap();
    assert_eq!(store.list("a").await.unwrap(), ["a/0", "a/1"]);
    store.delete("a/0").await.unwrap();
    store.delete("a/0").await.unwrap();
    assert_eq!(store.list("a").await.unwrap(), ["a/1"]);
    let racers = (0..16).map(|n| store.put_if_absent("race", format!("{n}").into()));
    let won = futures::future::join_all(racers).await;
    assert_eq!(won.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1);
}

/// Would fail if a directory were not as good a store as a bucket.
#[test]
fn a_directory_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::open(folder.path().to_str().unwrap()).unwrap();
    block(check(&store));
    std::fs::write(folder.path().join("a/.1-7.tmp"), "torn").unwrap();
    assert_eq!(block(store.list("a")).unwrap(), ["a/1"]);
}

/// Would fail if a real S3-protocol server did not give one winner; needs its address in
/// `THALWEG_TEST_S3`, which the gate sets.
#[test]
fn a_bucket_is_a_store() {
    let Ok(bucket) = std::env::var("THALWEG_TEST_S3") else { return };
    let place = format!("{bucket}/object-test-{}", std::process::id());
    let store = ObjectStore::open(&place).unwrap();
    block(check(&store));
}
