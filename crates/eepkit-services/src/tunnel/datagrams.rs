//! The frame of tunnels for datagrams.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use eepkit::{
    BindError, DatagramSocket, Destination, ErrorKind, Format, ReceiveError, ReceivedDatagram,
    Session,
};
use eepkit_link::LogLimit;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::session::SessionConfig;
use crate::{
    serve::{Addresses, Handle, Limits, Server},
    service::{Context, ServiceError, Statistic},
    shared_sessions::SharedSession,
};

/// A running tunnel for datagrams, of any kind.
///
/// It stops with [`DatagramTunnel::stop`], or when it is dropped.
pub struct DatagramTunnel {
    shared: Arc<Shared>,
    addresses: Addresses,
    server: Server,
}

/// A tunnel that does not work yet.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) shared: Arc<Shared>,
    server: Server,
}

impl Opening {
    /// Starts the work of a tunnel, which ends when the tunnel stops.
    pub(crate) fn start(
        self,
        addresses: Addresses,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> DatagramTunnel {
        self.shared.server.spawn(work);
        DatagramTunnel {
            shared: self.shared,
            addresses,
            server: self.server,
        }
    }
}

/// What the tasks of a tunnel share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The name of the tunnel, for the log.
    pub(crate) name: String,
    pub(crate) session: SharedSession,
    pub(crate) server: Handle,
    pub(crate) counts: Counts,
    failures: LogLimit,
}

/// The numbers of datagrams, and of the peers or programs that exchange them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    open: AtomicUsize,
    to_i2p: AtomicU64,
    to_programs: AtomicU64,
    dropped: AtomicU64,
}

/// Counts one peer or program as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<Shared>);

impl DatagramTunnel {
    /// Opens the session of a tunnel.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if a file or a session option cannot be used.
    pub(crate) fn open(
        context: &Context,
        name: &str,
        session: &SessionConfig,
    ) -> Result<Opening, ServiceError> {
        let session = context
            .sessions
            .open(&context.router, session.plan(name))
            .map_err(eepkit::Error::from)?;
        // Datagrams need no connections.
        let server = Server::new(Limits::new(1));
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            session,
            server: server.handle(),
            counts: Counts::default(),
            failures: LogLimit::new(),
        });
        Ok(Opening { shared, server })
    }

    /// The UDP addresses for programs.
    pub fn udp_addrs(&self) -> &[SocketAddr] {
        &self.addresses.udp
    }

    /// The destination of the tunnel.
    pub fn destination(&self) -> Destination {
        self.shared.session.destination()
    }

    /// Stops the tunnel, and closes the session unless another tunnel shares it. Returns when this is
    /// done, after some seconds at most.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the tunnel stops in the background.
    pub async fn stop(&self) {
        self.server.shutdown(STOP_LIMIT).await;
        let closing = self.shared.session.release();
        let _ = tokio::time::timeout(STOP_LIMIT, closing).await;
    }

    /// The addresses of the tunnel.
    pub fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// The statistics of the tunnel.
    pub fn statistics(&self) -> Vec<Statistic> {
        let counts = &self.shared.counts;
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            Statistic::gauge(
                "conversations",
                "Peers or programs that exchange datagrams",
                counts.open(),
            ),
            Statistic::counter(
                "datagrams_sent_total",
                "Datagrams of programs that were sent to peers",
                value(&counts.to_i2p),
            ),
            Statistic::counter(
                "datagrams_received_total",
                "Datagrams of peers that were passed to programs",
                value(&counts.to_programs),
            ),
            Statistic::counter(
                "datagrams_dropped_total",
                "Datagrams that were dropped",
                value(&counts.dropped),
            ),
        ]
    }
}

impl fmt::Debug for DatagramTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramTunnel")
            .field("name", &self.shared.name)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Counts a peer or a program until the result is dropped.
    pub(crate) fn open(self: &Arc<Self>) -> Open {
        self.counts.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Counts a datagram to a peer.
    pub(crate) fn sent(&self, result: Result<(), eepkit::SendError>) {
        match result {
            Ok(()) => {
                self.counts.to_i2p.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.dropped(&error),
        }
    }

    /// Counts a datagram to a program.
    pub(crate) fn passed(&self, result: std::io::Result<usize>) {
        match result {
            Ok(_) => {
                self.counts.to_programs.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.dropped(&error),
        }
    }

    /// Counts a datagram that was dropped, and logs it, at level warn for the first of many.
    pub(crate) fn dropped(&self, why: &dyn fmt::Display) {
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        match self.failures.admit() {
            Some(left_out) => warn!(tunnel = self.name, %why, left_out, "drops datagrams"),
            None => debug!(tunnel = self.name, %why, "drops a datagram"),
        }
    }
}

impl Counts {
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counts.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The datagram sockets of a tunnel on one port, one for each format.
#[derive(Debug, Clone)]
pub(crate) struct Sockets {
    signed: Vec<DatagramSocket>,
    raw: Option<DatagramSocket>,
}

impl Sockets {
    /// Binds sockets for raw datagrams, and for the formats with a sender. Those of `optional` are
    /// left out where the router does not support them.
    ///
    /// # Errors
    ///
    /// [`BindError`] if the port is in use, or a format of `needed` is not supported.
    pub(crate) fn bind(
        session: &Session,
        port: u16,
        needed: &[Format],
        optional: &[Format],
    ) -> Result<Self, BindError> {
        let bind = |format| session.datagrams(format).bind(port);
        let mut sockets = Self {
            signed: Vec::new(),
            raw: None,
        };
        let formats = needed.iter().map(|format| (*format, true));
        for (format, is_needed) in formats.chain(optional.iter().map(|format| (*format, false))) {
            match bind(format) {
                Ok(socket) if format == Format::Raw => sockets.raw = Some(socket),
                Ok(socket) => sockets.signed.push(socket),
                Err(error) if is_needed || error.kind() != ErrorKind::Unsupported => {
                    return Err(error);
                }
                Err(error) => debug!(%error, %format, "the router does not support a format"),
            }
        }
        Ok(sockets)
    }

    /// These sockets without the one for raw datagrams.
    pub(crate) fn without_raw(&self) -> Self {
        Self {
            signed: self.signed.clone(),
            raw: None,
        }
    }

    /// The socket of a format.
    pub(crate) fn of(&self, format: Format) -> Option<&DatagramSocket> {
        match format {
            Format::Raw => self.raw.as_ref(),
            _ => self.signed.iter().find(|socket| socket.format() == format),
        }
    }

    /// Receives the next datagram of any format.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`] if the session has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a datagram that was not returned stays in its queue.
    pub(crate) async fn recv(&self) -> Result<(Format, ReceivedDatagram), ReceiveError> {
        let mut waiting = self
            .signed
            .iter()
            .chain(&self.raw)
            .map(|socket| (socket.format(), Box::pin(socket.recv_from())))
            .collect::<Vec<_>>();
        std::future::poll_fn(|cx| {
            for (format, receiving) in &mut waiting {
                if let std::task::Poll::Ready(received) = receiving.as_mut().poll(cx) {
                    return std::task::Poll::Ready(received.map(|one| (*format, one)));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// The local address from which a program is reached.
pub(crate) fn source_for(target: IpAddr) -> SocketAddr {
    let ip = match target {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

/// Decides which datagrams state their sender. Those between carry less overhead.
///
/// A peer that is i2pd attributes raw datagrams to the last sender with the same ports.
#[derive(Debug, Default)]
pub(crate) struct SenderInterval {
    stated: Option<Instant>,
}

impl SenderInterval {
    /// Whether a datagram that is sent now states its sender.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self
            .stated
            .is_none_or(|at| now.duration_since(at) >= INTERVAL);
        if is_due {
            self.stated = Some(now);
        }
        is_due
    }
}

/// The number of a datagram format in i2pd's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DatagramVersion(pub(crate) Format);

impl crate::options::Value for DatagramVersion {
    const FORM: crate::options::Form = crate::options::Form::Single;

    fn read(
        input: &crate::options::Input<'_>,
        _directory: &std::path::Path,
    ) -> Result<Self, crate::options::Mistake> {
        use crate::options::{Input, Mistake};
        let (Input::Number(text) | Input::Text(text)) = input else {
            return Err(Mistake::expected(VERSIONS));
        };
        match *text {
            "1" => Ok(Self(Format::Datagram1)),
            "2" => Ok(Self(Format::Datagram2)),
            "3" => Ok(Self(Format::Datagram3)),
            _ => Err(Mistake::expected(VERSIONS)),
        }
    }

    fn write(&self) -> Option<String> {
        Some(
            match self.0 {
                Format::Datagram2 => "2",
                Format::Datagram3 => "3",
                _ => "1",
            }
            .to_owned(),
        )
    }

    fn check(text: &str) -> Result<(), String> {
        Self::read(&crate::options::Input::Text(text), std::path::Path::new(""))
            .map(drop)
            .map_err(|_| format!("expected {VERSIONS}"))
    }
}

const VERSIONS: &str = "1, 2 or 3";

/// Source: `I2P_UDP_REPLIABLE_DATAGRAM_INTERVAL` of i2pd.
const INTERVAL: Duration = Duration::from_millis(100);

/// Source: the time after which i2pd forgets a UDP session.
pub(crate) const IDLE: Duration = Duration::from_secs(120);

/// The longest datagram of UDP.
pub(crate) const MAX_DATAGRAM: usize = 65_535;

/// The time limit for sending a datagram, which includes the look-up and the time until the session
/// is ready. Chosen because most programs have sent it again by then.
pub(crate) const SEND_LIMIT: Duration = Duration::from_secs(20);

/// The time limit for stopping. Chosen as longer than a session needs to close.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The options of the session of a tunnel for datagrams, which follow its own options.
macro_rules! datagram_options {
    ($config:ty, [$($own:expr),* $(,)?]) => {{
        use std::{path::PathBuf, time::Duration};

        use $crate::{access, options::SessionOptions, tunnel::session};

        &[
            $crate::options::Opt::new(
                "enabled",
                access!($config, bool, enabled),
                "Whether the tunnel runs.",
            ),
            $crate::options::Opt::new(
                "name",
                access!($config, Option<String>, name),
                "The name of the tunnel, in messages and for reloads, and of its session.\n\
                 Default: that of the section for the first, and with -2 for the second.",
            )
            .example("\"my tunnel\""),
            $($own,)*
            session::keys(access!($config, Option<PathBuf>, session.keys)),
            session::shared(access!($config, Option<String>, session.shared)),
            session::preset(access!($config, eepkit::Preset, session.preset)),
            session::reduce_idle(access!($config, Option<Duration>, session.reduce_idle)),
            session::reduce_quantity(access!($config, Option<usize>, session.reduce_quantity)),
            session::options(access!($config, SessionOptions, session.options)),
        ]
    }};
}
pub(crate) use datagram_options;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Value as _;

    #[tokio::test(start_paused = true)]
    async fn a_sender_is_stated_ten_times_a_second() {
        let mut interval = SenderInterval::default();
        let mut stated = 0;
        for _ in 0..1000 {
            stated += usize::from(interval.is_due(Instant::now()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(stated, 10);
    }

    #[test]
    fn versions_are_those_of_i2pd() {
        for (text, format) in [
            ("1", Format::Datagram1),
            ("2", Format::Datagram2),
            ("3", Format::Datagram3),
        ] {
            let version = DatagramVersion(format);
            assert_eq!(version.write().as_deref(), Some(text));
            let input = crate::options::Input::Number(text);
            assert_eq!(DatagramVersion::read(&input, "".as_ref()), Ok(version));
        }
        assert!(DatagramVersion::check("4").is_err());
    }
}
