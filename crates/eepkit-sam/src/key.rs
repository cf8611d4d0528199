//! Text forms of destinations and private keys.

use eepkit_wire::{Destination, Host, KeyError, ParseAddressError, PrivateKeys, Zeroizing};

/// Parses a private key in the form that SAM uses: base64 of destination and private keys.
///
/// Padding may be missing, because clients that split lines at every `=` lose it.
///
/// # Errors
///
/// [`KeyError`] if the text is not a private key.
pub fn parse_private_keys(text: &str) -> Result<PrivateKeys, KeyError> {
    PrivateKeys::from_base64(&padded(text))
}

/// Parses any name of a destination: base64, `.b32.i2p` addresses of both kinds, or a host name.
///
/// Padding of base64 may be missing. Private keys are accepted in place of their destination,
/// because SESSION STATUS returns private keys in its DESTINATION parameter, and some programs pass
/// them on as a destination.
///
/// # Errors
///
/// [`ParseAddressError`] if the text has none of these forms.
pub fn parse_target(text: &str) -> Result<Host, ParseAddressError> {
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

/// Parses the line that names the peer of an accepted stream: a destination and, since 3.2, the
/// ports.
///
/// # Errors
///
/// [`PeerLineError`]. A bridge may send `STREAM STATUS ...` in place of this line, which is also an
/// error here.
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

/// The peer that opened an accepted stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerLine {
    /// The peer.
    pub destination: Destination,
    /// The peer's port; sent since 3.2.
    pub from_port: Option<u16>,
    /// The port on this side; sent since 3.2.
    pub to_port: Option<u16>,
}

impl PeerLine {
    /// Formats the line, including its line end.
    pub fn to_line(&self) -> String {
        crate::message::LineBuilder::new(&self.destination.to_base64())
            .pair_if("FROM_PORT", self.from_port)
            .pair_if("TO_PORT", self.to_port)
            .finish()
    }
}

/// The reason why a line does not name a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PeerLineError {
    /// The line does not begin with a destination.
    #[error("the line does not begin with a destination")]
    Destination,
    /// A port is invalid.
    #[error("the ports after the destination are invalid")]
    Ports,
}

/// Checks the ID of a session.
///
/// An ID must not contain white space, control characters, `=`, quotes or backslashes, because a
/// line could not contain them without escapes. Before 3.2, an ID must be ASCII.
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

/// The reason why a text is not a valid session ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The ID is empty or too long.
    #[error("ID must have 1 to {MAX_ID} bytes")]
    Length,
    /// The ID contains a forbidden character.
    #[error("ID must not hold spaces, control characters, quotes, backslashes or =")]
    Character,
    /// The ID is not ASCII, and the protocol version is older than 3.2.
    #[error("ID must be ASCII before SAM 3.2")]
    NotAscii,
}

/// The longest session ID, in bytes. Chosen because clients use IDs of up to 64 characters, and an
/// ID is stored for each session and sent with each datagram.
const MAX_ID: usize = 256;

/// Returns the text with the base64 padding that its length requires.
fn padded(text: &str) -> Zeroizing<String> {
    let digits = text.trim_end_matches('=');
    let missing = match digits.len() % 4 {
        2 => "==",
        3 => "=",
        // Either no padding is missing, or the length is invalid and the decoder returns an error.
        _ => "",
    };
    // Padding that is present may be wrong. It is left unchanged so that the decoder checks it.
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
    fn private_keys_are_parsed_with_and_without_padding() {
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
    fn private_keys_are_accepted_as_their_destination() {
        let keys = keys(SignatureType::ED25519);
        let expected = Ok(Host::Destination(keys.destination().clone()));
        let text = keys.to_base64();
        assert_eq!(parse_target(&text), expected);
        assert_eq!(parse_target(text.trim_end_matches('=')), expected);
        // After a destination, only its private keys are accepted.
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
