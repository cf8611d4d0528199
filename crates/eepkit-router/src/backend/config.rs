//! The start parameters of a router, independent of the implementation that runs it.

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

/// The start parameters of a router.
#[derive(Debug)]
pub(crate) struct RouterConfig {
    pub(crate) identity: Identity,
    /// The network identifier.
    pub(crate) network_id: u8,
    /// Whether other routers may have local addresses, and whether a tunnel may contain several
    /// routers of one subnet.
    pub(crate) allow_local: bool,
    /// Whether the router publishes that it is fast and reachable without having measured it.
    pub(crate) claims_capacity: bool,
    /// Whether the router is a floodfill, which stores a part of the network database.
    pub(crate) floodfill: bool,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) exploratory: Exploratory,
    pub(crate) transit: Transit,
    /// `None` turns NTCP2 off.
    pub(crate) ntcp2: Option<TransportConfig>,
    /// `None` turns SSU2 off.
    pub(crate) ssu2: Option<TransportConfig>,
    /// The TCP port on loopback at which the router offers I2CP to other processes. With 0 the
    /// system assigns the port. `None`: the router offers I2CP only within this process.
    pub(crate) i2cp_port: Option<u16>,
    /// The ports at which the router offers SAM. `None` turns SAM off.
    pub(crate) sam: Option<SamPorts>,
    /// The router infos that the router has when it starts.
    pub(crate) routers: Vec<Vec<u8>>,
    /// The stored profiles of those routers, by base64 hash.
    pub(crate) profiles: Vec<(String, Profile)>,
    /// The host names that the router can resolve.
    pub(crate) hosts: HostBook,
    /// Stores the router infos and profiles that the router backs up.
    pub(crate) keeper: Option<Keeper>,
    pub(crate) reach: Reach,
    /// A socket that already listens at the NTCP2 port, for the router to use.
    pub(crate) listener: Option<Socket>,
    /// Whether the router may build tunnels immediately. If not, it waits for
    /// [`Instance::allow_tunnels`](super::Instance::allow_tunnels).
    pub(crate) build_tunnels: bool,
}

impl RouterConfig {
    /// The address at which routers on the same machine connect to this one over NTCP2. `None` if
    /// its port is not yet assigned.
    pub(crate) fn local_ntcp2(&self) -> Option<SocketAddr> {
        let port = self.ntcp2.as_ref()?.port;
        (port != 0).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

/// The amount of traffic that a router admits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bandwidth {
    /// Bytes per second.
    pub(crate) bytes_per_second: usize,
    /// The fraction of it, from 0 to 1, that transit traffic of other routers may use.
    pub(crate) share: f64,
}

/// The exploratory tunnels, which a router builds for its own use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exploratory {
    /// Hops per tunnel.
    pub(crate) hops: usize,
    /// Tunnels in each direction. `None` uses the default of the implementation.
    pub(crate) tunnels: Option<usize>,
}

/// Whether tunnels of other routers may pass through a router.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transit {
    /// No transit tunnels.
    Refused,
    /// At most this number of transit tunnels at a time.
    AtMost(usize),
    /// Any number of transit tunnels.
    Unlimited,
}

/// How a router accepts connections of other routers over one transport.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransportConfig {
    /// The port. With 0 the system assigns it.
    pub(crate) port: u16,
    /// The address to publish. With `None` the router detects it.
    pub(crate) host: Option<Ipv4Addr>,
    /// Whether handshakes use hybrid key exchange where the peer offers it.
    pub(crate) post_quantum: bool,
}

/// The ports on loopback at which a router offers SAM. With 0 the system assigns the port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SamPorts {
    pub(crate) tcp: u16,
    pub(crate) udp: u16,
}

/// The addresses that a router may reach.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// Every address.
    World,
    /// Loopback only. Every socket is bound to loopback, whatever address the router requests, and
    /// connections to other addresses fail.
    Loopback {
        /// The connections between the routers of the same private network.
        dials: Arc<Dials>,
        /// The address at which this router accepts connections of other routers.
        own: SocketAddr,
    },
}
