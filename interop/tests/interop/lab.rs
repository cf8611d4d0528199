//! Shared state of the tests: the routers of each peer, which are started when the first test needs
//! them.

use std::{fmt::Debug, future::Future, path::Path, process::ExitCode, sync::Arc, time::Duration};

use eepkit::{ConnectOptions, Error, ErrorKind, Session, Stream};
use eepkit_interop::{I2pdNet, I2plib, Peer, interop_is_required, java_is_requested, peers};
use libtest_mimic::{Failed, Trial};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    runtime::Handle,
    sync::OnceCell,
    time::{Instant, timeout, timeout_at},
};

use crate::{bridges::Bridges, java::JavaPeer, net::Net};

/// The result of a test.
pub(crate) type Outcome = Result<(), Failed>;

/// How long one step of a test may take. Measured: i2pd takes 20 to 40 s to have tunnels.
pub(crate) const STEP_LIMIT: Duration = Duration::from_secs(90);

/// How long a test may take.
const TEST_LIMIT: Duration = Duration::from_secs(400);

/// The state that all tests share.
#[derive(Debug)]
pub(crate) struct Lab {
    runtime: Handle,
    peers: Vec<Peer>,
    required: bool,
    /// The reason why there is no i2pd network, if it is known before the start.
    no_i2pd: Option<String>,
    i2pd: OnceCell<Result<Net, String>>,
    emissary: OnceCell<Result<Net, String>>,
    bridges: OnceCell<Result<Bridges, String>>,
    i2plib: OnceCell<Result<I2plib, String>>,
    java: OnceCell<Result<Arc<JavaPeer>, String>>,
}

impl Lab {
    pub(crate) fn new(runtime: Handle) -> Result<Self, String> {
        Ok(Self {
            runtime,
            peers: peers()?,
            required: interop_is_required(),
            no_i2pd: I2pdNet::prerequisites()
                .err()
                .map(|error| error.to_string()),
            i2pd: OnceCell::new(),
            emissary: OnceCell::new(),
            bridges: OnceCell::new(),
            i2plib: OnceCell::new(),
            java: OnceCell::new(),
        })
    }

    /// Adds a test for each requested peer in `peers`. If a peer is missing and not required, the
    /// test is skipped with a message.
    pub(crate) fn add<F>(
        self: &Arc<Self>,
        trials: &mut Vec<Trial>,
        peers: &[Peer],
        name: &str,
        test: impl Fn(Arc<Self>, Peer) -> F + Copy + Send + 'static,
    ) where
        F: Future<Output = Outcome> + Send + 'static,
    {
        for &peer in peers.iter().filter(|peer| self.peers.contains(peer)) {
            let (prefix, missing) = match peer {
                Peer::I2pd => ("i2pd", self.no_i2pd.clone()),
                Peer::Emissary => ("emissary", None),
            };
            let name = format!("{prefix}::{name}");
            trials.push(self.trial(name, missing, move |lab| test(lab, peer)));
        }
    }

    /// Adds a test with a third-party SAM client and our bridges. `missing` returns the reason why
    /// the client cannot run on this machine. The test is then skipped, unless it is required.
    ///
    /// The bridges use emissary's routers, so the test runs if the peer emissary is requested.
    pub(crate) fn add_client<F>(
        self: &Arc<Self>,
        trials: &mut Vec<Trial>,
        name: &str,
        missing: Option<String>,
        test: impl Fn(Arc<Self>) -> F + Send + 'static,
    ) where
        F: Future<Output = Outcome> + Send + 'static,
    {
        if self.peers.contains(&Peer::Emissary) {
            trials.push(self.trial(name.to_owned(), missing, test));
        }
    }

    /// Adds a test with Java's streaming library, if that is requested. `missing` is as in
    /// [`Lab::add_client`].
    pub(crate) fn add_java<F>(
        self: &Arc<Self>,
        trials: &mut Vec<Trial>,
        name: &str,
        missing: Option<String>,
        test: impl Fn(Arc<Self>) -> F + Send + 'static,
    ) where
        F: Future<Output = Outcome> + Send + 'static,
    {
        if java_is_requested() {
            trials.push(self.trial(name.to_owned(), missing, test));
        }
    }

    fn trial<F>(
        self: &Arc<Self>,
        name: String,
        missing: Option<String>,
        test: impl Fn(Arc<Self>) -> F + Send + 'static,
    ) -> Trial
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let skipped = missing.is_some() && !self.required;
        if let (Some(why), true) = (&missing, skipped) {
            say(&format!("SKIP: {name}: {why}"));
        }
        let lab = self.clone();
        let trial = Trial::test(name, move || {
            if let Some(why) = missing {
                return Err(why.into());
            }
            let runtime = lab.runtime.clone();
            let limit = TEST_LIMIT + soak().unwrap_or_default();
            runtime.block_on(async move {
                timeout(limit, test(lab))
                    .await
                    .unwrap_or_else(|_| Err(format!("took longer than {limit:?}").into()))
            })
        });
        trial.with_ignored_flag(skipped)
    }

    /// The shared network of a peer.
    pub(crate) async fn net(&self, peer: Peer) -> Result<&Net, Failed> {
        let cell = match peer {
            Peer::I2pd => &self.i2pd,
            Peer::Emissary => &self.emissary,
        };
        let start = async || Net::start(peer).await.map_err(|error| format!("{error:?}"));
        cell.get_or_init(start).await.as_ref().map_err(Failed::from)
    }

    /// The shared bridges for tests with SAM clients.
    pub(crate) async fn bridges(&self) -> Result<&Bridges, Failed> {
        let start = async || Bridges::start().await.map_err(|error| format!("{error:?}"));
        let started = self.bridges.get_or_init(start).await;
        started.as_ref().map_err(Failed::from)
    }

    /// i2plib, which is downloaded when the first test needs it.
    pub(crate) async fn i2plib(&self) -> Result<&I2plib, Failed> {
        let fetch = async || {
            let fetch = || I2plib::fetch(Path::new(env!("CARGO_TARGET_TMPDIR")));
            let fetched = tokio::task::spawn_blocking(fetch).await;
            fetched.unwrap_or_else(|error| Err(error.to_string()))
        };
        let fetched = self.i2plib.get_or_init(fetch).await;
        fetched.as_ref().map_err(Failed::from)
    }

    /// The peer on Java's streaming library, which is downloaded and started when the first test
    /// needs it.
    pub(crate) async fn java(&self) -> Result<Arc<JavaPeer>, Failed> {
        let started = self.java.get_or_init(JavaPeer::start).await;
        started.clone().map_err(Failed::from)
    }

    /// Whether a client that cannot be downloaded is a failure.
    pub(crate) fn is_required(&self) -> bool {
        self.required
    }
}

/// The time for which the soak tests run, if they are requested.
pub(crate) fn soak() -> Option<Duration> {
    let minutes = std::env::var("EEPKIT_SOAK_MINUTES").ok()?;
    Some(Duration::from_secs(60 * minutes.parse::<u64>().ok()?))
}

/// Opens a stream. Retries while the network does not find the lease set of the peer, which may not
/// have been published yet. [`SamSession::connect`] does the same on the other side.
///
/// [`SamSession::connect`]: eepkit_interop::SamSession::connect
pub(crate) async fn connect(session: &Session, to: &str) -> Result<Stream, Failed> {
    connect_with(session, to, &ConnectOptions::new()).await
}

/// Like [`connect`], with options.
pub(crate) async fn connect_with(
    session: &Session,
    to: &str,
    options: &ConnectOptions,
) -> Result<Stream, Failed> {
    let deadline = Instant::now() + STEP_LIMIT;
    loop {
        let error = match session.connect_with(to, options).await {
            Ok(stream) => return Ok(stream),
            Err(error) => Error::from(error),
        };
        if error.kind() != ErrorKind::LeaseSetNotFound || Instant::now() > deadline {
            return Err(whole(error));
        }
    }
}

/// Formats an error with all its causes. The last one contains the router's reason.
pub(crate) fn whole(error: impl std::error::Error) -> Failed {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.into()
}

/// Reads to the end. If the end does not arrive, the error contains the number of bytes.
pub(crate) async fn read_to_end(from: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Failed> {
    read_until(from, usize::MAX).await
}

/// Reads `len` bytes, or to the end. If neither arrives, the error contains the number of bytes.
pub(crate) async fn read_until(
    from: &mut (impl AsyncRead + Unpin),
    len: usize,
) -> Result<Vec<u8>, Failed> {
    let deadline = Instant::now() + STEP_LIMIT;
    let mut from = from.take(u64::try_from(len).unwrap_or(u64::MAX));
    let mut data = Vec::new();
    let what = loop {
        match timeout_at(deadline, from.read_buf(&mut data)).await {
            Ok(Ok(0)) => return Ok(data),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => break error.to_string(),
            Err(_) => break format!("nothing more within {STEP_LIMIT:?}"),
        }
    };
    Err(format!("after {} bytes: {what}", data.len()).into())
}

/// Fails with both values unless they are equal.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, is: T, should_be: T) -> Outcome {
    if is == should_be {
        Ok(())
    } else {
        Err(format!("{what}: {is:?}, but should be {should_be:?}").into())
    }
}

/// Pseudorandom bytes, which are the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    // Knuth's MMIX generator. Its upper bits are good enough to detect lost or moved bytes.
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(&mut next).take(len).collect()
}

/// Ends the run before any test.
pub(crate) fn give_up(why: &str) -> ExitCode {
    say(why);
    ExitCode::FAILURE
}

#[expect(
    clippy::print_stderr,
    reason = "the lines are for whoever runs the tests"
)]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
