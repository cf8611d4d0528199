//! The common interface of all services.
//!
//! A kind of service implements [`Definition`] for its configuration and [`Running`] for the
//! running service. [`Managed`] combines the two into a [`Service`], which has a state, can be
//! started, reloaded and stopped, and reports its addresses and statistics.
//! [`Services`](crate::Services) holds any number of services.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use eepkit::Router;
use tokio::sync::watch;

use crate::{
    naming::Names,
    options::Table,
    serve::{Addresses, BindError},
    shared_sessions::SharedSessions,
    tls::TlsError,
    users::{UserError, UsersError},
};

/// A service that can be displayed and controlled without knowledge of its kind.
pub trait Service: fmt::Debug + Send + Sync {
    /// The kind, which is the name of its section in the configuration file.
    fn kind(&self) -> &'static str;

    /// The name, unique among the services of its kind.
    fn name(&self) -> &str;

    /// A receiver of the state and its changes.
    fn states(&self) -> watch::Receiver<State>;

    /// The current state.
    fn state(&self) -> State {
        self.states().borrow().clone()
    }

    /// The addresses on which the service listens; empty unless it runs.
    fn addresses(&self) -> Addresses;

    /// The statistics; empty unless the service runs.
    fn statistics(&self) -> Vec<Statistic>;

    /// Starts the service. A running service is not changed.
    ///
    /// The future resolves to [`ServiceError`] if the service cannot start, and the state is then
    /// [`State::Failed`]. If the future is dropped before its end, the service is stopped.
    fn start(&self) -> Work<'_, Result<(), ServiceError>>;

    /// Reads the files of the configuration again, such as certificates and users. Connections stay
    /// open. A service that does not run is started.
    ///
    /// The future resolves to [`ServiceError`] if a file cannot be used. The old content then stays
    /// in use.
    fn reload(&self) -> Work<'_, Result<(), ServiceError>>;

    /// Stops the service, within a time limit of its kind. If the future is dropped, the rest is
    /// done in the background.
    fn stop(&self) -> Work<'_, ()>;
}

/// The future of an operation of a [`Service`].
pub type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The state of a [`Service`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The service was not started, or was stopped.
    Stopped,
    /// The service is starting.
    Starting,
    /// The service is running.
    Running,
    /// The service is stopping.
    Stopping,
    /// The service could not start, for this reason.
    Failed(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Starting => f.write_str("starting"),
            Self::Running => f.write_str("running"),
            Self::Stopping => f.write_str("stopping"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

/// A statistic of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistic {
    /// The name as in Prometheus, without the prefix of the program.
    pub name: &'static str,
    /// A description.
    pub help: &'static str,
    /// Whether the value only grows.
    pub measure: Measure,
    /// The value.
    pub value: u64,
}

/// How a [`Statistic`] changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The value goes up and down: the current number.
    Gauge,
    /// The value only goes up: the number since the start.
    Counter,
}

impl Statistic {
    /// Creates a gauge: the current number.
    pub fn gauge(name: &'static str, help: &'static str, value: usize) -> Self {
        Self {
            name,
            help,
            measure: Measure::Gauge,
            value: value as u64,
        }
    }

    /// Creates a counter: the number since the start.
    pub const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self {
            name,
            help,
            measure: Measure::Counter,
            value,
        }
    }
}

/// The configuration of a kind of service.
pub trait Definition: Clone + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// The running service.
    type Running: Running<Self>;

    /// The kind: the name of the section in the configuration file.
    const KIND: &'static str;

    /// The name of the kind in text.
    const TITLE: &'static str;

    /// Whether a service with the defaults runs if the configuration file has no such section.
    const BY_DEFAULT: bool;

    /// Whether a service with the defaults runs if there is no configuration file.
    const WITHOUT_FILE: bool = true;

    /// A command that uses a service at this address, for users.
    fn example_command(address: &str) -> Option<String> {
        let _ = address;
        None
    }

    /// The options.
    fn table() -> &'static Table<Self>;

    /// The name in the configuration, if there is one.
    fn name(&self) -> Option<&str>;

    /// Whether the service is enabled.
    fn is_enabled(&self) -> bool;

    /// Checks the combination of options.
    ///
    /// # Errors
    ///
    /// A sentence that describes the conflict.
    fn validate(&self) -> Result<(), String>;

    /// Checks, without starting anything or changing any file, that the files of the configuration
    /// can be used.
    ///
    /// # Errors
    ///
    /// As for [`Definition::launch`].
    fn check(&self) -> Result<(), ServiceError>;

    /// Starts a service.
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    fn launch(
        &self,
        context: &Context,
    ) -> impl Future<Output = Result<Self::Running, ServiceError>> + Send;
}

/// What services need from their program.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Context {
    /// The router.
    pub router: Router,
    /// The names that are resolved without the router.
    pub names: Names,
    /// The sessions that tunnels share.
    pub(crate) sessions: SharedSessions,
}

impl Context {
    /// Creates a context without address books.
    pub fn new(router: Router) -> Self {
        Self {
            router,
            names: Names::none(),
            sessions: SharedSessions::default(),
        }
    }

    /// Sets the names. The sessions of all services look up names in them first.
    #[must_use]
    pub fn names(mut self, names: Names) -> Self {
        self.router = self.router.with_names(names.clone());
        self.names = names;
        self
    }
}

impl From<Router> for Context {
    fn from(router: Router) -> Self {
        Self::new(router)
    }
}

/// A running service. It stops when dropped.
pub trait Running<D>: Send + Sync + 'static {
    /// The addresses on which the service listens.
    fn addresses(&self) -> Addresses;

    /// The statistics.
    fn statistics(&self) -> Vec<Statistic>;

    /// Reads the files of `definition` again, with which the service was started.
    ///
    /// # Errors
    ///
    /// [`ServiceError`]. The old content then stays in use.
    fn reload(&self, definition: &D) -> Result<(), ServiceError>;

    /// Stops the service, within some seconds.
    fn stop(&self) -> impl Future<Output = ()> + Send;

    /// A future that resolves when the service has ended by itself, or has been stopped or dropped;
    /// `None` by default, for a service that does not end by itself.
    fn ended(&self) -> Option<Work<'static, ()>> {
        None
    }
}

/// A [`Service`] made of a [`Definition`].
pub struct Managed<D: Definition> {
    name: String,
    definition: D,
    context: Context,
    inner: Arc<Inner<D::Running>>,
}

/// The part of a [`Managed`] that changes.
struct Inner<R> {
    state: watch::Sender<State>,
    running: Mutex<Option<Arc<R>>>,
    /// Locked while the service starts, reloads or stops.
    changing: tokio::sync::Mutex<()>,
}

impl<D: Definition> Managed<D> {
    /// Creates a service that is not started.
    pub fn new(name: impl Into<String>, definition: D, context: impl Into<Context>) -> Self {
        Self {
            name: name.into(),
            definition,
            context: context.into(),
            inner: Arc::new(Inner {
                state: watch::Sender::new(State::Stopped),
                running: Mutex::new(None),
                changing: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The running service, if there is one.
    pub fn running(&self) -> Option<Arc<D::Running>> {
        self.inner.lock().clone()
    }

    async fn try_start(&self) -> Result<(), ServiceError> {
        if self.running().is_some() {
            return Ok(());
        }
        let mut transition = Transition::new(&self.inner.state, State::Starting);
        match self.definition.launch(&self.context).await {
            Ok(running) => {
                let running = Arc::new(running);
                if let Some(ended) = running.ended() {
                    let inner = Arc::downgrade(&self.inner);
                    let running = Arc::downgrade(&running);
                    tokio::spawn(stop_after::<D>(ended, inner, running));
                }
                *self.inner.lock() = Some(running);
                transition.then = State::Running;
                Ok(())
            }
            Err(error) => {
                transition.then = State::Failed(error.in_full());
                Err(error)
            }
        }
    }
}

/// Waits until a service has ended by itself, and stops it, unless it was replaced meanwhile.
async fn stop_after<D: Definition>(
    ended: Work<'static, ()>,
    inner: Weak<Inner<D::Running>>,
    service: Weak<D::Running>,
) {
    ended.await;
    let Some(inner) = inner.upgrade() else {
        return;
    };
    let _changing = inner.changing.lock().await;
    let is_same = inner
        .lock()
        .as_ref()
        .is_some_and(|running| std::ptr::eq(Arc::as_ptr(running), service.as_ptr()));
    if is_same {
        inner.stop::<D>().await;
    }
}

impl<R> Inner<R> {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<R>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stop<D: Definition<Running = R>>(&self)
    where
        R: Running<D>,
    {
        let running = self.lock().take();
        let Some(running) = running else {
            self.state.send_replace(State::Stopped);
            return;
        };
        let _transition = Transition::new(&self.state, State::Stopping);
        running.stop().await;
    }
}

impl<D: Definition> Service for Managed<D> {
    fn kind(&self) -> &'static str {
        D::KIND
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn states(&self) -> watch::Receiver<State> {
        self.inner.state.subscribe()
    }

    fn addresses(&self) -> Addresses {
        self.running()
            .map_or_else(Addresses::default, |running| running.addresses())
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.running()
            .map_or_else(Vec::new, |running| running.statistics())
    }

    fn start(&self) -> Work<'_, Result<(), ServiceError>> {
        Box::pin(async {
            let _changing = self.inner.changing.lock().await;
            self.try_start().await
        })
    }

    fn reload(&self) -> Work<'_, Result<(), ServiceError>> {
        Box::pin(async {
            let _changing = self.inner.changing.lock().await;
            match self.running() {
                Some(running) => running.reload(&self.definition),
                None => self.try_start().await,
            }
        })
    }

    fn stop(&self) -> Work<'_, ()> {
        Box::pin(async {
            let _changing = self.inner.changing.lock().await;
            self.inner.stop::<D>().await;
        })
    }
}

impl<D: Definition> fmt::Debug for Managed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed")
            .field("kind", &D::KIND)
            .field("name", &self.name)
            .field("state", &*self.inner.state.borrow())
            .finish_non_exhaustive()
    }
}

/// Sets a state that is replaced by another when the guard is dropped, which also happens if the
/// future is dropped.
struct Transition<'a> {
    state: &'a watch::Sender<State>,
    then: State,
}

impl<'a> Transition<'a> {
    fn new(state: &'a watch::Sender<State>, now: State) -> Self {
        state.send_replace(now);
        Self {
            state,
            then: State::Stopped,
        }
    }
}

impl Drop for Transition<'_> {
    fn drop(&mut self) {
        let then = std::mem::replace(&mut self.then, State::Stopped);
        self.state.send_replace(then);
    }
}

/// The reason why a service cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The service cannot listen on an address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The files for TLS cannot be used.
    #[error("cannot speak TLS")]
    Tls(#[from] TlsError),
    /// The file of users cannot be used.
    #[error("cannot use the file of users")]
    Users(#[from] UsersError),
    /// The file of users cannot be changed.
    #[error("cannot change the file of users")]
    ChangeUsers(#[from] UserError),
    /// A password is required, but there are no users.
    #[error("a password is required, and there are no users")]
    NoUsers,
    /// The configuration contains no address to listen on.
    #[error("no address to listen on")]
    NoAddress,
    /// The options conflict.
    #[error("{0}")]
    Invalid(String),
    /// The router or a session of the service failed.
    #[error(transparent)]
    Session(#[from] eepkit::Error),
}

impl ServiceError {
    /// Formats the error with its causes, on one line.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let level = error.to_string();
            // Some errors repeat their cause.
            if !text.ends_with(&level) {
                text.push_str(": ");
                text.push_str(&level);
            }
            cause = error.source();
        }
        text
    }
}
