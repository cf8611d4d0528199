//! Streams as hyper uses them.

use std::{
    io::{self, IoSlice},
    mem,
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

use crate::counters::{CountedStream, Counters};

/// A stream, as hyper uses it. Counts its bytes, and resets it when it is dropped while `abandoned` is
/// set.
pub(crate) struct StreamIo {
    /// `None` only while it is dropped or taken.
    stream: Option<Stream>,
    abandoned: Arc<AtomicBool>,
    counters: Arc<Counters>,
    sent: u64,
    received: u64,
    counted: Option<CountedStream>,
    /// The longest time in which the peer takes nothing of what is written.
    stall_timeout: Option<Duration>,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl StreamIo {
    pub(crate) fn new(stream: Stream, counters: Arc<Counters>, abandoned: Arc<AtomicBool>) -> Self {
        Self {
            stream: Some(stream),
            abandoned,
            counted: Some(counters.count_stream()),
            counters,
            sent: 0,
            received: 0,
            stall_timeout: None,
            stalled: None,
        }
    }

    /// Fails a write of which the peer takes nothing for this time, and resets the stream. By default
    /// a write waits without limit.
    pub(crate) fn stall_timeout(mut self, limit: Duration) -> Self {
        self.stall_timeout = Some(limit);
        self
    }

    /// The stream.
    pub(crate) fn into_stream(mut self) -> Option<Stream> {
        self.counted = None;
        self.stream.take()
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
                self.abandoned.store(true, Ordering::Relaxed);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            _ => {}
        }
        polled
    }

    fn inner(&mut self) -> io::Result<Pin<&mut Stream>> {
        match &mut self.stream {
            Some(stream) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for StreamIo {
    fn drop(&mut self) {
        let (sent, received) = (mem::take(&mut self.sent), mem::take(&mut self.received));
        self.counters.count_bytes(sent, received);
        if let Some(stream) = &self.stream
            && self.abandoned.load(Ordering::Relaxed)
        {
            // The peer would otherwise send all of its message, or take a part of ours for all of it.
            stream.reset();
        }
    }
}

impl AsyncRead for StreamIo {
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

impl AsyncWrite for StreamIo {
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
        if self.abandoned.load(Ordering::Relaxed) {
            // Dropping the stream resets it.
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
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }
}
