//! The functions that the fuzz targets run. Each function accepts any bytes, and panics if a parser
//! violates one of its guarantees. The parsers themselves must never panic.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eepkit_wire::{Destination, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use crate::{
    Failure, LineBuilder, LineReader, Message, Received, ResultCode, SendHeader, SessionParams,
    Style, Syntax, Version, key,
    server::{Answer, Config, Connection, Directory, Found, Output, Peer, older},
};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("sam_bridge", bridge),
    ("sam_older_bridge", older_bridge),
    ("sam_older_client", older_client),
    ("sam_lines", lines),
    ("sam_message", message),
    ("sam_datagram", datagram),
    ("sam_client", client),
];

/// Splitting the bytes into pieces does not change the lines.
pub fn lines(data: &[u8]) {
    let (cuts, stream) = data.split_at(data.len().min(8));
    let mut whole = LineReader::new(LIMIT);
    whole.push(stream);
    let mut pieces = LineReader::new(LIMIT);
    let mut cuts = cuts.iter().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let length = usize::from(*cuts.next().unwrap_or(&1)).clamp(1, rest.len());
        let (piece, after) = rest.split_at(length);
        rest = after;
        pieces.push(piece);
        loop {
            let peeked = pieces.peek_line();
            let line = pieces.next_line();
            if matches!((&peeked, &line), (Ok(Some(_)), Ok(Some(_)))) {
                assert_eq!(peeked, line);
            }
            match line {
                Ok(None) => break,
                Err(crate::LineError::TooLong { .. }) => return,
                line => assert_eq!(whole.next_line(), line),
            }
        }
    }
}

/// For any input from a bridge, each request is answered once, and nothing follows the end.
#[expect(clippy::disallowed_methods, reason = "some instant to begin with")]
pub fn client(data: &[u8]) {
    use crate::client::{Accept, Client, Config, Create, Event, Keys, Output, Request};

    let now = Instant::now();
    let mut client = Client::new(Config::default(), now);
    let (choice, said) = data.split_at(data.len().min(1));
    let limit = Duration::from_secs(1);
    let keys = Keys::Transient(SignatureType::ED25519);
    let accept = Accept {
        id: "x".to_owned(),
        silent: choice.first().is_some_and(|byte| byte & 1 == 1),
    };
    let mut asked = vec![
        client.request(Request::lookup("a.i2p"), limit),
        client.request(Request::Create(Create::new("x", Style::Raw, keys)), limit),
        client.request(Request::Ping("1".to_owned()), limit),
        client.request(Request::Accept(accept), limit),
    ];
    let mut over = false;
    let mut drain = |client: &mut Client| {
        loop {
            let event = match client.poll_output() {
                Output::Timeout(_) => return,
                Output::Transmit(bytes) => {
                    assert_eq!(bytes.last(), Some(&b'\n'), "only lines are sent");
                    continue;
                }
                Output::Event(event) => event,
            };
            assert!(!over, "nothing follows the end");
            match event {
                Event::Answered { id, .. } => {
                    let at = asked.iter().position(|one| *one == id);
                    asked.remove(at.expect("each request is answered once"));
                }
                Event::Closed(_) => over = true,
                _ => {}
            }
        }
    };
    for piece in said.chunks(64) {
        client.handle_input(now, piece);
        drain(&mut client);
    }
    client.handle_timeout(now + Duration::from_secs(60));
    drain(&mut client);
    client.handle_end(now);
    drain(&mut client);
    let is_stream = client.is_stream();
    assert!(over || is_stream, "the end is reported");
    assert!(is_stream || asked.is_empty(), "every request is answered");
}

/// A parsed line round-trips, and parsing of commands terminates for any content.
pub fn message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.contains(char::is_control) {
        return;
    }
    for version in Version::ALL {
        let Ok(message) = Message::parse(text, Syntax::of(version)) else {
            continue;
        };
        let _ = SessionParams::create(&message.params, version);
        let _ = SessionParams::add(&message.params, version);
        let mut line = LineBuilder::new(&format!("{} {}", message.verb, message.action));
        for (key, value) in message.params.iter() {
            line = line.pair(key, value.unwrap_or_default());
        }
        let line = line.finish();
        let again = Message::parse(line.trim_end_matches('\n'), Syntax::CURRENT)
            .expect("a formatted line can be parsed");
        assert_eq!(again.verb, message.verb);
        assert_eq!(again.params.len(), message.params.len());
        for (key, value) in message.params.iter() {
            assert_eq!(again.params.get(key), Some(value.unwrap_or_default()));
        }
    }
    let _ = Version::negotiate(Some(text), None);
    let _ = key::parse_peer_line(text);
    let _ = key::parse_private_keys(text);
    let _ = key::parse_target(text);
}

/// A parsed packet round-trips.
pub fn datagram(data: &[u8]) {
    if let Ok((header, payload)) = SendHeader::parse(data) {
        assert_eq!(
            SendHeader::parse(&header.to_packet(payload)),
            Ok((header, payload))
        );
    }
    let packet = Bytes::copy_from_slice(data);
    for style in Style::ALL {
        if let Ok(received) = Received::from_packet(style, true, &packet) {
            let again = Bytes::from(received.to_packet(style, Version::NEWEST, true));
            assert_eq!(
                Received::from_packet(style, true, &again)
                    .as_ref()
                    .map(|r| &r.payload),
                Ok(&received.payload)
            );
        }
    }
}

/// Runs two sockets of a bridge with actions of clients, the router and time in any order. The
/// machines always become idle, and no session remains after the sockets are closed.
pub fn bridge(data: &[u8]) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the start time; the input advances it"
    )]
    let mut now = Instant::now();
    let config = Arc::new(Config {
        ping_after: Some(Duration::from_secs(180)),
        ..Config::default()
    });
    let mut directory = Directory::<()>::new();
    let fresh = |number: u8, now| Connection::new(config.clone(), None, [number; 32], now);
    let mut sockets = [fresh(0, now), fresh(1, now)];
    let mut rest = data;
    while let [op, argument, after @ ..] = rest {
        rest = after;
        let socket = &mut sockets[usize::from(op & 1)];
        match op >> 1 & 7 {
            // Whole lines are more frequent than random bytes, because random bytes rarely get past
            // HELLO.
            0..=2 => {
                let line = LINES[usize::from(*argument) % LINES.len()];
                if socket.wants_bytes() {
                    socket.handle_bytes(now, &mut directory, line.as_bytes());
                }
            }
            3 => {
                let (bytes, after) = rest.split_at(rest.len().min(usize::from(*argument)));
                rest = after;
                if socket.wants_bytes() {
                    socket.handle_bytes(now, &mut directory, bytes);
                }
            }
            4 | 5 => socket.handle_answer(now, &mut directory, answer(*argument)),
            6 => {
                now += Duration::from_millis(u64::from(*argument) * 100);
                if socket.deadline().is_some_and(|at| at <= now) {
                    socket.handle_timeout(now, &mut directory);
                }
            }
            _ => {
                socket.handle_end(&mut directory);
                drain(socket);
                *socket = fresh(*argument, now);
            }
        }
        drain(socket);
    }
    for socket in &mut sockets {
        socket.handle_end(&mut directory);
        drain(socket);
        assert!(socket.is_done() && socket.deadline().is_none());
    }
    assert_eq!((directory.sessions(), directory.subsessions()), (0, 0));
}

/// Takes the outputs of a machine. Each step has a bounded number of outputs.
fn drain(socket: &mut Connection) {
    let mut outputs = 0;
    while let Some(output) = socket.poll_output() {
        outputs += 1;
        assert!(outputs < 100_000, "the machine does not become idle");
        if let Output::Send(bytes) = output {
            assert!(!bytes.is_empty());
        }
    }
}

/// Runs a socket of version 1.0 or 2.0 with actions of its client, the router, peers and time in any
/// order. Data that the bridge has accepted is neither lost nor changed, no limit of a client is
/// exceeded, and no session remains after the socket is closed.
pub fn older_bridge(data: &[u8]) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the start time; the input advances it"
    )]
    let mut now = Instant::now();
    let config = Arc::new(Config {
        older_versions: true,
        max_older_streams: 3,
        ..Config::default()
    });
    let mut directory = Directory::<()>::new();
    let mut hello = Connection::new(config, None, [1; 32], now);
    let (choice, mut rest) = data.split_at(data.len().min(1));
    let line = OLDER_HELLO[usize::from(choice.first().copied().unwrap_or(0) & 1)];
    hello.handle_bytes(now, &mut directory, line.as_bytes());
    let mut machine = loop {
        match hello.poll_output().expect("the version is negotiated") {
            Output::Older(machine) => break machine,
            output => assert!(matches!(output, Output::Send(_)), "{output:?}"),
        }
    };
    let mut connecting = Vec::new();
    while let [op, argument, after @ ..] = rest {
        rest = after;
        let streams: Vec<_> = machine.streams().collect();
        let stream = streams.get(usize::from(*argument & 3)).copied();
        match (op & 7, stream) {
            (0 | 1, _) => {
                let line = OLDER_LINES[usize::from(*argument) % OLDER_LINES.len()];
                if machine.wants_bytes() {
                    machine.handle_bytes(now, &mut directory, line.as_bytes());
                }
            }
            (2, _) => {
                let (bytes, after) = rest.split_at(rest.len().min(usize::from(*argument)));
                rest = after;
                if machine.wants_bytes() {
                    machine.handle_bytes(now, &mut directory, bytes);
                }
            }
            (3, _) => {
                let stream = connecting.pop();
                let answer = older_answer(*argument, stream);
                machine.handle_answer(now, &mut directory, answer);
            }
            (4, _) if machine.accepts() => {
                machine.handle_accepted(&someone());
            }
            (5, Some(stream)) => {
                let count = machine.pending(stream).len().min(1 << (argument >> 4));
                machine.handle_written(now, &mut directory, stream, count);
            }
            (6, Some(stream)) => {
                let count = machine.readable(stream).min(usize::from(argument >> 2));
                machine.handle_data(stream, &vec![7; count]);
            }
            (7, Some(stream)) if argument & 4 == 4 => {
                let result = match argument & 8 {
                    0 => Ok(()),
                    _ => Err(Failure::error("reset")),
                };
                machine.handle_stream_end(now, &mut directory, stream, &result);
            }
            _ => {
                now += Duration::from_millis(u64::from(*argument) * 10);
                if machine.deadline().is_some_and(|at| at <= now) {
                    machine.handle_timeout(now, &mut directory);
                }
            }
        }
        drain_older(&mut machine, &mut connecting);
        assert!(machine.streams().count() <= 3, "the limit is exceeded");
    }
    machine.handle_end(&mut directory);
    drain_older(&mut machine, &mut connecting);
    assert!(machine.is_done() && machine.deadline().is_none());
    assert_eq!(machine.streams().count(), 0);
    assert_eq!(directory.sessions(), 0);
}

fn drain_older(machine: &mut older::Connection, connecting: &mut Vec<older::StreamKey>) {
    let mut outputs = 0;
    while let Some(output) = machine.poll_output() {
        outputs += 1;
        assert!(outputs < 100_000, "the machine does not become idle");
        match output {
            older::Output::Send(bytes) => assert!(!bytes.is_empty()),
            older::Output::Request(older::Request::Connect { stream, .. }) => {
                connecting.push(stream);
            }
            _ => {}
        }
    }
}

fn older_answer(number: u8, stream: Option<older::StreamKey>) -> older::Answer {
    let result = match number & 8 {
        0 => Ok(()),
        _ => Err(Failure::new(ResultCode::Timeout, "late")),
    };
    match (stream, number & 3) {
        (Some(stream), _) => older::Answer::Connected { stream, result },
        (None, 0) => older::Answer::Keys(result.map(|()| {
            let mut rng = ChaCha20Rng::from_seed([9; 32]);
            let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng);
            Box::new(keys.expect("can be made"))
        })),
        (None, 1) => older::Answer::Opened(result),
        (None, 2) => older::Answer::Found(result.map(|()| someone())),
        (None, _) if number & 0xf0 == 0xf0 => older::Answer::SessionEnded(Failure::error("over")),
        (None, _) => older::Answer::Received {
            style: Style::Raw,
            datagram: Received {
                sender: crate::Sender::Unknown,
                from_port: 0,
                to_port: 0,
                protocol: 18,
                payload: Bytes::from_static(b"hello"),
            },
        },
    }
}

/// For any input from a bridge of version 1.0 or 2.0, each request is answered once, and nothing
/// follows the end.
#[expect(clippy::disallowed_methods, reason = "some instant to begin with")]
pub fn older_client(data: &[u8]) {
    use crate::client::older::{Client, Config, Create, Event, Output, Request};

    let now = Instant::now();
    let mut client = Client::new(Config::default(), now);
    let limit = Duration::from_secs(1);
    let mut is_over = false;
    let mut is_asked = false;
    for piece in data.chunks(32) {
        client.handle_input(now, piece);
        loop {
            let event = match client.poll_output() {
                Output::Timeout(_) => break,
                Output::Transmit(bytes) => {
                    assert!(!bytes.is_empty());
                    continue;
                }
                Output::Event(event) => event,
            };
            assert!(!is_over, "nothing follows the end");
            match event {
                Event::Ready(_) => {
                    let request = Request::Create(Create::new(Style::Stream));
                    is_asked = client.request(request, limit).is_ok();
                }
                Event::Answered(_) => assert!(std::mem::take(&mut is_asked)),
                Event::Incoming { id, .. } => {
                    let _ = client.accept_bytes(id, Some(10));
                    let _ = client.send(id, b"hello");
                }
                Event::Data { id, data } => {
                    let _ = client.send(id, &data);
                    client.close(id);
                }
                Event::Closed(_) => is_over = true,
                _ => {}
            }
        }
    }
    client.handle_timeout(now + Duration::from_secs(60));
    client.handle_end(now);
    while let Output::Event(event) = client.poll_output() {
        assert!(!is_over, "nothing follows the end");
        match event {
            Event::Answered(_) => is_asked = false,
            Event::Closed(_) => is_over = true,
            _ => {}
        }
    }
    assert!(is_over && !is_asked);
}

fn someone() -> Destination {
    Destination::new(
        PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha20Rng::from_seed([9; 32]))
            .expect("can be made")
            .destination()
            .signing_key(),
        &[7; 32],
    )
    .expect("a known type")
}

fn answer(number: u8) -> Answer {
    let result = |number: u8| match number & 8 {
        0 => Ok(()),
        _ => Err(Failure::new(ResultCode::Timeout, "late")),
    };
    match number & 7 {
        0 => Answer::Opened(result(number)),
        1 => Answer::Added(result(number)),
        2 => Answer::Connected(result(number)),
        3 => Answer::Forwarding(result(number)),
        4 => Answer::AuthChanged(result(number)),
        5 => Answer::Accepted(result(number).map(|()| Peer {
            destination: someone(),
            from_port: number.into(),
            to_port: 0,
        })),
        6 => Answer::Found(result(number).map(|()| Found {
            destination: someone(),
            options: vec![("key=".to_owned(), "a\nb".to_owned())],
        })),
        _ => Answer::SessionEnded(Failure::error("over")),
    }
}

const LINES: [&str; 20] = [
    "HELLO VERSION MIN=3.1 MAX=3.3\n",
    "HELLO VERSION MIN=3.0 MAX=3.0\n",
    "SESSION CREATE STYLE=STREAM ID=a DESTINATION=TRANSIENT\n",
    "SESSION CREATE STYLE=RAW ID=b DESTINATION=TRANSIENT PORT=9\n",
    "SESSION CREATE STYLE=DATAGRAM ID=a DESTINATION=TRANSIENT\n",
    "SESSION CREATE STYLE=PRIMARY ID=p DESTINATION=TRANSIENT\n",
    "SESSION ADD STYLE=STREAM ID=a FROM_PORT=1\n",
    "SESSION ADD STYLE=RAW ID=b PORT=9\n",
    "SESSION REMOVE ID=a\n",
    "STREAM CONNECT ID=a DESTINATION=x.i2p\n",
    "STREAM ACCEPT ID=a\n",
    "STREAM ACCEPT ID=a SILENT=true\n",
    "STREAM FORWARD ID=a PORT=9\n",
    "DATAGRAM SEND DESTINATION=x.i2p SIZE=3\nabc",
    "RAW SEND DESTINATION=x.i2p SIZE=300\n",
    "NAMING LOOKUP NAME=x.i2p OPTIONS=true\n",
    "NAMING LOOKUP NAME=ME\n",
    "DEST GENERATE\n",
    "PING x\nPONG\nHELP\n",
    "QUIT\n",
];

const OLDER_HELLO: [&str; 2] = [
    "HELLO VERSION MIN=1.0 MAX=1.0\n",
    "HELLO VERSION MIN=2.0 MAX=2.0\n",
];

const OLDER_LINES: [&str; 16] = [
    "SESSION CREATE STYLE=STREAM DESTINATION=TRANSIENT\n",
    "SESSION CREATE STYLE=STREAM DESTINATION=a\n",
    "SESSION CREATE STYLE=RAW DESTINATION=TRANSIENT\n",
    "STREAM CONNECT ID=1 DESTINATION=x.i2p\n",
    "STREAM CONNECT ID=2 DESTINATION=x.i2p\n",
    "STREAM SEND ID=1 SIZE=3\nabc",
    "STREAM SEND ID=-1 SIZE=30000\n",
    "STREAM SEND ID=-2 SIZE=1\na",
    "STREAM RECEIVE ID=-1 LIMIT=5\n",
    "STREAM RECEIVE ID=1 LIMIT=NONE\n",
    "STREAM CLOSE ID=1\n",
    "STREAM CLOSE ID=-1\n",
    "NAMING LOOKUP NAME=x.i2p\n",
    "NAMING LOOKUP NAME=ME\n",
    "RAW SEND DESTINATION=x.i2p SIZE=3\nabc",
    "DEST GENERATE\n",
];

/// Chosen small, so that a fuzzer reaches it.
const LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fuzz_targets_accept_random_bytes(data in prop::collection::vec(any::<u8>(), 0..600)) {
            for (_, target) in TARGETS {
                target(&data);
            }
        }

        #[test]
        fn fuzz_targets_accept_sam_like_input(
            text in "(SESSION|STREAM|3\\.3|DEST) (CREATE|ADD|me) ?([A-Z_]{1,9}(=(\"[^\"]{0,9}\"?|[^ ]{0,9}))? {0,2}){0,8}\n?.{0,9}"
        ) {
            for (_, target) in TARGETS {
                target(text.as_bytes());
            }
        }
    }
}
