//! Tunnels from destinations to local servers.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{Arc, Mutex},
};

use eepkit::{Address, ErrorKind};
use eepkit_services::{
    service::ServiceError,
    tls,
    tunnel::{ClientTunnelConfig, ServerTunnel, ServerTunnelConfig, Target},
};
use tokio::{
    net::{TcpListener, UnixListener},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::*;

fn config(target: Target) -> ServerTunnelConfig {
    ServerTunnelConfig::new()
        .name("test")
        .target(target)
        .option("inbound.length", 1)
        .option("outbound.length", 1)
}

/// Asserts that a stream is reset, which the peer may see while it connects.
async fn is_refused(peer: &Session, tunnel: &ServerTunnel) {
    match peer.connect((tunnel.destination(), 80)).await {
        Ok(mut stream) => is_reset(&mut stream).await,
        Err(error) => assert_eq!(error.kind(), ErrorKind::Refused, "{error}"),
    }
}

fn value(tunnel: &ServerTunnel, name: &str) -> u64 {
    let statistics = tunnel.statistics();
    let found = statistics.iter().find(|one| one.name == name);
    found.expect(name).value
}

#[tokio::test(start_paused = true)]
async fn peers_reach_the_target_and_both_directions_end_on_their_own() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    let mut stream = connect(&peer, &tunnel, 80).await;
    stream.write_all(b"question").await.expect("writes");
    stream.shutdown().await.expect("shuts down");
    let mut socket = accept_local(&listener).await;
    assert_eq!(rest(&mut socket).await.expect("ends"), "question");
    sleep(Duration::from_secs(100)).await;
    socket.write_all(b"answer").await.expect("writes");
    socket.shutdown().await.expect("shuts down");
    assert_eq!(rest(&mut stream).await.expect("ends"), "answer");
    sleep(Duration::from_secs(1)).await;
    let sent = value(&tunnel, "bytes_sent_total");
    assert_eq!((sent, value(&tunnel, "bytes_received_total")), (6, 8));
    let b32 = tunnel.destination().to_b32();
    assert_eq!(tunnel.addresses().i2p, [b32]);
    tunnel.stop().await;
}

#[tokio::test(start_paused = true)]
async fn resets_are_passed_on_in_both_directions() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    let stream = connect(&peer, &tunnel, 80).await;
    let mut socket = accept_local(&listener).await;
    stream.reset();
    let error = rest(&mut socket).await.expect_err("is reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let mut stream = connect(&peer, &tunnel, 80).await;
    let socket = accept_local(&listener).await;
    socket2::SockRef::from(&socket)
        .set_linger(Some(Duration::ZERO))
        .expect("can be set");
    drop(socket);
    is_reset(&mut stream).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_is_a_reset_until_it_is_up_again() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let address = listener.local_addr().expect("it has one");
    drop(listener);
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    for _ in 0..3 {
        is_refused(&peer, &tunnel).await;
    }
    assert_eq!(value(&tunnel, "targets_failed_total"), 3);
    let listener = TcpListener::bind(address).await.expect("binds");
    let _stream = connect(&peer, &tunnel, 80).await;
    accept_local(&listener).await;
}

/// The lines of a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The number of lines with this text.
    fn count(&self, text: &str) -> usize {
        let log = self.0.lock().expect("no panic");
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| line.contains(text)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_is_logged_once_without_its_address() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let address = listener.local_addr().expect("it has one");
    drop(listener);
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    for round in 1..=2 {
        for _ in 0..5 {
            is_refused(&peer, &tunnel).await;
        }
        assert_eq!(log.count("the target cannot be reached"), round);
        let listener = TcpListener::bind(address).await.expect("binds");
        let _stream = connect(&peer, &tunnel, 80).await;
        accept_local(&listener).await;
        let _stream = connect(&peer, &tunnel, 80).await;
        accept_local(&listener).await;
        assert_eq!(log.count("the target can be reached again"), round);
    }
    assert_eq!(log.count(&address.to_string()), 0);
}

#[tokio::test(start_paused = true)]
async fn ports_of_the_destination_have_targets_of_their_own() {
    let lab = Lab::new();
    let (web, target) = backend().await;
    let (ssh, target_of_ssh) = backend().await;
    let config = config(target).target_for_port(22, target_of_ssh.clone());
    let tunnel = lab.start(config).await;
    let peer = lab.host("peer.i2p").await;
    let _one = connect(&peer, &tunnel, 80).await;
    accept_local(&web).await;
    let _two = connect(&peer, &tunnel, 22).await;
    accept_local(&ssh).await;
    // Without a default, other ports are reset.
    let only = ServerTunnelConfig::new()
        .target_for_port(22, target_of_ssh)
        .option("inbound.length", 1);
    let tunnel = lab.start(only).await;
    is_refused(&peer, &tunnel).await;
    let _three = connect(&peer, &tunnel, 22).await;
    accept_local(&ssh).await;
}

#[tokio::test(start_paused = true)]
async fn tunnels_with_one_key_file_share_a_destination_by_port() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = dir.path().join("server.dat");
    let lab = Lab::new();
    let (web, target) = backend().await;
    let (irc, target_of_irc) = backend().await;
    let one = lab.start(config(target).port(80).keys(&keys)).await;
    let two = config(target_of_irc).port(6667).keys(&keys);
    let two = lab.start(two).await;
    assert_eq!(one.destination(), two.destination());
    assert_eq!(one.address().port(), 80);
    let peer = lab.host("peer.i2p").await;
    let _stream = connect(&peer, &one, 80).await;
    accept_local(&web).await;
    let _stream = connect(&peer, &one, 6667).await;
    accept_local(&irc).await;
    // The same port twice is an error, and does not disturb the first tunnel.
    let (_other, target) = backend().await;
    let twice = config(target).port(80).keys(&keys);
    let error = twice.launch(&lab.context).await.expect_err("is in use");
    assert!(matches!(error, ServiceError::Session(_)), "{error}");
    one.stop().await;
    let _stream = connect(&peer, &two, 6667).await;
    accept_local(&irc).await;
    two.stop().await;
    assert_eq!(lab.online(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_tunnel_comes_back_with_the_destination_of_its_key_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = dir.path().join("server.dat");
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target.clone()).keys(&keys)).await;
    let destination = tunnel.destination();
    let peer = lab.host("peer.i2p").await;
    let mut stream = connect(&peer, &tunnel, 80).await;
    let mut socket = accept_local(&listener).await;
    tunnel.stop().await;
    is_reset(&mut stream).await;
    rest(&mut socket).await.expect_err("is reset");
    let tunnel = lab.start(config(target).keys(&keys)).await;
    assert_eq!(tunnel.destination(), destination);
    let _stream = connect(&peer, &tunnel, 80).await;
    accept_local(&listener).await;
}

#[tokio::test(start_paused = true)]
async fn only_allowed_peers_reach_the_target() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let friend = lab.host("friend.i2p").await;
    let named = lab.host("named.i2p").await;
    let stranger = lab.host("stranger.i2p").await;
    let allowed = [
        Address::new(friend.destination().hash()),
        "named.i2p".parse().expect("a name"),
        Address::new(stranger.destination()),
    ];
    let config = config(target)
        .allow(allowed)
        .deny(["stranger.i2p".parse().expect("a name")]);
    let tunnel = lab.start(config).await;
    // The names are looked up when the session is open.
    let _ = connect(&friend, &tunnel, 80).await;
    accept_local(&listener).await;
    sleep(Duration::from_secs(30)).await;
    for peer in [&friend, &named] {
        let _stream = connect(peer, &tunnel, 80).await;
        accept_local(&listener).await;
    }
    is_refused(&stranger, &tunnel).await;
    assert_eq!(value(&tunnel, "streams_denied_total"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_filter_file_decides_and_records_busy_peers() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("filter.txt");
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let (peer, friend) = (lab.host("peer.i2p").await, lab.host("friend.i2p").await);
    let rules = format!(
        "allow explicit {}\ndeny file busy.txt\n3/60 record busy.txt\n4/60 default\n",
        friend.destination().to_b32()
    );
    std::fs::write(&file, rules).expect("written");
    let tunnel = lab.start(config(target.clone()).filter(&file)).await;
    for _ in 0..3 {
        let _stream = connect(&peer, &tunnel, 80).await;
        accept_local(&listener).await;
    }
    is_refused(&peer, &tunnel).await;
    for _ in 0..6 {
        let _stream = connect(&friend, &tunnel, 80).await;
        accept_local(&listener).await;
    }
    sleep(Duration::from_secs(120)).await;
    is_refused(&peer, &tunnel).await;
    assert_eq!(value(&tunnel, "streams_denied_total"), 2);
    let busy = std::fs::read_to_string(dir.path().join("busy.txt")).expect("recorded");
    assert_eq!(busy.trim(), peer.destination().to_b32());
    // A wrong rule is an error at the start.
    std::fs::write(&file, "allow default\nsometimes default\n").expect("written");
    let wrong = config(target).filter(&file).launch(&lab.context).await;
    let error = wrong.expect_err("is refused").to_string();
    assert!(error.contains("filter.txt, line 2: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn peers_that_exceed_a_limit_are_refused_for_a_while() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let config = config(target).peer_per_minute(2, Some(Duration::from_secs(600)));
    let tunnel = lab.start(config).await;
    let (peer, other) = (lab.host("peer.i2p").await, lab.host("other.i2p").await);
    for _ in 0..2 {
        let _stream = connect(&peer, &tunnel, 80).await;
        accept_local(&listener).await;
    }
    is_refused(&peer, &tunnel).await;
    let _stream = connect(&other, &tunnel, 80).await;
    accept_local(&listener).await;
    sleep(Duration::from_secs(590)).await;
    is_refused(&peer, &tunnel).await;
    assert_eq!(value(&tunnel, "streams_limited_total"), 2);
    sleep(Duration::from_secs(15)).await;
    let _stream = connect(&peer, &tunnel, 80).await;
    accept_local(&listener).await;
}

#[tokio::test(start_paused = true)]
async fn open_streams_are_limited() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target).max_streams(2, 1)).await;
    let (peer, other) = (lab.host("peer.i2p").await, lab.host("other.i2p").await);
    let first = connect(&peer, &tunnel, 80).await;
    let socket = accept_local(&listener).await;
    is_refused(&peer, &tunnel).await;
    let _second = connect(&other, &tunnel, 80).await;
    let _kept = accept_local(&listener).await;
    drop((first, socket));
    sleep(Duration::from_secs(5)).await;
    let _third = connect(&peer, &tunnel, 80).await;
    accept_local(&listener).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn each_peer_has_a_local_address_of_its_own() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target).unique_local()).await;
    for name in ["one.i2p", "two.i2p"] {
        let peer = lab.host(name).await;
        let hash = peer.destination().hash();
        let [a, b, c, ..] = *hash.as_bytes();
        let _stream = connect(&peer, &tunnel, 80).await;
        let (_, from) = listener.accept().await.expect("accepts");
        assert_eq!(from.ip(), IpAddr::V4(Ipv4Addr::new(127, a, b, c)));
    }
}

#[tokio::test(start_paused = true)]
async fn targets_may_be_unix_sockets() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("server.sock");
    let listener = UnixListener::bind(&path).expect("binds");
    let lab = Lab::new();
    let tunnel = lab.start(config(Target::Unix(path))).await;
    let peer = lab.host("peer.i2p").await;
    let mut stream = connect(&peer, &tunnel, 80).await;
    stream.write_all(b"hello").await.expect("writes");
    let (mut socket, _) = listener.accept().await.expect("accepts");
    assert_eq!(exactly(&mut socket, 5).await, "hello");
}

/// A certificate and key for 127.0.0.1, in files.
pub(super) fn certificate(dir: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("made");
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    (cert, key)
}

#[tokio::test(start_paused = true)]
async fn targets_may_use_tls_whose_certificate_is_verified_where_it_is_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let (cert, key) = certificate(dir.path());
    let other = tempfile::tempdir().expect("a directory");
    let (other_cert, _) = certificate(other.path());
    let acceptor = TlsAcceptor::from(tls::server(&cert, &key).expect("they fit"));
    let lab = Lab::new();
    let peer = lab.host("peer.i2p").await;
    for (trust, is_accepted) in [
        (None, true),
        (Some(&cert), true),
        (Some(&other_cert), false),
    ] {
        let (listener, target) = backend().await;
        let Target::Tcp(address) = target else {
            panic!("{target}");
        };
        let mut config = config(Target::Tls(address));
        if let Some(file) = trust {
            config = config.trust(file);
        }
        let tunnel = lab.start(config).await;
        let mut stream = connect(&peer, &tunnel, 80).await;
        stream.write_all(b"hello").await.expect("writes");
        let accepted = acceptor.accept(accept_local(&listener).await).await;
        match is_accepted {
            true => {
                let mut socket = accepted.expect("a handshake");
                assert_eq!(exactly(&mut socket, 5).await, "hello");
            }
            false => is_reset(&mut stream).await,
        }
        tunnel.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_keeps_fewer_tunnels_and_still_accepts() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let config = config(target).reduce_idle(Duration::from_secs(600), 1);
    let tunnel = lab.start(config).await;
    let peer = lab.host("peer.i2p").await;
    let reduced = || {
        let status = lab.context.router.sessions()[0].watch.current();
        status.activity().tunnels_reduced
    };
    sleep(Duration::from_secs(1500)).await;
    assert!(reduced());
    let _stream = connect(&peer, &tunnel, 80).await;
    accept_local(&listener).await;
    sleep(Duration::from_secs(5)).await;
    assert!(!reduced());
}

#[tokio::test(start_paused = true)]
async fn a_client_tunnel_and_a_server_tunnel_carry_a_megabyte_each_way() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let server = lab.start(config(target)).await;
    let client = ClientTunnelConfig::new()
        .listen(loopback())
        .destination(Address::new(server.destination()));
    let client = lab.start(client).await;
    let bytes = crate::lab::pattern(1 << 20);
    let mut local = dial(client.tcp_addrs()[0]).await;
    let mut socket = accept_local(&listener).await;
    for (from, to) in [(&mut local, &mut socket)] {
        let (mut from_reader, mut from_writer) = from.split();
        let (mut to_reader, mut to_writer) = to.split();
        let sending = async {
            from_writer.write_all(&bytes).await.expect("writes");
            from_writer.shutdown().await.expect("shuts down");
        };
        let answering = async {
            to_writer.write_all(&bytes).await.expect("writes");
            to_writer.shutdown().await.expect("shuts down");
        };
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let reading = async { to_reader.read_to_end(&mut there).await.expect("reads") };
        let reading_back = async { from_reader.read_to_end(&mut back).await.expect("reads") };
        tokio::join!(sending, answering, reading, reading_back);
        assert!(there == bytes && back == bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn options_that_do_not_fit_together_are_errors_at_the_start() {
    let lab = Lab::new();
    let remote = SocketAddr::from(([192, 0, 2, 1], 443));
    for (config, word) in [
        (ServerTunnelConfig::new(), "target"),
        (config(Target::Tls(remote)), "trust"),
        (config(Target::Tcp(remote)).unique_local(), "unique_local"),
    ] {
        let error = config.launch(&lab.context).await.expect_err("is refused");
        assert!(error.to_string().contains(word), "{error}");
    }
}
