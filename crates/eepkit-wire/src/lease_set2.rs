//! Lease sets of type 3, the kind in use.

use std::fmt;

use crate::{
    codec::{Codec, DecodeError, Reader},
    destination::Destination,
    encryption::EncryptionPublicKey,
    lease::{self, Lease},
    lease_set::LeaseSetError,
    mapping::Mapping,
    offline::OfflineSignature,
    private_keys::PrivateKeys,
    signature::Signature,
    signature_error::SignatureError,
    store_type::StoreType,
};

/// A lease set: common structures specification, section "LeaseSet2".
///
/// Keeps the bytes as they came, because the signature covers them. Make one with
/// [`LeaseSet2Builder`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LeaseSet2 {
    bytes: Box<[u8]>,
    header: Header,
    options: Mapping,
    encryption_keys: Vec<EncryptionPublicKey>,
    leases: Vec<Lease>,
    signature: Signature,
}

impl LeaseSet2 {
    /// Most encryption keys in a set.
    ///
    /// Chosen because there are five types in use and a set has one key of each; the
    /// specification leaves the limit open.
    pub const MAX_KEYS: usize = 16;

    /// Whose lease set it is.
    pub fn destination(&self) -> &Destination {
        &self.header.destination
    }

    /// When it was made, in seconds since the epoch. Of two sets, the later one counts.
    pub fn published(&self) -> u32 {
        self.header.published
    }

    /// When it expires, in seconds since the epoch.
    pub fn expires(&self) -> u32 {
        self.header
            .published
            .saturating_add(u32::from(self.header.lifetime))
    }

    /// What the owner said about publishing it.
    pub fn flags(&self) -> LeaseSetFlags {
        self.header.flags
    }

    /// What gives the key that signed the set its right, unless the destination's own did.
    pub fn offline(&self) -> Option<&OfflineSignature> {
        self.header.offline.as_ref()
    }

    /// Options, such as service records.
    pub fn options(&self) -> &Mapping {
        &self.options
    }

    /// The keys that messages are encrypted to, the one that the owner likes best first; at least
    /// one.
    pub fn encryption_keys(&self) -> &[EncryptionPublicKey] {
        &self.encryption_keys
    }

    /// The leases, as the owner ordered them; at most 16. Their ends are whole seconds.
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// The encoding, signature included and type number not.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks that the destination signed the set, or a key that it lets sign at `now`, in seconds
    /// since the epoch. Whether the set itself has expired is not looked at.
    ///
    /// # Errors
    ///
    /// What is wrong with the signature, or with the offline signature.
    pub fn verify(&self, now: u32) -> Result<(), SignatureError> {
        let key = match &self.header.offline {
            None => self.header.destination.signing_key(),
            Some(offline) => {
                offline.verify(&self.header.destination, now)?;
                offline.transient()
            }
        };
        let signed = self.bytes.len() - self.signature.as_bytes().len();
        key.verify_parts(
            &[&[StoreType::LeaseSet2.code()], &self.bytes[..signed]],
            &self.signature,
        )
    }
}

impl Codec for LeaseSet2 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = r.position();
        let header = Header::read(r)?;
        let options = Mapping::read(r)?;
        let count = usize::from(r.u8("number of encryption keys")?);
        if count == 0 {
            return Err(DecodeError::Invalid {
                what: "lease set",
                why: "no encryption key",
            });
        }
        if count > Self::MAX_KEYS {
            return Err(DecodeError::TooLong {
                what: "list of encryption keys",
                length: count,
                limit: Self::MAX_KEYS,
            });
        }
        let encryption_keys = (0..count)
            .map(|_| EncryptionPublicKey::read(r))
            .collect::<Result<_, _>>()?;
        let count = lease::read_count(r)?;
        let leases = (0..count)
            .map(|_| Lease::read_short(r))
            .collect::<Result<_, _>>()?;
        let signature = Signature::read(r, header.signing_type())?;
        Ok(Self {
            bytes: r.taken_since(start).into(),
            header,
            options,
            encryption_keys,
            leases,
            signature,
        })
    }
}

impl fmt::Debug for LeaseSet2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseSet2")
            .field("destination", &self.header.destination)
            .field("published", &self.header.published)
            .field("lifetime", &self.header.lifetime)
            .field("flags", &self.header.flags)
            .field("leases", &self.leases.len())
            .finish_non_exhaustive()
    }
}

/// What goes into a [`LeaseSet2`].
#[derive(Debug, Clone)]
pub struct LeaseSet2Builder {
    /// When the set is made, in seconds since the epoch. Must be later than in the set before it,
    /// or the network ignores the new one.
    pub published: u32,
    /// How long it is valid, in seconds; about 660 for tunnels that live ten minutes.
    pub lifetime: u16,
    /// Keep the set out of the network database. Default: false, as servers need it.
    pub unpublished: bool,
    /// Announce that the set is encrypted when it is published; implies `unpublished` on the
    /// wire. Default: false.
    pub blinded: bool,
    /// Options, such as service records. Default: none.
    pub options: Mapping,
    /// The keys that messages are to be encrypted to, best first; 1 to 16.
    pub encryption_keys: Vec<EncryptionPublicKey>,
    /// The leases, at most 16. Their ends are written in whole seconds, rounded down.
    pub leases: Vec<Lease>,
}

impl LeaseSet2Builder {
    /// A published set without options.
    pub fn new(
        published: u32,
        lifetime: u16,
        encryption_keys: Vec<EncryptionPublicKey>,
        leases: Vec<Lease>,
    ) -> Self {
        Self {
            published,
            lifetime,
            unpublished: false,
            blinded: false,
            options: Mapping::new(),
            encryption_keys,
            leases,
        }
    }

    /// Signs the set for the destination of `keys`, with the transient key if there is one.
    ///
    /// # Errors
    ///
    /// [`LeaseSetError`]: no encryption key, too many of them, or too many leases.
    pub fn sign(mut self, keys: &PrivateKeys) -> Result<LeaseSet2, LeaseSetError> {
        if self.leases.len() > Lease::MAX_IN_SET {
            return Err(LeaseSetError::TooManyLeases(self.leases.len()));
        }
        if !(1..=LeaseSet2::MAX_KEYS).contains(&self.encryption_keys.len()) {
            return Err(LeaseSetError::KeyCount {
                max: LeaseSet2::MAX_KEYS,
                got: self.encryption_keys.len(),
            });
        }
        for lease in &mut self.leases {
            lease.end -= lease.end % 1_000;
        }
        let header = Header {
            destination: keys.destination().clone(),
            published: self.published,
            lifetime: self.lifetime,
            flags: LeaseSetFlags::new(keys.offline().is_some(), self.unpublished, self.blinded),
            offline: keys.offline().cloned(),
        };
        // The type number stands before the set while it is signed, and is taken off then.
        let mut bytes = vec![StoreType::LeaseSet2.code()];
        header.encode(&mut bytes);
        self.options.encode(&mut bytes);
        bytes.push(self.encryption_keys.len() as u8);
        for key in &self.encryption_keys {
            key.encode(&mut bytes);
        }
        bytes.push(self.leases.len() as u8);
        for lease in &self.leases {
            lease.encode_short(&mut bytes);
        }
        let signature = keys.sign(&bytes);
        signature.encode(&mut bytes);
        bytes.remove(0);
        Ok(LeaseSet2 {
            bytes: bytes.into(),
            header,
            options: self.options,
            encryption_keys: self.encryption_keys,
            leases: self.leases,
            signature,
        })
    }
}

/// Flags in the header of a lease set; unknown bits are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseSetFlags(pub u16);

impl LeaseSetFlags {
    const OFFLINE: u16 = 1 << 0;
    const UNPUBLISHED: u16 = 1 << 1;
    const BLINDED: u16 = 1 << 2;

    /// An offline signature follows the header.
    pub const fn is_offline(self) -> bool {
        self.0 & Self::OFFLINE != 0
    }

    /// The set is not for the network database.
    pub const fn is_unpublished(self) -> bool {
        self.0 & Self::UNPUBLISHED != 0
    }

    /// The set is encrypted when it is published.
    pub const fn is_blinded(self) -> bool {
        self.0 & Self::BLINDED != 0
    }

    const fn new(offline: bool, unpublished: bool, blinded: bool) -> Self {
        let mut bits = 0;
        if offline {
            bits |= Self::OFFLINE;
        }
        if unpublished {
            bits |= Self::UNPUBLISHED;
        }
        if blinded {
            // Section "LeaseSet2Header": bit 1 is set whenever bit 2 is.
            bits |= Self::BLINDED | Self::UNPUBLISHED;
        }
        Self(bits)
    }
}

impl fmt::Debug for LeaseSetFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseSetFlags({:#06x}", self.0)?;
        for (set, name) in [
            (self.is_offline(), "offline"),
            (self.is_unpublished(), "unpublished"),
            (self.is_blinded(), "blinded"),
        ] {
            if set {
                write!(f, " {name}")?;
            }
        }
        f.write_str(")")
    }
}

/// What lease sets of types 3 and 7 begin with: section "LeaseSet2Header".
#[derive(Clone, PartialEq, Eq, Hash)]
struct Header {
    destination: Destination,
    /// Seconds since the epoch.
    published: u32,
    /// Seconds after `published`.
    lifetime: u16,
    flags: LeaseSetFlags,
    offline: Option<OfflineSignature>,
}

impl Header {
    /// The type of the key that signs the set.
    fn signing_type(&self) -> crate::signature_type::SignatureType {
        self.offline.as_ref().map_or_else(
            || self.destination.signature_type(),
            |offline| offline.transient().signature_type(),
        )
    }
}

impl Codec for Header {
    fn encode(&self, out: &mut Vec<u8>) {
        self.destination.encode(out);
        out.extend_from_slice(&self.published.to_be_bytes());
        out.extend_from_slice(&self.lifetime.to_be_bytes());
        out.extend_from_slice(&self.flags.0.to_be_bytes());
        if let Some(offline) = &self.offline {
            offline.encode(out);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let destination = Destination::read(r)?;
        let published = r.u32("lease set header")?;
        let lifetime = r.u16("lease set header")?;
        let flags = LeaseSetFlags(r.u16("lease set header")?);
        let offline = flags
            .is_offline()
            .then(|| OfflineSignature::read(r, destination.signature_type()))
            .transpose()?;
        Ok(Self {
            destination,
            published,
            lifetime,
            flags,
            offline,
        })
    }
}

#[cfg(test)]
mod tests;
