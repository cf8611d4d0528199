//! The SOCKS proxy over real sockets and a simulated network, in paused time.

use std::{net::SocketAddr, time::Duration};

use eepkit::{
    Destination, Format, Listener, Preset, Router, Session,
    sim::{Builder, SimNet},
};
use eepkit_services::{
    socks::{SocksConfig, SocksProxy},
    users::Users,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::{sleep, timeout},
};

struct Lab {
    net: SimNet,
    proxy: SocksProxy,
}

impl Lab {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(change: impl FnOnce(SocksConfig) -> SocksConfig) -> Self {
        Self::over(SimNet::builder(), change).await
    }

    async fn over(net: Builder, change: impl FnOnce(SocksConfig) -> SocksConfig) -> Self {
        let net = net.delay(Duration::from_millis(50)).start();
        let config = SocksConfig::new()
            .listen([SocketAddr::from(([127, 0, 0, 1], 0))])
            .option("inbound.length", 1)
            .option("outbound.length", 1);
        let router = Router::new(net.i2cp_router());
        let proxy = SocksProxy::start(router, change(config)).await;
        Self {
            net,
            proxy: proxy.expect("a proxy starts"),
        }
    }

    /// A session beside the proxy, with a name.
    async fn host(&self, name: &str) -> Session {
        let router = Router::new(self.net.router());
        let session = router.session().preset(Preset::Test).open().await;
        let session = session.expect("a session opens");
        self.net.add_name(name, session.destination());
        session
    }

    async fn client(&self) -> TcpStream {
        let socket = TcpStream::connect(self.proxy.tcp_addrs()[0]).await;
        let socket = socket.expect("it listens");
        socket.set_nodelay(true).expect("can be set");
        socket
    }

    /// Sends `request` and reads an answer of the same length as `answer`.
    async fn expect(&self, request: &[u8], answer: &[u8]) -> TcpStream {
        let mut socket = self.client().await;
        socket.write_all(request).await.expect("writes");
        let mut read = vec![0; answer.len()];
        let reading = timeout(Duration::from_secs(300), socket.read_exact(&mut read));
        let result = reading.await.expect("an answer arrives");
        result.unwrap_or_else(|error| panic!("{request:?}: {error}"));
        assert_eq!(read, answer, "{request:?}");
        socket
    }
}

/// Accepts streams without end. Each stays open until the peer ends it.
fn accept_all(listener: Listener) {
    tokio::spawn(async move {
        while let Ok(mut stream) = listener.accept().await {
            tokio::spawn(async move {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                let _ = stream.shutdown().await;
            });
        }
    });
}

/// A request of SOCKS 5 without a password.
fn request_5(command: u8, host: &str, port: u16) -> Vec<u8> {
    let length = u8::try_from(host.len()).expect("fits");
    let mut request = vec![5, 1, 0, 5, command, 0, 3, length];
    request.extend(host.as_bytes());
    request.extend(port.to_be_bytes());
    request
}

/// A request of SOCKS 5 with a name and a password.
fn request_as(user: &str, password: &str, host: &str) -> Vec<u8> {
    let counted = |text: &str| {
        let length = u8::try_from(text.len()).expect("fits");
        [&[length], text.as_bytes()].concat()
    };
    [
        vec![5, 1, 2, 1],
        counted(user),
        counted(password),
        vec![5, 1, 0, 3],
        counted(host),
        vec![0, 80],
    ]
    .concat()
}

const GRANTED_5: &[u8] = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01";
const GRANTED_4: &[u8] = b"\x00\x5a\x00\x01\x7f\x00\x00\x01";

/// The answer of SOCKS 5 with this code.
fn refused(code: u8) -> Vec<u8> {
    vec![5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// Accepts a stream, reads `hello`, and answers with `world`. Returns the peer.
async fn answer(listener: &Listener) -> Destination {
    let mut stream = listener.accept().await.expect("accepts");
    let mut read = [0; 5];
    stream.read_exact(&mut read).await.expect("reads");
    assert_eq!(&read, b"hello");
    stream.write_all(b"world").await.expect("writes");
    stream.shutdown().await.expect("shuts down");
    stream.peer().clone()
}

/// Completes a conversation over an open connection.
async fn converse(socket: &mut TcpStream) {
    let mut read = String::new();
    socket.read_to_string(&mut read).await.expect("reads");
    assert_eq!(read, "world");
}

#[tokio::test(start_paused = true)]
async fn a_site_is_reached_with_every_version() {
    let lab = Lab::new().await;
    let host = lab.host("site.i2p").await;
    let listener = host.listen(80).expect("free");
    let b32 = host.destination().to_b32();
    let requests: [(Vec<u8>, &[u8]); 4] = [
        (request_5(1, "site.i2p", 80), GRANTED_5),
        (request_5(1, "SITE.i2p.", 80), GRANTED_5),
        (request_5(1, &b32, 80), GRANTED_5),
        (
            b"\x04\x01\x00\x50\x00\x00\x00\x01\x00site.i2p\x00".to_vec(),
            GRANTED_4,
        ),
    ];
    for (request, granted) in requests {
        // The program sends data before it has read the answer.
        let early = [&request[..], b"hello"].concat();
        let asking = async { converse(&mut lab.expect(&early, granted).await).await };
        tokio::join!(asking, answer(&listener));
    }
    assert_eq!(lab.proxy.stats().sessions, 1);
    lab.proxy.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_failure_has_its_code() {
    let lab = Lab::new().await;
    let host = lab.host("site.i2p").await;
    let _listener = host.listen(80).expect("free");
    for (name, port, code) in [
        ("nobody.i2p", 80, 4),
        ("site.i2p", 81, 5),
        ("localhost", 80, 2),
        ("127.0.0.1", 80, 2),
        ("127.1", 80, 2),
        ("[::1]", 80, 2),
        ("example.com", 80, 2),
    ] {
        lab.expect(&request_5(1, name, port), &refused(code)).await;
    }
    // Addresses of type IPv4 and IPv6.
    lab.expect(
        b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
        &refused(2),
    )
    .await;
    lab.expect(
        b"\x05\x01\x00\x05\x01\x00\x01\x01\x01\x01\x01\x00\x50",
        &refused(2),
    )
    .await;
    let loopback = b"\x05\x01\x00\x05\x01\x00\x04\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50";
    lab.expect(loopback, &refused(2)).await;
    // BIND is not supported.
    lab.expect(&request_5(2, "site.i2p", 80), &refused(7)).await;
    assert_eq!(lab.net.stats().sessions, 2);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_without_a_router_answers_that_the_network_is_unreachable() {
    let lab = Lab::with(|config| config.connect_timeout(Duration::from_secs(20))).await;
    lab.net.stop();
    lab.expect(&request_5(1, "site.i2p", 80), &refused(3)).await;
}

#[tokio::test(start_paused = true)]
async fn programs_with_different_names_use_different_destinations() {
    let lab = Lab::new().await;
    let host = lab.host("site.i2p").await;
    let listener = host.listen(80).expect("free");
    let mut peers = Vec::new();
    for (user, password) in [("a", "x"), ("a", "x"), ("b", "x"), ("a", "y"), ("", "")] {
        let request = [request_as(user, password, "site.i2p"), b"hello".to_vec()].concat();
        let granted = [b"\x05\x02\x01\x00", &GRANTED_5[2..]].concat();
        let asking = async { converse(&mut lab.expect(&request, &granted).await).await };
        let ((), peer) = tokio::join!(asking, answer(&listener));
        peers.push(peer);
    }
    assert_eq!(peers[0], peers[1]);
    for (index, peer) in peers.iter().enumerate().skip(1) {
        for other in &peers[index + 1..] {
            assert_ne!(peer, other);
        }
    }
    // Unused destinations of users are closed. The common one stays.
    assert_eq!(lab.proxy.stats().sessions, 4);
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(lab.proxy.stats().sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_isolated_users_is_limited() {
    let lab = Lab::with(|config| config.limits(100, 2)).await;
    let host = lab.host("site.i2p").await;
    accept_all(host.listen(80).expect("free"));
    let granted = [b"\x05\x02\x01\x00", &GRANTED_5[2..]].concat();
    let first = lab.expect(&request_as("a", "", "site.i2p"), &granted).await;
    let _second = lab.expect(&request_as("b", "", "site.i2p"), &granted).await;
    let full = [b"\x05\x02\x01\x00", &refused(1)[2..]].concat();
    lab.expect(&request_as("c", "", "site.i2p"), &full).await;
    drop(first);
    sleep(Duration::from_secs(60)).await;
    lab.expect(&request_as("c", "", "site.i2p"), &granted).await;
}

#[tokio::test(start_paused = true)]
async fn a_password_is_required_where_the_configuration_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("users.json");
    let mut users = Users::load(&file).expect("a new file");
    users.add("me", "secret").expect("written");
    let lab = Lab::with(|config| config.require_users(&file)).await;
    let host = lab.host("site.i2p").await;
    accept_all(host.listen(80).expect("free"));
    let granted = [b"\x05\x02\x01\x00", &GRANTED_5[2..]].concat();
    lab.expect(&request_as("me", "secret", "site.i2p"), &granted)
        .await;
    lab.expect(&request_as("me", "wrong", "site.i2p"), b"\x05\x02\x01\x01")
        .await;
    lab.expect(
        &request_as("you", "secret", "site.i2p"),
        b"\x05\x02\x01\x01",
    )
    .await;
    lab.expect(b"\x05\x01\x00", b"\x05\xff").await;
    let socks_4 = b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00site.i2p\x00";
    lab.expect(socks_4, b"\x00\x5b\x00\x00\x00\x00\x00\x00")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_of_the_peer_does_not_look_like_a_complete_answer() {
    let lab = Lab::new().await;
    let host = lab.host("site.i2p").await;
    let listener = host.listen(80).expect("free");
    let request = request_5(1, "site.i2p", 80);
    let asking = lab.expect(&request, GRANTED_5);
    let (mut socket, stream) = tokio::join!(asking, listener.accept());
    let mut stream = stream.expect("accepts");
    stream.write_all(b"half").await.expect("writes");
    stream.flush().await.expect("flushes");
    let mut read = [0; 4];
    socket.read_exact(&mut read).await.expect("reads");
    stream.reset();
    let end = socket.read(&mut read).await;
    let error = end.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_leaves_early_ends_its_request() {
    let lab = Lab::new().await;
    let host = lab.host("site.i2p").await;
    let _listener = host.listen(80).expect("free");
    lab.net.cut_off(host.destination());
    let mut socket = lab.client().await;
    let request = request_5(1, "site.i2p", 80);
    socket.write_all(&request).await.expect("writes");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.proxy.stats().connections, 1);
    drop(socket);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(lab.proxy.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn the_public_internet_is_reached_through_an_outproxy_only() {
    let lab = Lab::with(|config| config.outproxy("exit.i2p:1080")).await;
    let host = lab.host("exit.i2p").await;
    let listener = host.listen(1080).expect("free");
    let serving = async {
        let mut stream = listener.accept().await.expect("accepts");
        let mut machine = eepkit_socks::Server::new(eepkit_socks::Authentication::Optional);
        let mut buffer = [0; 512];
        let request = loop {
            let count = stream.read(&mut buffer).await.expect("reads");
            let event = machine.receive(&buffer[..count]).expect("valid");
            stream.write_all(&machine.output()).await.expect("writes");
            stream.flush().await.expect("flushes");
            if let Some(eepkit_socks::Event::Request(request)) = event {
                break request;
            }
        };
        let bound = eepkit_socks::Address::from(SocketAddr::from(([1, 2, 3, 4], 5)));
        machine.reply(&eepkit_socks::Reply::Granted(bound));
        let answer = [machine.output(), b"welcome".to_vec()].concat();
        stream.write_all(&answer).await.expect("writes");
        stream.shutdown().await.expect("shuts down");
        request.target.to_string()
    };
    let asking = async {
        let mut socket = lab
            .expect(&request_5(1, "Example.com", 443), GRANTED_5)
            .await;
        let mut text = String::new();
        socket.read_to_string(&mut text).await.expect("reads");
        text
    };
    let (target, text) = tokio::join!(serving, asking);
    assert_eq!((&target[..], &text[..]), ("example.com:443", "welcome"));
    // Local addresses are refused nevertheless.
    lab.expect(&request_5(1, "127.0.0.1", 80), &refused(2))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_outproxy_gets_its_login() {
    let lab = Lab::with(|config| {
        let config = config.outproxy("exit.i2p:1080");
        config.outproxy_login("exit.i2p:1080", "ann", "sesame")
    });
    let lab = lab.await;
    let host = lab.host("exit.i2p").await;
    let listener = host.listen(1080).expect("free");
    let serving = async {
        let mut stream = listener.accept().await.expect("accepts");
        let mut machine = eepkit_socks::Server::new(eepkit_socks::Authentication::Required);
        let mut buffer = [0; 512];
        loop {
            let count = stream.read(&mut buffer).await.expect("reads");
            let event = machine.receive(&buffer[..count]).expect("valid");
            if let Some(eepkit_socks::Event::Authenticate(login)) = event {
                break (login.user().to_vec(), login.password().to_vec());
            }
            stream.write_all(&machine.output()).await.expect("writes");
            stream.flush().await.expect("flushes");
        }
    };
    let asking = async {
        let mut socket = lab.client().await;
        let request = request_5(1, "example.com", 443);
        socket.write_all(&request).await.expect("writes");
        socket
    };
    let ((user, password), _socket) = tokio::join!(serving, asking);
    assert_eq!((&user[..], &password[..]), (&b"ann"[..], &b"sesame"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_resolved_address_stands_for_its_name() {
    let lab = Lab::new().await;
    let host = lab.host("site.i2p").await;
    let listener = host.listen(80).expect("free");
    let answer_5 = |rest: &[u8]| [b"\x05\x00\x05\x00\x00", rest].concat();
    let address = answer_5(b"\x01\x7f\xc0\x00\x01\x00\x00");
    lab.expect(&request_5(0xf0, "site.i2p", 0), &address).await;
    lab.expect(&request_5(0xf0, "nobody.i2p", 0), &refused(4))
        .await;
    lab.expect(&request_5(0xf0, "example.com", 0), &refused(2))
        .await;
    let name = answer_5(b"\x03\x08site.i2p\x00\x00");
    lab.expect(
        b"\x05\x01\x00\x05\xf1\x00\x01\x7f\xc0\x00\x01\x00\x00",
        &name,
    )
    .await;
    let connect = b"\x05\x01\x00\x05\x01\x00\x01\x7f\xc0\x00\x01\x00\x50hello";
    let asking = async { converse(&mut lab.expect(connect, GRANTED_5).await).await };
    tokio::join!(asking, answer(&listener));
}

#[tokio::test(start_paused = true)]
async fn datagrams_pass_in_both_directions_and_only_for_their_program() {
    let lab = Lab::new().await;
    let host = lab.host("dns.i2p").await;
    let server = host.datagrams(Format::Datagram1).bind(53).expect("free");
    let mut socket = lab.client().await;
    let associate = b"\x05\x01\x00\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00";
    socket.write_all(associate).await.expect("writes");
    let mut reply = [0; 12];
    socket.read_exact(&mut reply).await.expect("an answer");
    assert_eq!(reply[..10], *b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01");
    let relay = SocketAddr::from(([127, 0, 0, 1], u16::from_be_bytes([reply[10], reply[11]])));

    let program = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let datagram = [&b"\x00\x00\x00\x03\x07dns.i2p\x00\x35"[..], b"query"].concat();
    program.send_to(&datagram, relay).await.expect("sends");
    let received = timeout(Duration::from_secs(60), server.recv_from()).await;
    let received = received.expect("arrives").expect("valid");
    assert_eq!(&received.payload()[..], b"query");
    server.reply(&received, b"answer").await.expect("sends");
    let mut buffer = [0; 512];
    let reading = timeout(Duration::from_secs(60), program.recv(&mut buffer)).await;
    let count = reading.expect("arrives").expect("reads");
    let expected = [&b"\x00\x00\x00\x03\x07dns.i2p\x00\x35"[..], b"answer"].concat();
    assert_eq!(buffer[..count], expected);

    // Another program, a fragment, and a host of the public Internet are dropped.
    let other = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    other.send_to(&datagram, relay).await.expect("sends");
    let fragment = [&b"\x00\x00\x01\x03\x07dns.i2p\x00\x35"[..], b"x"].concat();
    program.send_to(&fragment, relay).await.expect("sends");
    let clearnet = b"\x00\x00\x00\x01\x01\x01\x01\x01\x00\x35x";
    program.send_to(clearnet, relay).await.expect("sends");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.proxy.stats().datagrams_dropped, 3);

    // The relay ends with the TCP connection.
    drop(socket);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.proxy.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn silent_programs_and_http_programs_are_closed() {
    let lab = Lab::new().await;
    let mut silent = lab.client().await;
    let mut buffer = Vec::new();
    let reading = timeout(Duration::from_secs(60), silent.read_to_end(&mut buffer)).await;
    assert_eq!(reading.expect("is closed").expect("ends"), 0);
    let mut browser = lab.client().await;
    browser
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("writes");
    let mut page = String::new();
    browser.read_to_string(&mut page).await.expect("reads");
    assert!(page.starts_with("HTTP/1.0 501 "), "{page}");
}
