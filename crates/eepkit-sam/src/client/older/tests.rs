//! The client and the bridge of the older versions, connected with each other.

use std::{sync::Arc, time::Instant};

use eepkit_wire::{PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::*;
use crate::{
    client::RequestError,
    result::ResultCode,
    server::{self, Directory, older},
};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

fn keys(seed: u64) -> PrivateKeys {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made")
}

/// A client and a bridge. The test plays the router.
struct Pair {
    now: Instant,
    client: Client,
    directory: Directory,
    hello: server::Connection,
    bridge: Option<Box<older::Connection>>,
    events: Vec<Event>,
    requests: Vec<older::Request>,
    is_closed: bool,
}

impl Pair {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to begin with"
    )]
    fn new(version: OlderVersion) -> Self {
        let now = Instant::now();
        let server = server::Config {
            older_versions: true,
            max_older_streams: 2,
            ..server::Config::default()
        };
        let config = Config {
            min_version: version,
            max_version: version,
        };
        let mut this = Self {
            now,
            client: Client::new(config, now),
            directory: Directory::new(),
            hello: server::Connection::new(Arc::new(server), None, [7; 32], now),
            bridge: None,
            events: Vec::new(),
            requests: Vec::new(),
            is_closed: false,
        };
        this.run();
        assert_eq!(this.events, [Event::Ready(version)]);
        this.events.clear();
        this
    }

    /// With an open session.
    fn with_session(version: OlderVersion, style: Style) -> Self {
        let mut this = Self::new(version);
        let request = Request::Create(Create::new(style));
        this.client.request(request, LIMIT).expect("can be sent");
        this.run();
        assert!(matches!(this.requests[..], [older::Request::Open(_)]));
        this.answer(older::Answer::Opened(Ok(())));
        assert_eq!(this.events, [Event::Answered(Ok(Answer::Created))]);
        this.events.clear();
        this.requests.clear();
        this
    }

    /// Carries bytes in both directions until there are none.
    fn run(&mut self) {
        loop {
            let mut is_idle = true;
            loop {
                match self.client.poll_output() {
                    Output::Event(event) => self.events.push(event),
                    Output::Transmit(bytes) => {
                        is_idle = false;
                        match &mut self.bridge {
                            Some(bridge) => {
                                bridge.handle_bytes(self.now, &mut self.directory, &bytes);
                            }
                            None => self
                                .hello
                                .handle_bytes(self.now, &mut self.directory, &bytes),
                        }
                    }
                    Output::Timeout(_) => break,
                }
            }
            while let Some(output) = self.hello.poll_output() {
                is_idle = false;
                match output {
                    server::Output::Send(bytes) => self.client.handle_input(self.now, &bytes),
                    server::Output::Older(bridge) => self.bridge = Some(bridge),
                    other => panic!("unexpected {other:?}"),
                }
            }
            while let Some(output) = self.bridge.as_mut().and_then(|one| one.poll_output()) {
                is_idle = false;
                match output {
                    older::Output::Send(bytes) => self.client.handle_input(self.now, &bytes),
                    older::Output::Request(request) => self.requests.push(request),
                    older::Output::Close => {
                        self.is_closed = true;
                        self.client.handle_end(self.now);
                    }
                }
            }
            if is_idle {
                return;
            }
        }
    }

    fn bridge(&mut self) -> &mut older::Connection {
        self.bridge.as_mut().expect("HELLO is over")
    }

    fn answer(&mut self, answer: older::Answer) {
        let (now, bridge) = (self.now, self.bridge.as_mut().expect("HELLO is over"));
        bridge.handle_answer(now, &mut self.directory, answer);
        self.run();
    }

    /// A stream that this side opens, and its key at the bridge.
    fn connected(&mut self) -> (i32, older::StreamKey) {
        let id = self.client.connect(keys(9).destination(), LIMIT);
        let id = id.expect("can be sent");
        self.run();
        let Some(older::Request::Connect { stream, .. }) = self.requests.pop() else {
            panic!("no stream is requested");
        };
        self.answer(older::Answer::Connected {
            stream,
            result: Ok(()),
        });
        let event = Event::Connected { id, result: Ok(()) };
        assert_eq!(self.events.pop(), Some(event));
        (id, stream)
    }

    /// Writes what is queued for a stream, and returns it.
    fn written(&mut self, stream: older::StreamKey, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < most {
            let data = self.bridge().pending(stream).to_vec();
            if data.is_empty() {
                break;
            }
            let count = data.len().min(most - all.len());
            all.extend_from_slice(&data[..count]);
            let (now, bridge) = (self.now, self.bridge.as_mut().expect("HELLO is over"));
            bridge.handle_written(now, &mut self.directory, stream, count);
            self.run();
        }
        all
    }

    /// Delivers as much data of the peer as the bridge reads.
    fn delivered(&mut self, stream: older::StreamKey, data: &[u8]) -> usize {
        let count = self.bridge().readable(stream).min(data.len());
        self.bridge().handle_data(stream, &data[..count]);
        self.run();
        count
    }

    fn ended(&mut self, stream: older::StreamKey, result: &Result<(), Failure>) {
        let (now, bridge) = (self.now, self.bridge.as_mut().expect("HELLO is over"));
        bridge.handle_stream_end(now, &mut self.directory, stream, result);
        self.run();
    }
}

#[test]
fn data_passes_in_both_directions_in_both_versions() {
    for version in OlderVersion::ALL {
        let mut pair = Pair::with_session(version, Style::Stream);
        let (id, stream) = pair.connected();
        pair.client.send(id, b"GET /").expect("is open");
        pair.run();
        assert_eq!(pair.written(stream, 100), b"GET /");
        if version.has_flow_control() {
            assert_eq!(pair.delivered(stream, b"hello"), 0);
            pair.client.accept_bytes(id, Some(3)).expect("is open");
            pair.run();
            assert_eq!(pair.delivered(stream, b"hello"), 3);
            assert_eq!(
                pair.delivered(stream, b"lo"),
                0,
                "the limit is a running total"
            );
            pair.client.accept_bytes(id, Some(1)).expect("is open");
            pair.run();
            assert_eq!(pair.delivered(stream, b"lo"), 1);
            pair.client.accept_bytes(id, None).expect("is open");
            pair.run();
            assert_eq!(pair.delivered(stream, b"o"), 1);
        } else {
            assert_eq!(pair.delivered(stream, b"hello"), 5);
        }
        let data: Vec<u8> = std::mem::take(&mut pair.events)
            .into_iter()
            .flat_map(|event| match event {
                Event::Data { id: of, data } if of == id => data.to_vec(),
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert_eq!(data, b"hello");
        pair.ended(stream, &Ok(()));
        let closed = Event::StreamClosed { id, result: Ok(()) };
        assert_eq!(pair.events, [closed]);
        assert!(matches!(pair.requests[..], [older::Request::Finish(one)] if one == stream));
    }
}

#[test]
fn a_full_buffer_of_version_2_delays_data_and_loses_none() {
    let mut pair = Pair::with_session(OlderVersion::V2_0, Style::Stream);
    let (id, stream) = pair.connected();
    let data: Vec<u8> = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    pair.client.send(id, &data).expect("fits");
    assert_eq!(pair.client.send(id, &data), Err(RequestError::Busy));
    pair.run();
    // The bridge takes one block and reports that its buffer is full.
    assert_eq!(pair.bridge().pending(stream).len(), 32 * 1024);
    assert_eq!(pair.written(stream, usize::MAX), data);
    assert_eq!(pair.events, [Event::Writable { id }]);
    pair.client.send(id, b"end").expect("fits again");
    pair.client.close(id);
    pair.run();
    assert_eq!(pair.written(stream, usize::MAX), b"end");
    assert!(matches!(pair.requests[..], [older::Request::Finish(_)]));
    assert_eq!(pair.client.send(id, b"more"), Err(RequestError::Over));
}

#[test]
fn a_full_buffer_of_version_1_stops_reading() {
    let mut pair = Pair::with_session(OlderVersion::V1_0, Style::Stream);
    let (id, stream) = pair.connected();
    let data = vec![7; 120_000];
    pair.client.send(id, &data).expect("fits");
    pair.run();
    assert!(!pair.bridge().wants_bytes(), "the rest waits in the socket");
    assert_eq!(pair.written(stream, usize::MAX), data);
    assert!(pair.bridge().wants_bytes());
}

#[test]
fn commands_of_version_1_wait_until_a_stream_is_open() {
    for (version, waits) in [(OlderVersion::V1_0, true), (OlderVersion::V2_0, false)] {
        let mut pair = Pair::with_session(version, Style::Stream);
        let first = pair
            .client
            .connect(keys(9).destination(), LIMIT)
            .expect("sent");
        let second = pair
            .client
            .connect(keys(8).destination(), LIMIT)
            .expect("sent");
        pair.run();
        assert_eq!(pair.requests.len(), if waits { 1 } else { 2 });
        let older::Request::Connect { stream, .. } = pair.requests.remove(0) else {
            panic!("a stream is requested");
        };
        let failure = Failure::new(ResultCode::CantReachPeer, "nobody answers");
        let result = Err(failure.clone());
        pair.answer(older::Answer::Connected { stream, result });
        let result = Err(failure);
        assert_eq!(pair.events, [Event::Connected { id: first, result }]);
        assert_eq!(pair.requests.len(), 1);
        assert_ne!(first, second);
    }
}

#[test]
fn peers_open_streams_up_to_the_limit() {
    let mut pair = Pair::with_session(OlderVersion::V2_0, Style::Stream);
    let peer = keys(3).destination().clone();
    for id in [-1, -2] {
        assert!(pair.bridge().accepts());
        pair.bridge().handle_accepted(&peer);
        pair.run();
        let peer = peer.clone();
        assert_eq!(pair.events.pop(), Some(Event::Incoming { id, peer }));
    }
    assert!(!pair.bridge().accepts(), "the limit is reached");
    let id = pair.client.connect(&peer, LIMIT).expect("can be sent");
    pair.run();
    let Some(Event::Connected {
        id: of,
        result: Err(failure),
    }) = pair.events.pop()
    else {
        panic!("the stream is refused");
    };
    assert_eq!(of, id);
    assert_eq!(
        failure.message,
        "the session has 2 streams, which is the most"
    );
}

#[test]
fn a_name_keeps_its_keys_and_is_the_destination_of_one_session() {
    let mut pair = Pair::new(OlderVersion::V1_0);
    let create = Create::new(Style::Stream).name("chat");
    pair.client
        .request(Request::Create(create), LIMIT)
        .expect("can be sent");
    let request = Request::LookUp("ME".to_owned());
    assert_eq!(pair.client.request(request, LIMIT), Err(RequestError::Busy));
    pair.run();
    let [older::Request::Keys { name, .. }] = &pair.requests[..] else {
        panic!("the keys are requested");
    };
    assert_eq!(name, "chat");
    pair.answer(older::Answer::Keys(Ok(Box::new(keys(5)))));
    pair.answer(older::Answer::Opened(Ok(())));
    let request = Request::LookUp("ME".to_owned());
    pair.client.request(request, LIMIT).expect("can be sent");
    pair.run();
    let own = keys(5).destination().clone();
    assert_eq!(
        pair.events.pop(),
        Some(Event::Answered(Ok(Answer::Found(own))))
    );
    assert_eq!(pair.directory.sessions(), 1);
    pair.bridge
        .as_mut()
        .expect("open")
        .handle_end(&mut pair.directory);
    assert_eq!(pair.directory.sessions(), 0);
    pair.run();
    assert!(matches!(
        pair.requests.last(),
        Some(older::Request::Close(_))
    ));
}

#[test]
fn datagrams_pass_in_both_directions() {
    for (style, is_raw) in [(Style::Datagram, false), (Style::Raw, true)] {
        let mut pair = Pair::with_session(OlderVersion::V1_0, style);
        let peer = keys(3).destination().clone();
        pair.client
            .send_datagram(&peer, b"ping\n")
            .expect("can be sent");
        pair.run();
        let Some(older::Request::Send(datagram)) = pair.requests.pop() else {
            panic!("a datagram is sent");
        };
        assert_eq!(&datagram.payload[..], b"ping\n");
        let received = Received {
            sender: match is_raw {
                true => crate::Sender::Unknown,
                false => crate::Sender::Verified(peer),
            },
            from_port: 0,
            to_port: 0,
            protocol: 18,
            payload: Bytes::from_static(b"pong\n"),
        };
        let datagram = received.clone();
        pair.answer(older::Answer::Received { style, datagram });
        assert_eq!(pair.events, [Event::Datagram(received)]);
    }
}

#[test]
fn the_end_of_the_session_closes_the_connection() {
    let mut pair = Pair::with_session(OlderVersion::V2_0, Style::Stream);
    pair.answer(older::Answer::SessionEnded(Failure::error(
        "the router is gone",
    )));
    assert!(pair.is_closed);
    let failure = Failure::error("the router is gone");
    assert_eq!(pair.events, [Event::Closed(Closed::Refused(failure))]);
    assert_eq!(pair.directory.sessions(), 0);
}

#[test]
fn requests_and_streams_have_deadlines() {
    let mut pair = Pair::with_session(OlderVersion::V2_0, Style::Stream);
    let id = pair
        .client
        .connect(keys(9).destination(), LIMIT)
        .expect("sent");
    pair.run();
    pair.now += LIMIT;
    pair.client.handle_timeout(pair.now);
    pair.run();
    let Some(Event::Connected {
        id: of,
        result: Err(failure),
    }) = pair.events.pop()
    else {
        panic!("the attempt ends");
    };
    assert_eq!((of, failure.result), (id, ResultCode::Timeout));
    let request = Request::LookUp("a.i2p".to_owned());
    pair.client.request(request, LIMIT).expect("can be sent");
    pair.run();
    pair.now += LIMIT;
    pair.client.handle_timeout(pair.now);
    pair.run();
    let expected = [
        Event::Answered(Err(RequestError::Timeout)),
        Event::Closed(Closed::Timeout),
    ];
    assert_eq!(pair.events, expected);
}

#[test]
fn generated_keys_are_read() {
    let mut pair = Pair::new(OlderVersion::V1_0);
    let request = Request::Generate(SignatureType::ED25519);
    pair.client.request(request, LIMIT).expect("can be sent");
    pair.run();
    assert!(matches!(
        pair.events[..],
        [Event::Answered(Ok(Answer::Generated(_)))]
    ));
}
