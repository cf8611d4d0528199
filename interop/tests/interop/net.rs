//! A network of routers of another implementation, with two interfaces: eepkit over I2CP, and the
//! implementation's own streaming over SAM.

use std::{net::SocketAddr, time::Duration};

use eepkit::{Destination, Devnet, Router, Session, SessionBuilder};
use eepkit_interop::{I2pdNet, Peer, SamDatagrams, SamSession, sam_command};
use libtest_mimic::Failed;
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use crate::lab::{Outcome, STEP_LIMIT, say, whole};

/// A network of routers.
#[derive(Debug)]
pub(crate) enum Net {
    /// i2pd's routers, in separate processes.
    I2pd(I2pdNet),
    /// emissary's routers, in this process.
    Emissary(Devnet),
}

/// The number of routers of a network: up to four floodfills, and the two below.
pub(crate) const ROUTERS: usize = 6;

/// The router for sessions of eepkit. It is not a floodfill: those of i2pd are the first routers,
/// and those of emissary the last.
pub(crate) const OURS: usize = 4;

/// The router whose own streams are used.
pub(crate) const THEIRS: usize = 5;

/// The maximum number of sessions that are opened until the network finds one.
const OPENINGS: usize = 3;

/// How long a look-up of a new destination may take. Chosen because published lease sets are found
/// within seconds, once the router has tunnels.
const FOUND: Duration = Duration::from_secs(40);

/// The pause between look-ups.
const RETRY: Duration = Duration::from_millis(500);

/// The options of every SAM session.
const SAM_OPTIONS: &str = "SIGNATURE_TYPE=7 inbound.length=2 outbound.length=2 \
                           inbound.quantity=3 outbound.quantity=3 i2cp.leaseSetEncType=4";

impl Net {
    /// Starts a network.
    pub(crate) async fn start(peer: Peer) -> Result<Self, Failed> {
        Ok(match peer {
            Peer::I2pd => Self::I2pd(I2pdNet::start(ROUTERS).await?),
            Peer::Emissary => Self::Emissary(Devnet::start(ROUTERS).await?),
        })
    }

    /// A builder of a session of eepkit, to which options can be added.
    ///
    /// Uses three tunnels, for the reason at [`Net::sam_on`].
    pub(crate) fn builder(&self) -> Result<SessionBuilder, Failed> {
        Self::builder_at(self.i2cp(OURS)?)
    }

    /// A builder of a session of eepkit on the router at this I2CP address.
    pub(crate) fn builder_at(i2cp: SocketAddr) -> Result<SessionBuilder, Failed> {
        let router = Router::attach(&format!("i2cp://{i2cp}"))?;
        Ok(router.session().tunnel_length(2).tunnel_quantity(3))
    }

    /// Whether the routers replace the encryption session with a peer that begins another, within a
    /// minute. i2pd 2.45 keeps it for up to ten minutes.
    pub(crate) fn renews_quickly(&self) -> bool {
        match self {
            Self::I2pd(net) => net.is_newer(),
            Self::Emissary(_) => true,
        }
    }

    /// The I2CP address of a router.
    pub(crate) fn i2cp(&self, router: usize) -> Result<SocketAddr, Failed> {
        match self {
            Self::I2pd(net) => Ok(net.routers()[router].i2cp()),
            Self::Emissary(net) => {
                let at = net.router(router).i2cp_addr();
                at.ok_or_else(|| "the router offers no I2CP".into())
            }
        }
    }

    /// Opens a session of eepkit.
    pub(crate) async fn session(&self) -> Result<Session, Failed> {
        self.session_at(self.i2cp(OURS)?).await
    }

    /// Opens a session of eepkit on the router at this I2CP address.
    pub(crate) async fn session_at(&self, i2cp: SocketAddr) -> Result<Session, Failed> {
        let open = move || async move {
            let opening = Self::builder_at(i2cp)?.open_timeout(STEP_LIMIT).open();
            opening.await.map_err(whole)
        };
        self.found(open, |session| session.destination().to_b32())
            .await
    }

    /// Opens a SAM session, which uses the router's own streaming.
    pub(crate) async fn sam(&self) -> Result<SamSession, Failed> {
        self.sam_on(THEIRS).await
    }

    /// Opens a SAM session on the given router.
    ///
    /// i2pd builds two tunnels at a time, and publishes a lease set only if there is an outbound
    /// tunnel when an inbound one comes up. A third inbound tunnel comes up later, when there
    /// always is one.
    pub(crate) async fn sam_on(&self, router: usize) -> Result<SamSession, Failed> {
        let at = match self {
            Self::I2pd(net) => net.routers()[router].sam(),
            Self::Emissary(net) => {
                let at = net.router(router).sam_addr();
                at.ok_or("the devnet serves no SAM")?
            }
        };
        let open =
            move || async move { Ok(SamSession::create(at, SAM_OPTIONS, STEP_LIMIT).await?) };
        self.found(open, |session| b32(session.destination())).await
    }

    /// Opens a SAM session, which uses the router's own datagrams.
    pub(crate) async fn sam_datagrams(&self, style: &str) -> Result<SamDatagrams, Failed> {
        let (at, udp) = match self {
            // i2pd sends and accepts datagrams on the session's own socket.
            Self::I2pd(net) => (net.routers()[THEIRS].sam(), None),
            Self::Emissary(net) => {
                let router = net.router(THEIRS);
                let at = router.sam_addr().ok_or("the devnet serves no SAM")?;
                (at, router.sam_udp_addr())
            }
        };
        let open = move || async move {
            Ok(SamDatagrams::create(at, udp, style, SAM_OPTIONS, STEP_LIMIT).await?)
        };
        self.found(open, |session| b32(session.destination())).await
    }

    /// Opens a session, and replaces it by another one if other routers do not find its
    /// destination. i2pd stops publishing a lease set if no floodfill confirms it in time, which
    /// happens on a busy machine. It does not retry before it renews the tunnels minutes later.
    pub(crate) async fn found<T, F>(
        &self,
        open: impl Fn() -> F,
        address: impl Fn(&T) -> String,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let Self::I2pd(net) = self else {
            return open().await;
        };
        let other = net.routers()[0].sam();
        for _ in 1..OPENINGS {
            let session = open().await?;
            let name = address(&session);
            if timeout(FOUND, finds(other, &name)).await.is_ok() {
                return Ok(session);
            }
            say(&format!(
                "no router of i2pd finds {name}, which is new: once more"
            ));
        }
        open().await
    }

    /// Kills the router of eepkit's sessions without notice.
    pub(crate) async fn kill_ours(&self) {
        match self {
            Self::I2pd(net) => net.routers()[OURS].kill(),
            Self::Emissary(net) => net.router(OURS).kill().await,
        }
    }

    /// Sends a signal to the process of that router.
    pub(crate) async fn signal_ours(&self, signal: &str) -> Outcome {
        let Self::I2pd(net) = self else {
            return Err("the router is not a process".into());
        };
        let id = net.routers()[OURS]
            .id()
            .ok_or("the router is not running")?;
        let kill = Command::new("kill")
            .args([format!("-{signal}"), id.to_string()])
            .status();
        match kill.await?.success() {
            true => Ok(()),
            false => Err(format!("the signal {signal} was not sent").into()),
        }
    }

    /// Restarts that router at the same address.
    pub(crate) async fn restart_ours(&self) -> Outcome {
        match self {
            Self::I2pd(net) => net.routers()[OURS].restart().await?,
            Self::Emissary(net) => net.router(OURS).restart().await?,
        }
        Ok(())
    }
}

/// Waits until the router with this SAM bridge finds an address.
async fn finds(at: SocketAddr, name: &str) {
    let command = format!("NAMING LOOKUP NAME={name}");
    loop {
        match sam_command(at, &command).await {
            Ok((_, reply)) if reply.contains("RESULT=OK") => return,
            _ => sleep(RETRY).await,
        }
    }
}

/// Returns the address of a destination in base64, or an unused address if it is invalid.
fn b32(destination: &str) -> String {
    match Destination::from_base64(destination) {
        Ok(destination) => destination.to_b32(),
        Err(error) => error.to_string(),
    }
}
