//! Tunnels from local ports to destinations.

use eepkit::Destination;
use eepkit_services::{options::File, service::ServiceError, tls, tunnel::ClientTunnelConfig};
use tokio::time::{Instant, sleep};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{server::certificate, *};

fn config(destination: &str) -> ClientTunnelConfig {
    ClientTunnelConfig::new()
        .name("test")
        .listen(loopback())
        .destination(destination.parse().expect("an address"))
        .option("inbound.length", 1)
        .option("outbound.length", 1)
}

/// Sends `hello` through a tunnel and returns the peer that a host sees.
async fn peer_of(address: SocketAddr, host: &Listener) -> Destination {
    let mut socket = dial(address).await;
    socket.write_all(b"hello").await.expect("writes");
    let stream = accept(host).await;
    stream.peer().clone()
}

#[tokio::test(start_paused = true)]
async fn programs_reach_the_destination_and_both_directions_end_on_their_own() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(7).expect("free");
    let tunnel = lab.start(config("host.i2p:7")).await;
    let mut socket = dial(tunnel.tcp_addrs()[0]).await;
    socket.write_all(b"question").await.expect("writes");
    socket.shutdown().await.expect("shuts down");
    let mut stream = accept(&listener).await;
    assert_eq!(stream.peer(), &tunnel.destination());
    // The program has ended its direction; the answer still arrives.
    assert_eq!(rest(&mut stream).await.expect("ends"), "question");
    sleep(Duration::from_secs(100)).await;
    stream.write_all(b"answer").await.expect("writes");
    stream.shutdown().await.expect("shuts down");
    assert_eq!(rest(&mut socket).await.expect("ends"), "answer");
    sleep(Duration::from_secs(1)).await;
    let value = |name: &str| {
        let statistics = tunnel.statistics();
        let found = statistics.iter().find(|one| one.name == name);
        found.expect(name).value
    };
    assert_eq!(
        (value("bytes_sent_total"), value("bytes_received_total")),
        (8, 6)
    );
    assert_eq!((value("streams"), value("connections")), (0, 0));
    tunnel.stop().await;
}

/// The configuration of a section of the file.
fn section(text: &str) -> ClientTunnelConfig {
    let text = format!("[client-tunnel]\n{text}");
    let file = File::parse(&text, "/").expect("valid");
    let sections = file.sections("client-tunnel").expect("valid");
    ClientTunnelConfig::table()
        .read(&sections[0])
        .expect("valid")
}

#[tokio::test(start_paused = true)]
async fn programs_use_tls_where_there_is_a_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    let (cert, key) = certificate(dir.path());
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(7).expect("free");
    let config = section(&format!(
        "listen = \"127.0.0.1:0\"\ndestination = \"host.i2p:7\"\n\
         tls_certificate = {cert:?}\ntls_key = {key:?}\n\
         options = {{ \"inbound.length\" = 1, \"outbound.length\" = 1 }}\n"
    ));
    let tunnel = lab.start(config).await;
    let address = tunnel.tcp_addrs()[0];

    let connector = TlsConnector::from(tls::client(&cert).expect("a certificate"));
    let name = ServerName::try_from("localhost").expect("a name");
    let connecting = connector.connect(name.clone(), dial(address).await);
    let mut program = connecting.await.expect("a handshake");
    program.write_all(b"question").await.expect("writes");
    program.flush().await.expect("flushes");
    let mut stream = accept(&listener).await;
    assert_eq!(exactly(&mut stream, 8).await, "question");
    stream.write_all(b"answer").await.expect("writes");
    stream.shutdown().await.expect("shuts down");
    assert_eq!(rest(&mut program).await.expect("ends"), "answer");

    // A program without TLS does not reach the destination.
    let mut plain = dial(address).await;
    plain.write_all(b"question question").await.expect("writes");
    // An alert of TLS, and the end.
    let answer = rest(&mut plain).await;
    assert!(answer.is_ok_and(|answer| !answer.contains("answer")));
    let accepted = timeout(Duration::from_secs(60), listener.accept()).await;
    assert!(accepted.is_err(), "no stream is opened");

    // A program that trusts another certificate does not use the tunnel.
    let other = tempfile::tempdir().expect("a directory");
    let (other, _) = certificate(other.path());
    let connector = TlsConnector::from(tls::client(&other).expect("a certificate"));
    assert!(connector.connect(name, dial(address).await).await.is_err());
    tunnel.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_of_the_stream_is_a_reset_for_the_program_and_the_reverse() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(7).expect("free");
    let tunnel = lab.start(config("host.i2p:7")).await;
    let mut socket = dial(tunnel.tcp_addrs()[0]).await;
    let stream = accept(&listener).await;
    stream.reset();
    let error = rest(&mut socket).await.expect_err("is reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let socket = dial(tunnel.tcp_addrs()[0]).await;
    let mut stream = accept(&listener).await;
    socket2::SockRef::from(&socket)
        .set_linger(Some(Duration::ZERO))
        .expect("can be set");
    drop(socket);
    rest(&mut stream).await.expect_err("is reset");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_destination_is_a_reset_for_the_program() {
    let lab = Lab::new();
    let _host = lab.host("host.i2p").await;
    let tunnel = lab.start(config("host.i2p:7")).await;
    let mut socket = dial(tunnel.tcp_addrs()[0]).await;
    rest(&mut socket).await.expect_err("is refused");
    let tunnel = lab.start(config("nobody.i2p")).await;
    let mut socket = dial(tunnel.tcp_addrs()[0]).await;
    rest(&mut socket).await.expect_err("is unknown");
}

#[tokio::test(start_paused = true)]
async fn of_several_destinations_one_is_used_that_can_be_reached() {
    let lab = Lab::new();
    let (one, two) = (lab.host("one.i2p").await, lab.host("two.i2p").await);
    let listeners = [one.listen(7).expect("free"), two.listen(7).expect("free")];
    let config = config("one.i2p:7").destination("two.i2p:7".parse().expect("an address"));
    let tunnel = lab.start(config).await;
    let [first, second] = listeners;
    let mut counts = [0, 0];
    for _ in 0..30 {
        let mut socket = dial(tunnel.tcp_addrs()[0]).await;
        socket.write_all(b"x").await.expect("writes");
        tokio::select! {
            _ = first.accept() => counts[0] += 1,
            _ = second.accept() => counts[1] += 1,
        }
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // One of them refuses.
    drop(second);
    echo(first);
    for _ in 0..10 {
        let mut socket = dial(tunnel.tcp_addrs()[0]).await;
        socket.write_all(b"hello").await.expect("writes");
        assert_eq!(exactly(&mut socket, 5).await, "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_session_is_opened_by_the_first_connection() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    echo(host.listen(7).expect("free"));
    let tunnel = lab.start(config("host.i2p:7").delay_open()).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(lab.online(), 0);
    let mut socket = dial(tunnel.tcp_addrs()[0]).await;
    socket.write_all(b"hello").await.expect("writes");
    assert_eq!(exactly(&mut socket, 5).await, "hello");
    assert_eq!(lab.online(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_closed_and_comes_back_with_the_same_or_with_new_keys() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(7).expect("free");
    let idle = Duration::from_secs(600);
    for new_keys in [false, true] {
        let tunnel = lab
            .start(config("host.i2p:7").close_idle(idle, new_keys))
            .await;
        let address = tunnel.tcp_addrs()[0];
        let first = peer_of(address, &listener).await;
        assert_eq!(peer_of(address, &listener).await, first);
        sleep(idle * 3).await;
        assert_eq!(lab.online(), 0);
        let second = peer_of(address, &listener).await;
        assert_eq!(second == first, !new_keys, "new keys: {new_keys}");
        assert_eq!(tunnel.destination(), second);
        assert_eq!(lab.online(), 1);
        tunnel.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_keeps_fewer_tunnels() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(7).expect("free");
    let config = config("host.i2p:7").reduce_idle(Duration::from_secs(600), 1);
    let tunnel = lab.start(config).await;
    let router = &lab.context.router;
    let reduced = || {
        let status = router.sessions()[0].watch.current();
        status.activity().tunnels_reduced
    };
    peer_of(tunnel.tcp_addrs()[0], &listener).await;
    assert!(!reduced());
    sleep(Duration::from_secs(1500)).await;
    assert!(reduced());
    peer_of(tunnel.tcp_addrs()[0], &listener).await;
    assert!(!reduced());
}

#[tokio::test(start_paused = true)]
async fn tunnels_of_a_group_share_a_session_until_the_last_one_stops() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(7).expect("free");
    let one = lab.start(config("host.i2p:7").shared("clients")).await;
    let two = lab.start(config("host.i2p:7").shared("clients")).await;
    let other = lab.start(config("host.i2p:7").shared("others")).await;
    let alone = lab.start(config("host.i2p:7")).await;
    let mut peers = Vec::new();
    for tunnel in [&one, &two, &other, &alone] {
        peers.push(peer_of(tunnel.tcp_addrs()[0], &listener).await);
    }
    assert_eq!(peers[0], peers[1]);
    assert!(peers[0] != peers[2] && peers[0] != peers[3] && peers[2] != peers[3]);
    one.stop().await;
    assert_eq!(peer_of(two.tcp_addrs()[0], &listener).await, peers[0]);
    two.stop().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.online(), 2);
    // The group is opened again, with another destination.
    let again = lab.start(config("host.i2p:7").shared("clients")).await;
    assert_ne!(peer_of(again.tcp_addrs()[0], &listener).await, peers[0]);
}

#[tokio::test(start_paused = true)]
async fn a_key_file_keeps_the_destination_and_is_never_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("client.dat");
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(7).expect("free");
    let tunnel = lab.start(config("host.i2p:7").keys(&file)).await;
    let first = peer_of(tunnel.tcp_addrs()[0], &listener).await;
    tunnel.stop().await;
    let tunnel = lab.start(config("host.i2p:7").keys(&file)).await;
    assert_eq!(peer_of(tunnel.tcp_addrs()[0], &listener).await, first);
    tunnel.stop().await;
    std::fs::write(&file, "not keys").expect("written");
    let error = config("host.i2p:7").keys(&file).launch(&lab.context).await;
    let error = error.expect_err("is refused").in_full();
    assert!(error.contains("client.dat"), "{error}");
    let kept = std::fs::read_to_string(&file).expect("it is there");
    assert_eq!(kept, "not keys");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_connections_with_a_reset_and_frees_the_port() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(7).expect("free");
    let tunnel = lab.start(config("host.i2p:7")).await;
    let address = tunnel.tcp_addrs()[0];
    let mut socket = dial(address).await;
    let mut stream = accept(&listener).await;
    let began = Instant::now();
    tunnel.stop().await;
    assert!(began.elapsed() < Duration::from_secs(11));
    rest(&mut socket).await.expect_err("is reset");
    rest(&mut stream).await.expect_err("is reset");
    assert!(TcpStream::connect(address).await.is_err());
    let tunnel = lab.start(config("host.i2p:7").listen([address])).await;
    peer_of(tunnel.tcp_addrs()[0], &listener).await;
}

#[tokio::test(start_paused = true)]
async fn silent_connections_end_where_a_limit_is_set() {
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    let listener = host.listen(7).expect("free");
    let config = config("host.i2p:7").idle_timeout(Duration::from_secs(30));
    let tunnel = lab.start(config).await;
    let mut socket = dial(tunnel.tcp_addrs()[0]).await;
    let _stream = accept(&listener).await;
    let began = Instant::now();
    rest(&mut socket).await.expect_err("is reset");
    assert!((30..40).contains(&began.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_port_in_use_and_a_wrong_option_are_errors_at_the_start() {
    let lab = Lab::new();
    let tunnel = lab.start(config("host.i2p:7")).await;
    let taken = config("host.i2p:7").listen([tunnel.tcp_addrs()[0]]);
    let error = taken.launch(&lab.context).await.expect_err("is in use");
    assert!(matches!(error, ServiceError::Bind(_)), "{error}");
    let wrong = config("host.i2p:7").option("inbound.length", 99);
    let error = wrong.launch(&lab.context).await.expect_err("is wrong");
    assert!(error.to_string().contains("inbound.length"), "{error}");
    let empty = ClientTunnelConfig::new().listen(loopback());
    let error = empty.launch(&lab.context).await.expect_err("is incomplete");
    assert!(matches!(error, ServiceError::Invalid(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_unix_socket_reaches_the_destination() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("tunnel.sock");
    let lab = Lab::new();
    let host = lab.host("host.i2p").await;
    echo(host.listen(7).expect("free"));
    let config = config("host.i2p:7").listen([]).listen_unix(&path);
    let tunnel = lab.start(config).await;
    assert_eq!(tunnel.unix_paths(), std::slice::from_ref(&path));
    let mut socket = tokio::net::UnixStream::connect(&path)
        .await
        .expect("it listens");
    socket.write_all(b"hello").await.expect("writes");
    assert_eq!(exactly(&mut socket, 5).await, "hello");
}

#[tokio::test(start_paused = true)]
async fn pings_keep_a_destination_in_use() {
    let lab = Lab::new();
    let _host = lab.host("host.i2p").await;
    let config = config("host.i2p").keep_alive(Duration::from_secs(60));
    let _tunnel = lab.start(config).await;
    sleep(Duration::from_secs(30)).await;
    let before = lab.net.stats().delivered;
    sleep(Duration::from_secs(300)).await;
    let delivered = lab.net.stats().delivered - before;
    // Five pings and their answers, and little else.
    assert!((10..30).contains(&delivered), "{delivered}");
}
