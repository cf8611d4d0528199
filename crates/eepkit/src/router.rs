//! Handles of routers, which open sessions.

use std::{
    env,
    ffi::OsString,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use eepkit_attach::{i2cp::I2cpRouter, sam::SamRouter};
use eepkit_link::{Connector, Layer, RouterIdentity, RouterWatch};
use eepkit_wire::Destination;
use tokio::time::Instant;

use crate::{
    error::{AttachError, OpenError},
    name_source::NameSource,
    shared::Shared,
    stage::SessionStage,
    status::SessionWatch,
};

/// A router, on which sessions are opened.
///
/// A cheap handle; clones refer to the same router. A program may use many routers, and open many
/// sessions on each. The interface of a session does not depend on the kind of router:
///
#[cfg_attr(
    feature = "embedded",
    doc = "* [`Router::start`]: a router inside this process,"
)]
/// * [`Router::attach`]: a router that runs already, reached over I2CP or SAM,
#[cfg_attr(
    feature = "embedded",
    doc = "* [`Router::attach_or_start`]: one that runs already, or else one inside this process,"
)]
/// * [`Router::from_env`]: the router that the user names in the environment,
/// * [`Router::new`]: any other [`Connector`], such as a [`SimNet`](crate::sim::SimNet) or a
///   router of a private network.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
    names: Option<Arc<dyn NameSource>>,
}

struct Inner {
    connector: Arc<dyn Connector>,
    /// Sessions opened through this handle, for [`Router::shutdown`]. Adding a session removes
    /// those that have ended.
    sessions: Mutex<Vec<Weak<Shared>>>,
}

impl Router {
    /// A router that runs already, by its I2CP address:
    ///
    /// * `i2cp://HOST:PORT`, where the host is an IP address or `localhost`. The default port is
    ///   7654. `USER:PASSWORD@` before the host adds a login, if the router requires one.
    /// * `i2cps://HOST:PORT`, the same with TLS, in builds with the feature `tls`.
    /// * `i2cp+unix:PATH`, a Unix socket.
    ///
    /// If the router does not offer I2CP, by its SAM address:
    ///
    /// * `sam://HOST:PORT`, `sam+tls://HOST:PORT` and `sam+unix:PATH`, as above. The default port
    ///   is 7656. `?udp=PORT` is the bridge's UDP port for datagrams, 7655 by default.
    ///
    /// Over SAM **the router receives the private keys of the destination**, and makes streams and
    /// datagrams itself. SAM has no pings of peers, no acknowledgements, no
    /// [`StreamInfo`](crate::StreamInfo) and no settings of streams. `docs/sam.md` lists the
    /// differences.
    ///
    /// Java I2P offers I2CP by default. i2pd offers it if it is enabled (`[i2cp] enabled = true`).
    /// Without TLS the connection is not encrypted: use it only on the same machine or over a
    /// trusted network.
    ///
    /// This function does not connect. Each session opens its own connection, and
    /// [`SessionBuilder::open`](crate::SessionBuilder::open) reports connection errors.
    ///
    /// # Errors
    ///
    /// [`AttachError`] if the text is not such an address. The error's source states the violated
    /// rule.
    pub fn attach(address: &str) -> Result<Self, AttachError> {
        Ok(Self::of(connector_at(address)?))
    }

    /// A router as [`Router::attach`], with a login. Unlike an address with `USER:PASSWORD@`, the
    /// password may contain any character.
    ///
    /// # Errors
    ///
    /// As for [`Router::attach`].
    pub fn attach_with_login(
        address: &str,
        user: &str,
        password: &str,
    ) -> Result<Self, AttachError> {
        if is_sam(address) {
            let router: SamRouter = address.parse()?;
            return Ok(Self::new(router.login(user, password)));
        }
        let router: I2cpRouter = address.parse()?;
        Ok(Self::new(router.login(user, password)))
    }

    /// The router at the address in the environment variable `EEPKIT_ROUTER`, in the forms of
    /// [`Router::attach`]. If the variable is unset or empty, the address is
    /// `i2cp://127.0.0.1:7654`.
    ///
    /// # Errors
    ///
    /// [`AttachError`] if the variable has any other value. The value `embedded`, which the program
    /// `eepkit` accepts, is an error here, because a library has no default directory for the state
    /// of a router.
    pub fn from_env() -> Result<Self, AttachError> {
        Self::from_variables(|name| env::var_os(name))
    }

    /// [`Router::from_env`] with a function that returns the value of a variable.
    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, AttachError> {
        let value = variable(ROUTER_VARIABLE).unwrap_or_default();
        match value.to_string_lossy().trim() {
            "" => Self::attach(DEFAULT_ADDRESS),
            address => Self::attach(address).map_err(|error| match error {
                AttachError::Address(source) => AttachError::Variable {
                    name: ROUTER_VARIABLE,
                    source,
                },
                other => other,
            }),
        }
    }

    /// A router that is reached through `connector`. [`Router::watch`] and [`Router::shutdown`]
    /// call the connector's methods.
    pub fn new(connector: impl Connector) -> Self {
        Self::of(Arc::new(connector))
    }

    pub(crate) fn of(connector: Arc<dyn Connector>) -> Self {
        Self {
            inner: Arc::new(Inner {
                connector,
                sessions: Mutex::default(),
            }),
            names: None,
        }
    }

    /// The same router, whose sessions look up names in `source` before they ask the router.
    ///
    /// Of several sources of a name, the host map of the session
    /// ([`SessionBuilder::host`](crate::SessionBuilder::host)) is the first. Sessions that were opened
    /// before, and those of other handles, do not change.
    ///
    /// ```
    /// use eepkit_naming::AddressBook;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let books = AddressBook::open("addressbook.redb")?;
    /// let router = eepkit::Router::from_env()?.with_names(books);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_names(&self, source: impl NameSource) -> Self {
        Self {
            inner: self.inner.clone(),
            names: Some(Arc::new(source)),
        }
    }

    pub(crate) fn names(&self) -> Option<Arc<dyn NameSource>> {
        self.names.clone()
    }

    /// Watches the status of a router that runs in this process. `None` for a router outside of the
    /// process, because such a router reports only the status of sessions.
    ///
    /// [`RouterWatch::ready`] waits until the router has tunnels. It is not required before a
    /// session is opened, because opening waits for tunnels as well.
    pub fn watch(&self) -> Option<RouterWatch> {
        self.inner.connector.router_watch()
    }

    /// A short name for the user interface, such as `i2cp://127.0.0.1:7654`. It may contain an IP
    /// address.
    pub fn name(&self) -> String {
        self.inner.connector.name()
    }

    /// Whether the router makes the streams, as it does over SAM. Settings of streams are then
    /// refused.
    pub fn makes_streams(&self) -> bool {
        self.inner.connector.layer() == Layer::Streams
    }

    /// The sessions that were opened through this handle and its clones and have not ended, in the
    /// order in which they were opened. Subsessions are not listed.
    pub fn sessions(&self) -> Vec<SessionSummary> {
        let sessions: Vec<Arc<Shared>> = self.lock().iter().filter_map(Weak::upgrade).collect();
        let open = sessions.iter().filter(|shared| !shared.stage().is_over());
        open.map(|shared| SessionSummary::new(shared)).collect()
    }

    /// Connects to the router, exchanges the first messages of its protocol, and closes the
    /// connection without opening a session. Returns what the router reported about itself, or
    /// `None` if the router has no protocol for that, as a simulated network.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the router does not answer within `limit`, refuses the login, or uses
    /// another protocol.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn probe(&self, limit: Duration) -> Result<Option<RouterIdentity>, OpenError> {
        match self.inner.connector.probe(limit) {
            Some(probing) => Ok(Some(probing.await?)),
            None => Ok(None),
        }
    }

    /// Closes every session that was opened through this handle and its clones, each as
    /// [`Session::close`](crate::Session::close) does, concurrently. Then stops the router if it is
    /// an embedded one; other routers continue to run.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the sessions still close in the background, but an embedded router
    /// may continue to run.
    pub async fn shutdown(&self) {
        let sessions: Vec<Arc<Shared>> = {
            let mut sessions = self.lock();
            sessions
                .drain(..)
                .filter_map(|weak| weak.upgrade())
                .collect()
        };
        let mut longest = Duration::ZERO;
        for session in &sessions {
            session.begin_close(session.config.linger);
            longest = longest.max(session.config.linger);
        }
        let limit = Instant::now() + longest + CLOSE_GRACE;
        for session in &sessions {
            let left = limit.saturating_duration_since(Instant::now());
            session.watch().reached(SessionStage::Closed, left).await;
        }
        self.inner.connector.stop_router().await;
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        self.inner.connector.clone()
    }

    pub(crate) fn remember(&self, session: &Arc<Shared>) {
        let mut sessions = self.lock();
        sessions.retain(|weak| weak.strong_count() > 0);
        sessions.push(Arc::downgrade(session));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.inner
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session of a router. Returned by [`Router::sessions`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionSummary {
    /// The destination of the session.
    pub destination: Destination,
    /// The name of the session in the router's console, if it has one.
    pub nickname: Option<String>,
    /// The number of open streams.
    pub streams: usize,
    /// Watches the status of the session. It does not keep the session open.
    pub watch: SessionWatch,
}

impl SessionSummary {
    fn new(shared: &Shared) -> Self {
        let nickname = shared.config.options.get("inbound.nickname");
        let streams = {
            let core = shared.lock("summary");
            core.streams.len() + core.sockets.len()
        };
        Self {
            destination: shared.keys.destination().clone(),
            nickname: nickname.map(str::to_owned),
            streams,
            watch: shared.watch(),
        }
    }
}

/// The connector for an address; see [`Router::attach`].
pub(crate) fn connector_at(address: &str) -> Result<Arc<dyn Connector>, AttachError> {
    if is_sam(address) {
        let router: SamRouter = address.parse()?;
        return Ok(Arc::new(router));
    }
    let router: I2cpRouter = address.parse()?;
    Ok(Arc::new(router))
}

fn is_sam(address: &str) -> bool {
    address.trim_start().starts_with("sam")
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Router")
            .field(&self.inner.connector)
            .finish()
    }
}

/// See [`Router::from_env`]. The program `eepkit` reads the same variable.
const ROUTER_VARIABLE: &str = "EEPKIT_ROUTER";

/// The default I2CP port of Java I2P and i2pd.
const DEFAULT_ADDRESS: &str = "i2cp://127.0.0.1:7654";

/// Time after the linger time in which the supervisor ends the session.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::error::ErrorKind;

    fn from(value: Option<&str>) -> Result<Router, AttachError> {
        Router::from_variables(|name| {
            assert_eq!(name, "EEPKIT_ROUTER");
            value.map(OsString::from)
        })
    }

    #[test]
    fn without_a_value_the_router_is_i2cp_on_this_machine() {
        for value in [None, Some(""), Some("  ")] {
            let router = from(value).expect("the default");
            assert_eq!(router.name(), "i2cp://127.0.0.1:7654");
        }
    }

    #[test]
    fn the_variable_names_a_router_of_any_scheme() {
        for (value, name) in [
            ("i2cp://127.0.0.1:7655", "i2cp://127.0.0.1:7655"),
            (" i2cp://localhost\n", "i2cp://127.0.0.1:7654"),
            ("sam://[::1]", "sam://[::1]:7656"),
        ] {
            assert_eq!(from(Some(value)).expect(value).name(), name);
        }
    }

    #[test]
    fn a_bad_value_is_refused_with_the_variable_and_the_reason() {
        for (value, reason) in [
            ("embedded", "an address is i2cp://HOST:PORT"),
            ("i2cp://router.example", "is not an IP address"),
            ("sam://127.0.0.1:65536", "is not a port"),
        ] {
            let error = from(Some(value)).expect_err(value);
            assert_eq!(error.kind(), ErrorKind::BadInput);
            assert_eq!(
                error.to_string(),
                "the environment variable EEPKIT_ROUTER is not the address of a router"
            );
            let source = error.source().expect("the rule").to_string();
            assert!(source.contains(reason), "{source}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_unicode_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;

        let error = Router::from_variables(|_| Some(OsString::from_vec(vec![0xff])));
        assert!(matches!(error, Err(AttachError::Variable { .. })));
    }
}
