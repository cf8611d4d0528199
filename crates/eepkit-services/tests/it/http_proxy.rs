//! The HTTP proxy over real sockets and a simulated network, in paused time. Requests and responses
//! are compared byte by byte.

mod links;

use std::{net::SocketAddr, time::Duration};

use eepkit::{
    Listener, Preset, Router, Session, Stream,
    sim::{Builder, SimNet},
};
use eepkit_naming::{AddressBook, Book};
use eepkit_services::{
    http_proxy::{HttpProxy, HttpProxyConfig},
    naming::Names,
    users::Users,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

struct Lab {
    net: SimNet,
    proxy: HttpProxy,
    books: AddressBook,
}

impl Lab {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(change: impl FnOnce(HttpProxyConfig) -> HttpProxyConfig) -> Self {
        Self::over(SimNet::builder(), change).await
    }

    async fn over(net: Builder, change: impl FnOnce(HttpProxyConfig) -> HttpProxyConfig) -> Self {
        let net = net.delay(Duration::from_millis(50)).start();
        let config = HttpProxyConfig::new()
            .listen([SocketAddr::from(([127, 0, 0, 1], 0))])
            .option("inbound.length", 1)
            .option("outbound.length", 1);
        let books = AddressBook::in_memory().expect("memory");
        let router = Router::new(net.i2cp_router());
        let proxy = HttpProxy::start(router, Names::of(books.clone()), change(config)).await;
        Self {
            net,
            proxy: proxy.expect("a proxy starts"),
            books,
        }
    }

    /// A session beside the proxy, with a name that the router resolves.
    async fn host(&self, name: &str) -> Session {
        let router = Router::new(self.net.router());
        let session = router.session().preset(Preset::Test).open().await;
        let session = session.expect("a session opens");
        self.net.add_name(name, session.destination());
        session
    }

    async fn site(&self, name: &str) -> (Listener, String) {
        let host = self.host(name).await;
        let b32 = host.destination().to_b32();
        (host.listen(80).expect("free"), b32)
    }

    async fn client(&self) -> TcpStream {
        let socket = TcpStream::connect(self.proxy.tcp_addrs()[0]).await;
        let socket = socket.expect("it listens");
        socket.set_nodelay(true).expect("can be set");
        socket
    }

    /// Sends a request, and returns the whole answer until the end of the connection.
    async fn ask(&self, request: &str) -> String {
        let mut socket = self.client().await;
        socket.write_all(request.as_bytes()).await.expect("writes");
        rest(&mut socket).await
    }

    /// A GET request after which the connection ends.
    async fn get(&self, url: &str) -> String {
        self.ask(&get(url, "Connection: close\r\n")).await
    }
}

fn get(url: &str, headers: &str) -> String {
    let host = url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap_or_default();
    format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")
}

async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = timeout(Duration::from_secs(900), socket.read_to_end(&mut answer)).await;
    let result = reading.expect("an answer arrives");
    let text = String::from_utf8_lossy(&answer).into_owned();
    result.unwrap_or_else(|error| panic!("{error} after {text}"));
    text
}

/// Reads until `end` is at the end of what was read.
async fn until<S: tokio::io::AsyncRead + Unpin>(stream: &mut S, end: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.ends_with(end) {
            let byte = stream.read_u8().await;
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

/// The head of the next request at a site.
async fn head(stream: &mut Stream) -> String {
    until(stream, "\r\n\r\n").await
}

/// Accepts a stream, reads the head of a request, and sends an answer.
async fn answer(listener: &Listener, answer: &str) -> String {
    let mut stream = listener.accept().await.expect("accepts");
    let head = head(&mut stream).await;
    stream.write_all(answer.as_bytes()).await.expect("writes");
    stream.shutdown().await.expect("shuts down");
    head
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

const OWN_HEADERS: &str = "X-Accept-Encoding: x-i2p-gzip;q=1.0, identity;q=0.5, deflate;q=0, gzip;q=0, *;q=0\r\n\
    User-Agent: MYOB/6.66 (AN/ON)\r\n";

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

/// The value of a header of an answer.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn code(answer: &str) -> &str {
    header(answer, "x-eepkit-error").unwrap_or("")
}

#[tokio::test(start_paused = true)]
async fn a_site_receives_exactly_these_bytes() {
    let lab = Lab::new().await;
    let (listener, b32) = lab.site("site.i2p").await;
    let request = "GET http://Site.i2p/a/b?c=d HTTP/1.1\r\n\
        HOST: site.i2p\r\n\
        cookie:a=b\r\n\
        user-agent: Secret/1\r\n\
        User-Agent: Secret/2\r\n\
        ACCEPT-LANGUAGE: tlh\r\n\
        referer:http://site.i2p/from\r\n\
        X-FORWARDED-for: 10.0.0.1\r\n\
        x-forwarded-for: 10.0.0.2\r\n\
        vIA: 1.1 office\r\n\
        Proxy-Connection: keep-alive\r\n\
        Connection: close\r\n\
        If-None-Match: \"x\"\r\n\r\n";
    let (seen, answer) = tokio::join!(answer(&listener, OK), lab.ask(request));
    assert_eq!(
        seen,
        format!(
            "GET /a/b?c=d HTTP/1.1\r\n\
             Host: {b32}\r\n\
             Cookie: a=b\r\n\
             If-None-Match: \"x\"\r\n\
             Referer: /from\r\n\
             {OWN_HEADERS}\
             Connection: keep-alive\r\n\r\n"
        )
    );
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    );
    lab.proxy.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_order_and_spelling_of_a_program_do_not_reach_the_site() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let mut seen = Vec::new();
    for headers in [
        "Cookie: a\r\nRange: bytes=0-1\r\naccept: text/html\r\n",
        "ACCEPT:text/html,image/x\r\nrange:  bytes=0-1  \r\nCOOKIE: a\r\n",
    ] {
        let request = get(
            "http://site.i2p/",
            &format!("{headers}Connection: close\r\n"),
        );
        let (head, _) = tokio::join!(answer(&listener, OK), lab.ask(&request));
        seen.push(head);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_for_several_requests_on_both_sides() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let serving = async {
        let mut stream = listener.accept().await.expect("accepts");
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(head(&mut stream).await.lines().next().map(str::to_owned));
            stream.write_all(OK.as_bytes()).await.expect("writes");
            stream.flush().await.expect("flushes");
        }
        seen
    };
    let asking = async {
        let mut socket = lab.client().await;
        for path in ["1", "2", "3"] {
            let request = get(&format!("http://site.i2p/{path}"), "");
            socket.write_all(request.as_bytes()).await.expect("writes");
            until(&mut socket, "hello").await;
        }
    };
    let (seen, ()) = tokio::join!(serving, asking);
    let lines = ["1", "2", "3"].map(|path| Some(format!("GET /{path} HTTP/1.1")));
    assert_eq!(seen, lines);
}

#[tokio::test(start_paused = true)]
async fn a_site_that_closed_an_idle_connection_gets_a_new_one() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    for _ in 0..2 {
        let (_, page) = tokio::join!(answer(&listener, OK), lab.get("http://site.i2p/"));
        assert!(page.ends_with("hello"), "{page}");
        sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_site_that_closes_a_connection_without_an_answer_is_asked_once_more() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let first = async {
        let mut stream = listener.accept().await.expect("accepts");
        head(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.expect("writes");
        stream.flush().await.expect("flushes");
        stream
    };
    let (mut stream, _) = tokio::join!(first, lab.get("http://site.i2p/"));
    let second = async {
        // The site reads the request and closes the connection.
        head(&mut stream).await;
        stream.shutdown().await.expect("shuts down");
        answer(&listener, OK).await
    };
    let (_, page) = tokio::join!(second, lab.get("http://site.i2p/again"));
    assert!(page.ends_with("hello"), "{page}");
    // A new connection is not replaced.
    let (_, page) = tokio::join!(answer(&listener, ""), lab.get("http://site.i2p/"));
    assert_eq!(code(&page), "bad_response", "{page}");
}

#[tokio::test(start_paused = true)]
async fn bodies_are_streamed_in_both_directions() {
    const SIZE: usize = 3_000_000;
    let lab = Lab::new().await;
    let (listener, b32) = lab.site("site.i2p").await;
    let serving = async {
        let mut stream = listener.accept().await.expect("accepts");
        let head = head(&mut stream).await;
        let mut body = vec![0; SIZE];
        stream.read_exact(&mut body).await.expect("reads");
        let response = format!("HTTP/1.1 201 Created\r\nContent-Length: {SIZE}\r\n\r\n");
        stream.write_all(response.as_bytes()).await.expect("writes");
        stream.write_all(&body).await.expect("writes");
        stream.shutdown().await.expect("shuts down");
        head
    };
    let body: Vec<u8> = (0..SIZE).map(|at| b'a' + (at % 23) as u8).collect();
    let asking = async {
        let mut socket = lab.client().await;
        let request = format!(
            "PUT http://site.i2p/x HTTP/1.1\r\nHost: site.i2p\r\nContent-Length: {SIZE}\r\n\
             Expect: 100-continue\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.expect("writes");
        let proceed = until(&mut socket, "\r\n\r\n").await;
        assert_eq!(proceed, "HTTP/1.1 100 Continue\r\n\r\n");
        let (mut reading, mut writing) = socket.into_split();
        let write = async { writing.write_all(&body).await.expect("writes") };
        let read = async {
            until(&mut reading, "\r\n\r\n").await;
            let mut body = Vec::new();
            reading.read_to_end(&mut body).await.expect("reads");
            body
        };
        tokio::join!(read, write).0
    };
    let (head, received) = tokio::join!(serving, asking);
    assert!(received == body, "{} bytes", received.len());
    assert_eq!(
        head,
        format!(
            "PUT /x HTTP/1.1\r\nHost: {b32}\r\nContent-Length: {SIZE}\r\n{OWN_HEADERS}\
             Connection: close\r\n\r\n"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn chunked_bodies_keep_their_framing() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let serving = async {
        let mut stream = listener.accept().await.expect("accepts");
        let request = until(&mut stream, "0\r\n\r\n").await;
        let response =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        stream.write_all(response.as_bytes()).await.expect("writes");
        stream.shutdown().await.expect("shuts down");
        request
    };
    let request = "POST http://site.i2p/ HTTP/1.1\r\nHost: site.i2p\r\n\
        Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n";
    let (seen, answer) = tokio::join!(serving, lab.ask(request));
    assert!(
        seen.contains("\r\nTransfer-Encoding: chunked\r\n"),
        "{seen}"
    );
    assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{seen}");
    assert!(answer.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn each_failure_has_its_page_status_and_code() {
    let lab = Lab::with(|config| config.connect_timeout(Duration::from_secs(60))).await;
    let host = lab.host("site.i2p").await;
    let _listener = host.listen(80).expect("free");
    let down = lab.host("down.i2p").await;
    lab.net.cut_off(down.destination());
    let blinded = eepkit_wire::BlindedAddress::new(
        down.destination().signing_key().clone(),
        eepkit::SignatureType::REDDSA,
    );
    let b33 = format!("http://{}/", blinded.expect("Ed25519").to_b33());
    let wrong_b33 = format!("http://{}.b32.i2p/", "a".repeat(60));
    let b32_short = format!("http://{}.b32.i2p/", "a".repeat(53));
    let nobody = format!("http://{}.b32.i2p/", "a".repeat(52));
    for (url, expected) in [
        ("http://nobody.i2p/", "502 name_not_found"),
        (&nobody, "503 lease_set_not_found"),
        ("http://site.i2p:81/", "502 refused"),
        ("http://down.i2p/", "504 timeout"),
        (&b33, "403 locked"),
        (&wrong_b33, "400 bad_name"),
        (&b32_short, "400 bad_name"),
        ("http://localhost/", "403 local_address"),
        ("http://127.0.0.1/", "403 local_address"),
        ("http://127.1/", "403 local_address"),
        ("http://[::1]/", "403 local_address"),
        ("http://[::ffff:127.0.0.1]/", "403 local_address"),
        ("http://2130706433/", "403 local_address"),
        ("http://0x7f.1/", "403 local_address"),
        ("http://10.1.2.3/", "403 local_address"),
        ("http://169.254.1.1/", "403 local_address"),
        ("http://router/", "403 local_address"),
        ("http://printer.local./", "403 local_address"),
        ("http://127.evil.com/", "403 not_i2p"),
        ("http://a.example/", "403 local_address"),
        ("http://torproject.org/", "403 not_i2p"),
        ("http://1.1.1.1/", "403 not_i2p"),
        ("http://proxy.i2p/nothing", "404 no_page"),
        ("https://site.i2p/", "400 https_needs_connect"),
        ("ftp://site.i2p/", "400 unsupported_protocol"),
    ] {
        let host = url
            .split_once("://")
            .expect(url)
            .1
            .split('/')
            .next()
            .expect(url);
        let request = format!(
            "GET {url} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
        );
        let page = lab.ask(&request).await;
        assert_eq!(
            format!("{} {}", status(&page), code(&page)),
            expected,
            "{url}"
        );
        assert!(
            !page.contains("<script") && !page.contains("<form"),
            "{page}"
        );
        let policy = header(&page, "content-security-policy").expect(url);
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        // CONNECT has the same errors.
        if url.starts_with("http://") && !url.contains("proxy.i2p") {
            let place = match host.rsplit_once(':') {
                Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
                _ => format!("{host}:80"),
            };
            let connect = format!("CONNECT {place} HTTP/1.1\r\nConnection: close\r\n\r\n");
            let page = lab.ask(&connect).await;
            assert_eq!(
                format!("{} {}", status(&page), code(&page)),
                expected,
                "{connect}"
            );
        }
    }
    // The proxy and the two hosts.
    assert_eq!(lab.net.stats().sessions, 3);
}

#[tokio::test(start_paused = true)]
async fn the_page_of_an_unknown_name_links_to_jump_services() {
    let lab = Lab::with(|config| config).await;
    let known = lab.host("x.i2p").await;
    let name = "notbob.i2p".parse().expect("a name");
    let entry = eepkit_naming::Entry::new(known.destination().clone());
    lab.books.put(Book::User, &name, &entry).expect("memory");
    let html = get(
        "http://nobody.i2p/<b>",
        "Accept: text/html\r\nConnection: close\r\n",
    );
    let page = lab.ask(&html.replace("<b>", "%3Cb%3E")).await;
    assert!(
        page.contains("href=\"http://notbob.i2p/cgi-bin/jump.cgi?q=nobody.i2p\""),
        "{page}"
    );
    // Services whose own name is unknown are of no use.
    assert!(!page.contains("stats.i2p"), "{page}");
    let plain = lab.get("http://nobody.i2p/").await;
    assert_eq!(
        header(&plain, "content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(plain.contains("Look up: http://notbob.i2p/"), "{plain}");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_without_a_router_answers_that_it_is_not_ready() {
    let lab = Lab::with(|config| config.connect_timeout(Duration::from_secs(20))).await;
    lab.net.stop();
    let page = lab.get("http://site.i2p/").await;
    assert_eq!(status(&page), "503", "{page}");
    assert_eq!(header(&page, "retry-after"), Some("10"));
}

#[tokio::test(start_paused = true)]
async fn requests_with_two_meanings_are_refused() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let rest = "\r\n0\r\n\r\n";
    for headers in [
        "Host: other.i2p\r\n",
        "Host: site.i2p\r\nHost: site.i2p\r\n",
        "",
        "Host: site.i2p\r\nContent-Length: +3\r\n",
        "Host: site.i2p\r\nContent-Length: 3\r\nContent-Length: 4\r\n",
        "Host: site.i2p\r\nContent-Length: 3, 3\r\n",
        "Host: site.i2p\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Host: site.i2p\r\nTransfer-Encoding: identity, chunked\r\n",
        "Host: site.i2p\r\nTransfer-Encoding: xchunked\r\n",
        "Host: site.i2p\r\nTransfer-Encoding : chunked\r\n",
        "Host: site.i2p\r\nX: a\r\n folded\r\n",
        "Host: site.i2p\r\nX\u{0}: a\r\n",
        "Host: site.i2p\r\nX: a\u{0}b\r\n",
        "Host: site.i2p\r\nX: a\rb\r\n",
        "Host: site.i2p\r\n: a\r\n",
    ] {
        let request = format!("POST http://site.i2p/ HTTP/1.1\r\n{headers}{rest}");
        let page = lab.ask(&request).await;
        assert_eq!(status(&page), "400", "{headers:?} {page}");
    }
    // HTTP/1.0 has no transfer codings.
    let request = "POST http://site.i2p/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(status(&lab.ask(request).await), "400");
    // Nothing has reached the site.
    let accepted = timeout(Duration::from_secs(60), listener.accept()).await;
    assert!(accepted.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_length_beside_chunks_does_not_reach_the_site() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let request = "POST http://site.i2p/ HTTP/1.1\r\nHost: site.i2p\r\nContent-Length: 3\r\n\
        Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET http://other.i2p/ HTTP/1.1\r\n\
        Host: other.i2p\r\n\r\n";
    let (seen, answer) = tokio::join!(answer(&listener, OK), lab.ask(request));
    assert!(!seen.to_lowercase().contains("content-length"), "{seen}");
    // What follows is no request: the connection ends.
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn pages_of_other_origins_get_nothing_from_the_proxy() {
    let lab = Lab::new().await;
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: evil.com:4444\r\n\r\n", "400"),
        (
            "GET /helper?url=x HTTP/1.1\r\nHost: proxy.i2p\r\n\r\n",
            "400",
        ),
        (
            "POST /helper HTTP/1.1\r\nHost: 127.0.0.1:4444\r\n\r\n",
            "400",
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:4444\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "200"),
    ] {
        let request = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let page = lab.ask(&request).await;
        assert_eq!(status(&page), expected, "{request} {page}");
        assert!(!page.contains("<form"), "{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn large_heads_and_slow_programs_are_refused() {
    let lab = Lab::new().await;
    let long = get(
        "http://site.i2p/",
        &format!("X: {}\r\n", "x".repeat(70_000)),
    );
    let page = lab.ask(&long).await;
    assert_eq!(status(&page), "431", "{page}");
    let mut slow = lab.client().await;
    slow.write_all(b"GET http://site.i2p/ HTTP/1.1\r\n")
        .await
        .expect("writes");
    let mut end = Vec::new();
    let reading = timeout(Duration::from_secs(60), slow.read_to_end(&mut end)).await;
    let _ = reading.expect("it is closed");
    assert_eq!(lab.proxy.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn connect_opens_a_tunnel() {
    let lab = Lab::new().await;
    let host = lab.host("site.i2p").await;
    let listener = host.listen(22).expect("free");
    let serving = async {
        let mut stream = listener.accept().await.expect("accepts");
        assert_eq!(until(&mut stream, "hello").await, "hello");
        stream.write_all(b"world").await.expect("writes");
        stream.shutdown().await.expect("shuts down");
    };
    let asking = async {
        let mut socket = lab.client().await;
        // The program does not wait for the answer.
        let request = b"CONNECT site.i2p:22 HTTP/1.1\r\nHost: site.i2p:22\r\n\r\nhello";
        socket.write_all(request).await.expect("writes");
        let answer = until(&mut socket, "\r\n\r\n").await;
        assert_eq!(answer, "HTTP/1.1 200 Connection Established\r\n\r\n");
        assert_eq!(until(&mut socket, "world").await, "world");
        drop(socket);
    };
    tokio::join!(serving, asking);
    sleep(Duration::from_secs(2)).await;
    let stats = lab.proxy.stats();
    assert_eq!((stats.connections, stats.streams), (0, 0));
    assert_eq!((stats.bytes_sent, stats.bytes_received), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_connection_changes_its_protocol() {
    let lab = Lab::new().await;
    let (listener, b32) = lab.site("site.i2p").await;
    let serving = async {
        let mut stream = listener.accept().await.expect("accepts");
        let head = head(&mut stream).await;
        let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: y\r\nProxy-Hint: z\r\n\r\nfirst";
        stream.write_all(response.as_bytes()).await.expect("writes");
        assert_eq!(until(&mut stream, "hello").await, "hello");
        stream.write_all(b"world").await.expect("writes");
        stream.shutdown().await.expect("shuts down");
        head
    };
    let asking = async {
        let mut socket = lab.client().await;
        let headers = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
            Origin: http://site.i2p\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n";
        let request = get("http://site.i2p/ws", headers);
        socket.write_all(request.as_bytes()).await.expect("writes");
        let answer = until(&mut socket, "\r\n\r\n").await;
        socket.write_all(b"hello").await.expect("writes");
        assert_eq!(until(&mut socket, "world").await, "firstworld");
        answer
    };
    let (head, answer) = tokio::join!(serving, asking);
    assert_eq!(
        head,
        format!(
            "GET /ws HTTP/1.1\r\nHost: {b32}\r\nOrigin: http://{b32}\r\nSec-Websocket-Key: x\r\n\
             Sec-Websocket-Version: 13\r\nUpgrade: websocket\r\n{OWN_HEADERS}\
             Connection: upgrade\r\n\r\n"
        )
    );
    assert_eq!(
        answer,
        "HTTP/1.1 101 Switching Protocols\r\nSec-Websocket-Accept: y\r\nUpgrade: websocket\r\n\
         Connection: upgrade\r\n\r\n"
    );
}

#[tokio::test(start_paused = true)]
async fn users_and_isolation_tokens_have_destinations_of_their_own() {
    let lab = Lab::with(|config| config.limits(100, 4)).await;
    let (listener, _) = lab.site("site.i2p").await;
    let mut peers = Vec::new();
    for header in [
        "",
        "Proxy-Authorization: Basic YTp4\r\n",
        "proxy-authorization: basic YTp4\r\n",
        "Proxy-Authorization: Basic Yjp4\r\n",
        "Tor-Stream-Isolation: one\r\n",
        "Tor-Stream-Isolation: two\r\n",
    ] {
        let request = get(
            "http://site.i2p/",
            &format!("{header}Connection: close\r\n"),
        );
        let serving = async {
            let mut stream = listener.accept().await.expect("accepts");
            let head = head(&mut stream).await.to_lowercase();
            assert!(
                !head.contains("authorization") && !head.contains("isolation"),
                "{head}"
            );
            stream.write_all(OK.as_bytes()).await.expect("writes");
            stream.shutdown().await.expect("shuts down");
            stream.peer().clone()
        };
        let (peer, page) = tokio::join!(serving, lab.ask(&request));
        assert_eq!(status(&page), "200", "{page}");
        peers.push(peer);
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(peers[1], peers[2]);
    peers.remove(2);
    for (at, peer) in peers.iter().enumerate() {
        assert!(!peers[at + 1..].contains(peer));
    }
    assert_eq!(lab.proxy.stats().sessions, 5);
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(lab.proxy.stats().sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_isolated_users_is_limited() {
    let lab = Lab::with(|config| config.limits(100, 1)).await;
    let (listener, _) = lab.site("site.i2p").await;
    let mut first = lab.client().await;
    let connect = "CONNECT site.i2p:80 HTTP/1.1\r\nTor-Stream-Isolation: one\r\n\r\n";
    first.write_all(connect.as_bytes()).await.expect("writes");
    let (_stream, _) = tokio::join!(listener.accept(), until(&mut first, "\r\n\r\n"));
    let second = "Tor-Stream-Isolation: two\r\nConnection: close\r\n";
    let page = lab.ask(&get("http://site.i2p/", second)).await;
    assert_eq!((status(&page), code(&page)), ("503", "limit"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_password_is_required_where_the_configuration_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("users.json");
    let mut users = Users::load(&file).expect("a new file");
    users.add("me", "secret").expect("written");
    let lab = Lab::with(|config| config.require_users(&file)).await;
    let (listener, _) = lab.site("site.i2p").await;
    let basic = |pair: &str| {
        let encoded = data_encoding::BASE64.encode(pair.as_bytes());
        format!("Proxy-Authorization: Basic {encoded}\r\nConnection: close\r\n")
    };
    for headers in [
        "Connection: close\r\n",
        &basic("me:wrong"),
        &basic("you:secret"),
    ] {
        for url in ["http://site.i2p/", "http://proxy.i2p/"] {
            let page = lab.ask(&get(url, headers)).await;
            assert_eq!(status(&page), "407", "{page}");
            let challenge = header(&page, "proxy-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Basic realm="), "{page}");
        }
    }
    let request = get("http://site.i2p/", &basic("me:secret"));
    let (_, page) = tokio::join!(answer(&listener, OK), lab.ask(&request));
    assert_eq!(status(&page), "200", "{page}");
}

#[tokio::test(start_paused = true)]
async fn responses_that_end_early_do_not_look_complete() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    for version in ["1.0", "1.1"] {
        let serving = async {
            let mut stream = listener.accept().await.expect("accepts");
            head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf")
                .await
                .expect("writes");
            stream.flush().await.expect("flushes");
            stream
        };
        let mut socket = lab.client().await;
        let request = format!(
            "GET http://site.i2p/ HTTP/{version}\r\nHost: site.i2p\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.expect("writes");
        let (stream, _) = tokio::join!(serving, until(&mut socket, "half"));
        stream.reset();
        let mut end = Vec::new();
        let error = socket.read_to_end(&mut end).await.expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_no_http_or_never_begin_have_their_errors() {
    let lab = Lab::with(|config| config.response_timeout(Duration::from_secs(60))).await;
    let (listener, _) = lab.site("site.i2p").await;
    for garbage in [
        "SSH-2.0-x\r\n",
        "",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    ] {
        let (_, page) = tokio::join!(answer(&listener, garbage), lab.get("http://site.i2p/"));
        assert_eq!(
            (status(&page), code(&page)),
            ("502", "bad_response"),
            "{garbage} {page}"
        );
    }
    let silent = async {
        let mut stream = listener.accept().await.expect("accepts");
        head(&mut stream).await;
        let mut end = Vec::new();
        stream.read_to_end(&mut end).await.expect_err("a reset");
    };
    let ((), page) = tokio::join!(silent, lab.get("http://site.i2p/"));
    assert_eq!((status(&page), code(&page)), ("504", "timeout"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn content_that_i2p_has_compressed_is_decompressed() {
    use std::io::Write as _;

    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let text = "hello ".repeat(50_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("memory");
    let gzip = gzip.finish().expect("memory");
    let serving = async {
        let mut stream = listener.accept().await.expect("accepts");
        head(&mut stream).await;
        let length = gzip.len();
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: x-i2p-gzip\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(response.as_bytes()).await.expect("writes");
        stream.write_all(&gzip).await.expect("writes");
        stream.shutdown().await.expect("shuts down");
    };
    let request = "GET http://site.i2p/ HTTP/1.0\r\n\r\n";
    let ((), page) = tokio::join!(serving, lab.ask(request));
    let (head, body) = page.split_once("\r\n\r\n").expect("a head");
    assert!(!head.to_lowercase().contains("content-"), "{head}");
    assert!(body == text, "{} bytes", body.len());
}

#[tokio::test(start_paused = true)]
async fn head_and_not_modified_have_no_body() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let request = "HEAD http://site.i2p/ HTTP/1.1\r\nHost: site.i2p\r\nConnection: close\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let (_, page) = tokio::join!(answer(&listener, head), lab.ask(request));
    assert_eq!(
        page,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
    );
    let not_modified = "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n";
    let (_, page) = tokio::join!(answer(&listener, not_modified), lab.get("http://site.i2p/"));
    assert_eq!(
        page,
        "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nConnection: close\r\n\r\n"
    );
    let request = request.replace("site.i2p", "nobody.i2p");
    let page = lab.ask(&request).await;
    assert!(
        status(&page) == "502" && page.ends_with("\r\n\r\n"),
        "{page}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_public_internet_is_reached_through_an_outproxy_only() {
    let lab = Lab::with(|config| config.outproxy("exit.i2p:8888")).await;
    let host = lab.host("exit.i2p").await;
    let listener = host.listen(8888).expect("free");
    let request = get(
        "http://Torproject.org/a",
        "Cookie: x\r\nConnection: close\r\n",
    );
    let (seen, page) = tokio::join!(answer(&listener, OK), lab.ask(&request));
    assert!(page.ends_with("hello"), "{page}");
    assert_eq!(
        seen,
        "GET http://torproject.org/a HTTP/1.1\r\nHost: torproject.org\r\nCookie: x\r\n\
         User-Agent: Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         Connection: keep-alive\r\n\r\n"
    );
    let serving = async {
        let mut stream = listener.accept().await.expect("accepts");
        let head = head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\nearly")
            .await
            .expect("writes");
        assert_eq!(until(&mut stream, "hello").await, "hello");
        stream.shutdown().await.expect("shuts down");
        head
    };
    let asking = async {
        let mut socket = lab.client().await;
        let request = b"CONNECT torproject.org:443 HTTP/1.1\r\n\r\n";
        socket.write_all(request).await.expect("writes");
        until(&mut socket, "\r\n\r\nearly").await;
        socket.write_all(b"hello").await.expect("writes");
    };
    let (head, ()) = tokio::join!(serving, asking);
    assert!(
        head.starts_with("CONNECT torproject.org:443 HTTP/1.1\r\nHost: torproject.org:443\r\n")
    );
    let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let connect = "CONNECT torproject.org:443 HTTP/1.1\r\nConnection: close\r\n\r\n";
    let (_, page) = tokio::join!(answer(&listener, refused), lab.ask(connect));
    assert_eq!(code(&page), "outproxy_refused", "{page}");
    // Local addresses are refused nevertheless.
    assert_eq!(code(&lab.get("http://127.0.0.1/").await), "local_address");
}

#[tokio::test(start_paused = true)]
async fn an_outproxy_gets_its_own_login_and_nobody_else_does() {
    let lab = Lab::with(|config| {
        let config = config.outproxy("exit.i2p:8888");
        config.outproxy_login("exit.i2p:8888", "ann", "sesame")
    });
    let lab = lab.await;
    let host = lab.host("exit.i2p").await;
    let listener = host.listen(8888).expect("free");
    let login = "Proxy-Authorization: Basic YW5uOnNlc2FtZQ==\r\n";
    let own = "Proxy-Authorization: Basic bWU6bXk=\r\n";
    let request = get("http://a.com/", &format!("{own}Connection: close\r\n"));
    let (seen, page) = tokio::join!(answer(&listener, OK), lab.ask(&request));
    assert!(page.ends_with("hello"), "{page}");
    assert!(seen.contains(login) && !seen.contains("bWU6bXk="), "{seen}");
    // The program must not be asked for the login.
    let refused =
        "HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n";
    let connect = "CONNECT a.com:443 HTTP/1.1\r\nConnection: close\r\n\r\n";
    for request in [connect, &get("http://a.com/", "Connection: close\r\n")] {
        let (seen, page) = tokio::join!(answer(&listener, refused), lab.ask(request));
        assert!(seen.contains(login), "{seen}");
        assert_eq!(status(&page), "502", "{page}");
        assert_eq!(code(&page), "outproxy_refused", "{page}");
        assert!(page.contains("outproxy_logins"), "{page}");
    }
    let (site, _) = lab.site("site.i2p").await;
    let (seen, page) = tokio::join!(answer(&site, OK), lab.get("http://site.i2p/"));
    assert!(!seen.to_lowercase().contains("authorization"), "{seen}");
    assert_eq!(status(&page), "200");
    let (_, page) = tokio::join!(answer(&site, refused), lab.get("http://site.i2p/"));
    assert_eq!(code(&page), "bad_response", "{page}");
}

#[tokio::test(start_paused = true)]
async fn names_of_the_address_book_and_destinations_are_reached() {
    let lab = Lab::new().await;
    let host = lab.host("elsewhere.i2p").await;
    let listener = host.listen(80).expect("free");
    let name = "mine.i2p".parse().expect("a name");
    let entry = eepkit_naming::Entry::new(host.destination().clone());
    lab.books.put(Book::Private, &name, &entry).expect("memory");
    let b32 = host.destination().to_b32();
    let base64 = host.destination().to_base64();
    for host in ["mine.i2p", "www.mine.i2p", "mine.i2p.alt", &b32, &base64] {
        let url = format!("http://{host}/");
        let (seen, page) = tokio::join!(answer(&listener, OK), lab.get(&url));
        assert_eq!(status(&page), "200", "{host} {page}");
        // A name that only this user has is not sent.
        assert!(seen.contains(&format!("\r\nHost: {b32}\r\n")), "{seen}");
        sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_host_name_is_sent_on_request() {
    let lab = Lab::with(|config| config.send_host_name(true)).await;
    let (listener, _) = lab.site("site.i2p").await;
    let (seen, _) = tokio::join!(answer(&listener, OK), lab.get("http://SITE.i2p/"));
    assert!(seen.contains("\r\nHost: site.i2p\r\n"), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_leaves_early_ends_its_request() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let mut socket = lab.client().await;
    socket
        .write_all(get("http://site.i2p/", "").as_bytes())
        .await
        .expect("writes");
    let mut stream = listener.accept().await.expect("accepts");
    head(&mut stream).await;
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    stream.write_all(large.as_bytes()).await.expect("writes");
    until(&mut socket, "\r\n\r\n").await;
    drop(socket);
    // The site is told, instead of sending all of it.
    let writing = async {
        loop {
            if stream.write_all(&[0; 10_000]).await.is_err() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(60), writing)
        .await
        .expect("a reset");
    sleep(Duration::from_secs(2)).await;
    let stats = lab.proxy.stats();
    assert_eq!((stats.connections, stats.streams), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_stops_while_requests_are_open() {
    let lab = Lab::new().await;
    let (listener, _) = lab.site("site.i2p").await;
    let mut waiting = lab.client().await;
    waiting
        .write_all(get("http://site.i2p/", "").as_bytes())
        .await
        .expect("writes");
    let _stream = listener.accept().await.expect("accepts");
    let mut idle = lab.client().await;
    timeout(Duration::from_secs(15), lab.proxy.stop())
        .await
        .expect("it stops");
    let mut end = Vec::new();
    let _ = idle.read_to_end(&mut end).await;
    assert!(end.is_empty());
    assert_eq!(lab.proxy.stats().connections, 0);
}
