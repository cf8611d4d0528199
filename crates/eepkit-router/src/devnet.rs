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
//! The routers are those that run on the live network, with their real transport, network
//! database, tunnels and encryption. They differ in what surrounds them: they listen on loopback
//! at ports of the system's choosing, cannot reach anything else, are given each other's router
//! infos instead of a reseed, belong to a network with an identifier of its own, and do not mind
//! that all of them are at one address. Nothing is written to disk.
//!
//! Several networks can stand side by side in one process. Dropping a [`Devnet`] stops its
//! routers; [`Devnet::stop`] also waits until their sockets are closed.

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
    BoxFuture, Connector, Link, LinkError, RouterNotReady, RouterStage, RouterWatch, Setup,
    status::Reporter,
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

/// Routers of a network unless chosen otherwise. Chosen because tunnels of two hops with two
/// distinct ends are then spread over enough routers that the loss of one is survived.
const DEFAULT_ROUTERS: usize = 8;

/// Most routers in one network. Chosen because each needs a few megabytes and every pair of them
/// a connection; beyond this a process runs out of file descriptors.
const MAX_ROUTERS: usize = 100;

/// Hops of a tunnel unless chosen otherwise; two is what the routers themselves use by default,
/// and enough to cross other routers in both directions.
const DEFAULT_TUNNEL_LENGTH: usize = 2;

/// Most hops of a tunnel (I2CP specification, `inbound.length`).
const MAX_TUNNEL_LENGTH: usize = 7;

/// How long the routers may take to become ready unless chosen otherwise. Chosen because a network
/// of eight takes less than ten seconds on two busy cores.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);

/// Tunnels in each direction that a router keeps for itself; three is what the routers themselves
/// use by default.
const EXPLORATORY_TUNNELS: usize = 3;

/// Traffic that a router admits: more than loopback carries. The router drops what exceeds it
/// without notice, so it must never be reached.
const BANDWIDTH: Bandwidth = Bandwidth {
    bytes_per_second: 10_000_000_000,
    share: 1.0,
};

/// How long the other routers wait for one that builds its first tunnels. Chosen because it takes
/// some ten milliseconds on an idle machine.
const TURN: Duration = Duration::from_millis(250);

/// Network identifiers given out so far in this process. The live network is 2, test networks of
/// others are often 3 to 99 or 171; ours are 100 to 163, each network's differing from its
/// neighbours'.
static NETWORKS: AtomicU8 = AtomicU8::new(0);
const FIRST_NETWORK_ID: u8 = 100;
const NETWORK_IDS: u8 = 64;

/// A private network of real routers. See the [module](self).
#[derive(Debug)]
pub struct Devnet {
    routers: Vec<DevnetRouter>,
    /// The task that lets the routers begin; it ends by itself.
    turns: Option<AbortHandle>,
}

impl Devnet {
    /// Starts `routers` routers with the defaults of [`DevnetBuilder`] and waits until all of them
    /// are ready.
    ///
    /// Dropping the future stops what has been started.
    pub async fn start(routers: usize) -> Result<Self, StartError> {
        Self::builder().routers(routers).start().await
    }

    /// A network with choices of its own.
    pub fn builder() -> DevnetBuilder {
        DevnetBuilder::default()
    }

    /// The router number `index`, counted from 0. Floodfills have the highest numbers.
    ///
    /// # Panics
    ///
    /// When the network has no such router, as indexing a slice does.
    pub fn router(&self, index: usize) -> DevnetRouter {
        self.routers[index].clone()
    }

    /// All routers, in the order of their numbers.
    pub fn routers(&self) -> &[DevnetRouter] {
        &self.routers
    }

    /// The network's identifier; its routers talk to no router with another.
    pub fn network_id(&self) -> u8 {
        // There are at least two routers.
        self.routers[0].node.plan.network_id
    }

    /// The router infos with which the routers were introduced to each other, for a router
    /// outside this network object that shall join them.
    pub fn router_infos(&self) -> Vec<Vec<u8>> {
        self.routers[0].node.infos.to_vec()
    }

    /// Waits until all routers that are not stopped are ready, at most for `deadline` altogether.
    /// Cancel safe.
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
            // Their sessions end because the network was stopped, not because of a crash.
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
            // A panic in there was reported by the runtime.
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

/// Choices for a [`Devnet`].
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
    /// How many routers, 2 to 100. Default 8.
    pub fn routers(mut self, routers: usize) -> Self {
        self.routers = routers;
        self
    }

    /// How many of them keep the network database, at least 1. Default: a third, at least 3
    /// (where there are so many).
    pub fn floodfills(mut self, floodfills: usize) -> Self {
        self.floodfills = Some(floodfills);
        self
    }

    /// Hops of the routers' own tunnels, and of those sessions opened through
    /// [`DevnetRouter`] that do not set `inbound.length` and `outbound.length` themselves: 1 to 7,
    /// and less than there are routers. Default 2.
    pub fn tunnel_length(mut self, hops: usize) -> Self {
        self.tunnel_length = Some(hops);
        self
    }

    /// Derives the routers' identities from a number, so that they are the same at every start.
    /// What the routers draw and when they act stays random. Default: new identities.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The network's identifier. Default: one that differs from those of the networks started
    /// before and after in this process.
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

    /// How long [`DevnetBuilder::start`] waits for the routers to become ready. Default 60 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Lets [`DevnetBuilder::start`] return as soon as the routers run; whoever opens a session
    /// then waits for them there. Default: wait until they are ready.
    pub fn without_waiting(mut self) -> Self {
        self.deadline = None;
        self
    }

    /// Host names that all routers know. Default: none.
    pub fn hosts(mut self, hosts: HostBook) -> Self {
        self.hosts = hosts;
        self
    }

    /// Starts the network.
    ///
    /// Dropping the future stops what has been started.
    pub async fn start(self) -> Result<Devnet, StartError> {
        let plan = self.plan()?;
        let mut drafts = Vec::with_capacity(self.routers);
        for index in 0..self.routers {
            drafts.push(Draft::new(&plan, index)?);
        }
        // Every router knows every other from the start: tunnels can be built at once, without
        // the exploration by which routers find each other on the live network.
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
            // In the list before it runs: whatever happens next, dropping the list stops it.
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

    /// Checks the choices against each other.
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

/// Lets one router after the other build its first tunnels.
///
/// When all begin at once, so many of them dial each other at the same time that connections are
/// lost (see [`Dials`]); one at a time, each takes some ten milliseconds.
async fn take_turns(routers: Vec<DevnetRouter>) {
    for router in routers {
        router.node.allow_tunnels();
        // Whatever keeps a router from its tunnels, its turn ends.
        let _ = router.watch().ready(TURN).await;
    }
}

/// The choices, checked.
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

    /// How the router `index` is started: with the ports of `addresses`, or ports of the system's
    /// choosing where there are none yet.
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
                // Hybrid key exchange costs time in every handshake and hides nothing here.
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

/// A router before it runs: its listener is bound, so that its router info can be written.
struct Draft {
    index: usize,
    identity: Identity,
    listener: Socket,
    addresses: Addresses,
}

impl Draft {
    fn new(plan: &Plan, index: usize) -> Result<Self, StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // It listens before the router runs: routers that start earlier and dial it wait for a
        // moment, instead of noting it down as dead.
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

/// One router of a [`Devnet`]. Cheap to clone; stays valid while the router is killed and
/// restarted. It is the network that keeps the router alive, not this handle.
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
    /// Its number in the network.
    pub fn index(&self) -> usize {
        self.node.index
    }

    /// Whether it keeps the network database.
    pub fn is_floodfill(&self) -> bool {
        self.node.plan.is_floodfill(self.node.index)
    }

    /// The hash of its identity, the same after a restart.
    pub fn id(&self) -> Hash {
        self.node.id
    }

    /// Where it offers I2CP to other processes (TCP), unless that is off; the same after a restart.
    pub fn i2cp_addr(&self) -> Option<SocketAddr> {
        self.node.addresses().i2cp
    }

    /// Where it speaks SAM 3 (TCP), unless SAM is off; the same after a restart.
    pub fn sam_addr(&self) -> Option<SocketAddr> {
        self.node.addresses().sam_tcp
    }

    /// Where it takes SAM datagrams (UDP), unless SAM is off; the same after a restart.
    pub fn sam_udp_addr(&self) -> Option<SocketAddr> {
        self.node.addresses().sam_udp
    }

    /// Where other routers connect to it (NTCP2); the same after a restart.
    pub fn ntcp2_addr(&self) -> SocketAddr {
        let port = self.node.addresses().ntcp2_port.unwrap_or_default();
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Hops of a tunnel where a session does not say otherwise.
    pub fn tunnel_length(&self) -> usize {
        self.node.plan.tunnel_length
    }

    /// Follows how far it is.
    pub fn watch(&self) -> RouterWatch {
        self.node.reporter.watch()
    }

    /// Whether it was started and neither killed nor stopped with its network.
    pub fn is_running(&self) -> bool {
        matches!(*self.node.state(), State::Up(_))
    }

    /// Takes the router down at once, as a crash would: its sessions are lost, its tunnels and
    /// those that led through it are dead. When this returns, its sockets are closed. The other
    /// routers notice and replace their tunnels, which takes them a second or two.
    ///
    /// Does nothing to a router that is down. Cancelling it leaves the router stopping.
    pub async fn kill(&self) {
        let _one_at_a_time = self.node.start.lock().await;
        if let Some(instance) = self.node.take_down() {
            instance.stop().await;
            if !self.node.closed.is_cancelled() {
                self.node.dials.router_lost();
            }
        }
    }

    /// Brings a killed router back, with the same identity and the same addresses, and returns
    /// when it runs; [`RouterWatch::ready`] reports when it has tunnels again.
    ///
    /// Does nothing to a router that runs. Fails with [`StartError::Stopped`] when the network
    /// was stopped, and with [`StartError::Bind`] should another program have taken one of its
    /// ports meanwhile. Cancelling it leaves the router down.
    pub async fn restart(&self) -> Result<(), StartError> {
        self.node.start(None).await
    }
}

impl Connector for DevnetRouter {
    /// Opens a session; see [`DevnetBuilder::tunnel_length`] for the length of its tunnels.
    fn open(&self, mut setup: Setup) -> BoxFuture<Result<Box<dyn Link>, LinkError>> {
        for key in ["inbound.length", "outbound.length"] {
            // A length that the builder has checked is in the option's range.
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
}

/// One router's place in the network.
struct Node {
    index: usize,
    plan: Arc<Plan>,
    id: Hash,
    identity: Identity,
    /// The router infos of the whole network.
    infos: Arc<[Vec<u8>]>,
    dials: Arc<Dials>,
    hosts: HostBook,
    reporter: Arc<Reporter<RouterStage>>,
    state: Arc<Mutex<State>>,
    /// Opens sessions on the router that is up.
    i2cp: I2cpRouter,
    /// Held while the router is started or stopped.
    start: tokio::sync::Mutex<()>,
    /// Cancelled when the network is stopped.
    closed: CancellationToken,
}

enum State {
    /// Killed, or not started yet; where it shall listen.
    Down(Addresses),
    Up(Arc<dyn Instance>),
    /// The network was stopped; where it has listened.
    Closed(Addresses),
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens sessions on the router that is up, in memory. The end of a connection means that the router
/// was killed, and may come back, unless the network was stopped.
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

    /// Stops the router without waiting, for good.
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
            // At the first start the network decides when the router begins.
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
