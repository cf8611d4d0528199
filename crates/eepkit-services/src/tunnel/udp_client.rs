//! Tunnels from local UDP ports to a destination.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use eepkit::{Address, DatagramOptions, Format, Hash, Preset, Session};
use rand::RngExt as _;
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    datagrams::{
        DatagramTunnel, DatagramVersion, IDLE, MAX_DATAGRAM, SEND_LIMIT, SenderInterval, Shared,
        Sockets, datagram_options,
    },
    session::SessionConfig,
    setters::{tunnel_definition, tunnel_setters},
};
use crate::{
    options::{Access, Flag, Opt, Table},
    serve::{Addresses, BindError},
    service::{Context, Definition, Running, ServiceError, Statistic},
};

/// The configuration of a tunnel from a local UDP port to a destination, such as that of i2pd.
///
/// The default has no address and no destination. Both must be set.
#[derive(Debug, Clone, PartialEq)]
pub struct UdpClientConfig {
    name: Option<String>,
    enabled: bool,
    listen: Option<SocketAddr>,
    destination: Option<Address>,
    version: DatagramVersion,
    idle: Duration,
    max_programs: usize,
    session: SessionConfig,
}

impl UdpClientConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            listen: None,
            destination: None,
            version: DatagramVersion(Format::Datagram1),
            idle: IDLE,
            max_programs: MAX_PROGRAMS,
            session: SessionConfig::new(Preset::Interactive),
        }
    }

    tunnel_setters!();

    /// Receives the datagrams of programs at this address. With port 0 the system selects a port; see
    /// [`DatagramTunnel::udp_addrs`].
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Sets the destination and its port.
    #[must_use]
    pub fn destination(mut self, address: Address) -> Self {
        self.destination = Some(address);
        self
    }

    /// Sets the format of the datagrams that state their sender; Datagram1 by default. Datagrams
    /// between them are raw.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.version = DatagramVersion(format);
        self
    }

    /// Sets the time after which a program is forgotten that neither sends nor receives; 2 minutes by
    /// default.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }
}

impl Default for UdpClientConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for UdpClientConfig {
    type Running = DatagramTunnel;

    tunnel_definition!("udp-client", "UDP client tunnel", TABLE);

    fn validate(&self) -> Result<(), String> {
        if self.listen.is_none() {
            return Err(NEEDS_LISTEN.to_owned());
        }
        if self.destination.is_none() {
            return Err("needs a destination: destination = \"HOST.i2p:PORT\"".to_owned());
        }
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<DatagramTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let (Some(listen), Some(destination)) = (self.listen, self.destination.clone()) else {
            return Err(ServiceError::NoAddress);
        };
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        let (udp, address) = bind_udp(listen).await?;
        let opening = DatagramTunnel::open(context, name, &self.session)?;
        let programs = Programs {
            shared: opening.shared.clone(),
            udp: Arc::new(udp),
            destination,
            format: self.version.0,
            idle: self.idle,
            max: self.max_programs,
            table: Arc::default(),
        };
        let addresses = Addresses {
            udp: vec![address],
            ..Addresses::default()
        };
        Ok(opening.start(addresses, programs.run()))
    }
}

impl Running<UdpClientConfig> for DatagramTunnel {
    fn addresses(&self) -> Addresses {
        self.addresses()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.statistics()
    }

    fn reload(&self, config: &UdpClientConfig) -> Result<(), ServiceError> {
        config.check()
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

/// Binds a UDP socket for programs.
///
/// # Errors
///
/// [`BindError`].
pub(crate) async fn bind_udp(address: SocketAddr) -> Result<(UdpSocket, SocketAddr), BindError> {
    let failed = |source| BindError {
        address: format!("{address} (UDP)"),
        source,
    };
    let socket = UdpSocket::bind(address).await.map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok((socket, bound))
}

/// The programs of a tunnel. Each has a port of the destination, so that answers find it.
struct Programs {
    shared: Arc<Shared>,
    udp: Arc<UdpSocket>,
    destination: Address,
    format: Format,
    idle: Duration,
    max: usize,
    table: Arc<Queues>,
}

/// The queues of the programs.
type Queues = Mutex<HashMap<SocketAddr, mpsc::Sender<Bytes>>>;

impl Programs {
    /// Receives datagrams of programs until the tunnel stops.
    async fn run(self) {
        let closing = self.shared.server.closing().clone();
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let received = tokio::select! {
                received = self.udp.recv_from(&mut buffer) => received,
                () = closing.cancelled() => return,
            };
            // An ICMP error of an earlier datagram is reported here.
            let Ok((count, program)) = received else {
                continue;
            };
            let payload = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            self.pass(program, payload);
        }
    }

    /// Passes a datagram to the task of its program.
    fn pass(&self, program: SocketAddr, payload: Bytes) {
        let mut table = lock(&self.table);
        let payload = match table
            .get(&program)
            .map(|queue| queue.try_send(payload.clone()))
        {
            Some(Ok(())) => return,
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                return self.shared.dropped(&"the queue of a program is full");
            }
            // The task has just ended.
            Some(Err(mpsc::error::TrySendError::Closed(payload))) => payload,
            None => payload,
        };
        if table.len() >= self.max && !table.contains_key(&program) {
            return self.shared.dropped(&"there are too many programs");
        }
        let (queue, receiver) = mpsc::channel(QUEUE);
        // The queue is new, so it has room.
        let _ = queue.try_send(payload);
        table.insert(program, queue.clone());
        drop(table);
        let conversation = Conversation {
            shared: self.shared.clone(),
            udp: self.udp.clone(),
            destination: self.destination.clone(),
            format: self.format,
            idle: self.idle,
            program,
        };
        let programs = self.table.clone();
        let closing = self.shared.server.closing().clone();
        self.shared.server.spawn(async move {
            tokio::select! {
                () = conversation.run(receiver) => {}
                () = closing.cancelled() => {}
            }
            let mut table = lock(&programs);
            // A later task of the same program has another queue.
            if table
                .get(&program)
                .is_some_and(|other| other.same_channel(&queue))
            {
                table.remove(&program);
            }
        });
    }
}

/// The datagrams of one program.
struct Conversation {
    shared: Arc<Shared>,
    udp: Arc<UdpSocket>,
    destination: Address,
    format: Format,
    idle: Duration,
    program: SocketAddr,
}

impl Conversation {
    async fn run(self, mut queue: mpsc::Receiver<Bytes>) {
        let Ok(used) = self.shared.session.get() else {
            return self.shared.dropped(&"the session cannot be opened");
        };
        let session = used.session();
        let sockets = match bind_near(session, self.program.port(), self.format) {
            Ok(sockets) => sockets,
            Err(error) => return self.shared.dropped(&error),
        };
        let _open = self.shared.open();
        let last = Mutex::new(Instant::now());
        let sending = async {
            let mut interval = SenderInterval::default();
            while let Some(payload) = queue.recv().await {
                *lock(&last) = Instant::now();
                let format = match interval.is_due(Instant::now()) {
                    true => self.format,
                    false => Format::Raw,
                };
                let socket = sockets.of(format).or_else(|| sockets.of(self.format));
                if let Some(socket) = socket {
                    let options = DatagramOptions::new().timeout(SEND_LIMIT);
                    let sent = socket.send_with(&payload, &self.destination, &options);
                    self.shared.sent(sent.await);
                }
            }
        };
        let receiving = async {
            let mut peer = None;
            while let Ok((format, received)) = sockets.recv().await {
                let is_of_peer = match format {
                    // Without a sender. i2pd answers within 100 ms with raw datagrams only.
                    Format::Raw => [0, received.from_port()].contains(&self.destination.port),
                    _ => {
                        let from = received
                            .sender()
                            .map(|sender| sender.hash())
                            .or_else(|| received.claimed_sender().map(|claimed| claimed.hash()));
                        self.is_peer(session, &mut peer, from).await
                    }
                };
                if !is_of_peer {
                    self.shared.dropped(&"it is not from the destination");
                    continue;
                }
                *lock(&last) = Instant::now();
                let sent = self.udp.send_to(received.payload(), self.program).await;
                self.shared.passed(sent);
            }
        };
        let expiring = async {
            loop {
                let end = *lock(&last) + self.idle;
                if end <= Instant::now() {
                    return;
                }
                sleep_until(end).await;
            }
        };
        tokio::select! {
            () = sending => {}
            () = receiving => {}
            () = expiring => {}
        }
    }

    /// Whether a sender is the destination of the tunnel, which is looked up once.
    async fn is_peer(
        &self,
        session: &Session,
        peer: &mut Option<Hash>,
        from: Option<Hash>,
    ) -> bool {
        if peer.is_none() {
            // It was looked up before to send to it, so this is answered from memory.
            *peer = session
                .lookup(&self.destination)
                .await
                .ok()
                .map(|found| found.hash());
        }
        from.is_some() && *peer == from
    }
}

/// Binds the port of the program, as i2pd uses it, or another one if that is in use.
fn bind_near(session: &Session, port: u16, format: Format) -> Result<Sockets, eepkit::BindError> {
    let bind = |port| Sockets::bind(session, port, &[format], &[Format::Raw]);
    let mut result = bind(port);
    for _ in 0..BIND_ATTEMPTS {
        match &result {
            Err(eepkit::BindError::InUse { .. }) => {
                result = bind(rand::rng().random_range(1024..=u16::MAX));
            }
            _ => break,
        }
    }
    result
}

/// A panic while a lock is held leaves the value consistent: each change is one operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static TABLE: Table<UdpClientConfig> = Table {
    section: "udp-client",
    doc: "A tunnel from a local UDP port to a destination. For several, write [[udp-client]] before each.",
    defaults: UdpClientConfig::new,
    options: datagram_options!(
        UdpClientConfig,
        [
            listen(access!(UdpClientConfig, Option<SocketAddr>, listen)),
            Opt::new(
                "destination",
                access!(UdpClientConfig, Option<Address>, destination),
                "The destination, HOST or HOST:PORT.",
            )
            .example("\"dns.i2p:53\"")
            .flag(Flag::new("destination", "HOST[:PORT]").short('d').hyphen()),
            Opt::new(
                "datagram",
                access!(UdpClientConfig, DatagramVersion, version),
                "Format of the datagrams that state their sender: 1, 2 or 3.\n\
                 Ten in a second do; those between are raw. 1 works with every router.",
            )
            .flag(Flag::new("datagram", "VERSION")),
            idle(access!(UdpClientConfig, Duration, idle)),
            Opt::new(
                "max_programs",
                access!(UdpClientConfig, usize, max_programs),
                "Maximum number of local programs, by address and port, at a time.",
            ),
        ]
    ),
};

pub(crate) const fn listen<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "listen",
        access,
        "UDP address for local programs.\n\
         Whoever can send to it can use the tunnel. With port 0 the system selects a port.",
    )
    .example("\"127.0.0.1:5353\"")
    .flag(Flag::new("listen", "IP:PORT").short('l'))
}

pub(crate) const fn idle<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "idle",
        access,
        "Time without datagrams after which a program or a peer is forgotten.",
    )
}

pub(crate) const NEEDS_LISTEN: &str =
    "needs an address for local programs: listen = \"127.0.0.1:PORT\"";

/// Each takes two or three of the 1,024 datagram sockets of a session.
const MAX_PROGRAMS: usize = 256;
/// Datagrams of a program that wait to be sent. Chosen as what programs send at once.
const QUEUE: usize = 64;
/// Attempts to find a free port among some ten thousand.
const BIND_ATTEMPTS: u32 = 8;
