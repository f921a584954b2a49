//! What one server holds for all of its clients together stays bounded.

mod common;

use bytes::Bytes;
use common::{Answer, Platform, Who, call};
use futures_util::{StreamExt as _, stream};
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;

/// A document of which `bytes` come at once and the rest never.
async fn stalls_after(platform: &Platform, bytes: usize) -> Answer {
    let start = stream::iter([Ok::<_, s3::BoxError>(Frame::data(common::bytes(bytes)))]);
    let body = StreamBody::new(start.chain(stream::pending()));
    let request = Request::post("/pictures?delete").header("host", "localhost:4566").body(body).expect("a request");
    Answer::read(platform.s3.handle(call(&Who::Anonymous, "us-east-1", "/pictures"), request).await).await
}

#[tokio::test]
async fn documents_that_never_end_do_not_fill_the_memory() {
    let platform = Platform::with_bucket().await;
    let mib = 1024 * 1024;
    // More than all documents together may hold; they take what there is, and stall.
    let mut stalled: Vec<_> = (0..16).map(|_| Box::pin(stalls_after(&platform, 3 * mib))).collect();
    let mut refused = 0;
    for document in &mut stalled {
        if let Some(answer) = futures_util::FutureExt::now_or_never(document) {
            answer.fails(503, "SlowDown");
            refused += 1;
        }
    }
    assert_eq!(refused, 6);
    drop(stalled);
    let delete = platform
        .request("POST", "/pictures?delete")
        .body(Bytes::from_static(b"<Delete><Object><Key>a</Key></Object></Delete>"));
    delete.send().await.expect(200);
}
