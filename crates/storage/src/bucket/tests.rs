use super::*;

#[test]
fn a_place_is_a_bucket_and_a_key() {
    assert_eq!(split("s3://lake/in/2024/"), Some(("lake", "in/2024")));
    assert_eq!(split("s3://lake"), Some(("lake", "")));
    assert_eq!(split("/lake/in"), None);
}

/// Would fail if parts that nobody completed were seen, if a second completion were an error, or
/// if parts that came after the ones that are named got into the object.
#[tokio::test]
async fn an_upload_appears_when_it_is_completed() {
    let Ok(place) = std::env::var("THALWEG_TEST_S3") else { return };
    let (name, _) = split(&place).unwrap();
    let bucket = Bucket::open(name).unwrap();
    let key = format!("bucket-test-{}/whole", std::process::id());
    let upload = bucket.begin_upload(&key).await.unwrap();
    let first = Bytes::from(vec![b'a'; PART_BYTES_MIN]);
    let mut parts = vec![bucket.upload(&key, &upload, 0, first).await.unwrap()];
    parts.push(bucket.upload(&key, &upload, 1, "end".into()).await.unwrap());
    bucket.upload(&key, &upload, 2, "of a writer that was killed".into()).await.unwrap();
    assert_eq!(bucket.look(&key).await.unwrap(), None);
    assert!(bucket.complete(&key, &upload, &parts).await.unwrap());
    // S3 may still know an upload that it completed; both answers are right.
    bucket.complete(&key, &upload, &parts).await.unwrap();
    let whole = PART_BYTES_MIN as u64 + 3;
    assert_eq!(bucket.look(&key).await.unwrap().unwrap().bytes, whole);
    assert_eq!(bucket.read(&key, whole - 4..whole).await.unwrap(), "aend");
    let folder = key.rsplit_once('/').unwrap().0;
    assert_eq!(bucket.list(folder).await.unwrap().len(), 1);
    bucket.delete(&key).await.unwrap();
    assert!(bucket.read(&key, 0..1).await.unwrap_err().to_string().contains("vanished"));
}
