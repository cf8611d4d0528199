//! Opening streams.

use std::{fmt, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use eepkit_link::{
    self as link, Layer, LookupTarget, LostReason,
    streams::{StreamOpenError, Target},
};
use eepkit_streaming::{CloseReason, Ports, StreamConfig, StreamId};
use eepkit_wire::Destination;
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    address::Address,
    error::{ConnectError, LookupError, OpenError, StreamError},
    lookup,
    shared::{Gone, Handle, Shared},
    stream::Stream,
    supervisor,
};

/// Options for opening one stream. The defaults are the session's settings.
#[derive(Clone, Default)]
pub struct ConnectOptions {
    local_port: u16,
    timeout: Option<Duration>,
    streaming: Vec<StreamingChange>,
    early_data: Bytes,
}

type StreamingChange = Arc<dyn Fn(StreamConfig) -> StreamConfig + Send + Sync>;

impl ConnectOptions {
    /// Options that use the session's settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// The local port; 0 by default. It is sent to the peer, but does not start a listener.
    #[must_use]
    pub fn local_port(mut self, port: u16) -> Self {
        self.local_port = port;
        self
    }

    /// Time limit for the whole operation: the look-up, waiting for tunnels and waiting for the
    /// peer's answer. The default is the session's limit.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Changes the streaming protocol's settings for this stream. `change` receives the session's
    /// settings; several changes apply in the order in which they were added.
    ///
    /// Over SAM the router implements the streams, and connecting fails with
    /// [`ConnectError::Unsupported`].
    #[must_use]
    pub fn streaming(
        mut self,
        change: impl Fn(StreamConfig) -> StreamConfig + Send + Sync + 'static,
    ) -> Self {
        self.streaming.push(Arc::new(change));
        self
    }

    /// Data that is sent with the first packet, before the peer has answered. This saves one round
    /// trip. The data is the beginning of the stream; it is empty by default.
    ///
    /// The peer's application may receive it even if connecting fails here. It should therefore be
    /// safe to send twice, like an idempotent request.
    #[must_use]
    pub fn early_data(mut self, data: impl Into<Bytes>) -> Self {
        self.early_data = data.into();
        self
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("local_port", &self.local_port)
            .field("timeout", &self.timeout)
            .field("early_data_len", &self.early_data.len())
            .finish_non_exhaustive()
    }
}

/// Opens a stream; see [`crate::Session::connect`].
pub(crate) async fn connect(
    handle: &Arc<Handle>,
    to: Address,
    options: &ConnectOptions,
) -> Result<Stream, ConnectError> {
    let shared = &handle.shared;
    let limit = options.timeout.unwrap_or(shared.config.connect_timeout);
    let deadline = Instant::now() + limit;

    wait_for_tunnels(handle, limit, deadline).await?;
    let left = deadline.saturating_duration_since(Instant::now());
    let peer = lookup::resolve(shared, &to.host, left)
        .await
        .map_err(|error| match error {
            LookupError::LeaseSetNotFound => ConnectError::LeaseSetNotFound,
            LookupError::Closed => ConnectError::Closed,
            other => ConnectError::Lookup(other),
        })?;

    if shared.layer == Layer::Streams {
        let target = Target {
            peer,
            peer_port: to.port,
            local_port: options.local_port,
        };
        return through_router(handle, target, options, limit, deadline).await;
    }
    let mut opening = loop {
        match attempt(handle, &peer, to.port, options, limit, deadline).await {
            // The session itself was opened anew because this peer did not answer, or the link was
            // closed between two steps because the session was idle until then.
            Err(ConnectError::SessionLost(LostReason::Reopened(_)) | ConnectError::Closed)
                if shared.lock("connect").lifecycle.is_open() =>
            {
                tokio::task::yield_now().await;
                wait_for_tunnels(handle, limit, deadline).await?;
            }
            answered => break answered?,
        }
    };
    if opening.early_rest.is_empty() {
        return Ok(opening.stream);
    }
    // Early data that exceeds the send buffer is written like any other data.
    match timeout_at(deadline, opening.stream.write_all(&opening.early_rest)).await {
        Err(_) => Err(ConnectError::Timeout(handle.shared.timed_out(limit))),
        Ok(Ok(())) => Ok(opening.stream),
        Ok(Err(error)) => Err(match StreamError::of(&error) {
            Some(StreamError::SessionLost(reason)) => ConnectError::SessionLost(reason.clone()),
            Some(StreamError::Reset) => ConnectError::Refused { port: to.port },
            _ => ConnectError::Closed,
        }),
    }
}

/// Sends the first packet and waits for the peer's answer.
async fn attempt(
    handle: &Arc<Handle>,
    peer: &Destination,
    port: u16,
    options: &ConnectOptions,
    limit: Duration,
    deadline: Instant,
) -> Result<Opening, ConnectError> {
    let opening = begin(handle, peer, port, options, limit)?;
    let answer = async {
        tokio::select! {
            biased;
            result = opening.answer() => result,
            error = opening.no_lease_set() => Err(error),
        }
    };
    match timeout_at(deadline, answer).await {
        Err(_) => Err(ConnectError::Timeout(handle.shared.timed_out(limit))),
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => Ok(opening),
    }
}

/// Opens a stream through the router, which implements the streams over SAM.
async fn through_router(
    handle: &Arc<Handle>,
    target: Target,
    options: &ConnectOptions,
    limit: Duration,
    deadline: Instant,
) -> Result<Stream, ConnectError> {
    if !options.streaming.is_empty() {
        return Err(ConnectError::Unsupported(
            "over SAM one stream has no settings of its own",
        ));
    }
    let (opener, epoch) = {
        let core = handle.shared.lock("connect");
        let opener = core.sockets.opener().ok_or(ConnectError::Closed)?;
        (opener, core.lifecycle.epoch())
    };
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let stream = loop {
        match timeout_at(deadline, opener.open(target.clone())).await {
            Err(_) => return Err(ConnectError::Timeout(handle.shared.timed_out(limit))),
            Ok(Ok(stream)) => break stream,
            // As with look-ups, a recently published lease set takes time to propagate. i2pd 2.45
            // reports a missing lease set as an unreachable peer.
            Ok(Err(StreamOpenError::NotFound | StreamOpenError::Unreachable(_)))
                if began.elapsed() + pause < NOT_FOUND_PATIENCE
                    && Instant::now() + pause < deadline =>
            {
                sleep(pause).await;
                pause = (pause * 2).min(SEARCH_PAUSE);
            }
            Ok(Err(error)) => return Err(router_refusal(error, &handle.shared, limit)),
        }
    };
    let mut stream = Stream::of_router(handle, epoch, stream).ok_or_else(|| {
        let why = "while the stream was opened".to_owned();
        ConnectError::SessionLost(LostReason::Connection(why))
    })?;
    if options.early_data.is_empty() {
        return Ok(stream);
    }
    match timeout_at(deadline, stream.write_all(&options.early_data)).await {
        Err(_) => Err(ConnectError::Timeout(handle.shared.timed_out(limit))),
        Ok(Ok(())) => Ok(stream),
        Ok(Err(_)) => Err(ConnectError::Refused {
            port: target.peer_port,
        }),
    }
}

/// Converts the router's reason for not opening a stream.
fn router_refusal(error: StreamOpenError, shared: &Shared, limit: Duration) -> ConnectError {
    match error {
        StreamOpenError::NotFound => ConnectError::LeaseSetNotFound,
        StreamOpenError::Unreachable(_) => ConnectError::PeerUnreachable,
        StreamOpenError::Timeout => ConnectError::Timeout(shared.timed_out(limit)),
        StreamOpenError::Unsupported(what) => ConnectError::Unsupported(what),
        StreamOpenError::SessionLost => {
            ConnectError::SessionLost(LostReason::Closed(error.to_string()))
        }
        StreamOpenError::Connection(why) => ConnectError::SessionLost(LostReason::Connection(why)),
        other => ConnectError::Router(other.to_string()),
    }
}

async fn wait_for_tunnels(
    handle: &Arc<Handle>,
    limit: Duration,
    deadline: Instant,
) -> Result<(), ConnectError> {
    let left = deadline.saturating_duration_since(Instant::now());
    match supervisor::wait_ready(&handle.shared, left).await {
        Ok(()) => Ok(()),
        Err(OpenError::Timeout { .. } | OpenError::NoTunnels(_)) => {
            Err(ConnectError::NoTunnels(handle.shared.timed_out(limit)))
        }
        Err(OpenError::Closed) => Err(ConnectError::Closed),
        Err(error) => Err(ConnectError::Offline(error)),
    }
}

/// A stream whose first packet has been queued. Dropping it abandons the stream.
struct Opening {
    stream: Stream,
    early_rest: Bytes,
    registered: Registered,
    limit: Duration,
    local: bool,
}

/// Registers a stream as a connection attempt of the session until it is dropped.
struct Registered {
    shared: Arc<Shared>,
    epoch: u64,
    id: StreamId,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.lock("connect").streams.end_attempt(self.id);
    }
}

fn begin(
    handle: &Arc<Handle>,
    peer: &Destination,
    port: u16,
    options: &ConnectOptions,
    limit: Duration,
) -> Result<Opening, ConnectError> {
    let shared = &handle.shared;
    let mut config = shared.config.stream.clone();
    for change in &options.streaming {
        config = change(config);
    }
    // This module's limit covers the whole operation.
    let config = config.with_connect_timeout(Some(limit));
    let ports = Ports {
        local: options.local_port,
        remote: port,
    };
    let mut core = shared.lock("connect");
    let epoch = core.lifecycle.epoch();
    let now = Instant::now().into_std();
    let endpoint = core.endpoint().ok_or(ConnectError::Closed)?;
    let id = endpoint.connect(now, peer, ports, &config)?;
    let taken = if options.early_data.is_empty() {
        0
    } else {
        let taken = endpoint.write(now, id, &options.early_data).unwrap_or(0);
        // Otherwise the delay that coalesces small writes would delay the first packet.
        endpoint.flush(now, id);
        taken
    };
    core.streams.add_attempt(id, peer.hash());
    core.wake_driver();
    drop(core);
    Ok(Opening {
        stream: Stream::new(
            handle.clone(),
            epoch,
            id,
            peer.clone(),
            options.local_port,
            port,
            &config,
        ),
        early_rest: options.early_data.slice(taken..),
        registered: Registered {
            shared: shared.clone(),
            epoch,
            id,
        },
        limit,
        local: peer.hash() == shared.own_hash(),
    })
}

impl Opening {
    /// Waits for the peer's answer.
    async fn answer(&self) -> Result<(), ConnectError> {
        let (id, epoch) = (self.registered.id, self.registered.epoch);
        poll_fn(|cx| {
            let mut core = self.registered.shared.lock("connect");
            if let Err(gone) = core.endpoint_of(epoch) {
                return Poll::Ready(Err(match gone {
                    Gone::Lost(reason) => ConnectError::SessionLost(reason),
                    Gone::Ended => ConnectError::Closed,
                }));
            }
            if let Some(slot) = core.streams.slot(id) {
                if slot.connected {
                    return Poll::Ready(Ok(()));
                }
                if let Some(reason) = slot.closed {
                    let port = self.stream.peer_port();
                    let shared = &self.registered.shared;
                    return Poll::Ready(Err(refusal(reason, port, shared, self.limit)));
                }
            }
            if let Some(attempt) = core.streams.attempt(id) {
                if attempt.incompatible {
                    return Poll::Ready(Err(ConnectError::IncompatibleEncryption));
                }
                if attempt.not_found >= NOT_FOUND_TWICE {
                    return Poll::Ready(Err(ConnectError::LeaseSetNotFound));
                }
            }
            core.streams.park(id, cx, |slot| &mut slot.connect);
            Poll::Pending
        })
        .await
    }

    /// Completes when two look-ups of the peer's lease set have found nothing and the peer has had
    /// `NOT_FOUND_PATIENCE` to answer anyway. Otherwise it stays pending for ever.
    async fn no_lease_set(&self) -> ConnectError {
        let verdict_at = Instant::now() + NOT_FOUND_PATIENCE;
        sleep(USUAL_ANSWER).await;
        let mut searches = if self.local { NOT_FOUND_TWICE } else { 0 };
        while searches < NOT_FOUND_TWICE {
            let target = LookupTarget::LeaseSet(self.stream.peer().clone());
            match lookup::ask(&self.registered.shared, target, SEARCH_TIMEOUT).await {
                Err(link::LinkLookupError::LeaseSetNotFound) => searches += 1,
                // Found, or unknown: the peer's answer decides.
                _ => return std::future::pending().await,
            }
            if searches == NOT_FOUND_TWICE {
                sleep_until(verdict_at).await;
                return ConnectError::LeaseSetNotFound;
            }
            sleep(SEARCH_PAUSE).await;
        }
        std::future::pending().await
    }
}

/// Converts the reason why a stream ended before it was established.
fn refusal(reason: CloseReason, port: u16, shared: &Shared, limit: Duration) -> ConnectError {
    match reason {
        CloseReason::ConnectTimeout => ConnectError::Timeout(shared.timed_out(limit)),
        CloseReason::ResendLimit | CloseReason::Inactive | CloseReason::LingerTimeout => {
            ConnectError::PeerUnreachable
        }
        CloseReason::EndpointClosed => ConnectError::Closed,
        _ => ConnectError::Refused { port },
    }
}

/// Failed look-ups before the peer counts as offline. A single failure may be accidental.
const NOT_FOUND_TWICE: u8 = 2;
/// No look-up is made for a peer that answers within this time. Most peers do.
const USUAL_ANSWER: Duration = Duration::from_secs(3);
/// Time limit of one search in the network database. Chosen because routers stop after about 10 s.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause between look-ups. Chosen so that a recently published lease set can propagate.
const SEARCH_PAUSE: Duration = Duration::from_secs(5);
/// Pause before the first retry with a router that did not find the peer; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Time for the peer to answer although its lease set was not found: some routers search more
/// thoroughly for messages than for look-ups. Chosen above the first retransmission (9 s) and a
/// slow round trip.
const NOT_FOUND_PATIENCE: Duration = Duration::from_secs(20);
