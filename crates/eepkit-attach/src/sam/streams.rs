//! Streams, each on a separate connection.

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

/// Opens streams of a session once it is open.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    dialer: Dialer,
    /// The ID of the session to which streams belong.
    id: Arc<OnceLock<String>>,
}

impl Streams {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self {
            dialer,
            id: Arc::default(),
        }
    }

    /// Sets the ID of the session to which streams belong.
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
            Ok(_) => return Err(StreamOpenError::Refused("an unexpected answer".to_owned())),
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
            return StreamOpenError::Unsupported("a SAM bridge before 3.2 does not support ports");
        }
        other => return StreamOpenError::Connection(other.to_string()),
    };
    match failure.result {
        ResultCode::PeerNotFound | ResultCode::KeyNotFound | ResultCode::LeaseSetNotFound => {
            StreamOpenError::NotFound
        }
        // i2pd reports this only in the message text.
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

/// One of the tasks that wait for streams.
#[derive(Debug, Clone)]
pub(super) struct Acceptor {
    pub(super) dialer: Dialer,
    pub(super) id: String,
    /// The index of this task.
    pub(super) index: usize,
    /// Set when the bridge allows only one pending accept.
    pub(super) only_one: Arc<AtomicBool>,
    pub(super) events: mpsc::Sender<Event>,
}

/// The result of one pending accept.
enum Wait {
    /// A peer opened a stream.
    Came(Box<RouterStream>),
    /// The bridge allows only one pending accept, and there is another.
    Crowded,
    /// The accept ended without a stream. Has the time at which it became pending, if it did.
    Failed(Option<Instant>),
    /// The session has ended.
    Over,
}

impl Acceptor {
    /// The number of pending accepts for this version. Bridges before 3.2 allow one.
    pub(super) fn count(version: Version) -> usize {
        match version >= Version::V3_2 {
            true => ACCEPTORS,
            false => 1,
        }
    }

    /// Reports inbound streams until the future is dropped or the session ends.
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
                // i2pd since 2.50 closes accepts that it queues.
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

    /// Waits for a peer. There is no limit, because the session's own connection detects the loss
    /// of the bridge.
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

/// The number of pending accepts. Chosen so that a few streams can arrive before the next accept is
/// pending. The bridge queues further ones.
const ACCEPTORS: usize = 4;

/// How long a bridge may take to open a stream. Chosen above the limit of every router. Callers
/// have limits of their own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a bridge may take to answer a request that does not need the network.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause after a failure, which doubles with each further one. Chosen because a bridge that
/// closes one connection accepts the next immediately.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Chosen so that a session whose end is not reported does not cause constant requests.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The bridge intentionally closed an accept that ends sooner than this. i2pd closes those of the
/// last 3 s.
const CUT_SHORT: Duration = Duration::from_secs(5);
