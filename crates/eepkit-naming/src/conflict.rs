//! Conflicts between an entry and what sources propose for its name.

use eepkit_wire::{Codec, DecodeError, Destination, Reader};

use crate::host_name::HostName;

/// A source proposed another destination for a name that an address book has.
///
/// The entry stays: the first source that had the name decides. The conflict is kept until the user
/// resolves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The name.
    pub name: HostName,
    /// The destination that was proposed.
    pub destination: Destination,
    /// The source that proposed it: a file or the URL of a subscription.
    pub source: String,
    /// The time when it was last proposed, in seconds since the epoch.
    pub seen: u64,
}

impl Conflict {
    /// The key in the store: the name, a zero byte and the start of the destination's hash.
    pub(crate) fn key(&self) -> Vec<u8> {
        let hash = self.destination.hash();
        [Self::prefix(&self.name).as_slice(), &hash.as_bytes()[..8]].concat()
    }

    /// The start of all keys of a name.
    pub(crate) fn prefix(name: &HostName) -> Vec<u8> {
        [name.as_str().as_bytes(), &[0]].concat()
    }

    /// The form of the store: a version, the time, the destination, the source.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.seen.to_be_bytes());
        self.destination.encode(&mut out);
        out.extend(self.source.as_bytes());
        out
    }

    /// Reads the form of the store.
    pub(crate) fn from_bytes(key: &[u8], bytes: &[u8]) -> Result<Self, DecodeError> {
        let invalid = |why| DecodeError::Invalid {
            what: "conflict",
            why,
        };
        let name = key.split(|&byte| byte == 0).next().unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(|_| invalid("the name is not text"))?;
        let mut r = Reader::new(bytes);
        if r.u8("conflict")? != VERSION {
            return Err(invalid("written by a newer version"));
        }
        Ok(Self {
            name: HostName::from_checked(name),
            seen: r.u64("conflict")?,
            destination: Destination::read(&mut r)?,
            source: String::from_utf8_lossy(r.take_rest()).into_owned(),
        })
    }
}

/// The version of the store's form.
const VERSION: u8 = 1;
