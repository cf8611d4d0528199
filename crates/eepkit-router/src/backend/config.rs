//! What a router is started with, whatever implementation runs it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use eepkit_naming::HostBook;
use socket2::Socket;

use super::dials::Dials;
use crate::{
    identity::Identity,
    storage::{Keeper, Profile},
};

/// What a router is started with.
#[derive(Debug)]
pub(crate) struct RouterConfig {
    pub(crate) identity: Identity,
    /// The network's identifier.
    pub(crate) network_id: u8,
    /// Whether other routers may be at local addresses, and several of one subnet in a tunnel.
    pub(crate) allow_local: bool,
    /// Whether the router publishes that it is fast and reachable, without having measured it.
    pub(crate) claims_capacity: bool,
    /// Whether the router keeps a part of the network database.
    pub(crate) floodfill: bool,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) exploratory: Exploratory,
    pub(crate) transit: Transit,
    /// `None`: the router has no NTCP2.
    pub(crate) ntcp2: Option<TransportConfig>,
    /// `None`: the router has no SSU2.
    pub(crate) ssu2: Option<TransportConfig>,
    /// The TCP port on loopback at which the router offers I2CP to other processes, 0 for one of the
    /// system's choosing. `None`: it offers I2CP in this process only.
    pub(crate) i2cp_port: Option<u16>,
    /// Where the router offers SAM; `None`: it does not.
    pub(crate) sam: Option<SamPorts>,
    /// Router infos to begin with.
    pub(crate) routers: Vec<Vec<u8>>,
    /// What is known of those routers, by base64 hash.
    pub(crate) profiles: Vec<(String, Profile)>,
    /// Host names that the router knows.
    pub(crate) hosts: HostBook,
    /// Takes what the router wants to keep.
    pub(crate) keeper: Option<Keeper>,
    pub(crate) reach: Reach,
    /// A socket that listens already at the NTCP2 port, for the router to use.
    pub(crate) listener: Option<Socket>,
    /// Whether the router may build tunnels at once; if not, it waits for
    /// [`Instance::allow_tunnels`](super::Instance::allow_tunnels).
    pub(crate) build_tunnels: bool,
}

impl RouterConfig {
    /// Where routers of the same machine connect to this one over NTCP2, if its port is known.
    pub(crate) fn local_ntcp2(&self) -> Option<SocketAddr> {
        let port = self.ntcp2.as_ref()?.port;
        (port != 0).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

/// How much traffic a router admits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bandwidth {
    /// Bytes per second.
    pub(crate) bytes_per_second: usize,
    /// The part of it that may be other routers' traffic, 0 to 1.
    pub(crate) share: f64,
}

/// The tunnels that a router keeps for itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exploratory {
    /// Hops of each.
    pub(crate) hops: usize,
    /// Tunnels in each direction; `None` leaves the number to the implementation.
    pub(crate) tunnels: Option<usize>,
}

/// Whether tunnels of other routers may lead through a router.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transit {
    /// None may.
    Refused,
    /// So many may at a time.
    AtMost(usize),
    /// All may.
    Unlimited,
}

/// How a router takes connections of other routers over one transport.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransportConfig {
    /// The port, 0 for one of the system's choosing.
    pub(crate) port: u16,
    /// The address to publish; `None`: it is found out.
    pub(crate) host: Option<Ipv4Addr>,
    /// Whether handshakes use hybrid key exchange where the peer offers it.
    pub(crate) post_quantum: bool,
}

/// The ports on loopback at which a router offers SAM, 0 for those of the system's choosing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SamPorts {
    pub(crate) tcp: u16,
    pub(crate) udp: u16,
}

/// What a router may reach.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// Everything.
    World,
    /// Loopback: sockets are bound there whatever the router asks for, and connections to anywhere
    /// else fail.
    Loopback {
        /// The dials of the routers of the same private network.
        dials: Arc<Dials>,
        /// Where this router accepts connections of other routers.
        own: SocketAddr,
    },
}
