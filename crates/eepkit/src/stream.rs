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
/// It behaves like tokio's `TcpStream`:
///
/// * **Writing** copies bytes into a bounded send buffer and waits while it is full. A small write
///   may be delayed briefly so that more data fits into the packet. **Flush** sends everything
///   accepted so far without that delay and does not wait for the peer. [`Stream::acked`] waits
///   until the peer has acknowledged all of it.
/// * **Shutdown** closes the writing direction after the buffered data; reading continues until the
///   peer closes too. It returns at once and delivery continues in the background. Peers that use
///   i2pd's streaming library close *both* directions when they receive it and discard data that
///   they have not sent yet. If the peer may be one of them, read the answer before shutting down.
/// * **Dropping** the stream, or both its halves, closes both directions in the background:
///   written data is still delivered, and data that arrives is discarded. If the thread is
///   panicking, dropping resets the stream instead, so that the peer does not mistake a truncated
///   answer for a complete one.
/// * **[`Stream::reset`]** aborts both directions at once; the peer's reads fail.
///
/// Over SAM a stream is a connection to the router, and the router reports only that it ended. A
/// stream that failed may therefore look like one that was closed, and the router alone decides the
/// inactivity timeout. i2pd and emissary also close both directions on shutdown over SAM.
///
/// A pending read or write fails when the peer does not acknowledge data before the retransmission
/// limit of the streaming protocol ([`StreamError::PeerUnreachable`]), and when the session loses
/// its router ([`StreamError::SessionLost`]). Bytes that were received but not yet read are then
/// discarded. [`StreamConfig::with_read_timeout`] and [`StreamConfig::with_write_timeout`] add
/// timeouts for single reads and writes; there are none by default. Errors are returned as
/// [`io::Error`]; [`StreamError::of`] extracts the reason.
///
/// # Cancel safety
///
/// As with tokio's `TcpStream`, `read` and `write` are cancel safe. `read_exact`, `write_all` and
/// similar methods are not, because they may already have transferred some bytes.
pub struct Stream {
    inner: Arc<Inner>,
}

/// The reading half of a [`Stream`]. Returned by [`Stream::into_split`].
pub struct ReadHalf {
    inner: Arc<Inner>,
}

/// The writing half of a [`Stream`]. Returned by [`Stream::into_split`].
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
    read_timeout: Option<Timeout>,
    write_timeout: Option<Timeout>,
}

/// How the bytes of a stream are carried.
enum Via {
    /// Through the endpoint of the session's link.
    Endpoint { epoch: u64, id: StreamId },
    /// Through a connection to the router, which implements the stream.
    Router { key: SocketKey, socket: Arc<Socket> },
}

/// The timeout policy of reads or writes: fails an operation that is pending for too long.
struct Timeout {
    limit: Duration,
    waiting: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Stream {
    /// Wraps a stream of the endpoint. Its slot must already exist in the core.
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
                read_timeout: config.read_timeout().map(Timeout::new),
                write_timeout: config.write_timeout().map(Timeout::new),
            }),
        }
    }

    /// Wraps a stream that the router opened; `None` if the link of `epoch` is lost.
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
                read_timeout: config.read_timeout().map(Timeout::new),
                write_timeout: config.write_timeout().map(Timeout::new),
            }),
        })
    }

    /// The destination of the peer. The peer has proved that it owns the destination.
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

    /// Round-trip time, cwnd and counters. `None` after the stream has ended, and over SAM, which
    /// does not report them.
    pub fn info(&self) -> Option<StreamInfo> {
        self.inner.info()
    }

    /// Waits until the peer has acknowledged everything written so far.
    ///
    /// An acknowledgement means that the peer's streaming library has received the data, not that
    /// its application has read it. SAM does not report acknowledgements: over SAM this returns
    /// once the router has received all the data.
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

    /// Aborts the stream: unsent and unread bytes are discarded and a reset is sent to the peer.
    ///
    /// Further reads and writes fail with [`StreamError::Closed`].
    pub fn reset(&self) {
        self.inner.reset();
    }

    /// Splits the stream into two halves that different tasks can own.
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
    /// Joins two halves of one stream.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`] returns the halves if they belong to different streams.
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

    /// Aborts both directions; see [`Stream::reset`].
    pub fn reset(&self) {
        self.inner.reset();
    }
}

impl Timeout {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            waiting: Mutex::new(None),
        }
    }

    /// Returns the result of a poll, or a timeout error if it has been pending for too long.
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
    /// Runs `act` with the session locked and passes it the current time.
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
            // Chunks are as long as packets, so several are needed to fill the caller's buffer.
            while buf.remaining() > 0 {
                match endpoint.read(now.into_std(), id, buf.remaining()) {
                    Ok(Read::Data(data)) => {
                        buf.put_slice(&data);
                        progress = true;
                    }
                    // Errors and the end are reported after the data that precedes them.
                    Ok(Read::Pending | Read::End) | Err(_) if progress => break,
                    Ok(Read::End) => return Poll::Ready(Ok(())),
                    Ok(Read::Pending) => {
                        core.streams.park(id, cx, |slot| &mut slot.read);
                        return Poll::Pending;
                    }
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            // The driver may have to send an update to a peer that was choked.
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

    /// Closes the writing direction. Has no effect if the stream has ended.
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
                // The session closes a stream that it has removed itself.
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
                poll_io(Timeout::watch(inner.read_timeout.as_ref(), cx, poll))
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
                poll_io(Timeout::watch(inner.write_timeout.as_ref(), cx, poll))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let inner = &self.inner;
                let poll = inner.poll_write(cx, &mut bufs.iter().map(|buf| &**buf));
                poll_io(Timeout::watch(inner.write_timeout.as_ref(), cx, poll))
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
