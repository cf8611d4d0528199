//! I2P's base64: RFC 4648 with `-` for `+` and `~` for `/`, and with padding.
//!
//! SAM, BOB, address books and helper links use it for destinations, hashes and keys. Decoding is
//! strict, so that each value has exactly one text: padding is required, unused bits must be zero,
//! and white space is an error.

use std::sync::LazyLock;

use data_encoding::{DecodeKind, Encoding, Specification};
use zeroize::Zeroizing;

use crate::codec::DecodeError;

/// Encodes `bytes`. Three bytes become four characters, and the length is rounded up to a multiple
/// of four.
pub fn encode(bytes: &[u8]) -> String {
    I2P_BASE64.encode(bytes)
}

/// Decodes `text`.
///
/// # Errors
///
/// [`DecodeError::BadCharacter`] with the position of a character outside the alphabet, and
/// [`DecodeError::Invalid`] for a bad length, padding or unused bits.
pub fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    check_padding(text)?;
    I2P_BASE64
        .decode(text.as_bytes())
        .map_err(|error| to_decode_error(error, "base64"))
}

/// The decoder would accept a concatenation of several padded texts.
fn check_padding(text: &str) -> Result<(), DecodeError> {
    if text.trim_end_matches('=').contains('=') {
        return Err(DecodeError::Invalid {
            what: "base64",
            why: WRONG_PADDING,
        });
    }
    Ok(())
}

/// Decodes `text` into memory that is overwritten with zeros when it is released, also after an
/// error.
pub(crate) fn decode_secret(text: &str) -> Result<Zeroizing<Vec<u8>>, DecodeError> {
    check_padding(text)?;
    let invalid = |error| to_decode_error(error, "base64");
    let length = I2P_BASE64.decode_len(text.len()).map_err(invalid)?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    let length = I2P_BASE64
        .decode_mut(text.as_bytes(), &mut bytes)
        .map_err(|partial| invalid(partial.error))?;
    bytes.truncate(length);
    Ok(bytes)
}

pub(crate) fn to_decode_error(
    error: data_encoding::DecodeError,
    what: &'static str,
) -> DecodeError {
    match error.kind {
        DecodeKind::Symbol => DecodeError::BadCharacter {
            what,
            position: error.position,
        },
        DecodeKind::Length => DecodeError::Invalid {
            what,
            why: "the number of characters is impossible, some are missing",
        },
        DecodeKind::Trailing => DecodeError::Invalid {
            what,
            why: "unused bits of the last character are not zero",
        },
        DecodeKind::Padding => DecodeError::Invalid {
            what,
            why: WRONG_PADDING,
        },
    }
}

const WRONG_PADDING: &str = "the padding (=) is wrong, it belongs to the end only";

static I2P_BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols
        .push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~");
    spec.padding = Some('=');
    spec.encoding()
        .expect("64 different ASCII symbols and another one for padding")
});

#[cfg(test)]
mod tests;
