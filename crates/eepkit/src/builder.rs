//! The builder of sessions.

use std::{collections::HashMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use eepkit_i2cp::{LeaseSetMaker, Options};
use eepkit_link::{Layer, clock};
use eepkit_streaming::{EndpointConfig, StreamOptionError};
use eepkit_wire::{Destination, KeyFileError, PrivateKeys, SignatureType};
use rand::{SeedableRng as _, rngs::StdRng};
use tracing::warn;

use crate::{
    config::{EncryptionKeys, SessionConfig},
    error::OpenError,
    presets::Preset,
    router::Router,
    session::Session,
    shared::Shared,
    supervisor,
};

/// Builds a [`Session`]. Returned by [`Router::session`].
///
/// By default the session uses [`Preset::Standard`] and a new Ed25519 destination.
///
/// ```no_run
/// # async fn example(router: eepkit::Router) -> Result<(), eepkit::Error> {
/// use eepkit::Preset;
///
/// let session = router
///     .session()
///     .preset(Preset::Server)
///     .key_file("server.dat")
///     .nickname("my service")
///     .open()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a session starts when `open` or `start` is called"]
pub struct SessionBuilder {
    router: Router,
    keys: Keys,
    preset: Preset,
    /// In the order in which they were given; later entries take precedence.
    options: Vec<(String, String)>,
    streaming: Vec<StreamingChange>,
    hosts: HashMap<String, Destination>,
    backlog: Option<usize>,
    open_timeout: Duration,
    connect_timeout: Option<Duration>,
    lookup_timeout: Duration,
    linger: Duration,
    verify: bool,
    seed: Option<u64>,
}

type StreamingChange = Box<dyn FnOnce(EndpointConfig) -> EndpointConfig + Send>;

enum Keys {
    New(Option<SignatureType>),
    Given(Box<PrivateKeys>),
    File(PathBuf),
}

impl Router {
    /// Returns a builder of a session, which [`SessionBuilder::open`] starts.
    pub fn session(&self) -> SessionBuilder {
        SessionBuilder::new(self.clone())
    }
}

impl SessionBuilder {
    fn new(router: Router) -> Self {
        Self {
            router,
            keys: Keys::New(None),
            preset: Preset::default(),
            options: Vec::new(),
            streaming: Vec::new(),
            hosts: HashMap::new(),
            backlog: None,
            open_timeout: OPEN_TIMEOUT,
            connect_timeout: None,
            lookup_timeout: LOOKUP_TIMEOUT,
            linger: LINGER,
            verify: true,
            seed: None,
        }
    }

    /// Uses the destination of these keys.
    pub fn keys(mut self, keys: PrivateKeys) -> Self {
        self.keys = Keys::Given(Box::new(keys));
        self
    }

    /// Uses the destination of a private key file. If there is no such file, generates keys and
    /// saves them there, readable by the owner only. Of several programs that do this at the same
    /// time, one writes the file, and all of them use its keys.
    ///
    /// The format is that of SAM, i2pd and Java I2P (`.dat`). See [`PrivateKeys::load_or_create`].
    pub fn key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.keys = Keys::File(path.into());
        self
    }

    /// Signature type of new keys; Ed25519 by default. Given or loaded keys keep their type.
    pub fn signature_type(mut self, kind: SignatureType) -> Self {
        if let Keys::New(_) = self.keys {
            self.keys = Keys::New(Some(kind));
        }
        self
    }

    /// Applies a preset; [`Preset::Standard`] by default. Individual settings override those of the
    /// preset, before or after this call.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// Hops per tunnel in both directions: 0 to 7, 3 by default. Longer tunnels are slower and fail
    /// more often. With 0 or 1 hops, peers and routers can identify this router.
    pub fn tunnel_length(self, hops: u8) -> Self {
        self.option("inbound.length", hops)
            .option("outbound.length", hops)
    }

    /// Tunnels in each direction: 1 to 16, 2 by default. More tunnels tolerate failures better and
    /// have more bandwidth. Each tunnel uses bandwidth of this router and of every hop.
    pub fn tunnel_quantity(self, tunnels: u8) -> Self {
        self.option("inbound.quantity", tunnels)
            .option("outbound.quantity", tunnels)
    }

    /// Name of the session in the router's console; none by default.
    pub fn nickname(self, name: &str) -> Self {
        self.option("inbound.nickname", name)
            .option("outbound.nickname", name)
    }

    /// Sets a session option under its I2CP or streaming name (`i2cp.leaseSetEncType`,
    /// `i2p.streaming.maxWindowSize`, ...). [`SessionBuilder::open`] checks the documented options
    /// and passes unknown ones to the router unchanged.
    ///
    /// With `i2cp.reduceOnIdle` a session without messages for `i2cp.reduceIdleTime` (20 minutes)
    /// keeps `i2cp.reduceQuantity` tunnels (1) in each direction until its next use. With
    /// `i2cp.closeOnIdle` a session without messages for `i2cp.closeIdleTime` (30 minutes) and
    /// without open streams is closed at the router, and [`SessionStage::Idle`] is its stage until
    /// its next use. With `i2cp.delayOpen` it is opened by its first use, and
    /// [`SessionBuilder::open`] does not wait. A stream, a datagram, a ping and a look-up are uses.
    ///
    /// [`SessionStage::Idle`]: crate::SessionStage::Idle
    pub fn option(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.options.push((key.to_owned(), value.to_string()));
        self
    }

    /// Sets every option of `options`.
    pub fn options(mut self, options: &Options) -> Self {
        self.options.extend(
            options
                .iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        self
    }

    /// Changes the settings of the streaming protocol: limits, access lists, memory, and with
    /// [`EndpointConfig::change_stream`] the settings of each stream. The changes apply after the
    /// preset and the options.
    ///
    /// Opening the session fails with [`OpenError::Unsupported`] if the router makes the streams
    /// (SAM). It also fails if more than one path is configured and the router does not report its
    /// tunnels. Over SAM, options by name ([`SessionBuilder::option`], `i2p.streaming...`) are
    /// passed to the router.
    ///
    /// ```no_run
    /// # async fn example(router: eepkit::Router) -> Result<(), eepkit::Error> {
    /// let session = router
    ///     .session()
    ///     .streaming(|config| {
    ///         config
    ///             .with_max_concurrent_streams(100)
    ///             .with_max_send_rate(Some(500_000))
    ///             .change_stream(|stream| stream.with_send_buffer(256 << 10))
    ///     })
    ///     .open()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn streaming(
        mut self,
        change: impl FnOnce(EndpointConfig) -> EndpointConfig + Send + 'static,
    ) -> Self {
        self.streaming.push(Box::new(change));
        self
    }

    /// Adds a host name, which takes precedence over the router's address book. Names are compared
    /// in lower case.
    pub fn host(mut self, name: &str, destination: Destination) -> Self {
        self.hosts.insert(name.to_ascii_lowercase(), destination);
        self
    }

    /// Adds host names; see [`SessionBuilder::host`].
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = (String, Destination)>) -> Self {
        for (name, destination) in hosts {
            self = self.host(&name, destination);
        }
        self
    }

    /// The most streams that wait to be accepted on each port, 1 to 4096. Further streams are
    /// refused. The default is that of the preset.
    pub fn backlog(mut self, streams: usize) -> Self {
        self.backlog = Some(streams);
        self
    }

    /// How long [`SessionBuilder::open`] waits until the session is ready; 120 s by default,
    /// because a router that has just started needs a minute for its first tunnels.
    pub fn open_timeout(mut self, limit: Duration) -> Self {
        self.open_timeout = limit;
        self
    }

    /// Time limit for connecting. The default is the option `i2p.streaming.connectTimeout`, or 60 s
    /// as in Java I2P.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = Some(limit);
        self
    }

    /// Time limit for a look-up; 20 s by default, because routers search the network for about 10
    /// s.
    pub fn lookup_timeout(mut self, limit: Duration) -> Self {
        self.lookup_timeout = limit;
        self
    }

    /// How long closing waits until written data is delivered; 30 s by default.
    pub fn linger(mut self, limit: Duration) -> Self {
        self.linger = limit;
        self
    }

    /// Whether the session looks up its own lease set after it became ready, and reports the result
    /// in its status ([`SessionActivity::verification`](crate::SessionActivity::verification)); on
    /// by default. Each look-up is a search of the router in the network database.
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Derives all random values of the session from `seed`: new keys, stream ids and the pauses
    /// between attempts. A program on a simulated network then behaves the same in each run.
    ///
    /// **For tests only**: the keys can be derived from the seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the session and waits until peers can reach it.
    ///
    /// The call fails at once if the first attempt does not reach a router, or if the router
    /// refuses the session. Once opened, the session reconnects automatically.
    ///
    /// # Errors
    ///
    /// [`OpenError`], within the time of [`SessionBuilder::open_timeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the session in the background.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn open(self) -> Result<Session, OpenError> {
        let limit = self.open_timeout;
        let (session, shared) = self.launch()?;
        supervisor::wait_opened(&shared, limit).await?;
        Ok(session)
    }

    /// Starts the session without waiting. The session retries until a router answers.
    ///
    /// [`Session::watch`] reports its status. Listeners can be created at once.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for invalid keys and options.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(self) -> Result<Session, OpenError> {
        Ok(self.launch()?.0)
    }

    /// The preset, then the options of the streaming library, then the program's own changes.
    fn streaming_config(&mut self, options: &Options) -> Result<EndpointConfig, OpenError> {
        let preset = self.preset;
        let mut config =
            EndpointConfig::default().change_stream(|stream| preset.apply_to_streams(stream));
        let mut ours: Vec<(&str, &str)> = options.iter().collect();
        // The access list must be set before the options that enable it.
        ours.sort_by_key(|(key, _)| *key != "i2cp.accessList");
        for (key, value) in ours {
            match config.set(key, value) {
                Err(StreamOptionError::Unknown(_)) if !key.starts_with("i2p.streaming.") => {}
                Err(error) => {
                    return Err(OpenError::Option {
                        key: key.to_owned(),
                        why: error.to_string(),
                    });
                }
                Ok(()) => {}
            }
        }
        for change in self.streaming.drain(..) {
            config = change(config);
        }
        Ok(config)
    }

    fn launch(mut self) -> Result<(Session, Arc<Shared>), OpenError> {
        let mut options = Options::new();
        self.preset
            .apply_to_options(&mut options)
            .map_err(option_error)?;
        for (key, value) in &self.options {
            options.set(key, value).map_err(option_error)?;
        }
        let connector = self.router.connector();
        let layer = connector.layer();
        if layer == Layer::Streams && !self.streaming.is_empty() {
            return Err(OpenError::Unsupported(
                "over SAM the router makes the streams: SessionBuilder::streaming has no effect there, \
                 options by name reach the router",
            ));
        }
        let endpoint = self.streaming_config(&options)?;
        if endpoint.max_paths() > 1 && !connector.exposes_tunnels() {
            return Err(OpenError::Unsupported(
                "it does not report its tunnels, so that packets cannot take more than one path",
            ));
        }
        let mut rng = self.seed.map_or_else(rand::make_rng, StdRng::seed_from_u64);
        let keys = self.keys.load(&options, &mut rng)?;
        check_transient_key(&keys)?;
        let maker = LeaseSetMaker::new(keys.clone(), &options, &mut rng).map_err(|error| {
            OpenError::Option {
                key: "i2cp.leaseSetType".to_owned(),
                why: error.to_string(),
            }
        })?;
        let encryption_keys = EncryptionKeys::of(&maker);
        let connect_timeout = self.connect_timeout.unwrap_or_else(|| {
            let asked = endpoint.stream().connect_timeout();
            // `None` means no limit; it is replaced with the longest limit.
            asked.unwrap_or(LONGEST_CONNECT).min(LONGEST_CONNECT)
        });
        let config = SessionConfig {
            backlog: self.backlog.unwrap_or_else(|| self.preset.backlog()),
            options,
            stream: endpoint.stream().clone(),
            endpoint,
            hosts: self.hosts,
            name_source: self.router.names(),
            accept_timeout: self.open_timeout.min(ACCEPT_TIMEOUT),
            connect_timeout,
            lookup_timeout: self.lookup_timeout,
            linger: self.linger,
            verify: self.verify,
        };
        let shared = Arc::new(Shared::new(keys, encryption_keys, config, layer));
        self.router.remember(&shared);
        supervisor::spawn(connector, shared.clone(), maker, rng);
        Ok((Session::new(shared.clone()), shared))
    }
}

/// Refuses offline keys whose transient key has expired, and warns before that.
fn check_transient_key(keys: &PrivateKeys) -> Result<(), OpenError> {
    let Some(offline) = keys.offline() else {
        return Ok(());
    };
    let expires = Duration::from_secs(offline.expires().into());
    let now = Duration::from_secs(clock::unix_now().as_secs());
    match expires.checked_sub(now) {
        None | Some(Duration::ZERO) => Err(OpenError::TransientKeyExpired {
            ago: now.saturating_sub(expires),
            clock: "this system's clock",
        }),
        Some(left) if left < EXPIRES_SOON => {
            let hours = left.as_secs() / 3600;
            warn!(
                hours,
                "the transient key of the destination expires soon; then the session fails"
            );
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

/// The time before its expiry in which a transient key is warned about. Chosen so that an operator
/// who looks at the log once a week has the time to make new keys.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 3600);

impl Keys {
    fn load(self, options: &Options, rng: &mut StdRng) -> Result<Arc<PrivateKeys>, OpenError> {
        let path = match self {
            Self::Given(keys) => return Ok(Arc::from(keys)),
            Self::New(kind) => {
                let kind = kind.unwrap_or_else(|| options.signature_type());
                return generate(kind, rng);
            }
            Self::File(path) => path,
        };
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::KeyFile {
            path: path.display().to_string(),
            source: Arc::from(source),
        };
        match PrivateKeys::load_or_create(&path, options.signature_type(), rng) {
            Ok((keys, _)) => Ok(Arc::new(keys)),
            Err(KeyFileError::Generate(error)) => Err(cannot_generate(&error)),
            Err(error) => Err(failed(error.into())),
        }
    }
}

fn generate(kind: SignatureType, rng: &mut StdRng) -> Result<Arc<PrivateKeys>, OpenError> {
    PrivateKeys::generate(kind, rng)
        .map(Arc::new)
        .map_err(|error| cannot_generate(&error))
}

fn cannot_generate(error: &dyn std::error::Error) -> OpenError {
    OpenError::Option {
        key: "i2cp.destination.sigType".to_owned(),
        why: error.to_string(),
    }
}

fn option_error(error: eepkit_i2cp::SessionOptionError) -> OpenError {
    OpenError::Option {
        why: error.to_string(),
        key: error.key,
    }
}

impl fmt::Debug for SessionBuilder {
    /// Omits the keys, and the options, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder")
            .field("router", &self.router)
            .field("preset", &self.preset)
            .finish_non_exhaustive()
    }
}

/// See [`SessionBuilder::open_timeout`].
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);
/// Time limit for the router to accept a session, without its tunnels. Chosen because routers
/// answer at once or not at all.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest effective `i2p.streaming.connectTimeout`. Chosen because a peer that has not
/// answered by then will not answer, and every wait has a deadline.
const LONGEST_CONNECT: Duration = Duration::from_secs(600);
/// See [`SessionBuilder::lookup_timeout`].
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);
/// Chosen because one cwnd of data needs a few round trips, and a longer wait at exit is
/// unacceptable.
const LINGER: Duration = Duration::from_secs(30);
