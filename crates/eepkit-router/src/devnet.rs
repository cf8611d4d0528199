//! A private I2P network of real routers in this process.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use eepkit_router::devnet::Devnet;
//!
//! let net = Devnet::start(8).await?;
//! let (a, b) = (net.router(0), net.router(1));
//! // Both can open sessions in this process; other processes reach them over TCP.
//! println!("I2CP at {:?} and {:?}", a.i2cp_addr(), b.i2cp_addr());
//! # Ok(())
//! # }
//! ```
//!
//! The routers are those that run on the live network, with their real transport, network database,
//! tunnels and encryption. Only their environment differs. They listen on loopback at ports that
//! the system assigns, cannot reach other addresses, and accept that all of them have the same
//! address. They start with each other's router infos instead of reseeding. Their network has its
//! own identifier. Nothing is written to disk.
//!
//! Several networks can exist in one process. Dropping a [`Devnet`] stops its routers;
//! [`Devnet::stop`] also waits until their sockets are closed.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use eepkit_attach::i2cp::I2cpRouter;
use eepkit_link::{
    BoxFuture, Connector, Link, LinkError, RouterIdentity, RouterNotReady, RouterStage,
    RouterWatch, Setup, status::Reporter,
};
use eepkit_naming::HostBook;
use eepkit_wire::Hash;
use rand::{SeedableRng, rngs::StdRng};
use socket2::Socket;
use tokio::{task::AbortHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    backend::{
        self, Addresses, Backend, Bandwidth, Dials, Exploratory, Instance, Reach, RouterConfig,
        SamPorts, Transit, TransportConfig,
    },
    error::StartError,
    identity::Identity,
    sockets::listening_socket,
};

/// The default number of routers. Chosen because tunnels of two hops with two distinct ends are
/// then spread over enough routers that the network survives the loss of one.
const DEFAULT_ROUTERS: usize = 8;

/// The maximum number of routers in one network. Chosen because each needs a few megabytes, and
/// every pair needs a connection. With more, a process runs out of file descriptors.
const MAX_ROUTERS: usize = 100;

/// The default number of hops of a tunnel. Two is the routers' own default, and enough that a
/// message passes through other routers in both directions.
const DEFAULT_TUNNEL_LENGTH: usize = 2;

/// The maximum number of hops of a tunnel (I2CP specification, `inbound.length`).
const MAX_TUNNEL_LENGTH: usize = 7;

/// The default deadline for the routers to become ready. Chosen because a network of eight takes
/// less than ten seconds on two busy cores.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

/// Exploratory tunnels of a router in each direction. Three is the routers' own default.
const EXPLORATORY_TUNNELS: usize = 3;

/// The traffic that a router admits. Chosen above the capacity of loopback, because the router
/// silently drops traffic above it.
const BANDWIDTH: Bandwidth = Bandwidth {
    bytes_per_second: 10_000_000_000,
    share: 1.0,
};

/// How long the other routers wait for the one that builds its first tunnels. Chosen because this
/// takes about ten milliseconds on an idle machine.
const TURN: Duration = Duration::from_millis(250);

/// The number of network identifiers that this process has assigned. The live network has 2, and
/// the test networks of other projects often have 3 to 99 or 171. Networks of this process have 100
/// to 163, and consecutive networks have different ones.
static NETWORKS: AtomicU8 = AtomicU8::new(0);
const FIRST_NETWORK_ID: u8 = 100;
const NETWORK_IDS: u8 = 64;

/// A private network of real routers. See the [module](self).
#[derive(Debug)]
pub struct Devnet {
    routers: Vec<DevnetRouter>,
    /// The task that starts tunnel building in one router after the other. It ends by itself.
    turns: Option<AbortHandle>,
}

impl Devnet {
    /// Starts `routers` routers with the defaults of [`DevnetBuilder`] and waits until all of them
    /// are ready.
    ///
    /// Dropping the future stops all routers that were started.
    pub async fn start(routers: usize) -> Result<Self, StartError> {
        Self::builder().routers(routers).start().await
    }

    /// A builder with the default options.
    pub fn builder() -> DevnetBuilder {
        DevnetBuilder::default()
    }

    /// Returns the router with this index, counted from 0. Floodfills have the highest indexes.
    ///
    /// # Panics
    ///
    /// If the network has no such router.
    pub fn router(&self, index: usize) -> DevnetRouter {
        self.routers[index].clone()
    }

    /// All routers in the order of their indexes.
    pub fn routers(&self) -> &[DevnetRouter] {
        &self.routers
    }

    /// The network identifier. Routers refuse connections of routers with another one.
    pub fn network_id(&self) -> u8 {
        // There are at least two routers.
        self.routers[0].node.plan.network_id
    }

    /// The router infos with which the routers started, for a router outside this object that is to
    /// join the network.
    pub fn router_infos(&self) -> Vec<Vec<u8>> {
        self.routers[0].node.infos.to_vec()
    }

    /// Waits until all running routers are ready, for at most `deadline` in total. Cancel safe.
    pub async fn ready(&self, deadline: Duration) -> Result<(), RouterNotReady> {
        let end = Instant::now() + deadline;
        for router in &self.routers {
            if router.is_running() {
                let left = end.saturating_duration_since(Instant::now());
                let ready = router.watch().ready(left).await;
                ready.map_err(|error| error.waited_for(deadline))?;
            }
        }
        Ok(())
    }

    /// Stops all routers. When this returns, their sockets are closed and their tasks have ended.
    pub async fn stop(self) {
        for router in &self.routers {
            // The reason of the loss of their sessions is then the stop of the network, not a
            // crash.
            router.node.closed.cancel();
        }
        let stops: Vec<_> = self
            .routers
            .iter()
            .map(|router| {
                let router = router.clone();
                tokio::spawn(async move { router.kill().await })
            })
            .collect();
        for stop in stops {
            // The runtime has already reported a panic in the task.
            let _ = stop.await;
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        if let Some(turns) = &self.turns {
            turns.abort();
        }
        for router in &self.routers {
            router.node.close();
        }
    }
}

/// Options of a [`Devnet`].
#[derive(Debug, Clone)]
#[must_use]
pub struct DevnetBuilder {
    routers: usize,
    floodfills: Option<usize>,
    tunnel_length: Option<usize>,
    seed: Option<u64>,
    network_id: Option<u8>,
    i2cp: bool,
    sam: bool,
    deadline: Option<Duration>,
    hosts: HostBook,
}

impl Default for DevnetBuilder {
    fn default() -> Self {
        Self {
            routers: DEFAULT_ROUTERS,
            floodfills: None,
            tunnel_length: None,
            seed: None,
            network_id: None,
            i2cp: true,
            sam: true,
            deadline: Some(DEFAULT_DEADLINE),
            hosts: HostBook::new(),
        }
    }
}

impl DevnetBuilder {
    /// The number of routers, 2 to 100. Default: 8.
    pub fn routers(mut self, routers: usize) -> Self {
        self.routers = routers;
        self
    }

    /// The number of floodfills among them, at least 1. Default: a third of the routers, but at
    /// least 3 if there are as many.
    pub fn floodfills(mut self, floodfills: usize) -> Self {
        self.floodfills = Some(floodfills);
        self
    }

    /// Hops of a tunnel, from 1 to 7, and fewer than there are routers. Applies to the routers' own
    /// tunnels and to sessions opened through [`DevnetRouter`] that do not set `inbound.length` and
    /// `outbound.length`. Default: 2.
    pub fn tunnel_length(mut self, hops: usize) -> Self {
        self.tunnel_length = Some(hops);
        self
    }

    /// Derives the routers' identities from a number, so that they are the same at every start.
    /// Other random choices and the timing of the routers still vary. Default: new identities.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The network identifier. Default: one that differs from those of the previous and the next
    /// network started in this process.
    pub fn network_id(mut self, id: u8) -> Self {
        self.network_id = Some(id);
        self
    }

    /// Whether each router offers I2CP over TCP to other processes. Sessions of this process reach
    /// the routers in memory either way. Default: yes.
    pub fn i2cp(mut self, i2cp: bool) -> Self {
        self.i2cp = i2cp;
        self
    }

    /// Whether each router offers SAM over TCP and UDP. Default: yes.
    pub fn sam(mut self, sam: bool) -> Self {
        self.sam = sam;
        self
    }

    /// How long [`DevnetBuilder::start`] waits for the routers to become ready. Default: 60 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Makes [`DevnetBuilder::start`] return as soon as the routers run. Opening a session then
    /// waits until its router is ready. Default: `start` waits until the routers are ready.
    pub fn without_waiting(mut self) -> Self {
        self.deadline = None;
        self
    }

    /// Host names that all routers can resolve. Default: none.
    pub fn hosts(mut self, hosts: HostBook) -> Self {
        self.hosts = hosts;
        self
    }

    /// Starts the network.
    ///
    /// Dropping the future stops all routers that were started.
    pub async fn start(self) -> Result<Devnet, StartError> {
        let plan = self.plan()?;
        let mut drafts = Vec::with_capacity(self.routers);
        for index in 0..self.routers {
            drafts.push(Draft::new(&plan, index)?);
        }
        // Every router starts with the router infos of all others. Tunnels can therefore be built
        // immediately, without the exploration by which routers find each other on the live
        // network.
        let infos: Arc<[Vec<u8>]> = drafts
            .iter()
            .map(|draft| draft.router_info(&plan))
            .collect();

        let dials = Arc::default();
        let mut net = Devnet {
            routers: Vec::with_capacity(drafts.len()),
            turns: None,
        };
        for draft in drafts {
            let (node, listener) = Node::new(&plan, draft, &infos, &dials, &self.hosts);
            // The router is added to the list before it runs, so that dropping the list always
            // stops it.
            net.routers.push(DevnetRouter {
                node: Arc::clone(&node),
            });
            node.start(Some(listener)).await?;
        }
        let turns = tokio::spawn(take_turns(net.routers.clone()));
        net.turns = Some(turns.abort_handle());
        if let Some(deadline) = self.deadline {
            net.ready(deadline).await?;
        }
        Ok(net)
    }

    /// Checks that the options are consistent.
    fn plan(&self) -> Result<Arc<Plan>, StartError> {
        let bad = |option, why: String| Err(StartError::BadOption { option, why });
        if !(2..=MAX_ROUTERS).contains(&self.routers) {
            return bad(
                "routers",
                format!("{} is not in 2 to {MAX_ROUTERS}", self.routers),
            );
        }
        let floodfills = self
            .floodfills
            .unwrap_or_else(|| (self.routers / 3).max(3).min(self.routers));
        if floodfills == 0 || floodfills > self.routers {
            return bad(
                "floodfills",
                format!("{floodfills} is not in 1 to {}", self.routers),
            );
        }
        let longest = MAX_TUNNEL_LENGTH.min(self.routers - 1);
        let tunnel_length = self
            .tunnel_length
            .unwrap_or_else(|| DEFAULT_TUNNEL_LENGTH.min(longest));
        if tunnel_length == 0 || tunnel_length > longest {
            return bad(
                "tunnel_length",
                format!("{tunnel_length} is not in 1 to {longest}"),
            );
        }
        let network_id = self.network_id.unwrap_or_else(|| {
            FIRST_NETWORK_ID + NETWORKS.fetch_add(1, Ordering::Relaxed) % NETWORK_IDS
        });
        Ok(Arc::new(Plan {
            routers: self.routers,
            floodfills,
            tunnel_length,
            seed: self.seed,
            network_id,
            i2cp: self.i2cp,
            sam: self.sam,
            backend: backend::default(),
        }))
    }
}

/// Allows one router after the other to build its first tunnels.
///
/// If all of them start at once, so many dial each other at the same time that connections are lost
/// (see [`Dials`]). One at a time, each takes about ten milliseconds.
async fn take_turns(routers: Vec<DevnetRouter>) {
    for router in routers {
        router.node.allow_tunnels();
        // The next router starts even if this one did not become ready.
        let _ = router.watch().ready(TURN).await;
    }
}

/// The checked options.
#[derive(Debug)]
struct Plan {
    routers: usize,
    floodfills: usize,
    tunnel_length: usize,
    seed: Option<u64>,
    network_id: u8,
    i2cp: bool,
    sam: bool,
    backend: Arc<dyn Backend>,
}

impl Plan {
    fn is_floodfill(&self, index: usize) -> bool {
        index >= self.routers - self.floodfills
    }

    /// Returns the configuration of router `index`. It has the ports of `addresses`, or lets the
    /// system assign those that are not set.
    fn config(
        &self,
        index: usize,
        identity: &Identity,
        addresses: &Addresses,
        dials: &Arc<Dials>,
    ) -> RouterConfig {
        let port_of = |address: Option<SocketAddr>| address.map_or(0, |address| address.port());
        let port = addresses.ntcp2_port.unwrap_or_default();
        RouterConfig {
            identity: identity.clone(),
            network_id: self.network_id,
            allow_local: true,
            claims_capacity: true,
            floodfill: self.is_floodfill(index),
            bandwidth: BANDWIDTH,
            exploratory: Exploratory {
                hops: self.tunnel_length,
                tunnels: Some(EXPLORATORY_TUNNELS),
            },
            transit: Transit::Unlimited,
            ntcp2: Some(TransportConfig {
                port,
                host: Some(Ipv4Addr::LOCALHOST),
                // Hybrid key exchange costs time in every handshake and protects nothing here.
                post_quantum: false,
            }),
            ssu2: None,
            i2cp_port: self.i2cp.then(|| port_of(addresses.i2cp)),
            sam: self.sam.then(|| SamPorts {
                tcp: port_of(addresses.sam_tcp),
                udp: port_of(addresses.sam_udp),
            }),
            routers: Vec::new(),
            profiles: Vec::new(),
            hosts: HostBook::new(),
            keeper: None,
            reach: Reach::Loopback {
                dials: Arc::clone(dials),
                own: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            },
            listener: None,
            build_tunnels: true,
        }
    }

    fn identity(&self, index: usize) -> Identity {
        let Some(seed) = self.seed else {
            return Identity::new(&mut rand::rng());
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&(index as u64).to_le_bytes());
        Identity::new(&mut StdRng::from_seed(bytes))
    }
}

/// A router before its start. Its listener is bound, so that its router info can be written.
struct Draft {
    index: usize,
    identity: Identity,
    listener: Socket,
    addresses: Addresses,
}

impl Draft {
    fn new(plan: &Plan, index: usize) -> Result<Self, StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // The socket listens before the router runs. Routers that start earlier and dial it then
        // wait for a moment instead of recording it as unreachable.
        let bound = listening_socket(address).and_then(|socket| {
            let bound = socket.local_addr()?.as_socket();
            Ok((socket, bound.map(|address| address.port())))
        });
        let (listener, ntcp2_port) =
            bound.map_err(|source| StartError::Bind { address, source })?;
        Ok(Self {
            index,
            identity: plan.identity(index),
            listener,
            addresses: Addresses {
                ntcp2_port,
                ..Addresses::default()
            },
        })
    }

    fn router_info(&self, plan: &Plan) -> Vec<u8> {
        let dials = Arc::default();
        let config = plan.config(self.index, &self.identity, &self.addresses, &dials);
        plan.backend.router_info(&config)
    }
}

/// One router of a [`Devnet`]. Cheap to clone. Remains valid while the router is killed and
/// restarted. The network keeps the router alive; this handle does not.
#[derive(Clone)]
pub struct DevnetRouter {
    node: Arc<Node>,
}

impl fmt::Debug for DevnetRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevnetRouter")
            .field("index", &self.node.index)
            .field("stage", &self.watch().stage())
            .finish_non_exhaustive()
    }
}

impl DevnetRouter {
    /// The index of the router in the network.
    pub fn index(&self) -> usize {
        self.node.index
    }

    /// Whether the router is a floodfill.
    pub fn is_floodfill(&self) -> bool {
        self.node.plan.is_floodfill(self.node.index)
    }

    /// The hash of the router's identity. It does not change at a restart.
    pub fn id(&self) -> Hash {
        self.node.id
    }

    /// The TCP address at which the router offers I2CP to other processes. `None` if that is off.
    /// It does not change at a restart.
    pub fn i2cp_addr(&self) -> Option<SocketAddr> {
        self.node.addresses().i2cp
    }

    /// The TCP address at which the router offers SAM 3. `None` if SAM is off. It does not change
    /// at a restart.
    pub fn sam_addr(&self) -> Option<SocketAddr> {
        self.node.addresses().sam_tcp
    }

    /// The UDP address at which the router accepts SAM datagrams. `None` if SAM is off. It does not
    /// change at a restart.
    pub fn sam_udp_addr(&self) -> Option<SocketAddr> {
        self.node.addresses().sam_udp
    }

    /// The address at which the router accepts NTCP2 connections of other routers. It does not
    /// change at a restart.
    pub fn ntcp2_addr(&self) -> SocketAddr {
        let port = self.node.addresses().ntcp2_port.unwrap_or_default();
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// The default number of hops of a session's tunnels.
    pub fn tunnel_length(&self) -> usize {
        self.node.plan.tunnel_length
    }

    /// A receiver of the router's stages.
    pub fn watch(&self) -> RouterWatch {
        self.node.reporter.watch()
    }

    /// Whether the router was started, and neither killed nor stopped with its network.
    pub fn is_running(&self) -> bool {
        matches!(*self.node.state(), State::Up(_))
    }

    /// Stops the router immediately, as a crash would. Its sessions are lost, and its tunnels and
    /// those that pass through it fail. When this returns, its sockets are closed. The other
    /// routers notice and replace their tunnels within a second or two.
    ///
    /// Does nothing if the router is not running. If the future is dropped, the router still stops.
    pub async fn kill(&self) {
        let _one_at_a_time = self.node.start.lock().await;
        if let Some(instance) = self.node.take_down() {
            instance.stop().await;
            if !self.node.closed.is_cancelled() {
                self.node.dials.router_lost();
            }
        }
    }

    /// Restarts a killed router with the same identity and the same addresses, and returns when it
    /// runs. [`RouterWatch::ready`] reports when it has tunnels again.
    ///
    /// Does nothing if the router is running. Fails with [`StartError::Stopped`] if the network was
    /// stopped, and with [`StartError::Bind`] if another program has meanwhile bound one of its
    /// ports. If the future is dropped, the router does not run.
    pub async fn restart(&self) -> Result<(), StartError> {
        self.node.start(None).await
    }
}

impl Connector for DevnetRouter {
    /// Opens a session. See [`DevnetBuilder::tunnel_length`] for the length of its tunnels.
    fn open(&self, mut setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        for key in ["inbound.length", "outbound.length"] {
            // The builder has checked that the length is in the range of the option.
            if setup.options.get(key).is_none() {
                let _ = setup.options.set(key, &self.tunnel_length().to_string());
            }
        }
        self.node.i2cp.open(setup)
    }

    fn name(&self) -> String {
        self.node.i2cp.name()
    }

    fn router_watch(&self) -> Option<RouterWatch> {
        Some(self.watch())
    }

    fn probe(&self, limit: Duration) -> Option<BoxFuture<Result<RouterIdentity, LinkError>>> {
        self.node.i2cp.probe(limit)
    }
}

/// The permanent state of one router in the network. It survives restarts of the router.
struct Node {
    index: usize,
    plan: Arc<Plan>,
    id: Hash,
    identity: Identity,
    /// The router infos of all routers of the network.
    infos: Arc<[Vec<u8>]>,
    dials: Arc<Dials>,
    hosts: HostBook,
    reporter: Arc<Reporter<RouterStage>>,
    state: Arc<Mutex<State>>,
    /// Opens sessions on the running router.
    i2cp: I2cpRouter,
    /// Held while the router is started or stopped.
    start: tokio::sync::Mutex<()>,
    /// Cancelled when the network is stopped.
    closed: CancellationToken,
}

enum State {
    /// Killed, or not started yet. Has the addresses at which it will listen.
    Down(Addresses),
    Up(Arc<dyn Instance>),
    /// The network was stopped. Has the addresses at which it listened.
    Closed(Addresses),
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens sessions in memory on the running router. The end of a connection means that the network
/// was stopped, or that the router was killed and may be restarted.
fn i2cp_of(
    plan: &Plan,
    index: usize,
    state: &Arc<Mutex<State>>,
    closed: &CancellationToken,
) -> I2cpRouter {
    let (state, closed) = (Arc::clone(state), closed.clone());
    let connect = move || {
        let connected = match &*lock(&state) {
            State::Up(instance) => instance.clients().connect(),
            State::Down(_) | State::Closed(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        std::future::ready(connected)
    };
    I2cpRouter::in_process(format!("devnet router {index}"), connect)
        .kind(plan.backend.kind())
        .stopped_when(move || closed.is_cancelled())
}

impl Node {
    fn new(
        plan: &Arc<Plan>,
        draft: Draft,
        infos: &Arc<[Vec<u8>]>,
        dials: &Arc<Dials>,
        hosts: &HostBook,
    ) -> (Arc<Self>, Socket) {
        let state = Arc::new(Mutex::new(State::Down(draft.addresses)));
        let closed = CancellationToken::new();
        let node = Self {
            index: draft.index,
            plan: Arc::clone(plan),
            id: draft.identity.id(),
            identity: draft.identity,
            infos: Arc::clone(infos),
            dials: Arc::clone(dials),
            hosts: hosts.clone(),
            reporter: Arc::new(Reporter::new()),
            i2cp: i2cp_of(plan, draft.index, &state, &closed),
            state,
            start: tokio::sync::Mutex::new(()),
            closed,
        };
        (Arc::new(node), draft.listener)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn addresses(&self) -> Addresses {
        match &*self.state() {
            State::Down(addresses) | State::Closed(addresses) => *addresses,
            State::Up(instance) => instance.addresses(),
        }
    }

    fn allow_tunnels(&self) {
        if let State::Up(instance) = &*self.state() {
            instance.allow_tunnels();
        }
    }

    fn take_down(&self) -> Option<Arc<dyn Instance>> {
        let mut state = self.state();
        let State::Up(instance) = &*state else {
            return None;
        };
        let instance = Arc::clone(instance);
        *state = State::Down(instance.addresses());
        Some(instance)
    }

    /// Stops the router permanently, without waiting.
    fn close(&self) {
        self.closed.cancel();
        let mut state = self.state();
        let addresses = match &*state {
            State::Up(instance) => instance.addresses(),
            State::Down(addresses) | State::Closed(addresses) => *addresses,
        };
        *state = State::Closed(addresses);
    }

    async fn start(&self, listener: Option<Socket>) -> Result<(), StartError> {
        let _one_at_a_time = self.start.lock().await;
        let addresses = match &*self.state() {
            State::Up(_) => return Ok(()),
            State::Closed(_) => return Err(StartError::Stopped),
            State::Down(addresses) => *addresses,
        };
        let others = self
            .infos
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != self.index);
        let config = RouterConfig {
            routers: others.map(|(_, info)| info.clone()).collect(),
            hosts: self.hosts.clone(),
            // At the first start the network determines when the router builds tunnels.
            build_tunnels: listener.is_none(),
            listener,
            ..self
                .plan
                .config(self.index, &self.identity, &addresses, &self.dials)
        };
        self.reporter.restart();
        let started = self.plan.backend.start(config, Arc::clone(&self.reporter));
        let instance = started
            .await
            .inspect_err(|error| self.reporter.fail(error))?;
        let mut state = self.state();
        if matches!(*state, State::Closed(_)) {
            return Err(StartError::Stopped);
        }
        *state = State::Up(instance);
        Ok(())
    }
}
