//! The client of eepkit over the bridge of eepkit: sessions on a router that is reached over SAM.

use std::time::Duration;

use eepkit::{
    ConnectOptions, ErrorKind, Format, Preset, PrivateKeys, Router, SamRouter, Session,
    SessionStage, SignatureType, TunnelQuantityError,
};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{client_set, lab::Lab};

fn router(lab: &Lab) -> Router {
    Router::new(SamRouter::tcp(lab.tcp()).udp(lab.udp()))
}

async fn session(lab: &Lab) -> Session {
    let builder = router(lab).session().preset(Preset::Test);
    builder.open().await.expect("the bridge opens it")
}

#[tokio::test]
async fn streams_carry_bytes_both_ways() {
    let lab = Lab::new().await;
    let (client, server) = (session(&lab).await, session(&lab).await);
    client_set::streams_carry_bytes_both_ways(&client, &server).await;
}

#[tokio::test]
async fn several_streams_are_accepted_at_once() {
    let lab = Lab::new().await;
    let (client, server) = (session(&lab).await, session(&lab).await);
    client_set::several_streams_are_accepted(&client, &server, 3).await;
}

#[tokio::test]
async fn names_are_looked_up_and_pings_are_refused() {
    let lab = Lab::new().await;
    let (client, server) = (session(&lab).await, session(&lab).await);
    client_set::names_are_looked_up(&client, &server).await;
    client_set::pings_are_refused(&client, &server).await;
}

#[tokio::test]
async fn datagrams_of_every_format_arrive_in_one_session() {
    let lab = Lab::new().await;
    let (client, server) = (session(&lab).await, session(&lab).await);
    for format in Format::ALL {
        let arrived = client_set::datagrams_arrive(&client, &server, format, true).await;
        assert_eq!(arrived, Ok(()), "{format}");
    }
}

#[tokio::test]
async fn streams_work_over_every_version() {
    use eepkit_sam::Version;
    for version in Version::ALL {
        let lab = Lab::with(|builder| builder.configure(|config| config.max_version = version));
        let lab = lab.await;
        let (client, server) = (session(&lab).await, session(&lab).await);
        client_set::streams_carry_bytes_both_ways(&client, &server).await;
        client_set::several_streams_are_accepted(&client, &server, 1).await;
    }
}

#[tokio::test]
async fn streams_reach_the_listener_of_their_port() {
    let lab = Lab::new().await;
    let (client, server) = (session(&lab).await, session(&lab).await);
    let seven = server.listen(7).expect("it is free");
    let others = server.listen(0).expect("it is free");
    let options = ConnectOptions::new().local_port(5);
    let to = |port| (server.destination().clone(), port);
    let first = client.connect_with(to(7), &options);
    let (first, came) = tokio::join!(first, seven.accept());
    let (_first, came) = (first.expect("it listens"), came.expect("it comes"));
    assert_eq!((came.local_port(), came.peer_port()), (7, 5));
    let (second, came) = tokio::join!(client.connect(to(8)), others.accept());
    let (_second, came) = (second.expect("it listens"), came.expect("it comes"));
    assert_eq!((came.local_port(), came.peer_port()), (8, 0));
}

#[tokio::test]
async fn data_written_before_stream_and_session_close_arrives() {
    let lab = Lab::new().await;
    let (client, server) = (session(&lab).await, session(&lab).await);
    let listener = server.listen(0).expect("it is free");
    let writing = async {
        let options = ConnectOptions::new().early_data(&b"first "[..]);
        let to = server.destination();
        let mut stream = client.connect_with(to, &options).await.expect("it listens");
        stream.write_all(&[b'x'; 50_000]).await.expect("it leaves");
        drop(stream);
        client.close().await;
    };
    let reading = async {
        let mut stream = listener.accept().await.expect("it comes");
        stream.write_all(b"never read").await.expect("it leaves");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("it ends well");
        assert_eq!(bytes.len(), 50_006);
    };
    let both = timeout(Duration::from_secs(60), async {
        tokio::join!(writing, reading)
    });
    both.await.expect("done in time");
}

#[tokio::test]
async fn a_session_is_restored_with_its_destination_when_its_bridge_restarts() {
    let lab = Lab::new().await;
    let session = session(&lab).await;
    let listener = session.listen(0).expect("it is free");
    let destination = session.destination().clone();
    let at = lab.tcp();
    let watch = session.watch();
    lab.bridge.stop().await;
    let lost = watch
        .reached(SessionStage::Lost, Duration::from_secs(10))
        .await;
    assert_eq!(lost.stage(), SessionStage::Lost);

    let again = Lab::with(|builder| builder.listen(at)).await;
    session
        .watch()
        .ready(Duration::from_secs(60))
        .await
        .expect("it comes back");
    assert_eq!(*session.destination(), destination);
    let builder = Router::new(SamRouter::tcp(at)).session();
    let other = builder.preset(Preset::Test).open().await.expect("it opens");
    let (stream, came) = tokio::join!(other.connect(&destination), listener.accept());
    stream.expect("it listens again");
    came.expect("it comes");
    drop(again);
}

#[tokio::test]
async fn a_destination_that_is_already_online_is_an_error() {
    let lab = Lab::new().await;
    let mut rng = StdRng::seed_from_u64(1);
    let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made");
    let open = || {
        let builder = router(&lab).session().preset(Preset::Test);
        builder.keys(keys.clone()).open()
    };
    let _first = open().await.expect("it opens");
    let kind = open().await.expect_err("it is open").kind();
    assert_eq!(kind, ErrorKind::AddressInUse);
}

#[tokio::test]
async fn settings_that_sam_does_not_support_are_refused() {
    let lab = Lab::new().await;
    let builder = router(&lab)
        .session()
        .streaming(|config| config.with_max_paths(2));
    let kind = builder
        .open()
        .await
        .expect_err("the router's streams")
        .kind();
    assert_eq!(kind, ErrorKind::Unsupported);
    let builder = router(&lab).session().option("i2cp.username", "me");
    let kind = builder.open().await.expect_err("of I2CP").kind();
    assert_eq!(kind, ErrorKind::BadInput);

    let session = session(&lab).await;
    let socket = session.datagrams(Format::Datagram1).protocol(42).bind(0);
    assert_eq!(socket.expect_err("not raw").kind(), ErrorKind::Unsupported);
    let quantity = session.set_tunnel_quantity(3, 3);
    assert_eq!(quantity, Err(TunnelQuantityError::Unsupported));
    let sub = session.subsession().open().await;
    assert_eq!(sub.expect_err("not here").kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn an_unreachable_router_and_a_wrong_protocol_are_distinguished() {
    let nobody = Router::attach("sam://127.0.0.1:1").expect("an address");
    let kind = nobody.session().open().await.expect_err("nobody").kind();
    assert_eq!(kind, ErrorKind::RouterUnreachable);

    let other = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("free");
    let at = other.local_addr().expect("bound");
    let answering = tokio::spawn(async move {
        let (mut socket, _) = other.accept().await.expect("it comes");
        let _ = socket.write_all(b"220 mail.example ESMTP\r\n").await;
        let mut sink = Vec::new();
        let _ = socket.read_to_end(&mut sink).await;
    });
    let router = Router::attach(&format!("sam://{at}")).expect("an address");
    let kind = router.session().open().await.expect_err("mail").kind();
    assert_eq!(kind, ErrorKind::Protocol);
    answering.await.expect("no panic");
}

#[tokio::test]
async fn a_bridge_runs_on_a_router_that_has_only_sam() {
    use eepkit_services::sam::{SamBridge, SamConfig};

    let lab = Lab::new().await;
    let config = SamConfig::new()
        .listen(crate::lab::LOOPBACK.parse().expect("an address"))
        .udp(crate::lab::LOOPBACK.parse().expect("an address"));
    let upon = SamBridge::start(router(&lab), config)
        .await
        .expect("it starts");
    let client = async || {
        let socket = tokio::net::TcpStream::connect(upon.tcp_addrs()[0])
            .await
            .expect("it listens");
        let mut client = crate::lab::Client { socket };
        let reply = client.ask("HELLO VERSION").await;
        assert_eq!(reply, "HELLO REPLY RESULT=OK VERSION=3.3");
        client
    };
    let mut control = client().await;
    let reply = control
        .ask("SESSION CREATE STYLE=STREAM ID=a DESTINATION=TRANSIENT")
        .await;
    assert!(reply.starts_with("SESSION STATUS RESULT=OK "), "{reply}");
    let destination = control.me().await;
    let mut accepting = client().await;
    accepting.ask("STREAM ACCEPT ID=a").await;
    let mut connecting = client().await;
    let connect = format!("STREAM CONNECT ID=a DESTINATION={destination}");
    assert_eq!(connecting.ask(&connect).await, "STREAM STATUS RESULT=OK");
    accepting.line().await;
    connecting.write(b"through two").await;
    assert_eq!(accepting.exactly(11).await, b"through two");
    drop((control, accepting, connecting));
    upon.stop().await;
    lab.settles(|stats| stats.sessions == 0).await;
}
