//! Address books: look-ups of every service, the control socket, and subscriptions over the simulated
//! network.

use std::{sync::Arc, time::Duration};

use eepkit::{Destination, Listener, Preset, Router, Session, sim::SimNet};
use eepkit_files::faults::{Fault, inject};
use eepkit_naming::{AddressBook, Book, Entry};
use eepkit_services::{
    control::{Client, Control, Daemon, Setup},
    naming::{NameParams, Names},
    sam::SamConfig,
    service::{Context, Definition as _},
    socks::SocksConfig,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::{sleep, timeout},
};

fn books_with(name: &str, destination: &Destination) -> AddressBook {
    let books = AddressBook::in_memory().expect("memory");
    let entry = Entry::new(destination.clone());
    let name = name.parse().expect("a name");
    books.put(Book::User, &name, &entry).expect("memory");
    books
}

async fn session(net: &SimNet) -> Session {
    let router = Router::new(net.router());
    let session = router.session().preset(Preset::Test).open().await;
    session.expect("a session opens")
}

fn url(text: &str) -> NameParams {
    NameParams {
        url: Some(text.to_owned()),
        ..NameParams::default()
    }
}

fn name(text: &str) -> NameParams {
    NameParams {
        name: Some(text.to_owned()),
        ..NameParams::default()
    }
}

#[tokio::test(start_paused = true)]
async fn sam_and_socks_look_up_names_in_the_address_book() {
    let net = SimNet::builder().start();
    let host = session(&net).await;
    let listener = host.listen(80).expect("free");
    let names = Names::of(books_with("mine.i2p", host.destination()));
    let context = Context::new(Router::new(net.i2cp_router())).names(names);
    let any = "127.0.0.1:0".parse().expect("an address");

    let sam = SamConfig::new().listen(any).without_udp();
    let bridge = sam.launch(&context).await.expect("starts");
    let socket = TcpStream::connect(bridge.tcp_addrs()[0]).await;
    let mut socket = BufReader::new(socket.expect("listens"));
    let mut line = String::new();
    for command in ["HELLO VERSION\n", "NAMING LOOKUP NAME=www.Mine.i2p\n"] {
        socket
            .get_mut()
            .write_all(command.as_bytes())
            .await
            .expect("writes");
        line.clear();
        socket.read_line(&mut line).await.expect("answers");
    }
    let base64 = host.destination().to_base64();
    let expected = format!("NAMING REPLY RESULT=OK NAME=www.Mine.i2p VALUE={base64}\n");
    assert_eq!(line, expected);

    let socks = SocksConfig::new().listen([any]);
    let proxy = socks.launch(&context).await.expect("starts");
    let mut socket = TcpStream::connect(proxy.tcp_addrs()[0])
        .await
        .expect("listens");
    let request = b"\x05\x01\x00\x05\x01\x00\x03\x08mine.i2p\x00\x50";
    socket.write_all(request).await.expect("writes");
    let accepted = timeout(Duration::from_secs(60), listener.accept()).await;
    accepted.expect("in time").expect("accepts");
    let mut reply = [0; 4];
    socket.read_exact(&mut reply).await.expect("answers");
    assert_eq!(reply, [5, 0, 5, 0]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_asks_the_daemon_that_has_the_store_open() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("addressbook.redb");
    let socket = directory.path().join("control.sock");
    let someone = SimNet::builder().start();
    let destination = session(&someone).await.destination().clone();
    let program = Names::on_demand(&file, Some(socket.clone()));
    let add = |text: &str| NameParams {
        target: Some(destination.to_base64()),
        ..name(text)
    };
    // Without a daemon, the program uses the file itself. Reading does not create it.
    let resolved = program
        .call("names.resolve", name("a.i2p"))
        .await
        .expect("works");
    assert!(resolved["target"].is_null() && !file.exists());
    program
        .call("names.add", add("a.i2p"))
        .await
        .expect("added");

    let daemon_names = Names::of(AddressBook::open(&file).expect("it is free"));
    let (daemon, _orders) = Daemon::new(Setup {
        version: "1".to_owned(),
        config: None,
        router: "sim".to_owned(),
        embedded: false,
    });
    // Without an answer of the daemon, the error says what has the file.
    let error = program
        .call("names.add", add("b.i2p"))
        .await
        .expect_err("in use");
    assert_eq!(error.code, "io");
    assert!(
        error
            .message
            .contains("another program has the address book"),
        "{error}"
    );

    daemon.set_further_methods(Arc::new(daemon_names.clone()));
    let control = Control::bind(socket.clone(), Arc::new(daemon))
        .await
        .expect("free");
    program
        .call("names.add", add("b.i2p"))
        .await
        .expect("added");
    for name_of in ["a.i2p", "b.i2p"] {
        let resolved = daemon_names.call("names.resolve", name(name_of)).await;
        assert_eq!(resolved.expect("works")["target"], destination.to_base64());
        let resolved = program.call("names.resolve", name(name_of)).await;
        assert_eq!(resolved.expect("works")["target"], destination.to_base64());
    }
    let error = program
        .call("names.remove", name("c.i2p"))
        .await
        .expect_err("unknown");
    assert_eq!(error.code, "name_not_found");
    // Sessions of the program use the daemon's names.
    let router = Router::new(someone.router()).with_names(program);
    let client = router
        .session()
        .preset(Preset::Test)
        .open()
        .await
        .expect("opens");
    assert_eq!(client.lookup("b.i2p").await.as_ref(), Ok(&destination));

    let mut client = Client::connect(&socket).await.expect("listens");
    let version = client
        .call("version", Value::Null, Duration::from_secs(5))
        .await;
    let methods = version.expect("works")["methods"].clone();
    assert!(
        methods
            .as_array()
            .is_some_and(|list| list.contains(&json!("names.add")))
    );
    let wrong = client
        .call("names.add", json!({ "nme": "x" }), Duration::from_secs(5))
        .await;
    assert!(wrong.expect_err("unknown key").to_string().contains("nme"));
    control.close().await;
}

/// Answers the next request, and returns its head.
async fn answer(listener: &Listener, answer: &[u8]) -> String {
    let accepted = timeout(Duration::from_secs(100_000), listener.accept()).await;
    let mut stream = accepted.expect("it is fetched").expect("accepts");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("reads"));
    }
    stream.write_all(answer).await.expect("writes");
    stream.shutdown().await.expect("shuts down");
    sleep(Duration::from_secs(5)).await;
    String::from_utf8(head).expect("text")
}

async fn state(names: &Names) -> Value {
    let status = names.call("names.status", NameParams::default()).await;
    status.expect("works")["subscriptions"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_fetched_over_i2p_and_merged() {
    let net = SimNet::builder().start();
    let (site, first, second) = (
        session(&net).await,
        session(&net).await,
        session(&net).await,
    );
    let listener = site.listen(80).expect("free");
    let books = books_with("feed.i2p", site.destination());
    let names = Names::of(books.clone());
    let subscription = "http://feed.i2p/hosts.txt?x";
    names
        .call("names.subscribe", url(subscription))
        .await
        .expect("added");
    let router = Router::new(net.i2cp_router()).with_names(names.clone());
    let fetching = tokio::spawn({
        let names = names.clone();
        async move { names.fetch_subscriptions(router).await }
    });

    let (one, other) = (
        first.destination().to_base64(),
        second.destination().to_base64(),
    );
    let feed = format!("new.i2p={one}\nbroken line\n");
    let head = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: then";
    let page = format!("{head}\r\nContent-Length: {}\r\n\r\n{feed}", feed.len());
    let request = answer(&listener, page.as_bytes()).await;
    let b32 = site.destination().to_b32();
    assert!(
        request.starts_with(&format!("GET /hosts.txt?x HTTP/1.1\r\nHost: {b32}\r\n")),
        "{request}"
    );
    assert!(
        request.contains("\r\nUser-Agent: MYOB/6.66 (AN/ON)\r\n"),
        "{request}"
    );
    let found = books
        .look_up(&"new.i2p".parse().expect("a name"))
        .expect("memory");
    assert_eq!(found.map(|found| found.book), Some(Book::Shared));
    let done = state(&names).await;
    assert_eq!(
        (&done["etag"], &done["failures"]),
        (&json!("\"1\""), &json!(0))
    );

    // The list has not changed.
    let request = answer(&listener, b"HTTP/1.1 304 Not Modified\r\n\r\n").await;
    assert!(
        request.contains("\r\nIf-None-Match: \"1\"\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\nIf-Modified-Since: then\r\n"),
        "{request}"
    );
    assert_eq!(state(&names).await["failures"], 0);

    // An attempt to take over a name is a conflict; a connection that is cut changes nothing.
    let feed = format!("new.i2p={other}\nlater.i2p={other}\n");
    let page = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{feed}",
        feed.len()
    );
    answer(&listener, &page.as_bytes()[..page.len() - 20]).await;
    let failed = state(&names).await;
    assert_eq!(failed["failures"], 1, "{failed}");
    assert_eq!(
        books
            .look_up(&"later.i2p".parse().expect("a name"))
            .expect("memory"),
        None
    );
    answer(&listener, page.as_bytes()).await;
    let explained = names
        .call("names.explain", name("new.i2p"))
        .await
        .expect("works");
    assert_eq!(explained["address"], first.destination().to_b32());
    assert_eq!(
        explained["conflicts"][0]["address"],
        second.destination().to_b32()
    );

    // A site cannot redirect to the public Internet.
    let redirect =
        b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n";
    answer(&listener, redirect).await;
    assert_eq!(state(&names).await["failures"], 1);

    names
        .call("names.unsubscribe", url(subscription))
        .await
        .expect("removed");
    let accepted = timeout(Duration::from_secs(200_000), listener.accept()).await;
    assert!(accepted.is_err());
    fetching.abort();
}

/// Fetches a list of one name once. Returns the state of the subscription, and whether the name is in
/// the address book.
async fn fetch_once() -> (Value, bool) {
    let net = SimNet::builder().start();
    let site = session(&net).await;
    let listener = site.listen(80).expect("free");
    let books = books_with("feed.i2p", site.destination());
    let names = Names::of(books.clone());
    names
        .call("names.subscribe", url("http://feed.i2p/hosts.txt"))
        .await
        .expect("added");
    let router = Router::new(net.i2cp_router()).with_names(names.clone());
    let fetching = tokio::spawn({
        let names = names.clone();
        async move { names.fetch_subscriptions(router).await }
    });
    let feed = format!("new.i2p={}\n", site.destination().to_base64());
    let length = feed.len();
    let page = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{feed}");
    answer(&listener, page.as_bytes()).await;
    let state = state(&names).await;
    let found = books.look_up(&"new.i2p".parse().expect("a name"));
    fetching.abort();
    (state, found.expect("memory").is_some())
}

#[test]
fn a_full_disk_fails_a_fetch_and_changes_no_name() {
    let run = |fault, at| {
        inject(fault, at, || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build();
            runtime.expect("a runtime").block_on(fetch_once())
        })
    };
    for fault in [Fault::Error(28), Fault::Short(28), Fault::Error(24)] {
        let mut at = 0;
        loop {
            let ((state, is_known), is_faulty) = run(fault, at);
            if !is_faulty {
                assert!(is_known, "{state}");
                assert_eq!(state["failures"], 0, "{state}");
                break;
            }
            assert!(!is_known, "{fault:?} {at}: {state}");
            assert_eq!(state["failures"], 1, "{fault:?} {at}: {state}");
            at += 1;
        }
        assert!(at > 0, "the download is written to a file");
    }
}
