//! What comes out of a packet.

use std::fmt;

use bytes::Bytes;
use eepkit_wire::{Destination, Hash, Mapping};

use crate::{dialect::Dialect, format::Format};

/// A datagram that was taken.
///
/// What is known of the sender makes the difference between the variants, and each has a type of
/// its own: a function that wants a proven sender takes [`Authenticated`], and cannot be given
/// anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datagram {
    /// Of format raw.
    Anonymous(Anonymous),
    /// Of format Datagram1 or 2, with a right signature.
    Authenticated(Authenticated),
    /// Of format Datagram3, or of a router that cannot tell what is signed.
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

    /// A datagram of format raw, opened by a router.
    pub fn anonymous(payload: Bytes) -> Self {
        Self::Anonymous(Anonymous { payload })
    }

    /// A datagram of format Datagram1 or 2, whose signature a router that this program trusts has
    /// checked, as routers do that are reached over SAM. Nothing is checked here.
    pub fn vouched(format: Format, from: Destination, payload: Bytes) -> Self {
        Self::Authenticated(Authenticated {
            from,
            format,
            dialect: Dialect::default(),
            options: Mapping::default(),
            payload,
        })
    }

    /// A datagram of format Datagram3, or another with a sender that nothing proves, opened by a
    /// router.
    pub fn claimed(from: Hash, payload: Bytes) -> Self {
        Self::Claimed(Claimed {
            from: ClaimedSender::new(from),
            options: Mapping::default(),
            payload,
        })
    }

    /// The payload, without the rest.
    pub fn into_payload(self) -> Bytes {
        match self {
            Self::Anonymous(datagram) => datagram.payload,
            Self::Authenticated(datagram) => datagram.payload,
            Self::Claimed(datagram) => datagram.payload,
        }
    }
}

/// A datagram of which nobody knows who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anonymous {
    /// The payload.
    pub payload: Bytes,
}

/// A datagram by a sender that has proven to be one: its signature over the payload is right.
///
/// [`Datagram1::verify`](crate::Datagram1::verify) and
/// [`Datagram2::verify`](crate::Datagram2::verify) make one; [`Datagram::vouched`] does where a router
/// has checked the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    pub(crate) from: Destination,
    pub(crate) format: Format,
    pub(crate) dialect: Dialect,
    pub(crate) options: Mapping,
    pub(crate) payload: Bytes,
}

impl Authenticated {
    /// Who sent it.
    pub fn sender(&self) -> &Destination {
        &self.from
    }

    /// [`Format::Datagram1`] or [`Format::Datagram2`].
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the sender meant this receiver: true for Datagram2 as specified. Otherwise it may
    /// have been sent to somebody else, who sent it on.
    pub fn is_for_this_receiver(&self) -> bool {
        self.format == Format::Datagram2 && self.dialect != Dialect::I2pd
    }

    /// How it was signed; [`Dialect::Specified`] unless others are accepted.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Its options, under the signature; none in Datagram1.
    pub fn options(&self) -> &Mapping {
        &self.options
    }

    /// The payload.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

/// A datagram that says who sent it, and proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub(crate) from: ClaimedSender,
    pub(crate) options: Mapping,
    pub(crate) payload: Bytes,
}

impl Claimed {
    /// Who is said to have sent it.
    pub fn claimed_sender(&self) -> ClaimedSender {
        self.from
    }

    /// Its options, by whoever sent it.
    pub fn options(&self) -> &Mapping {
        &self.options
    }

    /// The payload, by whoever sent it.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

/// The hash of a destination that is said to be the sender. Anybody can write any hash there.
///
/// It turns into nothing that stands for a proven sender. An answer goes to
/// [`ClaimedSender::hash`]: the owner of the hash reads it, whoever asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimedSender(Hash);

impl ClaimedSender {
    pub(crate) const fn new(hash: Hash) -> Self {
        Self(hash)
    }

    /// The hash, to answer to.
    pub const fn hash(self) -> Hash {
        self.0
    }
}

impl fmt::Display for ClaimedSender {
    /// As a hash, with a mark of doubt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}?", self.0)
    }
}

impl fmt::Debug for ClaimedSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimedSender({})", self.0)
    }
}
