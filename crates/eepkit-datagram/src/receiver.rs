//! The receiver, which opens packets of any format.

use bytes::Bytes;
use eepkit_wire::Hash;

use crate::{
    datagram1::Datagram1,
    datagram2::Datagram2,
    datagram3::Datagram3,
    dialect::Dialects,
    error::UnsealError,
    format::Format,
    length::check_length,
    received::{Anonymous, Datagram},
};

/// The receiving side of a destination: parses and verifies packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receiver {
    hash: Hash,
    dialects: Dialects,
}

impl Receiver {
    /// Creates the receiver of the destination with this hash. It accepts only packets as
    /// specified.
    pub const fn new(hash: Hash) -> Self {
        Self {
            hash,
            dialects: Dialects::NONE,
        }
    }

    /// Also accepts packets in these dialects.
    #[must_use]
    pub const fn with_dialects(self, dialects: Dialects) -> Self {
        Self { dialects, ..self }
    }

    /// Parses and verifies a packet of `format`, at the time `now` in seconds since the epoch. Only
    /// offline signatures depend on the time.
    ///
    /// The payload shares the memory of `packet`.
    ///
    /// # Errors
    ///
    /// [`UnsealError`] if the packet is malformed, or not signed as its format requires. The caller
    /// should drop the packet.
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
