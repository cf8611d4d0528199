//! Tunnels from a destination to a local UDP server.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit::{Address, Datagram, DatagramOptions, Format, Hash, Host, Preset, ReceivedDatagram};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep_until},
};
use tracing::error;

use super::{
    admission::{self, Admission, AdmissionConfig, Place},
    datagrams::{
        DatagramTunnel, IDLE, MAX_DATAGRAM, SEND_LIMIT, SenderInterval, Shared, Sockets,
        datagram_options, source_for,
    },
    session::SessionConfig,
    setters::{tunnel_definition, tunnel_setters},
    target::unique_address,
    udp_client::idle,
};
use crate::{
    options::{Flag, Opt, Table},
    serve::Addresses,
    service::{Context, Definition, Running, ServiceError, Statistic},
};

/// The configuration of a tunnel from a destination to a local UDP server, such as that of i2pd.
///
/// The default has no target. One must be set.
#[derive(Debug, Clone, PartialEq)]
pub struct UdpServerConfig {
    name: Option<String>,
    enabled: bool,
    port: Option<u16>,
    target: Option<SocketAddr>,
    unique_local: bool,
    idle: Duration,
    admission: AdmissionConfig,
    session: SessionConfig,
}

impl UdpServerConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        let mut admission = AdmissionConfig::new();
        (admission.max_streams, admission.max_peer_streams) = (MAX_PEERS, MAX_OF_A_PEER);
        Self {
            name: None,
            enabled: true,
            port: None,
            target: None,
            unique_local: false,
            idle: IDLE,
            admission,
            session: SessionConfig::new(Preset::Server),
        }
    }

    tunnel_setters!();

    /// Receives datagrams to this port of the destination only; those to all ports by default.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets the local server.
    #[must_use]
    pub fn target(mut self, address: SocketAddr) -> Self {
        self.target = Some(address);
        self
    }

    /// Sends to the target from an address in 127.0.0.0/8 for each peer.
    #[must_use]
    pub fn unique_local(mut self) -> Self {
        self.unique_local = true;
        self
    }

    /// Sets the time after which a peer is forgotten that neither sends nor receives; 2 minutes by
    /// default.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// Allows only these peers.
    #[must_use]
    pub fn allow(mut self, peers: impl IntoIterator<Item = Address>) -> Self {
        self.admission.allow.extend(peers);
        self
    }

    /// Denies these peers.
    #[must_use]
    pub fn deny(mut self, peers: impl IntoIterator<Item = Address>) -> Self {
        self.admission.deny.extend(peers);
        self
    }

    /// Limits the conversations, of all peers and of each.
    #[must_use]
    pub fn max_conversations(mut self, all: usize, of_a_peer: usize) -> Self {
        self.admission.max_streams = all;
        self.admission.max_peer_streams = of_a_peer;
        self
    }

    /// Whether peers must be known for certain.
    fn restricts_peers(&self) -> bool {
        !self.admission.allow.is_empty() || !self.admission.deny.is_empty()
    }
}

impl Default for UdpServerConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for UdpServerConfig {
    type Running = DatagramTunnel;

    tunnel_definition!("udp-server", "UDP server tunnel", TABLE);

    fn validate(&self) -> Result<(), String> {
        match self.target {
            None => return Err("needs a local server: target = \"127.0.0.1:PORT\"".to_owned()),
            Some(target) if target.port() == 0 => {
                return Err("target: port 0 is no port of a server".to_owned());
            }
            Some(target) if self.unique_local && !target.ip().is_loopback() => {
                return Err("unique_local needs a target on this machine".to_owned());
            }
            Some(_) => {}
        }
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<DatagramTunnel, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let Some(target) = self.target else {
            return Err(ServiceError::NoAddress);
        };
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        let opening = DatagramTunnel::open(context, name, &self.session)?;
        let session = opening.shared.session.session();
        let port = self.port.unwrap_or(0);
        // The sender of a Datagram3 is only a claim.
        let optional: &[Format] = match self.restricts_peers() {
            true => &[Format::Datagram2, Format::Raw],
            false => &[Format::Datagram2, Format::Datagram3, Format::Raw],
        };
        let sockets = Sockets::bind(&session, port, &[Format::Datagram1], optional)
            .map_err(eepkit::Error::from)?;
        let b32 = session.destination().to_b32();
        let addresses = Addresses {
            i2p: vec![match port {
                0 => b32,
                port => format!("{b32}:{port}"),
            }],
            ..Addresses::default()
        };
        let peers = Peers {
            shared: opening.shared.clone(),
            sockets,
            target,
            unique_local: self.unique_local,
            idle: self.idle,
            admission: Arc::new(Admission::open(self.admission.clone())?),
            table: Arc::default(),
        };
        Ok(opening.start(addresses, peers.run()))
    }
}

impl Running<UdpServerConfig> for DatagramTunnel {
    fn addresses(&self) -> Addresses {
        self.addresses()
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.statistics()
    }

    fn reload(&self, config: &UdpServerConfig) -> Result<(), ServiceError> {
        config.check()
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

/// A peer and the two ports that it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    peer: Hash,
    ports: Ports,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ports {
    from: u16,
    to: u16,
}

#[derive(Debug, Default)]
struct Conversations {
    by_key: HashMap<Key, Arc<Conversation>>,
    /// The last peer that stated itself, by its ports. Raw datagrams with these ports are its own.
    last: HashMap<Ports, Key>,
}

/// The peers of a tunnel.
struct Peers {
    shared: Arc<Shared>,
    sockets: Sockets,
    target: SocketAddr,
    unique_local: bool,
    idle: Duration,
    admission: Arc<Admission>,
    table: Arc<Mutex<Conversations>>,
}

/// The datagrams of one peer.
#[derive(Debug)]
struct Conversation {
    udp: UdpSocket,
    /// Where answers go, and in which format.
    to: Address,
    format: Format,
    from_port: u16,
    state: Mutex<State>,
    _place: Place,
}

#[derive(Debug)]
struct State {
    last: Instant,
    interval: SenderInterval,
}

impl Peers {
    /// Receives datagrams of peers until the tunnel stops.
    async fn run(self) {
        let closing = self.shared.server.closing().clone();
        let resolving = {
            let (admission, shared) = (self.admission.clone(), self.shared.clone());
            async move { admission.run(|| shared.session.session()).await }
        };
        let receiving = async {
            loop {
                match self.sockets.recv().await {
                    Ok((format, received)) => self.receive(format, &received).await,
                    Err(error) => {
                        let tunnel = &self.shared.name;
                        return error!(tunnel, %error, "the session of the tunnel has ended");
                    }
                }
            }
        };
        tokio::select! {
            () = receiving => {}
            () = resolving => {}
            () = closing.cancelled() => {}
        }
    }

    async fn receive(&self, format: Format, received: &ReceivedDatagram) {
        let ports = Ports {
            from: received.from_port(),
            to: received.to_port(),
        };
        let conversation = match received.datagram() {
            Datagram::Anonymous(_) => {
                let table = lock(&self.table);
                let key = table.last.get(&ports);
                match key.and_then(|key| table.by_key.get(key)) {
                    Some(conversation) => conversation.clone(),
                    None => return self.shared.dropped(&"a raw datagram of an unknown peer"),
                }
            }
            Datagram::Authenticated(datagram) => {
                let host = Host::from(datagram.sender());
                match self.of(datagram.sender().hash(), host, ports, format).await {
                    Some(conversation) => conversation,
                    None => return,
                }
            }
            Datagram::Claimed(datagram) => {
                let hash = datagram.claimed_sender().hash();
                match self.of(hash, Host::from(hash), ports, format).await {
                    Some(conversation) => conversation,
                    None => return,
                }
            }
        };
        lock(&conversation.state).last = Instant::now();
        self.shared
            .passed(conversation.udp.send(received.payload()).await);
    }

    /// The conversation with a peer, which is begun if there is none.
    async fn of(
        &self,
        peer: Hash,
        host: Host,
        ports: Ports,
        format: Format,
    ) -> Option<Arc<Conversation>> {
        let key = Key { peer, ports };
        {
            let mut table = lock(&self.table);
            if let Some(conversation) = table.by_key.get(&key).cloned() {
                table.last.insert(ports, key);
                return Some(conversation);
            }
        }
        let place = match self.admission.admit(peer) {
            Ok(place) => place,
            Err(why) => {
                self.shared.dropped(&format_args!("{why:?}"));
                return None;
            }
        };
        let udp = match self.connect(peer).await {
            Ok(udp) => udp,
            Err(error) => {
                self.shared.dropped(&error);
                return None;
            }
        };
        let conversation = Arc::new(Conversation {
            udp,
            to: Address::new(host).with_port(ports.from),
            format,
            from_port: ports.to,
            state: Mutex::new(State {
                last: Instant::now(),
                interval: SenderInterval::default(),
            }),
            _place: place,
        });
        {
            let mut table = lock(&self.table);
            table.by_key.insert(key, conversation.clone());
            table.last.insert(ports, key);
        }
        let (shared, table) = (self.shared.clone(), self.table.clone());
        let (answering, idle) = (conversation.clone(), self.idle);
        let sockets = self.sockets.clone();
        self.shared.server.spawn(async move {
            let open = shared.open();
            tokio::select! {
                () = answering.run(&shared, &sockets, idle) => {}
                () = shared.server.closing().cancelled() => {}
            }
            let mut table = lock(&table);
            table.by_key.remove(&key);
            if table.last.get(&ports) == Some(&key) {
                table.last.remove(&ports);
            }
            drop(open);
        });
        Some(conversation)
    }

    /// Makes a UDP socket for a peer. It receives datagrams of the target only.
    async fn connect(&self, peer: Hash) -> std::io::Result<UdpSocket> {
        let any = source_for(self.target.ip());
        let source = match self.unique_local && self.target.is_ipv4() {
            true => SocketAddr::new(unique_address(peer).into(), 0),
            false => any,
        };
        let udp = match UdpSocket::bind(source).await {
            // Systems other than Linux have only the addresses that were configured.
            Err(_) if source != any => UdpSocket::bind(any).await?,
            bound => bound?,
        };
        udp.connect(self.target).await?;
        Ok(udp)
    }
}

impl Conversation {
    /// Sends the answers of the target to the peer, until nothing moved for `idle`.
    async fn run(&self, shared: &Shared, sockets: &Sockets, idle: Duration) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let end = lock(&self.state).last + idle;
            let received = tokio::select! {
                received = self.udp.recv(&mut buffer) => received,
                () = sleep_until(end) => match lock(&self.state).last + idle <= Instant::now() {
                    true => return,
                    false => continue,
                },
            };
            let payload = match &received {
                Ok(count) => buffer.get(..*count).unwrap_or_default(),
                // An ICMP error: nothing listens there.
                Err(error) => {
                    shared.dropped(error);
                    continue;
                }
            };
            let now = Instant::now();
            let is_due = {
                let mut state = lock(&self.state);
                state.last = now;
                state.interval.is_due(now)
            };
            let format = if is_due { self.format } else { Format::Raw };
            let socket = sockets.of(format).or_else(|| sockets.of(self.format));
            if let Some(socket) = socket {
                let options = DatagramOptions::new()
                    .timeout(SEND_LIMIT)
                    .from_port(self.from_port);
                shared.sent(socket.send_with(payload, &self.to, &options).await);
            }
        }
    }
}

/// A panic while a lock is held leaves the value consistent: each change is one operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static TABLE: Table<UdpServerConfig> = Table {
    section: "udp-server",
    doc: "A tunnel from a destination to a local UDP server. For several, write [[udp-server]] before each.",
    defaults: UdpServerConfig::new,
    options: datagram_options!(
        UdpServerConfig,
        [
            Opt::new(
                "target",
                access!(UdpServerConfig, Option<SocketAddr>, target),
                "The local server.\n\
                 Whoever knows the destination can send to it.",
            )
            .example("\"127.0.0.1:53\"")
            .flag(Flag::new("target", "IP:PORT").short('t')),
            Opt::new(
                "port",
                access!(UdpServerConfig, Option<u16>, port),
                "Port of the destination.\n\
                 Default: datagrams to all ports that no other tunnel of the session has.",
            )
            .example("53")
            .flag(Flag::new("port", "PORT").short('p')),
            Opt::new(
                "unique_local",
                access!(UdpServerConfig, bool, unique_local),
                "Whether datagrams to the target come from an address in 127.0.0.0/8 for each peer.\n\
                 The server can then tell peers apart. Works on Linux.",
            )
            .flag(Flag::new("unique-local", "")),
            admission::allow(access!(UdpServerConfig, Vec<Address>, admission.allow)),
            admission::deny(access!(UdpServerConfig, Vec<Address>, admission.deny)),
            idle(access!(UdpServerConfig, Duration, idle)),
            Opt::new(
                "max_peers",
                access!(UdpServerConfig, usize, admission.max_streams),
                "Maximum number of peers, by destination and ports, at a time.",
            ),
            Opt::new(
                "max_ports_of_peer",
                access!(UdpServerConfig, usize, admission.max_peer_streams),
                "Maximum number of pairs of ports that one peer uses at a time.",
            ),
        ]
    ),
};

/// Each takes a UDP socket and about 70 KiB.
const MAX_PEERS: usize = 1024;
/// Chosen so that eight peers cannot block all others.
const MAX_OF_A_PEER: usize = 128;
