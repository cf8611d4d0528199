use eepkit_link::LostReason;
use tokio::net::TcpListener;

use super::*;

/// Accepts one client on a stream and waits for the end of its session.
async fn serve(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let mut peer = Peer::new(stream);
    peer.accept().await;
    assert_eq!(peer.recv().await, Some(Message::DestroySession(ID)));
    assert_eq!(peer.recv().await, None);
}

#[tokio::test]
async fn tcp_works() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let at = listener.local_addr().expect("bound");
    let serving = async { serve(listener.accept().await.expect("a client").0).await };
    let opening = async { drop(I2cpRouter::tcp(at).open(setup()).await.expect("opened")) };
    soon(async { tokio::join!(serving, opening) }).await;
}

#[tokio::test]
async fn a_lost_tcp_connection_reports_its_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let at = listener.local_addr().expect("bound");
    let serving = async {
        let mut peer = Peer::new(listener.accept().await.expect("a client").0);
        peer.accept().await;
    };
    let router = I2cpRouter::tcp(at);
    let (link, ()) = soon(async { tokio::join!(router.open(setup()), serving) }).await;
    let mut link = link.expect("opened");
    assert!(matches!(next(&mut *link).await, Event::Stage(_)));
    assert!(matches!(
        soon(next(&mut *link)).await,
        Event::Lost(LostReason::Connection(_))
    ));
}

#[tokio::test]
async fn an_address_without_a_listener_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let at = listener.local_addr().expect("bound");
    drop(listener);
    match open_error(&I2cpRouter::tcp(at)).await {
        LinkError::Unreachable { at: name, source } => {
            assert_eq!(name, format!("i2cp://{at}"));
            assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_port_that_closes_immediately_is_not_a_router() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let at = listener.local_addr().expect("bound");
    let router = I2cpRouter::tcp(at);
    let closing = async { drop(listener.accept().await) };
    let (error, ()) = tokio::join!(open_error(&router), closing);
    assert!(matches!(error, LinkError::NotARouter { .. }), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("i2cp.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("bound");
    let router: I2cpRouter = format!("i2cp+unix:{}", path.display())
        .parse()
        .expect("valid");
    let serving = async { serve(listener.accept().await.expect("a client").0).await };
    let opening = async { drop(router.open(setup()).await.expect("opened")) };
    soon(async { tokio::join!(serving, opening) }).await;
}

#[cfg(feature = "tls")]
mod tls {
    use std::net::SocketAddr;

    use tokio_rustls::{
        TlsAcceptor,
        rustls::{
            ServerConfig,
            crypto::ring,
            pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        },
    };

    use super::{super::super::Trust, *};

    /// A router's TLS acceptor and its certificate.
    struct Identity {
        acceptor: TlsAcceptor,
        pem: String,
    }

    fn identity() -> Identity {
        let made = rcgen::generate_simple_self_signed(["router".to_owned()]).expect("made");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("supported")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("they belong together");
        Identity {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            pem: made.cert.pem(),
        }
    }

    async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let at = listener.local_addr().expect("bound");
        (listener, at)
    }

    async fn works_with(identity: &Identity, router: impl FnOnce(SocketAddr) -> I2cpRouter) {
        let (listener, at) = listen().await;
        let router = router(at);
        let serving = async {
            let (stream, _) = listener.accept().await.expect("a client");
            serve(identity.acceptor.accept(stream).await.expect("a handshake")).await;
        };
        let opening = async { drop(router.open(setup()).await.expect("opened")) };
        soon(async { tokio::join!(serving, opening) }).await;
    }

    #[tokio::test]
    async fn the_known_certificate_is_accepted() {
        let identity = identity();
        let trust = Trust::from_bytes(identity.pem.as_bytes()).expect("a certificate");
        works_with(&identity, |at| I2cpRouter::tls(at, trust)).await;
    }

    #[tokio::test]
    async fn the_certificate_can_be_named_in_the_address() {
        let identity = identity();
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("router.crt");
        std::fs::write(&path, &identity.pem).expect("written");
        works_with(&identity, |at| {
            let address = format!("i2cps://{at}?certificate={}", path.display());
            address.parse().expect("valid")
        })
        .await;
    }

    #[tokio::test]
    async fn on_loopback_any_certificate_is_accepted() {
        works_with(&identity(), |at| {
            format!("i2cps://{at}").parse().expect("valid")
        })
        .await;
    }

    #[tokio::test]
    async fn another_certificate_is_refused() {
        let (listener, at) = listen().await;
        let trust = Trust::from_bytes(identity().pem.as_bytes()).expect("a certificate");
        let router = I2cpRouter::tls(at, trust);
        let shown = identity();
        let serving = async {
            let (stream, _) = listener.accept().await.expect("a client");
            assert!(shown.acceptor.accept(stream).await.is_err());
        };
        let (error, ()) = tokio::join!(open_error(&router), serving);
        match error {
            LinkError::NotARouter { why, .. } => assert!(why.contains("TLS"), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_without_a_certificate_are_refused() {
        assert_eq!(Trust::from_bytes(b"hello"), None);
        assert_eq!(Trust::from_bytes(b""), None);
        assert!(Trust::from_file("/no/such/file").is_err());
    }
}
