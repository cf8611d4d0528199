//! What the tests share: the routers of each peer, started when the first test asks for them.

use std::{
    fmt::Debug, future::Future, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration,
};

use eepkit_interop::{I2pdNet, Peer, interop_is_required, peers};
use libtest_mimic::{Failed, Trial};
use tokio::{runtime::Handle, sync::OnceCell, time::timeout};

/// How a test ends.
pub(crate) type Outcome = Result<(), Failed>;

/// How long one step of a test may take. Measured: i2pd takes 20 to 40 s to have tunnels.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How long a test may take.
const TEST_LIMIT: Duration = Duration::from_secs(300);

/// Routers of an i2pd network: four floodfills, two that tests attach to, one to be killed.
const I2PD_ROUTERS: usize = 7;

/// Everything that tests share.
#[derive(Debug)]
pub(crate) struct Lab {
    runtime: Handle,
    peers: Vec<Peer>,
    required: bool,
    /// Why there is no i2pd network, where that is known before it is tried.
    no_i2pd: Option<String>,
    i2pd: OnceCell<Result<I2pdNet, String>>,
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
        })
    }

    /// Adds a test with a peer, unless the peer was not asked for. It is skipped, and says so,
    /// where the peer is missing and not required.
    pub(crate) fn add<F>(
        self: &Arc<Self>,
        trials: &mut Vec<Trial>,
        peer: Peer,
        name: &str,
        test: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) where
        F: Future<Output = Outcome> + Send + 'static,
    {
        if !self.peers.contains(&peer) {
            return;
        }
        let (prefix, missing) = match peer {
            Peer::I2pd => ("i2pd", self.no_i2pd.clone()),
            Peer::Emissary => ("emissary", None),
        };
        let name = format!("{prefix}::{name}");
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
            runtime.block_on(async move {
                timeout(TEST_LIMIT, test(lab))
                    .await
                    .unwrap_or_else(|_| Err(format!("took longer than {TEST_LIMIT:?}").into()))
            })
        });
        trials.push(trial.with_ignored_flag(skipped));
    }

    /// The SAM services of two routers of a peer.
    pub(crate) async fn sam_addresses(
        &self,
        _peer: Peer,
    ) -> Result<(SocketAddr, SocketAddr), Failed> {
        let routers = self.i2pd().await?.routers();
        Ok((routers[4].sam(), routers[5].sam()))
    }

    /// Options of SAM sessions.
    ///
    /// i2pd builds two tunnels at a time, and publishes a lease set only if there is an outbound
    /// tunnel when an inbound one comes up. With a third inbound tunnel, which comes later, there
    /// always is.
    pub(crate) fn sam_options(&self) -> &'static str {
        "inbound.length=2 outbound.length=2 inbound.quantity=3 outbound.quantity=3 i2cp.leaseSetEncType=4"
    }

    async fn i2pd(&self) -> Result<&I2pdNet, Failed> {
        let net = self
            .i2pd
            .get_or_init(|| async {
                I2pdNet::start(I2PD_ROUTERS)
                    .await
                    .map_err(|error| error.to_string())
            })
            .await;
        net.as_ref().map_err(Failed::from)
    }
}

/// Fails with both values unless they are the same.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, is: T, should_be: T) -> Outcome {
    if is == should_be {
        Ok(())
    } else {
        Err(format!("{what}: {is:?}, but should be {should_be:?}").into())
    }
}

/// Bytes without a pattern, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    // Knuth's MMIX generator; its upper bits are good enough to show lost or moved bytes.
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
fn say(line: &str) {
    eprintln!("{line}");
}
