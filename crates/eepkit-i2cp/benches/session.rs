//! Benchmarks of the session machine: it encodes messages to a peer, and decodes messages from a
//! peer. Payloads have the length of a streaming packet.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark may panic, and criterion's macros are not documented"
)]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eepkit_i2cp::{
    ApiVersion, Command, Config, Event, Handle, Input, LeaseSetMaker, Message, MessagePayload,
    Options, Outgoing, Output, RouterKind, SendFlags, Session, SessionId, SessionStatus, SetDate,
    Text,
};
use eepkit_wire::{Hash, Lease, PrivateKeys, SignatureType, gzip};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const UNIX_NOW: Duration = Duration::from_secs(1_700_000_000);
const ID: SessionId = SessionId(1);

/// The payload of a streaming packet of full size.
const BODY_LEN: usize = 1_730;

/// The number of messages in one measurement. Chosen as the number that one read from the router's
/// socket returns.
const MESSAGES: usize = 8;

const HEADER: gzip::Header = gzip::Header {
    protocol: 6,
    from_port: 1,
    to_port: 2,
};

fn keys(seed: u64) -> Arc<PrivateKeys> {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    Arc::new(PrivateKeys::generate(SignatureType::ED25519, rng).unwrap())
}

/// Creates an open session with a lease set.
fn open_session(now: Instant) -> Session {
    let config = Config {
        keys: keys(1),
        options: Options::new(),
        router: Some(RouterKind::Java),
        open_timeout: Duration::from_secs(30),
    };
    let mut maker =
        LeaseSetMaker::new(keys(1), &Options::new(), &mut ChaCha20Rng::seed_from_u64(2)).unwrap();
    let lease = Lease {
        gateway: Hash::new([1; 32]),
        tunnel: 1,
        end: 1_700_000_600_000,
    };
    let mut session = Session::new(config, now);
    let mut received = BytesMut::new();
    for message in [
        Message::SetDate(SetDate {
            date: 1_700_000_000_000,
            version: Text::new(&ApiVersion::OURS.to_string()),
        }),
        Message::SessionStatus {
            session: ID,
            status: SessionStatus::CREATED,
        },
        Message::RequestVariableLeaseSet {
            session: ID,
            leases: vec![lease],
        },
    ] {
        received.extend_from_slice(&message.to_frame().unwrap());
        session.handle_input(now, Input::Receive(&mut received));
        drain(&mut session);
    }
    let command = Command::PublishLeaseSet {
        session: Handle::PRIMARY,
        lease_set: maker.make(&[lease], UNIX_NOW).unwrap(),
    };
    session.handle_input(now, Input::Command(command));
    drain(&mut session);
    session
}

/// Polls the machine, discards its output, and returns the number of received messages.
fn drain(session: &mut Session) -> usize {
    let mut received = 0;
    loop {
        match session.poll_output() {
            Output::Event(Event::Received { payload, .. }) => {
                let (_, body) = gzip::decode(&payload, 65_536).unwrap();
                black_box(&body);
                received += 1;
            }
            Output::Event(Event::Closed(reason)) => panic!("{reason}"),
            Output::Timeout(_) => break,
            _ => {}
        }
    }
    black_box(session.output());
    session.consume_output(session.output().len());
    received
}

#[expect(clippy::disallowed_methods, reason = "a benchmark drives the machine")]
fn messages(c: &mut Criterion) {
    let now = Instant::now();
    let mut group = c.benchmark_group("session");
    group.throughput(Throughput::Bytes((MESSAGES * BODY_LEN) as u64));
    let mut session = open_session(now);
    let to = keys(3).destination().clone();
    let body = Bytes::from(vec![0x5a; BODY_LEN]);
    group.bench_function("send", |b| {
        b.iter(|| {
            for _ in 0..MESSAGES {
                let outgoing = Outgoing {
                    session: Handle::PRIMARY,
                    to: to.clone(),
                    header: HEADER,
                    body: body.clone(),
                    compress: false,
                    nonce: 0,
                    report: false,
                    flags: SendFlags::default(),
                    deadline: now + Duration::from_secs(20),
                };
                session.handle_input(now, Input::Command(Command::Send(outgoing)));
            }
            drain(&mut session)
        });
    });
    let payload = MessagePayload {
        session: ID,
        message: 1,
        payload: gzip::encode(HEADER, &body, false).into(),
    };
    let frame = Message::MessagePayload(payload).to_frame().unwrap();
    let frames = frame.repeat(MESSAGES);
    let mut received = BytesMut::new();
    group.bench_function("receive", |b| {
        b.iter(|| {
            received.reserve(frames.len());
            received.extend_from_slice(&frames);
            session.handle_input(now, Input::Receive(&mut received));
            assert_eq!(drain(&mut session), MESSAGES);
        });
    });
    group.finish();
}

criterion_group!(benches, messages);
criterion_main!(benches);
