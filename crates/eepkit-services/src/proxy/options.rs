//! The common options of proxies.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use eepkit::Preset;

use crate::{
    options::{Access, Flag, Opt, SessionOptions},
    service::{Context, ServiceError},
    shared_sessions::{SessionPlan, SharedSession, check_keys},
    users::Users,
};

/// Where a proxy listens, who may use it, and its sessions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProxyOptions {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) listen_unix: Vec<PathBuf>,
    pub(crate) users: Option<PathBuf>,
    pub(crate) require_password: bool,
    pub(crate) isolate: bool,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_sessions: usize,
    pub(crate) session_idle: Duration,
    pub(crate) keys: Option<PathBuf>,
    pub(crate) shared: Option<String>,
    pub(crate) options: SessionOptions,
}

impl ProxyOptions {
    /// The defaults: `port` of 127.0.0.1, any name and password.
    pub(crate) fn new(port: u16) -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], port))],
            listen_unix: Vec::new(),
            users: None,
            require_password: false,
            isolate: true,
            request_timeout: REQUEST_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
            max_sessions: MAX_SESSIONS,
            session_idle: SESSION_IDLE,
            keys: None,
            shared: None,
            options: SessionOptions::new(),
        }
    }

    /// Checks the combination of options.
    ///
    /// # Errors
    ///
    /// A sentence that describes the conflict.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.listen.is_empty() && self.listen_unix.is_empty() {
            return Err("a proxy has to listen somewhere, or enabled = false".to_owned());
        }
        if self.require_password && self.users.is_none() {
            return Err("require_password needs a file of users".to_owned());
        }
        if self.keys.is_some() && self.shared.is_some() {
            return Err(
                "shared excludes keys: services with the same key file share a session anyway"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The session of programs that are not isolated, if it has keys or is shared.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if the key file or an option cannot be used.
    pub(crate) fn open_common(
        &self,
        context: &Context,
        title: &str,
    ) -> Result<Option<SharedSession>, ServiceError> {
        if self.keys.is_none() && self.shared.is_none() {
            return Ok(None);
        }
        let plan = SessionPlan {
            nickname: title.to_owned(),
            keys: self.keys.clone(),
            group: self.shared.clone(),
            preset: Preset::Standard,
            options: self.options.clone(),
            new_keys: false,
        };
        let opened = context.sessions.open(&context.router, plan);
        Ok(Some(opened.map_err(eepkit::Error::from)?))
    }

    /// Checks that the files can be used.
    ///
    /// # Errors
    ///
    /// [`ServiceError`].
    pub(crate) fn check(&self) -> Result<(), ServiceError> {
        if let Some(file) = &self.keys {
            check_keys(file).map_err(eepkit::Error::from)?;
        }
        self.load_users().map(drop)
    }

    /// Whether a name and a password are required, and the users who have one.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if the file cannot be used, or is needed and contains no users.
    pub(crate) fn load_users(&self) -> Result<(bool, Users), ServiceError> {
        let users = match &self.users {
            Some(file) => Users::load(file)?,
            None => Users::new(),
        };
        let required = self.require_password || users.is_required();
        if required && users.is_empty() {
            return Err(ServiceError::NoUsers);
        }
        Ok((required, users))
    }
}

pub(crate) const fn listen<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "listen",
        access,
        "TCP addresses for programs.\n\
         Whoever can connect can use the router.",
    )
    .flag(Flag::new("listen", "IP:PORT").short('l'))
}

pub(crate) const fn listen_unix<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "listen_unix",
        access,
        "Paths of Unix sockets, to which only the user of this process can connect.\n\
         An unused socket file is replaced; any other file is an error.",
    )
    .flag(Flag::new("unix", "PATH"))
}

pub(crate) const fn users<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "users",
        access,
        "File with names and hashes of passwords.\n\
         Default: any name and password are accepted.",
    )
    .example("\"users.json\"")
    .flag(Flag::new("users", "FILE"))
}

pub(crate) const fn require_password<C>(access: Access<C>, doc: &'static str) -> Opt<C> {
    let flag = Flag::new("require-password", "").requires(&["users"]);
    Opt::new("require_password", access, doc).flag(flag)
}

pub(crate) const fn isolate<C>(access: Access<C>, doc: &'static str) -> Opt<C> {
    Opt::new("isolate", access, doc)
}

pub(crate) const fn request_timeout<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "request_timeout",
        access,
        "How long a program may take to send its request.",
    )
}

pub(crate) const fn connect_timeout<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "connect_timeout",
        access,
        "Maximum time to wait for a stream, and for the tunnels that it needs.",
    )
}

pub(crate) const fn max_connections<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "max_connections",
        access,
        "Maximum number of connections of programs.",
    )
}

pub(crate) const fn max_sessions<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "max_sessions",
        access,
        "Maximum number of destinations of isolated users at a time.",
    )
}

pub(crate) const fn session_idle<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "session_idle",
        access,
        "How long the destination of an isolated user stays open without connections.",
    )
}

pub(crate) const fn keys<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "keys",
        access,
        "Private key file of the destination of programs that are not isolated; created if needed.\n\
         Default: a new destination at each start. Tunnels with the same file share the session.",
    )
    .example("\"proxy.dat\"")
}

pub(crate) const fn shared<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "shared",
        access,
        "Name of a group of tunnels and proxies that share one session, and so one destination.\n\
         The session options of the one that starts first apply. Isolated programs do not use it.",
    )
    .example("\"clients\"")
}

pub(crate) const fn session_options<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "options",
        access,
        "I2CP and streaming options of the sessions.",
    )
    .example("{ \"inbound.quantity\" = 3, \"outbound.quantity\" = 3 }")
    .flag(Flag::new("option", "KEY=VALUE").short('o'))
}

/// Chosen because programs send the request at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Source: the default of streams; Java's tunnels wait as long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Chosen because an idle connection takes some kilobytes, and systems allow for about this many
/// files.
const MAX_CONNECTIONS: usize = 4096;
/// Chosen because each takes tunnels, and routers limit these.
const MAX_SESSIONS: usize = 32;
/// Chosen as the lifetime of a tunnel: a shorter time builds tunnels that are hardly used.
const SESSION_IDLE: Duration = Duration::from_secs(600);
