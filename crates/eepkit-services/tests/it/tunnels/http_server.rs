//! Tunnels from destinations to local web servers. Requests and responses are compared byte by byte.

use eepkit_services::{http_proxy::HttpProxyConfig, tunnel::HttpServerTunnelConfig};
use tokio::time::{Instant, sleep};

use super::*;

fn config(target: Target) -> HttpServerTunnelConfig {
    HttpServerTunnelConfig::new()
        .name("web")
        .target(target)
        .option("inbound.length", 1)
        .option("outbound.length", 1)
}

/// Reads until `end` is at the end of what was read.
async fn until(socket: &mut (impl tokio::io::AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.ends_with(end) {
            let byte = socket.read_u8().await;
            text.push(char::from(
                byte.unwrap_or_else(|error| panic!("{error} after {text}")),
            ));
        }
    };
    timeout(Duration::from_secs(900), reading)
        .await
        .expect("arrives");
    text
}

async fn head(socket: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    until(socket, "\r\n\r\n").await
}

/// Sends a request over a new stream, answers it at the server, and returns what both have received.
async fn exchange(
    peer: &Session,
    tunnel: &ServerTunnel,
    listener: &TcpListener,
    request: &str,
    response: &str,
) -> (String, String) {
    let mut stream = connect(peer, tunnel, 80).await;
    stream.write_all(request.as_bytes()).await.expect("writes");
    stream.shutdown().await.expect("shuts down");
    let serving = async {
        let mut socket = accept_local(listener).await;
        let head = head(&mut socket).await;
        socket.write_all(response.as_bytes()).await.expect("writes");
        socket.shutdown().await.expect("shuts down");
        head
    };
    let (received, answer) = tokio::join!(serving, rest(&mut stream));
    (received, answer.expect("ends"))
}

/// Sends a request that the tunnel answers itself.
async fn refused(peer: &Session, tunnel: &ServerTunnel, request: &str) -> String {
    let mut stream = connect(peer, tunnel, 80).await;
    stream.write_all(request.as_bytes()).await.expect("writes");
    stream.shutdown().await.expect("shuts down");
    let answer = rest(&mut stream).await.expect("ends");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(
        !answer.contains("Date") && !answer.contains("Server"),
        "{answer}"
    );
    answer
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test(start_paused = true)]
async fn the_server_receives_who_asks_and_nothing_that_a_peer_can_forge() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    let request = "GET /a?b HTTP/1.1\r\nHost: site.i2p\r\nUser-Agent: MYOB/6.66 (AN/ON)\r\n\
        Accept-Encoding: gzip\r\nx-i2p-desthash: forged\r\nX-I2P-DESTB64: forged\r\n\
        X-I2P-DestB32: forged.b32.i2p\r\nX-I2P-Other: forged\r\nX-Forwarded-For: 127.0.0.1\r\n\
        X-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nProxy-Connection: keep-alive\r\n\
        Proxy-Authorization: Basic eDp5\r\nKeep-Alive: 300\r\nTE: trailers\r\n\
        Connection: keep-alive, X-Nominated, Host\r\nX-Nominated: 1\r\n\
        X-Accept-Encoding: x-i2p-gzip\r\nCookie: a=b\r\n\r\n";
    let (received, _) = exchange(&peer, &tunnel, &listener, request, OK).await;
    let destination = peer.destination();
    let hash = destination.hash();
    let expected = format!(
        "GET /a?b HTTP/1.1\r\nHost: site.i2p\r\nUser-Agent: MYOB/6.66 (AN/ON)\r\n\
         Accept-Encoding: gzip\r\nCookie: a=b\r\nX-I2p-Desthash: {}\r\nX-I2p-Destb64: {}\r\n\
         X-I2p-Destb32: {}\r\n\r\n",
        hash.to_base64(),
        destination.to_base64(),
        hash.to_b32()
    );
    assert_eq!(received, expected);
}

#[tokio::test(start_paused = true)]
async fn the_peer_receives_neither_the_clock_nor_the_software_of_the_server() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    let response = "HTTP/1.1 201 Made\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: x/1\r\n\
        X-Powered-By: y\r\nX-Runtime: 1\r\nProxy-Authenticate: Basic\r\nAlt-Svc: h3\r\n\
        Via: 1.1 z\r\nX-AspNet-Version: 4\r\nKeep-Alive: timeout=5\r\n\
        Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\
        Content-Length: 5\r\n\r\nhello";
    let request = "GET / HTTP/1.1\r\nHost: a.i2p\r\nConnection: close\r\n\r\n";
    let (_, answer) = exchange(&peer, &tunnel, &listener, request, response).await;
    assert_eq!(
        answer,
        "HTTP/1.1 201 Made\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 5\r\n\
         Connection: close\r\n\r\nhello"
    );
}

#[tokio::test(start_paused = true)]
async fn the_host_is_replaced_where_one_is_set() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target).host("inside.example")).await;
    let peer = lab.host("peer.i2p").await;
    for host in ["127.0.0.1", "admin.internal", "inside.example"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (received, _) = exchange(&peer, &tunnel, &listener, &request, OK).await;
        assert!(
            received.contains("\r\nHost: inside.example\r\n"),
            "{received}"
        );
        assert_eq!(received.matches("Host:").count(), 1, "{received}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_the_server_could_understand_in_another_way_are_refused() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    for request in [
        "POST / HTTP/1.1\r\nHost: a.i2p\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.i2p\r\nHost: b.i2p\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a.i2p\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.i2p/b\r\n\r\n",
        "GET http://b.i2p/ HTTP/1.1\r\nHost: a.i2p\r\n\r\n",
    ] {
        let answer = refused(&peer, &tunnel, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
    }
    // Of two lengths the server receives one, with which the body is framed anew.
    let both = "POST / HTTP/1.1\r\nHost: a.i2p\r\nContent-Length: 3\r\n\
        Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let (received, _) = exchange(&peer, &tunnel, &listener, both, OK).await;
    assert!(
        received.contains("Transfer-Encoding: chunked\r\n"),
        "{received}"
    );
    assert!(!received.contains("Content-Length"), "{received}");
    let connect = "CONNECT a.i2p:80 HTTP/1.1\r\nHost: a.i2p:80\r\n\r\n";
    let answer = refused(&peer, &tunnel, connect).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    // Malformed requests are refused by the parser.
    for request in [
        "GET / HTTP/1.1\r\nHost: a.i2p\r\nA: b\r\n c\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.i2p\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a.i2p\r\nContent-Length: +3\r\n\r\nabc",
        "SSH-2.0-x\r\n\r\n",
    ] {
        let mut stream = connect_and_send(&peer, &tunnel, request).await;
        let answer = rest(&mut stream).await.unwrap_or_default();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{request}: {answer}"
        );
    }
    let nothing = timeout(Duration::from_secs(1), listener.accept()).await;
    assert!(nothing.is_err(), "the server received none of them");
}

async fn connect_and_send(peer: &Session, tunnel: &ServerTunnel, request: &str) -> Stream {
    let mut stream = connect(peer, tunnel, 80).await;
    stream.write_all(request.as_bytes()).await.expect("writes");
    stream
}

#[tokio::test(start_paused = true)]
async fn programs_and_proxies_that_are_not_welcome_are_refused() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let config = config(target)
        .reject_inproxy()
        .reject_referer()
        .reject_user_agent("Bot")
        .reject_user_agent("none");
    let tunnel = lab.start(config).await;
    let peer = lab.host("peer.i2p").await;
    for header in [
        "User-Agent: x\r\nX-Forwarded-For: 192.0.2.1",
        "User-Agent: x\r\nForwarded: for=192.0.2.1",
        "User-Agent: x\r\nReferer: https://example.com/",
        "User-Agent: A Bot",
        "Accept: */*",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.i2p\r\n{header}\r\n\r\n");
        let answer = refused(&peer, &tunnel, &request).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{header}: {answer}");
    }
    for header in [
        "User-Agent: MYOB/6.66 (AN/ON)\r\nReferer: /page",
        "User-Agent: robot",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.i2p\r\n{header}\r\n\r\n");
        let (_, answer) = exchange(&peer, &tunnel, &listener, &request, OK).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{header}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_are_passed_on_and_limited() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target).max_posts(2, 10)).await;
    let peer = lab.host("peer.i2p").await;
    for (request, body, length) in [
        (
            "Content-Length: 4\r\n\r\nbody",
            "body",
            "Content-Length: 4\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n\r\n",
            "4\r\nbody\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n",
        ),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a.i2p\r\n{request}");
        let mut stream = connect_and_send(&peer, &tunnel, &request).await;
        let mut socket = accept_local(&listener).await;
        let head = head(&mut socket).await;
        assert!(head.contains(length), "{head}");
        let mut received = String::new();
        while received.replace("2\r\nbo\r\n2\r\ndy", "4\r\nbody").len() < body.len() {
            received += &exactly(&mut socket, 1).await;
        }
        assert!(received.contains("bo"), "{received}");
        socket.write_all(OK.as_bytes()).await.expect("writes");
        until(&mut stream, "hello").await;
    }
    let request = "PUT / HTTP/1.1\r\nHost: a.i2p\r\nContent-Length: 0\r\n\r\n";
    let answer = refused(&peer, &tunnel, request).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("\r\nRetry-After: 1800\r\n"), "{answer}");
    // Others, and requests of other kinds, are not affected.
    let other = lab.host("other.i2p").await;
    exchange(&other, &tunnel, &listener, request, OK).await;
    let get = "GET / HTTP/1.1\r\nHost: a.i2p\r\n\r\n";
    exchange(&peer, &tunnel, &listener, get, OK).await;
}

#[tokio::test(start_paused = true)]
async fn several_requests_use_one_stream_and_one_connection_with_the_server() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    let mut stream = connect(&peer, &tunnel, 80).await;
    let request = "GET / HTTP/1.1\r\nHost: a.i2p\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut socket = accept_local(&listener).await;
    for _ in 0..3 {
        head(&mut socket).await;
        socket.write_all(OK.as_bytes()).await.expect("writes");
        until(&mut stream, "hello").await;
        stream.write_all(request.as_bytes()).await.expect("writes");
    }
    // The server closes the connection. The next request uses another one.
    head(&mut socket).await;
    socket.write_all(OK.as_bytes()).await.expect("writes");
    drop(socket);
    until(&mut stream, "hello").await;
    sleep(Duration::from_secs(5)).await;
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut socket = accept_local(&listener).await;
    head(&mut socket).await;
    socket.write_all(OK.as_bytes()).await.expect("writes");
    until(&mut stream, "hello").await;
}

#[tokio::test(start_paused = true)]
async fn the_protocol_can_change_to_web_socket() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    let request = "GET /ws HTTP/1.1\r\nHost: a.i2p\r\nConnection: keep-alive, Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nearly";
    let mut stream = connect_and_send(&peer, &tunnel, request).await;
    let mut socket = accept_local(&listener).await;
    let head = head(&mut socket).await;
    assert!(head.contains("\r\nConnection: upgrade\r\n"), "{head}");
    assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
    assert!(head.contains("\r\nSec-Websocket-Key: x\r\n"), "{head}");
    let response = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nServer: x\r\n\r\nwelcome";
    socket.write_all(response.as_bytes()).await.expect("writes");
    let answer = until(&mut stream, "welcome").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("Upgrade: websocket\r\n"), "{answer}");
    assert!(!answer.contains("Server"), "{answer}");
    assert_eq!(exactly(&mut socket, 5).await, "early");
    stream.write_all(b"ping").await.expect("writes");
    assert_eq!(exactly(&mut socket, 4).await, "ping");
    socket.write_all(b"pong").await.expect("writes");
    assert_eq!(exactly(&mut stream, 4).await, "pong");
    socket.shutdown().await.expect("shuts down");
    assert_eq!(rest(&mut stream).await.expect("ends"), "");
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_server_have_their_statuses() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let address = listener.local_addr().expect("it has one");
    let config = config(target).response_timeout(Duration::from_secs(20));
    let tunnel = lab.start(config).await;
    let peer = lab.host("peer.i2p").await;
    let request = "GET / HTTP/1.1\r\nHost: a.i2p\r\n\r\n";
    // It sends no HTTP.
    let (_, answer) = exchange(&peer, &tunnel, &listener, request, "220 mail\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    // It does not answer.
    let mut stream = connect_and_send(&peer, &tunnel, request).await;
    let began = Instant::now();
    let _socket = accept_local(&listener).await;
    let answer = until(&mut stream, "time.\n").await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!((20..30).contains(&began.elapsed().as_secs()));
    // It is down.
    drop(listener);
    let answer = refused(&peer, &tunnel, request).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let answer = refused(&peer, &tunnel, "HEAD / HTTP/1.1\r\nHost: a.i2p\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let listener = TcpListener::bind(address).await.expect("binds");
    let (_, answer) = exchange(&peer, &tunnel, &listener, request, OK).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_early_is_a_reset() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target)).await;
    let peer = lab.host("peer.i2p").await;
    let mut stream = connect_and_send(&peer, &tunnel, "GET / HTTP/1.0\r\n\r\n").await;
    let mut socket = accept_local(&listener).await;
    head(&mut socket).await;
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello";
    socket.write_all(part.as_bytes()).await.expect("writes");
    until(&mut stream, "hello").await;
    drop(socket);
    is_reset(&mut stream).await;
    // So is one that the stop of the tunnel cuts off.
    let mut stream = connect_and_send(&peer, &tunnel, "GET / HTTP/1.0\r\n\r\n").await;
    let mut socket = accept_local(&listener).await;
    head(&mut socket).await;
    socket.write_all(part.as_bytes()).await.expect("writes");
    until(&mut stream, "hello").await;
    tunnel.stop().await;
    is_reset(&mut stream).await;
}

#[tokio::test(start_paused = true)]
async fn streams_to_port_443_reach_only_a_target_of_their_own_unchanged() {
    let lab = Lab::new();
    let (_web, target) = backend().await;
    let (tls, target_of_tls) = backend().await;
    let without = lab.start(config(target.clone())).await;
    let with = config(target).target_for_port(443, target_of_tls);
    let with = lab.start(with).await;
    let peer = lab.host("peer.i2p").await;
    let connecting = peer.connect((without.destination(), 443)).await;
    if let Ok(mut stream) = connecting {
        is_reset(&mut stream).await;
    }
    let mut stream = connect(&peer, &with, 443).await;
    stream.write_all(b"\x16\x03\x01").await.expect("writes");
    assert_eq!(
        exactly(&mut accept_local(&tls).await, 3).await,
        "\x16\x03\x01"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_one_too_many_is_told_so() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target).max_streams(1, 1)).await;
    let peer = lab.host("peer.i2p").await;
    let request = "GET / HTTP/1.1\r\nHost: a.i2p\r\n\r\n";
    let _stream = connect_and_send(&peer, &tunnel, request).await;
    let _socket = accept_local(&listener).await;
    let answer = refused(&peer, &tunnel, request).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("\r\nRetry-After: 60\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_does_not_keep_its_place() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target).max_streams(1, 1)).await;
    let peer = lab.host("peer.i2p").await;
    let request = "GET / HTTP/1.1\r\nHost: a.i2p\r\n\r\n";
    let mut silent = connect_and_send(&peer, &tunnel, request).await;
    let mut socket = accept_local(&listener).await;
    head(&mut socket).await;
    let began = Instant::now();
    // More than all buffers in between take.
    let serving = tokio::spawn(async move {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 99000000\r\n\r\n";
        socket.write_all(head.as_bytes()).await?;
        loop {
            socket.write_all(&[b'x'; 65_536]).await?;
        }
        #[expect(unreachable_code, reason = "the type of the result")]
        std::io::Result::Ok(())
    });
    let ended = serving.await.expect("no panic");
    assert!(ended.is_err(), "the tunnel closes the connection");
    let taken = began.elapsed().as_secs();
    // Four minutes without progress. The peer may take a last part before.
    assert!((200..600).contains(&taken), "{taken}");
    is_reset(&mut silent).await;
    exchange(&peer, &tunnel, &listener, request, OK).await;
}

#[tokio::test(start_paused = true)]
async fn the_host_can_depend_on_the_port() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let config = config(target)
        .host("www.a.i2p")
        .host_for_port(81, "forum.a.i2p");
    let tunnel = lab.start(config).await;
    let peer = lab.host("peer.i2p").await;
    for (port, host) in [(80, "www.a.i2p"), (81, "forum.a.i2p"), (82, "www.a.i2p")] {
        let mut stream = connect(&peer, &tunnel, port).await;
        let request = b"GET / HTTP/1.1\r\nHost: other.i2p\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("writes");
        let mut socket = accept_local(&listener).await;
        let head = head(&mut socket).await;
        assert!(head.contains(&format!("\r\nHost: {host}\r\n")), "{head}");
        socket.write_all(OK.as_bytes()).await.expect("writes");
        let answer = rest(&mut stream).await.expect("ends");
        assert!(answer.ends_with("hello"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn further_destinations_lead_to_the_same_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let (first, second) = (dir.path().join("first.dat"), dir.path().join("second.dat"));
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let config = config(target).keys(&first).alternative_keys(&second);
    let tunnel = lab.start(config).await;
    let addresses = tunnel.addresses().i2p;
    assert_eq!(addresses[0], tunnel.destination().to_b32());
    let keys = eepkit::PrivateKeys::load(&second).expect("created");
    assert_eq!(addresses[1], keys.destination().to_b32());
    let peer = lab.host("peer.i2p").await;
    let request = "GET / HTTP/1.1\r\nHost: a.i2p\r\nConnection: close\r\n\r\n";
    for destination in [tunnel.destination(), keys.destination().clone()] {
        let mut stream = peer.connect((destination, 80)).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut socket = accept_local(&listener).await;
        head(&mut socket).await;
        socket.write_all(OK.as_bytes()).await.expect("writes");
        let answer = rest(&mut stream).await.expect("ends");
        assert!(answer.ends_with("hello"), "{answer}");
    }
    assert_eq!(lab.online(), 2);
    tunnel.stop().await;
    assert_eq!(lab.online(), 0);
}

/// A response of this type, with a body of this length.
fn response(headers: &str, length: usize) -> String {
    let body = "compressible ".repeat(length.div_ceil(13));
    format!(
        "HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n{}",
        &body[..length]
    )
}

#[tokio::test(start_paused = true)]
async fn texts_are_compressed_for_proxies_that_accept_it() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target.clone())).await;
    let peer = lab.host("site.i2p").await;
    let text = "Content-Type: text/html; charset=utf-8\r\n";
    let wanted = "X-Accept-Encoding: x-i2p-gzip;q=1.0, identity;q=0.5, *;q=0\r\n";
    let coding = "Content-Encoding: x-i2p-gzip\r\n";
    let compressed = async |wanted: &str, headers: &str, length: usize| {
        let request = format!("GET / HTTP/1.1\r\nHost: a.i2p\r\n{wanted}Connection: close\r\n\r\n");
        let response = response(headers, length);
        let (seen, answer) = exchange(&peer, &tunnel, &listener, &request, &response).await;
        assert!(!seen.to_lowercase().contains("x-accept-encoding"), "{seen}");
        let is_compressed = answer.contains(coding);
        assert!(
            is_compressed || answer.contains("compressible compressible"),
            "{answer}"
        );
        assert!(!is_compressed || answer.len() < 3000, "{}", answer.len());
        is_compressed
    };
    assert!(compressed(wanted, text, 100_000).await);
    assert!(compressed(wanted, "Content-Type: image/svg+xml\r\n", 5000).await);
    for (wanted, headers, length) in [
        ("", text, 5000),
        ("Accept-Encoding: gzip\r\n", text, 5000),
        ("X-Accept-Encoding: x-i2p-gzip;q=0\r\n", text, 5000),
        (wanted, text, 1299),
        (wanted, "Content-Type: image/png\r\n", 5000),
        (wanted, "", 5000),
        (
            wanted,
            "Content-Type: text/html\r\nContent-Encoding: br\r\n",
            5000,
        ),
        (
            wanted,
            "Content-Type: text/html\r\nContent-Range: bytes 0-1/2\r\n",
            5000,
        ),
        (
            wanted,
            "Content-Type: text/html\r\nCache-Control: no-transform\r\n",
            5000,
        ),
    ] {
        assert!(
            !compressed(wanted, headers, length).await,
            "{wanted} {headers} {length}"
        );
    }

    let off = lab.start(config(target).compress(false)).await;
    let request = format!("GET / HTTP/1.1\r\nHost: a.i2p\r\n{wanted}Connection: close\r\n\r\n");
    let plain = response(text, 5000);
    let (_, answer) = exchange(&peer, &off, &listener, &request, &plain).await;
    assert!(!answer.contains(coding), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_compressed_text_arrive_while_the_rest_is_missing() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let tunnel = lab.start(config(target)).await;
    let proxy = HttpProxyConfig::new()
        .listen(loopback())
        .option("inbound.length", 1);
    let proxy = lab.start(proxy).await;
    let b32 = tunnel.destination().to_b32();
    let mut socket = dial(proxy.tcp_addrs()[0]).await;
    let request = format!("GET http://{b32}/ HTTP/1.1\r\nHost: {b32}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("writes");
    let mut server = accept_local(&listener).await;
    head(&mut server).await;
    let start = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nfirst event\n";
    server.write_all(start.as_bytes()).await.expect("writes");
    let arrived = until(&mut socket, "first event\n").await;
    assert!(!arrived.contains("Content-Encoding"), "{arrived}");
    server.write_all(b"second event\n").await.expect("writes");
    until(&mut socket, "second event\n").await;
    // Half of an answer must not look like all of it.
    server.set_zero_linger().expect("can be set");
    drop(server);
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_secs(900), socket.read_to_end(&mut rest)).await;
    assert!(ended.expect("ends in time").is_err(), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_and_a_proxy_with_one_key_file_have_one_destination() {
    let dir = tempfile::tempdir().expect("a directory");
    let keys = dir.path().join("both.dat");
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let server = lab.start(config(target).keys(&keys)).await;
    let proxy = HttpProxyConfig::new()
        .listen(loopback())
        .keys(&keys)
        .option("inbound.length", 1);
    let proxy = lab.start(proxy).await;
    let peer = lab.host("site.i2p").await;
    let site = peer.listen(80).expect("free");
    let mut socket = dial(proxy.tcp_addrs()[0]).await;
    let request = "GET http://site.i2p/ HTTP/1.1\r\nHost: site.i2p\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("writes");
    let stream = accept(&site).await;
    assert_eq!(stream.peer(), &server.destination());
    assert_eq!(lab.online(), 1);
    let request = "GET / HTTP/1.1\r\nHost: a.i2p\r\n\r\n";
    exchange(&peer, &server, &listener, request, OK).await;
    // The session stays as long as one of them runs.
    proxy.stop().await;
    exchange(&peer, &server, &listener, request, OK).await;
    server.stop().await;
    assert_eq!(lab.online(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_open_can_serve_a_web_server() {
    let lab = Lab::new();
    let (listener, target) = backend().await;
    let session = lab.host("web.i2p").await;
    let tunnel = config(target).start_on(&session).await;
    let tunnel = tunnel.expect("starts");
    assert_eq!(&tunnel.destination(), session.destination());
    let peer = lab.host("peer.i2p").await;
    let request = "GET / HTTP/1.1\r\nHost: a.i2p\r\n\r\n";
    exchange(&peer, &tunnel, &listener, request, OK).await;
    tunnel.stop().await;
    assert!(!session.status().stage().is_over());
}
