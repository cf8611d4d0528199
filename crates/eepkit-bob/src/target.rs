//! The first line of an outgoing connection, which names its destination.

use eepkit_wire::{Host, PrivateKeys};

use crate::lines::LineReader;

/// Reads the line with which a program names the destination of its connection, and the bytes after
/// it.
#[derive(Debug)]
pub struct TargetReader {
    lines: LineReader,
}

impl TargetReader {
    /// The longest line, in bytes. Chosen because a destination with an RSA key has about 1,050
    /// characters, and private keys, which are accepted in place of their destination, up to 12 KiB.
    pub const MAX_LINE: usize = LineReader::MAX_LINE;

    /// Creates a reader.
    pub fn new() -> Self {
        Self {
            lines: LineReader::new(Self::MAX_LINE),
        }
    }

    /// Processes received bytes. Returns the destination and the bytes after the line, or `None`
    /// until the line is complete.
    ///
    /// # Errors
    ///
    /// [`TargetError`]. Its text is for the program.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<(Host, Vec<u8>)>, TargetError> {
        let count = self.lines.push(bytes);
        match self.lines.next_line() {
            Err(_) => Err(TargetError::TooLong),
            Ok(None) if count < bytes.len() => Err(TargetError::TooLong),
            Ok(None) => Ok(None),
            Ok(Some(line)) => {
                let host = parse(line.trim())?;
                let mut rest = self.lines.take_rest();
                rest.extend_from_slice(bytes.get(count..).unwrap_or_default());
                Ok(Some((host, rest)))
            }
        }
    }
}

impl Default for TargetReader {
    fn default() -> Self {
        Self::new()
    }
}

/// Parses a destination in base64, an address or a host name.
///
/// # Errors
///
/// [`TargetError::Unknown`].
pub(crate) fn parse(text: &str) -> Result<Host, TargetError> {
    if let Ok(host) = text.parse() {
        return Ok(host);
    }
    // Some programs use the answer to `getkeys` as a destination.
    match PrivateKeys::from_base64(text) {
        Ok(keys) => Ok(Host::Destination(keys.destination().clone())),
        Err(_) => Err(TargetError::Unknown),
    }
}

/// The reason why a connection has no destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The first line is neither a destination nor a name.
    #[error("the first line must be a destination in base64 or a name that ends with .i2p")]
    Unknown,
    /// The first line is too long.
    #[error("the first line is longer than any destination")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use eepkit_wire::SignatureType;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;

    #[test]
    fn the_bytes_after_the_line_are_kept() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("can be made");
        let destination = Host::Destination(keys.destination().clone());
        for text in [keys.destination().to_base64(), keys.to_base64().to_string()] {
            let mut reader = TargetReader::new();
            let (start, end) = text.split_at(100);
            assert_eq!(reader.push(start.as_bytes()), Ok(None));
            let rest = format!("{end}\r\nGET /\n");
            let read = reader.push(rest.as_bytes());
            assert_eq!(read, Ok(Some((destination.clone(), b"GET /\n".to_vec()))));
        }
        let read = TargetReader::new().push(b"Example.i2p\nx");
        let name = Host::Name("example.i2p".to_owned());
        assert_eq!(read, Ok(Some((name, b"x".to_vec()))));
    }

    #[test]
    fn much_data_after_the_line_is_kept() {
        let mut bytes = b"a.i2p\n".to_vec();
        bytes.extend_from_slice(&[7; 100_000]);
        let read = TargetReader::new().push(&bytes).expect("a name");
        assert_eq!(read.expect("a line").1, [7; 100_000]);
    }

    #[test]
    fn other_lines_are_refused() {
        for text in ["GET / HTTP/1.0\n", "\n", "127.0.0.1\n", "example.com\n"] {
            let read = TargetReader::new().push(text.as_bytes());
            assert_eq!(read, Err(TargetError::Unknown), "{text}");
        }
        let read = TargetReader::new().push(&[b'a'; 20_000]);
        assert_eq!(read, Err(TargetError::TooLong));
    }
}
