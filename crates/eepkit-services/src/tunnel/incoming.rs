//! The frame of tunnels from destinations to local servers.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use eepkit::{Destination, Hash, I2pSocketAddr, Listener, Stream};
use eepkit_link::LogLimit;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tracing::{debug, error, info};

use super::{
    admission::{Admission, AdmissionConfig, Refusal},
    relaying::{self, Abort},
    session::SessionConfig,
    target::{Target, TargetConfig, Targets},
};
use crate::{
    counters::Counters,
    options::{Access, Flag, Opt},
    relay::Prefixed,
    serve::{Addresses, Handle, Limits, Server, Socket},
    service::{Context, ServiceError, Statistic},
    shared_sessions::{SessionPlan, SharedSession, check_keys},
};

/// What a kind of tunnel does with the streams of peers.
pub(crate) trait Remote: Send + Sync + 'static {
    /// Serves a stream that was admitted, until it ends. The tunnel waits for the future when it
    /// stops, and drops it after some seconds.
    fn serve(&self, tunnel: &Arc<Incoming>, stream: Stream) -> impl Future<Output = ()> + Send;

    /// Ends a stream that is one too many. By default it is reset.
    fn refuse(&self, tunnel: &Arc<Incoming>, stream: Stream) -> impl Future<Output = ()> + Send {
        let _ = tunnel;
        stream.reset();
        std::future::ready(())
    }
}

/// The configuration of the frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IncomingConfig {
    pub(crate) alternative_keys: Vec<PathBuf>,
    pub(crate) port: Option<u16>,
    pub(crate) target: TargetConfig,
    pub(crate) admission: AdmissionConfig,
    pub(crate) idle_timeout: Option<Duration>,
}

impl IncomingConfig {
    /// The defaults: all ports, no target, everybody.
    pub(crate) fn new() -> Self {
        Self {
            alternative_keys: Vec::new(),
            port: None,
            target: TargetConfig::new(),
            admission: AdmissionConfig::new(),
            idle_timeout: None,
        }
    }

    /// Checks the combination of options.
    ///
    /// # Errors
    ///
    /// A sentence that describes the conflict.
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.target.validate()?;
        self.admission.validate()
    }

    /// Checks that the files can be used.
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    pub(crate) fn check(&self) -> Result<(), ServiceError> {
        self.target.open()?;
        for file in &self.alternative_keys {
            check_keys(file).map_err(|error| ServiceError::Session(error.into()))?;
        }
        Admission::open(self.admission.clone()).map(drop)
    }
}

/// What the streams of a tunnel share.
pub(crate) struct Incoming {
    /// The name of the tunnel, for the log.
    pub(crate) name: String,
    pub(crate) session: SharedSession,
    pub(crate) server: Handle,
    pub(crate) counters: Arc<Counters>,
    admission: Arc<Admission>,
    targets: Targets,
    idle: Option<Duration>,
    /// Whether the last connection with a target failed.
    is_down: AtomicBool,
    denied: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
    refusals: LogLimit,
}

impl Incoming {
    /// Connects with the target of streams to this port, on behalf of a peer. `None` if there is none,
    /// or if it cannot be reached, which is logged.
    pub(crate) async fn connect(&self, port: u16, peer: Hash) -> Option<Socket> {
        let Some(target) = self.targets.of(port) else {
            debug!(tunnel = self.name, port, "no target for this port");
            return None;
        };
        match self.targets.connect(target, peer).await {
            Ok(socket) => {
                if self.is_down.swap(false, Ordering::Relaxed) {
                    info!(tunnel = self.name, "the target can be reached again");
                }
                Some(socket)
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.log_down(target, &error);
                None
            }
        }
    }

    /// Connects a stream with its target, and copies until both have ended.
    pub(crate) async fn join(&self, stream: Stream) {
        let connecting = self.connect(stream.local_port(), stream.peer().hash());
        match connecting.await {
            Some(socket) => {
                self.relay(Prefixed::new(Bytes::new(), socket), stream)
                    .await
            }
            None => stream.reset(),
        }
    }

    /// Whether the configuration has a target for streams to this port in particular.
    pub(crate) fn has_target_for(&self, port: u16) -> bool {
        self.targets.has(port)
    }

    /// The time without a byte after which connections end, if there is a limit.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.idle
    }

    /// Copies between a target and a stream until both have ended.
    pub(crate) async fn relay(
        &self,
        local: impl AsyncRead + AsyncWrite + Abort + Unpin,
        stream: Stream,
    ) {
        let closing = self.server.closing();
        relaying::relay(local, stream, self.idle, &self.counters, closing).await;
    }

    /// Logs a target that cannot be reached, once until it can be reached again.
    fn log_down(&self, target: &Target, error: &std::io::Error) {
        if self.is_down.swap(true, Ordering::Relaxed) {
            debug!(tunnel = self.name, %error, "the target cannot be reached");
            return;
        }
        error!(
            tunnel = self.name,
            %error,
            "the target cannot be reached; streams are reset until it can"
        );
        // At level debug, because it may contain an address.
        debug!(tunnel = self.name, %target, "the target cannot be reached");
    }

    fn log_refusal(&self, why: Refusal, stream: &Stream) {
        let counter = match why {
            Refusal::Denied => &self.denied,
            Refusal::TooMany => &self.limited,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let peer = stream.peer().to_b32();
        match self.refusals.admit() {
            Some(left_out) => info!(tunnel = self.name, ?why, left_out, "refuses streams"),
            None => debug!(tunnel = self.name, ?why, "refuses a stream"),
        }
        debug!(tunnel = self.name, peer, "the peer of the refused stream");
    }

    fn statistics(&self) -> Vec<Statistic> {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            Statistic::gauge("streams", "Open streams", self.counters.streams()),
            Statistic::counter(
                "streams_denied_total",
                "Streams refused because of the lists and filters",
                value(&self.denied),
            ),
            Statistic::counter(
                "streams_limited_total",
                "Streams refused because there were too many",
                value(&self.limited),
            ),
            Statistic::counter(
                "targets_failed_total",
                "Streams whose target could not be reached",
                value(&self.failed),
            ),
            Statistic::counter(
                "bytes_sent_total",
                "Bytes from the target into streams that have ended",
                self.counters.bytes_sent(),
            ),
            Statistic::counter(
                "bytes_received_total",
                "Bytes to the target from streams that have ended",
                self.counters.bytes_received(),
            ),
        ]
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A running tunnel from a destination to local servers.
///
/// It stops with [`ServerTunnel::stop`], or when it is dropped. All connections end then.
pub struct ServerTunnel {
    shared: Arc<Incoming>,
    /// The sessions of further destinations.
    alternatives: Vec<SharedSession>,
    port: u16,
    server: Server,
}

impl ServerTunnel {
    /// Starts a tunnel.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if a file, a session option or the port cannot be used.
    pub(crate) async fn launch<R: Remote>(
        context: &Context,
        name: &str,
        config: &IncomingConfig,
        session: &SessionConfig,
        kind: R,
    ) -> Result<Self, ServiceError> {
        let open = |plan: SessionPlan| {
            let opened = context.sessions.open(&context.router, plan);
            opened.map_err(eepkit::Error::from)
        };
        let first = open(session.plan(name))?;
        let mut others: Vec<SharedSession> = Vec::new();
        for file in &config.alternative_keys {
            let plan = SessionPlan {
                keys: Some(file.clone()),
                group: None,
                ..session.plan(name)
            };
            match open(plan) {
                Ok(session) => others.push(session),
                Err(error) => {
                    release_all(others.iter().chain([&first])).await;
                    return Err(error.into());
                }
            }
        }
        Self::launch_on(first, others, name, config, kind).await
    }

    /// Starts a tunnel on a session, and on those of further destinations.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if a file or the port cannot be used.
    pub(crate) async fn launch_on<R: Remote>(
        session: SharedSession,
        alternatives: Vec<SharedSession>,
        name: &str,
        config: &IncomingConfig,
        kind: R,
    ) -> Result<Self, ServiceError> {
        let targets = config.target.open()?;
        let admission = Admission::open(config.admission.clone())?;
        let port = config.port.unwrap_or(0);
        let all = || alternatives.iter().chain([&session]);
        let listening: Result<Vec<_>, _> = all().map(|one| one.session().listen(port)).collect();
        let listeners = match listening {
            Ok(listeners) => listeners,
            Err(error) => {
                release_all(all()).await;
                return Err(eepkit::Error::from(error).into());
            }
        };
        // The admission limits the streams; the server counts their tasks.
        let server = Server::new(Limits::new(config.admission.max_streams));
        let shared = Arc::new(Incoming {
            name: name.to_owned(),
            session,
            server: server.handle(),
            counters: Arc::default(),
            admission: Arc::new(admission),
            targets,
            idle: config.idle_timeout,
            is_down: AtomicBool::new(false),
            denied: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refusals: LogLimit::new(),
        });
        let kind = Arc::new(kind);
        for listener in listeners {
            let (tunnel, kind) = (shared.clone(), kind.clone());
            server.handle().spawn(async move {
                tokio::select! {
                    () = accept_all(&tunnel, listener, kind) => {}
                    () = tunnel.server.closing().cancelled() => {}
                }
            });
        }
        let tunnel = shared.clone();
        server.handle().spawn(async move {
            tokio::select! {
                () = tunnel.admission.run(|| tunnel.session.session()) => {}
                () = tunnel.server.closing().cancelled() => {}
            }
        });
        Ok(Self {
            shared,
            alternatives,
            port,
            server,
        })
    }

    /// The destination that peers connect to.
    pub fn destination(&self) -> Destination {
        self.shared.session.destination()
    }

    /// The destination with the port, if the tunnel has one.
    pub fn address(&self) -> I2pSocketAddr {
        I2pSocketAddr::new(self.destination(), self.port)
    }

    /// Closes all connections, and the session unless another tunnel shares it. Returns when this is
    /// done, after some seconds at most.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the tunnel stops in the background.
    pub async fn stop(&self) {
        self.server.shutdown(STOP_LIMIT).await;
        let closing = release_all(self.sessions());
        let _ = tokio::time::timeout(STOP_LIMIT, closing).await;
    }

    /// The sessions of the tunnel, the first one first.
    fn sessions(&self) -> impl Iterator<Item = &SharedSession> {
        [&self.shared.session].into_iter().chain(&self.alternatives)
    }

    /// The addresses on I2P: that of [`ServerTunnel::destination`], and those of the alternative
    /// keys.
    pub fn addresses(&self) -> Addresses {
        let with_port = |b32: String| match self.port {
            0 => b32,
            port => format!("{b32}:{port}"),
        };
        let destinations = self.sessions().map(SharedSession::destination);
        Addresses {
            i2p: destinations.map(|one| with_port(one.to_b32())).collect(),
            ..Addresses::default()
        }
    }

    /// The current statistics.
    pub fn statistics(&self) -> Vec<Statistic> {
        self.shared.statistics()
    }

    /// Reads the trusted certificates again.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if they cannot be used. The old ones then stay in use.
    pub(crate) fn reload(&self, config: &IncomingConfig) -> Result<(), ServiceError> {
        self.shared.targets.reload(&config.target)
    }
}

impl fmt::Debug for ServerTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTunnel")
            .field("name", &self.shared.name)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Ends the use of sessions.
async fn release_all(sessions: impl Iterator<Item = &SharedSession>) {
    futures_util::future::join_all(sessions.map(SharedSession::release)).await;
}

/// Accepts streams until the session ends.
async fn accept_all<R: Remote>(tunnel: &Arc<Incoming>, listener: Listener, kind: Arc<R>) {
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                error!(tunnel = tunnel.name, %error, "the session of the tunnel has ended");
                return;
            }
        };
        let admitted = tunnel.admission.admit(stream.peer().hash());
        let (tunnel, kind) = (tunnel.clone(), kind.clone());
        match admitted {
            Ok(place) => tunnel.clone().server.spawn(async move {
                kind.serve(&tunnel, stream).await;
                drop(place);
            }),
            Err(why) => {
                tunnel.log_refusal(why, &stream);
                match refusals.clone().try_acquire_owned() {
                    Ok(permit) if why == Refusal::TooMany => {
                        tunnel.clone().server.spawn(async move {
                            kind.refuse(&tunnel, stream).await;
                            drop(permit);
                        });
                    }
                    _ => stream.reset(),
                }
            }
        }
    }
}

pub(crate) const fn alternative_keys<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "alternative_keys",
        access,
        "Private key files of further destinations that lead to the same target; created if needed.\n\
         Each has tunnels of its own. Peers can find out that the destinations belong together.",
    )
    .example("[\"old.dat\"]")
}

pub(crate) const fn port<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "port",
        access,
        "The port of the destination.\n\
         Default: all ports that no other tunnel with the same keys has.",
    )
    .example("80")
    .flag(Flag::new("port", "PORT").short('p'))
}

pub(crate) const fn idle_timeout<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "idle_timeout",
        access,
        "Time without a byte in either direction after which a connection ends.\n\
         Default: no limit.",
    )
    .example("\"10m\"")
}

/// Refused streams that are answered at the same time. Further ones are reset without an answer.
const MAX_REFUSALS: usize = 64;

/// The time limit for stopping. Chosen as longer than a session needs to close.
const STOP_LIMIT: Duration = Duration::from_secs(5);
