//! emissary-core's `Runtime` on tokio.

use std::{
    future::Future,
    io::{self, Read, Write},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use eepkit_link::{RouterActivity, clock};
use emissary_core::runtime as core;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures_core::Stream;
use rand::{CryptoRng, RngExt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{
    scope::{Dial, Scope},
    tunnels::{TUNNEL_LIFETIME, TUNNEL_PATIENCE, TUNNEL_RENEWAL},
};

/// How long dialing a router may take. Chosen because a tunnel build that waits for it gives up
/// after 8 to 10 s.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Inbound connections that the system keeps until the router takes them. The usual system limit.
pub(crate) const LISTEN_BACKLOG: i32 = 128;

/// Most bytes that a compressed object may have when inflated. Chosen because the largest object,
/// the payload of an I2CP message, has at most 64 KiB when compressed and is rarely denser than
/// a quarter; router infos and lease sets have a few KiB. Guards against decompression bombs.
const INFLATE_LIMIT: u64 = 256 * 1024;

/// Largest datagram that an SSU2 socket sends when the router does not say otherwise: Ethernet's
/// MTU, which SSU2 itself clamps (SSU2 specification, "MTU").
const DEFAULT_MTU: usize = 1500;

/// The interval by which emissary-core writes router infos and profiles to disk, and the only
/// delay of this length: it is how we recognise that task, to make it run when a router stops.
const BACKUP_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// The delay after which a tunnel pool first builds tunnels, and the only timer of this length.
const POOL_START: Duration = Duration::ZERO;

/// Binds emissary-core to tokio. Everything goes to the [`Scope`] of the running task.
#[derive(Debug, Clone)]
pub(crate) struct Runtime;

impl core::Runtime for Runtime {
    type TcpStream = TcpStream;
    type UdpSocket = UdpSocket;
    type TcpListener = TcpListener;
    type JoinSet<T: Send + 'static> = Tasks<T>;
    type MetricsHandle = Meters;
    type Instant = Moment;
    type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn spawn<F>(future: F)
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        match Scope::current() {
            Some(scope) => scope.spawn(future),
            // A destructor that runs after its task ended; nothing of it may outlive the router.
            None => tracing::debug!("a task was spawned outside a router; it is not run"),
        }
    }

    fn time_since_epoch() -> Duration {
        clock::unix_now()
    }

    fn now() -> Self::Instant {
        Moment(Instant::now())
    }

    fn rng() -> impl CryptoRng + RngExt {
        rand::rng()
    }

    fn join_set<T: Send + 'static>() -> Self::JoinSet<T> {
        Tasks {
            set: JoinSet::new(),
            waker: None,
        }
    }

    fn register_metrics(_: Vec<core::MetricType>, _: Option<u16>) -> Self::MetricsHandle {
        Meters(Scope::current())
    }

    fn timer(duration: Duration) -> Self::Timer {
        match Scope::current() {
            Some(scope) if duration == POOL_START => Box::pin(scope.tunnels_allowed()),
            _ => Box::pin(sleep(duration)),
        }
    }

    async fn delay(duration: Duration) {
        match Scope::current() {
            Some(scope) if duration == BACKUP_INTERVAL => tokio::select! {
                () = sleep(duration) => {}
                () = scope.backup_requested() => {}
            },
            Some(scope) if duration == TUNNEL_PATIENCE => {
                let pool = Scope::current_pool().unwrap_or_default();
                let patience = scope.tunnels().patience(pool);
                sleep(patience.time()).await;
                patience.ended();
            }
            Some(scope) if duration == TUNNEL_RENEWAL => tokio::select! {
                () = sleep(duration) => {}
                () = scope.tunnels_given_up() => {}
            },
            Some(scope) if duration == TUNNEL_LIFETIME => tokio::select! {
                () = sleep(duration) => {}
                () = scope.tunnels_given_up() => sleep(scope.tunnels().keep()).await,
            },
            _ => sleep(duration).await,
        }
    }

    fn gzip_compress(bytes: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes.as_ref()).ok()?;
        encoder.finish().ok()
    }

    fn gzip_decompress(bytes: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let mut inflated = Vec::new();
        GzDecoder::new(bytes.as_ref())
            .take(INFLATE_LIMIT + 1)
            .read_to_end(&mut inflated)
            .ok()?;
        (inflated.len() as u64 <= INFLATE_LIMIT).then_some(inflated)
    }
}

/// A point in time that follows tokio's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(Instant);

impl core::Instant for Moment {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A TCP connection to another router or to a client.
#[derive(Debug)]
pub(crate) struct TcpStream {
    stream: net::TcpStream,
    _dial: Option<Dial>,
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
        let mut buf = ReadBuf::new(buf);
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
        Poll::Ready(
            result
                .map(|()| buf.filled().len())
                .map_err(|error| failed(&error)),
        )
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
        stream.set_nodelay(true).ok()?;
        Some(Self {
            stream,
            _dial: dial,
        })
    }
}

/// A TCP listener for routers or clients.
#[derive(Debug)]
pub(crate) struct TcpListener(net::TcpListener);

/// A socket that is bound to `address` and does not block.
pub(crate) fn bound_socket(
    address: SocketAddr,
    kind: Type,
    protocol: Protocol,
) -> io::Result<Socket> {
    let domain = if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM && cfg!(unix) {
        // A restarted router gets its port back while old connections are in TIME_WAIT. (On
        // Windows the option would let two routers share the port.)
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Binds a socket in the way of the current scope.
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
        bind(address, Type::STREAM, Protocol::TCP, |socket| {
            socket.listen(LISTEN_BACKLOG)?;
            net::TcpListener::from_std(socket.into()).map(Self)
        })
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<(TcpStream, SocketAddr)>> {
        loop {
            // The caller stops listening for good on `None`. A failed accept concerns one
            // connection, or passes (no file descriptors left).
            match ready!(self.0.poll_accept(cx)) {
                Err(error) => {
                    tracing::debug!(%error, "accepting a connection failed");
                    if matches!(error.kind(), io::ErrorKind::ConnectionAborted) {
                        continue;
                    }
                    wake_later(cx.waker().clone());
                    return Poll::Pending;
                }
                Ok((stream, address)) => match stream.set_nodelay(true) {
                    Err(_) => continue,
                    Ok(()) => {
                        return Poll::Ready(Some((
                            TcpStream {
                                stream,
                                _dial: None,
                            },
                            address,
                        )));
                    }
                },
            }
        }
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()
    }
}

/// Tries again after a pause, as accepting fails for as long as the process has no descriptors.
fn wake_later(waker: Waker) {
    /// Chosen because it is short for a peer that waits and long for a processor.
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

/// Tasks whose results one task collects.
#[derive(Debug)]
pub(crate) struct Tasks<T> {
    set: JoinSet<T>,
    waker: Option<Waker>,
}

impl<T: Send + 'static> core::JoinSet<T> for Tasks<T> {
    fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    fn len(&self) -> usize {
        self.set.len()
    }

    fn push<F>(&mut self, future: F)
    where
        F: Future<Output = T> + Send + 'static,
        F::Output: Send,
    {
        let _: AbortHandle = match Scope::current() {
            Some(scope) => self.set.spawn(scope.track(future)),
            None => self.set.spawn(future),
        };
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<T: Send + 'static> Stream for Tasks<T> {
    type Item = T;

    /// Never ends: emissary-core takes the end of the stream as the end of the subsystem that
    /// polls it. A task that panicked is passed over for the same reason.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match self.set.poll_join_next(cx) {
                Poll::Ready(Some(Ok(value))) => return Poll::Ready(Some(value)),
                Poll::Ready(Some(Err(error))) => {
                    if error.is_panic() {
                        tracing::error!("a task of the router panicked; the router goes on");
                    }
                }
                Poll::Pending | Poll::Ready(None) => {
                    self.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

/// The meters of one router. Of the dozens that emissary-core keeps, [`RouterActivity`] holds those that
/// tell how the router is doing; the others go nowhere.
#[derive(Debug, Clone)]
pub(crate) struct Meters(Option<Arc<Scope>>);

/// One meter.
#[derive(Debug)]
struct Meter(Option<(Arc<Scope>, Field)>);

/// Picks a field of [`RouterActivity`].
type Field = fn(&mut RouterActivity) -> &mut usize;

/// The field for a name of emissary-core's.
fn field(name: &str) -> Option<Field> {
    Some(match name {
        "transport_active_connections_count" => |a| &mut a.peers,
        "tunnel_inbound_count" => |a| &mut a.inbound_tunnels,
        "tunnel_outbound_count" => |a| &mut a.outbound_tunnels,
        "tunnel_build_success_count" => |a| &mut a.tunnels_built,
        "tunnel_build_failure_count" => |a| &mut a.tunnel_builds_failed,
        "transit_tunnels_count" => |a| &mut a.transit_tunnels,
        "transport_dial_failure_count" => |a| &mut a.dials_failed,
        _ => return None,
    })
}

impl Meters {
    fn meter(&self, name: &str) -> Meter {
        Meter(field(name).and_then(|field| Some((self.0.clone()?, field))))
    }
}

impl Meter {
    fn change(&self, change: impl FnOnce(&mut usize)) {
        if let Some((scope, field)) = &self.0 {
            scope.record(|activity| change(field(activity)));
        }
    }
}

impl core::MetricsHandle for Meters {
    fn counter(&self, name: &'static str) -> impl core::Counter {
        self.meter(name)
    }

    fn gauge(&self, name: &'static str) -> impl core::Gauge {
        self.meter(name)
    }

    fn histogram(&self, _: &'static str) -> impl core::Histogram {
        Meter(None)
    }
}

impl core::Counter for Meter {
    fn increment(&mut self, value: usize) {
        self.change(|field| *field = field.saturating_add(value));
    }

    fn increment_with_label(&mut self, value: usize, _: &'static str, _: &'static str) {
        self.increment(value);
    }
}

impl core::Gauge for Meter {
    fn increment(&mut self, value: usize) {
        self.change(|field| *field = field.saturating_add(value));
    }

    fn decrement(&mut self, value: usize) {
        self.change(|field| *field = field.saturating_sub(value));
    }
}

impl core::Histogram for Meter {
    fn record(&mut self, _: f64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::emissary::scope::Reach;
    use emissary_core::runtime::{JoinSet as _, Runtime as _, TcpListener as _, TcpStream as _};

    fn private_scope() -> Arc<Scope> {
        let own = SocketAddr::from(([127, 0, 0, 1], 1));
        Scope::new(Reach::Loopback {
            dials: Arc::default(),
            own,
        })
    }

    #[test]
    fn compressed_objects_round_trip_and_bombs_are_refused() {
        let small = vec![7u8; 1000];
        let compressed = Runtime::gzip_compress(&small).unwrap();
        assert_eq!(Runtime::gzip_decompress(&compressed), Some(small));

        let bomb = Runtime::gzip_compress(vec![0u8; 64 * 1024 * 1024]).unwrap();
        assert!(bomb.len() < 128 * 1024);
        assert_eq!(Runtime::gzip_decompress(&bomb), None);
        assert_eq!(Runtime::gzip_decompress(b"not gzip"), None);
    }

    #[tokio::test]
    async fn a_confined_scope_binds_loopback_and_dials_nothing_else() {
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
    async fn cancelling_a_scope_ends_spawned_and_joined_tasks() {
        let scope = private_scope();
        scope
            .enter(async {
                Runtime::spawn(async {
                    let mut tasks = Runtime::join_set::<()>();
                    tasks.push(std::future::pending());
                    std::future::poll_fn(|cx| Pin::new(&mut tasks).poll_next(cx)).await;
                });
            })
            .await;
        while scope.task_count() < 2 {
            tokio::task::yield_now().await;
        }

        scope.cancel();
        timeout(Duration::from_secs(5), scope.finished())
            .await
            .unwrap();

        assert_eq!(scope.task_count(), 0);
    }

    #[tokio::test]
    async fn a_panicking_task_does_not_end_the_stream_of_its_siblings() {
        let mut tasks = Runtime::join_set::<u8>();
        tasks.push(async { panic!("on purpose") });
        tasks.push(async { 5 });

        let first = std::future::poll_fn(|cx| Pin::new(&mut tasks).poll_next(cx)).await;

        assert_eq!(first, Some(5));
    }

    #[tokio::test]
    async fn why_an_address_could_not_be_bound_is_kept() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let scope = private_scope();

        let bound = scope.enter(TcpListener::bind(address)).await;

        assert!(bound.is_none());
        let (at, error) = scope.take_bind_error().unwrap();
        assert_eq!(at, address);
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
