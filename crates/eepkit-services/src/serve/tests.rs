use std::{net::SocketAddr, sync::Mutex};

use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, sleep},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::*;
use crate::tls;

const ANY: &str = "127.0.0.1:0";

fn tcp() -> Endpoint {
    Endpoint::Tcp(ANY.parse().expect("an address"))
}

/// A server that sends a greeting to each client and echoes until the client or the server ends.
async fn echo(limits: Limits, endpoints: Vec<Endpoint>) -> (Server, Addresses) {
    let listeners = Listeners::bind(endpoints).await.expect("free");
    let addresses = listeners.addresses().clone();
    let server = Server::new(limits);
    let handle = server.handle();
    server.serve(listeners, move |connection| {
        let handle = handle.clone();
        async move {
            let mut socket = connection.socket;
            if socket.write_all(b"hello").await.is_err() || socket.flush().await.is_err() {
                return;
            }
            let (mut reader, mut writer) = tokio::io::split(socket);
            tokio::select! {
                _ = tokio::io::copy(&mut reader, &mut writer) => {}
                () = handle.closing().cancelled() => {}
            }
        }
    });
    (server, addresses)
}

async fn greeted(at: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(at).await.expect("it listens");
    let mut hello = [0; 5];
    client.read_exact(&mut hello).await.expect("a greeting");
    client
}

#[tokio::test]
async fn hundreds_of_clients_may_wait_to_be_accepted() {
    let (server, addresses) = echo(Limits::new(1000), vec![tcp()]).await;
    // Nothing is accepted meanwhile, because this thread runs the server.
    let waiting: Vec<_> = (0..500)
        .map(|_| std::net::TcpStream::connect_timeout(&addresses.tcp[0], Duration::from_secs(1)))
        .collect();
    assert!(waiting.iter().all(Result::is_ok));

    settles(&server.handle(), 500).await;
    drop(waiting);
    settles(&server.handle(), 0).await;
}

async fn settles(handle: &Handle, connections: usize) {
    let settled = timeout(Duration::from_secs(30), async {
        while handle.connections() != connections {
            sleep(Duration::from_millis(5)).await;
        }
    });
    settled.await.expect("the connections end");
}

/// The identity of a server, and the configuration of its clients.
fn identity() -> (tls::Identity, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let dir = tempfile::tempdir().expect("a directory");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let identity = tls::Identity::new(tls::server(&cert, &key).expect("they fit"));
    let connector = TlsConnector::from(tls::client(&cert).expect("a certificate"));
    (identity, connector)
}

async fn greeted_tls(
    at: SocketAddr,
    connector: &TlsConnector,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    let socket = TcpStream::connect(at).await.expect("it listens");
    let mut client = connector.connect(name, socket).await?;
    client.read_exact(&mut [0; 5]).await?;
    Ok(client)
}

#[tokio::test]
async fn several_transports_are_served_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("echo.sock");
    let (identity, connector) = identity();
    let mut endpoints = vec![
        tcp(),
        Endpoint::Tls(ANY.parse().expect("an address"), identity),
    ];
    if cfg!(unix) {
        endpoints.push(Endpoint::Unix(path.clone()));
    }
    let (server, addresses) = echo(Limits::new(10), endpoints).await;
    let _plain = greeted(addresses.tcp[0]).await;
    let _tls = greeted_tls(addresses.tcp[1], &connector)
        .await
        .expect("a greeting");
    #[cfg(unix)]
    {
        let mut client = tokio::net::UnixStream::connect(&path)
            .await
            .expect("it listens");
        client.read_exact(&mut [0; 5]).await.expect("a greeting");
        assert_eq!(server.handle().connections(), 3);
    }
    server.shutdown(Duration::from_secs(5)).await;
    assert!(!path.exists(), "the file is removed");
    assert_eq!(server.handle().connections(), 0);
}

#[tokio::test]
async fn clients_beyond_the_limit_get_a_message_and_are_counted() {
    let limits = Limits::new(2).refusal("too many\n");
    let (server, addresses) = echo(limits, vec![tcp()]).await;
    let held = [
        greeted(addresses.tcp[0]).await,
        greeted(addresses.tcp[0]).await,
    ];
    let mut refused = TcpStream::connect(addresses.tcp[0])
        .await
        .expect("it listens");
    // Unread input of the client does not prevent it from reading the message.
    refused.write_all(&[b'x'; 4096]).await.expect("taken");
    let mut told = String::new();
    refused.read_to_string(&mut told).await.expect("told");
    assert_eq!(told, "too many\n");
    assert_eq!(server.handle().refused(), 1);
    drop(held);
    settles(&server.handle(), 0).await;
    greeted(addresses.tcp[0]).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_beyond_its_own_limit_does_not_exclude_others() {
    let limits = Limits::new(3).per_client(2, "too many of yours\n");
    let (server, addresses) = echo(limits, vec![tcp()]).await;
    let at = addresses.tcp[0];
    let held = [greeted(at).await, greeted(at).await];
    let mut refused = TcpStream::connect(at).await.expect("it listens");
    let mut told = String::new();
    refused.read_to_string(&mut told).await.expect("told");
    assert_eq!(told, "too many of yours\n");
    assert_eq!(server.handle().refused(), 1);
    // On Linux each address of 127.0.0.0/8 can be the source.
    let other = tokio::net::TcpSocket::new_v4().expect("a socket");
    other
        .bind("127.0.0.2:0".parse().expect("an address"))
        .expect("free");
    let mut other = other.connect(at).await.expect("it listens");
    other.read_exact(&mut [0; 5]).await.expect("a greeting");
    drop(held);
    settles(&server.handle(), 1).await;
    greeted(at).await;
}

#[tokio::test]
async fn a_tls_handshake_counts_as_a_connection_until_its_time_limit() {
    let (identity, connector) = identity();
    let limits = Limits::new(2).handshake(Duration::from_millis(300));
    let endpoint = Endpoint::Tls(ANY.parse().expect("an address"), identity);
    let (server, addresses) = echo(limits, vec![endpoint]).await;
    let at = addresses.tcp[0];
    let silent = [
        TcpStream::connect(at).await.expect("it listens"),
        TcpStream::connect(at).await.expect("it listens"),
    ];
    settles(&server.handle(), 2).await;
    assert!(greeted_tls(at, &connector).await.is_err(), "it is full");
    assert_eq!(server.handle().refused(), 1);
    settles(&server.handle(), 0).await;
    greeted_tls(at, &connector).await.expect("room again");
    drop(silent);
}

#[tokio::test]
async fn a_certificate_can_be_replaced_while_clients_are_connected() {
    let (first, trusts_first) = identity();
    let (second, trusts_second) = identity();
    let endpoint = Endpoint::Tls(ANY.parse().expect("an address"), first.clone());
    let (_server, addresses) = echo(Limits::new(9), vec![endpoint]).await;
    let at = addresses.tcp[0];
    let mut before = greeted_tls(at, &trusts_first).await.expect("trusted");
    first.replace(second.current());
    assert!(greeted_tls(at, &trusts_first).await.is_err());
    greeted_tls(at, &trusts_second).await.expect("trusted");
    before.write_all(b"still").await.expect("open");
    before.read_exact(&mut [0; 5]).await.expect("open");
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_connections_until_the_grace_period_ends() {
    let listeners = Listeners::bind([tcp()]).await.expect("free");
    let at = listeners.addresses().tcp[0];
    let server = Server::new(Limits::new(10));
    let ended = Arc::new(Mutex::new(Vec::new()));
    let notes = ended.clone();
    server.serve(listeners, move |mut connection| {
        let notes = notes.clone();
        async move {
            let seconds = connection.socket.read_u8().await.expect("a number");
            sleep(Duration::from_secs(seconds.into())).await;
            notes.lock().expect("no panic").push(seconds);
        }
    });
    let mut clients = Vec::new();
    for seconds in [3, 100] {
        let mut client = TcpStream::connect(at).await.expect("it listens");
        client.write_u8(seconds).await.expect("taken");
        clients.push(client);
    }
    settles(&server.handle(), 2).await;
    let began = Instant::now();
    server.shutdown(Duration::from_secs(10)).await;
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(*ended.lock().expect("no panic"), [3]);
    assert_eq!(server.handle().tasks(), 0);
    assert!(TcpStream::connect(at).await.is_err(), "it listens no more");
}

#[tokio::test]
async fn a_dropped_server_ends_its_connections() {
    let (server, addresses) = echo(Limits::new(10), vec![tcp()]).await;
    let mut client = greeted(addresses.tcp[0]).await;
    let handle = server.handle();
    drop(server);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
    settles(&handle, 0).await;
}

#[tokio::test]
async fn an_aborted_connection_is_an_error_for_its_peer() {
    let listener = tokio::net::TcpListener::bind(ANY).await.expect("free");
    let at = listener.local_addr().expect("bound");
    let (client, accepted) = tokio::join!(TcpStream::connect(at), listener.accept());
    let mut client = client.expect("it listens");
    Socket::Tcp(accepted.expect("it comes").0).abort();
    let error = client.read(&mut [0; 1]).await.expect_err("reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_address_in_use_is_named_in_the_error() {
    let first = Listeners::bind([tcp()]).await.expect("free");
    let taken = first.addresses().tcp[0];
    let error = Listeners::bind([Endpoint::Tcp(taken)])
        .await
        .expect_err("taken");
    assert_eq!(error.to_string(), format!("cannot listen on {taken}"));
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
}
