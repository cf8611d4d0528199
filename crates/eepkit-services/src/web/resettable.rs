//! Connections as hyper uses them.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use eepkit::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::{
    counters::{CountedStream, Counters},
    serve::Socket,
};

/// A connection that is reset when it is dropped while `failed` is set. Otherwise, its peer would take a
/// part of a message for all of it, or send all of a message that nobody reads.
pub(crate) struct Resettable<C: Reset> {
    /// `None` only while it is dropped or taken.
    connection: Option<C>,
    failed: Arc<AtomicBool>,
    counters: Option<(Arc<Counters>, CountedStream)>,
    sent: u64,
    received: u64,
    /// The longest time in which the peer takes nothing of what is written.
    stall_timeout: Option<Duration>,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// The connection of a program.
pub(crate) type Local = Resettable<Socket>;

/// A stream.
pub(crate) type StreamIo = Resettable<Stream>;

/// A connection that can be reset.
pub(crate) trait Reset: AsyncRead + AsyncWrite + Unpin {
    /// Resets the connection.
    fn reset(self);
}

impl Reset for Socket {
    fn reset(self) {
        self.abort();
    }
}

impl Reset for Stream {
    fn reset(self) {
        Self::reset(&self);
    }
}

impl<C: Reset> Resettable<C> {
    pub(crate) fn new(connection: C, failed: Arc<AtomicBool>) -> Self {
        Self {
            connection: Some(connection),
            failed,
            counters: None,
            sent: 0,
            received: 0,
            stall_timeout: None,
            stalled: None,
        }
    }

    /// Counts the connection as a stream, and its bytes.
    pub(crate) fn counted(mut self, counters: Arc<Counters>) -> Self {
        let counted = counters.count_stream();
        self.counters = Some((counters, counted));
        self
    }

    /// Fails a write of which the peer takes nothing for this time, and resets the connection. By default
    /// a write waits without limit.
    pub(crate) fn stall_timeout(mut self, limit: Duration) -> Self {
        self.stall_timeout = Some(limit);
        self
    }

    /// The connection.
    pub(crate) fn into_inner(mut self) -> Option<C> {
        self.connection.take()
    }

    /// Handles the result of a write.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if polled.is_ready() {
            self.stalled = None;
        }
        match (&polled, self.stall_timeout) {
            (Poll::Ready(Ok(count)), _) => self.sent += *count as u64,
            (Poll::Pending, Some(limit)) => {
                let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
                ready!(stalled.as_mut().poll(cx));
                self.failed.store(true, Ordering::Relaxed);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            _ => {}
        }
        polled
    }

    fn inner(&mut self) -> io::Result<Pin<&mut C>> {
        match &mut self.connection {
            Some(connection) => Ok(Pin::new(connection)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl<C: Reset> Drop for Resettable<C> {
    fn drop(&mut self) {
        if let Some((counters, _)) = &self.counters {
            counters.count_bytes(self.sent, self.received);
        }
        if let Some(connection) = self.connection.take()
            && self.failed.load(Ordering::Relaxed)
        {
            connection.reset();
        }
    }
}

impl<C: Reset> AsyncRead for Resettable<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.inner()?.poll_read(cx, buf);
        self.received += (buf.filled().len() - before) as u64;
        polled
    }
}

impl<C: Reset> AsyncWrite for Resettable<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.inner()?.poll_write(cx, buf);
        self.written(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed.load(Ordering::Relaxed) {
            // Dropping the connection resets it.
            return Poll::Ready(Ok(()));
        }
        self.inner()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.inner()?.poll_write_vectored(cx, bufs);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }
}
