//! The requests of one stream.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use eepkit::{Destination, Stream};
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING},
    uri::Authority,
};
use hyper::{
    body::{Body as _, Incoming as IncomingBody},
    client::conn::http1 as client,
    server::conn::http1 as server,
    service::service_fn,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::AsyncWriteExt as _,
    time::{sleep, timeout},
};
use tracing::debug;

use super::{
    Gateway, Incoming, Problem, compression,
    headers::{self, Length},
    is_upload,
};
use crate::{
    counters::Counters,
    relay::Prefixed,
    serve::Socket,
    web::{
        body::{self, Body, Progress},
        message::{
            MAX_BUFFER, MAX_HEADER_SIZE, MAX_HEADERS, can_upgrade, is_ambiguous, wanted_upgrade,
        },
        resettable::StreamIo,
    },
};

/// Serves the requests of a stream until it ends.
pub(super) async fn serve(gateway: &Gateway, tunnel: &Arc<Incoming>, stream: Stream) {
    let failed = Arc::new(AtomicBool::new(false));
    let visit = Visit {
        gateway,
        tunnel,
        peer: stream.peer().clone(),
        port: stream.local_port(),
        failed: failed.clone(),
        connection: tokio::sync::Mutex::new(None),
        upgrade: Mutex::new(None),
    };
    let unfinished = failed.clone();
    // A peer that reads nothing of an answer must not keep its place.
    let stalled = tunnel.idle_timeout().unwrap_or(STALL_TIMEOUT);
    let io = StreamIo::new(stream, failed)
        .counted(tunnel.counters.clone())
        .stall_timeout(stalled);
    let limit = tunnel.idle_timeout().unwrap_or(IDLE_TIMEOUT);
    let serving = builder(limit).serve_connection(
        TokioIo::new(io),
        service_fn(|request| visit.handle(request)),
    );
    let mut serving = std::pin::pin!(serving.with_upgrades());
    // Dropped before the connection if the tunnel stops in the middle of a response.
    let mut guard = FailOnDrop(Some(unfinished));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = tunnel.server.closing().cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.as_mut().await
        }
    };
    guard.0 = None;
    if let Err(error) = ended {
        debug!(tunnel = tunnel.name, %error, "a connection of a peer ended");
    }
    let upgrade = visit.lock().take();
    if let Some((peer, target)) = upgrade {
        relay_upgraded(tunnel, peer, target).await;
    }
}

/// Answers the requests of a stream that is one too many.
pub(super) async fn refuse(stream: Stream) {
    let counters = Arc::new(Counters::default());
    let io = StreamIo::new(stream, Arc::default()).counted(counters);
    let answer = service_fn(|_request: Request<IncomingBody>| async {
        let mut response = plain(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many connections. Try again later.\n",
        );
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("60"));
        Ok::<_, Infallible>(response)
    });
    let serving = builder(REFUSAL_LIMIT).serve_connection(TokioIo::new(io), answer);
    let _ = timeout(REFUSAL_LIMIT, serving).await;
}

fn builder(idle: Duration) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .auto_date_header(false)
        // A peer may close its direction after the request, as netcat does.
        .half_close(true)
        .title_case_headers(true)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_SIZE)
        .max_buf_size(MAX_BUFFER);
    builder
}

struct Visit<'a> {
    gateway: &'a Gateway,
    tunnel: &'a Arc<Incoming>,
    peer: Destination,
    port: u16,
    /// Set if a response ends early. The stream is then reset.
    failed: Arc<AtomicBool>,
    /// The connection with the server between requests.
    connection: tokio::sync::Mutex<Option<Sender>>,
    /// Both connections, if their protocol changes.
    upgrade: Mutex<Option<(OnUpgrade, OnUpgrade)>>,
}

type Sender = client::SendRequest<Body>;

impl Visit<'_> {
    async fn handle(&self, request: Request<IncomingBody>) -> Result<Response<Body>, Infallible> {
        let is_head = request.method() == Method::HEAD;
        let mut response = match self.answer(request).await {
            Ok(response) => response,
            Err(problem) => {
                debug!(tunnel = self.tunnel.name, ?problem, "refused a request");
                let mut response = plain(problem.status(), problem.text());
                if let Problem::TooManyPosts(left) = problem {
                    let seconds = HeaderValue::from(left.as_secs().max(1));
                    response.headers_mut().insert(RETRY_AFTER, seconds);
                }
                response
            }
        };
        if is_head {
            *response.body_mut() = body::empty();
        }
        Ok(response)
    }

    async fn answer(&self, mut request: Request<IncomingBody>) -> Result<Response<Body>, Problem> {
        let uri = target_of(&request)?;
        let config = &self.gateway.config;
        if let Some(problem) = headers::refused(config, request.headers()) {
            return Err(problem);
        }
        if is_upload(request.method()) {
            let counted = self.gateway.posts.count(self.peer.hash());
            counted.map_err(Problem::TooManyPosts)?;
        }
        let upgrade = (can_upgrade(request.version())
            && wanted_upgrade(request.headers()).is_some())
        .then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let has_body = parts.headers.contains_key(CONTENT_LENGTH)
            || parts.headers.contains_key(TRANSFER_ENCODING);
        let length = match (has_body, body.size_hint().exact()) {
            (false, _) => Length::Empty,
            (true, Some(length)) => Length::Known(length),
            (true, None) => Length::Unknown,
        };
        let progress = Progress::new();
        let mut passed = Request::new(match length {
            Length::Empty => body::empty(),
            _ => body::upload(body, &progress),
        });
        *passed.method_mut() = parts.method;
        *passed.uri_mut() = uri;
        *passed.headers_mut() =
            headers::for_target(config, &parts.headers, &self.peer, self.port, length);
        let compresses = config.compress && compression::is_wanted(&parts.headers);
        let exchanging = self.exchange(passed);
        let (mut response, sender) = tokio::select! {
            exchanged = exchanging => exchanged?,
            () = progress.stalled(config.response_timeout) => return Err(Problem::Slow),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let peer = upgrade.ok_or(Problem::BadResponse)?;
            *self.lock() = Some((peer, hyper::upgrade::on(&mut response)));
            return Ok(self.response(response, true));
        }
        *self.connection.lock().await = Some(sender);
        let response = self.response(response, false);
        Ok(match compresses {
            true => compression::compress(response),
            false => response,
        })
    }

    /// Sends a request to the server. Uses the connection of the last request if it is still open.
    async fn exchange(
        &self,
        mut request: Request<Body>,
    ) -> Result<(Response<IncomingBody>, Sender), Problem> {
        let mut kept = self.connection.lock().await.take();
        let is_repeatable = (*request.method() == Method::GET || *request.method() == Method::HEAD)
            && request.body().is_end_stream();
        loop {
            let (mut sender, is_used) = match kept.take() {
                Some(mut sender) => match timeout(READY_LIMIT, sender.ready()).await {
                    Ok(Ok(())) => (sender, true),
                    _ => (self.open().await?, false),
                },
                None => (self.open().await?, false),
            };
            let mut repeated = is_repeatable.then(|| copy(&request));
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message().or_else(|| repeated.take()) {
                    // The server has closed the connection since its last request.
                    Some(message) if is_used => request = message,
                    _ => {
                        let error = error.into_error();
                        debug!(tunnel = self.tunnel.name, %error, "no valid answer of the server");
                        return Err(Problem::BadResponse);
                    }
                },
            }
        }
    }

    /// Opens a connection with the server.
    async fn open(&self) -> Result<Sender, Problem> {
        let connecting = self.tunnel.connect(self.port, self.peer.hash());
        let socket = connecting.await.ok_or(Problem::Down)?;
        let handshake = client::Builder::new()
            .title_case_headers(true)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEADER_SIZE)
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(socket))
            .await;
        let (sender, connection) = handshake.map_err(|_| Problem::BadResponse)?;
        let name = self.tunnel.name.clone();
        self.tunnel.server.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(tunnel = name, %error, "a connection with the server failed");
            }
        });
        Ok(sender)
    }

    /// The response for the peer.
    fn response(&self, response: Response<IncomingBody>, is_upgrade: bool) -> Response<Body> {
        let (parts, body) = response.into_parts();
        let body = match is_upgrade {
            true => body::empty(),
            // The connection with the server ends when the body is dropped.
            false => body::download(body, &self.failed, Arc::default()),
        };
        let mut headers = parts.headers;
        headers::for_peer(&mut headers, is_upgrade);
        let mut response = Response::new(body);
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers;
        if let Some(reason) = parts.extensions.get::<hyper::ext::ReasonPhrase>() {
            response.extensions_mut().insert(reason.clone());
        }
        response
    }

    /// A panic while the lock is held leaves the value consistent: each change is one assignment.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(OnUpgrade, OnUpgrade)>> {
        self.upgrade.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks the stream as failed when it is dropped, unless it is disarmed.
struct FailOnDrop(Option<Arc<AtomicBool>>);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        if let Some(failed) = &self.0 {
            failed.store(true, Ordering::Relaxed);
        }
    }
}

/// The target of a request, for a server. The host must be named once.
fn target_of(request: &Request<IncomingBody>) -> Result<Uri, Problem> {
    if request.method() == Method::CONNECT {
        return Err(Problem::NotAProxy);
    }
    if is_ambiguous(request.headers()) {
        return Err(Problem::BadRequest);
    }
    let hosts: Vec<_> = request.headers().get_all(HOST).iter().collect();
    let host = match *hosts {
        [host] => host.to_str().map_err(|_| Problem::BadRequest)?,
        [] if request.version() < Version::HTTP_11 => "",
        _ => return Err(Problem::BadRequest),
    };
    // Characters that others could take for a part of the URL.
    if host.contains(['@', '/', ',', ' ', '?', '#', '\\']) {
        return Err(Problem::BadRequest);
    }
    let uri = request.uri();
    if let Some(authority) = uri.authority() {
        let named = host.parse::<Authority>().map_err(|_| Problem::BadRequest)?;
        if named != *authority {
            return Err(Problem::BadRequest);
        }
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    path.parse().map_err(|_| Problem::BadRequest)
}

/// A request without a body, once more.
fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Relays between a peer and the server after their protocol has changed.
async fn relay_upgraded(tunnel: &Incoming, peer: OnUpgrade, target: OnUpgrade) {
    let Some((stream, sent)) = stream_of(peer).await else {
        return;
    };
    let Some((mut socket, received)) = socket_of(target).await else {
        return stream.reset();
    };
    if socket.write_all(&sent).await.is_err() {
        return stream.reset();
    }
    tunnel.relay(Prefixed::new(received, socket), stream).await;
}

/// The stream of a peer after the change, with data that it has sent already.
async fn stream_of(upgrade: OnUpgrade) -> Option<(Stream, Bytes)> {
    let parts = upgraded(upgrade)
        .await?
        .downcast::<TokioIo<StreamIo>>()
        .ok()?;
    let stream = parts.io.into_inner().into_inner()?;
    Some((stream, parts.read_buf))
}

/// The connection with the server after the change, with data that it has sent already.
async fn socket_of(upgrade: OnUpgrade) -> Option<(Socket, Bytes)> {
    let parts = upgraded(upgrade)
        .await?
        .downcast::<TokioIo<Socket>>()
        .ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

async fn upgraded(upgrade: OnUpgrade) -> Option<Upgraded> {
    tokio::select! {
        upgraded = upgrade => upgraded.ok(),
        () = sleep(UPGRADE_LIMIT) => None,
    }
}

/// An answer of the tunnel itself, after which the connection ends.
fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(body::full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The longest time without a complete request. Chosen because round trips take seconds, and a user
/// reads a page for longer than a connection needs to stay open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// The longest time in which a peer takes nothing of an answer. Chosen above the time that a stream
/// needs to notice that its peer has vanished.
const STALL_TIMEOUT: Duration = Duration::from_secs(240);
/// How long the connection of the last request may take to become ready. Chosen because it only has
/// to notice the end of a response that has arrived.
const READY_LIMIT: Duration = Duration::from_secs(1);
/// How long an answer to a stream that is one too many may take.
const REFUSAL_LIMIT: Duration = Duration::from_secs(30);
/// How long a connection may take to change its protocol after the head of the response. Chosen
/// because only the response must be written.
const UPGRADE_LIMIT: Duration = Duration::from_secs(60);
