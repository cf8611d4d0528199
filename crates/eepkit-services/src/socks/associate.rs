//! Datagrams of programs (UDP ASSOCIATE).
//!
//! Each request has a UDP socket of its own, which relays datagrams until the TCP connection of the
//! request ends. Only the program that made the request can use it (RFC 1928, section 7).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit::{DatagramOptions, DatagramSocket, Format, ReceivedDatagram, Session};
use eepkit_socks::{Address, Host, Reply, Request, UdpHeader};
use eepkit_wire::Hash;
use rand::RngExt as _;
use tokio::{net::UdpSocket, sync::Semaphore};
use tracing::debug;

use super::{local::Local, shared::Shared};
use crate::{client_sessions::ClientSession, target::Target};

/// Serves a request until the program closes its connection.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    mut local: Local,
    request: &Request,
    client: Option<IpAddr>,
) {
    if !shared.config.allows_datagrams() {
        return local.refuse(&Reply::CommandNotSupported).await;
    }
    let Some(relay) = Relay::open(shared, &local, request, client).await else {
        return local.refuse(&Reply::Failure).await;
    };
    let Ok(address) = relay.udp.local_addr() else {
        return local.refuse(&Reply::Failure).await;
    };
    if local
        .reply(&Reply::Granted(Address::from(address)))
        .await
        .is_err()
    {
        return;
    }
    tokio::select! {
        () = relay.run() => {}
        () = local.gone() => {}
        () = shared.frame.server.closing().cancelled() => {}
    }
}

/// The relay of one request.
struct Relay {
    shared: Arc<Shared>,
    udp: UdpSocket,
    i2p: DatagramSocket,
    /// The address of the program. Its port is that of its first datagram, unless the request
    /// contains it.
    program: IpAddr,
    port: Option<u16>,
    session: ClientSession,
    names: Arc<Mutex<Names>>,
}

impl Relay {
    async fn open(
        shared: &Arc<Shared>,
        local: &Local,
        request: &Request,
        client: Option<IpAddr>,
    ) -> Option<Self> {
        // A program on a Unix socket is on this machine.
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let tcp = local.socket.tcp().and_then(|tcp| tcp.local_addr().ok());
        let ip = tcp.map_or(loopback, |address| address.ip().to_canonical());
        let udp = UdpSocket::bind(SocketAddr::new(ip, 0)).await;
        let udp = udp
            .inspect_err(|error| debug!(%error, "SOCKS: no UDP socket"))
            .ok()?;
        let session = shared
            .session(request)
            .inspect_err(|error| debug!(%error, "SOCKS: no session for datagrams"))
            .ok()?;
        Some(Self {
            shared: shared.clone(),
            udp,
            i2p: bind(session.session())?,
            program: client.unwrap_or(loopback),
            port: Some(request.target.port).filter(|port| *port != 0),
            session,
            names: Arc::default(),
        })
    }

    async fn run(mut self) {
        let looking_up = Arc::new(Semaphore::new(MAX_LOOKUPS));
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            tokio::select! {
                received = self.udp.recv_from(&mut buffer) => {
                    // An ICMP error of an earlier datagram is reported here. The relay continues.
                    let Ok((count, from)) = received else { continue };
                    let datagram = buffer.get(..count).unwrap_or_default();
                    if !self.is_program(from) || !self.send(&looking_up, datagram) {
                        self.shared.frame.counters.count_dropped();
                    }
                }
                received = self.i2p.recv_from() => {
                    let Ok(received) = received else { return };
                    self.deliver(&received).await;
                }
            }
        }
    }

    /// Whether a datagram is from the program. The first one determines the port.
    fn is_program(&mut self, from: SocketAddr) -> bool {
        if from.ip().to_canonical() != self.program {
            return false;
        }
        let from = from.port();
        *self.port.get_or_insert(from) == from
    }

    /// Sends a datagram of the program. Returns false if it was dropped.
    fn send(&self, looking_up: &Arc<Semaphore>, datagram: &[u8]) -> bool {
        let Ok((UdpHeader { address }, payload)) = UdpHeader::decode(datagram) else {
            return false;
        };
        let Target::I2p(name) = self.shared.target(&address.host) else {
            return false;
        };
        // A name that takes long to look up does not delay datagrams to others.
        let Ok(permit) = looking_up.clone().try_acquire_owned() else {
            return false;
        };
        let (i2p, payload) = (self.i2p.clone(), payload.to_vec());
        let (session, names) = (self.session.clone(), self.names.clone());
        let shared = self.shared.clone();
        self.shared.frame.server.spawn(async move {
            let sending = async {
                let destination = session.session().lookup(name.as_str()).await?;
                lock(&names).insert(destination.hash(), address.host);
                let to = eepkit::Address::new(&destination).with_port(address.port);
                let options = DatagramOptions::new().timeout(SEND_TIMEOUT);
                i2p.send_with(&payload, to, &options).await?;
                Ok::<_, eepkit::Error>(())
            };
            if let Err(error) = sending.await {
                debug!(%error, "SOCKS: a datagram was dropped");
                shared.frame.counters.count_dropped();
            }
            drop(permit);
        });
        true
    }

    /// Passes a datagram of a peer to the program.
    async fn deliver(&self, received: &ReceivedDatagram) {
        let (Some(port), Some(sender)) = (self.port, received.sender()) else {
            return;
        };
        let host = lock(&self.names).of(sender.hash());
        let header = UdpHeader {
            address: Address::new(host, received.from_port()),
        };
        let datagram = header.encode(received.payload());
        let program = SocketAddr::new(self.program, port);
        if self.udp.send_to(&datagram, program).await.is_err() {
            self.shared.frame.counters.count_dropped();
        }
    }
}

/// The hosts to which the program has sent datagrams, as it has named them. Answers carry the same
/// names.
#[derive(Debug, Default)]
struct Names {
    by_hash: HashMap<Hash, Host>,
}

impl Names {
    fn insert(&mut self, hash: Hash, host: Host) {
        if self.by_hash.len() < MAX_NAMES || self.by_hash.contains_key(&hash) {
            self.by_hash.insert(hash, host);
        }
    }

    /// The name of a sender: that of the program, or else the base32 address.
    fn of(&self, hash: Hash) -> Host {
        let named = self.by_hash.get(&hash).cloned();
        named.unwrap_or_else(|| Host::Name(hash.to_b32()))
    }
}

/// A panic while the lock is held leaves the table consistent: a change is one insertion.
fn lock(names: &Mutex<Names>) -> MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Binds a datagram socket on a port that is not in use.
fn bind(session: &Session) -> Option<DatagramSocket> {
    (0..BIND_ATTEMPTS).find_map(|_| {
        let port = rand::rng().random_range(1024..=u16::MAX);
        session.datagrams(Format::Datagram1).bind(port).ok()
    })
}

/// The longest datagram of a program. Source: the longest of UDP over IPv4.
const MAX_DATAGRAM: usize = 65_507;
/// Datagrams that wait for a look-up or for the session at a time. Further ones are dropped.
const MAX_LOOKUPS: usize = 32;
/// Chosen above the number of peers of a program that uses SOCKS for datagrams.
const MAX_NAMES: usize = 1024;
/// How long a datagram may wait. Chosen because most programs have sent it again by then.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Attempts to find a free port among some ten thousand.
const BIND_ATTEMPTS: u32 = 8;
