//! One connection of a program.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit::{ErrorKind, Stream};
use eepkit_irc::ClientFilter;
use eepkit_link::LogLimit;
use eepkit_socks::{Address, Command, Host, Reply, Request};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tracing::{debug, trace, warn};

use super::{associate, local::Local, outproxy, shared::Shared};
use crate::{
    client_sessions::ClientSession,
    errors::{Denial, socks_reply},
    proxy::Login,
    relay::{Options, Prefixed, Traffic, relay_stream},
    serve::{Connection, Socket},
    target::Target,
    tunnel::{irc_filter::Filtered, relaying::Abort},
};

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, connection: Connection) {
    let client = connection.client;
    let mut local = Local::new(connection.socket, shared.authentication());
    let limit = shared.config.proxy().request_timeout;
    let request = match timeout(limit, local.request(&shared)).await {
        Ok(Ok(request)) => request,
        Ok(Err(why)) => {
            debug!(%why, "SOCKS: no request");
            return local.close().await;
        }
        Err(_) => {
            debug!(?limit, "SOCKS: no request in time");
            return local.close().await;
        }
    };
    trace!(command = ?request.command, "SOCKS: request");
    match request.command {
        Command::Connect => connect(&shared, local, request).await,
        Command::Associate => associate::serve(&shared, local, &request, client).await,
        Command::Resolve | Command::ResolvePtr => {
            let reply = resolve(&shared, &request).await;
            local.refuse(&reply).await;
        }
    }
}

async fn connect(shared: &Shared, mut local: Local, request: Request) {
    let opening = open(shared, &request);
    let opened = tokio::select! {
        opened = opening => opened,
        () = local.gone() => {
            trace!("SOCKS: the program did not wait for the stream");
            return;
        }
        () = shared.frame.server.closing().cancelled() => Err(Reply::Failure),
    };
    let (stream, _session, early) = match opened {
        Ok(opened) => opened,
        Err(reply) => return local.refuse(&reply).await,
    };
    let bound = Address::new(Host::Ip(IpAddr::from([127, 0, 0, 1])), 1);
    if local.reply(&Reply::Granted(bound)).await.is_err() {
        stream.reset();
        return;
    }
    let (socket, sent) = local.into_parts();
    relay(shared, socket, sent, stream, early).await;
}

/// Opens the stream for a request. Returns data of the peer that arrived already.
async fn open(
    shared: &Shared,
    request: &Request,
) -> Result<(Stream, ClientSession, Vec<u8>), Reply> {
    let (host, port) = (&request.target.host, request.target.port);
    let failed = |error: &dyn std::fmt::Display, kind: ErrorKind| {
        static LIMIT: LogLimit = LogLimit::new();
        // The answer has no place for the limit that was reached.
        match (kind == ErrorKind::Limit).then(|| LIMIT.admit()).flatten() {
            Some(left_out) => warn!(%error, left_out, "SOCKS: no stream"),
            None => debug!(%error, "SOCKS: no stream"),
        }
        socks_reply(kind)
    };
    match shared.target(host) {
        Target::Local => {
            debug!("SOCKS: refused a local address");
            Err(Denial::Local.socks())
        }
        Target::I2p(name) => {
            let session = shared
                .session(request)
                .map_err(|error| failed(&error, error.kind()))?;
            let connecting = session.session().connect((name, port));
            match connecting.await {
                Ok(stream) => Ok((stream, session, Vec::new())),
                Err(error) => Err(failed(&error, error.kind())),
            }
        }
        Target::Clearnet(host) => {
            let Some(outproxy) = shared.outproxy() else {
                debug!("SOCKS: refused a host of the public Internet, there is no outproxy");
                return Err(Denial::NotI2p.socks());
            };
            let session = shared
                .session(request)
                .map_err(|error| failed(&error, error.kind()))?;
            let limit = shared.config.proxy().connect_timeout;
            let login = shared.config.logins().at(outproxy);
            let through = outproxy::Outproxy {
                address: outproxy,
                login: login.and_then(Login::credentials),
            };
            let (stream, early) = through
                .connect(session.session(), &host, port, limit)
                .await?;
            Ok((stream, session, early))
        }
    }
}

async fn relay(shared: &Shared, socket: Socket, sent: Vec<u8>, stream: Stream, received: Vec<u8>) {
    let local = Prefixed::new(Bytes::from(sent), socket);
    match shared.config.filters_irc() {
        true => {
            let local = Filtered::new(local, ClientFilter::new(), None);
            copy(shared, local, stream, received).await;
        }
        false => copy(shared, local, stream, received).await,
    }
}

async fn copy(
    shared: &Shared,
    mut local: impl AsyncRead + AsyncWrite + Abort + Unpin,
    stream: Stream,
    received: Vec<u8>,
) {
    if local.write_all(&received).await.is_err() {
        stream.reset();
        return;
    }
    let traffic = Traffic::default();
    let _counted = shared.frame.counters.count_stream();
    let options = Options::new().half_closed(HALF_CLOSED).reset_on_drop();
    let report = tokio::select! {
        report = relay_stream(&mut local, stream, &options, &traffic) => Some(report),
        () = shared.frame.server.closing().cancelled() => None,
    };
    let counters = &shared.frame.counters;
    counters.count_bytes(traffic.a_to_b(), traffic.b_to_a());
    // A failure of the stream must not look like a complete answer. After a clean end, the relay has
    // shut down both sides.
    if report.is_none_or(|report| !report.is_clean()) {
        local.abort();
    }
}

/// Answers Tor's commands RESOLVE and RESOLVE_PTR.
async fn resolve(shared: &Shared, request: &Request) -> Reply {
    let host = &request.target.host;
    match (request.command, shared.target(host)) {
        (Command::Resolve, Target::I2p(name)) => {
            let session = match shared.session(request) {
                Ok(session) => session,
                Err(error) => return socks_reply(error.kind()),
            };
            match session.session().lookup(name.as_str()).await {
                Ok(_) => {
                    let address = shared.virtual_addresses.address_of(&name);
                    Reply::Granted(Address::new(Host::Ip(address.into()), 0))
                }
                Err(error) => socks_reply(error.kind()),
            }
        }
        (Command::ResolvePtr, Target::I2p(name)) => match Host::name(&name) {
            Some(name) => Reply::Granted(Address::new(name, 0)),
            None => Reply::Failure,
        },
        // A name of the public Internet has an address that only an outproxy may ask for.
        (_, Target::Clearnet(_) | Target::I2p(_)) => Denial::NotI2p.socks(),
        (_, Target::Local) => Denial::Local.socks(),
    }
}

/// How long one direction may stay open without data after the other has ended. Chosen because a
/// program that has gone leaves the same state as one that waits for a long answer.
const HALF_CLOSED: Duration = Duration::from_secs(600);
