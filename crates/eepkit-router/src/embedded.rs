//! A real router in this process, connected to the live network.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use eepkit_router::embedded::EmbeddedRouter;
//!
//! let builder = EmbeddedRouter::builder("/home/me/.local/share/my-program/router");
//! let watch = builder.watch();
//! let router = builder.start().await?;
//! watch.ready(Duration::from_secs(300)).await?;
//! println!("the router {} is ready", router.id());
//! router.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! The router stores its keys and its knowledge of the network in a directory of its own (see
//! [`StateError`] for possible faults). It therefore has the same identity at the next start, and
//! does not need to reseed. At the first start on the live network it takes some minutes until
//! there are tunnels. Later starts take less.
//!
//! The router listens for other routers on all interfaces, because it is a part of the network.
//! Sessions of this process reach it in memory. It can offer I2CP or SAM to other processes, on
//! loopback only ([`EmbeddedBuilder::i2cp_port`], [`EmbeddedBuilder::sam_port`]).

use std::{
    collections::HashSet,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use eepkit_attach::i2cp::I2cpRouter;
use eepkit_link::{
    BoxFuture, Connector, Link, LinkError, RouterIdentity, RouterStage, RouterWatch, Setup,
    status::Reporter,
};
use eepkit_naming::HostBook;
use eepkit_wire::Hash;

use crate::{
    backend::{
        self, Addresses, Backend, Bandwidth, Exploratory, Instance, Reach, RouterConfig, SamPorts,
        Transit, TransportConfig,
    },
    error::StartError,
    identity::Identity,
    port_mapping::{MappedPort, PortMapper},
    reseed::{Reseed, ReseedError},
    storage::{Keeper, Known, Ports, StateDir, StateError, id_of},
};

/// The identifier of the live network (network database specification, router info option `netId`).
const LIVE_NETWORK: u8 = 2;

/// A router that has fewer router infos than this reseeds. Chosen as i2pd's threshold. Java I2P
/// reseeds below 50 after filtering, but a router in a network with few routers would then contact
/// a reseed host at every start.
const FEW_ROUTERS: usize = 25;

/// The default traffic limit of a router, in bytes per second. Chosen because most home connections
/// can spare it.
const DEFAULT_BANDWIDTH: usize = 1_000_000;

/// The default fraction of the traffic limit for transit traffic. The default of Java I2P.
const DEFAULT_SHARE: f64 = 0.8;

/// The default number of transit tunnels at a time. Chosen below i2pd's 10,000, which is more than
/// an application should carry.
const DEFAULT_TRANSIT: usize = 1_000;

/// A router in this process. Cheap to clone. Dropping the last handle stops the router without
/// waiting. See the [module](self).
#[derive(Clone)]
pub struct EmbeddedRouter {
    inner: Arc<Inner>,
}

struct Inner {
    addresses: Addresses,
    id: Hash,
    router_info: Vec<u8>,
    watch: RouterWatch,
    i2cp: I2cpRouter,
    running: Mutex<Option<Running>>,
}

/// Dropped when the router stops. The instance is first, because its tasks use the other fields.
struct Running {
    instance: Arc<dyn Instance>,
    mapper: Option<PortMapper>,
    keeper: Keeper,
}

impl fmt::Debug for EmbeddedRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedRouter")
            .field("id", &self.inner.id)
            .field("stage", &self.inner.watch.stage())
            .finish_non_exhaustive()
    }
}

impl EmbeddedRouter {
    /// A builder of a router that stores its state in this directory. The directory is created if
    /// it does not exist. Only one router at a time can use it.
    pub fn builder(state_dir: impl Into<PathBuf>) -> EmbeddedBuilder {
        EmbeddedBuilder {
            state_dir: state_dir.into(),
            network_id: LIVE_NETWORK,
            ntcp2: Some(0),
            ssu2: Some(0),
            host: None,
            floodfill: false,
            transit: Some(DEFAULT_TRANSIT),
            bandwidth: DEFAULT_BANDWIDTH,
            share: DEFAULT_SHARE,
            tunnel_length: 2,
            reseed: Reseed::default(),
            hosts: HostBook::new(),
            i2cp_port: None,
            sam_port: None,
            allow_local: false,
            private: None,
            port_mapping: true,
            reporter: Arc::new(Reporter::new()),
        }
    }

    /// The TCP address on loopback at which the router offers I2CP to other processes. `None` if
    /// that is off.
    pub fn i2cp_addr(&self) -> Option<SocketAddr> {
        self.inner.addresses.i2cp
    }

    /// The TCP address on loopback at which the router offers SAM 3. `None` if SAM is off.
    pub fn sam_addr(&self) -> Option<SocketAddr> {
        self.inner.addresses.sam_tcp
    }

    /// The UDP address on loopback at which the router accepts SAM datagrams. `None` if SAM is off.
    pub fn sam_udp_addr(&self) -> Option<SocketAddr> {
        self.inner.addresses.sam_udp
    }

    /// The port at which the router accepts NTCP2 connections. `None` if NTCP2 is off.
    pub fn ntcp2_port(&self) -> Option<u16> {
        self.inner.addresses.ntcp2_port
    }

    /// The port at which the router receives SSU2 packets. `None` if SSU2 is off.
    pub fn ssu2_port(&self) -> Option<u16> {
        self.inner.addresses.ssu2_port
    }

    /// The hash of the router's identity.
    pub fn id(&self) -> Hash {
        self.inner.id
    }

    /// The router's router info as of its start, for routers that are to connect to this one.
    pub fn router_info(&self) -> &[u8] {
        &self.inner.router_info
    }

    /// A receiver of the router's stages.
    pub fn watch(&self) -> RouterWatch {
        self.inner.watch.clone()
    }

    /// Stops the router. Sessions end, the state is written, and port mappings are removed. When
    /// this returns, its sockets are closed and its directory can be used again. Takes much less
    /// than a second, unless a gateway or a disk is slow.
    ///
    /// A second call returns immediately. If the future is dropped, the router still stops.
    pub async fn stop(&self) {
        let running = self
            .inner
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Running {
            instance,
            mapper,
            keeper,
        }) = running
        {
            instance.stop().await;
            drop(instance);
            keeper.flush().await;
            if let Some(mapper) = mapper {
                mapper.stop().await;
            }
        }
    }
}

impl Connector for EmbeddedRouter {
    fn open(&self, setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        self.inner.i2cp.open(setup)
    }

    fn name(&self) -> String {
        self.inner.i2cp.name()
    }

    fn router_watch(&self) -> Option<RouterWatch> {
        Some(self.watch())
    }

    fn probe(&self, limit: Duration) -> Option<BoxFuture<Result<RouterIdentity, LinkError>>> {
        self.inner.i2cp.probe(limit)
    }

    /// Stops the router, as [`EmbeddedRouter::stop`] does.
    fn stop_router(&self) -> BoxFuture<()> {
        let router = self.clone();
        Box::pin(async move { router.stop().await })
    }
}

/// Options of an [`EmbeddedRouter`].
#[derive(Debug)]
#[must_use]
pub struct EmbeddedBuilder {
    state_dir: PathBuf,
    network_id: u8,
    ntcp2: Option<u16>,
    ssu2: Option<u16>,
    host: Option<Ipv4Addr>,
    floodfill: bool,
    transit: Option<usize>,
    bandwidth: usize,
    share: f64,
    tunnel_length: usize,
    reseed: Reseed,
    hosts: HostBook,
    i2cp_port: Option<u16>,
    sam_port: Option<u16>,
    allow_local: bool,
    /// The router infos to start with in a private network.
    private: Option<Vec<Vec<u8>>>,
    port_mapping: bool,
    reporter: Arc<Reporter<RouterStage>>,
}

/// A builder of a router with the default options that stores its state in this directory.
impl From<&Path> for EmbeddedBuilder {
    fn from(state_dir: &Path) -> Self {
        EmbeddedRouter::builder(state_dir)
    }
}

/// A builder of a router with the default options that stores its state in this directory.
impl From<PathBuf> for EmbeddedBuilder {
    fn from(state_dir: PathBuf) -> Self {
        EmbeddedRouter::builder(state_dir)
    }
}

/// A builder of a router with the default options that stores its state in this directory.
impl From<&str> for EmbeddedBuilder {
    fn from(state_dir: &str) -> Self {
        EmbeddedRouter::builder(state_dir)
    }
}

/// A builder of a router with the default options that stores its state in this directory.
impl From<String> for EmbeddedBuilder {
    fn from(state_dir: String) -> Self {
        EmbeddedRouter::builder(state_dir)
    }
}

impl EmbeddedBuilder {
    /// The network identifier. Default: 2, the live network.
    pub fn network_id(mut self, id: u8) -> Self {
        self.network_id = id;
        self
    }

    /// The TCP port for NTCP2. `None` turns NTCP2 off. Default: `Some(0)`. The system assigns a
    /// port at the first start, and later starts use the same port if it is free.
    pub fn ntcp2(mut self, port: Option<u16>) -> Self {
        self.ntcp2 = port;
        self
    }

    /// The UDP port for SSU2. `None` turns SSU2 off. Default: as for [`EmbeddedBuilder::ntcp2`].
    pub fn ssu2(mut self, port: Option<u16>) -> Self {
        self.ssu2 = port;
        self
    }

    /// The address at which other routers reach this one. Default: detected by port mapping and
    /// from reports of other routers.
    pub fn host(mut self, host: Ipv4Addr) -> Self {
        self.host = Some(host);
        self
    }

    /// Whether the router is a floodfill, which stores a part of the network database. This needs
    /// bandwidth and an address that others can reach. Default: no.
    pub fn floodfill(mut self, floodfill: bool) -> Self {
        self.floodfill = floodfill;
        self
    }

    /// The maximum number of tunnels of other routers that may pass through this one. `None`
    /// refuses all transit tunnels, which makes the router's own traffic easier to identify.
    /// Default: 1000.
    pub fn transit_tunnels(mut self, most: Option<usize>) -> Self {
        self.transit = most;
        self
    }

    /// The traffic limit in bytes per second, and the fraction of it, from 0 to 1, that transit
    /// traffic may use. Traffic above the limit is dropped. Default: 1,000,000 and 0.8.
    pub fn bandwidth(mut self, bytes_per_second: usize, share: f64) -> Self {
        self.bandwidth = bytes_per_second;
        self.share = share;
        self
    }

    /// Hops of the router's own tunnels, 1 to 7. The length of a session's tunnels is an option of
    /// the session. Default: 2.
    pub fn tunnel_length(mut self, hops: usize) -> Self {
        self.tunnel_length = hops;
        self
    }

    /// The source of the router's first router infos. Default: the public reseed hosts.
    pub fn reseed(mut self, reseed: Reseed) -> Self {
        self.reseed = reseed;
        self
    }

    /// Host names that the router can resolve. Default: none.
    pub fn hosts(mut self, hosts: HostBook) -> Self {
        self.hosts = hosts;
        self
    }

    /// The TCP port on loopback at which the router offers I2CP to other processes. With 0 the
    /// system assigns it. Sessions of this process do not need a port. Default: `None`, no I2CP
    /// over TCP.
    pub fn i2cp_port(mut self, port: Option<u16>) -> Self {
        self.i2cp_port = port;
        self
    }

    /// The port for SAM on loopback, for TCP and UDP. With 0 the system assigns both. Default:
    /// `None`, no SAM.
    pub fn sam_port(mut self, port: Option<u16>) -> Self {
        self.sam_port = port;
        self
    }

    /// Whether the router connects to routers at local addresses, and whether a tunnel may contain
    /// several routers of one subnet. Only for private networks. Default: no.
    pub fn allow_local(mut self, allow: bool) -> Self {
        self.allow_local = allow;
        self
    }

    /// Makes this a router of a private network, whose routers may be on several machines.
    ///
    /// `id` is the network identifier. `routers` are the router infos of the other routers
    /// ([`EmbeddedRouter::router_info`]). Routers of a private network may have local addresses.
    /// They publish that they are fast and reachable, so that tunnels use all of them. They neither
    /// reseed nor map ports. [`EmbeddedBuilder::host`] sets the address at which other routers
    /// reach this one. The list may be empty: the first routers start alone, and are restarted once
    /// there are others.
    ///
    /// For a private network inside one process, see [`devnet`](crate::devnet). Default: not a
    /// private network.
    pub fn private_network(mut self, id: u8, routers: Vec<Vec<u8>>) -> Self {
        self.private = Some(routers);
        self.network_id(id).allow_local(true).port_mapping(false)
    }

    /// Whether to open the router's ports in a home gateway over UPnP. Default: yes.
    pub fn port_mapping(mut self, enabled: bool) -> Self {
        self.port_mapping = enabled;
        self
    }

    /// A receiver of the router's stages, which includes those before [`EmbeddedBuilder::start`]
    /// returns, such as reseeding.
    pub fn watch(&self) -> RouterWatch {
        self.reporter.watch()
    }

    /// Starts the router and returns when it runs. [`RouterWatch::ready`] reports when it has
    /// tunnels.
    ///
    /// A router that has too few router infos reseeds first. If reseeding fails and it has none at
    /// all, it does not start, and the error names a remedy. Dropping the future stops everything
    /// that was started.
    pub async fn start(self) -> Result<EmbeddedRouter, StartError> {
        let reporter = Arc::clone(&self.reporter);
        self.start_inner()
            .await
            .inspect_err(|error| reporter.fail(error))
    }

    async fn start_inner(self) -> Result<EmbeddedRouter, StartError> {
        self.check()?;
        let (path, network_id) = (self.state_dir.clone(), self.network_id);
        let (dir, identity, mut known) = blocking(move || {
            let dir = StateDir::open(&path)?;
            let identity = Identity::from_bytes(&dir.keys()?);
            let known = dir.known(network_id)?;
            Ok((Arc::new(dir), identity, known))
        })
        .await?;
        if let Some(routers) = &self.private {
            let others = introduced(routers, identity.id(), &mut known);
            add_routers(&dir, &mut known, others).await?;
        } else if known.routers.len() < FEW_ROUTERS {
            self.add_reseeded(&dir, &mut known).await?;
        }

        let backend = backend::default();
        let keeper = Keeper::new(Arc::clone(&dir));
        let remembered = dir.ports();
        let launch = async |ports| {
            let config = self.config(&identity, &known, &keeper, ports);
            backend.start(config, Arc::clone(&self.reporter)).await
        };
        let instance = match launch(remembered).await {
            // Another program uses a port that the system assigned in an earlier run. Any other
            // port will do.
            Err(StartError::Bind { .. }) if remembered != Ports::default() => {
                launch(Ports::default()).await?
            }
            result => result?,
        };
        let addresses = instance.addresses();
        let router_info = instance.router_info().to_vec();
        let saved = router_info.clone();
        blocking(move || {
            dir.save_router_info(&saved)?;
            let (ntcp2, ssu2) = (addresses.ntcp2_port, addresses.ssu2_port);
            dir.save_ports(Ports { ntcp2, ssu2 })
        })
        .await?;

        let mapper = self.port_mapping.then(|| {
            let tcp = addresses.ntcp2_port.map(MappedPort::Tcp);
            let udp = addresses.ssu2_port.map(MappedPort::Udp);
            let ports = tcp.into_iter().chain(udp).collect();
            PortMapper::start(ports, instance.external_addresses())
        });
        let inner = Inner {
            addresses,
            id: identity.id(),
            router_info,
            watch: self.reporter.watch(),
            i2cp: i2cp_of(&*backend, &*instance),
            running: Mutex::new(Some(Running {
                instance,
                mapper,
                keeper,
            })),
        };
        Ok(EmbeddedRouter {
            inner: Arc::new(inner),
        })
    }

    fn check(&self) -> Result<(), StartError> {
        let bad = |option, why: String| Err(StartError::BadOption { option, why });
        if self.ntcp2.is_none() && self.ssu2.is_none() {
            return bad("ntcp2, ssu2", "one of the two must be on".to_owned());
        }
        if !(1..=7).contains(&self.tunnel_length) {
            return bad(
                "tunnel_length",
                format!("{} is not in 1 to 7", self.tunnel_length),
            );
        }
        if !(0.0..=1.0).contains(&self.share) {
            return bad(
                "bandwidth",
                format!("the share {} is not in 0 to 1", self.share),
            );
        }
        if self.bandwidth == 0 {
            return bad("bandwidth", "0 bytes per second is not enough".to_owned());
        }
        Ok(())
    }

    /// Reseeds, and adds the result to `known` and to the directory.
    async fn add_reseeded(&self, dir: &Arc<StateDir>, known: &mut Known) -> Result<(), StartError> {
        self.reporter.enter(RouterStage::Reseeding);
        let found = match self.reseed.run(self.network_id).await {
            Ok(found) => found,
            Err(error) if known.routers.is_empty() => return Err(error.into()),
            Err(ReseedError::Never) => return Ok(()),
            Err(error) => {
                let routers = known.routers.len();
                tracing::warn!(%error, routers, "cannot reseed; stored router infos are used");
                return Ok(());
            }
        };
        add_routers(dir, known, found).await
    }

    fn config(
        &self,
        identity: &Identity,
        known: &Known,
        keeper: &Keeper,
        remembered: Ports,
    ) -> RouterConfig {
        let transport = |chosen: u16, last: Option<u16>| TransportConfig {
            port: if chosen == 0 {
                last.unwrap_or(0)
            } else {
                chosen
            },
            host: self.host,
            post_quantum: true,
        };
        RouterConfig {
            identity: identity.clone(),
            network_id: self.network_id,
            allow_local: self.allow_local,
            claims_capacity: self.private.is_some(),
            floodfill: self.floodfill,
            bandwidth: Bandwidth {
                bytes_per_second: self.bandwidth,
                share: self.share,
            },
            exploratory: Exploratory {
                hops: self.tunnel_length,
                tunnels: None,
            },
            transit: self.transit.map_or(Transit::Refused, Transit::AtMost),
            ntcp2: self.ntcp2.map(|port| transport(port, remembered.ntcp2)),
            ssu2: self.ssu2.map(|port| transport(port, remembered.ssu2)),
            i2cp_port: self.i2cp_port,
            sam: self.sam_port.map(|port| SamPorts {
                tcp: port,
                udp: port,
            }),
            routers: known.routers.clone(),
            profiles: known.profiles.clone(),
            hosts: self.hosts.clone(),
            keeper: Some(keeper.clone()),
            reach: Reach::World,
            listener: None,
            build_tunnels: true,
        }
    }
}

/// Opens sessions in memory on `instance`. The end of a connection means that the router was
/// stopped.
fn i2cp_of(backend: &dyn Backend, instance: &dyn Instance) -> I2cpRouter {
    let clients = instance.clients();
    let connect = move || std::future::ready(clients.connect());
    I2cpRouter::in_process("embedded router", connect).kind(backend.kind())
}

/// Returns the `routers` other than `own`, and removes all of them from `known`.
fn introduced(routers: &[Vec<u8>], own: Hash, known: &mut Known) -> Vec<Vec<u8>> {
    let id = |info: &Vec<u8>| id_of(info);
    let ids: HashSet<Hash> = routers.iter().filter_map(id).collect();
    known
        .routers
        .retain(|info| id(info).is_none_or(|id| !ids.contains(&id)));
    let others = routers
        .iter()
        .filter(|info| id(info).is_some_and(|id| id != own));
    others.cloned().collect()
}

/// Adds routers to the known ones and to the directory.
async fn add_routers(
    dir: &Arc<StateDir>,
    known: &mut Known,
    routers: Vec<Vec<u8>>,
) -> Result<(), StartError> {
    known.routers.extend_from_slice(&routers);
    let dir = Arc::clone(dir);
    blocking(move || dir.add_routers(&routers)).await
}

/// How long file operations at the start may take. Chosen because there are a few thousand small
/// files.
const STATE_DEADLINE: Duration = Duration::from_secs(30);

/// Runs file operations on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, StartError> {
    match tokio::time::timeout(STATE_DEADLINE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(_)) => Err(StartError::Stopped),
        Err(_) => Err(StartError::Router(
            "the state directory does not answer".to_owned(),
        )),
    }
}
