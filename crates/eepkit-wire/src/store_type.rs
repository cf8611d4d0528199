//! The types of lease sets, identified by their numbers.

use std::fmt;

use crate::codec::{Codec, DecodeError, Reader};

/// The type of a lease set, identified by its number in I2CP's `CreateLeaseSet2` and in the network
/// database.
///
/// The signed data of all types except the first begins with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum StoreType {
    /// [`crate::LeaseSet`].
    LeaseSet = 1,
    /// [`crate::LeaseSet2`].
    LeaseSet2 = 3,
    /// An encrypted lease set. Decryption needs the destination or its blinded address.
    Encrypted = 5,
    /// A list of other lease sets.
    Meta = 7,
}

impl StoreType {
    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The type with this number, or `None` if the number is unknown.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::LeaseSet),
            3 => Some(Self::LeaseSet2),
            5 => Some(Self::Encrypted),
            7 => Some(Self::Meta),
            _ => None,
        }
    }
}

impl Codec for StoreType {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.code());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = r.u8("lease set type")?;
        Self::from_code(code).ok_or_else(|| DecodeError::UnsupportedType {
            what: "lease set type",
            code: code.into(),
        })
    }
}

impl fmt::Display for StoreType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LeaseSet => "lease set",
            Self::LeaseSet2 => "lease set 2",
            Self::Encrypted => "encrypted lease set",
            Self::Meta => "meta lease set",
        })
    }
}
