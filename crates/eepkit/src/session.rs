//! Sessions. A session keeps a destination online.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use eepkit_datagram::Format;
use eepkit_link::Layer;
use eepkit_wire::{Destination, PrivateKeys};

use crate::{
    address::IntoAddress,
    connect::{self, ConnectOptions},
    datagram::DatagramBuilder,
    error::{ConnectError, ListenError, LookupError, PingError, TunnelQuantityError},
    listener::Listener,
    lookup,
    ping::{self, PingOptions},
    shared::{Handle, Shared},
    stage::SessionStage,
    status::{SessionStatus, SessionWatch},
    stream::Stream,
};

/// A destination that is online. It opens streams to peers and accepts streams from them.
///
/// `Session` is a cheap handle; clones refer to the same session. When the link to the router is
/// lost, the session reconnects automatically with the same destination. The delay between attempts
/// starts at 1 s and grows to at most 5 min. Listeners and datagram sockets survive a reconnect;
/// open streams end with [`StreamError::SessionLost`](crate::StreamError::SessionLost).
/// [`Session::status`] reports the current stage and the last problem.
///
/// The session ends with [`Session::close`], or in the background once its last handle, listener,
/// stream and datagram socket are dropped. Written data is still delivered, for up to
/// [`SessionBuilder::linger`](crate::SessionBuilder::linger), before the router is notified.
///
/// ```no_run
/// # async fn example() -> Result<(), eepkit::Error> {
/// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
///
/// let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
/// let session = router.session().open().await?;
/// let mut stream = session.connect("i2p-projekt.i2p:80").await?;
/// stream.write_all(b"GET / HTTP/1.0\r\nHost: i2p-projekt.i2p\r\n\r\n").await?;
/// let mut answer = Vec::new();
/// stream.read_to_end(&mut answer).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session {
    pub(crate) handle: Arc<Handle>,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            handle: Arc::new(Handle { shared }),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// The destination of the session. Peers can reach it by its [`Destination::to_base64`] or
    /// [`Destination::to_b32`].
    pub fn destination(&self) -> &Destination {
        self.shared().keys.destination()
    }

    /// The keys of the destination. Save them to use the same destination again later.
    pub fn keys(&self) -> &PrivateKeys {
        &self.shared().keys
    }

    /// The current status of the session: its stage, when it was reached, and any problem.
    pub fn status(&self) -> SessionStatus {
        self.watch().current()
    }

    /// Watches the status of the session. [`SessionWatch::ready`] waits until peers can reach it,
    /// as far as the router reports.
    pub fn watch(&self) -> SessionWatch {
        self.shared().watch()
    }

    /// Waits until the session has closed or failed.
    ///
    /// The future borrows nothing and does not keep the session open, so it can serve as the
    /// shutdown signal of a server.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut watch = self.watch();
        async move {
            while !watch.stage().is_over() {
                if watch.changed().await.is_none() {
                    return;
                }
            }
        }
    }

    /// Requests numbers of tunnels from the router, 1 to 16 in each direction. After a reconnect
    /// the numbers in the session's options apply again.
    ///
    /// # Errors
    ///
    /// [`TunnelQuantityError`] for a quantity out of range, and over SAM, which cannot change it.
    pub fn set_tunnel_quantity(
        &self,
        inbound: u8,
        outbound: u8,
    ) -> Result<(), TunnelQuantityError> {
        let allowed = 1..=MAX_TUNNELS;
        if let Some(wrong) = [inbound, outbound]
            .into_iter()
            .find(|n| !allowed.contains(n))
        {
            return Err(TunnelQuantityError::OutOfRange(wrong));
        }
        if self.shared().layer == Layer::Streams {
            return Err(TunnelQuantityError::Unsupported);
        }
        self.shared()
            .lock("tunnels")
            .set_quantity(inbound, outbound);
        Ok(())
    }

    /// Opens a stream to `to`: text, a destination or a hash, each with or without a port.
    ///
    /// Returns when the peer has accepted the stream. The time limit is
    /// [`SessionBuilder::connect_timeout`]; it covers the look-up, waiting for tunnels and waiting
    /// for the peer's answer.
    ///
    /// [`SessionBuilder::connect_timeout`]: crate::SessionBuilder::connect_timeout
    ///
    /// # Errors
    ///
    /// [`ConnectError`], whose variants distinguish the causes of failure.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the stream; the peer may already have received its beginning.
    pub async fn connect(&self, to: impl IntoAddress) -> Result<Stream, ConnectError> {
        self.connect_with(to, &ConnectOptions::default()).await
    }

    /// Opens a stream as [`Session::connect`] does, with its own options.
    ///
    /// # Errors
    ///
    /// As [`Session::connect`].
    ///
    /// # Cancel safety
    ///
    /// As [`Session::connect`]. Early data may have reached the peer.
    pub async fn connect_with(
        &self,
        to: impl IntoAddress,
        options: &ConnectOptions,
    ) -> Result<Stream, ConnectError> {
        connect::connect(&self.handle, to.into_address()?, options).await
    }

    /// Listens on `port`, or for 0 on all ports without another listener. The backlog is that of
    /// [`SessionBuilder::backlog`](crate::SessionBuilder::backlog).
    ///
    /// # Errors
    ///
    /// [`ListenError`] if the port is in use or the session has ended.
    pub fn listen(&self, port: u16) -> Result<Listener, ListenError> {
        self.listen_with(port, self.shared().config.backlog)
    }

    /// Listens on `port`. At most `backlog` streams, 1 to 4096, wait to be accepted; further
    /// streams are refused.
    ///
    /// # Errors
    ///
    /// [`ListenError`] if the port is in use, the backlog is out of range or the session has ended.
    pub fn listen_with(&self, port: u16, backlog: usize) -> Result<Listener, ListenError> {
        Listener::new(self.handle.clone(), port, backlog)
    }

    /// Builds a socket that sends and receives datagrams of this format. The last call binds the
    /// port:
    /// `session.datagrams(Format::Datagram1).bind(7)`.
    ///
    /// Streams and any number of datagram sockets share the destination. Each socket has its own
    /// protocol number and port, which are independent of the ports of listeners.
    pub fn datagrams(&self, format: Format) -> DatagramBuilder {
        DatagramBuilder::new(self.handle.clone(), format)
    }

    /// Pings a peer and returns the round-trip time.
    ///
    /// Peers answer without a stream or listener, unless they are configured not to. The time limit
    /// is 30 s; it covers the look-up, waiting for tunnels and waiting for the answer.
    ///
    /// # Errors
    ///
    /// [`PingError`]; [`PingError::Timeout`] when no answer came in time, and
    /// [`PingError::Unsupported`] over SAM.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a late answer is ignored.
    pub async fn ping(&self, to: impl IntoAddress) -> Result<Duration, PingError> {
        self.ping_with(to, &PingOptions::default()).await
    }

    /// Pings a peer as [`Session::ping`] does, with its own payload or time limit.
    ///
    /// # Errors
    ///
    /// As [`Session::ping`]; [`PingError::TooLong`] for a payload of more than 32 bytes.
    ///
    /// # Cancel safety
    ///
    /// As [`Session::ping`].
    pub async fn ping_with(
        &self,
        to: impl IntoAddress,
        options: &PingOptions,
    ) -> Result<Duration, PingError> {
        ping::ping(self.shared(), to.into_address()?, options).await
    }

    /// Finds the destination of a name, a base32 address or base64 text. The sources are, in this
    /// order: the address itself, the session's host map, the names of
    /// [`Router::with_names`](crate::Router::with_names), answers of the router of the last ten
    /// minutes, and the router.
    ///
    /// # Errors
    ///
    /// [`LookupError`], within the time of
    /// [`SessionBuilder::lookup_timeout`](crate::SessionBuilder::lookup_timeout).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn lookup(&self, name: impl IntoAddress) -> Result<Destination, LookupError> {
        let address = name.into_address()?;
        let limit = self.shared().config.lookup_timeout;
        lookup::resolve(self.shared(), &address.host, limit).await
    }

    /// The options in the lease set of `to`, such as service records. The owner of a destination
    /// sets them with `i2cp.leaseSetOption.N`. Each call queries the network. Over I2CP, routers
    /// report them since API 0.9.66.
    ///
    /// # Errors
    ///
    /// [`LookupError`], within twice the time of
    /// [`SessionBuilder::lookup_timeout`](crate::SessionBuilder::lookup_timeout).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn lease_set_options(
        &self,
        to: impl IntoAddress,
    ) -> Result<Vec<(String, String)>, LookupError> {
        let limit = self.shared().config.lookup_timeout;
        let destination = self.lookup(to).await?;
        lookup::lease_set_options(self.shared(), destination, limit).await
    }

    /// Closes the session: refuses new streams, delivers written data and notifies the router.
    ///
    /// Returns when this is done, or when the time of
    /// [`SessionBuilder::linger`](crate::SessionBuilder::linger) has passed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, the session still closes in the background.
    pub async fn close(&self) {
        let shared = self.shared();
        let linger = shared.config.linger;
        shared.begin_close(linger);
        let limit = linger + CLOSE_GRACE;
        shared.watch().reached(SessionStage::Closed, limit).await;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("destination", self.destination())
            .field("stage", &self.shared().stage())
            .finish_non_exhaustive()
    }
}

/// The most tunnels in each direction (I2CP overview, `inbound.quantity`).
const MAX_TUNNELS: u8 = 16;

/// How much longer than the linger time closing may take, so that the supervisor can run.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
