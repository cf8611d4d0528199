//! Streams as file descriptors.
//!
//! A stream is relayed to one end of a pair of Unix sockets. Python owns the other end. A half close
//! passes in both directions. Closing the descriptor closes the stream: written data is still
//! delivered.

use std::{
    io::{self, IoSlice},
    os::{fd::IntoRawFd as _, unix::net::UnixStream as StdUnixStream},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use eepkit::{Error, ErrorKind, PeerKind, Stream, StreamError};
use eepkit_services::relay::{End, Options, Side, Traffic, relay};
use pyo3::prelude::*;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::UnixStream,
    sync::Notify,
    time::sleep,
};

use crate::{
    failure::Failure,
    keys::Destination,
    runtime::{Owned, lock},
};

/// A stream whose bytes go through a descriptor.
#[pyclass(frozen, module = "eepkit._native")]
pub(crate) struct Connection {
    /// `None` after the descriptor was taken.
    socket: Mutex<Option<StdUnixStream>>,
    shared: Arc<Shared>,
    peer: eepkit::Destination,
    local: eepkit::Destination,
    peer_port: u16,
    local_port: u16,
    /// Keeps a child of this process from using the stream.
    here: Owned<()>,
}

struct Shared {
    failure: Mutex<Option<Failure>>,
    reset: Notify,
    traffic: Traffic,
    over: AtomicBool,
}

impl Connection {
    /// Begins to relay a stream. Must be called in the context of the runtime.
    pub(crate) fn carry(stream: Stream) -> Result<Self, Failure> {
        let (theirs, ours) = StdUnixStream::pair().map_err(Failure::io)?;
        ours.set_nonblocking(true).map_err(Failure::io)?;
        let ours = UnixStream::from_std(ours).map_err(Failure::io)?;
        let shared = Arc::new(Shared {
            failure: Mutex::new(None),
            reset: Notify::new(),
            traffic: Traffic::new(),
            over: AtomicBool::new(false),
        });
        let connection = Self {
            socket: Mutex::new(Some(theirs)),
            shared: shared.clone(),
            peer: stream.peer().clone(),
            local: stream.local().clone(),
            peer_port: stream.peer_port(),
            local_port: stream.local_port(),
            here: Owned::new(()),
        };
        tokio::spawn(run(stream, ours, shared));
        Ok(connection)
    }
}

#[pymethods]
impl Connection {
    /// Returns the descriptor, which the caller must close.
    fn detach(&self) -> PyResult<i32> {
        self.here.get()?;
        match lock(&self.socket).take() {
            Some(socket) => Ok(socket.into_raw_fd()),
            None => Err(Failure::new(ErrorKind::Closed, "the descriptor was taken before").into()),
        }
    }

    #[getter]
    fn peer(&self) -> Destination {
        Destination::from(self.peer.clone())
    }

    #[getter]
    fn local(&self) -> Destination {
        Destination::from(self.local.clone())
    }

    #[getter]
    fn peer_port(&self) -> u16 {
        self.peer_port
    }

    #[getter]
    fn local_port(&self) -> u16 {
        self.local_port
    }

    /// The numbers of bytes that the stream has accepted and delivered.
    #[getter]
    fn traffic(&self) -> (u64, u64) {
        (self.shared.traffic.a_to_b(), self.shared.traffic.b_to_a())
    }

    /// Whether the stream has ended in both directions, or failed.
    #[getter]
    fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Acquire)
    }

    /// The exception of the failure that ended the stream. It is set before the descriptor reports
    /// the end.
    fn error(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.here.get()?;
        let failure = lock(&self.shared.failure).clone();
        Ok(failure.map(|failure| failure.to_exception(py).into_value(py).into_any()))
    }

    /// Aborts the stream. The peer's reads fail.
    fn reset(&self) -> PyResult<()> {
        self.here.get()?;
        self.shared.reset.notify_one();
        Ok(())
    }
}

/// Relays until both directions have ended, one side fails, or nobody has the descriptor any more.
async fn run(stream: Stream, socket: UnixStream, shared: Arc<Shared>) {
    let kind = stream.info().map(|info| info.peer_kind);
    let mut options = Options::new();
    if kind == Some(PeerKind::I2pd) {
        // It drops unsent data when its peer ends one direction.
        options = options.close_b_after(I2PD_QUIET);
    }
    let socket = Arc::new(socket);
    let mut local = Local {
        socket: socket.clone(),
        is_gone: false,
    };
    let ended = Arc::new(Notify::new());
    let mut remote = Remote {
        stream,
        ended: ended.clone(),
    };
    let failure = tokio::select! {
        report = relay(&mut local, &mut remote, &options, &shared.traffic) => match report.end {
            End::Failed { side: Side::B, error, .. } => Some(Failure::io(error)),
            _ => None,
        },
        // All that was written is then in the stream, which delivers it although it is dropped.
        () = async { closed(&socket).await; ended.notified().await } => None,
        () = shared.reset.notified() => {
            remote.stream.reset();
            Some(Failure::of(Error::Stream(StreamError::Closed)))
        }
    };
    *lock(&shared.failure) = failure;
    shared.over.store(true, Ordering::Release);
}

/// Waits until the other end of the pair is closed, which is more than a half close.
async fn closed(socket: &UnixStream) {
    loop {
        match socket.ready(Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => sleep(CLOSED_EVERY).await,
            _ => return,
        }
    }
}

/// The local end. Data for a descriptor that nobody reads is discarded.
struct Local {
    socket: Arc<UnixStream>,
    is_gone: bool,
}

impl AsyncRead for Local {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            std::task::ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.try_read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Python closed the descriptor before it had read everything.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Local {
    fn poll_try(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        write: impl Fn(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        while !self.is_gone {
            std::task::ready!(self.socket.poll_write_ready(cx))?;
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_gone(&error) => self.is_gone = true,
                result => return Poll::Ready(result),
            }
        }
        Poll::Ready(Ok(len))
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl AsyncWrite for Local {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_try(cx, buf.len(), |socket| socket.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.get_mut()
            .poll_try(cx, len, |socket| socket.try_write_vectored(bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Fails if the descriptor is closed, and then there is nothing to end.
        let _ = socket2::SockRef::from(&*self.socket).shutdown(std::net::Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}

/// The stream. Reports when its writing direction was ended.
struct Remote {
    stream: Stream,
    ended: Arc<Notify>,
}

impl AsyncRead for Remote {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Remote {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = std::task::ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        self.ended.notify_one();
        Poll::Ready(result)
    }
}

/// How often it is looked whether a descriptor that was half closed is closed. Chosen because the
/// system reports it only together with other events.
const CLOSED_EVERY: Duration = Duration::from_secs(1);

/// The silence of i2pd after which its answer is considered complete. Chosen as a few round trips.
const I2PD_QUIET: Duration = Duration::from_secs(5);
