//! Load balancers by their name as Host, for who has no DNS for it; and the pages that say how load balancers are.
//!
//! Invariants:
//! - A load balancer sees the client itself: its address in X-Forwarded-For, in access records and in security groups.
//! - Bodies stream through, both ways.
//! - In strict mode a page tells a key's holder about the key's account, and nobody else anything.

use std::net::SocketAddr;

use api::{AccountId, Identity};
use elb::Entrance;
use http::header::{
    CONNECTION, EXPECT, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, error};

use super::body::{Body, RequestBody};
use super::catalogue::Service;
use super::host::Host;
use super::origin::{self, Effect, Proof};
use super::{Asked, FrontDoor, Trace, answer, pages};

/// What is meant for one connection only.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

impl FrontDoor {
    /// Passes a request through the load balancer of this name, over its HTTP listener.
    pub(super) async fn through(
        &self,
        asked: Asked,
        dns_name: &str,
        body: RequestBody,
        trace: &mut Trace<'_>,
    ) -> Response<Body> {
        (trace.service, trace.label) = (Service::Elb, self.metrics.load_balancer());
        let entrance = match self.services.elb.entrance(dns_name).await {
            Ok(Some(entrance)) => entrance,
            Ok(None) => {
                let sentence =
                    format!("There is no load balancer with the name {dns_name}; `millpond lb ls` lists them.");
                return answer::closing(answer::plain(StatusCode::NOT_FOUND, &sentence));
            }
            Err(error) => {
                error!(%error, "cannot look a load balancer up");
                return answer::closing(answer::plain(StatusCode::INTERNAL_SERVER_ERROR, "The log says what failed."));
            }
        };
        let Some(listener) = entrance.http else {
            return answer::closing(answer::plain(StatusCode::MISDIRECTED_REQUEST, &no_http(&entrance)));
        };
        if asked.parts.method == Method::CONNECT {
            return answer::closing(answer::plain(StatusCode::BAD_REQUEST, "CONNECT goes through no load balancer."));
        }
        match self.relay(listener, asked.client, asked.parts, body).await {
            Ok(response) => response,
            Err(error) => {
                debug!(load_balancer = entrance.load_balancer, %error, "no answer came");
                let sentence = format!(
                    "The load balancer {} closed the connection without an answer; perhaps its security groups do not \
                     let {} in.",
                    entrance.load_balancer,
                    asked.client.ip()
                );
                answer::closing(answer::plain(StatusCode::BAD_GATEWAY, &sentence))
            }
        }
    }

    async fn relay(
        &self,
        listener: SocketAddr,
        client: SocketAddr,
        mut parts: Parts,
        body: RequestBody,
    ) -> anyhow::Result<Response<Body>> {
        let (ours, theirs) = pair().await?;
        anyhow::ensure!(self.services.balancer.deliver(listener, theirs, client).await, "nothing is served there");
        let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await?;
        // Ends with the answer, or when the client goes away and drops it.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection to a load balancer ended");
            }
        });
        strip(&mut parts.headers);
        // hyper has told the client to go on already.
        parts.headers.remove(EXPECT);
        parts.uri = origin_form(&parts.uri);
        let response: Response<Incoming> = sender.send_request(Request::from_parts(parts, body)).await?;
        let (mut parts, body) = response.into_parts();
        strip(&mut parts.headers);
        Ok(Response::from_parts(parts, Body::stream(body)))
    }

    /// The page `/_millpond/load-balancers`.
    pub(super) async fn load_balancers_page(&self, parts: &Parts, host: &Host, body: RequestBody) -> Response<Body> {
        let account = match self.account_of(parts, host, body).await {
            Ok(account) => account,
            Err(sentence) => return answer::plain(StatusCode::FORBIDDEN, &sentence),
        };
        let services = &self.services;
        json(services.elb.status(&account, &services.balancer.stats()).await)
    }

    /// The page `/_millpond/usage`.
    pub(super) async fn usage_page(&self, parts: &Parts, host: &Host, body: RequestBody) -> Response<Body> {
        let account = match self.account_of(parts, host, body).await {
            Ok(account) => account,
            Err(sentence) => return answer::plain(StatusCode::FORBIDDEN, &sentence),
        };
        let services = &self.services;
        // So that the page is up to date.
        if let Err(error) = services.elb.meter(&services.balancer.stats()).await {
            error!(%error, "cannot keep what load balancers were used for");
        }
        json(services.elb.usage(&account).await)
    }

    /// Whose load balancers the caller may see.
    async fn account_of(&self, parts: &Parts, host: &Host, body: RequestBody) -> Result<AccountId, String> {
        let was_local = self.is_local();
        let identity = self.identify(parts, body).await?;
        let proof = self.proof(identity.is_anonymous(), was_local);
        origin::check(parts, host, proof, Effect::Read, self.foreign_hosts()).map_err(|refused| refused.to_string())?;
        match (identity.is_anonymous(), proof) {
            (false, Proof::Verified | Proof::Claimed) => Ok(identity.account),
            _ if was_local && self.is_local() => Ok(self.default_account.clone()),
            _ => Err("This page is for the holders of a configured key: sign the request.".into()),
        }
    }

    /// Who signed a request for a page.
    pub(super) async fn identify(&self, parts: &Parts, body: RequestBody) -> Result<Identity, String> {
        let body = self.collect(body).await.map_err(|error| error.to_string())?;
        let begun = self.authenticator.begin(parts, None).map_err(|error| error.to_query().message)?;
        begun.finish(&body.bytes).map_err(|error| error.to_query().message)
    }
}

fn json<T: serde::Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Response<Body> {
    let text = result
        .map_err(|error| error.to_string())
        .and_then(|value| serde_json::to_string(&value).map_err(|error| error.to_string()));
    match text {
        Ok(text) => pages::page_of("application/json", text),
        Err(error) => {
            error!(%error, "a page about load balancers failed");
            answer::plain(StatusCode::INTERNAL_SERVER_ERROR, "The log says what failed.")
        }
    }
}

fn no_http(entrance: &Entrance) -> String {
    let Entrance { load_balancer, first_listener, .. } = entrance;
    match first_listener {
        Some(listener) => format!(
            "The load balancer {load_balancer} has no HTTP listener to go through. Connect to its listener itself: \
             {listener}."
        ),
        None => format!(
            "The load balancer {load_balancer} has no listener; `aws elb create-load-balancer-listeners` makes one."
        ),
    }
}

/// Two ends of one connection on this machine.
async fn pair() -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    loop {
        let (theirs, peer) = listener.accept().await?;
        // Somebody else on this machine may have found the port in between.
        if peer == ours.local_addr()? {
            ours.set_nodelay(true)?;
            theirs.set_nodelay(true)?;
            return Ok((ours, theirs.into_std()?));
        }
    }
}

/// Takes away what was meant for one connection only.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().map_or_else(|| Uri::from(PathAndQuery::from_static("/")), Uri::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_for_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-other", "2"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        strip(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-other"]);
    }

    #[test]
    fn a_target_keeps_its_path_and_query_alone() {
        for (given, expected) in [("http://web/a?b=c", "/a?b=c"), ("/a", "/a"), ("http://web", "/"), ("*", "*")] {
            assert_eq!(origin_form(&given.parse().unwrap()).to_string(), expected);
        }
    }

    #[tokio::test]
    async fn the_two_ends_of_a_pair_are_one_connection() {
        let (ours, theirs) = pair().await.unwrap();
        assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap());
        assert_eq!(theirs.peer_addr().unwrap(), ours.local_addr().unwrap());
    }
}
