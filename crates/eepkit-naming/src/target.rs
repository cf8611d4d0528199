//! What a name stands for.

use std::{fmt, str::FromStr};

use eepkit_wire::{
    BlindedAddress, Codec, DecodeError, Destination, Hash, Host, ParseAddressError, Reader,
};

/// What a name stands for: a destination, or an address by which a router finds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// The destination itself.
    Destination(Destination),
    /// The hash of a destination, from a base32 address. A router looks up the destination.
    Hash(Hash),
    /// The key of a destination whose lease set is encrypted. Only some routers can look it up.
    Blinded(BlindedAddress),
}

impl Target {
    /// The destination, unless a router must look it up.
    pub fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Destination(destination) => Some(destination),
            Self::Hash(_) | Self::Blinded(_) => None,
        }
    }

    /// The hash of the destination, or `None` for the address of an encrypted lease set.
    pub fn hash(&self) -> Option<Hash> {
        match self {
            Self::Destination(destination) => Some(destination.hash()),
            Self::Hash(hash) => Some(*hash),
            Self::Blinded(_) => None,
        }
    }

    /// Whether both stand for the same destination, as far as that can be determined without a
    /// look-up.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Blinded(blinded), Self::Destination(destination))
            | (Self::Destination(destination), Self::Blinded(blinded)) => {
                blinded.key() == destination.signing_key()
            }
            (Self::Blinded(one), Self::Blinded(other)) => one.key() == other.key(),
            _ => self.hash().is_some() && self.hash() == other.hash(),
        }
    }

    /// Appends the form of the store: a byte for the kind, a length in two bytes, the content.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let text;
        let (kind, content) = match self {
            Self::Destination(destination) => (DESTINATION, destination.as_bytes()),
            Self::Hash(hash) => (HASH, &hash.as_bytes()[..]),
            Self::Blinded(blinded) => {
                text = blinded.to_b33();
                (BLINDED, text.as_bytes())
            }
        };
        out.push(kind);
        out.extend((content.len() as u16).to_be_bytes());
        out.extend(content);
    }

    /// Reads the form of the store.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = r.u8("target")?;
        let length = usize::from(r.u16("target")?);
        let content = r.take(length, "target")?;
        let invalid = |why| DecodeError::Invalid {
            what: "target",
            why,
        };
        match kind {
            DESTINATION => Destination::from_bytes(content).map(Self::Destination),
            HASH => Hash::from_bytes(content).map(Self::Hash),
            BLINDED => std::str::from_utf8(content)
                .ok()
                .and_then(|text| BlindedAddress::from_b33(text).ok())
                .map(Self::Blinded)
                .ok_or_else(|| invalid("not the address of an encrypted lease set")),
            _ => Err(invalid("unknown kind")),
        }
    }
}

impl From<Destination> for Target {
    fn from(destination: Destination) -> Self {
        Self::Destination(destination)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Parses a destination in base64, or a base32 address of either kind.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse()? {
            Host::Destination(destination) => Ok(Self::Destination(destination)),
            Host::Hash(hash) => Ok(Self::Hash(hash)),
            Host::Blinded(blinded) => Ok(Self::Blinded(blinded)),
            _ => Err(TargetError::Name),
        }
    }
}

impl fmt::Display for Target {
    /// Writes the text form in full, which can be parsed again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination(destination) => f.write_str(&destination.to_base64()),
            Self::Hash(hash) => f.write_str(&hash.to_b32()),
            Self::Blinded(blinded) => f.write_str(&blinded.to_b33()),
        }
    }
}

/// The reason why a text is not a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The text is a host name.
    #[error("expected a destination in base64 or a .b32.i2p address, found a host name")]
    Name,
    /// The text is neither a destination nor an address.
    #[error(transparent)]
    Address(#[from] ParseAddressError),
}

const DESTINATION: u8 = 0;
const HASH: u8 = 1;
const BLINDED: u8 = 2;
