//! Each cause of failure has its own error, which is reported in bounded time.

use std::time::Duration;

use eepkit::{
    Address, AddressError, ConnectError, ConnectOptions, Error, ErrorKind, Hash, LookupError,
    OpenError, PingError, PingOptions, Preset, Router,
};
use tokio::net::TcpListener;

use crate::lab::{Lab, Link, join, over_both_links, within};

over_both_links!(
    a_port_without_a_listener_refuses,
    an_unknown_name_is_not_found,
    an_unknown_hash_is_not_found,
    a_malformed_destination_is_bad_input,
    a_destination_that_was_never_online_has_no_lease_set,
    an_unreachable_destination_times_out,
    a_ping_without_answer_ends_at_its_limit,
    a_ping_returns_the_round_trip_time,
    the_host_map_of_a_session_takes_precedence,
    an_address_book_answers_before_the_router,
    cancelled_connects_leave_the_session_usable,
);

async fn a_port_without_a_listener_refuses(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let connecting = client.connect((server.destination(), 4));
    let error = within(Duration::from_secs(5), connecting)
        .await
        .expect_err("refused");
    assert!(
        matches!(error, ConnectError::Refused { port: 4 }),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(Error::from(error).hint().is_some());
}

async fn an_unknown_name_is_not_found(link: Link) {
    let session = Lab::new(link).session().await;
    let error = within(Duration::from_secs(5), session.connect("nobody.i2p"))
        .await
        .expect_err("unknown");
    assert!(
        matches!(&error, ConnectError::Lookup(LookupError::NameNotFound(name)) if name == "nobody.i2p"),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::NameNotFound);
}

async fn an_unknown_hash_is_not_found(link: Link) {
    let session = Lab::new(link).session().await;
    let error = within(
        Duration::from_secs(60),
        session.connect(Hash::of(b"nobody")),
    )
    .await
    .expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::LeaseSetNotFound, "{error:?}");
    let error = within(Duration::from_secs(60), session.lookup(Hash::of(b"nobody")))
        .await
        .expect_err("unknown");
    assert_eq!(error, LookupError::LeaseSetNotFound);
}

async fn a_malformed_destination_is_bad_input(link: Link) {
    let session = Lab::new(link).session().await;
    let mut text = session.destination().to_base64();
    text.truncate(300);
    let error = session.connect(&text).await.expect_err("cut off");
    assert!(matches!(error, ConnectError::Address(_)), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::BadInput);
}

async fn a_destination_that_was_never_online_has_no_lease_set(link: Link) {
    let lab = Lab::new(link);
    let session = lab.session().await;
    let nobody = eepkit::PrivateKeys::generate(eepkit::SignatureType::ED25519, &mut rand::rng())
        .expect("keys can be made");
    let error = within(
        Duration::from_secs(45),
        session.connect(nobody.destination()),
    )
    .await
    .expect_err("offline");
    assert!(matches!(error, ConnectError::LeaseSetNotFound), "{error:?}");
}

async fn an_unreachable_destination_times_out(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let destination = server.destination().clone();
    let listener = server.listen(1).expect("free");
    // The destination is reachable at first.
    join(&client, (&destination, 1), &listener).await;
    lab.net.cut_off(&destination);
    let begin = tokio::time::Instant::now();
    let options = ConnectOptions::new().timeout(Duration::from_secs(20));
    let error = client
        .connect_with((&destination, 1), &options)
        .await
        .expect_err("dead");
    assert!(matches!(error, ConnectError::Timeout(_)), "{error:?}");
    assert!(begin.elapsed() <= Duration::from_secs(21));
}

async fn a_ping_without_answer_ends_at_its_limit(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    client
        .ping(server.destination())
        .await
        .expect("alive at first");
    lab.net.cut_off(server.destination());
    let begin = tokio::time::Instant::now();
    let limit = Duration::from_secs(7);
    let error = client
        .ping_with(
            server.destination(),
            &PingOptions::new().payload(&b"hello"[..]).timeout(limit),
        )
        .await
        .expect_err("dead");
    assert!(matches!(error, PingError::Timeout(_)), "{error:?}");
    assert!(begin.elapsed() <= limit + Duration::from_millis(100));
    let error = client
        .ping_with(
            server.destination(),
            &PingOptions::new().payload(vec![0; 33]),
        )
        .await
        .expect_err("too long");
    assert!(
        matches!(error, PingError::TooLong { len: 33, limit: 32 }),
        "{error:?}"
    );
}

async fn a_ping_returns_the_round_trip_time(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let rtt = client
        .ping_with(
            server.destination(),
            &PingOptions::new().payload(&b"0123456789abcdef"[..]),
        )
        .await
        .expect("answers");
    assert!(
        (100..150).contains(&rtt.as_millis()),
        "50 ms one way, yet {rtt:?}"
    );
}

async fn the_host_map_of_a_session_takes_precedence(link: Link) {
    let lab = Lab::new(link);
    let (first, second) = lab.pair().await;
    lab.net.add_name("a.i2p", first.destination());
    lab.net.add_name("b.i2p", first.destination());
    let session = lab
        .builder()
        .host("A.i2p", second.destination().clone())
        .open()
        .await
        .expect("opens");
    assert_eq!(
        session.lookup("a.i2p").await.as_ref(),
        Ok(second.destination())
    );
    assert_eq!(
        session.lookup("B.I2P").await.as_ref(),
        Ok(first.destination())
    );
    // The router's answers are cached.
    lab.net.remove_name("b.i2p");
    assert_eq!(
        session.lookup("b.i2p").await.as_ref(),
        Ok(first.destination())
    );
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(
        session.lookup("b.i2p").await,
        Err(LookupError::NameNotFound("b.i2p".to_owned()))
    );
    let text = second.destination().to_b32();
    assert_eq!(
        session.lookup(text).await.as_ref(),
        Ok(second.destination())
    );
}

async fn an_address_book_answers_before_the_router(link: Link) {
    use eepkit::AddressBook;
    use eepkit_naming::{Book, Entry, Target};

    let lab = Lab::new(link);
    let (first, second) = lab.pair().await;
    let (one, other) = (first.destination(), second.destination());
    let books = AddressBook::in_memory().expect("memory");
    let add = |name: &str, target: Target| {
        let name = name.parse().expect("a name");
        books
            .put(Book::User, &name, &Entry::new(target))
            .expect("memory");
    };
    for name in ["a.i2p", "b.i2p"] {
        lab.net.add_name(name, one);
    }
    let router = lab.router().with_names(books.clone());
    let session = router.session().preset(Preset::Test).open().await;
    let session = session.expect("opens");
    assert_eq!(session.lookup("a.i2p").await.as_ref(), Ok(one));
    // A name that is added later takes precedence over the cached answer of the router.
    add("a.i2p", other.clone().into());
    assert_eq!(session.lookup("a.i2p").await.as_ref(), Ok(other));
    assert_eq!(session.lookup("b.i2p").await.as_ref(), Ok(one));
    // The router finds the destination of a hash.
    add("hash.i2p", Target::Hash(other.hash()));
    assert_eq!(session.lookup("www.hash.i2p").await.as_ref(), Ok(other));
    let blinded =
        eepkit_wire::BlindedAddress::new(one.signing_key().clone(), eepkit::SignatureType::REDDSA);
    add("blinded.i2p", Target::Blinded(blinded.expect("Ed25519")));
    let error = session.lookup("blinded.i2p").await.expect_err("encrypted");
    assert_eq!(error, AddressError::EncryptedLeaseSet.into());
    let error = session.lookup("nobody.i2p").await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NameNotFound);
}

async fn cancelled_connects_leave_the_session_usable(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen(1).expect("free");
    for _ in 0..20 {
        let connecting = client.connect((server.destination(), 1));
        let given_up = tokio::time::timeout(Duration::from_millis(20), connecting).await;
        assert!(given_up.is_err(), "one way is 50 ms");
    }
    // Cancelled streams may wait in the queue. The stream that is not cancelled is behind them.
    let accepting = tokio::spawn(async move {
        let mut accepted = Vec::new();
        while let Ok(stream) = listener.accept().await {
            accepted.push(stream);
        }
    });
    let near = client
        .connect((server.destination(), 1))
        .await
        .expect("connects");
    assert!(near.info().is_some());
    accepting.abort();
    within(Duration::from_secs(60), client.close()).await;
}

#[tokio::test]
async fn an_unreachable_router_is_reported_at_once() {
    // A port on which nothing listens any more.
    let at = {
        let socket = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        socket.local_addr().expect("bound")
    };
    let router = Router::attach(&format!("i2cp://{at}")).expect("an address");
    let opening = router.session().open();
    let error = within(Duration::from_secs(10), opening)
        .await
        .expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::RouterUnreachable, "{error:?}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_server_that_is_not_a_router_is_reported() {
    let socket = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let at = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let answer = b"HTTP/1.0 400 Bad Request\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
            drop(stream);
        }
    });
    let router = Router::attach(&format!("i2cp://{at}")).expect("an address");
    let opening = router.session().open();
    let error = within(Duration::from_secs(10), opening)
        .await
        .expect_err("no router");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Protocol | ErrorKind::RouterUnreachable
        ),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_invalid_option_is_reported_before_anything_is_sent() {
    let lab = Lab::new(Link::Direct);
    let error = lab
        .builder()
        .tunnel_length(9)
        .open()
        .await
        .expect_err("9 hops");
    assert!(
        matches!(&error, OpenError::Option { key, .. } if key == "inbound.length"),
        "{error:?}"
    );
    let error = lab
        .builder()
        .option("i2p.streaming.maxResends", "many")
        .open()
        .await
        .expect_err("no number");
    assert_eq!(error.kind(), ErrorKind::BadInput);
}

#[test]
fn addresses_are_written_as_they_are_parsed() {
    let address: Address = "example.i2p:80".parse().expect("valid");
    assert_eq!(address.to_string(), "example.i2p:80");
}
