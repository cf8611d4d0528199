//! Received datagrams, by what is proven of their sender.

use std::fmt;

use bytes::Bytes;
use eepkit_wire::{Destination, Hash, Mapping};

use crate::{dialect::Dialect, format::Format};

/// A received datagram.
///
/// The variants differ in what is proven of the sender. Each has its own type: a function that
/// needs a proven sender has a parameter of type [`Authenticated`], and no other datagram can be
/// passed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datagram {
    /// A raw datagram.
    Anonymous(Anonymous),
    /// A Datagram1 or Datagram2 with a valid signature.
    Authenticated(Authenticated),
    /// A Datagram3, or a datagram from a router that does not report whether it was signed.
    Claimed(Claimed),
}

impl Datagram {
    /// The payload.
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Anonymous(datagram) => &datagram.payload,
            Self::Authenticated(datagram) => &datagram.payload,
            Self::Claimed(datagram) => &datagram.payload,
        }
    }

    /// Creates a raw datagram from a payload that a router has extracted.
    pub fn anonymous(payload: Bytes) -> Self {
        Self::Anonymous(Anonymous { payload })
    }

    /// Creates a Datagram1 or Datagram2 whose signature was verified by a trusted router, such as a
    /// router that is used over SAM. This function verifies nothing.
    pub fn vouched(format: Format, from: Destination, payload: Bytes) -> Self {
        Self::Authenticated(Authenticated {
            from,
            format,
            dialect: Dialect::default(),
            options: Mapping::default(),
            payload,
        })
    }

    /// Creates a datagram with an unproven sender from a payload that a router has extracted.
    pub fn claimed(from: Hash, payload: Bytes) -> Self {
        Self::Claimed(Claimed {
            from: ClaimedSender::new(from),
            options: Mapping::default(),
            payload,
        })
    }

    /// Converts the datagram into its payload.
    pub fn into_payload(self) -> Bytes {
        match self {
            Self::Anonymous(datagram) => datagram.payload,
            Self::Authenticated(datagram) => datagram.payload,
            Self::Claimed(datagram) => datagram.payload,
        }
    }
}

/// A datagram with an unknown sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anonymous {
    /// The payload.
    pub payload: Bytes,
}

/// A datagram with a proven sender, whose signature of the payload is valid.
///
/// [`Datagram1::verify`](crate::Datagram1::verify) and
/// [`Datagram2::verify`](crate::Datagram2::verify) return it. [`Datagram::vouched`] creates it if a
/// router has verified the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    pub(crate) from: Destination,
    pub(crate) format: Format,
    pub(crate) dialect: Dialect,
    pub(crate) options: Mapping,
    pub(crate) payload: Bytes,
}

impl Authenticated {
    /// The sender.
    pub fn sender(&self) -> &Destination {
        &self.from
    }

    /// The format: [`Format::Datagram1`] or [`Format::Datagram2`].
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the signature covers this receiver. If not, another receiver may have replayed the
    /// datagram.
    ///
    /// True for Datagram2, except in [`Dialect::I2pd`].
    pub fn is_for_this_receiver(&self) -> bool {
        self.format == Format::Datagram2 && self.dialect != Dialect::I2pd
    }

    /// The dialect of the sender: [`Dialect::Specified`] unless others are accepted.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The options, which the signature covers. Datagram1 has none.
    pub fn options(&self) -> &Mapping {
        &self.options
    }

    /// The payload.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

/// A datagram with a claimed sender, which nothing proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub(crate) from: ClaimedSender,
    pub(crate) options: Mapping,
    pub(crate) payload: Bytes,
}

impl Claimed {
    /// The claimed sender.
    pub fn claimed_sender(&self) -> ClaimedSender {
        self.from
    }

    /// The options, which nothing proves either.
    pub fn options(&self) -> &Mapping {
        &self.options
    }

    /// The payload, which nothing proves either.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

/// The hash of the destination that a datagram claims as its sender. A sender can claim any hash.
///
/// This type cannot be converted into a proven sender. A reply is sent to [`ClaimedSender::hash`].
/// The owner of that hash receives it, whether or not it is the sender.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimedSender(Hash);

impl ClaimedSender {
    pub(crate) const fn new(hash: Hash) -> Self {
        Self(hash)
    }

    /// The hash, to which a reply can be sent.
    pub const fn hash(self) -> Hash {
        self.0
    }
}

impl fmt::Display for ClaimedSender {
    /// Writes the hash, followed by `?`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}?", self.0)
    }
}

impl fmt::Debug for ClaimedSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimedSender({})", self.0)
    }
}
