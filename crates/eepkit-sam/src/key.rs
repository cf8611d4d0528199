//! Destinations and private keys as texts.

use eepkit_wire::{AddressError, Destination, Host, KeyError, PrivateKeys, Zeroizing};

/// Reads a private key as SAM writes it: base64 of destination and private keys.
///
/// Padding may be missing: clients that split lines at every `=` lose it.
///
/// # Errors
///
/// [`KeyError`] when it is none.
pub fn parse_private_keys(text: &str) -> Result<PrivateKeys, KeyError> {
    PrivateKeys::from_base64(&padded(text))
}

/// Reads whatever names a destination: base64, `.b32.i2p` addresses of both kinds, host names.
///
/// Padding of base64 may be missing. Private keys stand for their destination: what SESSION STATUS
/// calls a destination are private keys, and there are programs that pass it on as one.
///
/// # Errors
///
/// [`AddressError`] when it is nothing of that.
pub fn parse_target(text: &str) -> Result<Host, AddressError> {
    if text.len() < Host::MIN_BASE64 {
        return text.parse();
    }
    let text = padded(text);
    text.parse()
        .or_else(|error| match PrivateKeys::from_base64(&text) {
            Ok(keys) => Ok(Host::Destination(keys.destination().clone())),
            Err(_) => Err(error),
        })
}

/// Reads the line that tells an accepted stream's peer: a destination, and since 3.2 the ports.
///
/// # Errors
///
/// [`PeerLineError`]; a line that a bridge sends instead, `STREAM STATUS ...`, is one of them.
pub fn parse_peer_line(line: &str) -> Result<PeerLine, PeerLineError> {
    let line = line.trim_matches([' ', '\t']);
    let (destination, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let destination =
        Destination::from_base64(&padded(destination)).map_err(|_| PeerLineError::Destination)?;
    let params = crate::message::Message::parse_params(rest, crate::message::Syntax::CURRENT)
        .map_err(|_| PeerLineError::Ports)?;
    let port = |key| params.port(key).map_err(|_| PeerLineError::Ports);
    Ok(PeerLine {
        from_port: port("FROM_PORT")?,
        to_port: port("TO_PORT")?,
        destination,
    })
}

/// Who opened a stream that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerLine {
    /// The peer.
    pub destination: Destination,
    /// The peer's port; told since 3.2.
    pub from_port: Option<u16>,
    /// The port on this side; told since 3.2.
    pub to_port: Option<u16>,
}

impl PeerLine {
    /// The line with its end.
    pub fn to_line(&self) -> String {
        crate::message::LineBuilder::new(&self.destination.to_base64())
            .pair_if("FROM_PORT", self.from_port)
            .pair_if("TO_PORT", self.to_port)
            .finish()
    }
}

/// A line does not tell a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PeerLineError {
    /// It does not begin with a destination.
    #[error("the line does not begin with a destination")]
    Destination,
    /// Its ports are wrong.
    #[error("the ports behind the destination are wrong")]
    Ports,
}

/// Checks the ID of a session.
///
/// Everything is allowed but white space, control characters, `=` and quotes, which no line could
/// hold without escapes; until 3.1, only ASCII is.
///
/// # Errors
///
/// [`IdError`].
pub fn check_id(id: &str, version: crate::version::Version) -> Result<(), IdError> {
    if id.is_empty() || id.len() > MAX_ID {
        return Err(IdError::Length);
    }
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '=' | '"' | '\'' | '\\');
    if id.contains(bad) {
        return Err(IdError::Character);
    }
    if !version.has_utf8() && !id.is_ascii() {
        return Err(IdError::NotAscii);
    }
    Ok(())
}

/// An ID cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// It is empty or too long.
    #[error("ID must have 1 to {MAX_ID} bytes")]
    Length,
    /// It holds a character that it cannot hold.
    #[error("ID must not hold spaces, control characters, quotes, backslashes or =")]
    Character,
    /// It holds more than ASCII, and the version of the protocol is older than 3.2.
    #[error("ID must be ASCII before SAM 3.2")]
    NotAscii,
}

/// Bytes of a session's ID. Chosen because clients make IDs of up to 64 characters, and an ID is
/// kept for each session and sent with each datagram.
const MAX_ID: usize = 256;

/// The text with the padding that its length asks for.
fn padded(text: &str) -> Zeroizing<String> {
    let digits = text.trim_end_matches('=');
    let missing = match digits.len() % 4 {
        2 => "==",
        3 => "=",
        // Nothing is missing, or one character too many is there, and the decoder says so.
        _ => "",
    };
    // Padding that is there may be wrong, which the decoder shall see.
    if digits.len() != text.len() {
        return Zeroizing::new(text.to_owned());
    }
    let mut out = Zeroizing::new(String::with_capacity(text.len() + missing.len()));
    out.push_str(text);
    out.push_str(missing);
    out
}

#[cfg(test)]
mod tests {
    use eepkit_wire::SignatureType;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;
    use crate::Version;

    fn keys(kind: SignatureType) -> PrivateKeys {
        PrivateKeys::generate(kind, &mut ChaCha20Rng::seed_from_u64(1)).expect("can be made")
    }

    #[test]
    fn private_keys_read_with_and_without_padding() {
        let keys = keys(SignatureType::ED25519);
        let text = keys.to_base64();
        assert!(text.ends_with("=="), "679 bytes");
        assert_eq!(parse_private_keys(&text), Ok(keys.clone()));
        assert_eq!(parse_private_keys(text.trim_end_matches('=')), Ok(keys));
        for bad in ["", "AAAA", &text[1..], &text[..text.len() - 3]] {
            assert!(parse_private_keys(bad).is_err(), "{} bytes", bad.len());
        }
        assert!(parse_private_keys(&format!("{}=", text.trim_end_matches('='))).is_err());
    }

    #[test]
    fn targets_are_destinations_addresses_and_names() {
        let destination = keys(SignatureType::ECDSA_SHA384_P384).destination().clone();
        let text = destination.to_base64();
        let expected = Ok(Host::Destination(destination.clone()));
        assert_eq!(parse_target(&text), expected);
        assert_eq!(parse_target(text.trim_end_matches('=')), expected);
        assert_eq!(
            parse_target(&destination.to_b32()),
            Ok(Host::Hash(destination.hash()))
        );
        assert_eq!(
            parse_target("Example.i2p"),
            Ok(Host::Name("example.i2p".to_owned()))
        );
        assert!(parse_target("127.0.0.1").is_err());
    }

    #[test]
    fn private_keys_stand_for_their_destination() {
        let keys = keys(SignatureType::ED25519);
        let expected = Ok(Host::Destination(keys.destination().clone()));
        let text = keys.to_base64();
        assert_eq!(parse_target(&text), expected);
        assert_eq!(parse_target(text.trim_end_matches('=')), expected);
        // What follows a destination is its keys or a mistake.
        assert!(parse_target(&text[..text.len() - 4]).is_err());
    }

    #[test]
    fn a_peer_line_reads_as_it_is_written() {
        let destination = keys(SignatureType::ED25519).destination().clone();
        for (from_port, to_port) in [(None, None), (Some(7), Some(0))] {
            let line = PeerLine {
                destination: destination.clone(),
                from_port,
                to_port,
            };
            assert_eq!(parse_peer_line(line.to_line().trim_end()), Ok(line));
        }
        assert_eq!(
            parse_peer_line("STREAM STATUS RESULT=I2P_ERROR"),
            Err(PeerLineError::Destination)
        );
        assert_eq!(
            parse_peer_line(&format!("{} FROM_PORT=x", destination.to_base64())),
            Err(PeerLineError::Ports)
        );
    }

    #[test]
    fn ids_are_one_plain_word() {
        for good in ["a", "txi2p-1", "<>/", "0123456789abcdef"] {
            assert_eq!(check_id(good, Version::V3_0), Ok(()), "{good}");
        }
        assert_eq!(check_id("näme", Version::V3_1), Err(IdError::NotAscii));
        assert_eq!(check_id("näme", Version::V3_2), Ok(()));
        assert_eq!(check_id("", Version::V3_3), Err(IdError::Length));
        assert_eq!(
            check_id(&"x".repeat(257), Version::V3_3),
            Err(IdError::Length)
        );
        for bad in ["a b", "a\u{a0}b", "a=b", "a\"b", "a'b", "a\\b", "a\tb"] {
            assert_eq!(
                check_id(bad, Version::V3_3),
                Err(IdError::Character),
                "{bad}"
            );
        }
    }
}
