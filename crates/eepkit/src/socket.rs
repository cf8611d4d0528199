//! Streams that the router implements. Each is a connection to the router.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use eepkit_link::streams::Duplex;
use tokio::{
    io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf},
    runtime::Handle as Runtime,
    time::timeout,
};

use crate::error::StreamError;

/// The connection that carries a stream, until the stream or its session ends.
pub(crate) struct Socket {
    state: Mutex<State>,
}

struct State {
    /// `None` after the stream has ended, for the reason in `ended`.
    connection: Option<Box<dyn Duplex>>,
    /// Bytes of the stream that arrived together with the router's last reply.
    begun: Bytes,
    ended: StreamError,
    /// Whether this side has closed its direction.
    shut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Socket {
    pub(crate) fn new(connection: Box<dyn Duplex>, begun: Bytes) -> Self {
        Self {
            state: Mutex::new(State {
                connection: Some(connection),
                begun,
                ended: StreamError::Closed,
                shut: false,
                reader: None,
                writer: None,
            }),
        }
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(connection) = &mut state.connection else {
            return Poll::Ready(Err(state.ended.clone()));
        };
        if !state.begun.is_empty() {
            let len = state.begun.len().min(buf.remaining());
            buf.put_slice(&state.begun.split_to(len));
            return Poll::Ready(Ok(()));
        }
        let poll = Pin::new(connection).poll_read(cx, buf);
        park(&mut state.reader, cx, &poll);
        poll.map_err(|error| meaning(&error, state.shut))
    }

    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut dyn Iterator<Item = &[u8]>,
    ) -> Poll<Result<usize, StreamError>> {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(connection) = &mut state.connection else {
            return Poll::Ready(Err(state.ended.clone()));
        };
        if state.shut {
            return Poll::Ready(Err(StreamError::Closed));
        }
        let mut filled = bufs.filter(|buf| !buf.is_empty());
        let Some(first) = filled.next() else {
            return Poll::Ready(Ok(0));
        };
        let poll = match Pin::new(connection).poll_write(cx, first) {
            // tokio's write methods treat 0 as an error without a cause.
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            poll => poll,
        };
        park(&mut state.writer, cx, &poll);
        poll.map_err(|error| meaning(&error, state.shut))
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(connection) = &mut state.connection else {
            return Poll::Ready(Err(state.ended.clone()));
        };
        let poll = Pin::new(connection).poll_flush(cx);
        park(&mut state.writer, cx, &poll);
        poll.map_err(|error| meaning(&error, state.shut))
    }

    /// Closes the writing direction. Has no effect if the stream has ended.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let mut state = self.lock();
        let state = &mut *state;
        state.shut = true;
        let Some(connection) = &mut state.connection else {
            return Poll::Ready(Ok(()));
        };
        let poll = Pin::new(connection).poll_shutdown(cx);
        park(&mut state.writer, cx, &poll);
        poll.map(|_| Ok(()))
    }

    /// Closes the writing direction from a context that cannot wait, such as `drop`.
    pub(crate) fn shutdown(&self) {
        let waker = Waker::noop();
        // For a socket this completes at once. TLS may have to wait; then the direction is closed
        // when the stream is dropped.
        let _ = self.poll_shutdown(&mut Context::from_waker(waker));
    }

    /// Ends the stream because of `why`, and discards unsent data.
    pub(crate) fn end(&self, why: StreamError) {
        self.take(why);
    }

    /// Ends the stream because of `why`, and delivers written data in the background for at most
    /// `limit`. Then drops `draining`.
    pub(crate) fn close(&self, why: StreamError, limit: Duration, draining: impl Send + 'static) {
        let connection = self.take(why);
        if let (Some(connection), Ok(runtime)) = (connection, Runtime::try_current()) {
            runtime.spawn(async move {
                // The result is ignored, because no handle is left that could report it.
                let _ = timeout(limit, drain(connection)).await;
                drop(draining);
            });
        }
    }

    fn take(&self, why: StreamError) -> Option<Box<dyn Duplex>> {
        let mut state = self.lock();
        let taken = state.connection.take();
        if taken.is_some() {
            state.ended = why;
        }
        for waker in [state.reader.take(), state.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of this crate panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// Sends written data, and reads until the peer closes. The operating system resets a connection
/// that is closed with unread bytes, and the reset may discard written data.
async fn drain(mut connection: Box<dyn Duplex>) -> io::Result<()> {
    connection.flush().await?;
    connection.shutdown().await?;
    let mut buffer = [0; 4096];
    while connection.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Stores the waker of a pending operation, to wake it when the stream ends.
fn park<T>(waiting: &mut Option<Waker>, cx: &Context<'_>, poll: &Poll<T>) {
    match waiting {
        _ if poll.is_ready() => *waiting = None,
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waiting = Some(cx.waker().clone()),
    }
}

/// Converts an error of the connection.
fn meaning(error: &io::Error, shut: bool) -> StreamError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected if shut => StreamError::Closed,
        _ => StreamError::Reset,
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn bytes_after_the_last_reply_are_read_first() {
        let (ours, mut theirs) = duplex(64);
        let socket = Socket::new(Box::new(ours), Bytes::from_static(b"ab"));
        theirs.write_all(b"cd").await.expect("room");
        let mut read = Vec::new();
        for _ in 0..2 {
            let mut bytes = [0; 8];
            let mut buf = ReadBuf::new(&mut bytes);
            poll_fn(|cx| socket.poll_read(cx, &mut buf))
                .await
                .expect("open");
            read.extend_from_slice(buf.filled());
        }
        assert_eq!(read, b"abcd");
    }

    #[tokio::test]
    async fn a_pending_read_fails_when_the_session_ends() {
        let (ours, _theirs) = duplex(64);
        let socket = Socket::new(Box::new(ours), Bytes::new());
        let reading = async {
            let mut bytes = [0; 8];
            let mut buf = ReadBuf::new(&mut bytes);
            poll_fn(|cx| socket.poll_read(cx, &mut buf)).await
        };
        let losing = async { socket.end(StreamError::SessionClosed) };
        let (read, ()) = tokio::join!(reading, losing);
        assert_eq!(read, Err(StreamError::SessionClosed));
    }

    #[tokio::test]
    async fn written_data_is_delivered_after_the_stream_is_closed() {
        let (ours, mut theirs) = duplex(64);
        let socket = Socket::new(Box::new(ours), Bytes::new());
        theirs.write_all(b"unread").await.expect("room");
        let mut one = std::iter::once(&b"last words"[..]);
        let written = poll_fn(|cx| socket.poll_write(cx, &mut one)).await;
        assert_eq!(written, Ok(10));
        socket.close(StreamError::Closed, Duration::from_secs(1), ());
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.expect("ends");
        assert_eq!(text, "last words");
    }
}
