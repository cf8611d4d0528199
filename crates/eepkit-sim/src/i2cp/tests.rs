//! Tests of the network as a router over I2CP, with the adapter and with hand-written frames.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use eepkit_i2cp::{
    DeliveryStatus, FrameReader, GetDate, HostLookup, HostResult, LeaseSetMaker, LookupKey,
    Message, MessageType, Options, PROTOCOL_BYTE, SendMessage, SessionConfig, SessionId,
    SessionStatus, Text,
};
use eepkit_link::{
    DropReason, Event, LinkError, LinkLookupError, LookupTarget, LostReason, TunnelId, clock,
};
use eepkit_wire::{Destination, Mapping, PrivateKeys, SignatureType, gzip};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};

use super::*;
use crate::tests::party::{self, Party};

const MS: Duration = Duration::from_millis(1);

async fn over_i2cp(net: &SimNet, number: u64) -> Party {
    let router = net.i2cp_router();
    let party = Party::try_open(&router, number, &[]).await.expect("opens");
    party.ready().await
}

#[tokio::test(start_paused = true)]
async fn sessions_over_i2cp_and_direct_sessions_exchange_messages() {
    let net = SimNet::builder().delay(40 * MS).start();
    let mut alice = over_i2cp(&net, 1).await;
    let mut bob = Party::open(&net, 2).await.ready().await;

    alice.send(&bob.destination, b"hello");
    let (body, tunnel) = bob.receive().await;
    assert_eq!(&body[..], b"hello");
    assert_ne!(tunnel, TunnelId::ANY);
    bob.send(&alice.destination, b"welcome");
    let (body, tunnel) = alice.receive().await;
    assert_eq!(&body[..], b"welcome");
    assert_eq!(tunnel, TunnelId::ANY);
}

#[tokio::test(start_paused = true)]
async fn a_burst_over_i2cp_is_delayed_and_arrives_completely() {
    let net = SimNet::builder()
        .host_rate(eepkit_netem::Rate::kib_per_second(100), None)
        .start();
    let mut alice = over_i2cp(&net, 1).await;
    let mut bob = over_i2cp(&net, 2).await;

    let body = vec![7; 1024];
    // The first message to a peer is sent alone. The number of messages in flight behind it is
    // limited.
    let first = alice.send(&bob.destination, &body);
    assert_eq!(alice.fate(first).await, Ok(()));
    for _ in 1..2000 {
        alice.is_ready_to_send().await;
        alice.send(&bob.destination, &body);
    }
    for _ in 0..2000 {
        assert_eq!(bob.receive().await.0.len(), 1024);
    }
    assert_eq!(net.stats().dropped.total(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_fate_of_messages_is_reported_over_i2cp() {
    let net = SimNet::builder().start();
    let mut alice = over_i2cp(&net, 1).await;

    let token = alice.send(&party::destination(9), b"anyone?");

    assert_eq!(alice.fate(token).await, Err(DropReason::NoLeaseSet));
}

#[tokio::test(start_paused = true)]
async fn look_ups_work_over_i2cp() {
    let net = SimNet::builder().lookup_time(MS).start();
    let mut alice = over_i2cp(&net, 1).await;
    let bob = over_i2cp(&net, 2).await;
    net.add_name("bob.i2p", &bob.destination);

    for target in [
        LookupTarget::Name("bob.i2p".to_owned()),
        LookupTarget::Hash(bob.destination.hash()),
        LookupTarget::LeaseSet(bob.destination.clone()),
    ] {
        let found = alice.lookup(target).await.expect("found");
        assert_eq!(found.destination, bob.destination);
    }
    let nobody = LookupTarget::Hash(party::destination(9).hash());
    assert!(matches!(
        alice.lookup(nobody).await,
        Err(LinkLookupError::LeaseSetNotFound)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_second_session_of_a_destination_is_refused_over_i2cp() {
    let net = SimNet::builder().start();
    let _first = over_i2cp(&net, 1).await;

    let second = Party::try_open(&net.i2cp_router(), 1, &[]).await;

    assert!(
        matches!(second, Err(LinkError::Duplicate)),
        "{:?}",
        second.err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_over_i2cp_is_lost_with_the_connection_and_with_the_network() {
    let net = SimNet::builder().start();
    let mut alice = over_i2cp(&net, 1).await;
    net.lose_session(&alice.destination);
    // The end of a connection in memory has no more specific reason.
    let reason = alice.lost().await;
    assert!(
        matches!(reason, LostReason::Connection(_) | LostReason::Stopped),
        "{reason:?}"
    );

    let mut alice = over_i2cp(&net, 1).await;
    net.stop();
    let reason = alice.lost().await;
    assert!(
        matches!(reason, LostReason::Closed(_) | LostReason::Stopped),
        "{reason:?}"
    );
    let late = Party::try_open(&net.i2cp_router(), 2, &[]).await;
    assert!(matches!(late, Err(LinkError::Stopped)), "{:?}", late.err());
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_client_disconnects() {
    let net = SimNet::builder().start();
    let alice = over_i2cp(&net, 1).await;
    let destination = alice.destination.clone();
    drop(alice);

    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(net.tunnels(&destination), []);
    over_i2cp(&net, 1).await;
}

#[tokio::test]
async fn clients_attach_over_tcp() {
    let net = SimNet::builder().delay(MS).start();
    let at = net.i2cp_listen("127.0.0.1:0").await.expect("listens");
    let router = I2cpRouter::tcp(at);
    let mut alice = Party::try_open(&router, 1, &[])
        .await
        .expect("opens")
        .ready()
        .await;
    let mut bob = Party::try_open(&router, 2, &[])
        .await
        .expect("opens")
        .ready()
        .await;

    alice.send(&bob.destination, b"over TCP");
    assert_eq!(&bob.receive().await.0[..], b"over TCP");

    net.stop();
    bob.lost().await;
    // Once the listener has processed the stop, connections fail.
    while TcpStream::connect(at).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// A client that sends and receives only frames.
struct Raw {
    stream: DuplexStream,
    frames: FrameReader,
    received: BytesMut,
}

impl Raw {
    fn connect(net: &SimNet) -> Self {
        let (stream, theirs) = duplex(64 * 1024);
        let connection = Connection::new(
            theirs,
            Arc::downgrade(&net.shared),
            net.shared.stop_signal(),
        );
        tokio::spawn(connection.run());
        Self {
            stream,
            frames: FrameReader::for_client(),
            received: BytesMut::new(),
        }
    }

    async fn greet(net: &SimNet) -> Self {
        let mut raw = Self::connect(net);
        raw.stream
            .write_all(&[PROTOCOL_BYTE])
            .await
            .expect("writes");
        raw.send(Message::GetDate(GetDate {
            version: Text::new("0.9.66"),
            login: Mapping::new(),
        }))
        .await;
        let Some(Message::SetDate(date)) = raw.read().await else {
            panic!("no date");
        };
        assert_eq!(u128::from(date.date), clock::unix_now().as_millis());
        raw
    }

    async fn send(&mut self, message: Message) {
        let frame = message.to_frame().expect("fits");
        self.stream.write_all(&frame).await.expect("writes");
    }

    /// Returns the next message, or `None` at the end of the connection.
    async fn read(&mut self) -> Option<Message> {
        loop {
            if let Some(frame) = self.frames.next_frame(&mut self.received).expect("frames") {
                let message =
                    Message::decode(MessageType(frame.kind), &frame.body).expect("decodes");
                return Some(message.expect("a known type"));
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
            }
        }
    }

    async fn disconnected(&mut self) -> String {
        let Some(Message::Disconnect(why)) = self.read().await else {
            panic!("not disconnected");
        };
        assert_eq!(self.read().await, None);
        why.as_str().to_owned()
    }

    async fn create(&mut self, config: SessionConfig) -> SessionId {
        self.send(Message::CreateSession(config)).await;
        match self.read().await {
            Some(Message::SessionStatus {
                session,
                status: SessionStatus::CREATED,
            }) => session,
            other => panic!("{other:?}"),
        }
    }

    /// Answers the request for a lease set in the old or the new form.
    async fn answer(&mut self, keys: &Arc<PrivateKeys>, options: &Options) {
        let Some(Message::RequestVariableLeaseSet { session, leases }) = self.read().await else {
            panic!("no request");
        };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut maker = LeaseSetMaker::new(Arc::clone(keys), options, &mut rng).expect("possible");
        let lease_set = maker.make(&leases, clock::unix_now()).expect("has leases");
        self.send(Message::CreateLeaseSet2(eepkit_i2cp::CreateLeaseSet2 {
            session,
            lease_set,
        }))
        .await;
    }
}

fn keys(number: u64) -> Arc<PrivateKeys> {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    Arc::new(PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be generated"))
}

fn config(keys: &PrivateKeys, options: &[(&str, &str)]) -> SessionConfig {
    let options: BTreeMap<_, _> = options
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let date = u64::try_from(clock::unix_now().as_millis()).expect("fits");
    SessionConfig::sign(keys, options, date).expect("fits")
}

fn message(session: SessionId, to: &Destination, nonce: u32) -> SendMessage {
    let header = gzip::Header {
        protocol: 18,
        from_port: 1,
        to_port: 2,
    };
    SendMessage {
        session,
        to: to.clone(),
        payload: Bytes::from(gzip::encode(header, b"hello", true)),
        nonce,
    }
}

#[tokio::test(start_paused = true)]
async fn input_that_is_not_i2cp_ends_the_connection() {
    let net = SimNet::builder().start();
    let mut raw = Raw::connect(&net);
    raw.stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("writes");
    raw.disconnected().await;

    let mut raw = Raw::greet(&net).await;
    raw.stream
        .write_all(&[0xff, 0xff, 0xff, 0xff, 1])
        .await
        .expect("writes");
    raw.disconnected().await;

    let mut raw = Raw::greet(&net).await;
    raw.stream
        .write_all(&[0, 0, 0, 1, 1, 7])
        .await
        .expect("writes");
    raw.disconnected().await;

    // A message that only routers send.
    let mut raw = Raw::greet(&net).await;
    raw.send(Message::MessagePayload(eepkit_i2cp::MessagePayload {
        session: SessionId(1),
        message: 1,
        payload: Bytes::from_static(b"x"),
    }))
    .await;
    raw.disconnected().await;

    // A message of unknown type is not an error.
    let mut raw = Raw::greet(&net).await;
    raw.stream
        .write_all(&[0, 0, 0, 1, 99, 7])
        .await
        .expect("writes");
    raw.send(Message::GetBandwidthLimits).await;
    assert!(matches!(
        raw.read().await,
        Some(Message::BandwidthLimits(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_session_configuration_must_be_signed_and_recent() {
    let net = SimNet::builder().start();

    let mut forged = config(&keys(1), &[]);
    forged.destination = keys(2).destination().clone();
    let mut raw = Raw::greet(&net).await;
    raw.send(Message::CreateSession(forged)).await;
    assert!(raw.disconnected().await.contains("signature"));

    let yesterday = clock::unix_now().saturating_sub(Duration::from_secs(60));
    let date = u64::try_from(yesterday.as_millis()).expect("fits");
    let stale = SessionConfig::sign(&keys(1), BTreeMap::new(), date).expect("fits");
    let mut raw = Raw::greet(&net).await;
    raw.send(Message::CreateSession(stale)).await;
    assert!(raw.disconnected().await.contains("60 s"));

    let mut raw = Raw::greet(&net).await;
    raw.send(Message::CreateSession(config(
        &keys(1),
        &[("inbound.length", "99")],
    )))
    .await;
    assert!(raw.disconnected().await.contains("inbound.length"));
}

#[tokio::test(start_paused = true)]
async fn acceptance_is_reported_unless_reliability_is_none() {
    let net = SimNet::builder().start();
    let bob = over_i2cp(&net, 7).await;
    for (reliability, expected) in [
        ("none", &[DeliveryStatus::BEST_EFFORT_SUCCESS][..]),
        (
            "BestEffort",
            &[
                DeliveryStatus::ACCEPTED,
                DeliveryStatus::BEST_EFFORT_SUCCESS,
            ],
        ),
    ] {
        let keys = keys(1);
        let mut raw = Raw::greet(&net).await;
        let session = raw
            .create(config(&keys, &[("i2cp.messageReliability", reliability)]))
            .await;
        raw.answer(&keys, &Options::new()).await;
        raw.send(Message::SendMessage(message(session, &bob.destination, 0)))
            .await;
        raw.send(Message::SendMessage(message(session, &bob.destination, 77)))
            .await;
        for status in expected {
            let Some(Message::MessageStatus(report)) = raw.read().await else {
                panic!("no report");
            };
            assert_eq!(
                (report.status, report.nonce),
                (*status, 77),
                "{reliability}"
            );
        }
        raw.send(Message::SendMessage(message(
            SessionId(999),
            &bob.destination,
            78,
        )))
        .await;
        let Some(Message::MessageStatus(report)) = raw.read().await else {
            panic!("no report");
        };
        assert_eq!(
            (report.status, report.nonce),
            (DeliveryStatus::BAD_SESSION, 78)
        );
        drop(raw);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_fast_receive_messages_are_announced_and_fetched() {
    let net = SimNet::builder().start();
    let mut alice = Party::open(&net, 7).await.ready().await;
    let keys = keys(1);
    let mut raw = Raw::greet(&net).await;
    let session = raw.create(config(&keys, &[])).await;
    raw.answer(&keys, &Options::new()).await;
    tokio::time::sleep(MS).await;

    alice.send(keys.destination(), b"hello");
    let Some(Message::MessageStatus(announced)) = raw.read().await else {
        panic!("not announced");
    };
    assert_eq!(announced.status, DeliveryStatus::AVAILABLE);
    raw.send(Message::ReceiveMessageBegin {
        session,
        message: announced.message,
    })
    .await;
    let Some(Message::MessagePayload(received)) = raw.read().await else {
        panic!("not handed over");
    };
    let (header, body) = gzip::decode(&received.payload, 1000).expect("framed");
    assert_eq!((header.protocol, &body[..]), (6, &b"hello"[..]));
    raw.send(Message::ReceiveMessageEnd {
        session,
        message: announced.message,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn look_ups_need_no_session() {
    let net = SimNet::builder().start();
    let bob = over_i2cp(&net, 7).await;
    net.add_name("bob.i2p", &bob.destination);
    let mut raw = Raw::greet(&net).await;
    let mut ask = async |key| {
        raw.send(Message::HostLookup(HostLookup {
            session: SessionId::NONE,
            request: 5,
            timeout: 10_000,
            key,
        }))
        .await;
        let Some(Message::HostReply(reply)) = raw.read().await else {
            panic!("no reply");
        };
        assert_eq!(reply.request, 5);
        (reply.result, reply.destination, reply.options.is_some())
    };
    let name = |text| Text::new(text).expect("short");
    let found = (HostResult::SUCCESS, Some(bob.destination.clone()));

    assert_eq!(
        ask(LookupKey::Name(name("bob.i2p"))).await,
        (found.0, found.1.clone(), false)
    );
    assert_eq!(
        ask(LookupKey::NameWithOptions(name("bob.i2p"))).await,
        (found.0, found.1.clone(), true)
    );
    assert_eq!(
        ask(LookupKey::Hash(bob.destination.hash())).await,
        (found.0, found.1.clone(), false)
    );
    let key = LookupKey::DestinationWithOptions(bob.destination.clone());
    assert_eq!(ask(key).await, (found.0, found.1.clone(), true));

    assert_eq!(
        ask(LookupKey::Name(name("no.i2p"))).await.0,
        HostResult::FAILURE
    );
    let stranger = party::destination(9);
    let key = LookupKey::DestinationWithOptions(stranger.clone());
    assert_eq!(
        ask(key).await,
        (HostResult::LEASE_SET_NOT_FOUND, Some(stranger), false)
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_can_be_changed_and_destroyed() {
    let net = SimNet::builder().start();
    let keys = keys(1);
    let mut raw = Raw::greet(&net).await;
    let session = raw.create(config(&keys, &[])).await;
    raw.answer(&keys, &Options::new()).await;

    let config = config(&keys, &[("inbound.quantity", "3")]);
    raw.send(Message::ReconfigureSession { session, config })
        .await;
    let updated = Message::SessionStatus {
        session,
        status: SessionStatus::UPDATED,
    };
    assert_eq!(raw.read().await, Some(updated));
    let Some(Message::RequestVariableLeaseSet { leases, .. }) = raw.read().await else {
        panic!("no request");
    };
    assert_eq!(leases.len(), 3);

    raw.send(Message::DestroySession(session)).await;
    let destroyed = Message::SessionStatus {
        session,
        status: SessionStatus::DESTROYED,
    };
    assert_eq!(raw.read().await, Some(destroyed));
    assert_eq!(net.tunnels(keys.destination()), []);
}

#[tokio::test(start_paused = true)]
async fn a_bad_lease_set_ends_the_connection_with_a_reason() {
    let net = SimNet::builder().start();
    let mut raw = Raw::greet(&net).await;
    raw.create(config(&keys(1), &[])).await;
    raw.answer(&keys(2), &Options::new()).await;

    assert!(raw.disconnected().await.contains("another destination"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_direct_session_can_read_is_counted_as_malformed() {
    let net = SimNet::builder().start();
    let mut bob = Party::open(&net, 7).await.ready().await;
    let keys = keys(1);
    let mut raw = Raw::greet(&net).await;
    let session = raw.create(config(&keys, &[])).await;
    raw.answer(&keys, &Options::new()).await;

    let mut bad = message(session, &bob.destination, 0);
    bad.payload = Bytes::from_static(b"not gzip at all");
    raw.send(Message::SendMessage(bad)).await;
    raw.send(Message::SendMessage(message(session, &bob.destination, 0)))
        .await;

    while !matches!(bob.event().await, Event::Received { .. }) {}
    assert_eq!(&bob.received[0].0[..], b"hello");
    assert_eq!(net.stats().dropped.malformed, 1);
}

#[tokio::test(start_paused = true)]
async fn no_frame_causes_a_panic() {
    let net = SimNet::builder().start();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let valid = Message::CreateSession(config(&keys(1), &[]))
        .to_frame()
        .expect("fits");
    for round in 0..500_usize {
        // Even rounds send random bytes. Odd rounds send a valid frame with some bytes changed.
        let mut frame = if round % 2 == 0 {
            let mut frame = vec![0; 5 + round % 300];
            rng.fill_bytes(&mut frame);
            let length = u32::try_from(frame.len() - 5).expect("short");
            frame[..4].copy_from_slice(&length.to_be_bytes());
            frame[4] %= 64;
            frame
        } else {
            valid.clone()
        };
        if round % 2 == 1 {
            let at = 5 + usize::try_from(rng.next_u32()).expect("fits") % (frame.len() - 5);
            frame[at] ^= 1 << (round % 8);
        }
        let (mut stream, theirs) = duplex(64 * 1024);
        let stop = net.shared.stop_signal();
        let connection = Connection::new(theirs, Arc::downgrade(&net.shared), stop);
        let served = tokio::spawn(connection.run());
        stream.write_all(&[PROTOCOL_BYTE]).await.expect("writes");
        stream.write_all(&frame).await.expect("writes");
        stream.shutdown().await.expect("ends");
        served.await.expect("does not panic");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_a_limited_number_of_sessions_that_end_with_the_first() {
    let net = SimNet::builder().start();
    let mut raw = Raw::greet(&net).await;
    let primary = raw.create(config(&keys(0), &[])).await;
    let mut refused = 0;
    for number in 1..=64 {
        raw.send(Message::CreateSession(config(&keys(number), &[])))
            .await;
        let status = loop {
            // Requests for lease sets arrive in between.
            if let Some(Message::SessionStatus { status, .. }) = raw.read().await {
                break status;
            }
        };
        refused += u32::from(status == SessionStatus::REFUSED);
    }
    assert_eq!(refused, 1, "the sixty-fifth session");
    raw.send(Message::DestroySession(primary)).await;
    let again = over_i2cp(&net, 1).await;
    drop(again);
}
