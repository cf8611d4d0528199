//! The functions that the fuzz targets run. Each function accepts any bytes, and panics if a parser
//! violates one of its guarantees. The parsers themselves must never panic.

use crate::{
    Address, Authentication, Client, Credentials, Event, Host, ProtocolError, Reply, Server,
    UdpHeader,
};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 3] = [
    ("socks_server", server),
    ("socks_client", client),
    ("socks_udp", udp),
];

/// What a server did with some input.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    events: Vec<Event>,
    output: Vec<u8>,
    end: Result<Vec<u8>, ProtocolError>,
}

fn run<'a>(authentication: Authentication, pieces: impl Iterator<Item = &'a [u8]>) -> Run {
    let mut server = Server::new(authentication);
    let (mut events, mut output, mut error) = (Vec::new(), Vec::new(), None);
    for piece in pieces {
        let mut result = server.receive(piece);
        while let Ok(Some(event)) = result {
            result = match &event {
                Event::Authenticate(named) => {
                    server.authenticate(named.password().first() != Some(&b'x'))
                }
                Event::Request(_) => {
                    server.reply(&Reply::Granted(Address::new(
                        Host::Ip([127, 0, 0, 1].into()),
                        1,
                    )));
                    Ok(None)
                }
            };
            events.push(event);
        }
        output.extend(server.output());
        if let Err(failed) = result {
            assert_eq!(server.receive(b"more"), Err(failed));
            error = Some(failed);
            break;
        }
    }
    let end = error.map_or_else(|| Ok(server.into_rest()), Err);
    Run {
        events,
        output,
        end,
    }
}

/// Checks that the division of the input into pieces does not matter, that there is at most one
/// request, and that a request that requires a password follows its verification.
pub fn server(data: &[u8]) {
    let (control, input) = data.split_at(data.len().min(2));
    let required = control.first().is_some_and(|byte| byte & 1 == 1);
    let authentication = match required {
        true => Authentication::Required,
        false => Authentication::Optional,
    };
    let size = usize::from(*control.get(1).unwrap_or(&0)).max(1);
    let whole = run(authentication, std::iter::once(input));
    let pieces = run(authentication, input.chunks(size));
    assert_eq!(whole.events, pieces.events);
    assert_eq!(whole.output, pieces.output);
    if let (Ok(whole), Ok(pieces)) = (&whole.end, &pieces.end) {
        assert_eq!(whole, pieces);
    }
    let requests = whole
        .events
        .iter()
        .position(|event| matches!(event, Event::Request(_)));
    if let Some(at) = requests {
        assert_eq!(
            at + 1,
            whole.events.len(),
            "one request, and nothing after it"
        );
        assert_eq!(at, usize::from(required), "{:?}", whole.events);
        if let Some(Event::Request(request)) = whole.events.last()
            && let Host::Name(name) = &request.target.host
        {
            assert!(!name.is_empty() && name.len() <= 255);
        }
    }
}

/// Checks that the client ends once, with any answers of a proxy.
pub fn client(data: &[u8]) {
    let (control, input) = data.split_at(data.len().min(1));
    let credentials = control
        .first()
        .filter(|byte| **byte & 1 == 1)
        .and_then(|_| Credentials::new(b"user", b"password"));
    let target = Address::new(Host::Name("site.i2p".to_owned()), 80);
    let mut client = Client::new(target, credentials);
    let mut ended = None;
    for piece in input.chunks(7) {
        let result = client.receive(piece);
        if let Some(before) = &ended {
            assert_eq!(before, &result);
        } else if !matches!(result, Ok(None)) {
            ended = Some(result);
        }
        assert!(client.output().len() <= 1024);
    }
}

/// Checks that encoding a decoded datagram returns the same address and payload.
pub fn udp(data: &[u8]) {
    if let Ok((header, payload)) = UdpHeader::decode(data) {
        let datagram = header.encode(payload);
        assert_eq!(UdpHeader::decode(&datagram), Ok((header, payload)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_input_is_handled(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            for (_, target) in TARGETS {
                target(&data);
            }
        }

        #[test]
        fn changed_conversations_are_handled(
            control in any::<[u8; 2]>(),
            (at, byte) in (any::<prop::sample::Index>(), any::<u8>()),
            example in 0..EXAMPLES.len(),
        ) {
            let mut data = [&control[..], EXAMPLES[example]].concat();
            server(&data);
            let at = at.index(data.len());
            data[at] = byte;
            for (_, target) in TARGETS {
                target(&data);
            }
        }
    }

    const EXAMPLES: [&[u8]; 7] = [
        b"\x04\x01\x00\x50\x7f\x00\x00\x01user\x00GET",
        b"\x04\x01\x00\x50\x00\x00\x00\x01\x00site.i2p\x00GET",
        b"\x05\x01\x00\x05\x01\x00\x03\x08site.i2p\x00\x50GET",
        b"\x05\x02\x00\x02\x01\x04user\x04pass\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
        b"\x05\x01\x02\x01\x04user\x01x\x05\x01\x00\x03\x08site.i2p\x00\x50",
        b"\x05\x01\x00\x05\xf0\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x01\x02\x03\x04\x00\x50",
        b"\x00\x00\x00\x03\x08site.i2p\x00\x35payload",
    ];
}
