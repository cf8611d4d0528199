//! I2P's base32: the alphabet a-z and 2-7, without padding. Encoding writes lower case; decoding
//! accepts either case.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

use crate::{base64::to_decode_error, codec::DecodeError};

/// Encodes `bytes`. Five bytes become eight characters, and the length is rounded up.
pub fn encode(bytes: &[u8]) -> String {
    I2P_BASE32.encode(bytes)
}

/// Decodes `text`.
///
/// # Errors
///
/// [`DecodeError::BadCharacter`] with the position of a character outside the alphabet, and
/// [`DecodeError::Invalid`] for an impossible length or unused bits that are not zero.
pub fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    I2P_BASE32
        .decode(text.as_bytes())
        .map_err(|error| to_decode_error(error, "base32"))
}

static I2P_BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.translate.from.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    spec.translate.to.push_str("abcdefghijklmnopqrstuvwxyz");
    spec.encoding().expect("32 different ASCII symbols")
});

#[cfg(test)]
mod tests;
