//! Streams: a connection for each.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eepkit_link::{
    BoxFuture, Event, LinkError,
    streams::{Opener, RouterStream, StreamOpenError, Target},
};
use eepkit_sam::{
    Failure, ResultCode, Version,
    client::{Accept, Answer, Closed, Connect, Event as SamEvent, Request, RequestError, quirks},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tracing::debug;

use super::connection::{Conn, Dialer};

/// Opens streams of a session, once it stands.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    dialer: Dialer,
    /// The ID of the session that streams belong to.
    id: Arc<OnceLock<String>>,
}

impl Streams {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self {
            dialer,
            id: Arc::default(),
        }
    }

    /// Streams are of the session with this ID from now on.
    pub(super) fn begin(&self, id: String) {
        // There is one session for each link.
        let _ = self.id.set(id);
    }

    async fn connect(self, target: Target) -> Result<RouterStream, StreamOpenError> {
        let id = self.id.get().ok_or(StreamOpenError::SessionLost)?.clone();
        let mut conn = self.dialer.dial().await.map_err(no_connection)?;
        let request = Request::Connect(Connect {
            id,
            to: target.peer.to_base64(),
            from_port: target.local_port,
            to_port: target.peer_port,
            silent: false,
        });
        match conn.ask(request, CONNECT_TIMEOUT).await {
            Ok(Answer::Connected) => {}
            Ok(_) => return Err(StreamOpenError::Refused("a strange answer".to_owned())),
            Err(error) => return Err(refusal(error)),
        }
        let (socket, begun) = conn.into_stream();
        Ok(RouterStream {
            socket,
            begun,
            peer: target.peer,
            peer_port: target.peer_port,
            local_port: target.local_port,
        })
    }
}

impl Opener for Streams {
    fn open(&self, target: Target) -> BoxFuture<Result<RouterStream, StreamOpenError>> {
        Box::pin(self.clone().connect(target))
    }
}

fn no_connection(error: LinkError) -> StreamOpenError {
    match error {
        LinkError::Timeout(_) => StreamOpenError::Timeout,
        other => StreamOpenError::Connection(other.to_string()),
    }
}

fn refusal(error: RequestError) -> StreamOpenError {
    let failure = match error {
        RequestError::Refused(failure) => failure,
        RequestError::Timeout => return StreamOpenError::Timeout,
        RequestError::TooOld { .. } => {
            return StreamOpenError::Unsupported("a SAM bridge before 3.2 knows no ports");
        }
        other => return StreamOpenError::Connection(other.to_string()),
    };
    match failure.result {
        ResultCode::PeerNotFound | ResultCode::KeyNotFound | ResultCode::LeaseSetNotFound => {
            StreamOpenError::NotFound
        }
        // i2pd has no other word for it, but a sentence.
        ResultCode::CantReachPeer if failure.message.contains("LeaseSet not found") => {
            StreamOpenError::NotFound
        }
        ResultCode::CantReachPeer => StreamOpenError::Unreachable(text(&failure)),
        ResultCode::Timeout => StreamOpenError::Timeout,
        ResultCode::InvalidId => StreamOpenError::SessionLost,
        _ => StreamOpenError::Refused(failure.to_string()),
    }
}

fn text(failure: &Failure) -> String {
    match failure.message.is_empty() {
        true => failure.result.to_string(),
        false => failure.message.to_string(),
    }
}

/// One of those who wait for streams.
#[derive(Debug, Clone)]
pub(super) struct Acceptor {
    pub(super) dialer: Dialer,
    pub(super) id: String,
    /// Which of them it is.
    pub(super) index: usize,
    /// Set when the bridge turned out to take one at a time.
    pub(super) only_one: Arc<AtomicBool>,
    pub(super) events: mpsc::Sender<Event>,
}

/// What became of one wait for a stream.
enum Wait {
    /// Somebody came.
    Came(Box<RouterStream>),
    /// The bridge takes one at a time, and another waits.
    Crowded,
    /// It ended without a stream; when it began to wait, if it did.
    Failed(Option<Instant>),
    /// The session is gone.
    Over,
}

impl Acceptor {
    /// How many wait at a time where `version` is spoken: before 3.2 bridges take one.
    pub(super) fn count(version: Version) -> usize {
        match version >= Version::V3_2 {
            true => ACCEPTORS,
            false => 1,
        }
    }

    /// Passes on the streams that come, until it is dropped or the session ends.
    pub(super) async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.index > 0 && self.only_one.load(Ordering::Relaxed) {
                return;
            }
            match self.wait().await {
                Wait::Came(stream) => {
                    pause = FIRST_PAUSE;
                    if self.events.send(Event::Incoming(*stream)).await.is_err() {
                        return;
                    }
                    continue;
                }
                Wait::Crowded => self.only_one.store(true, Ordering::Relaxed),
                // i2pd since 2.50 closes those that it makes wait.
                Wait::Failed(Some(began)) if self.index > 0 && began.elapsed() < CUT_SHORT => {
                    self.only_one.store(true, Ordering::Relaxed);
                }
                Wait::Failed(_) => {}
                Wait::Over => return,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn wait(&self) -> Wait {
        let mut conn = match self.dialer.dial().await {
            Ok(conn) => conn,
            Err(error) => {
                debug!(%error, "cannot wait for streams");
                return Wait::Failed(None);
            }
        };
        let request = Request::Accept(Accept {
            id: self.id.clone(),
            silent: false,
        });
        match conn.ask(request, ANSWER_TIMEOUT).await {
            Ok(_) => {}
            Err(RequestError::Refused(failure)) if quirks::is_one_accept_only(&failure) => {
                return Wait::Crowded;
            }
            Err(RequestError::Refused(failure)) if failure.result == ResultCode::InvalidId => {
                return Wait::Over;
            }
            Err(error) => {
                debug!(%error, "cannot wait for streams");
                return Wait::Failed(None);
            }
        }
        let began = Instant::now();
        self.peer(conn).await.unwrap_or(Wait::Failed(Some(began)))
    }

    /// Waits for somebody to come. There is no limit: the session's own connection tells when the
    /// bridge is gone.
    async fn peer(&self, mut conn: Conn) -> Option<Wait> {
        loop {
            match conn.next().await {
                SamEvent::Peer(Some(peer)) => {
                    let (socket, begun) = conn.into_stream();
                    return Some(Wait::Came(Box::new(RouterStream {
                        socket,
                        begun,
                        peer: peer.destination,
                        peer_port: peer.from_port.unwrap_or(0),
                        local_port: peer.to_port.unwrap_or(0),
                    })));
                }
                SamEvent::Closed(Closed::Refused(failure))
                    if quirks::is_one_accept_only(&failure) =>
                {
                    return Some(Wait::Crowded);
                }
                SamEvent::Closed(_) => return None,
                _ => {}
            }
        }
    }
}

/// How many wait for streams at a time. Chosen so that a few can come in the time that the next
/// wait takes to begin; the rest waits in the bridge.
const ACCEPTORS: usize = 4;

/// How long a bridge may take to open a stream. Chosen above the limit of every router; callers
/// have limits of their own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a bridge may take to answer what needs no network.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause after a failure, doubled after each. Chosen because a bridge that closes one connection
/// takes the next at once.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Chosen so that a session that is not told to be gone is not asked for all the time.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A wait that ends sooner than this was ended by the bridge on purpose. i2pd closes those of the
/// last 3 s.
const CUT_SHORT: Duration = Duration::from_secs(5);
