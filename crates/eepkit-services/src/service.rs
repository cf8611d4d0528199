//! What every service is.
//!
//! A kind of service implements [`Definition`] for its configuration and [`Running`] for what runs.
//! [`Managed`] makes a [`Service`] of the two: it has a state, can be started, reloaded and stopped,
//! and says where it listens and what it counts. [`Services`](crate::Services) holds any number of
//! them.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eepkit::Router;
use tokio::sync::watch;

use crate::{
    options::Table,
    serve::{Addresses, BindError},
    tls::TlsError,
    users::{UserError, UsersError},
};

/// A service that can be shown and controlled without knowing its kind.
pub trait Service: fmt::Debug + Send + Sync {
    /// Its kind, which is the name of its section in the configuration file.
    fn kind(&self) -> &'static str;

    /// Its name, which is unique among those of its kind.
    fn name(&self) -> &str;

    /// Its state, and changes of it.
    fn states(&self) -> watch::Receiver<State>;

    /// Its state.
    fn state(&self) -> State {
        self.states().borrow().clone()
    }

    /// Where it listens; nowhere unless it runs.
    fn addresses(&self) -> Addresses;

    /// What it holds and what it counted; nothing unless it runs.
    fn statistics(&self) -> Vec<Statistic>;

    /// Starts it. A service that runs stays as it is.
    ///
    /// The work resolves to [`StartError`] if it cannot start; its state says so, too. Dropped
    /// before its end, it leaves the service stopped.
    fn start(&self) -> Work<'_, Result<(), StartError>>;

    /// Reads the files again that its configuration names, such as certificates and users.
    /// Connections stay. A service that does not run is started.
    ///
    /// The work resolves to [`StartError`] if a file cannot be used; what was read before stays in
    /// use.
    fn reload(&self) -> Work<'_, Result<(), StartError>>;

    /// Stops it, within a limit of its kind. Dropped before its end, the work leaves the rest to
    /// the background.
    fn stop(&self) -> Work<'_, ()>;
}

/// The work of a [`Service`].
pub type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The state of a [`Service`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It was not started, or was stopped.
    Stopped,
    /// It starts.
    Starting,
    /// It runs.
    Running,
    /// It stops.
    Stopping,
    /// It could not start, and why.
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

/// A number that a service shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistic {
    /// A name in the form of Prometheus, without the name of the program.
    pub name: &'static str,
    /// What is counted.
    pub help: &'static str,
    /// Whether it only grows.
    pub measure: Measure,
    /// The number.
    pub value: u64,
}

/// How a [`Statistic`] changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// It goes up and down: what there is now.
    Gauge,
    /// It only goes up: what happened since the start.
    Counter,
}

impl Statistic {
    /// What there is now.
    pub fn gauge(name: &'static str, help: &'static str, value: usize) -> Self {
        Self {
            name,
            help,
            measure: Measure::Gauge,
            value: value as u64,
        }
    }

    /// What happened since the start.
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
    /// What runs.
    type Running: Running<Self>;

    /// The kind: the name of the section in the configuration file.
    const KIND: &'static str;

    /// What people call the kind.
    const TITLE: &'static str;

    /// Whether a configuration file without such a section means one with the defaults.
    const BY_DEFAULT: bool;

    /// The options.
    fn table() -> &'static Table<Self>;

    /// The name that the configuration gives the service, if it does.
    fn name(&self) -> Option<&str>;

    /// Whether the service is to run.
    fn is_enabled(&self) -> bool;

    /// Checks what the options say together.
    ///
    /// # Errors
    ///
    /// A sentence about what does not fit.
    fn validate(&self) -> Result<(), String>;

    /// Checks, without starting anything or changing any file, that the files it names can be used.
    ///
    /// # Errors
    ///
    /// As [`Definition::launch`].
    fn check(&self) -> Result<(), StartError>;

    /// Starts a service.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    fn launch(
        &self,
        router: &Router,
    ) -> impl Future<Output = Result<Self::Running, StartError>> + Send;
}

/// A service that runs. Dropped, it stops.
pub trait Running<D>: Send + Sync + 'static {
    /// Where it listens.
    fn addresses(&self) -> Addresses;

    /// What it holds and what it counted.
    fn statistics(&self) -> Vec<Statistic>;

    /// Reads the files again that `definition` names, which it was started with.
    ///
    /// # Errors
    ///
    /// [`StartError`]; then what was read before stays in use.
    fn reload(&self, definition: &D) -> Result<(), StartError>;

    /// Stops it, within some seconds.
    fn stop(&self) -> impl Future<Output = ()> + Send;
}

/// A [`Service`] made of a [`Definition`].
pub struct Managed<D: Definition> {
    name: String,
    definition: D,
    router: Router,
    state: watch::Sender<State>,
    running: Mutex<Option<Arc<D::Running>>>,
    /// Held while the service starts, reloads or stops.
    changing: tokio::sync::Mutex<()>,
}

impl<D: Definition> Managed<D> {
    /// A service that does not run yet.
    pub fn new(name: impl Into<String>, definition: D, router: Router) -> Self {
        Self {
            name: name.into(),
            definition,
            router,
            state: watch::Sender::new(State::Stopped),
            running: Mutex::new(None),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// What runs, if it does.
    pub fn running(&self) -> Option<Arc<D::Running>> {
        self.lock().clone()
    }

    async fn try_start(&self) -> Result<(), StartError> {
        if self.running().is_some() {
            return Ok(());
        }
        let mut transition = Transition::new(&self.state, State::Starting);
        match self.definition.launch(&self.router).await {
            Ok(running) => {
                *self.lock() = Some(Arc::new(running));
                transition.then = State::Running;
                Ok(())
            }
            Err(error) => {
                transition.then = State::Failed(error.in_full());
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<D::Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.state.subscribe()
    }

    fn addresses(&self) -> Addresses {
        self.running()
            .map_or_else(Addresses::default, |running| running.addresses())
    }

    fn statistics(&self) -> Vec<Statistic> {
        self.running()
            .map_or_else(Vec::new, |running| running.statistics())
    }

    fn start(&self) -> Work<'_, Result<(), StartError>> {
        Box::pin(async {
            let _changing = self.changing.lock().await;
            self.try_start().await
        })
    }

    fn reload(&self) -> Work<'_, Result<(), StartError>> {
        Box::pin(async {
            let _changing = self.changing.lock().await;
            match self.running() {
                Some(running) => running.reload(&self.definition),
                None => self.try_start().await,
            }
        })
    }

    fn stop(&self) -> Work<'_, ()> {
        Box::pin(async {
            let _changing = self.changing.lock().await;
            let running = self.lock().take();
            let Some(running) = running else {
                self.state.send_replace(State::Stopped);
                return;
            };
            let _transition = Transition::new(&self.state, State::Stopping);
            running.stop().await;
        })
    }
}

impl<D: Definition> fmt::Debug for Managed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed")
            .field("kind", &D::KIND)
            .field("name", &self.name)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

/// A state that another follows, also if the work is dropped.
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

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The files for TLS cannot be used.
    #[error("cannot speak TLS")]
    Tls(#[from] TlsError),
    /// The file with the users cannot be used.
    #[error("cannot use the file of users")]
    Users(#[from] UsersError),
    /// The file with the users cannot be changed.
    #[error("cannot change the file of users")]
    ChangeUsers(#[from] UserError),
    /// A password is required, and there are no users.
    #[error("a password is required, and there are no users")]
    NoUsers,
    /// There is nothing to listen on.
    #[error("no address to listen on")]
    NoAddress,
    /// The options do not fit together.
    #[error("{0}")]
    Invalid(String),
    /// The router or a session of the service failed.
    #[error(transparent)]
    Session(#[from] eepkit::Error),
}

impl StartError {
    /// The error with its causes, on one line.
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
