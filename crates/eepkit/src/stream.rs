//! Streams: reliable, ordered bytes in both directions between two destinations.

use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use eepkit_link::streams::RouterStream;
use eepkit_streaming::{Read, StreamConfig, StreamId, StreamInfo};
use eepkit_wire::Destination;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::{
    error::StreamError,
    shared::{Core, Handle, SocketKey},
    socket::Socket,
    socket_addr::I2pSocketAddr,
};

/// A stream between this session's destination and a peer's.
///
/// It reads and writes like a TCP stream of tokio, and ends like one:
///
/// * **Writing** accepts bytes into a bounded buffer and waits while it is full. A small write
///   may be held back for a moment so that more fits into the packet; **flush** sends everything
///   accepted so far without that delay and does not wait for the peer. [`Stream::acked`] waits
///   until the peer's end has acknowledged all of it.
/// * **Shutdown** closes the writing direction after what is buffered; reading goes on until the
///   peer closes too. It returns at once; delivery goes on in the background. Peers on i2pd's
///   streaming library close *both* directions when they see it, without sending what they had
///   not sent yet: where the peer may be one, read the answer before shutting down.
/// * **Dropping** the stream, or both its halves, closes both directions in the background:
///   what was written is still delivered, what arrives is discarded. While the thread panics,
///   dropping resets instead, so that the peer does not take half an answer for a whole one.
/// * **[`Stream::reset`]** gives up at once in both directions; the peer's reads fail.
///
/// Over SAM a stream is a connection to the router, which says nothing more than that it ended: a
/// stream that broke may look like one that ended well, and how long it may be silent is the
/// router's affair. i2pd and emissary close both directions on shutdown there, too.
///
/// A read or write that waits ends when the peer stays silent for longer than the streaming
/// protocol's patience ([`StreamError::PeerUnreachable`]), and when the session loses its router
/// ([`StreamError::SessionLost`]). [`StreamConfig::with_read_timeout`] and
/// [`StreamConfig::with_write_timeout`] add limits of their own; none by default. Bytes that had arrived and were not read then are gone. Errors
/// come as [`io::Error`]; [`StreamError::of`] gets the reason out of it.
///
/// # Cancel safety
///
/// As with tokio's TCP stream: `read` and `write` are cancel safe; `read_exact`, `write_all` and
/// the like are not, because they may have moved some bytes.
pub struct Stream {
    inner: Arc<Inner>,
}

/// The reading half of a [`Stream`]; from [`Stream::into_split`].
pub struct ReadHalf {
    inner: Arc<Inner>,
}

/// The writing half of a [`Stream`]; from [`Stream::into_split`].
///
/// Dropping it closes the writing direction, as [`AsyncWrite::poll_shutdown`] does.
pub struct WriteHalf {
    inner: Arc<Inner>,
    shutdown_on_drop: bool,
}

/// Halves of different streams cannot be joined.
#[derive(Debug, thiserror::Error)]
#[error("the halves belong to different streams")]
pub struct ReuniteError(pub ReadHalf, pub WriteHalf);

struct Inner {
    handle: Arc<Handle>,
    via: Via,
    local: Destination,
    peer: Destination,
    local_port: u16,
    peer_port: u16,
    read_patience: Option<Patience>,
    write_patience: Option<Patience>,
}

/// Where the bytes of a stream go.
enum Via {
    /// Through the endpoint of the session's link.
    Endpoint { epoch: u64, id: StreamId },
    /// To the router, which makes the stream.
    Router { key: SocketKey, socket: Arc<Socket> },
}

/// Ends a read or write that waits for longer than the stream's options allow.
struct Patience {
    limit: Duration,
    waiting: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Stream {
    /// Takes over a stream of the endpoint; its slot is in the core already.
    pub(crate) fn new(
        handle: Arc<Handle>,
        epoch: u64,
        id: StreamId,
        peer: Destination,
        local_port: u16,
        peer_port: u16,
        config: &StreamConfig,
    ) -> Self {
        let local = handle.shared.keys.destination().clone();
        Self {
            inner: Arc::new(Inner {
                handle,
                via: Via::Endpoint { epoch, id },
                local,
                peer,
                local_port,
                peer_port,
                read_patience: config.read_timeout().map(Patience::new),
                write_patience: config.write_timeout().map(Patience::new),
            }),
        }
    }

    /// Takes over a stream that the router made; `None` where the link of `epoch` is lost.
    pub(crate) fn of_router(
        handle: &Arc<Handle>,
        epoch: u64,
        stream: RouterStream,
    ) -> Option<Self> {
        let shared = &handle.shared;
        let socket = Socket::new(stream.socket, stream.begun);
        let socket = Arc::new(socket);
        let key = shared.lock("add socket").add_socket(epoch, &socket)?;
        let config = &shared.config.stream;
        Some(Self {
            inner: Arc::new(Inner {
                handle: handle.clone(),
                via: Via::Router { key, socket },
                local: shared.keys.destination().clone(),
                peer: stream.peer,
                local_port: stream.local_port,
                peer_port: stream.peer_port,
                read_patience: config.read_timeout().map(Patience::new),
                write_patience: config.write_timeout().map(Patience::new),
            }),
        })
    }

    /// The destination of the peer. The peer has proved that it is its own.
    pub fn peer(&self) -> &Destination {
        &self.inner.peer
    }

    /// The port at the peer.
    pub fn peer_port(&self) -> u16 {
        self.inner.peer_port
    }

    /// The destination of this side.
    pub fn local(&self) -> &Destination {
        &self.inner.local
    }

    /// The port on this side.
    pub fn local_port(&self) -> u16 {
        self.inner.local_port
    }

    /// The peer's end of the stream: its destination and its port.
    pub fn peer_addr(&self) -> I2pSocketAddr {
        I2pSocketAddr::new(self.inner.peer.clone(), self.inner.peer_port)
    }

    /// This side's end of the stream: its destination and its port.
    pub fn local_addr(&self) -> I2pSocketAddr {
        I2pSocketAddr::new(self.inner.local.clone(), self.inner.local_port)
    }

    /// Round-trip time, window and counters; `None` when the stream is over, and over SAM, where only
    /// the router knows them.
    pub fn info(&self) -> Option<StreamInfo> {
        self.inner.info()
    }

    /// Waits until the peer's end has acknowledged everything written so far.
    ///
    /// That its streaming library has it does not say that its application has read it. A router
    /// that is reached over SAM does not tell: there it is ready when the router has it all.
    ///
    /// # Errors
    ///
    /// [`StreamError`] when the stream fails first.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn acked(&self) -> Result<(), StreamError> {
        poll_fn(|cx| self.inner.poll_acked(cx)).await
    }

    /// Gives the stream up: unsent and unread bytes are discarded and the peer is told.
    ///
    /// Further reads and writes fail with [`StreamError::Closed`].
    pub fn reset(&self) {
        self.inner.reset();
    }

    /// Splits the stream into halves that can live in different tasks.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        (
            ReadHalf {
                inner: self.inner.clone(),
            },
            WriteHalf {
                inner: self.inner,
                shutdown_on_drop: true,
            },
        )
    }
}

impl ReadHalf {
    /// Joins two halves of one stream again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] gives the halves back when they belong to different streams.
    pub fn reunite(self, mut write: WriteHalf) -> Result<Stream, Box<ReuniteError>> {
        if !Arc::ptr_eq(&self.inner, &write.inner) {
            return Err(Box::new(ReuniteError(self, write)));
        }
        write.shutdown_on_drop = false;
        Ok(Stream { inner: self.inner })
    }

    /// The destination of the peer.
    pub fn peer(&self) -> &Destination {
        &self.inner.peer
    }

    /// The peer's end of the stream; see [`Stream::peer_addr`].
    pub fn peer_addr(&self) -> I2pSocketAddr {
        I2pSocketAddr::new(self.inner.peer.clone(), self.inner.peer_port)
    }

    /// This side's end of the stream; see [`Stream::local_addr`].
    pub fn local_addr(&self) -> I2pSocketAddr {
        I2pSocketAddr::new(self.inner.local.clone(), self.inner.local_port)
    }
}

impl WriteHalf {
    /// The destination of the peer.
    pub fn peer(&self) -> &Destination {
        &self.inner.peer
    }

    /// The peer's end of the stream; see [`Stream::peer_addr`].
    pub fn peer_addr(&self) -> I2pSocketAddr {
        I2pSocketAddr::new(self.inner.peer.clone(), self.inner.peer_port)
    }

    /// This side's end of the stream; see [`Stream::local_addr`].
    pub fn local_addr(&self) -> I2pSocketAddr {
        I2pSocketAddr::new(self.inner.local.clone(), self.inner.local_port)
    }

    /// Waits until the peer's end has acknowledged everything written so far; see
    /// [`Stream::acked`].
    ///
    /// # Errors
    ///
    /// [`StreamError`] when the stream fails first.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn acked(&self) -> Result<(), StreamError> {
        poll_fn(|cx| self.inner.poll_acked(cx)).await
    }

    /// Gives the whole stream up; see [`Stream::reset`].
    pub fn reset(&self) {
        self.inner.reset();
    }
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            waiting: Mutex::new(None),
        }
    }

    /// Passes the outcome of a poll on, unless it has been pending for too long.
    fn watch<T>(
        this: Option<&Self>,
        cx: &mut Context<'_>,
        poll: Poll<Result<T, StreamError>>,
    ) -> Poll<Result<T, StreamError>> {
        let Some(this) = this else {
            return poll;
        };
        let mut waiting = this.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if poll.is_ready() {
            *waiting = None;
            return poll;
        }
        let timer = waiting.get_or_insert_with(|| Box::pin(sleep(this.limit)));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        *waiting = None;
        Poll::Ready(Err(StreamError::Timeout(this.limit)))
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        if self.shutdown_on_drop && !std::thread::panicking() {
            self.inner.shutdown();
        }
    }
}

impl Inner {
    /// Runs `act` under the lock of the session, with the time.
    fn with<T>(&self, purpose: &'static str, act: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let mut core = self.handle.shared.lock(purpose);
        act(&mut core, Instant::now())
    }

    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), StreamError>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let (epoch, id) = match &self.via {
            Via::Endpoint { epoch, id } => (*epoch, *id),
            Via::Router { socket, .. } => return socket.poll_read(cx, buf),
        };
        self.with("read", |core, now| {
            let endpoint = core.endpoint_of(epoch)?;
            let mut progress = false;
            // Chunks are as long as packets: fill the caller's buffer from several.
            while buf.remaining() > 0 {
                match endpoint.read(now.into_std(), id, buf.remaining()) {
                    Ok(Read::Data(data)) => {
                        buf.put_slice(&data);
                        progress = true;
                    }
                    // Errors and the end are told once what came before them is read.
                    Ok(Read::Pending | Read::End) | Err(_) if progress => break,
                    Ok(Read::End) => return Poll::Ready(Ok(())),
                    Ok(Read::Pending) => {
                        core.streams.park(id, cx, |slot| &mut slot.read);
                        return Poll::Pending;
                    }
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            // Room in the buffer may be news for the peer.
            core.wake_driver();
            Poll::Ready(Ok(()))
        })
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut dyn Iterator<Item = &[u8]>,
    ) -> Poll<Result<usize, StreamError>> {
        let (epoch, id) = match &self.via {
            Via::Endpoint { epoch, id } => (*epoch, *id),
            Via::Router { socket, .. } => return socket.poll_write(cx, bufs),
        };
        self.with("write", |core, now| {
            let endpoint = core.endpoint_of(epoch)?;
            let mut accepted = 0;
            let mut offered = 0;
            for buf in bufs.filter(|buf| !buf.is_empty()) {
                offered += buf.len();
                match endpoint.write(now.into_std(), id, buf) {
                    Ok(taken) => {
                        accepted += taken;
                        if taken < buf.len() {
                            break;
                        }
                    }
                    Err(_) if accepted > 0 => break,
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            if accepted == 0 && offered > 0 {
                core.streams.park(id, cx, |slot| &mut slot.write);
                return Poll::Pending;
            }
            core.wake_driver();
            Poll::Ready(Ok(accepted))
        })
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let (epoch, id) = match &self.via {
            Via::Endpoint { epoch, id } => (*epoch, *id),
            Via::Router { socket, .. } => return socket.poll_flush(cx),
        };
        self.with("flush", |core, now| {
            core.endpoint_of(epoch)?.flush(now.into_std(), id);
            core.wake_driver();
            Poll::Ready(Ok(()))
        })
    }

    fn poll_acked(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let (epoch, id) = match &self.via {
            Via::Endpoint { epoch, id } => (*epoch, *id),
            Via::Router { socket, .. } => return socket.poll_flush(cx),
        };
        self.with("acked", |core, now| {
            let endpoint = core.endpoint_of(epoch)?;
            if endpoint.is_acked(id) {
                return Poll::Ready(Ok(()));
            }
            endpoint.flush(now.into_std(), id);
            if let Some(reason) = core.streams.slot(id).and_then(|slot| slot.closed) {
                return Poll::Ready(Err(reason.into()));
            }
            core.streams.park(id, cx, |slot| &mut slot.acked);
            core.wake_driver();
            Poll::Pending
        })
    }

    /// Closes the writing direction; a stream that is over already needs no closing.
    fn shutdown(&self) {
        let (epoch, id) = match &self.via {
            Via::Endpoint { epoch, id } => (*epoch, *id),
            Via::Router { socket, .. } => return socket.shutdown(),
        };
        self.with("shutdown", |core, now| {
            if let Ok(endpoint) = core.endpoint_of(epoch) {
                endpoint.shutdown(now.into_std(), id);
                core.wake_driver();
            }
        });
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if let Via::Router { socket, .. } = &self.via {
            return socket.poll_shutdown(cx);
        }
        self.shutdown();
        Poll::Ready(Ok(()))
    }

    fn reset(&self) {
        let (epoch, id) = match &self.via {
            Via::Endpoint { epoch, id } => (*epoch, *id),
            Via::Router { socket, .. } => return socket.end(StreamError::Closed),
        };
        self.with("reset", |core, now| {
            if let Ok(endpoint) = core.endpoint_of(epoch) {
                endpoint.reset(now.into_std(), id);
                core.wake_driver();
            }
        });
    }

    fn info(&self) -> Option<StreamInfo> {
        let Via::Endpoint { epoch, id } = self.via else {
            return None;
        };
        self.with("info", |core, _| core.endpoint_of(epoch).ok()?.info(id))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let (epoch, id) = match &self.via {
            Via::Endpoint { epoch, id } => (*epoch, *id),
            Via::Router { key, socket } => {
                if std::thread::panicking() {
                    socket.end(StreamError::Closed);
                }
                // Whoever removes it from the session closes it.
                if let Some(draining) = self.with("release", |core, _| core.sockets.remove(*key)) {
                    let linger = self.handle.shared.config.linger;
                    socket.close(StreamError::Closed, linger, draining);
                }
                return;
            }
        };
        self.with("release", |core, now| {
            if let Ok(endpoint) = core.endpoint_of(epoch) {
                if std::thread::panicking() {
                    endpoint.reset(now.into_std(), id);
                }
                endpoint.release(now.into_std(), id);
                core.streams.remove(id);
                core.wake_driver();
            }
        });
    }
}

fn poll_io<T>(poll: Poll<Result<T, StreamError>>) -> Poll<io::Result<T>> {
    poll.map_err(io::Error::from)
}

macro_rules! impl_read {
    ($name:ident) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let inner = &self.inner;
                let poll = inner.poll_read(cx, buf);
                poll_io(Patience::watch(inner.read_patience.as_ref(), cx, poll))
            }
        }
    };
}

macro_rules! impl_write {
    ($name:ident) => {
        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let inner = &self.inner;
                let poll = inner.poll_write(cx, &mut std::iter::once(buf));
                poll_io(Patience::watch(inner.write_patience.as_ref(), cx, poll))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let inner = &self.inner;
                let poll = inner.poll_write(cx, &mut bufs.iter().map(|buf| &**buf));
                poll_io(Patience::watch(inner.write_patience.as_ref(), cx, poll))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                poll_io(self.inner.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                poll_io(self.inner.poll_shutdown(cx))
            }
        }
    };
}

impl_read!(Stream);
impl_read!(ReadHalf);
impl_write!(Stream);
impl_write!(WriteHalf);

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.peer)
            .field("local_port", &self.local_port)
            .field("peer_port", &self.peer_port)
            .finish_non_exhaustive()
    }
}

macro_rules! impl_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.inner.fmt(f)
            }
        }
    )*};
}

impl_debug!(Stream, ReadHalf, WriteHalf);
