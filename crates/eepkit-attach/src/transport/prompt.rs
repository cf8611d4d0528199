//! A TCP connection that acknowledges received data immediately.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A TCP connection whose peer never waits for a delayed acknowledgement.
///
/// A router that leaves Nagle's algorithm on (i2pd, on all its sockets) holds a message back while
/// the previous one is not acknowledged. Kernels delay an acknowledgement by 40 ms if no data is
/// sent with it. Together this adds 40 ms to every round trip over the tunnels. Linux has a socket
/// option for immediate acknowledgement, but resets it, so it is set after each read. On other
/// systems this type does nothing.
pub(super) struct PromptTcp(TcpStream);

impl PromptTcp {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn acknowledge(&self) {
        // Setting the option fails only on a broken connection, which the next read reports.
        let _ = self.0.set_quickack(true);
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn acknowledge(&self) {}
}

impl AsyncRead for PromptTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.0).poll_read(cx, buf);
        if read.is_ready() && buf.filled().len() > before {
            self.acknowledge();
        }
        read
    }
}

impl AsyncWrite for PromptTcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
