//! Uploads in several chunks, where something on the way takes no whole blob.

use super::fake::{Fake, kind};
use super::push::{check, image, of, push_to};
use super::server::{Reply, Request};
use super::*;

/// What takes so much at most in one request.
fn limited(limit: usize) -> impl Fn(&Request, usize) -> Option<Reply> {
    move |request, _| (request.body.len() > limit).then(|| Reply::status(413).body(b"<html>nginx</html>"))
}

fn ranges(requests: &[Request]) -> Vec<&str> {
    let chunks = of(requests, "PATCH", "uploads").into_iter();
    chunks.filter_map(|chunk| chunk.header("content-range")).collect()
}

#[tokio::test]
async fn what_takes_no_whole_blob_gets_chunks() {
    let requests = check(|_| None, limited(70_000)).await;
    let wanted = ["0-65535", "65536-131071", "131072-196607", "196608-199999"];
    assert_eq!(ranges(&requests), wanted);
    // Each goes where the answer to the one before says.
    for (chunk, held) in of(&requests, "PATCH", "uploads")
        .iter()
        .zip([0, 65536, 131_072, 196_608])
    {
        assert!(chunk.path.ends_with(&format!("_state={held}")), "{chunk:?}");
    }
    let last = of(&requests, "PUT", "uploads");
    let last = last
        .iter()
        .rfind(|request| request.path.contains("_state=200000"))
        .unwrap();
    assert!(last.body.is_empty());
}

#[tokio::test]
async fn the_registrys_least_chunk_is_kept_to() {
    for (least, wanted) in [
        (100_000, vec!["0-99999", "100000-199999"]),
        (150_000, vec!["0-149999", "150000-199999"]),
        (10, vec!["0-65535", "65536-131071", "131072-196607", "196608-199999"]),
    ] {
        let (memory, root, layer) = image();
        let fake = Fake::default();
        let inner = fake.clone();
        let server = fake
            .serve(move |request, _| {
                if request.method == "POST" {
                    let reply = inner.answer(request);
                    return Some(reply.header(&format!("OCI-Chunk-Min-Length: {least}")));
                }
                limited(160_000)(request, 0)
            })
            .await;
        push_to(&repository(server.host(), &[]), &memory, &root).await.unwrap();
        assert_eq!(ranges(&server.requests()), wanted);
        assert_eq!(fake.blob(&layer), Some(content()));
    }
}

#[tokio::test]
async fn a_chunk_that_is_lost_or_in_doubt_is_mended() {
    // Not taken; not where we think; taken, and the answer lost.
    let requests = check(
        |_| None,
        |request, number| match (request.method.as_str(), number) {
            ("PATCH", 1) => Some(Reply::status(500)),
            ("PATCH", 3) => Some(Reply::status(416)),
            _ => limited(70_000)(request, number),
        },
    )
    .await;
    let begins: Vec<_> = ranges(&requests)
        .iter()
        .map(|range| range.split('-').next().unwrap().to_owned())
        .collect();
    assert_eq!(begins, ["0", "65536", "65536", "131072", "131072", "196608"]);

    let fake = Fake::default();
    let (memory, root, layer) = image();
    let inner = fake.clone();
    let server = fake
        .serve(move |request, number| {
            if request.method == "PATCH" && number == 1 {
                inner.answer(request);
                return Some(Reply::reset());
            }
            limited(70_000)(request, number)
        })
        .await;
    push_to(&repository(server.host(), &[]), &memory, &root).await.unwrap();
    let wanted = ["0-65535", "65536-131071", "131072-196607", "196608-199999"];
    assert_eq!(ranges(&server.requests()), wanted, "what arrived is not sent again");
    assert_eq!(fake.blob(&layer), Some(content()));
}

#[tokio::test]
async fn what_takes_nothing_at_all_is_an_error() {
    let (memory, root, layer) = image();
    let fake = Fake::default();
    let server = fake.serve(limited(50_000)).await;
    let error = push_to(&repository(server.host(), &[]), &memory, &root).await;
    assert!(error.unwrap_err().contains("answers 413"));
    assert_eq!((fake.blob(&layer), fake.manifest("1")), (None, None));
    let tried = of(&server.requests(), "PATCH", "uploads").len();
    assert_eq!((tried, of(&server.requests(), "PUT", "manifests").len()), (1, 0));
    assert!(server.requests().iter().all(|request| kind(request) != "other"));
}
