//! Connections to sites, which are used for several requests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use eepkit::Stream;
use eepkit_wire::Hash;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tracing::debug;

use crate::{
    client_sessions::ClientSession,
    proxy::ProxyFrame,
    web::{
        body::Body,
        message::{MAX_BUFFER, MAX_HEADER_SIZE, MAX_HEADERS},
        resettable::StreamIo,
    },
};

/// A connection to a site, or to an outproxy.
pub(super) struct Upstream {
    pub(super) sender: SendRequest<Body>,
    key: Key,
    /// Set if a program does not read the whole response. The stream is then reset.
    pub(super) abandoned: Arc<AtomicBool>,
    /// Keeps the session open.
    session: ClientSession,
    /// Whether the connection has carried a request before.
    pub(super) is_used: bool,
}

/// What a connection can be used for: our destination, that of the site, and the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) own: Hash,
    pub(super) site: Hash,
    pub(super) port: u16,
}

/// The connections that wait for their next request, or still receive a response.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Key, Vec<(Upstream, Instant)>>>);

impl Pool {
    /// Returns a connection that can carry a request now.
    pub(super) fn take(&self, key: Key) -> Option<Upstream> {
        let mut pool = self.lock();
        let list = pool.get_mut(&key)?;
        list.retain(|(upstream, since)| !upstream.sender.is_closed() && since.elapsed() < IDLE);
        let ready = list
            .iter()
            .rposition(|(upstream, _)| upstream.sender.is_ready());
        let taken = ready.map(|at| list.swap_remove(at).0);
        if list.is_empty() {
            pool.remove(&key);
        }
        taken
    }

    /// Keeps a connection for further requests.
    pub(super) fn put(&self, upstream: Upstream) {
        let mut pool = self.lock();
        let total: usize = pool.values().map(Vec::len).sum();
        let list = pool.entry(upstream.key).or_default();
        if total < MAX_IDLE && list.len() < MAX_IDLE_PER_SITE {
            list.push((upstream, Instant::now()));
        }
    }

    /// Removes connections that were not used for a while. Returns without end.
    pub(super) async fn expire(&self) {
        loop {
            tokio::time::sleep(IDLE / 2).await;
            self.lock().retain(|_, list| {
                list.retain(|(upstream, since)| {
                    !upstream.sender.is_closed() && since.elapsed() < IDLE
                });
                !list.is_empty()
            });
        }
    }

    /// Removes all connections. Those that carry a response end with it.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// A panic while the lock is held leaves the pool consistent: each change is one insertion or
    /// removal.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<(Upstream, Instant)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// Speaks HTTP over a new stream.
    pub(super) async fn open(
        frame: &ProxyFrame,
        key: Key,
        stream: Stream,
        session: ClientSession,
    ) -> Result<Self, hyper::Error> {
        let abandoned = Arc::new(AtomicBool::new(false));
        let io = StreamIo::new(stream, abandoned.clone()).counted(frame.counters.clone());
        let mut builder = http1::Builder::new();
        builder
            .title_case_headers(true)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEADER_SIZE)
            .max_buf_size(MAX_BUFFER);
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await?;
        frame.server.spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "HTTP proxy: a connection to a site failed");
            }
        });
        Ok(Self {
            sender,
            key,
            abandoned,
            session,
            is_used: false,
        })
    }

    /// The session of the stream. The connection ends unless its protocol changes.
    pub(super) fn into_session(self) -> ClientSession {
        self.session
    }
}

/// How long a connection waits for its next request. Chosen below the time after which web servers
/// usually close connections.
const IDLE: Duration = Duration::from_secs(30);
/// Chosen as the connections of five browsers to a site, and a quarter of those that a site may accept
/// from one destination. A smaller number closes connections that the next requests need.
const MAX_IDLE_PER_SITE: usize = 32;
/// Chosen because each takes some kilobytes here and at the site.
const MAX_IDLE: usize = 256;
