//! Reading packets of any format.

use bytes::Bytes;
use eepkit_wire::{DecodeError, Hash};

use crate::{
    Anonymous, Datagram, Datagram1, Datagram2, Datagram3, Dialects, Format, MAX_RECEIVED_LEN,
    UnsealError,
};

/// A destination that reads packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receiver {
    hash: Hash,
    dialects: Dialects,
}

impl Receiver {
    /// The destination with this hash, which goes by the specification.
    pub const fn new(hash: Hash) -> Self {
        Self {
            hash,
            dialects: Dialects::NONE,
        }
    }

    /// Takes packets in these dialects, too.
    #[must_use]
    pub const fn with_dialects(self, dialects: Dialects) -> Self {
        Self { dialects, ..self }
    }

    /// Reads a packet of `format` and checks it, where it is now `now`, in seconds since the
    /// epoch; only offline signatures have to do with time.
    ///
    /// The payload shares the memory of `packet`.
    ///
    /// # Errors
    ///
    /// [`UnsealError`]: what a receiver does with such a packet is to drop it.
    pub fn open(&self, format: Format, packet: &Bytes, now: u32) -> Result<Datagram, UnsealError> {
        Ok(match format {
            Format::Raw => {
                check_length(packet)?;
                let payload = packet.clone();
                Datagram::Anonymous(Anonymous { payload })
            }
            Format::Datagram1 => Datagram::Authenticated(Datagram1::parse(packet)?.verify()?),
            Format::Datagram2 => {
                let read = Datagram2::parse(packet)?;
                Datagram::Authenticated(read.verify(&self.hash, now, self.dialects)?)
            }
            Format::Datagram3 => Datagram::Claimed(Datagram3::parse(packet)?),
        })
    }
}

/// Refuses packets that are longer than any message.
pub(crate) fn check_length(packet: &Bytes) -> Result<(), DecodeError> {
    if packet.len() > MAX_RECEIVED_LEN {
        return Err(DecodeError::TooLong {
            what: "datagram",
            length: packet.len(),
            limit: MAX_RECEIVED_LEN,
        });
    }
    Ok(())
}
