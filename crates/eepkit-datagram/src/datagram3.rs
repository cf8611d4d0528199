//! The format Datagram3: hash of the sender, flags, options, payload.

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
/// A packet contains nothing that can be verified, so parsing one returns a [`Claimed`] directly.
#[derive(Debug, Clone, Copy)]
pub struct Datagram3;

impl Datagram3 {
    /// Makes a packet with `payload` that claims the destination with the hash `from` as its
    /// sender.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLong`] if payload and options are too long.
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

    /// Parses a packet.
    ///
    /// # Errors
    ///
    /// If the packet is truncated or too long, or has another version in its flags.
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

/// The length of hash and flags, in bytes.
const HEADER_LEN: usize = Hash::LENGTH + 2;

#[cfg(test)]
mod tests;
