//! Streams of clients.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit::{Address, ConnectOptions, Host, Stream};
use eepkit_sam::{
    Failure,
    server::{Answer, ConnectStream, ForwardStreams, Peer, SessionKey},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::{
    done::{Done, SESSION_OVER},
    joining::join,
    shared::Shared,
};
use crate::{
    errors::{Attempt, sam_failure},
    reading::{Ends, Gate},
    serve::{Socket, prepare},
};

/// Opens a stream.
pub(super) async fn connect(shared: Arc<Shared>, request: ConnectStream) -> Done {
    let Some(live) = shared.live(request.session) else {
        return Answer::Connected(Err(over())).into();
    };
    let host = match host(request.to) {
        Ok(host) => host,
        Err(failure) => return Answer::Connected(Err(failure)).into(),
    };
    let to = Address::new(host).with_port(request.to_port);
    let mut options = ConnectOptions::new().local_port(request.from_port);
    if let Some(streams) = live.streams {
        if let Some(limit) = streams.connect_timeout() {
            options = options.timeout(limit.min(CONNECT_LIMIT));
        }
        options = options.streaming(move |_| streams.clone());
    }
    let connected = tokio::select! {
        connected = live.session.connect_with(to, &options) => connected,
        () = live.token.cancelled() => return Answer::Connected(Err(over())).into(),
    };
    match connected {
        Ok(stream) => Done {
            stream: Some(stream),
            ..Done::from(Answer::Connected(Ok(())))
        },
        Err(error) => Answer::Connected(Err(sam_failure(Attempt::Connect, error))).into(),
    }
}

/// Waits for a stream.
pub(super) async fn accept(shared: Arc<Shared>, session: SessionKey) -> Done {
    let Some(live) = shared.live(session) else {
        return Answer::Accepted(Err(over())).into();
    };
    let Some(listener) = live.listener else {
        return Answer::Accepted(Err(over())).into();
    };
    let accepted = tokio::select! {
        accepted = listener.accept() => accepted,
        () = live.token.cancelled() => return Answer::Accepted(Err(over())).into(),
    };
    match accepted {
        Ok(stream) => Done {
            answer: Answer::Accepted(Ok(peer(&stream))),
            stream: Some(stream),
            ..Done::from(Answer::Connected(Ok(())))
        },
        Err(error) => Answer::Accepted(Err(sam_failure(Attempt::Accept, error))).into(),
    }
}

/// Forwards streams until the guard is dropped.
pub(super) fn forward(shared: &Arc<Shared>, request: ForwardStreams) -> Result<DropGuard, Failure> {
    let live = shared.live(request.session).ok_or_else(over)?;
    let listener = live.listener.ok_or_else(over)?;
    let tls = match (shared.trust(), request.tls) {
        (_, false) => None,
        (Some(config), true) => {
            let name = ServerName::try_from(request.host.clone())
                .map_err(|_| Failure::error("HOST is not a valid name for a certificate"))?;
            Some((TlsConnector::from(config), name))
        }
        (None, true) => {
            return Err(Failure::error(
                "SSL=true needs certificates, which this bridge was not given",
            ));
        }
    };
    let session = live.token;
    let token = session.child_token();
    let guard = token.clone().drop_guard();
    let forward = Arc::new((request, tls));
    let bridge = shared.clone();
    shared.server.spawn(async move {
        let room = Arc::new(Semaphore::new(MAX_FORWARDED));
        loop {
            let permit = tokio::select! {
                permit = room.clone().acquire_owned() => permit,
                () = token.cancelled() => return,
                () = bridge.server.closing().cancelled() => return,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = token.cancelled() => return,
                () = bridge.server.closing().cancelled() => return,
            };
            let (Ok(stream), Ok(permit)) = (accepted, permit) else {
                return;
            };
            let (bridge, forward, session) = (bridge.clone(), forward.clone(), session.clone());
            bridge.clone().server.spawn(async move {
                forward_one(&bridge, &forward, stream, &session).await;
                drop(permit);
            });
        }
    });
    Ok(guard)
}

type Forward = (ForwardStreams, Option<(TlsConnector, ServerName<'static>)>);

/// Forwards one stream, or resets it if the program does not accept it.
async fn forward_one(
    shared: &Shared,
    (request, tls): &Forward,
    stream: Stream,
    session: &CancellationToken,
) {
    let preamble = request.preamble(&peer(&stream));
    let dial = async {
        let mut socket = TcpStream::connect(request.address).await?;
        prepare(&socket)?;
        let Some((connector, name)) = tls else {
            socket.write_all(preamble.as_bytes()).await?;
            return std::io::Result::Ok(Socket::Tcp(socket));
        };
        let mut socket = connector.connect(name.clone(), socket).await?;
        socket.write_all(preamble.as_bytes()).await?;
        socket.flush().await?;
        Ok(Socket::TlsClient(Box::new(socket)))
    };
    let gate = |ends: Option<Ends>| {
        let pause = match preamble.is_empty() {
            true => Duration::ZERO,
            false => shared.protocol.pause(ends.is_some()),
        };
        Gate {
            ends,
            sent: preamble.len() as u64,
            latest: Instant::now() + pause,
        }
    };
    match timeout(DIAL_LIMIT, dial).await {
        Ok(Ok(socket)) => {
            let ends = match &socket {
                Socket::Tcp(socket) => Ends::of(socket),
                _ => None,
            };
            join(shared, socket, stream, Bytes::new(), gate(ends), session).await;
        }
        Ok(Err(error)) => {
            debug!(%error, "cannot forward a stream");
            stream.reset();
        }
        Err(_) => {
            debug!("no program accepted a forwarded stream in time");
            stream.reset();
        }
    }
}

fn peer(stream: &Stream) -> Peer {
    Peer {
        destination: stream.peer().clone(),
        from_port: stream.peer_port(),
        to_port: stream.local_port(),
    }
}

/// A destination in any of its forms, as an address of the library.
pub(super) fn host(host: eepkit_wire::Host) -> Result<Host, Failure> {
    match host {
        eepkit_wire::Host::Destination(destination) => Ok(Host::Destination(destination)),
        eepkit_wire::Host::Hash(hash) => Ok(Host::Hash(hash)),
        eepkit_wire::Host::Name(name) => Ok(Host::Name(name)),
        _ => Err(sam_failure(
            Attempt::Connect,
            eepkit::AddressError::EncryptedLeaseSet,
        )),
    }
}

fn over() -> Failure {
    Failure::error(SESSION_OVER)
}

/// The longest connect timeout that a subsession may set, as for sessions.
const CONNECT_LIMIT: Duration = Duration::from_secs(600);

/// The time limit for a program to accept a forwarded stream. Source: specification, "SAM Virtual
/// Streams: FORWARD".
const DIAL_LIMIT: Duration = Duration::from_secs(3);

/// The maximum number of concurrently forwarded streams of a session. Further ones wait to be
/// accepted. Chosen as a part of the files that one process may have.
const MAX_FORWARDED: usize = 1024;
