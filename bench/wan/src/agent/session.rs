//! The sessions of an agent.

use std::{io, sync::Arc, time::Duration};

use eepkit::{ConnectOptions, Error, ErrorKind, Listener, Preset, Router};
use eepkit_attach::i2cp::I2cpRouter;
use eepkit_interop::SamSession;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::raw::RawSession;
use crate::wire::{I2CP, SAM, SessionKind, SessionPlan};

/// A session. All clones refer to the same session, which ends with the last of them.
#[derive(Clone)]
pub(super) enum Session {
    Theirs(Arc<SamSession>),
    Ours {
        session: eepkit::Session,
        listener: Arc<Listener>,
    },
    Raw(Arc<RawSession>),
}

/// The delay before a request is repeated to a router that has just started or has no lease set of
/// a peer yet.
const RETRY: Duration = Duration::from_millis(500);

/// The time limit for a router to accept a session. It refuses immediately, or has accepted.
const ACCEPT: Duration = Duration::from_secs(30);

impl Session {
    /// Opens a session with a new destination, and waits until it has tunnels.
    pub(super) async fn open(kind: SessionKind, plan: SessionPlan) -> Result<Self, String> {
        let deadline = Instant::now() + plan.limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let opened = match kind {
                SessionKind::Theirs => theirs(&plan, left).await,
                SessionKind::Ours => ours(&plan, left).await,
                SessionKind::Raw => RawSession::open(&router(&plan), &plan, left)
                    .await
                    .map(|session| Self::Raw(Arc::new(session))),
            };
            match opened {
                Err(_) if Instant::now() + RETRY < deadline => sleep(RETRY).await,
                result => return result,
            }
        }
    }

    /// The destination in base64.
    pub(super) fn destination(&self) -> String {
        match self {
            Self::Theirs(session) => session.destination().to_owned(),
            Self::Ours { session, .. } => session.destination().to_base64(),
            Self::Raw(session) => session.destination().to_base64(),
        }
    }

    pub(super) fn raw(&self) -> Result<&RawSession, String> {
        match self {
            Self::Raw(session) => Ok(session),
            _ => Err("this session has no datagrams".to_owned()),
        }
    }

    /// Waits for a stream. Calls `listening` once a peer may connect.
    pub(super) async fn accept(
        &self,
        limit: Duration,
        listening: impl Future<Output = ()>,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, String> {
        match self {
            Self::Theirs(session) => {
                let accepting = session.accept().await.map_err(text)?;
                listening.await;
                let (stream, _) = accepting.accepted(limit).await.map_err(text)?;
                Ok(Box::new(stream))
            }
            Self::Ours { listener, .. } => {
                listening.await;
                match timeout(limit, listener.accept()).await {
                    Ok(Ok(stream)) => Ok(Box::new(stream)),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("no peer came".to_owned()),
                }
            }
            Self::Raw(_) => Err("this session has no streams".to_owned()),
        }
    }

    /// Opens a stream to a destination in base64.
    pub(super) async fn connect(&self, to: &str, limit: Duration) -> Result<Outgoing, String> {
        match self {
            Self::Theirs(session) => {
                let stream = session.connect(to, limit).await.map_err(text)?;
                Ok(Outgoing::Theirs(stream))
            }
            Self::Ours { session, .. } => {
                let deadline = Instant::now() + limit;
                loop {
                    let options = ConnectOptions::new();
                    let error = match session.connect_with(to, &options).await {
                        Ok(stream) => return Ok(Outgoing::Ours(stream)),
                        Err(error) => Error::from(error),
                    };
                    // The lease set of a new peer may not have arrived yet. The SAM client retries
                    // as well.
                    let early = error.kind() == ErrorKind::LeaseSetNotFound;
                    if !early || Instant::now() + RETRY > deadline {
                        return Err(error.to_string());
                    }
                    sleep(RETRY).await;
                }
            }
            Self::Raw(_) => Err("this session has no streams".to_owned()),
        }
    }
}

/// A stream to write to.
pub(super) enum Outgoing {
    Theirs(TcpStream),
    Ours(eepkit::Stream),
}

impl Outgoing {
    pub(super) fn writer(&mut self) -> &mut (dyn AsyncWrite + Send + Unpin) {
        match self {
            Self::Theirs(stream) => stream,
            Self::Ours(stream) => stream,
        }
    }

    pub(super) fn info(&self) -> Option<eepkit::StreamInfo> {
        match self {
            Self::Theirs(_) => None,
            Self::Ours(stream) => stream.info(),
        }
    }
}

async fn theirs(plan: &SessionPlan, limit: Duration) -> Result<Session, String> {
    let SessionPlan {
        hops,
        inbound,
        outbound,
        ..
    } = plan;
    let options = format!(
        "SIGNATURE_TYPE=7 inbound.length={hops} outbound.length={hops} \
         inbound.quantity={inbound} outbound.quantity={outbound} i2cp.leaseSetEncType=4"
    );
    let session = SamSession::create(SAM, &options, limit).await;
    session.map(Arc::new).map(Session::Theirs).map_err(text)
}

async fn ours(plan: &SessionPlan, limit: Duration) -> Result<Session, String> {
    let mut session = Router::new(router(plan)).session();
    if let Some(packet) = plan.packet {
        session = session.option("i2p.streaming.maxMessageSize", packet);
    }
    let session = session
        .preset(Preset::Bulk)
        .tunnel_length(plan.hops)
        .option("inbound.quantity", plan.inbound)
        .option("outbound.quantity", plan.outbound)
        .open_timeout(limit)
        .open()
        .await
        .map_err(|error| error.to_string())?;
    let listener = session.listen(0).map_err(|error| error.to_string())?;
    Ok(Session::Ours {
        session,
        listener: Arc::new(listener),
    })
}

fn router(plan: &SessionPlan) -> I2cpRouter {
    let router = I2cpRouter::tcp(I2CP);
    if plan.emissary {
        router.kind(eepkit_i2cp::RouterKind::Emissary)
    } else {
        router
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: io::Error) -> String {
    error.to_string()
}

/// The time limit for a router to accept a session of datagrams.
pub(super) fn accept_limit(limit: Duration) -> Duration {
    limit.min(ACCEPT)
}
