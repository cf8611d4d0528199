//! Detection of whether a client has read what it was sent.
//!
//! Some clients read a line with a single read and lose what arrived with it. Data that must not be
//! read together with a line is therefore delayed. TCP does not report when the program at the
//! other end reads. If that program runs on the same machine, Linux reports it on request
//! (`sock_diag(7)`), and the delay is no longer than necessary.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::yield_now,
    time::{Instant, sleep, sleep_until},
};

/// The two ends of a connection within this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    client: SocketAddr,
    bridge: SocketAddr,
}

impl Ends {
    /// Returns the ends of a socket; `None` if reads of the program at the other end cannot be
    /// observed.
    pub(crate) fn of(socket: &TcpStream) -> Option<Self> {
        let (client, bridge) = (socket.peer_addr().ok()?, socket.local_addr().ok()?);
        let ends = Self {
            client: SocketAddr::new(client.ip().to_canonical(), client.port()),
            bridge: SocketAddr::new(bridge.ip().to_canonical(), bridge.port()),
        };
        let here = ends.client.ip().is_loopback() || ends.client.ip() == ends.bridge.ip();
        (here && ends.unread(0).is_some()).then_some(ends)
    }

    /// Whether some of the first `sent` bytes have not been read by the client's program; `None` if
    /// the client's socket is closed.
    fn unread(self, sent: u64) -> Option<bool> {
        let arrived = diag::arrived(self.client, self.bridge)?;
        Some(arrived.unread > 0 || arrived.bytes < sent)
    }
}

/// A condition for sending data after the lines that a client was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// `None` if reads of the client cannot be observed.
    pub(crate) ends: Option<Ends>,
    /// The number of bytes sent to the client.
    pub(crate) sent: u64,
    /// The time from which data may follow in any case.
    pub(crate) latest: Instant,
}

impl Gate {
    /// Waits until data may follow.
    pub(crate) async fn pass(self) {
        if self.latest <= Instant::now() {
            return;
        }
        tokio::select! {
            () = read(self.ends, self.sent) => {}
            () = sleep_until(self.latest) => {}
        }
    }
}

/// A socket to which nothing is written before a [`Gate`] opens.
pub(crate) struct Gated<S> {
    inner: S,
    gate: Option<Opening>,
}

type Opening = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<S> Gated<S> {
    pub(crate) fn new(inner: S, gate: Gate) -> Self {
        Self {
            inner,
            gate: Some(Box::pin(gate.pass())),
        }
    }

    /// Waits until the gate opens, and returns the connection.
    pub(crate) async fn opened(self) -> S {
        if let Some(gate) = self.gate {
            gate.await;
        }
        self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(gate) = &mut self.gate {
            ready!(gate.as_mut().poll(cx));
            self.gate = None;
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Waits until the client has read the first `sent` bytes. Never returns if reads cannot be
/// observed.
pub(crate) async fn read(ends: Option<Ends>, sent: u64) {
    let Some(ends) = ends else {
        return std::future::pending().await;
    };
    let is_read = || !ends.unread(sent).unwrap_or(false);
    for _ in 0..TURNS {
        if is_read() {
            return;
        }
        yield_now().await;
    }
    let mut pause = FIRST_PAUSE;
    while !is_read() {
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The number of checks before the first pause. Chosen because a client in another thread or
/// process takes some tens of microseconds to read, and a check takes five.
const TURNS: usize = 4;

/// The pause between checks. Chosen as the resolution of timers, and as a delay that goes
/// unnoticed.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(8);

/// What has arrived at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrived {
    /// Bytes that the program has not read.
    unread: u32,
    /// All bytes that have arrived.
    bytes: u64,
}

#[cfg(target_os = "linux")]
mod diag {
    //! Requests to the kernel: netlink(7), sock_diag(7), `linux/inet_diag.h`.

    use std::{
        io::{self, Read as _, Write as _},
        net::{IpAddr, SocketAddr},
        sync::{Mutex, OnceLock, PoisonError},
    };

    use socket2::{Domain, Protocol, Socket, Type};

    use super::Arrived;

    /// Returns what has arrived at the socket of this machine that is bound to `at` and connected
    /// to `to`; `None` if there is no such socket, or if the kernel does not support the request.
    pub(super) fn arrived(at: SocketAddr, to: SocketAddr) -> Option<Arrived> {
        static DIAG: OnceLock<Option<Mutex<Diag>>> = OnceLock::new();
        let diag = DIAG
            .get_or_init(|| Diag::new().ok().map(Mutex::new))
            .as_ref()?;
        let mut diag = diag.lock().unwrap_or_else(PoisonError::into_inner);
        diag.ask(at, to).ok()?
    }

    /// A socket for requests. The kernel answers while the request is sent, so that no call blocks.
    struct Diag {
        socket: Socket,
        sequence: u32,
    }

    impl Diag {
        fn new() -> io::Result<Self> {
            let domain = Domain::from(AF_NETLINK);
            let protocol = Protocol::from(NETLINK_SOCK_DIAG);
            let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
            socket.set_nonblocking(true)?;
            Ok(Self {
                socket,
                sequence: 0,
            })
        }

        fn ask(&mut self, at: SocketAddr, to: SocketAddr) -> io::Result<Option<Arrived>> {
            self.sequence = self.sequence.wrapping_add(1);
            let request = request(self.sequence, at, to);
            (&self.socket).write_all(&request)?;
            let mut answer = [0; ANSWER];
            loop {
                let len = (&self.socket).read(&mut answer)?;
                let answer = answer.get(..len).unwrap_or_default();
                // A late answer to an earlier request is skipped.
                if u32_at(answer, 8) == Some(self.sequence) {
                    return Ok(parse(answer));
                }
            }
        }
    }

    /// `struct nlmsghdr` and `struct inet_diag_req_v2`.
    fn request(sequence: u32, at: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let mut request = Vec::with_capacity(REQUEST);
        request.extend((REQUEST as u32).to_ne_bytes());
        request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        request.extend(NLM_F_REQUEST.to_ne_bytes());
        request.extend(sequence.to_ne_bytes());
        request.extend(0_u32.to_ne_bytes());
        let family = if at.is_ipv4() { AF_INET } else { AF_INET6 };
        request.extend([family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
        // In any state.
        request.extend(u32::MAX.to_ne_bytes());
        request.extend(at.port().to_be_bytes());
        request.extend(to.port().to_be_bytes());
        for end in [at, to] {
            let mut bytes = [0; 16];
            match end.ip() {
                IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
                IpAddr::V6(ip) => bytes = ip.octets(),
            }
            request.extend(bytes);
        }
        // On any interface, with any cookie.
        request.extend(0_u32.to_ne_bytes());
        request.extend([0xff; 8]);
        request
    }

    /// `struct nlmsghdr`, `struct inet_diag_msg`, and of its attributes `struct tcp_info`.
    fn parse(answer: &[u8]) -> Option<Arrived> {
        if u16_at(answer, 4)? != SOCK_DIAG_BY_FAMILY {
            return None;
        }
        let unread = u32_at(answer, HEADER + 56)?;
        let mut rest = answer.get(HEADER + MESSAGE..)?;
        loop {
            let len = usize::from(u16_at(rest, 0)?);
            if u16_at(rest, 2)? == u16::from(INET_DIAG_INFO) {
                let bytes = rest.get(..len)?.get(4 + BYTES_RECEIVED..)?.get(..8)?;
                let bytes = u64::from_ne_bytes(bytes.try_into().ok()?);
                return Some(Arrived { unread, bytes });
            }
            // An attribute is never shorter than its own header.
            rest = rest.get(len.max(4).next_multiple_of(4)..)?;
        }
    }

    fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..at + 2)?;
        Some(u16::from_ne_bytes(bytes.try_into().ok()?))
    }

    fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }

    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const AF_NETLINK: i32 = 16;
    const IPPROTO_TCP: u8 = 6;
    const NETLINK_SOCK_DIAG: i32 = 4;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const INET_DIAG_INFO: u8 = 2;

    /// The length of `struct nlmsghdr`, in bytes.
    const HEADER: usize = 16;

    /// The length of `struct inet_diag_msg`, in bytes.
    const MESSAGE: usize = 72;

    /// The offset of `tcpi_bytes_received` in `struct tcp_info`.
    const BYTES_RECEIVED: usize = 128;

    /// The length of a request, in bytes.
    const REQUEST: usize = HEADER + 56;

    /// The maximum length of an answer, in bytes: about 400 in Linux 6.
    const ANSWER: usize = 4096;
}

#[cfg(not(target_os = "linux"))]
mod diag {
    use std::net::SocketAddr;

    use super::Arrived;

    /// Other systems have no such request.
    pub(super) fn arrived(_at: SocketAddr, _to: SocketAddr) -> Option<Arrived> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    async fn connection(at: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(at).await.expect("a port");
        let at = listener.local_addr().expect("bound");
        let connecting = TcpStream::connect(at);
        let (client, bridge) = tokio::join!(connecting, listener.accept());
        (client.expect("it listens"), bridge.expect("it comes").0)
    }

    #[tokio::test]
    async fn unread_bytes_of_a_client_are_detected() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let (mut client, mut bridge) = connection(at).await;
            let ends = Ends::of(&bridge).expect("on this machine");
            assert_eq!(ends.unread(0), Some(false));
            // Bytes that have not arrived were not read either.
            assert_eq!(ends.unread(5), Some(true));
            bridge.write_all(b"hello").await.expect("it goes out");
            assert_eq!(ends.unread(5), Some(true));
            let mut bytes = [0; 5];
            client.read_exact(&mut bytes[..3]).await.expect("some");
            assert_eq!(ends.unread(5), Some(true));
            client.read_exact(&mut bytes[3..]).await.expect("the rest");
            assert_eq!(ends.unread(5), Some(false));
        }
    }

    #[tokio::test]
    async fn ipv4_mapped_addresses_count_as_ipv4() {
        let listener = TcpListener::bind("[::]:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let connecting = TcpStream::connect(("127.0.0.1", port));
        let (_client, bridge) = tokio::join!(connecting, listener.accept());
        let (bridge, from) = bridge.expect("it comes");
        assert!(from.is_ipv6());
        assert!(Ends::of(&bridge).is_some());
    }

    #[tokio::test]
    async fn waiting_ends_if_the_client_is_closed() {
        let (client, bridge) = connection("127.0.0.1:0").await;
        let ends = Ends::of(&bridge);
        assert!(ends.is_some());
        drop((client, bridge));
        read(ends, 100).await;
    }

    #[tokio::test(start_paused = true)]
    async fn data_waits_until_the_limit_if_a_client_does_not_read() {
        let (_client, mut bridge) = connection("127.0.0.1:0").await;
        let ends = Ends::of(&bridge);
        bridge.write_all(b"line\n").await.expect("it goes out");
        let began = Instant::now();
        let gate = |ends| Gate {
            ends,
            sent: 5,
            latest: began + Duration::from_millis(500),
        };
        gate(ends).pass().await;
        assert_eq!(began.elapsed(), Duration::from_millis(500));
        // Without observation there is no further wait after the limit.
        gate(None).pass().await;
        assert_eq!(began.elapsed(), Duration::from_millis(500));
    }
}
