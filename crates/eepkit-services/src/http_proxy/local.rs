//! The connection of a program.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::serve::Socket;

/// A connection that is reset when it is dropped, if a response has ended early. Otherwise, a
/// response whose length is unknown would look complete.
pub(super) struct Local {
    /// `None` only while it is dropped or taken.
    socket: Option<Socket>,
    failed: Arc<AtomicBool>,
}

impl Local {
    pub(super) fn new(socket: Socket, failed: Arc<AtomicBool>) -> Self {
        Self {
            socket: Some(socket),
            failed,
        }
    }

    /// The connection.
    pub(super) fn into_socket(mut self) -> Option<Socket> {
        self.socket.take()
    }

    fn inner(&mut self) -> io::Result<Pin<&mut Socket>> {
        match &mut self.socket {
            Some(socket) => Ok(Pin::new(socket)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take()
            && self.failed.load(Ordering::Relaxed)
        {
            socket.abort();
        }
    }
}

impl AsyncRead for Local {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Local {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write(cx, buf)
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
        self.inner()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }
}
