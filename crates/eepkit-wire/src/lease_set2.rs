//! Lease sets of type 3 (LeaseSet2), which current software uses.

use std::fmt;

use bitflags::bitflags;

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

/// A lease set of type 3: common structures specification, section "LeaseSet2".
///
/// The value contains the received bytes, because the signature covers them. [`LeaseSet2Builder`]
/// creates lease sets.
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
    /// The largest number of encryption keys in a lease set.
    ///
    /// Chosen because five types are in use, and a lease set has one key of each type. The
    /// specification does not define a limit.
    pub const MAX_KEYS: usize = 16;

    /// The destination to which the lease set belongs.
    pub fn destination(&self) -> &Destination {
        &self.header.destination
    }

    /// The time of publication, in seconds since the epoch. A later lease set replaces an earlier
    /// one.
    pub fn published(&self) -> u32 {
        self.header.published
    }

    /// The time at which the lease set expires, in seconds since the epoch.
    pub fn expires(&self) -> u32 {
        self.header
            .published
            .saturating_add(u32::from(self.header.lifetime))
    }

    /// The flags of the header.
    pub fn flags(&self) -> LeaseSetFlags {
        self.header.flags
    }

    /// The authorization of the transient key that signed the lease set, or `None` if the
    /// destination's own key signed it.
    pub fn offline(&self) -> Option<&OfflineSignature> {
        self.header.offline.as_ref()
    }

    /// The options, such as service records.
    pub fn options(&self) -> &Mapping {
        &self.options
    }

    /// The keys to which messages are encrypted, in the owner's order of preference; at least one.
    pub fn encryption_keys(&self) -> &[EncryptionPublicKey] {
        &self.encryption_keys
    }

    /// The leases in the order of the encoding; at most 16. Their expirations are whole seconds.
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// The encoding, with the signature and without the type number.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Verifies that the destination signed the lease set, or a transient key that it authorized
    /// and that has not expired at `now`, in seconds since the epoch. The expiration of the lease
    /// set itself is not checked.
    ///
    /// # Errors
    ///
    /// If the signature or the offline signature is not valid.
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

/// The content of a [`LeaseSet2`] before it is signed.
#[derive(Debug, Clone)]
pub struct LeaseSet2Builder {
    /// The time of publication, in seconds since the epoch. It must be later than that of the
    /// previous lease set, or the network ignores the new one.
    pub published: u32,
    /// The time for which the lease set is valid, in seconds. It is about 660 for tunnels with a
    /// lifetime of ten minutes.
    pub lifetime: u16,
    /// Whether the lease set is kept out of the network database. Default: false, as servers
    /// require.
    pub unpublished: bool,
    /// Whether the lease set is encrypted when it is published. Sets the flag `unpublished` on the
    /// wire too. Default: false.
    pub blinded: bool,
    /// The options, such as service records. Default: none.
    pub options: Mapping,
    /// The keys to which messages are encrypted, in order of preference; 1 to 16.
    pub encryption_keys: Vec<EncryptionPublicKey>,
    /// The leases, at most 16. Their expirations are encoded in whole seconds, rounded down.
    pub leases: Vec<Lease>,
}

impl LeaseSet2Builder {
    /// Creates the content of a published lease set without options.
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

    /// Signs the lease set for the destination of `keys`, with the transient key if there is one.
    ///
    /// # Errors
    ///
    /// [`LeaseSetError`] if there is no encryption key, or there are too many keys or leases.
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
        let mut flags = LeaseSetFlags::empty();
        flags.set(LeaseSetFlags::OFFLINE, keys.offline().is_some());
        // Section "LeaseSet2Header": bit 1 is set whenever bit 2 is.
        flags.set(LeaseSetFlags::UNPUBLISHED, self.unpublished || self.blinded);
        flags.set(LeaseSetFlags::BLINDED, self.blinded);
        let header = Header {
            destination: keys.destination().clone(),
            published: self.published,
            lifetime: self.lifetime,
            flags,
            offline: keys.offline().cloned(),
        };
        // The signature covers the type number and the lease set. The type number is removed after
        // signing, because it is not part of the encoding.
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

bitflags! {
    /// The flags in the header of a lease set. Unknown bits are preserved.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct LeaseSetFlags: u16 {
        /// An offline signature follows the header.
        const OFFLINE = 1;
        /// The lease set is kept out of the network database.
        const UNPUBLISHED = 1 << 1;
        /// The lease set is encrypted when it is published. UNPUBLISHED is set, too.
        const BLINDED = 1 << 2;
        const _ = !0;
    }
}

/// The header of lease sets of types 3 and 7: section "LeaseSet2Header".
#[derive(Clone, PartialEq, Eq, Hash)]
struct Header {
    destination: Destination,
    /// In seconds since the epoch.
    published: u32,
    /// In seconds after `published`.
    lifetime: u16,
    flags: LeaseSetFlags,
    offline: Option<OfflineSignature>,
}

impl Header {
    /// The type of the key that signs the lease set.
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
        out.extend_from_slice(&self.flags.bits().to_be_bytes());
        if let Some(offline) = &self.offline {
            offline.encode(out);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let destination = Destination::read(r)?;
        let published = r.u32("lease set header")?;
        let lifetime = r.u16("lease set header")?;
        let flags = LeaseSetFlags::from_bits_retain(r.u16("lease set header")?);
        let offline = flags
            .contains(LeaseSetFlags::OFFLINE)
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
