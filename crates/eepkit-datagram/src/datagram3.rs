//! Datagram3: hash of the sender, flags, options, payload.

use bytes::Bytes;
use eepkit_wire::{DecodeError, Hash, Mapping, Reader};

use crate::{
    error::SealError,
    format::Format,
    header::{Flags, encode_options, options_len, wrong_version},
    length::{MAX_PACKET_LEN, check_length},
    received::{Claimed, ClaimedSender},
};

/// The format Datagram3: datagram specification, "Datagram3".
///
/// There is nothing to check in a packet, so reading one gives a [`Claimed`] at once.
#[derive(Debug, Clone, Copy)]
pub struct Datagram3;

impl Datagram3 {
    /// Writes a packet with `payload` that says it is by the destination with the hash `from`.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLong`].
    pub fn seal(from: &Hash, options: &Mapping, payload: &[u8]) -> Result<Vec<u8>, SealError> {
        let len = options_len(options) + payload.len();
        let limit = MAX_PACKET_LEN - HEADER_LEN;
        if len > limit {
            return Err(SealError::TooLong {
                format: Format::Datagram3,
                len,
                limit,
            });
        }
        let mut out = Vec::with_capacity(HEADER_LEN + len);
        out.extend_from_slice(from.as_bytes());
        Flags::new(VERSION, options, false).encode(&mut out);
        encode_options(options, &mut out);
        out.extend_from_slice(payload);
        Ok(out)
    }

    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// It ends early, is too long, or is of another version.
    pub fn parse(packet: &Bytes) -> Result<Claimed, DecodeError> {
        check_length(packet)?;
        let mut r = Reader::new(packet);
        let from = Hash::new(r.array("sender's hash")?);
        let flags = Flags::read(&mut r)?;
        if flags.version() != VERSION {
            return Err(wrong_version("Datagram3"));
        }
        let options = flags.read_options(&mut r)?;
        Ok(Claimed {
            from: ClaimedSender::new(from),
            options,
            payload: packet.slice(r.position()..),
        })
    }
}

const VERSION: u16 = 3;

/// Bytes of hash and flags.
const HEADER_LEN: usize = Hash::LENGTH + 2;

#[cfg(test)]
mod tests;
