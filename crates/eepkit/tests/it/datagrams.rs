//! Datagram sockets.

use std::{collections::BTreeSet, time::Duration};

use eepkit::{
    BindError, Datagram, DatagramOptions, DatagramSocket, Dialect, ErrorKind, Format, Hash,
    Mapping, Preset, PrivateKeys, RECOMMENDED_PACKET_LEN, ReceiveError, ReceivedDatagram, Router,
    SendError, Session, SessionStage, SignatureType, sim::SimNet,
};
use eepkit_datagram::Sender;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep},
};

use crate::lab::{Lab, Link, join, over_both_links, receive, send, within};

over_both_links!(
    each_format_reports_how_far_the_sender_is_verified,
    streams_and_datagrams_of_all_formats_share_a_port_number,
    the_socket_of_a_port_has_precedence_over_that_of_all_ports,
    a_socket_of_all_protocols_receives_the_rest,
    a_port_has_one_socket_for_each_protocol,
    a_reply_goes_to_the_port_it_came_from,
    invalid_datagrams_are_dropped_and_counted,
    a_dialect_is_counted_or_accepted,
    a_full_queue_drops_the_oldest_and_counts_it,
    a_queue_is_limited_in_bytes_too,
    on_a_lossy_network_some_datagrams_arrive_and_none_is_changed,
    sockets_survive_a_lost_session,
    sending_waits_until_a_lost_session_is_restored,
    an_expired_datagram_is_not_sent,
    new_datagrams_displace_the_oldest_in_the_queue,
    sending_waits_for_room_within_its_time_limit,
    many_sockets_share_a_session,
    a_session_sends_to_itself,
    options_arrive_with_the_datagram,
    offline_keys_send_only_formats_with_a_field_for_them,
    a_payload_that_is_too_long_is_refused_and_the_longest_arrives,
    a_peer_that_does_not_exist_is_not_found,
    an_undeliverable_datagram_is_counted_if_the_router_reports_it,
    closing_delivers_what_was_sent_and_ends_receiving,
    receiving_is_cancel_safe,
    two_tasks_receive_from_one_socket,
    a_socket_keeps_its_session_open,
    a_flood_of_datagrams_does_not_starve_streams,
);

fn bind(session: &Session, format: Format, port: u16) -> DatagramSocket {
    session
        .datagrams(format)
        .bind(port)
        .expect("the port is free")
}

/// The next datagram, which must arrive within 5 s.
async fn next(socket: &DatagramSocket) -> ReceivedDatagram {
    within(Duration::from_secs(5), socket.recv_from())
        .await
        .expect("the session lives")
}

/// A raw socket that sends arbitrary bytes under the protocol number of `format`.
fn forger(session: &Session, format: Format) -> DatagramSocket {
    let builder = session.datagrams(Format::Raw).protocol(format.protocol());
    builder.bind(9).expect("the port is free")
}

async fn each_format_reports_how_far_the_sender_is_verified(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    for format in Format::ALL {
        let (near, far) = (bind(&client, format, 1), bind(&server, format, 2));
        near.send_to(b"hello", (server.destination(), 2))
            .await
            .expect("sends");
        let received = next(&far).await;
        assert_eq!(received.payload().as_ref(), b"hello");
        assert_eq!((received.from_port(), received.to_port()), (1, 2));
        assert_eq!(received.protocol(), format.protocol());
        match (format, received.datagram()) {
            (Format::Raw, Datagram::Anonymous(_)) => assert_eq!(received.sender(), None),
            (Format::Datagram1 | Format::Datagram2, Datagram::Authenticated(datagram)) => {
                assert_eq!(datagram.sender(), client.destination());
                assert_eq!(received.sender(), Some(client.destination()));
                assert_eq!(received.claimed_sender(), None);
            }
            (Format::Datagram3, Datagram::Claimed(datagram)) => {
                let claimed = datagram.claimed_sender();
                assert_eq!(claimed.hash(), client.destination().hash());
                assert_eq!(received.sender(), None);
            }
            (_, other) => panic!("{format} gave {other:?}"),
        }
    }
}

async fn streams_and_datagrams_of_all_formats_share_a_port_number(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let listener = server.listen(7).expect("free");
    let pairs = Format::ALL.map(|format| (bind(&client, format, 7), bind(&server, format, 7)));
    let (mut near, mut far) = join(&client, (server.destination(), 7), &listener).await;
    for (near, _) in &pairs {
        let text = near.format().to_string();
        near.send_to(text.as_bytes(), (server.destination(), 7))
            .await
            .expect("sends");
    }
    near.write_all(b"stream").await.expect("writes");
    for (_, far) in &pairs {
        let received = next(far).await;
        assert_eq!(
            received.payload().as_ref(),
            far.format().to_string().as_bytes()
        );
        assert!(far.try_recv_from().expect("open").is_none());
    }
    let mut text = [0; 6];
    far.read_exact(&mut text).await.expect("reads");
    assert_eq!(&text, b"stream");
}

async fn the_socket_of_a_port_has_precedence_over_that_of_all_ports(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let all = bind(&server, Format::Datagram1, 0);
    let one = bind(&server, Format::Datagram1, 80);
    let near = bind(&client, Format::Datagram1, 0);
    for port in [80, 81, 0] {
        near.send_to(b"x", (server.destination(), port))
            .await
            .expect("sends");
    }
    assert_eq!(next(&one).await.to_port(), 80);
    assert_eq!(next(&all).await.to_port(), 81);
    assert_eq!(next(&all).await.to_port(), 0);
    assert!(one.try_recv_from().expect("open").is_none());
    drop(one);
    near.send_to(b"x", (server.destination(), 80))
        .await
        .expect("sends");
    assert_eq!(next(&all).await.to_port(), 80);
}

async fn a_socket_of_all_protocols_receives_the_rest(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let raw = |session: &Session, protocol, port| {
        let builder = session.datagrams(Format::Raw).protocol(protocol);
        builder.bind(port).expect("free")
    };
    let everything = raw(&server, 0, 0);
    let every_protocol = raw(&server, 0, 5);
    let mine = raw(&server, 224, 0);
    let near = raw(&client, 0, 3);
    for (protocol, port, expected) in [
        (224, 5, &mine),
        (225, 5, &every_protocol),
        (17, 5, &every_protocol),
        (225, 6, &everything),
    ] {
        let options = DatagramOptions::new().protocol(protocol).from_port(4);
        near.send_with(b"x", (server.destination(), port), &options)
            .await
            .expect("sends");
        let received = next(expected).await;
        assert_eq!(received.protocol(), protocol);
        assert_eq!((received.from_port(), received.to_port()), (4, port));
    }
    let error = near.send_to(b"x", server.destination()).await;
    assert!(matches!(error, Err(SendError::Protocol(0))), "{error:?}");
}

async fn a_port_has_one_socket_for_each_protocol(link: Link) {
    let session = Lab::new(link).session().await;
    let first = bind(&session, Format::Datagram1, 5);
    let clone = first.clone();
    let error = session.datagrams(Format::Datagram1).bind(5);
    let taken = BindError::InUse {
        protocol: 17,
        port: 5,
    };
    assert_eq!(error.expect_err("taken"), taken);
    assert_eq!(taken.kind(), ErrorKind::AddressInUse);
    let _other = bind(&session, Format::Datagram2, 5);
    drop(first);
    assert!(session.datagrams(Format::Datagram1).bind(5).is_err());
    drop(clone);
    bind(&session, Format::Datagram1, 5);
    for protocol in [0, 6, 255] {
        let error = session
            .datagrams(Format::Datagram1)
            .protocol(protocol)
            .bind(6);
        assert_eq!(error.expect_err("no"), BindError::Protocol(protocol));
    }
    for queue in [0, 65_537] {
        let error = session.datagrams(Format::Raw).queue(queue).bind(6);
        assert_eq!(error.expect_err("no"), BindError::Queue(queue));
    }
}

async fn a_reply_goes_to_the_port_it_came_from(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    for format in Format::ALL {
        let (near, far) = (bind(&client, format, 1234), bind(&server, format, 7));
        near.send_to(b"ping", (server.destination(), 7))
            .await
            .expect("sends");
        let question = next(&far).await;
        let replying = far.reply(&question, b"pong").await;
        if format == Format::Raw {
            assert!(matches!(replying, Err(SendError::NoSender)), "{replying:?}");
            continue;
        }
        replying.expect("sends");
        let answer = next(&near).await;
        assert_eq!(answer.payload().as_ref(), b"pong");
        assert_eq!((answer.from_port(), answer.to_port()), (7, 1234));
    }
}

async fn invalid_datagrams_are_dropped_and_counted(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let to = server.destination();
    let keys = client.keys();
    for format in [Format::Datagram1, Format::Datagram2, Format::Datagram3] {
        let far = bind(&server, format, 9);
        let forger = forger(&client, format);
        let seal = |to: Hash, text: &str| {
            let packet = Sender::new(keys).seal(format, &to, text.as_bytes());
            packet.expect("fits").to_vec()
        };
        let mut wrong = vec![b"short".to_vec()];
        if format.is_authenticated() {
            let mut changed = seal(to.hash(), "changed");
            let last = changed.len() - 1;
            changed[last] ^= 1;
            wrong.push(changed);
        }
        if format == Format::Datagram2 {
            wrong.push(seal(Hash::of(b"another"), "for somebody else"));
        }
        for packet in &wrong {
            forger.send_to(packet, (to, 9)).await.expect("sends");
        }
        forger
            .send_to(&seal(to.hash(), "right"), (to, 9))
            .await
            .expect("sends");
        assert_eq!(next(&far).await.payload().as_ref(), b"right");
        let stats = far.stats();
        assert_eq!(stats.refused, wrong.len() as u64);
        assert_eq!(stats.received, wrong.len() as u64 + 1);
        assert_eq!(stats.other_dialect, 0);
    }
}

async fn a_dialect_is_counted_or_accepted(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Datagram2, 0);
    let strict = bind(&server, Format::Datagram2, 1);
    for (port, dialect) in [(2, Dialect::I2pd), (3, Dialect::Emissary)] {
        let builder = server.datagrams(Format::Datagram2).accept_dialect(dialect);
        let lenient = builder.bind(port).expect("free");
        let options = DatagramOptions::new().dialect(dialect);
        for port in [1, port] {
            near.send_with(b"hello", (server.destination(), port), &options)
                .await
                .expect("sends");
        }
        let received = next(&lenient).await;
        assert_eq!(received.sender(), Some(client.destination()));
        near.send_to(b"specified", (server.destination(), port))
            .await
            .expect("sends");
        assert_eq!(next(&lenient).await.payload().as_ref(), b"specified");
    }
    assert!(strict.try_recv_from().expect("open").is_none());
    assert_eq!(strict.stats().refused, 2);
    assert_eq!(strict.stats().other_dialect, 2);
}

async fn a_full_queue_drops_the_oldest_and_counts_it(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Raw, 0);
    let far = server
        .datagrams(Format::Raw)
        .queue(3)
        .bind(1)
        .expect("free");
    for number in 0..10_u8 {
        near.send_to(&[number], (server.destination(), 1))
            .await
            .expect("sends");
    }
    sleep(Duration::from_secs(1)).await;
    for number in 7..10 {
        assert_eq!(next(&far).await.payload().as_ref(), [number]);
    }
    assert!(far.try_recv_from().expect("open").is_none());
    assert_eq!(far.stats().received, 10);
    assert_eq!(far.stats().overflowed, 7);
    assert_eq!(near.stats().sent, 10);
}

async fn a_queue_is_limited_in_bytes_too(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Raw, 0);
    let builder = server.datagrams(Format::Raw).queue(65_536);
    let far = builder.bind(1).expect("free");
    for number in 0..40_u8 {
        near.send_to(&vec![number; 50_000], (server.destination(), 1))
            .await
            .expect("sends");
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(1)).await;
    let mut kept = Vec::new();
    while let Some(datagram) = far.try_recv_from().expect("open") {
        kept.push(datagram.payload()[0]);
    }
    // 1 MiB is 20 times 50,000 bytes.
    assert_eq!(kept, (20..40).collect::<Vec<u8>>());
    assert_eq!(far.stats().overflowed, 20);
}

async fn on_a_lossy_network_some_datagrams_arrive_and_none_is_changed(link: Link) {
    let lab = Lab::of(
        link,
        SimNet::builder()
            .delay(Duration::from_millis(50))
            .jitter(Duration::from_millis(30))
            .loss(0.3)
            .duplicate(0.05),
    );
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Datagram2, 0);
    let far = bind(&server, Format::Datagram2, 1);
    for number in 0..200_u16 {
        near.send_to(&number.to_be_bytes(), (server.destination(), 1))
            .await
            .expect("sends");
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(2)).await;
    let mut seen = BTreeSet::new();
    let mut count = 0_u64;
    while let Some(datagram) = far.try_recv_from().expect("open") {
        let bytes = datagram.payload().as_ref().try_into().expect("two bytes");
        seen.insert(u16::from_be_bytes(bytes));
        count += 1;
    }
    assert!((100..190).contains(&seen.len()), "{} of 200", seen.len());
    assert!(seen.iter().all(|number| *number < 200));
    assert_eq!(far.stats().received, count);
    assert_eq!(far.stats().refused, 0);
}

async fn sockets_survive_a_lost_session(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let (near, far) = (
        bind(&client, Format::Datagram2, 1),
        bind(&server, Format::Datagram2, 2),
    );
    for round in 0..3_u8 {
        for lost in [&client, &server] {
            let watch = lost.watch();
            assert!(lab.net.lose_session(lost.destination()));
            watch
                .reached(SessionStage::Lost, Duration::from_secs(5))
                .await;
            lost.watch()
                .ready(Duration::from_secs(30))
                .await
                .expect("comes back");
        }
        near.send_to(&[round], (server.destination(), 2))
            .await
            .expect("sends");
        let question = next(&far).await;
        assert_eq!(question.payload().as_ref(), [round]);
        far.reply(&question, b"still here").await.expect("sends");
        assert_eq!(next(&near).await.payload().as_ref(), b"still here");
    }
}

async fn sending_waits_until_a_lost_session_is_restored(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Datagram1, 0);
    let far = bind(&server, Format::Datagram1, 1);
    let watch = client.watch();
    assert!(lab.net.lose_session(client.destination()));
    watch
        .reached(SessionStage::Lost, Duration::from_secs(5))
        .await;
    let began = Instant::now();
    near.send_to(b"hello", (server.destination(), 1))
        .await
        .expect("sends");
    assert!(
        began.elapsed() > Duration::from_millis(100),
        "it had to wait"
    );
    assert_eq!(next(&far).await.payload().as_ref(), b"hello");
}

async fn an_expired_datagram_is_not_sent(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Raw, 0);
    let far = bind(&server, Format::Raw, 1);
    let watch = client.watch();
    assert!(lab.net.lose_session(client.destination()));
    watch
        .reached(SessionStage::Lost, Duration::from_secs(5))
        .await;
    for (text, expiry) in [("late", 10), ("in time", 60_000)] {
        let options = DatagramOptions::new().expiry(Duration::from_millis(expiry));
        near.send_now(text.as_bytes(), server.destination(), 1, &options)
            .expect("waits");
    }
    client
        .watch()
        .ready(Duration::from_secs(30))
        .await
        .expect("comes back");
    assert_eq!(next(&far).await.payload().as_ref(), b"in time");
    assert_eq!((near.stats().expired, near.stats().sent), (1, 1));
}

async fn new_datagrams_displace_the_oldest_in_the_queue(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Raw, 0);
    let far = server
        .datagrams(Format::Raw)
        .queue(1000)
        .bind(1)
        .expect("free");
    let watch = client.watch();
    assert!(lab.net.lose_session(client.destination()));
    watch
        .reached(SessionStage::Lost, Duration::from_secs(5))
        .await;
    let options = DatagramOptions::new();
    for number in 0..300_u16 {
        near.send_now(&number.to_be_bytes(), server.destination(), 1, &options)
            .expect("waits");
    }
    assert_eq!(near.stats().displaced, 44);
    client
        .watch()
        .ready(Duration::from_secs(30))
        .await
        .expect("comes back");
    sleep(Duration::from_secs(2)).await;
    let first = next(&far).await;
    assert_eq!(first.payload().as_ref(), 44_u16.to_be_bytes());
    assert_eq!(far.stats().received, 256);
}

async fn sending_waits_for_room_within_its_time_limit(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Raw, 0);
    let _far = bind(&server, Format::Raw, 1);
    let to = server.destination();
    let watch = client.watch();
    assert!(lab.net.lose_session(client.destination()));
    watch
        .reached(SessionStage::Lost, Duration::from_secs(5))
        .await;
    // Without tunnels, that error is reported first.
    let options = DatagramOptions::new().timeout(Duration::from_millis(10));
    let error = near.send_with(b"x", (to, 1), &options).await;
    let error = error.expect_err("offline");
    assert!(
        matches!(error.kind(), ErrorKind::NoTunnels | ErrorKind::SessionLost),
        "{error:?}"
    );
    client
        .watch()
        .ready(Duration::from_secs(30))
        .await
        .expect("comes back");
    // Sending more than fits the queue waits for room, and drops nothing.
    for number in 0..600_u16 {
        near.send_to(&number.to_be_bytes(), (to, 1))
            .await
            .expect("sends");
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(near.stats().sent, 600);
    assert_eq!(near.stats().displaced, 0);
}

async fn many_sockets_share_a_session(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Datagram1, 0);
    let sockets: Vec<_> = (1..=200)
        .map(|port| bind(&server, Format::Datagram1, port))
        .collect();
    for socket in &sockets {
        let text = socket.port().to_string();
        near.send_to(text.as_bytes(), (server.destination(), socket.port()))
            .await
            .expect("sends");
    }
    for socket in &sockets {
        let received = next(socket).await;
        assert_eq!(
            received.payload().as_ref(),
            socket.port().to_string().as_bytes()
        );
    }
    let more: Vec<_> = (201..2000)
        .map_while(|port| server.datagrams(Format::Datagram1).bind(port).ok())
        .collect();
    assert_eq!(sockets.len() + more.len(), 1024);
    let error = server.datagrams(Format::Datagram1).bind(5000);
    assert_eq!(error.expect_err("full"), BindError::TooMany(1024));
}

async fn a_session_sends_to_itself(link: Link) {
    let session = Lab::new(link).session().await;
    for format in Format::ALL {
        let (near, far) = (bind(&session, format, 1), bind(&session, format, 2));
        near.send_to(b"me", (session.destination(), 2))
            .await
            .expect("sends");
        assert_eq!(next(&far).await.payload().as_ref(), b"me");
        assert_eq!(near.stats().sent, 1);
    }
}

async fn options_arrive_with_the_datagram(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let mut mapping = Mapping::new();
    mapping.insert("key", "value").expect("fits");
    let options = DatagramOptions::new()
        .options(mapping.clone())
        .compress(false)
        .omit_lease_set(true)
        .tag_threshold(30)
        .tags_to_send(40);
    for format in Format::ALL {
        let (near, far) = (bind(&client, format, 1), bind(&server, format, 2));
        let sent = near
            .send_with(b"hello", (server.destination(), 2), &options)
            .await;
        if !format.has_options() {
            let error = sent.expect_err("no place");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            continue;
        }
        sent.expect("sends");
        match next(&far).await.into_datagram() {
            Datagram::Authenticated(datagram) => assert_eq!(datagram.options(), &mapping),
            Datagram::Claimed(datagram) => assert_eq!(datagram.options(), &mapping),
            Datagram::Anonymous(_) => panic!("raw datagrams have no options"),
        }
    }
}

async fn offline_keys_send_only_formats_with_a_field_for_them(link: Link) {
    let lab = Lab::new(link);
    let server = lab.session().await;
    let rng = &mut StdRng::seed_from_u64(99);
    let keys = PrivateKeys::generate(SignatureType::ED25519, rng).expect("can be made");
    let offline = keys.with_transient(u32::MAX, SignatureType::ED25519, rng);
    // The simulated I2CP router does not accept offline keys.
    let router = Router::new(lab.net.router());
    let builder = router.session().preset(Preset::Test);
    let client = builder.keys(offline.expect("can be made")).open().await;
    let client = client.expect("opens");
    assert_eq!(
        client
            .datagrams(Format::Datagram1)
            .bind(1)
            .expect_err("no place"),
        BindError::OfflineKeys(Format::Datagram1)
    );
    let (near, far) = (
        bind(&client, Format::Datagram2, 1),
        bind(&server, Format::Datagram2, 2),
    );
    near.send_to(b"hello", (server.destination(), 2))
        .await
        .expect("sends");
    assert_eq!(next(&far).await.sender(), Some(keys.destination()));
}

async fn a_payload_that_is_too_long_is_refused_and_the_longest_arrives(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    for format in Format::ALL {
        let (near, far) = (bind(&client, format, 1), bind(&server, format, 2));
        let limit = near.max_payload_len();
        assert!(limit > RECOMMENDED_PACKET_LEN);
        let error = near
            .send_to(&vec![1; limit + 1], (server.destination(), 2))
            .await
            .expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert_eq!(
            error.to_string(),
            format!(
                "{} bytes are too long for this datagram, the limit is {limit}",
                limit + 1
            )
        );
        for len in [0, limit] {
            near.send_to(&vec![1; len], (server.destination(), 2))
                .await
                .expect("sends");
            assert_eq!(next(&far).await.payload().len(), len);
        }
    }
}

async fn a_peer_that_does_not_exist_is_not_found(link: Link) {
    let session = Lab::new(link).session().await;
    let socket = bind(&session, Format::Datagram1, 0);
    let limit = Duration::from_secs(60);
    let error = within(limit, socket.send_to(b"x", Hash::of(b"nobody"))).await;
    let error = error.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::LeaseSetNotFound, "{error:?}");
    let error = within(limit, socket.send_to(b"x", "nobody.i2p")).await;
    assert_eq!(error.expect_err("nobody").kind(), ErrorKind::NameNotFound);
    let error = within(limit, socket.send_to(b"x", "nobody")).await;
    let error = eepkit::Error::from(error.expect_err("no name"));
    assert_eq!(error.kind(), ErrorKind::BadInput);
}

async fn an_undeliverable_datagram_is_counted_if_the_router_reports_it(link: Link) {
    let session = Lab::new(link).session().await;
    let socket = bind(&session, Format::Datagram1, 0);
    let rng = &mut StdRng::seed_from_u64(99);
    let nobody = PrivateKeys::generate(SignatureType::ED25519, rng).expect("can be made");
    socket
        .send_to(b"x", nobody.destination())
        .await
        .expect("sends");
    sleep(Duration::from_secs(20)).await;
    assert_eq!((socket.stats().sent, socket.stats().undelivered), (1, 1));
}

async fn closing_delivers_what_was_sent_and_ends_receiving(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Datagram1, 0);
    let far = bind(&server, Format::Datagram1, 1);
    let receiving = tokio::spawn({
        let near = near.clone();
        async move { near.recv_from().await }
    });
    for number in 0..100_u8 {
        let options = DatagramOptions::new();
        near.send_now(&[number], server.destination(), 1, &options)
            .expect("waits");
    }
    within(Duration::from_secs(5), client.close()).await;
    let error = receiving.await.expect("ends").expect_err("closed");
    assert!(matches!(error, ReceiveError::Closed), "{error:?}");
    let error = near.send_to(b"x", server.destination()).await;
    assert!(matches!(error, Err(SendError::Closed)), "{error:?}");
    let error = client.datagrams(Format::Raw).bind(1);
    assert_eq!(error.expect_err("closed"), BindError::Closed);
    sleep(Duration::from_secs(1)).await;
    // Datagrams that have arrived can still be received after the session is closed.
    within(Duration::from_secs(5), server.close()).await;
    for number in 0..100 {
        assert_eq!(next(&far).await.payload().as_ref(), [number]);
    }
    assert!(far.recv_from().await.is_err());
}

async fn receiving_is_cancel_safe(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Datagram2, 0);
    let far = bind(&server, Format::Datagram2, 1);
    let to = server.destination().clone();
    let sending = tokio::spawn(async move {
        for number in 0..20_u8 {
            near.send_to(&[number], (&to, 1)).await.expect("sends");
            sleep(Duration::from_millis(13)).await;
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let receiving = tokio::time::timeout(Duration::from_millis(7), far.recv_from()).await;
        if let Ok(datagram) = receiving {
            seen.push(datagram.expect("open").payload()[0]);
        }
    }
    assert_eq!(seen, (0..20).collect::<Vec<u8>>());
    sending.await.expect("sends");
}

async fn two_tasks_receive_from_one_socket(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let near = bind(&client, Format::Datagram1, 0);
    let far = bind(&server, Format::Datagram1, 1);
    let sending = async {
        for number in 0..2_u8 {
            near.send_to(&[number], (server.destination(), 1))
                .await
                .expect("sends");
        }
    };
    let receiving = async {
        let (one, other) = tokio::join!(next(&far), next(&far));
        let mut both = [one.payload()[0], other.payload()[0]];
        both.sort_unstable();
        assert_eq!(both, [0, 1]);
    };
    tokio::join!(sending, receiving);
}

async fn a_socket_keeps_its_session_open(link: Link) {
    let lab = Lab::new(link);
    let (client, server) = lab.pair().await;
    let far = bind(&server, Format::Datagram1, 1);
    let (to, watch) = (server.destination().clone(), server.watch());
    drop(server);
    sleep(Duration::from_secs(60)).await;
    let near = bind(&client, Format::Datagram1, 0);
    near.send_to(b"hello", (&to, 1)).await.expect("sends");
    assert_eq!(next(&far).await.payload().as_ref(), b"hello");
    drop(far);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(watch.current().stage(), SessionStage::Closed);
}

async fn a_flood_of_datagrams_does_not_starve_streams(link: Link) {
    let lab = Lab::of(
        link,
        SimNet::builder()
            .delay(Duration::from_millis(50))
            .rate(Some(eepkit::sim::netem::Rate::bytes_per_second(500_000))),
    );
    let mut ends = lab.stream().await;
    let near = bind(&ends.client, Format::Raw, 0);
    let to = ends.server.destination().clone();
    let flood = tokio::spawn(async move {
        let options = DatagramOptions::new();
        loop {
            for _ in 0..20 {
                near.send_now(&[7; 1000], &to, 1, &options).expect("open");
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    const LEN: u64 = 1_000_000;
    let (sent, received) = within(Duration::from_secs(60), async {
        let sending = async {
            send(&mut ends.near, LEN).await?;
            ends.near.shutdown().await
        };
        tokio::join!(sending, receive(&mut ends.far))
    })
    .await;
    sent.expect("sends");
    assert_eq!(received.expect("receives"), LEN);
    flood.abort();
}
