//! The sockets of a router: emissary-core's socket traits implemented on tokio.
//!
//! Clients in this process reach the router's I2CP in memory. emissary-core binds its I2CP listener
//! at an address from its configuration. No host has the address [`CLIENTS`]. The listener that is
//! bound there accepts connections in memory, and over TCP if the configuration has a port for it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BytesMut;
use emissary_core::runtime as core;
use socket2::{Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net,
    time::{sleep, timeout},
};
use tokio_util::{either::Either, io::poll_read_buf};

use super::{renewal::Frames, scope::Scope};
use crate::{
    backend::{clients::ClientListener, dials::Dial},
    sockets::{LISTEN_BACKLOG, bound_socket},
};

/// The I2CP address in the configuration of emissary-core. It is in the discard-only prefix
/// `100::/64` (RFC 6666) and is never bound.
pub(crate) const CLIENTS: IpAddr = IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1));

/// How long dialing a router may take. Chosen because the tunnel build that waits for it times out
/// after 8 to 10 s.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How many bytes of a client are read at a time. Chosen as the size of a large message.
const CLIENT_READ: usize = 32 * 1024;

/// The largest datagram that an SSU2 socket sends unless the router sets another size. It is
/// Ethernet's MTU, which SSU2 itself clamps (SSU2 specification, "MTU").
const DEFAULT_MTU: usize = 1500;

/// A connection to another router or to a client.
#[derive(Debug)]
pub(crate) struct TcpStream {
    stream: Either<net::TcpStream, DuplexStream>,
    /// The messages of a client. `None` for a connection to another router.
    frames: Option<Box<Frames>>,
    _dial: Option<Dial>,
}

impl TcpStream {
    /// Wraps a TCP connection.
    fn tcp(stream: net::TcpStream, dial: Option<Dial>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Either::Left(stream),
            frames: None,
            _dial: dial,
        })
    }

    /// Marks a connection as that of an I2CP client.
    fn of_client(mut self) -> Self {
        let private = Scope::current().is_some_and(|scope| scope.tunnels().are_private());
        self.frames = Some(Box::new(Frames::new(private)));
        self
    }

    /// Wraps a connection of a client in this process.
    fn memory(stream: DuplexStream) -> Self {
        Self {
            stream: Either::Right(stream),
            frames: None,
            _dial: None,
        }
    }
}

fn failed(error: &io::Error) -> emissary_core::Error {
    emissary_core::Error::Custom(error.to_string())
}

impl core::AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<emissary_core::Result<usize>> {
        let Self { stream, frames, .. } = &mut *self;
        let Some(frames) = frames else {
            let mut buf = ReadBuf::new(buf);
            let result = ready!(Pin::new(stream).poll_read(cx, &mut buf));
            return Poll::Ready(
                result
                    .map(|()| buf.filled().len())
                    .map_err(|error| failed(&error)),
            );
        };
        let receive = |cx: &mut Context<'_>, into: &mut BytesMut| {
            into.reserve(CLIENT_READ);
            poll_read_buf(Pin::new(&mut *stream), cx, into).map_err(|error| failed(&error))
        };
        Scope::with_mode(|mode| frames.poll_read(cx, mode, buf, receive))
            .unwrap_or_else(|| Poll::Ready(Ok(0)))
    }
}

impl core::AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<emissary_core::Result<usize>> {
        Pin::new(&mut self.stream)
            .poll_write(cx, buf)
            .map_err(|error| failed(&error))
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<emissary_core::Result<()>> {
        Pin::new(&mut self.stream)
            .poll_flush(cx)
            .map_err(|error| failed(&error))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<emissary_core::Result<()>> {
        Pin::new(&mut self.stream)
            .poll_shutdown(cx)
            .map_err(|error| failed(&error))
    }
}

impl core::TcpStream for TcpStream {
    async fn connect(address: SocketAddr) -> Option<Self> {
        let dial = match Scope::current() {
            Some(scope) => scope.dial(address).await?,
            None => None,
        };
        let stream = timeout(DIAL_TIMEOUT, net::TcpStream::connect(address))
            .await
            .ok()?
            .ok()?;
        Self::tcp(stream, dial).ok()
    }
}

/// A listener for routers or clients: over TCP, in memory, or both.
#[derive(Debug)]
pub(crate) struct TcpListener {
    tcp: Option<net::TcpListener>,
    memory: Option<ClientListener>,
    /// Whether the connections are those of I2CP clients.
    clients: bool,
}

impl TcpListener {
    fn tcp(address: SocketAddr) -> Option<net::TcpListener> {
        bind(address, Type::STREAM, Protocol::TCP, |socket| {
            socket.listen(LISTEN_BACKLOG)?;
            net::TcpListener::from_std(socket.into())
        })
    }

    /// Returns the listener at [`CLIENTS`], which the scope provides.
    fn clients() -> Option<Self> {
        let (memory, port) = Scope::current()?.take_clients()?;
        let tcp = match port {
            Some(port) => Some(Self::tcp((Ipv4Addr::LOCALHOST, port).into())?),
            None => None,
        };
        Some(Self {
            tcp,
            memory: Some(memory),
            clients: true,
        })
    }

    fn poll_tcp(&self, cx: &mut Context<'_>) -> Poll<(TcpStream, SocketAddr)> {
        let Some(listener) = &self.tcp else {
            return Poll::Pending;
        };
        loop {
            // A failed accept affects one connection, or is temporary (no free file descriptors).
            match ready!(listener.poll_accept(cx)) {
                Err(error) => {
                    tracing::debug!(%error, "accepting a connection failed");
                    if matches!(error.kind(), io::ErrorKind::ConnectionAborted) {
                        continue;
                    }
                    wake_later(cx.waker().clone());
                    return Poll::Pending;
                }
                Ok((stream, address)) => {
                    if let Ok(stream) = TcpStream::tcp(stream, None) {
                        return Poll::Ready((stream, address));
                    }
                }
            }
        }
    }
}

/// Binds a socket according to the current scope.
fn bind<T>(
    asked: SocketAddr,
    kind: Type,
    protocol: Protocol,
    finish: impl FnOnce(Socket) -> io::Result<T>,
) -> Option<T> {
    let scope = Scope::current();
    let address = scope.as_ref().map_or(asked, |scope| scope.confine(asked));
    let reserved = scope
        .as_ref()
        .and_then(|scope| scope.take_reserved(address));
    reserved
        .map_or_else(|| bound_socket(address, kind, protocol), Ok)
        .and_then(finish)
        .inspect_err(|error| {
            if let Some(scope) = scope {
                scope.bind_failed(address, io::Error::new(error.kind(), error.to_string()));
            }
        })
        .ok()
}

impl core::TcpListener<TcpStream> for TcpListener {
    async fn bind(address: SocketAddr) -> Option<Self> {
        if address.ip() == CLIENTS {
            return Self::clients();
        }
        Some(Self {
            tcp: Some(Self::tcp(address)?),
            memory: None,
            clients: false,
        })
    }

    /// Never returns `None`, because the caller would then stop listening permanently.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<(TcpStream, SocketAddr)>> {
        if let Some(memory) = &mut self.memory {
            match memory.poll_accept(cx) {
                Poll::Ready(Some(stream)) => {
                    let from = SocketAddr::new(CLIENTS, 0);
                    return Poll::Ready(Some((TcpStream::memory(stream).of_client(), from)));
                }
                Poll::Ready(None) => self.memory = None,
                Poll::Pending => {}
            }
        }
        let (stream, from) = ready!(self.poll_tcp(cx));
        let stream = if self.clients {
            stream.of_client()
        } else {
            stream
        };
        Poll::Ready(Some((stream, from)))
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.local_addr().ok()
    }
}

/// Wakes the task after a pause, because accepting fails as long as the process has no free
/// descriptors.
fn wake_later(waker: Waker) {
    /// Chosen because it is short for a waiting peer and long enough to avoid a busy loop.
    const PAUSE: Duration = Duration::from_millis(100);
    if let Some(scope) = Scope::current() {
        scope.spawn(async move {
            sleep(PAUSE).await;
            waker.wake();
        });
    }
}

/// A UDP socket of SSU2 or SAM.
#[derive(Debug, Clone)]
pub(crate) struct UdpSocket {
    socket: Arc<net::UdpSocket>,
    mtu: usize,
    scope: Option<Arc<Scope>>,
}

impl UdpSocket {
    fn may_reach(&self, target: SocketAddr) -> bool {
        self.scope
            .as_ref()
            .is_none_or(|scope| scope.may_reach(target))
    }
}

impl core::UdpSocket for UdpSocket {
    async fn bind(address: SocketAddr) -> Option<Self> {
        Self::bind_with_mtu(address, DEFAULT_MTU).await
    }

    async fn bind_with_mtu(address: SocketAddr, mtu: usize) -> Option<Self> {
        let socket = bind(address, Type::DGRAM, Protocol::UDP, |socket| {
            net::UdpSocket::from_std(socket.into())
        })?;
        Some(Self {
            socket: Arc::new(socket),
            mtu,
            scope: Scope::current(),
        })
    }

    async fn send_to(&mut self, buf: &[u8], target: SocketAddr) -> Option<usize> {
        if !self.may_reach(target) {
            return None;
        }
        self.socket.send_to(buf, target).await.ok()
    }

    async fn recv_from(&mut self, buf: &mut [u8]) -> Option<(usize, SocketAddr)> {
        self.socket.recv_from(buf).await.ok()
    }

    fn poll_send_to(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<Option<usize>> {
        if !self.may_reach(target) {
            return Poll::Ready(None);
        }
        self.socket.poll_send_to(cx, buf, target).map(Result::ok)
    }

    fn poll_recv_from(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Option<(usize, SocketAddr)>> {
        let mut buf = ReadBuf::new(buf);
        let from = ready!(self.socket.poll_recv_from(cx, &mut buf));
        Poll::Ready(from.ok().map(|from| (buf.filled().len(), from)))
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    fn mtu(&self) -> usize {
        self.mtu
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use emissary_core::runtime::{TcpListener as _, TcpStream as _};

    use super::{super::scope::tests::private_scope, *};
    use crate::backend::clients;

    #[tokio::test]
    async fn a_confined_scope_binds_and_dials_only_loopback() {
        let scope = private_scope();
        scope
            .enter(async {
                let listener = TcpListener::bind("0.0.0.0:0".parse().unwrap())
                    .await
                    .unwrap();
                let address = listener.local_address().unwrap();
                assert!(address.ip().is_loopback(), "{address}");
                assert!(TcpStream::connect(address).await.is_some());
                // TEST-NET-1: refused before anything is sent.
                assert!(
                    TcpStream::connect("192.0.2.1:9".parse().unwrap())
                        .await
                        .is_none()
                );
            })
            .await;
    }

    #[tokio::test]
    async fn the_error_of_a_failed_bind_is_stored() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let scope = private_scope();

        let bound = scope.enter(TcpListener::bind(address)).await;

        assert!(bound.is_none());
        let (at, error) = scope.take_bind_error().unwrap();
        assert_eq!(at, address);
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn clients_are_accepted_in_memory_and_over_tcp_if_the_scope_has_a_port() {
        for port in [None, Some(0)] {
            let scope = private_scope();
            let (clients, listener) = clients::channel();
            scope.offer_clients(listener, port);
            scope
                .enter(async {
                    let at = SocketAddr::new(CLIENTS, 0);
                    let mut listener = TcpListener::bind(at).await.unwrap();
                    assert_eq!(listener.local_address().is_some(), port.is_some());

                    let _ours = clients.connect().unwrap();
                    let (stream, _) = accepted(&mut listener).await;
                    assert!(matches!(stream.stream, Either::Right(_)));
                    if let Some(address) = listener.local_address() {
                        let _ours = net::TcpStream::connect(address).await.unwrap();
                        let (stream, _) = accepted(&mut listener).await;
                        assert!(matches!(stream.stream, Either::Left(_)));
                    }
                    assert!(TcpListener::bind(at).await.is_none(), "it is taken");
                })
                .await;
        }
    }

    async fn accepted(listener: &mut TcpListener) -> (TcpStream, SocketAddr) {
        poll_fn(|cx| listener.poll_accept(cx)).await.unwrap()
    }
}
