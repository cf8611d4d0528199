//! Sessions of clients. Each uses a session of the library.

use std::{sync::Arc, time::Duration};

use eepkit::{DatagramSocket, Error, ErrorKind, Format, Listener, Session, SessionBuilder};
use eepkit_sam::{
    Failure, SessionParams, Style, Version,
    server::{Answer, OpenSession, SessionKey},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    done::{Done, SESSION_OVER},
    joining::LAST_WORDS,
    options,
    shared::{Live, Shared},
    udp,
};
use crate::errors::{Attempt, sam_failure};

/// Opens a session.
pub(super) async fn open(shared: Arc<Shared>, request: OpenSession) -> Done {
    match try_open(&shared, request).await {
        Ok(done) => done,
        Err(failure) => Answer::Opened(Err(failure)).into(),
    }
}

async fn try_open(shared: &Arc<Shared>, request: OpenSession) -> Result<Done, Failure> {
    let OpenSession {
        session: key,
        keys,
        params,
        version,
        ..
    } = request;
    let hash = keys.destination().hash();
    let began = Instant::now();
    // An earlier session of the same destination may still be closing.
    let closing = shared
        .directory()
        .closing_at(&hash)
        .map(|live| live.gone.clone());
    if let Some(gone) = closing {
        let _ = timeout(CLOSE_LIMIT, gone.cancelled()).await;
    }
    let mut amended: Vec<(&'static str, &'static str)> = Vec::new();
    let session = loop {
        let mut builder = builder(shared, &params).keys((*keys).clone());
        for (key, value) in &amended {
            builder = builder.option(key, value);
        }
        let error = match builder.open().await {
            Ok(session) => break session,
            Err(error) => error,
        };
        match options::amended(&error, &shared.config, &params) {
            Some(change) if !amended.contains(&change) => amended.push(change),
            // The router may still be closing the earlier session.
            _ if error.kind() == ErrorKind::AddressInUse && began.elapsed() < CLOSE_LIMIT => {
                sleep(LOOK_AGAIN).await;
            }
            _ => return Err(sam_failure(Attempt::Open, error)),
        }
    };
    let live = attach(&session, params, version, CancellationToken::new())?;
    let mut done = Done::from(Answer::Opened(Ok(())));
    done.watch = Some(session.watch());
    if let (Some(socket), None) = (&live.datagrams, &live.params.forward) {
        done.mailbox = Some((live.params.style, socket.clone()));
    }
    online(shared, key, live)?;
    Ok(done)
}

/// Adds a subsession.
pub(super) fn add(
    shared: &Arc<Shared>,
    primary: SessionKey,
    key: SessionKey,
    params: SessionParams,
    version: Version,
) -> Result<(), Failure> {
    let primary = shared
        .live(primary)
        .ok_or_else(|| Failure::error("the PRIMARY session is gone"))?;
    let streams = options::streams_of_subsession(&shared.config, &primary.params, &params)?;
    let token = primary.token.child_token();
    let live = Live {
        is_subsession: true,
        streams,
        ..attach(&primary.session, params, version, token)?
    };
    online(shared, key, live)
}

/// Attaches a session to its entry in the directory.
fn online(shared: &Arc<Shared>, key: SessionKey, live: Live) -> Result<(), Failure> {
    udp::start_forwarding(shared, &live);
    let attached = shared.directory().attach(key, live);
    attached.map_err(|live| {
        // The client has closed its socket in the meantime.
        live.token.cancel();
        Failure::error(SESSION_OVER)
    })
}

/// Ends a session or subsession and everything that belongs to it.
pub(super) fn close(shared: &Arc<Shared>, key: SessionKey) {
    let Some(live) = shared.directory().closing(key).cloned() else {
        return;
    };
    live.token.cancel();
    if live.is_subsession {
        shared.directory().closed(key);
        return;
    }
    let bridge = shared.clone();
    shared.server.spawn(async move {
        let Live { session, gone, .. } = live;
        // These may be streams of any session, because waiting for the others takes little time.
        if bridge.counters.streams() > 0 {
            sleep(LAST_WORDS).await;
        }
        session.close().await;
        bridge.directory().closed(key);
        gone.cancel();
    });
}

/// Creates the listener or the datagram socket for the style of a session.
fn attach(
    session: &Session,
    params: SessionParams,
    version: Version,
    token: CancellationToken,
) -> Result<Live, Failure> {
    let mut listener = None;
    let mut datagrams = None;
    match format(params.style) {
        Some(format) => datagrams = Some(bind(session, &params, format)?),
        None if params.style == Style::Stream => {
            listener = Some(Arc::new(listen(session, params.listen_port)?));
        }
        None => {}
    }
    Ok(Live {
        session: session.clone(),
        is_subsession: false,
        streams: None,
        params,
        version,
        listener,
        datagrams,
        token,
        gone: CancellationToken::new(),
    })
}

fn listen(session: &Session, port: u16) -> Result<Listener, Failure> {
    session
        .listen(port)
        .map_err(|error| sam_failure(Attempt::Accept, error))
}

fn bind(
    session: &Session,
    params: &SessionParams,
    format: Format,
) -> Result<DatagramSocket, Failure> {
    let builder = session.datagrams(format);
    let builder = match params.style {
        Style::Raw => builder.protocol(params.listen_protocol),
        _ => builder,
    };
    builder
        .bind(params.listen_port)
        .map_err(|error| sam_failure(Attempt::Accept, Error::from(error)))
}

/// The format of a style's datagrams.
pub(super) fn format(style: Style) -> Option<Format> {
    Some(match style {
        Style::Raw => Format::Raw,
        Style::Datagram => Format::Datagram1,
        Style::Datagram2 => Format::Datagram2,
        Style::Datagram3 => Format::Datagram3,
        _ => return None,
    })
}

/// Returns the session builder with everything but the keys.
fn builder(shared: &Shared, params: &SessionParams) -> SessionBuilder {
    let mut builder = shared
        .router
        .session()
        .open_timeout(shared.config.open_limit())
        .linger(LINGER)
        .backlog(BACKLOG);
    if !shared.router.makes_streams() {
        builder = builder.streaming(|config| config.with_accept_timeout(ACCEPT_TIMEOUT));
    }
    for (key, value) in options::of_session(&shared.config, params) {
        builder = builder.option(&key, value);
    }
    builder
}

/// The maximum time that an incoming stream waits to be accepted. Chosen because clients that keep
/// one ACCEPT at a time need a moment between two, and other bridges wait 3 to 10 s.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum number of streams that wait to be accepted. Chosen as in Java I2P.
const BACKLOG: usize = 64;

/// The time limit for delivering written data after the control socket is closed. Chosen so that
/// everything of a session is closed within a second.
const LINGER: Duration = Duration::from_millis(600);

/// The time limit for waiting until an earlier session of the same destination is closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// Chosen as some round trips to a router.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
