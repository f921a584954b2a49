//! The service's HTTP: versions 1 and 2 of the protocol, over the engine's own documents.
//!
//! Invariants:
//! - A connection belongs to one instance, known by where it comes from; nothing that is sent can change that.
//! - Connections, heads and waits have bounds; a request's body is never read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host::Clock;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, SERVER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::token::TTL_S_MAX;
use super::{Metadata, MetadataDocument, TokenKey, paths};
use crate::instance::InstanceId;

/// Connections of one VPC (or unprivileged instance) at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take over a request's head, and be silent between two.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long a question waits for an engine that has just started to be told where documents come from.
const DOCUMENTS_WITHIN: Duration = Duration::from_secs(5);

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who asks.
pub(crate) trait Asker: Send + Sync + 'static {
    /// The instance at this address.
    fn at(&self, peer: SocketAddr) -> Option<InstanceId>;
}

/// What all listeners answer from.
pub(crate) struct Service {
    pub(crate) documents: watch::Sender<Option<Arc<dyn Metadata>>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: TokenKey,
}

type Answer = Response<Full<Bytes>>;

impl Service {
    /// Serves for as long as it is polled.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, asker: Arc<dyn Asker>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (service, asker) = (self.clone(), asker.clone());
                    tokio::spawn(async move {
                        service.connection(stream, peer, &*asker).await;
                        drop(permit);
                    });
                }
                // Out of descriptors, most likely: others must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, asker: &dyn Asker) {
        let Some(instance) = asker.at(peer) else { return };
        let Ok(handle) = stream.into_std().and_then(|stream| Ok((stream.try_clone()?, stream))) else { return };
        let (hops, stream) = handle;
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        let (instance, hops) = (&instance, &hops);
        let answer = |request: Request<Incoming>| async move {
            let Some(documents) = self.documents().await else {
                return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE));
            };
            let answer = self.answer(&*documents, instance, &request, |limit| {
                let _ = socket2::SockRef::from(hops).set_ttl_v4(u32::from(limit));
            });
            Ok::<_, Infallible>(answer)
        };
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        let _ = served.await;
    }

    /// Where documents come from, once that was said: whoever took over a moment ago has not lost its instances.
    async fn documents(&self) -> Option<Arc<dyn Metadata>> {
        let mut told = self.documents.subscribe();
        let told = timeout(DOCUMENTS_WITHIN, told.wait_for(Option::is_some)).await;
        told.ok()?.ok()?.clone()
    }

    fn answer<B>(
        &self,
        documents: &dyn Metadata,
        instance: &InstanceId,
        request: &Request<B>,
        limit_hops: impl Fn(u8),
    ) -> Answer {
        let Some(document) = documents.document(instance) else { return refusal(StatusCode::NOT_FOUND) };
        if !document.options.enabled {
            return refusal(StatusCode::FORBIDDEN);
        }
        if request.uri().path().trim_end_matches('/').ends_with("/api/token") {
            return self.token(instance, &document, request, limit_hops);
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return refusal(StatusCode::METHOD_NOT_ALLOWED);
        }
        match request.headers().get(TOKEN).map(HeaderValue::to_str) {
            Some(Ok(token)) if self.key.verify(instance, token, self.clock.now()) => {}
            None if !document.options.tokens_required => {}
            _ => return refusal(StatusCode::UNAUTHORIZED),
        }
        let is_user_data = request.uri().path().contains("/user-data");
        match paths::answer(&document, request.uri().path()) {
            Some(content) => {
                let kind = if is_user_data { "application/octet-stream" } else { "text/plain" };
                with_headers(Response::new(Full::new(Bytes::from(content))), kind)
            }
            None => refusal(StatusCode::NOT_FOUND),
        }
    }

    fn token<B>(
        &self,
        instance: &InstanceId,
        document: &MetadataDocument,
        request: &Request<B>,
        limit_hops: impl Fn(u8),
    ) -> Answer {
        if request.method() != Method::PUT {
            return refusal(StatusCode::METHOD_NOT_ALLOWED);
        }
        // An open proxy that was tricked into asking says for whom it does.
        if request.headers().contains_key(FORWARDED) {
            return refusal(StatusCode::FORBIDDEN);
        }
        let ttl = request.headers().get(TOKEN_TTL).and_then(|ttl| ttl.to_str().ok()?.trim().parse::<u64>().ok());
        let Some(ttl_s) = ttl.filter(|ttl| (1..=TTL_S_MAX).contains(ttl)) else {
            return refusal(StatusCode::BAD_REQUEST);
        };
        limit_hops(document.options.hop_limit.max(1));
        let token = self.key.sign(instance, self.clock.now().plus(Duration::from_secs(ttl_s)));
        let mut answer = with_headers(Response::new(Full::new(Bytes::from(token))), "text/plain");
        answer.headers_mut().insert(TOKEN_TTL, HeaderValue::from(ttl_s));
        answer
    }
}

/// AWS's refusals are small pages.
fn refusal(status: StatusCode) -> Answer {
    let title = format!("{} - {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let page = format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
         <!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n\
         \t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n \
         <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
    );
    let mut answer = with_headers(Response::new(Full::new(Bytes::from(page))), "text/html");
    *answer.status_mut() = status;
    answer
}

fn with_headers(mut answer: Answer, kind: &'static str) -> Answer {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(SERVER, HeaderValue::from_static("EC2ws"));
    answer
}

#[cfg(test)]
mod tests {
    use host::Timestamp;

    use super::*;
    use crate::network::metadata::MetadataOptions;

    struct One(MetadataOptions);

    impl Metadata for One {
        fn document(&self, _: &InstanceId) -> Option<Arc<MetadataDocument>> {
            let document = MetadataDocument { options: self.0, instance_id: "i-1".into(), ..Default::default() };
            Some(Arc::new(document))
        }
    }

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(self.0)
        }
    }

    fn service(options: MetadataOptions, now_s: u64) -> Service {
        let documents: Arc<dyn Metadata> = Arc::new(One(options));
        Service { documents: watch::Sender::new(Some(documents)), clock: Arc::new(At(now_s)), key: TokenKey([1; 32]) }
    }

    fn ask(service: &Service, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let documents = service.documents.borrow().clone().unwrap();
        service.answer(&*documents, &InstanceId("i-1".into()), &request.body(()).unwrap(), |_| {})
    }

    async fn token(service: &Service, ttl: &str) -> String {
        let answer = ask(service, Method::PUT, "/latest/api/token", &[(TOKEN_TTL.as_str(), ttl)]);
        assert_eq!((answer.status(), answer.headers()[TOKEN_TTL].to_str().unwrap()), (StatusCode::OK, ttl));
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    const ID: &str = "/latest/meta-data/instance-id";

    #[tokio::test]
    async fn a_token_opens_the_door_where_one_is_required_until_it_expires() {
        let options = MetadataOptions { tokens_required: true, ..MetadataOptions::default() };
        let strict = service(options, 100);
        assert_eq!(ask(&strict, Method::GET, ID, &[]).status(), StatusCode::UNAUTHORIZED);
        let token = token(&strict, "60").await;
        assert_eq!(ask(&strict, Method::GET, ID, &[(TOKEN.as_str(), &token)]).status(), StatusCode::OK);
        let later = service(options, 160);
        assert_eq!(ask(&later, Method::GET, ID, &[(TOKEN.as_str(), &token)]).status(), StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn version_1_is_answered_unless_a_wrong_token_is_shown() {
        let service = service(MetadataOptions::default(), 0);
        assert_eq!(ask(&service, Method::GET, ID, &[]).status(), StatusCode::OK);
        assert_eq!(ask(&service, Method::GET, ID, &[(TOKEN.as_str(), "no")]).status(), StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&service, Method::POST, ID, &[]).status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(&service, Method::GET, "/latest/no", &[]).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_token_is_refused_without_a_good_ttl_and_to_a_proxy() {
        let service = service(MetadataOptions::default(), 0);
        let put = |headers: &[(&str, &str)]| ask(&service, Method::PUT, "/latest/api/token", headers).status();
        for ttl in ["0", "21601", "-1", "x", ""] {
            assert_eq!(put(&[(TOKEN_TTL.as_str(), ttl)]), StatusCode::BAD_REQUEST, "{ttl}");
        }
        assert_eq!(put(&[]), StatusCode::BAD_REQUEST);
        assert_eq!(put(&[(TOKEN_TTL.as_str(), "60"), (FORWARDED.as_str(), "1.2.3.4")]), StatusCode::FORBIDDEN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_waits_until_it_is_said_where_documents_come_from() {
        let service = service(MetadataOptions::default(), 0);
        let documents = service.documents.send_replace(None);
        assert!(service.documents().await.is_none(), "not for ever");
        let (found, ()) = tokio::join!(service.documents(), async {
            tokio::time::sleep(DOCUMENTS_WITHIN / 2).await;
            service.documents.send_replace(documents);
        });
        assert!(found.is_some());
    }

    #[test]
    fn a_service_that_is_switched_off_says_403() {
        let off = service(MetadataOptions { enabled: false, ..MetadataOptions::default() }, 0);
        assert_eq!(ask(&off, Method::GET, ID, &[]).status(), StatusCode::FORBIDDEN);
    }
}
