//! A connection to a bridge: a client machine and a socket.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use eepkit_link::LinkError;
use eepkit_sam::{
    Version,
    client::{
        Answer, Client, Closed, Config, Event, Login, Output, Request, RequestError, RequestId,
        SendDatagram,
    },
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    time::{Instant, Sleep, sleep_until, timeout},
};

use zeroize::Zeroize as _;

use crate::transport::{Connection, Transport};

/// Opens connections to one bridge.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) transport: Transport,
    pub(super) name: Arc<str>,
    pub(super) login: Option<Login>,
    /// Whether the bridge supports no version newer than 3.0.
    pub(super) old: Arc<AtomicBool>,
}

impl Dialer {
    /// Connects and negotiates a version, within [`DIAL_TIMEOUT`].
    pub(super) async fn dial(&self) -> Result<Conn, LinkError> {
        match timeout(DIAL_TIMEOUT, self.dial_either()).await {
            Ok(result) => result,
            Err(_) => Err(LinkError::Timeout(DIAL_TIMEOUT)),
        }
    }

    async fn dial_either(&self) -> Result<Conn, LinkError> {
        let old = self.old.load(Ordering::Relaxed);
        match self.dial_with(old).await {
            Err(Refusal::NoVersion) if !old => {
                let conn = self.dial_with(true).await.map_err(|e| self.error(e))?;
                self.old.store(true, Ordering::Relaxed);
                Ok(conn)
            }
            other => other.map_err(|error| self.error(error)),
        }
    }

    async fn dial_with(&self, old: bool) -> Result<Conn, Refusal> {
        let socket = self.transport.connect(&self.name).await?;
        let mut config = Config::default();
        config.login.clone_from(&self.login);
        if old {
            config.min_version = Version::V3_0;
            config.max_version = Version::V3_0;
        }
        let mut conn = Conn::new(socket, config);
        match conn.next().await {
            Event::Ready(version) if self.login.is_some() && version < Version::V3_2 => Err(
                LinkError::Unsupported("a SAM bridge before 3.2 does not support logins").into(),
            ),
            Event::Ready(version) => {
                conn.version = version;
                Ok(conn)
            }
            Event::Closed(Closed::NoVersion) => Err(Refusal::NoVersion),
            Event::Closed(Closed::Refused(failure)) => {
                Err(LinkError::Denied(failure.to_string()).into())
            }
            Event::Closed(why) => Err(self.not_a_router(&why).into()),
            _ => Err(self.not_a_router(&Closed::ByBridge).into()),
        }
    }

    fn error(&self, refusal: Refusal) -> LinkError {
        match refusal {
            Refusal::NoVersion => self.not_a_router(&Closed::NoVersion),
            Refusal::Other(error) => error,
        }
    }

    fn not_a_router(&self, why: &Closed) -> LinkError {
        LinkError::NotARouter {
            at: self.name.to_string(),
            why: why.to_string(),
        }
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("name", &self.name)
            .field("has_login", &self.login.is_some())
            .finish_non_exhaustive()
    }
}

enum Refusal {
    NoVersion,
    Other(LinkError),
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        Self::Other(error)
    }
}

/// A connection with a negotiated version.
pub(super) struct Conn {
    machine: Client,
    socket: Connection,
    pub(super) version: Version,
    /// The output for the bridge. Limited by the client machine.
    outgoing: BytesMut,
    needs_flush: bool,
    read_buffer: Box<[u8]>,
    timer: Pin<Box<Sleep>>,
}

/// The result of polling the socket.
enum Step {
    Wrote,
    Read(usize),
    /// The bridge will send nothing more.
    End,
    Woke,
}

impl Conn {
    fn new(socket: Connection, config: Config) -> Self {
        let now = Instant::now();
        Self {
            machine: Client::new(config, now.into_std()),
            socket,
            version: Version::V3_0,
            outgoing: BytesMut::new(),
            needs_flush: false,
            read_buffer: vec![0; READ_LEN].into(),
            timer: Box::pin(sleep_until(now)),
        }
    }

    /// Returns the next event. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            let wake_at = loop {
                match self.machine.poll_output() {
                    Output::Event(event) => return event,
                    Output::Transmit(bytes) => eepkit_sam::append(&mut self.outgoing, &bytes),
                    Output::Timeout(at) => break at.map(Instant::from_std),
                    _ => {}
                }
            };
            let step = poll_fn(|cx| self.poll_step(cx, wake_at)).await;
            let now = Instant::now().into_std();
            match step {
                Step::Wrote => {}
                Step::Read(len) => {
                    let bytes = self.read_buffer.get_mut(..len).unwrap_or_default();
                    self.machine.handle_input(now, bytes);
                    // The bridge sends the private keys of new destinations.
                    bytes.zeroize();
                }
                Step::End => self.machine.handle_end(now),
                Step::Woke => self.machine.handle_timeout(now),
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>, wake_at: Option<Instant>) -> Poll<Step> {
        if !self.outgoing.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.outgoing) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Step::End),
                Poll::Ready(Ok(written)) => {
                    // The line that opens a session contains its private keys.
                    self.outgoing[..written].zeroize();
                    self.outgoing.advance(written);
                    self.needs_flush = true;
                    return Poll::Ready(Step::Wrote);
                }
                Poll::Pending => {}
            }
        } else if self.needs_flush && Pin::new(&mut self.socket).poll_flush(cx).is_ready() {
            self.needs_flush = false;
        }
        // A bridge that sends PINGs and does not read gets no further answers.
        if self.outgoing.len() > MAX_OUTGOING_TO_READ {
            return self.poll_timer(cx, wake_at);
        }
        let mut buffer = ReadBuf::new(&mut self.read_buffer);
        match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                return Poll::Ready(Step::Read(buffer.filled().len()));
            }
            Poll::Ready(_) => return Poll::Ready(Step::End),
            Poll::Pending => {}
        }
        self.poll_timer(cx, wake_at)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, wake_at: Option<Instant>) -> Poll<Step> {
        let Some(at) = wake_at else {
            return Poll::Pending;
        };
        if self.timer.deadline() != at {
            self.timer.as_mut().reset(at);
        }
        self.timer.as_mut().poll(cx).map(|()| Step::Woke)
    }

    /// Sends a request. [`Conn::next`] returns the answer.
    pub(super) fn request(&mut self, request: Request, limit: Duration) -> RequestId {
        // The machine counts the limit from the time that it was told last.
        self.machine.handle_timeout(Instant::now().into_std());
        self.machine.request(request, limit)
    }

    /// Sends a request and waits for the answer. Datagrams that arrive before it are lost.
    pub(super) async fn ask(
        &mut self,
        request: Request,
        limit: Duration,
    ) -> Result<Answer, RequestError> {
        let asked = self.request(request, limit);
        loop {
            match self.next().await {
                Event::Answered { id, result } if id == asked => return result,
                Event::Closed(_) => return Err(RequestError::Over),
                _ => {}
            }
        }
    }

    pub(super) fn send_datagram(&mut self, datagram: &SendDatagram) -> Result<(), RequestError> {
        if self.outgoing.len() > MAX_OUTGOING {
            return Err(RequestError::Busy);
        }
        self.machine.send_datagram(datagram)
    }

    pub(super) fn set_keep_alive(&mut self, after: Duration) {
        self.machine.set_keep_alive(Some(after));
    }

    /// Returns the socket of a connection that became a stream, and the bytes of the stream that
    /// have already arrived.
    pub(super) fn into_stream(mut self) -> (Connection, Bytes) {
        (self.socket, self.machine.take_rest())
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// How long connecting and HELLO may take. Chosen as many times what a busy router takes.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of bytes per read. Chosen because a line with keys has one or two kilobytes, and
/// because at most this many bytes of a stream are copied.
const READ_LEN: usize = 4 * 1024;

/// The maximum size of the datagrams that wait to be written to the bridge, in bytes. Chosen as
/// several of the longest.
const MAX_OUTGOING: usize = 256 * 1024;

/// The size of the output, in bytes, above which nothing more is read from the bridge. Chosen so
/// that datagrams that wait to be written do not delay reading.
const MAX_OUTGOING_TO_READ: usize = MAX_OUTGOING + 64 * 1024;
