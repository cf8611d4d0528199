//! STREAM FORWARD with SSL=true.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivateKeyDer},
    server::TlsStream,
};

use crate::lab::{LOOPBACK, Lab};

/// A server with a certificate for `name`, and the certificate to trust.
fn certificate(name: &str) -> (TlsAcceptor, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("made");
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("they fit");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), Arc::new(client))
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(LOOPBACK).await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

async fn line(socket: &mut TlsStream<TcpStream>) -> String {
    let mut line = Vec::new();
    loop {
        match socket.read_u8().await.expect("a line") {
            b'\n' => return String::from_utf8(line).expect("text"),
            byte => line.push(byte),
        }
    }
}

#[tokio::test]
async fn streams_are_forwarded_over_tls_to_trusted_servers() {
    for (name, rest) in [
        ("localhost", " HOST=localhost"),
        ("127.0.0.1", ""),
        ("127.0.0.1", " HOST=127.0.0.1"),
    ] {
        for silent in [false, true] {
            let (server, trust) = certificate(name);
            let lab = Lab::with(|builder| builder.forward_tls(trust)).await;
            let (_a, peer) = lab.session("a", "STYLE=STREAM").await;
            let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
            let (listener, port) = listener().await;
            let mut forwarding = lab.client("3.2").await;
            let forward = format!("STREAM FORWARD ID=b PORT={port}{rest} SSL=true SILENT={silent}");
            assert_eq!(forwarding.ask(&forward).await, "STREAM STATUS RESULT=OK");

            let mut connecting = lab.client("3.1").await;
            let connect = format!("STREAM CONNECT ID=a DESTINATION={destination}");
            assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
            connecting.write(b"hi").await;
            let (socket, _) = listener.accept().await.expect("the bridge comes");
            let mut served = server.accept(socket).await.expect("it speaks TLS");
            if !silent {
                assert_eq!(
                    line(&mut served).await,
                    format!("{peer} FROM_PORT=0 TO_PORT=0")
                );
            }
            let mut bytes = [0; 2];
            served.read_exact(&mut bytes).await.expect("the bytes");
            assert_eq!(&bytes, b"hi");
            served.write_all(b"ho").await.expect("written");
            served.shutdown().await.expect("closed");
            assert_eq!(connecting.exactly(2).await, b"ho");
            assert_eq!(connecting.rest().await, b"");
            drop((connecting, served, forwarding, _a, _b));
            lab.empties().await;
        }
    }
}

#[tokio::test]
async fn a_stream_to_an_untrusted_server_is_reset() {
    let (server, _) = certificate("localhost");
    let (_, another) = certificate("localhost");
    let (wrong_name, trusts_wrong_name) = certificate("elsewhere");
    for (server, trust) in [(server, another), (wrong_name, trusts_wrong_name)] {
        let lab = Lab::with(|builder| builder.forward_tls(trust)).await;
        let (_a, _) = lab.session("a", "STYLE=STREAM").await;
        let (_b, destination) = lab.session("b", "STYLE=STREAM").await;
        let (listener, port) = listener().await;
        let mut forwarding = lab.client("3.2").await;
        let forward = format!("STREAM FORWARD ID=b PORT={port} HOST=localhost SSL=true");
        assert_eq!(forwarding.ask(&forward).await, "STREAM STATUS RESULT=OK");
        let mut connecting = lab.client("3.1").await;
        let connect = format!("STREAM CONNECT ID=a DESTINATION={destination} SILENT=true");
        connecting.say(&connect).await;
        connecting.write(b"secret").await;
        let (socket, _) = listener.accept().await.expect("the bridge comes");
        // The server gets no data, because the TLS handshake fails at the certificate.
        assert!(server.accept(socket).await.is_err());
        assert_eq!(connecting.rest().await, b"");
        drop((connecting, forwarding, _a, _b));
        lab.empties().await;
    }
}

#[tokio::test]
async fn forwarding_over_tls_is_refused_without_trusted_certificates() {
    let lab = Lab::new().await;
    let (_a, _) = lab.session("a", "STYLE=STREAM").await;
    let mut forwarding = lab.client("3.2").await;
    assert_eq!(
        forwarding.ask("STREAM FORWARD ID=a PORT=9 SSL=true").await,
        "STREAM STATUS RESULT=I2P_ERROR \
         MESSAGE=\"SSL=true needs certificates, which this bridge was not given\""
    );
    assert_eq!(forwarding.rest().await, b"");
}
