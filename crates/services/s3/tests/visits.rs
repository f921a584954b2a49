//! What visitors of websites leave in the log. A test binary of its own: its subscriber is everybody's.

mod common;

use common::Platform;

/// The levels of what authorisation logs.
#[derive(Clone, Default)]
struct Denials(std::sync::Arc<std::sync::Mutex<Vec<tracing::Level>>>);

impl tracing::Subscriber for Denials {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "s3::authorisation"
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        self.0.lock().expect("no test panics with it in hand").push(*event.metadata().level());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_visitor_who_is_denied_does_not_fill_the_log() {
    let denials = Denials::default();
    // Everybody's: S3 asks on threads of its own.
    tracing::subscriber::set_global_default(denials.clone()).unwrap();
    let platform = Platform::with_bucket().await;
    let website = "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>";
    platform.request("PUT", "/pictures?website").body(website).send().await.expect(200);
    platform.put("/pictures/secret", "x").await.expect(200);
    assert_eq!(platform.visit("pictures", "/secret").await.status, 403);
    assert_eq!(platform.visit("pictures", "/favicon.ico").await.status, 403);
    let visits = std::mem::take(&mut *denials.0.lock().unwrap());
    assert!(!visits.is_empty() && visits.iter().all(|level| *level == tracing::Level::DEBUG), "{visits:?}");
    platform.request("GET", "/pictures/secret").by_nobody().send().await.fails(403, "AccessDenied");
    assert_eq!(*denials.0.lock().unwrap(), [tracing::Level::INFO]);
}
