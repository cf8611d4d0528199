//! Two ends that communicate over the same routers through one of the compared implementations.

use std::sync::Arc;

use eepkit::{DatagramSocket, Format, Listener, Router, Session};
use eepkit_bench_common::{Io, LIMIT, Outcome, Tunnels, connect};
use tokio::{net::UdpSocket, time::timeout};

use crate::{
    bridge::Place,
    sam::{self, SamSession},
};

/// How the ends communicate with their routers.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// The library.
    Library([Router; 2]),
    /// SAM bridges.
    Sam([Place; 2]),
}

/// Either end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Sender,
    Receiver,
}

impl Way {
    /// A session for streams.
    pub(crate) async fn session(&self, end: End, tunnels: Tunnels) -> Outcome<Party> {
        Ok(match self {
            Self::Library(routers) => {
                let session = tunnels.open(&routers[end as usize]).await?;
                let listener = session.listen(0)?;
                Party::Library(session, Arc::new(listener))
            }
            Self::Sam(places) => {
                let options = tunnels.to_text(" ");
                let session = SamSession::streams(places[end as usize], &options);
                Party::Sam(Arc::new(timeout(LIMIT, session).await??))
            }
        })
    }

    /// A session for datagrams.
    pub(crate) async fn datagrams(&self, end: End, tunnels: Tunnels) -> Outcome<Mail> {
        Ok(match self {
            Self::Library(routers) => {
                let session = tunnels.open(&routers[end as usize]).await?;
                let socket = session.datagrams(Format::Datagram1).bind(0)?;
                Mail::Library(session, socket)
            }
            Self::Sam(places) => {
                let options = tunnels.to_text(" ");
                let session = SamSession::datagrams(places[end as usize], &options);
                let (session, socket) = timeout(LIMIT, session).await??;
                Mail::Sam(Box::new(session), socket)
            }
        })
    }
}

/// A session for streams.
#[derive(Clone)]
pub(crate) enum Party {
    Library(Session, Arc<Listener>),
    Sam(Arc<SamSession>),
}

impl Party {
    pub(crate) fn destination(&self) -> String {
        match self {
            Self::Library(session, _) => session.destination().to_base64(),
            Self::Sam(session) => session.destination().to_owned(),
        }
    }

    /// Opens a stream. Retries while the network has no lease set of the peer.
    pub(crate) async fn connect(&self, to: &str) -> Outcome<Box<dyn Io>> {
        Ok(match self {
            Self::Library(session, _) => Box::new(connect(session, to).await?),
            Self::Sam(session) => Box::new(session.connect(to).await?),
        })
    }

    /// Starts to wait for a stream.
    pub(crate) async fn accept(&self) -> Outcome<Accepting> {
        Ok(match self {
            Self::Library(_, listener) => Accepting::Library(listener.clone()),
            Self::Sam(session) => Accepting::Sam(session.accept().await?),
        })
    }
}

/// A listener for one stream.
pub(crate) enum Accepting {
    Library(Arc<Listener>),
    Sam(sam::Accepting),
}

impl Accepting {
    pub(crate) async fn accepted(self) -> Outcome<Box<dyn Io>> {
        Ok(match self {
            Self::Library(listener) => Box::new(listener.accept().await?),
            Self::Sam(accepting) => Box::new(accepting.accepted().await?),
        })
    }
}

/// A session for datagrams.
pub(crate) enum Mail {
    Library(Session, DatagramSocket),
    Sam(Box<SamSession>, UdpSocket),
}

/// A buffer size above that of any datagram with its sender.
const PACKET: usize = 64 * 1024;

impl Mail {
    pub(crate) fn destination(&self) -> String {
        match self {
            Self::Library(session, _) => session.destination().to_base64(),
            Self::Sam(session, _) => session.destination().to_owned(),
        }
    }

    pub(crate) async fn send(&self, to: &str, payload: &[u8]) -> Outcome<()> {
        match self {
            // Destinations are text in all implementations.
            Self::Library(_, socket) => Ok(socket.send_to(payload, to).await?),
            Self::Sam(session, socket) => session.send(socket, to, payload).await,
        }
    }

    /// The length of the next datagram.
    pub(crate) async fn receive(&self) -> Outcome<usize> {
        match self {
            Self::Library(_, socket) => Ok(socket.recv_from().await?.payload().len()),
            Self::Sam(_, socket) => {
                let mut packet = vec![0; PACKET];
                let len = socket.recv(&mut packet).await?;
                let payload = sam::payload(&packet[..len]);
                Ok(payload.ok_or("a datagram without its header")?.len())
            }
        }
    }
}
