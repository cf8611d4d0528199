//! Addresses and capabilities of routers.

use eepkit::{AttachError, ErrorKind, OpenError, Router};

use crate::lab::{Lab, Link, over_both_links};

over_both_links! {
    more_than_one_path_needs_a_router_that_reports_its_tunnels,
    impossible_numbers_of_tunnels_are_refused,
}

async fn more_than_one_path_needs_a_router_that_reports_its_tunnels(link: Link) {
    let lab = Lab::new(link);
    let opened = lab
        .builder()
        .streaming(|config| config.with_max_paths(2))
        .open()
        .await;
    match link {
        Link::Direct => drop(opened.expect("it reports them")),
        Link::I2cp => {
            let error = opened.expect_err("it does not report them");
            assert!(matches!(error, OpenError::Unsupported(_)), "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }
}

async fn impossible_numbers_of_tunnels_are_refused(link: Link) {
    let session = Lab::new(link).session().await;
    for (inbound, outbound) in [(0, 2), (2, 17)] {
        let error = session
            .set_tunnel_quantity(inbound, outbound)
            .expect_err("out of range");
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }
}

#[test]
fn addresses_of_all_schemes_are_attached_to() {
    for address in [
        "i2cp://127.0.0.1:7654",
        "i2cp://localhost",
        "sam://127.0.0.1",
        "sam://user:password@127.0.0.1:7656?udp=7655",
    ] {
        let router = Router::attach(address).expect(address);
        assert!(router.watch().is_none(), "{address} runs elsewhere");
        assert_eq!(router.makes_streams(), address.starts_with("sam"));
    }
    for address in ["", "embedded", "http://127.0.0.1", "i2cp://example.com"] {
        let error = Router::attach(address).expect_err(address);
        assert!(matches!(error, AttachError::Address(_)), "{error:?}");
    }
}

#[cfg(feature = "embedded")]
mod attach_or_start {
    use std::{net::SocketAddr, path::Path};

    use eepkit::{EmbeddedBuilder, EmbeddedRouter, Error, Router, StartError, sim::SimNet};
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::TcpListener,
    };

    /// A router of a network of its own that knows no other router and uses loopback only.
    fn alone(dir: &Path) -> EmbeddedBuilder {
        EmbeddedRouter::builder(dir)
            .private_network(99, Vec::new())
            .host([127, 0, 0, 1].into())
            .ssu2(None)
    }

    /// A loopback address at which nothing listens.
    async fn closed() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("bound")
    }

    /// A server that answers one connection with `answer` after the first line.
    async fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("a connection");
            let mut socket = BufReader::new(socket);
            let mut line = String::new();
            socket.read_line(&mut line).await.expect("a line");
            socket.write_all(answer.as_bytes()).await.expect("written");
            // Holds the connection until the client closes it.
            let _ = socket.read_line(&mut line).await;
        });
        at
    }

    #[tokio::test]
    async fn an_i2cp_router_that_answers_is_used() {
        let net = SimNet::builder().start();
        let at = net.i2cp_listen("127.0.0.1:0").await.expect("a port");
        let dir = tempfile::tempdir().expect("a directory");
        let address = format!("i2cp://{at}");

        let router = Router::attach_or_start(&address, alone(dir.path()))
            .await
            .expect("it answers");

        assert_eq!(router.name(), address);
        assert!(router.watch().is_none(), "it runs elsewhere");
        assert_eq!(dir.path().read_dir().expect("readable").count(), 0);
        router.session().open().await.expect("a session opens");
    }

    #[tokio::test]
    async fn a_sam_bridge_that_answers_is_used() {
        let at = answering("HELLO REPLY RESULT=OK VERSION=3.3\n").await;
        let dir = tempfile::tempdir().expect("a directory");

        let router = Router::attach_or_start(&format!("sam://{at}"), alone(dir.path()))
            .await
            .expect("it answers");

        assert!(router.makes_streams() && router.watch().is_none());
        assert_eq!(dir.path().read_dir().expect("readable").count(), 0);
    }

    #[tokio::test]
    async fn something_else_that_answers_is_an_error() {
        let at = answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let dir = tempfile::tempdir().expect("a directory");

        let error = Router::attach_or_start(&format!("sam://{at}"), alone(dir.path()))
            .await
            .expect_err("it is no router");

        assert!(matches!(error, Error::Open(_)), "{error:?}");
        assert_eq!(dir.path().read_dir().expect("readable").count(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn where_nothing_answers_an_embedded_router_starts() {
        for scheme in ["i2cp", "sam"] {
            let dir = tempfile::tempdir().expect("a directory");
            let address = format!("{scheme}://{}", closed().await);

            let router = Router::attach_or_start(&address, alone(dir.path()))
                .await
                .expect("it starts");

            assert!(router.watch().is_some(), "it runs in this process");
            assert!(!router.makes_streams());
            router.shutdown().await;
        }
    }

    #[tokio::test]
    async fn an_embedded_router_that_cannot_start_is_reported() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("written");

        let error = Router::attach_or_start(&format!("i2cp://{}", closed().await), alone(&file))
            .await
            .expect_err("its directory is a file");

        assert!(
            matches!(error, Error::Start(StartError::State(_))),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn an_address_of_another_form_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = Router::attach_or_start("embedded", alone(dir.path()))
            .await
            .expect_err("no address");
        assert!(matches!(error, Error::Attach(_)), "{error:?}");
    }
}
