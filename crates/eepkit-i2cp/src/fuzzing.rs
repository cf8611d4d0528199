//! Functions that the fuzz targets call. Each panics if the input reveals a bug.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use eepkit_wire::{
    Hash, PrivateKeys, SignatureType,
    rand_core::{TryCryptoRng, TryRng},
};

use crate::{
    Command, Config, FrameReader, Handle, Input, LookupTarget, Message, MessageType, Options,
    Output, Session,
};

/// Checks that a decoded message is the same after encoding and decoding it again.
///
/// The first byte of the input is the message type, the rest is the body.
pub fn message(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    let Ok(Some(read)) = Message::decode(MessageType(*kind), &Bytes::copy_from_slice(body)) else {
        return;
    };
    let mut written = Vec::new();
    read.encode_body(&mut written);
    let again = Message::decode(read.kind(), &written.into());
    assert_eq!(again, Ok(Some(read)));
}

/// Checks that a stream of frames received in pieces has the same frames as the whole stream.
///
/// The first 16 bytes of the input are the lengths of the pieces, used cyclically. The rest is the
/// stream.
pub fn frames(data: &[u8]) {
    let (cuts, stream) = data.split_at(data.len().min(16));
    let mut whole = FrameReader::for_client();
    let mut all = BytesMut::from(stream);
    let mut pieces = FrameReader::for_client();
    let mut received = BytesMut::new();
    let mut found = Vec::new();
    let mut rest = stream;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let length = usize::from(*cuts.next().unwrap_or(&1)).clamp(1, rest.len());
        let (piece, after) = rest.split_at(length);
        rest = after;
        received.extend_from_slice(piece);
        while let Ok(Some(frame)) = pieces.next_frame(&mut received) {
            found.push(frame);
        }
    }
    for frame in found {
        assert_eq!(whole.next_frame(&mut all), Ok(Some(frame)));
    }
}

/// Checks that setting a stored value again does not change it, and that error texts have a bounded
/// length.
///
/// The input is lines of `key=value`.
pub fn options(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut options = Options::new();
    for line in text.lines() {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        match options.set(key, value) {
            Ok(()) => {
                let kept = options.get(key).unwrap_or_default().to_owned();
                assert_eq!(options.set(key, &kept), Ok(()));
                assert_eq!(options.get(key), Some(kept.as_str()));
            }
            Err(error) => assert!(error.to_string().len() < 2_000),
        }
    }
    assert!(options.len() <= Options::MAX);
}

/// Checks that a session machine neither panics nor loops forever, and is closed at most once.
///
/// The input is a sequence of events. The first byte of each selects its kind.
pub fn session(data: &[u8]) {
    let start = epoch();
    let config = Config {
        keys: Arc::clone(keys()),
        options: Options::new(),
        router: None,
        open_timeout: Duration::from_secs(30),
    };
    let mut session = Session::new(config, start);
    let mut now = start;
    let mut received = BytesMut::new();
    let mut ends = drain(&mut session);
    let mut rest = data;
    while let Some((what, after)) = rest.split_first() {
        rest = after;
        match what % 8 {
            0..=3 => {
                let Some((length, after)) = rest.split_first() else {
                    break;
                };
                let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
                rest = after;
                received.extend_from_slice(bytes);
                session.handle_input(now, Input::Receive(&mut received));
            }
            4 => {
                now += Duration::from_millis(u64::from(*what) * 100);
                session.handle_input(now, Input::Timeout);
            }
            5 => {
                let target = LookupTarget::Hash(Hash::new([*what; 32]));
                let timeout = Duration::from_secs(u64::from(*what));
                let command = Command::Lookup {
                    id: u32::from(*what),
                    target,
                    timeout,
                };
                session.handle_input(now, Input::Command(command));
            }
            6 => session.handle_input(now, Input::Command(Command::Close(Handle(1)))),
            _ => session.handle_input(now, Input::Eof),
        }
        ends += drain(&mut session);
    }
    assert!(ends <= 1);
    assert_eq!(ends == 1, session.is_closed());
}

fn drain(session: &mut Session) -> usize {
    let mut ends = 0;
    session.consume_output(session.output().len());
    loop {
        match session.poll_output() {
            Output::Event(crate::Event::Closed(_)) => ends += 1,
            Output::Timeout(_) => return ends,
            _ => {}
        }
    }
}

/// Keys that are generated once, because generating them takes longer than the rest of a run.
fn keys() -> &'static Arc<PrivateKeys> {
    static KEYS: OnceLock<Arc<PrivateKeys>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut Zeros);
        Arc::new(keys.expect("a type that can be made"))
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to make an Instant; only differences to it matter"
)]
fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// A generator with constant output, so that every run has the same keys.
struct Zeros;

impl TryRng for Zeros {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(7);
        Ok(())
    }
}

impl TryCryptoRng for Zeros {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_reveal_no_bug(data: Vec<u8>) {
            message(&data);
            frames(&data);
            options(&data);
            session(&data);
        }

        #[test]
        fn frames_of_known_types_reveal_no_bug(
            bodies in prop::collection::vec(
                (1_u8..43, prop::collection::vec(any::<u8>(), 0..60)),
                0..9,
            ),
        ) {
            let mut stream = vec![3, 1, 7];
            let mut events = Vec::new();
            for (kind, body) in bodies {
                let mut frame = (body.len() as u32).to_be_bytes().to_vec();
                frame.push(kind);
                frame.extend(&body);
                stream.extend(&frame);
                events.extend([0, frame.len() as u8]);
                events.extend(frame);
                let mut one = vec![kind];
                one.extend(body);
                message(&one);
            }
            frames(&stream);
            session(&events);
        }
    }
}
