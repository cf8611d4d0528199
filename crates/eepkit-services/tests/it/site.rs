//! A web site, byte by byte, over the simulated network.

use std::{fs, time::Duration};

use eepkit::{Preset, Router, Server, Session, Stream, serve, sim::SimNet};
use eepkit_services::site::{MAX_CONNECTIONS, Site, SiteError};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout},
};

struct Lab {
    folder: TempDir,
    host: Session,
    visitor: Session,
    server: Server,
    net: SimNet,
}

impl Lab {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        fs::create_dir(folder.path().join("docs")).expect("created");
        for (name, content) in [
            ("index.html", "<h1>Start</h1>"),
            ("style.css", "body {}"),
            ("digits.txt", "0123456789"),
            (".htpasswd", "secret"),
            ("docs/index.html", "<h1>Docs</h1>"),
        ] {
            fs::write(folder.path().join(name), content).expect("written");
        }
        let net = SimNet::builder().delay(Duration::from_millis(50)).start();
        let [host, visitor] = [session(&net).await, session(&net).await];
        let site = Site::open(folder.path()).expect("a folder");
        assert!(site.has_start_page());
        let listener = host.listen(0).expect("the port is free");
        let server = serve(listener, site).max_streams(MAX_CONNECTIONS).start();
        Self {
            folder,
            host,
            visitor,
            server,
            net,
        }
    }

    async fn connect(&self) -> Stream {
        connect(&self.visitor, &self.host).await
    }

    /// Sends a request, with `Connection: close`, and returns the whole answer.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        let (first, rest) = request.split_once("\r\n").unwrap_or((request, ""));
        let request =
            format!("{first} HTTP/1.1\r\nHost: site.i2p\r\nConnection: close\r\n{rest}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        read_to_end(&mut stream).await
    }
}

async fn session(net: &SimNet) -> Session {
    let router = Router::new(net.router());
    let session = router.session().preset(Preset::Test).open().await;
    session.expect("a session opens")
}

async fn connect(from: &Session, to: &Session) -> Stream {
    let stream = from.connect(to.destination()).await;
    stream.expect("it listens")
}

async fn read_to_end(stream: &mut Stream) -> String {
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

/// The status line, the names of the header fields in lower case, and the body.
fn parts(answer: &str) -> (&str, Vec<String>, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().expect("a status line");
    let names = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.to_lowercase());
    (status, names.collect(), body)
}

#[tokio::test(start_paused = true)]
async fn files_and_start_pages_are_answered_without_date_and_server() {
    let lab = Lab::new().await;
    for (path, kind, content) in [
        ("/", "text/html", "<h1>Start</h1>"),
        ("/index.html", "text/html", "<h1>Start</h1>"),
        ("/style.css", "text/css", "body {}"),
        ("/docs/", "text/html", "<h1>Docs</h1>"),
        ("/digits.txt?query", "text/plain", "0123456789"),
    ] {
        let answer = lab.ask(&format!("GET {path}\r\n")).await;
        let (status, mut names, body) = parts(&answer);
        assert_eq!(status, "HTTP/1.1 200 OK", "{path}");
        assert_eq!(body, content, "{path}");
        assert!(
            answer.contains(&format!("content-type: {kind}")),
            "{answer}"
        );
        names.sort();
        let expected = [
            "accept-ranges",
            "connection",
            "content-length",
            "content-type",
            "etag",
            "last-modified",
        ];
        assert_eq!(names, expected, "{path}");
    }
    let answer = lab.ask("GET /docs\r\n").await;
    assert!(answer.contains("location: /docs/"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn ranges_and_conditional_requests_are_answered() {
    let lab = Lab::new().await;
    let answer = lab.ask("GET /digits.txt\r\nRange: bytes=2-4\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 206"), "{answer}");
    assert!(answer.contains("content-range: bytes 2-4/10"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n234"), "{answer}");

    let answer = lab.ask("GET /digits.txt\r\nRange: bytes=99-\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 416"), "{answer}");
    assert!(answer.contains("content-range: bytes */10"), "{answer}");

    let answer = lab.ask("HEAD /digits.txt\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-length: 10"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let modified = answer
        .lines()
        .find_map(|line| line.strip_prefix("last-modified: "))
        .expect("a date of the file");

    let tag = answer
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .expect("a tag of the content");
    for condition in [
        format!("If-Modified-Since: {modified}"),
        format!("If-None-Match: {tag}"),
    ] {
        let answer = lab
            .ask(&format!("GET /digits.txt\r\n{condition}\r\n"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 304"), "{condition}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_published_does_not_exist() {
    let lab = Lab::new().await;
    let outside = lab.folder.path().with_extension("secret");
    fs::write(&outside, "secret").expect("written");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&outside, lab.folder.path().join("link.txt")).expect("linked");
    let name = outside.file_name().expect("a name").to_string_lossy();
    for path in [
        "/missing.html",
        "/.htpasswd",
        "/%2Ehtpasswd",
        "/link.txt",
        &format!("/../{name}"),
        &format!("/%2e%2e%2f{name}"),
        &format!("/docs/..%2f..%2f{name}"),
    ] {
        let answer = lab.ask(&format!("GET {path}\r\n")).await;
        let (status, names, body) = parts(&answer);
        assert_eq!(status, "HTTP/1.1 404 Not Found", "{path}");
        assert_eq!(body, "404 Not Found\n", "{path}");
        assert!(!names.iter().any(|name| name == "date" || name == "server"));
    }
    fs::remove_file(outside).expect("removed");
}

#[tokio::test(start_paused = true)]
async fn other_methods_and_broken_requests_are_refused() {
    let lab = Lab::new().await;
    for method in ["POST", "DELETE", "OPTIONS", "CONNECT"] {
        let target = if method == "CONNECT" { "a.i2p:80" } else { "/" };
        let answer = lab.ask(&format!("{method} {target}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        assert!(answer.contains("allow: GET, HEAD"), "{answer}");
    }
    let mut stream = lab.connect().await;
    stream
        .write_all(b"no HTTP at all\r\n\r\n")
        .await
        .expect("sent");
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(!answer.to_lowercase().contains("date:"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_carries_several_requests_and_ends_when_idle() {
    let lab = Lab::new().await;
    let mut stream = lab.connect().await;
    for _ in 0..3 {
        let request = b"GET /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"0123456789") {
            let read = stream.read_buf(&mut answer).await.expect("received");
            assert!(read > 0, "the connection stays open");
        }
    }
    let began = Instant::now();
    read_to_end(&mut stream).await;
    let idle = began.elapsed();
    assert!(idle > Duration::from_secs(80), "{idle:?}");
    assert!(idle < Duration::from_secs(120), "{idle:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_its_direction_gets_its_answer() {
    let lab = Lab::new().await;
    let mut stream = lab.connect().await;
    let request = b"GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    stream.shutdown().await.expect("closed");
    let answer = read_to_end(&mut stream).await;
    assert!(answer.ends_with("body {}"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_opens_many_streams_leaves_room_for_others() {
    let lab = Lab::new().await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(lab.connect().await);
    }
    // The first of them still works, and the last one was reset.
    let mut first = held.remove(0);
    let request = b"GET /style.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    first.write_all(request).await.expect("sent");
    assert!(read_to_end(&mut first).await.ends_with("body {}"));
    let mut last = held.pop().expect("many streams");
    let ended = timeout(Duration::from_secs(10), read_to_end(&mut last)).await;
    assert_eq!(ended.as_deref(), Ok(""));

    let other = session(&lab.net).await;
    let mut stream = connect(&other, &lab.host).await;
    stream.write_all(request).await.expect("sent");
    assert!(read_to_end(&mut stream).await.ends_with("body {}"));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_answers_end() {
    let lab = Lab::new().await;
    let large = vec![b'x'; 300_000];
    fs::write(lab.folder.path().join("large.bin"), &large).expect("written");
    let mut stream = lab.connect().await;
    let request = b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut start = [0; 1000];
    stream.read_exact(&mut start).await.expect("it begins");
    let server = lab.server;
    let stopping = tokio::spawn(async move { server.shutdown(Duration::from_secs(60)).await });
    let answer = read_to_end(&mut stream).await;
    assert!(answer.len() + start.len() > large.len());
    assert_eq!(stopping.await.expect("it stops").aborted(), 0);
}

#[test]
fn only_folders_are_published() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    assert!(matches!(Site::open(&file), Err(SiteError::NotAFolder(_))));
    let missing = Site::open(folder.path().join("missing"));
    let error = missing.expect_err("it does not exist").to_string();
    assert!(error.contains("missing: No such file"), "{error}");
}
