//! A network of another software's routers, and the two ways in: eepkit over I2CP, and the
//! software's own streaming over SAM.

use std::{net::SocketAddr, time::Duration};

use eepkit::{Destination, Devnet, Router, Session, SessionBuilder};
use eepkit_interop::{I2pdNet, Peer, SamDatagrams, SamSession, sam_command};
use libtest_mimic::Failed;
use tokio::time::{Instant, sleep, timeout_at};

use crate::lab::{Outcome, PATIENCE, say, whole};

/// A network of routers.
#[derive(Debug)]
pub(crate) enum Net {
    /// i2pd's, in processes of their own.
    I2pd(I2pdNet),
    /// emissary's, in this process.
    Emissary(Devnet),
}

/// Routers of a network: up to four floodfills, and the two below.
const ROUTERS: usize = 6;

/// The router that sessions of eepkit are opened on. No floodfill: i2pd's come first, emissary's
/// last.
pub(crate) const OURS: usize = 4;

/// The router whose streams are the other software's.
pub(crate) const THEIRS: usize = 5;

/// How many SAM sessions to open until i2pd publishes the lease set of one.
const SESSIONS: usize = 3;

/// How long a lease set may take to be found.
const PUBLISHED: Duration = Duration::from_secs(30);

/// Of every SAM session.
const SAM_OPTIONS: &str = "SIGNATURE_TYPE=7 inbound.length=2 outbound.length=2 \
                           inbound.quantity=3 outbound.quantity=3 i2cp.leaseSetEncType=4";

impl Net {
    /// Starts one.
    pub(crate) async fn start(peer: Peer) -> Result<Self, Failed> {
        Ok(match peer {
            Peer::I2pd => Self::I2pd(I2pdNet::start(ROUTERS).await?),
            Peer::Emissary => Self::Emissary(Devnet::start(ROUTERS).await?),
        })
    }

    /// A session of eepkit, to be given more options.
    ///
    /// Three tunnels, for the reason at [`Net::sam_on`].
    pub(crate) fn builder(&self) -> Result<SessionBuilder, Failed> {
        let i2cp = match self {
            Self::I2pd(net) => net.routers()[OURS].i2cp(),
            Self::Emissary(net) => net.router(OURS).i2cp_addr(),
        };
        let router = Router::attach(&format!("i2cp://{i2cp}"))?;
        Ok(router.session().tunnel_length(2).tunnel_quantity(3))
    }

    /// A session of eepkit.
    pub(crate) async fn session(&self) -> Result<Session, Failed> {
        let opening = self.builder()?.open_timeout(PATIENCE).open();
        opening.await.map_err(whole)
    }

    /// A SAM session, whose streams are the other software's own.
    pub(crate) async fn sam(&self) -> Result<SamSession, Failed> {
        self.sam_on(THEIRS).await
    }

    /// A SAM session on a router of choice, whose lease set the other routers find.
    ///
    /// i2pd builds two tunnels at a time, and publishes a lease set only if there is an outbound
    /// tunnel when an inbound one comes up. With a third inbound tunnel, which comes later, there
    /// nearly always is; where there is not, nothing is published before the tunnels are replaced, and
    /// another session is taken.
    pub(crate) async fn sam_on(&self, router: usize) -> Result<SamSession, Failed> {
        let (at, other) = match self {
            Self::I2pd(net) => {
                let other = if router == OURS { THEIRS } else { OURS };
                (net.routers()[router].sam(), net.routers()[other].sam())
            }
            Self::Emissary(net) => {
                let at = net.router(router).sam_addr();
                let at = at.ok_or("the devnet serves no SAM")?;
                return Ok(SamSession::create(at, SAM_OPTIONS, PATIENCE).await?);
            }
        };
        for _ in 1..SESSIONS {
            let session = SamSession::create(at, SAM_OPTIONS, PATIENCE).await?;
            if is_published(session.destination(), other).await? {
                return Ok(session);
            }
            say("i2pd did not publish the lease set of a session; taking another one");
        }
        Ok(SamSession::create(at, SAM_OPTIONS, PATIENCE).await?)
    }

    /// A SAM session whose datagrams are the other software's own.
    pub(crate) async fn sam_datagrams(&self, style: &str) -> Result<SamDatagrams, Failed> {
        let (at, udp) = match self {
            // i2pd takes and gives datagrams on the session's own socket.
            Self::I2pd(net) => (net.routers()[THEIRS].sam(), None),
            Self::Emissary(net) => {
                let router = net.router(THEIRS);
                let at = router.sam_addr().ok_or("the devnet serves no SAM")?;
                (at, router.sam_udp_addr())
            }
        };
        Ok(SamDatagrams::create(at, udp, style, SAM_OPTIONS, PATIENCE).await?)
    }

    /// Ends the router of eepkit's sessions without a word to them.
    pub(crate) async fn kill_ours(&self) {
        match self {
            Self::I2pd(net) => net.routers()[OURS].kill(),
            Self::Emissary(net) => net.router(OURS).kill().await,
        }
    }

    /// Starts that router again, at the same address.
    pub(crate) async fn restart_ours(&self) -> Outcome {
        match self {
            Self::I2pd(net) => net.routers()[OURS].restart().await?,
            Self::Emissary(net) => net.router(OURS).restart().await?,
        }
        Ok(())
    }
}

/// Whether a router finds the lease set of a destination, in base64, within [`PUBLISHED`].
async fn is_published(destination: &str, router: SocketAddr) -> Result<bool, Failed> {
    let name = Destination::from_base64(destination)?.to_b32();
    let lookup = format!("NAMING LOOKUP NAME={name}");
    let deadline = Instant::now() + PUBLISHED;
    while Instant::now() < deadline {
        if let Ok(answer) = timeout_at(deadline, sam_command(router, &lookup)).await
            && answer?.1.contains("RESULT=OK")
        {
            return Ok(true);
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(false)
}
