//! Tests on a private network of real routers in this process, in real time.

use std::time::Duration;

use eepkit::{
    ConnectError, ConnectOptions, Devnet, Error, ErrorKind, Listener, LookupError, Preset, Router,
    Session, SessionStage, Stream, StreamError,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// All tests share one network, because starting it takes most of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_work_over_real_routers() {
    let net = Devnet::start(6).await.expect("the network starts");
    let server = session(&net, 0).await;
    let client = session(&net, 1).await;

    pings_right_after_first_contact_are_answered(&client, &server).await;
    data_arrives_intact_both_ways(&client, &server).await;
    streams_share_a_session(&client, &server).await;
    peers_answer_pings_and_lookups(&client, &server).await;
    each_failure_has_its_own_error(&client, &server).await;
    a_session_is_restored_with_its_router(&net, &client, server).await;

    client.close().await;
    assert_eq!(client.status().stage(), SessionStage::Closed);
    net.stop().await;
}

/// Each router is used by a session, and each session exchanges data with the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_routers_work_in_one_process() {
    let net = Devnet::start(ROUTERS).await.expect("the network starts");
    let opening = (0..ROUTERS).map(|router| session(&net, router));
    let sessions = futures_util::future::join_all(opening).await;
    let listeners: Vec<_> = sessions
        .iter()
        .map(|session| session.listen(80).expect("free"))
        .collect();
    let exchanging = (0..ROUTERS).map(|number| {
        let next = (number + 1) % ROUTERS;
        let (from, to, at) = (&sessions[number], &sessions[next], &listeners[next]);
        async move {
            let (mut near, mut far) = join(from, to, at).await;
            assert_eq!(far.peer(), from.destination());
            near.write_all(&vec![number as u8; 100_000])
                .await
                .expect("writes");
            near.shutdown().await.expect("shuts down");
            let mut received = Vec::new();
            far.read_to_end(&mut received).await.expect("reads");
            assert_eq!(received, vec![number as u8; 100_000]);
        }
    });
    let exchanging = futures_util::future::join_all(exchanging);
    within(Duration::from_secs(120), exchanging).await;
    drop((listeners, sessions));
    within(Duration::from_secs(30), net.stop()).await;
}

async fn session(net: &Devnet, router: usize) -> Session {
    Router::new(net.router(router))
        .session()
        .preset(Preset::Test)
        .tunnel_length(2)
        .open()
        .await
        .expect("a session opens")
}

async fn data_arrives_intact_both_ways(client: &Session, server: &Session) {
    let listener = server.listen(80).expect("free");
    let request: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 251) as u8).collect();
    let expected = request.clone();
    let serving = async {
        let stream = listener.accept().await.expect("accepts");
        assert_eq!(stream.peer(), client.destination());
        let (mut reader, mut writer) = stream.into_split();
        let count = tokio::io::copy(&mut reader, &mut writer)
            .await
            .expect("echoes");
        writer.shutdown().await.expect("shuts down");
        count
    };
    let asking = async {
        let stream = client
            .connect((server.destination(), 80))
            .await
            .expect("connects");
        let (mut reader, mut writer) = stream.into_split();
        let writing = async {
            writer.write_all(&request).await.expect("writes");
            writer.shutdown().await.expect("shuts down");
        };
        let mut answer = Vec::new();
        let (read, ()) = tokio::join!(reader.read_to_end(&mut answer), writing);
        read.expect("reads");
        answer
    };
    let both = async { tokio::join!(serving, asking) };
    let (count, answer) = within(Duration::from_secs(60), both).await;
    assert_eq!(count, 2_000_000);
    assert!(answer == expected, "the answer differs");
}

async fn streams_share_a_session(client: &Session, server: &Session) {
    let listener = server.listen(0).expect("free");
    let serving = async {
        for _ in 0..20 {
            let mut stream = listener.accept().await.expect("accepts");
            let number = stream.read_u32().await.expect("reads");
            stream.write_u32(number + 1).await.expect("writes");
            stream.shutdown().await.expect("shuts down");
        }
    };
    let asking = async {
        for number in 0..20 {
            let options = ConnectOptions::new().early_data(u32::to_be_bytes(number).to_vec());
            let to = (server.destination(), 1000 + number as u16);
            let mut stream = client.connect_with(to, &options).await.expect("connects");
            assert_eq!(stream.read_u32().await.expect("reads"), number + 1);
        }
    };
    within(Duration::from_secs(60), async {
        tokio::join!(serving, asking)
    })
    .await;
}

/// Repeated pings are the evidence of a lost encryption session, and first contact begins one.
async fn pings_right_after_first_contact_are_answered(client: &Session, server: &Session) {
    let listener = server.listen(81).expect("free");
    let (near, far) = tokio::join!(
        client.connect((server.destination(), 81)),
        listener.accept()
    );
    let (_near, _far) = (near.expect("connects"), far.expect("accepts"));
    for number in 0..15 {
        let answer = client.ping(server.destination()).await;
        assert!(answer.is_ok(), "ping {number}: {answer:?}");
    }
}

async fn peers_answer_pings_and_lookups(client: &Session, server: &Session) {
    let rtt = client.ping(server.destination()).await.expect("answers");
    assert!(rtt < Duration::from_secs(5), "{rtt:?}");
    let found = client.lookup(server.destination().to_b32()).await;
    assert_eq!(found.as_ref(), Ok(server.destination()));
}

async fn each_failure_has_its_own_error(client: &Session, server: &Session) {
    let limit = Duration::from_secs(60);
    let nobody_listens = client.connect((server.destination(), 9));
    let error = within(limit, nobody_listens).await.expect_err("refused");
    assert!(
        matches!(error, ConnectError::Refused { port: 9 }),
        "{error:?}"
    );

    let error = within(limit, client.lookup("nobody.i2p"))
        .await
        .expect_err("unknown");
    assert_eq!(error, LookupError::NameNotFound("nobody.i2p".to_owned()));

    let never_online =
        eepkit::PrivateKeys::generate(eepkit::SignatureType::ED25519, &mut rand::rng())
            .expect("keys can be made");
    let error = within(limit, client.connect(never_online.destination()))
        .await
        .expect_err("offline");
    assert_eq!(error.kind(), ErrorKind::LeaseSetNotFound, "{error:?}");
}

async fn a_session_is_restored_with_its_router(net: &Devnet, client: &Session, server: Session) {
    let listener = server.listen(80).expect("free");
    let (_near, mut far) = join(client, &server, &listener).await;

    let watch = server.watch();
    net.router(0).kill().await;
    let error = within(Duration::from_secs(10), far.read_u8())
        .await
        .expect_err("lost");
    assert!(
        matches!(StreamError::of(&error), Some(StreamError::SessionLost(_))),
        "{error:?}"
    );
    let lost = watch
        .reached(SessionStage::Lost, Duration::from_secs(10))
        .await;
    assert!(lost.problem().is_some(), "{lost:?}");

    net.router(0).restart().await.expect("the router is back");
    server
        .watch()
        .ready(Duration::from_secs(60))
        .await
        .expect("the session is back");
    assert_eq!(server.status().attempt(), 1);
    assert!(server.status().problem().is_none());
    server.close().await;
}

/// Opens a stream to port 80 and accepts it. If one side fails, the other does not wait.
async fn join(client: &Session, server: &Session, listener: &Listener) -> (Stream, Stream) {
    let connecting = async {
        let stream = client.connect((server.destination(), 80)).await;
        stream.map_err(Error::from)
    };
    let accepting = async { listener.accept().await.map_err(Error::from) };
    let both = async { tokio::try_join!(connecting, accepting) };
    within(Duration::from_secs(65), both)
        .await
        .expect("the peer accepts")
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, work).await {
        Ok(value) => value,
        Err(_) => panic!("not done after {limit:?}"),
    }
}

const ROUTERS: usize = 20;
