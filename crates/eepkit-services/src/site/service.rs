//! A web site of files as a service.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use eepkit::{Destination, Preset, Server};

use super::{MAX_CONNECTIONS, Site};
use crate::{
    access,
    options::{Flag, Opt, SessionOptions, Table},
    serve::Addresses,
    service::{Context, Definition, Running, ServiceError, Statistic},
    shared_sessions::SharedSession,
    tunnel::{SessionConfig, session},
};

/// The configuration of a web site that is made of the files of a folder.
///
/// The default has no folder. One must be set.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteConfig {
    name: Option<String>,
    enabled: bool,
    folder: Option<PathBuf>,
    port: Option<u16>,
    max_connections: usize,
    session: SessionConfig,
}

impl SiteConfig {
    /// Creates the default configuration.
    pub fn new() -> Self {
        Self {
            name: None,
            enabled: true,
            folder: None,
            port: None,
            max_connections: MAX_CONNECTIONS,
            session: SessionConfig::new(Preset::Server),
        }
    }

    /// Publishes the files of this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Uses the destination of a private key file, which is created if it does not exist. By default
    /// the destination is new at each start.
    #[must_use]
    pub fn keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.session.keys = Some(file.into());
        self
    }

    /// Sets an option of the session. An invalid value is an error at the start.
    #[must_use]
    pub fn option(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.session.options.push(key, value.to_string());
        self
    }

    fn open(&self) -> Result<Site, ServiceError> {
        let folder = self.folder.as_deref().unwrap_or_else(|| "".as_ref());
        Site::open(folder).map_err(|error| ServiceError::Invalid(error.to_string()))
    }
}

impl Default for SiteConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl Definition for SiteConfig {
    type Running = SiteServer;

    const KIND: &'static str = "site";
    const TITLE: &'static str = "web site";
    const BY_DEFAULT: bool = false;
    const WITHOUT_FILE: bool = false;

    fn table() -> &'static Table<Self> {
        &TABLE
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn is_enabled(&self) -> bool {
        self.enabled
    }

    fn validate(&self) -> Result<(), String> {
        if self.folder.is_none() {
            return Err("needs a folder: folder = \"public\"".to_owned());
        }
        self.session.validate()
    }

    fn check(&self) -> Result<(), ServiceError> {
        self.open()?;
        self.session.check()
    }

    async fn launch(&self, context: &Context) -> Result<SiteServer, ServiceError> {
        self.validate().map_err(ServiceError::Invalid)?;
        let site = self.open()?;
        let name = self.name.as_deref().unwrap_or(Self::KIND);
        let opened = context
            .sessions
            .open(&context.router, self.session.plan(name));
        let session = opened.map_err(eepkit::Error::from)?;
        let port = self.port.unwrap_or(0);
        let listener = match session.session().listen(port) {
            Ok(listener) => listener,
            Err(error) => {
                session.release().await;
                return Err(eepkit::Error::from(error).into());
            }
        };
        let server = eepkit::serve(listener, site)
            .max_streams(self.max_connections)
            .start();
        Ok(SiteServer {
            session,
            port,
            server: Mutex::new(Some(server)),
        })
    }
}

/// A web site that is online.
///
/// It stops with [`SiteServer::stop`], or when it is dropped.
pub struct SiteServer {
    session: SharedSession,
    port: u16,
    /// `None` after the stop.
    server: Mutex<Option<Server>>,
}

impl SiteServer {
    /// The destination of the site.
    pub fn destination(&self) -> Destination {
        self.session.destination()
    }

    /// Takes the site offline. Answers may take three seconds to end.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the site stops in the background.
    pub async fn stop(&self) {
        let server = self.lock().take();
        if let Some(server) = server {
            server.shutdown(GRACE).await;
        }
        let _ = tokio::time::timeout(CLOSE_LIMIT, self.session.release()).await;
    }

    /// A panic while the lock is held leaves the value consistent: each change is one assignment.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running<SiteConfig> for SiteServer {
    fn addresses(&self) -> Addresses {
        let b32 = self.destination().to_b32();
        let address = match self.port {
            0 => b32,
            port => format!("{b32}:{port}"),
        };
        Addresses {
            i2p: vec![address],
            ..Addresses::default()
        }
    }

    fn statistics(&self) -> Vec<Statistic> {
        let stats = self.lock().as_ref().map(Server::stats).unwrap_or_default();
        vec![
            Statistic::gauge("streams", "Open streams", stats.active),
            Statistic::counter("streams_total", "Accepted streams", stats.accepted),
        ]
    }

    fn reload(&self, config: &SiteConfig) -> Result<(), ServiceError> {
        // Files are read for each request.
        config.open().map(drop)
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}

impl fmt::Debug for SiteServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteServer")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

static TABLE: Table<SiteConfig> = Table {
    section: "site",
    doc: "A web site made of the files of a folder. For several, write [[site]] before each.",
    defaults: SiteConfig::new,
    options: &[
        Opt::new(
            "enabled",
            access!(SiteConfig, bool, enabled),
            "Whether the site is online.",
        ),
        Opt::new(
            "name",
            access!(SiteConfig, Option<String>, name),
            "The name of the site, in messages and for reloads, and of its session.\n\
             Default: site for the first, site-2 for the second.",
        )
        .example("\"blog\""),
        Opt::new(
            "folder",
            access!(SiteConfig, Option<PathBuf>, folder),
            "The folder whose files are published, except those whose name begins with a dot.",
        )
        .example("\"public\"")
        .flag(Flag::new("folder", "DIR")),
        session::keys(access!(SiteConfig, Option<PathBuf>, session.keys)),
        Opt::new(
            "port",
            access!(SiteConfig, Option<u16>, port),
            "The port of the destination.\n\
             Default: all ports that no tunnel with the same keys has.",
        )
        .example("80"),
        Opt::new(
            "max_connections",
            access!(SiteConfig, usize, max_connections),
            "Maximum number of connections of peers at a time.",
        ),
        session::shared(access!(SiteConfig, Option<String>, session.shared)),
        session::preset(access!(SiteConfig, Preset, session.preset)),
        session::reduce_idle(access!(SiteConfig, Option<Duration>, session.reduce_idle)),
        session::reduce_quantity(access!(SiteConfig, Option<usize>, session.reduce_quantity)),
        session::options(access!(SiteConfig, SessionOptions, session.options)),
    ],
};

/// How long answers may take when the site stops. Chosen because a user who stops a program does not
/// wait for longer.
const GRACE: Duration = Duration::from_secs(3);
/// Chosen as longer than a session needs to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
