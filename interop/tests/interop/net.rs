//! A network of another software's routers, and the two ways in: eepkit over I2CP, and the
//! software's own streaming over SAM.

use std::{net::SocketAddr, time::Duration};

use eepkit::{Destination, Devnet, Router, Session, SessionBuilder};
use eepkit_interop::{I2pdNet, Peer, SamDatagrams, SamSession, sam_command};
use libtest_mimic::Failed;
use tokio::time::{sleep, timeout};

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

/// Sessions that are opened until the network knows one.
const OPENINGS: usize = 3;

/// How long a router may take to find what is new. Chosen because those that were published are found
/// within seconds, once the router that asks has tunnels.
const FOUND: Duration = Duration::from_secs(40);

/// Pause between questions.
const RETRY: Duration = Duration::from_millis(500);

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
            Self::Emissary(net) => net
                .router(OURS)
                .i2cp_addr()
                .ok_or("the router offers no I2CP")?,
        };
        let router = Router::attach(&format!("i2cp://{i2cp}"))?;
        Ok(router.session().tunnel_length(2).tunnel_quantity(3))
    }

    /// A session of eepkit.
    pub(crate) async fn session(&self) -> Result<Session, Failed> {
        let open = move || async move {
            let opening = self.builder()?.open_timeout(PATIENCE).open();
            opening.await.map_err(whole)
        };
        self.found(open, |session| session.destination().to_b32())
            .await
    }

    /// A SAM session, whose streams are the other software's own.
    pub(crate) async fn sam(&self) -> Result<SamSession, Failed> {
        self.sam_on(THEIRS).await
    }

    /// A SAM session on a router of choice.
    ///
    /// i2pd builds two tunnels at a time, and publishes a lease set only if there is an outbound
    /// tunnel when an inbound one comes up. With a third inbound tunnel, which comes later, there
    /// always is.
    pub(crate) async fn sam_on(&self, router: usize) -> Result<SamSession, Failed> {
        let at = match self {
            Self::I2pd(net) => net.routers()[router].sam(),
            Self::Emissary(net) => {
                let at = net.router(router).sam_addr();
                at.ok_or("the devnet serves no SAM")?
            }
        };
        let open = move || async move { Ok(SamSession::create(at, SAM_OPTIONS, PATIENCE).await?) };
        self.found(open, |session| b32(session.destination())).await
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
        let open = move || async move {
            Ok(SamDatagrams::create(at, udp, style, SAM_OPTIONS, PATIENCE).await?)
        };
        self.found(open, |session| b32(session.destination())).await
    }

    /// Opens a session, and another one in its place if other routers do not find its destination:
    /// i2pd gives publishing a lease set up when no floodfill confirms it in time, which happens on
    /// a busy machine, and does not try again before tunnels are renewed after minutes.
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

/// Waits until the router with this SAM finds an address.
async fn finds(at: SocketAddr, name: &str) {
    let command = format!("NAMING LOOKUP NAME={name}");
    loop {
        match sam_command(at, &command).await {
            Ok((_, reply)) if reply.contains("RESULT=OK") => return,
            _ => sleep(RETRY).await,
        }
    }
}

/// The address of a destination in base64; one that nobody has if it is none.
fn b32(destination: &str) -> String {
    match Destination::from_base64(destination) {
        Ok(destination) => destination.to_b32(),
        Err(error) => error.to_string(),
    }
}
