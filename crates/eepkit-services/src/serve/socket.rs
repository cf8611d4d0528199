//! Connections of local programs, of any transport.

use std::{
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, client, server};
use tracing::debug;

/// A connection with a local program.
#[derive(Debug)]
#[non_exhaustive]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// TLS with this process as the server.
    TlsServer(Box<server::TlsStream<TcpStream>>),
    /// TLS with this process as the client.
    TlsClient(Box<client::TlsStream<TcpStream>>),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    /// The underlying TCP socket, if there is one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::TlsServer(socket) => Some(socket.get_ref().0),
            Self::TlsClient(socket) => Some(socket.get_ref().0),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// Closes the connection so that the peer gets an error, not an end: TCP is reset. Data that
    /// was written and not read yet is lost. A Unix socket has no reset and is closed.
    pub fn abort(self) {
        if let Some(socket) = self.tcp() {
            // The socket may already be closed.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Sets the options of every TCP connection with a local program: small writes are sent
/// immediately, and the system detects a peer whose machine is unreachable.
///
/// # Errors
///
/// An error of the system, usually because the connection is closed.
pub fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// Closes a connection so that the peer can read the last written data. If a TCP socket is closed
/// with unread bytes, it is reset and the written data is lost. Therefore up to 64 KiB are read and
/// dropped first, for at most half a second.
pub async fn close_gently<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S) {
    let drain = async {
        socket.shutdown().await?;
        let mut rest = [0; 1024];
        let mut left = MAX_DRAINED;
        while left > 0 {
            let count = socket.read(&mut rest).await?;
            if count == 0 {
                break;
            }
            left = left.saturating_sub(count);
        }
        io::Result::Ok(())
    };
    let _ = timeout(DRAIN_LIMIT, drain).await;
}

/// An accepted connection before its handshake.
pub(super) enum Incoming {
    Tcp(TcpStream, IpAddr),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Incoming {
    /// Sets the options of the socket, and returns the address of the client.
    pub(super) fn prepared(self) -> io::Result<(Option<IpAddr>, Self)> {
        match &self {
            Self::Tcp(socket, client) => {
                prepare(socket)?;
                Ok((Some(*client), self))
            }
            #[cfg(unix)]
            Self::Unix(_) => Ok((None, self)),
        }
    }

    /// Completes the connection, with a TLS handshake of at most `limit` if TLS is configured.
    pub(super) async fn handshake(
        self,
        tls: Option<TlsAcceptor>,
        limit: Duration,
    ) -> Option<Socket> {
        let socket = match self {
            Self::Tcp(socket, _) => socket,
            #[cfg(unix)]
            Self::Unix(socket) => return Some(Socket::Unix(socket)),
        };
        let Some(tls) = tls else {
            return Some(Socket::Tcp(socket));
        };
        match timeout(limit, tls.accept(socket)).await {
            Ok(Ok(socket)) => Some(Socket::TlsServer(Box::new(socket))),
            Ok(Err(error)) => {
                debug!(%error, "the TLS handshake of a client failed");
                None
            }
            Err(_) => {
                debug!("the TLS handshake of a client took too long");
                None
            }
        }
    }
}

/// Calls a method of the connection of any transport.
macro_rules! each {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($inner) => $call,
            Socket::TlsServer($inner) => $call,
            Socket::TlsClient($inner) => $call,
            #[cfg(unix)]
            Socket::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, inner => inner.is_write_vectored())
    }
}

/// Chosen so that connections to an unreachable machine end within some minutes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// The limits of [`close_gently`].
const DRAIN_LIMIT: Duration = Duration::from_millis(500);
const MAX_DRAINED: usize = 64 * 1024;
