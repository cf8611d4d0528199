//! What the fuzz targets run. Each function takes any bytes, and panics where a parser breaks a
//! promise; that a parser must not panic itself goes without saying.

use bytes::Bytes;

use crate::{
    LineBuilder, LineReader, Message, Received, SendHeader, SessionParams, Style, Syntax, Version,
    key,
};

/// What a fuzz target does with its input.
pub type Target = fn(&[u8]);

/// Every parser, by the name of its fuzz target.
pub const TARGETS: [(&str, Target); 3] = [
    ("sam_lines", lines),
    ("sam_message", message),
    ("sam_datagram", datagram),
];

/// However the bytes are cut into pieces, the same lines are in them.
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

/// What was read of a line is the same after writing and reading it, and reading commands of any
/// content ends.
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
            .expect("what is written can be read");
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

/// A packet that is read is the same after writing and reading it.
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

/// Short, so that a fuzzer reaches it.
const LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fuzz_targets_bear_noise(data in prop::collection::vec(any::<u8>(), 0..600)) {
            for (_, target) in TARGETS {
                target(&data);
            }
        }

        #[test]
        fn fuzz_targets_bear_what_looks_like_sam(
            text in "(SESSION|STREAM|3\\.3|DEST) (CREATE|ADD|me) ?([A-Z_]{1,9}(=(\"[^\"]{0,9}\"?|[^ ]{0,9}))? {0,2}){0,8}\n?.{0,9}"
        ) {
            for (_, target) in TARGETS {
                target(text.as_bytes());
            }
        }
    }
}
