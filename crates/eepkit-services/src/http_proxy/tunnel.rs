//! Tunnels: CONNECT, and connections whose protocol has changed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit::Stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::{
    body::Incoming,
    ext::ReasonPhrase,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tracing::debug;

use super::{
    headers::CLEARNET_USER_AGENT,
    peer::Peer,
    problem::Problem,
    program::{Program, User},
    request::Place,
    shared::Shared,
    upstream::Upstream,
};
use crate::{
    client_sessions::ClientSession,
    proxy::HasFrame as _,
    relay::{Options, Prefixed, Traffic, relay_stream},
    serve::Socket,
    web::{
        body::{self, Body},
        resettable::{Local, StreamIo},
    },
};

/// Opens a tunnel for CONNECT.
pub(super) async fn open(
    program: &Arc<Program>,
    mut request: Request<Incoming>,
    place: &Place,
    user: &User,
) -> Result<Response<Body>, Problem> {
    let shared = &program.shared;
    let peer = Peer::of(shared, place, user).await?;
    let stream = peer.connect().await?;
    let local = hyper::upgrade::on(&mut request);
    match peer.is_outproxy {
        false => {
            let (shared, session) = (shared.clone(), peer.session().clone());
            let server = shared.frame().server.clone();
            server.spawn(async move {
                let Some((socket, early)) = local_socket(local).await else {
                    return stream.reset();
                };
                relay(&shared, socket, early, stream, Bytes::new(), session).await;
            });
        }
        true => {
            let limit = shared.config.proxy.connect_timeout;
            let through = through_outproxy(shared, &peer, stream, place);
            let (upstream, site) = timeout(limit, through)
                .await
                .map_err(|_| Problem::NoResponse)??;
            relay_upgraded(program, local, site, upstream);
        }
    }
    let mut response = Response::new(body::empty());
    response
        .extensions_mut()
        .insert(ReasonPhrase::from_static(b"Connection Established"));
    Ok(response)
}

/// Requests a tunnel from an outproxy.
async fn through_outproxy(
    shared: &Arc<Shared>,
    peer: &Peer,
    stream: Stream,
    place: &Place,
) -> Result<(Upstream, OnUpgrade), Problem> {
    let opening = Upstream::open(shared.frame(), peer.key(), stream, peer.session().clone());
    let bad = |error: hyper::Error| Problem::BadResponse(error.to_string());
    let mut upstream = opening.await.map_err(bad)?;
    let target = format!("{}:{}", place.host, place.port);
    let mut request = Request::new(body::empty());
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = target
        .parse()
        .map_err(|_| Problem::BadRequest("the host is not valid"))?;
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_str(&target) {
        headers.insert(header::HOST, host);
    }
    let agent = HeaderValue::from_static(CLEARNET_USER_AGENT);
    headers.insert(header::USER_AGENT, agent);
    if let Some(login) = &peer.login {
        headers.insert(header::PROXY_AUTHORIZATION, login.clone());
    }
    *request.headers_mut() = headers;
    let mut response = upstream.sender.send_request(request).await.map_err(bad)?;
    if response.status() != StatusCode::OK {
        return Err(Problem::OutproxyRefused(response.status()));
    }
    Ok((upstream, hyper::upgrade::on(&mut response)))
}

/// Relays between two connections whose protocol changes.
pub(super) fn relay_upgraded(
    program: &Arc<Program>,
    local: OnUpgrade,
    site: OnUpgrade,
    upstream: Upstream,
) {
    let shared = program.shared.clone();
    let server = shared.frame().server.clone();
    server.spawn(async move {
        let session = upstream.into_session();
        let Some((stream, received)) = site_stream(site).await else {
            return;
        };
        let Some((socket, sent)) = local_socket(local).await else {
            return stream.reset();
        };
        relay(&shared, socket, sent, stream, received, session).await;
    });
}

/// The connection of the program after the change, with data that it has sent already.
async fn local_socket(upgrade: OnUpgrade) -> Option<(Socket, Bytes)> {
    let upgraded = upgraded(upgrade).await?;
    let parts = upgraded.downcast::<TokioIo<Local>>().ok()?;
    let socket = parts.io.into_inner().into_inner()?;
    Some((socket, parts.read_buf))
}

/// The stream to the site after the change, with data that it has sent already.
async fn site_stream(upgrade: OnUpgrade) -> Option<(Stream, Bytes)> {
    let upgraded = upgraded(upgrade).await?;
    let parts = upgraded.downcast::<TokioIo<StreamIo>>().ok()?;
    let stream = parts.io.into_inner().into_inner()?;
    Some((stream, parts.read_buf))
}

async fn upgraded(upgrade: OnUpgrade) -> Option<Upgraded> {
    match timeout(UPGRADE_LIMIT, upgrade).await {
        Ok(Ok(upgraded)) => Some(upgraded),
        Ok(Err(error)) => {
            debug!(%error, "HTTP proxy: a tunnel did not begin");
            None
        }
        Err(_) => None,
    }
}

async fn relay(
    shared: &Shared,
    socket: Socket,
    sent: Bytes,
    stream: Stream,
    received: Bytes,
    _session: ClientSession,
) {
    let frame = shared.frame();
    let mut local = Prefixed::new(sent, socket);
    if local.write_all(&received).await.is_err() {
        stream.reset();
        return;
    }
    let traffic = Traffic::default();
    let _counted = frame.counters.count_stream();
    let options = Options::new().half_closed(HALF_CLOSED).reset_on_drop();
    let report = tokio::select! {
        report = relay_stream(&mut local, stream, &options, &traffic) => Some(report),
        () = frame.server.closing().cancelled() => None,
    };
    frame
        .counters
        .count_bytes(traffic.a_to_b(), traffic.b_to_a());
    // A failure of the stream must not look like a complete answer.
    if report.is_none_or(|report| !report.is_clean()) {
        local.into_inner().abort();
    }
}

/// How long one direction may stay open without data after the other has ended. Chosen because a
/// program that has gone leaves the same state as one that waits for a long answer.
const HALF_CLOSED: Duration = Duration::from_secs(600);
/// How long a connection may take to change its protocol after the head of the response. Chosen
/// because only the response must be written.
const UPGRADE_LIMIT: Duration = Duration::from_secs(60);
