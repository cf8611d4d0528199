//! The state of a daemon, and the methods of its control socket.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eepkit::{ErrorKind, OpenError, Router, RouterIdentity, RouterStage, RouterWatch, Stage as _};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};

use super::report::{
    ProgramReport, Report, RouterReport, ServiceReport, SessionReport, Wanted, millis,
};
use crate::{
    Services,
    methods::{ControlError, Events, Methods, Outcome, Request, Work},
};

/// The state of a daemon: its phase, its router and its services. Cheap to clone.
///
/// The program reports changes to it, and executes the [`Order`]s that arrive on the control
/// socket.
#[derive(Debug, Clone)]
pub struct Daemon {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    setup: Setup,
    started: Instant,
    phase: watch::Sender<Phase>,
    router: Mutex<RouterState>,
    services: Mutex<Option<Arc<Services>>>,
    further: Mutex<Option<Arc<dyn Methods>>>,
    orders: mpsc::Sender<Order>,
}

/// The constant properties of a daemon.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The version of the program.
    pub version: String,
    /// The configuration file, if there is one.
    pub config: Option<PathBuf>,
    /// The name of the router until it is known.
    pub router: String,
    /// Whether the router runs in this process.
    pub embedded: bool,
}

/// The phase of a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The router and the services start.
    Starting,
    /// The services run.
    Running,
    /// The services and the router stop.
    Stopping,
    /// Everything has stopped.
    Stopped,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        })
    }
}

/// An order of a client, which the program executes.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again, and report the result.
    Reload(oneshot::Sender<Outcome>),
    /// Stop.
    Stop,
}

#[derive(Debug, Default)]
struct RouterState {
    router: Option<Router>,
    watch: Option<RouterWatch>,
    reach: Reach,
}

/// What is known about a router in another process.
#[derive(Debug, Clone)]
struct Reach {
    stage: &'static str,
    since: Instant,
    problem: Option<String>,
    identity: RouterIdentity,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            stage: UNKNOWN,
            since: Instant::now(),
            problem: None,
            identity: RouterIdentity::default(),
        }
    }
}

const UNKNOWN: &str = "unknown";
const REACHABLE: &str = "reachable";
const UNREACHABLE: &str = "unreachable";

impl Daemon {
    /// Creates the state of a daemon that starts, and the receiver of orders.
    pub fn new(setup: Setup) -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        let inner = Inner {
            setup,
            started: Instant::now(),
            phase: watch::Sender::new(Phase::Starting),
            router: Mutex::default(),
            services: Mutex::default(),
            further: Mutex::default(),
            orders,
        };
        let daemon = Self {
            inner: Arc::new(inner),
        };
        (daemon, receiver)
    }

    /// Enters a phase.
    pub fn enter(&self, phase: Phase) {
        self.inner.phase.send_replace(phase);
    }

    /// Sets the status of an embedded router that is starting.
    pub fn set_router_watch(&self, watch: RouterWatch) {
        self.router().watch = Some(watch);
    }

    /// Sets the router.
    pub fn set_router(&self, router: Router) {
        let mut state = self.router();
        state.watch = router.watch().or_else(|| state.watch.take());
        state.router = Some(router);
    }

    /// Sets the services.
    pub fn set_services(&self, services: Arc<Services>) {
        *lock(&self.inner.services) = Some(services);
    }

    /// Adds further methods to the control socket: those of the address book.
    pub fn set_further_methods(&self, methods: Arc<dyn Methods>) {
        *lock(&self.inner.further) = Some(methods);
    }

    /// The current status.
    pub fn report(&self) -> Report {
        let phase = *self.inner.phase.borrow();
        let router = self.router_report();
        let services = lock(&self.inner.services).clone();
        let services: Vec<ServiceReport> = services.map_or_else(Vec::new, |services| {
            let list = services.list();
            list.iter()
                .map(|service| ServiceReport::new(&**service))
                .collect()
        });
        let sessions = self.router().router.clone();
        let sessions = sessions.map_or_else(Vec::new, |router| SessionReport::all_of(&router));
        let mut waiting_for = Vec::new();
        let mut failed = Vec::new();
        if !router.ready {
            let account = router_account(&router);
            let is_final = [RouterStage::Failed, RouterStage::Stopped]
                .iter()
                .any(|stage| router.stage == stage.as_str());
            match is_final {
                true => failed.push(account),
                false => waiting_for.push(account),
            }
        }
        for service in &services {
            let name = format!("service {}", service.name);
            match (&service.problem, service.state.as_str()) {
                (Some(problem), _) => failed.push(format!("{name} failed: {problem}")),
                (None, "running") => {}
                (None, state) => waiting_for.push(format!("{name}: {state}")),
            }
        }
        match phase {
            Phase::Starting if waiting_for.is_empty() => {
                waiting_for.push("the services to start".to_owned());
            }
            Phase::Stopping | Phase::Stopped => failed.push(format!("the program is {phase}")),
            Phase::Starting | Phase::Running => {}
        }
        Report {
            version: 1,
            program: ProgramReport {
                version: self.inner.setup.version.clone(),
                pid: std::process::id(),
                phase: phase.to_string(),
                uptime_ms: millis(self.inner.started.elapsed()),
                config: self
                    .inner
                    .setup
                    .config
                    .as_ref()
                    .map(|path| path.display().to_string()),
            },
            ready: waiting_for.is_empty() && failed.is_empty() && phase == Phase::Running,
            waiting_for,
            failed,
            router,
            services,
            sessions,
        }
    }

    /// Checks repeatedly whether a router in another process answers. Runs until it is dropped. A
    /// router in this process reports its status itself.
    ///
    /// A connection is made to the router once a minute; after a failure with pauses from 2 s to
    /// 30 s. While a session is ready, no connection is made.
    pub async fn watch_router(&self) {
        if self.inner.setup.embedded {
            return std::future::pending().await;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(router) = self.router().router.clone() else {
                sleep(POLL).await;
                continue;
            };
            let online = router
                .sessions()
                .into_iter()
                .map(|session| session.watch.current())
                .find(|status| status.is_ready());
            let result = match online {
                Some(status) => Ok(status.activity().router.clone()),
                None => router.probe(PROBE_LIMIT).await,
            };
            pause = match result {
                Ok(identity) => {
                    self.reached(REACHABLE, None, identity);
                    PROBE_EVERY
                }
                Err(error) => {
                    self.reached(UNREACHABLE, Some(in_full(&error)), None);
                    (pause * 2).min(LONGEST_PAUSE)
                }
            };
            sleep(pause).await;
        }
    }

    fn reached(
        &self,
        stage: &'static str,
        problem: Option<String>,
        identity: Option<RouterIdentity>,
    ) {
        let mut state = self.router();
        if state.reach.stage != stage {
            state.reach.stage = stage;
            state.reach.since = Instant::now();
        }
        state.reach.problem = problem;
        if let Some(identity) = identity {
            state.reach.identity = identity;
        }
    }

    fn router_report(&self) -> RouterReport {
        let state = self.router();
        let setup = &self.inner.setup;
        let name = state
            .router
            .as_ref()
            .map_or_else(|| setup.router.clone(), Router::name);
        if let Some(watch) = &state.watch {
            return RouterReport::embedded(name, &watch.current());
        }
        let Reach {
            stage,
            since,
            problem,
            identity,
        } = state.reach.clone();
        let text = match stage {
            REACHABLE => "answers",
            UNREACHABLE => "does not answer",
            _ if setup.embedded => "not started yet",
            _ => "not contacted yet",
        };
        RouterReport {
            name,
            embedded: setup.embedded,
            ready: stage == REACHABLE,
            stage: stage.to_owned(),
            stage_ms: millis(since.elapsed()),
            stages: Vec::new(),
            text: text.to_owned(),
            waiting_for: (stage != REACHABLE).then(|| "the router's answer".to_owned()),
            problem,
            program: identity.program,
            protocol: identity.version,
            clock_ahead_ms: identity.clock_ahead_ms,
            activity: None,
        }
    }

    async fn wait_ready(&self, wanted: Wanted) -> Outcome {
        let limit = Duration::from_millis(wanted.timeout_ms.unwrap_or(DEFAULT_WAIT_MS));
        let end = Instant::now() + limit.min(LONGEST_WAIT);
        loop {
            let report = self.report();
            if !report.failed.is_empty() {
                let message = format!("it will not become ready: {}", report.failed.join("; "));
                return Err(ControlError::new("failed", message));
            }
            let mut missing = report.waiting_for.clone();
            missing.extend(report.sessions_wanted(wanted));
            if missing.is_empty() && report.ready {
                return Ok(to_json(&report));
            }
            if Instant::now() >= end {
                let message = format!("not ready after {limit:?}: {}", missing.join("; "));
                return Err(ControlError::new(ErrorKind::Timeout.as_str(), message)
                    .hint("`eepkit status` has the details, `eepkit doctor` looks for the cause"));
            }
            let next = (Instant::now() + POLL).min(end);
            let mut phases = self.inner.phase.subscribe();
            // The next look is early if the phase changes.
            let _ = timeout_at(next, phases.changed()).await;
        }
    }

    /// Sends the report whenever it changes, until everything has stopped.
    async fn watch(&self, events: &Events) -> Outcome {
        let mut last = None;
        loop {
            let phase = *self.inner.phase.borrow();
            let report = self.report();
            let settled = report.settled();
            if last.as_ref() != Some(&settled) {
                events.send(to_json(&report)).await;
                last = Some(settled);
            }
            if phase == Phase::Stopped {
                return Ok(json!({"stopped": true}));
            }
            sleep(POLL).await;
        }
    }

    async fn reload(&self) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        self.order(Order::Reload(reply)).await?;
        let gone = || ControlError::of_kind(ErrorKind::Closed, "the program is stopping");
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Orders the program to stop, and returns when it has.
    async fn stop(&self) -> Outcome {
        let mut phases = self.inner.phase.subscribe();
        self.order(Order::Stop).await?;
        // Fails only if the daemon was dropped, which is the same.
        let _ = phases.wait_for(|phase| *phase == Phase::Stopped).await;
        Ok(json!({"stopped": true}))
    }

    async fn order(&self, order: Order) -> Result<(), ControlError> {
        let sent = self.inner.orders.send(order).await;
        sent.map_err(|_| ControlError::of_kind(ErrorKind::Closed, "the program is stopping"))
    }

    async fn run(self, request: Request, events: Events) -> Outcome {
        match request.method.as_str() {
            "status" => Ok(to_json(&self.report())),
            "services" => Ok(to_json(&self.report().services)),
            "wait_ready" => self.wait_ready(request.params()?).await,
            "watch" => self.watch(&events).await,
            "reload" => self.reload().await,
            "stop" => self.stop().await,
            _ => Ok(json!({
                "version": 1,
                "program": self.inner.setup.version,
                "pid": std::process::id(),
                "methods": Methods::names(&self),
            })),
        }
    }

    fn router(&self) -> MutexGuard<'_, RouterState> {
        lock(&self.inner.router)
    }
}

impl Methods for Daemon {
    fn call(&self, request: Request, events: Events) -> Option<Work<'_, Outcome>> {
        if METHODS.contains(&request.method.as_str()) {
            return Some(Box::pin(self.clone().run(request, events)));
        }
        let further = lock(&self.inner.further).clone()?;
        if !further.names().contains(&request.method.as_str()) {
            return None;
        }
        Some(Box::pin(async move {
            match further.call(request, events) {
                Some(work) => work.await,
                None => Err(ControlError::new("unknown_method", "the method has gone")),
            }
        }))
    }

    fn names(&self) -> Vec<&'static str> {
        let mut names = METHODS.to_vec();
        if let Some(further) = &*lock(&self.inner.further) {
            names.extend(further.names());
        }
        names
    }
}

/// The methods of a daemon.
const METHODS: &[&str] = &[
    "version",
    "status",
    "services",
    "watch",
    "wait_ready",
    "reload",
    "stop",
];

/// Why the router is not ready, in one line.
fn router_account(router: &RouterReport) -> String {
    let mut text = format!("router {}: {}", router.name, router.text);
    if let Some(problem) = &router.problem {
        text.push_str(": ");
        text.push_str(problem);
    }
    if let Some(what) = router.waiting_for.as_ref().filter(|_| router.embedded) {
        text.push_str(", waiting for ");
        text.push_str(what);
    }
    text
}

/// Formats an error with its causes.
fn in_full(error: &OpenError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn to_json(value: &impl serde::Serialize) -> Value {
    // The types have string keys only, so this cannot fail.
    serde_json::to_value(value).unwrap_or_default()
}

/// No code panics while it holds one of the locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Orders that wait to be executed. Further clients wait until there is room.
const ORDERS: usize = 4;

/// How often the status is compared while a client waits for a change. Chosen as fast enough for a
/// display. Comparing takes microseconds.
const POLL: Duration = Duration::from_millis(200);

/// The default of [`Wanted::timeout_ms`].
const DEFAULT_WAIT_MS: u64 = 60_000;
/// The longest wait. Chosen because every wait has a deadline.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// See [`Daemon::watch_router`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(60);
/// Chosen because a router on the same machine answers within milliseconds.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
