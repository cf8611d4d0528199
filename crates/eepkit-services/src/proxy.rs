//! The common parts of the proxies for local programs: listening, users, sessions, statistics.

mod logins;
mod options;
mod setters;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub(crate) use self::setters::proxy_setters;
pub(crate) use self::{
    logins::{Login, Logins, outproxy_logins},
    options::{
        ProxyOptions, connect_timeout, isolate, keys, listen, listen_unix, max_connections,
        max_sessions, request_timeout, require_password, session_idle, session_options, shared,
        users,
    },
};
use crate::{
    client_sessions::{ClientSession, ClientSessions, SessionError},
    counters::Counters,
    serve::{Addresses, Connection, Endpoint, Handle, Limits, Listeners, Server},
    service::{Context, ServiceError},
    users::Gate,
};

/// The sockets of a proxy that does not serve yet.
pub(crate) struct Bound {
    server: Server,
    listeners: Listeners,
    addresses: Addresses,
}

/// What the connections of a proxy share.
pub(crate) struct ProxyFrame {
    pub(crate) server: Handle,
    pub(crate) sessions: ClientSessions,
    pub(crate) gate: Arc<Gate>,
    pub(crate) counters: Arc<Counters>,
    isolate: bool,
    requires_password: AtomicBool,
}

impl ProxyFrame {
    /// Binds the addresses of `options` for a proxy with this title.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if an address or a file cannot be used.
    pub(crate) async fn bind(
        context: &Context,
        title: &str,
        options: &ProxyOptions,
    ) -> Result<(Self, Bound), ServiceError> {
        let (required, users) = options.load_users()?;
        let tcp = options.listen.iter().copied().map(Endpoint::Tcp);
        let unix = options.listen_unix.iter().cloned().map(Endpoint::Unix);
        let listeners = Listeners::bind(tcp.chain(unix)).await?;
        if listeners.is_empty() {
            return Err(ServiceError::NoAddress);
        }
        let addresses = listeners.addresses().clone();
        let server = Server::new(Limits::new(options.max_connections));
        let common = options.open_common(context, title)?;
        let sessions = ClientSessions::new(context.router.clone(), title)
            .common(common)
            .options(options.options.clone())
            .connect_timeout(options.connect_timeout)
            .isolated(options.max_sessions, options.session_idle);
        let frame = Self {
            server: server.handle(),
            sessions,
            gate: Arc::new(Gate::new(users)),
            counters: Arc::default(),
            isolate: options.isolate,
            requires_password: AtomicBool::new(required),
        };
        let bound = Bound {
            server,
            listeners,
            addresses,
        };
        Ok((frame, bound))
    }

    /// Whether programs need a name and a password.
    pub(crate) fn requires_password(&self) -> bool {
        self.requires_password.load(Ordering::Relaxed)
    }

    /// The session for a program with these credentials: the common one if there are none or
    /// programs are not isolated.
    pub(crate) fn session(&self, parts: &[&[u8]]) -> Result<ClientSession, SessionError> {
        if parts.is_empty() || !self.isolate {
            return self.sessions.get(None);
        }
        let mut key = Vec::new();
        for part in parts {
            // The length separates the parts.
            key.extend((part.len() as u64).to_be_bytes());
            key.extend_from_slice(part);
        }
        self.sessions.get(Some(key))
    }

    /// Reads the file of users again.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if it cannot be used. The old users then stay valid.
    pub(crate) fn reload(&self, options: &ProxyOptions) -> Result<(), ServiceError> {
        let (required, users) = options.load_users()?;
        self.gate.replace(users);
        self.requires_password.store(required, Ordering::Relaxed);
        Ok(())
    }
}

/// A proxy that serves connections.
pub(crate) struct Serving<S> {
    pub(crate) shared: Arc<S>,
    pub(crate) addresses: Addresses,
    server: Server,
}

/// What a proxy shares between its connections, which includes the frame.
pub(crate) trait HasFrame: Send + Sync + 'static {
    fn frame(&self) -> &ProxyFrame;
}

impl Bound {
    /// Runs `handler` for each connection, and closes unused sessions.
    pub(crate) fn serve<S, H, F>(self, shared: Arc<S>, handler: H) -> Serving<S>
    where
        S: HasFrame,
        H: Fn(Arc<S>, Connection) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let of_connections = shared.clone();
        self.server.serve(self.listeners, move |accepted| {
            handler(of_connections.clone(), accepted)
        });
        let closer = shared.clone();
        self.server.handle().spawn(async move {
            let frame = closer.frame();
            tokio::select! {
                () = frame.sessions.close_unused() => {}
                () = frame.server.closing().cancelled() => {}
            }
        });
        Serving {
            shared,
            addresses: self.addresses,
            server: self.server,
        }
    }
}

impl<S: HasFrame> Serving<S> {
    /// Closes all connections and sessions, within some seconds.
    pub(crate) async fn stop(&self) {
        self.server.shutdown(STOP_LIMIT).await;
        let closing = self.shared.frame().sessions.close();
        let _ = tokio::time::timeout(STOP_LIMIT, closing).await;
    }
}

/// The time limit for stopping. Chosen as longer than a session needs to close.
const STOP_LIMIT: Duration = Duration::from_secs(5);
