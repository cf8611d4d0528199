//! Messages that request lease sets, and messages that contain them.

use std::fmt;

use bytes::Bytes;
use eepkit_wire::{
    Codec, DecodeError, Destination, EncryptionPrivateKey, Hash, Lease, LeaseSet, LeaseSet2,
    OfflineSignature, Reader, Signature, SignatureType, SigningPublicKey, StoreType, Zeroizing,
};

use super::fields::SessionId;
use crate::lease_set::SignedLeaseSet;

/// Requests a signed lease set for tunnels that all expire at the same time.
///
/// This is the old form of the request. Java I2P sends it only to clients before 0.9.7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLeaseSet {
    /// The session.
    pub session: SessionId,
    /// Gateway and tunnel id of each tunnel. At most 255 are encoded.
    pub tunnels: Vec<(Hash, u32)>,
    /// The time at which the tunnels expire, in milliseconds since 1970.
    pub end: u64,
}

impl RequestLeaseSet {
    /// The tunnels as leases.
    pub fn leases(&self) -> Vec<Lease> {
        let lease = |&(gateway, tunnel)| Lease {
            gateway,
            tunnel,
            end: self.end,
        };
        self.tunnels.iter().map(lease).collect()
    }
}

impl Codec for RequestLeaseSet {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        let tunnels = &self.tunnels[..self.tunnels.len().min(MAX_COUNT)];
        out.push(tunnels.len() as u8);
        for (gateway, tunnel) in tunnels {
            gateway.encode(out);
            out.extend_from_slice(&tunnel.to_be_bytes());
        }
        out.extend_from_slice(&self.end.to_be_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let session = SessionId::read(r)?;
        let count = r.u8("number of tunnels")?;
        let mut tunnels = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            tunnels.push((Hash::read(r)?, r.u32("tunnel number")?));
        }
        Ok(Self {
            session,
            tunnels,
            end: r.u64("end date")?,
        })
    }
}

pub(super) fn encode_leases(leases: &[Lease], out: &mut Vec<u8>) {
    let leases = &leases[..leases.len().min(MAX_COUNT)];
    out.push(leases.len() as u8);
    for lease in leases {
        lease.encode(out);
    }
}

pub(super) fn read_leases(r: &mut Reader<'_>) -> Result<Vec<Lease>, DecodeError> {
    let count = r.u8("number of leases")?;
    (0..count).map(|_| Lease::read(r)).collect()
}

/// A version 1 lease set with its private keys.
#[derive(Clone, PartialEq, Eq)]
pub struct CreateLeaseSet {
    /// The session.
    pub session: SessionId,
    /// The DSA private key for revocation, or arbitrary bytes if the signing key has another type.
    /// No known router implements revocation.
    pub revocation_key: [u8; 20],
    /// The ElGamal private key of the lease set.
    pub encryption_key: LeaseSetKey,
    /// The lease set.
    pub lease_set: Bytes,
}

/// The ElGamal private key of a version 1 lease set.
pub type LeaseSetKey = Zeroizing<[u8; 256]>;

impl Codec for CreateLeaseSet {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        out.extend_from_slice(&self.revocation_key);
        out.extend_from_slice(self.encryption_key.as_slice());
        out.extend_from_slice(&self.lease_set);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            session: SessionId::read(r)?,
            revocation_key: r.array("revocation key")?,
            encryption_key: Zeroizing::new(r.array("private key")?),
            lease_set: read_lease_set(r, StoreType::LeaseSet)?,
        })
    }
}

impl fmt::Debug for CreateLeaseSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateLeaseSet")
            .field("session", &self.session)
            .field("lease_set_len", &self.lease_set.len())
            .finish_non_exhaustive()
    }
}

/// A lease set of any version with its private keys. Since API 0.9.39.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateLeaseSet2 {
    /// The session.
    pub session: SessionId,
    /// The lease set and the private keys, in the order of the public keys in it.
    pub lease_set: SignedLeaseSet,
}

impl Codec for CreateLeaseSet2 {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        self.lease_set.store_type.encode(out);
        out.extend_from_slice(&self.lease_set.bytes);
        let keys = &self.lease_set.keys[..self.lease_set.keys.len().min(MAX_COUNT)];
        // A meta lease set has neither keys nor the number of keys.
        if self.lease_set.store_type != StoreType::Meta {
            out.push(keys.len() as u8);
            for key in keys {
                key.encode(out);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let session = SessionId::read(r)?;
        let store_type = StoreType::read(r)?;
        let bytes = read_lease_set(r, store_type)?;
        let count = match store_type {
            StoreType::Meta => 0,
            _ => r.u8("number of private keys")?,
        };
        let keys = (0..count)
            .map(|_| EncryptionPrivateKey::read(r))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            session,
            lease_set: SignedLeaseSet {
                store_type,
                bytes,
                keys,
            },
        })
    }
}

/// Reads the bytes of one lease set.
fn read_lease_set(r: &mut Reader<'_>, store_type: StoreType) -> Result<Bytes, DecodeError> {
    let start = r.position();
    match store_type {
        StoreType::LeaseSet => drop(LeaseSet::read(r)?),
        StoreType::LeaseSet2 => drop(LeaseSet2::read(r)?),
        StoreType::Encrypted => skip_encrypted(r)?,
        StoreType::Meta => skip_meta(r)?,
        other => {
            return Err(DecodeError::UnsupportedType {
                what: "lease set type",
                code: u16::from(other.code()),
            });
        }
    }
    Ok(Bytes::copy_from_slice(r.taken_since(start)))
}

/// Common structures, "EncryptedLeaseSet".
fn skip_encrypted(r: &mut Reader<'_>) -> Result<(), DecodeError> {
    let blinded = SignatureType::read(r)?;
    SigningPublicKey::read(r, blinded)?;
    let signer = skip_times_and_flags(r, blinded)?;
    let length = r.u16("encrypted data")?;
    r.take(usize::from(length), "encrypted data")?;
    Signature::read(r, signer)?;
    Ok(())
}

/// Common structures, "MetaLeaseSet".
fn skip_meta(r: &mut Reader<'_>) -> Result<(), DecodeError> {
    const ENTRY: usize = Hash::LENGTH + 3 + 1 + 4;
    let destination = Destination::read(r)?;
    let signer = skip_times_and_flags(r, destination.signature_type())?;
    let options = r.u16("mapping")?;
    r.take(usize::from(options), "mapping")?;
    let entries = r.u8("number of entries")?;
    r.take(usize::from(entries) * ENTRY, "meta lease set entries")?;
    let revocations = r.u8("number of revocations")?;
    r.take(usize::from(revocations) * Hash::LENGTH, "revocations")?;
    Signature::read(r, signer)?;
    Ok(())
}

/// Skips publication time, lifetime, flags and offline signature. Returns the signature type of the
/// key that signs the lease set.
fn skip_times_and_flags(
    r: &mut Reader<'_>,
    owner: SignatureType,
) -> Result<SignatureType, DecodeError> {
    const OFFLINE: u16 = 1;
    r.u32("publication time")?;
    r.u16("lifetime")?;
    let flags = r.u16("lease set flags")?;
    if flags & OFFLINE == 0 {
        return Ok(owner);
    }
    Ok(OfflineSignature::read(r, owner)?
        .transient()
        .signature_type())
}

/// The largest number of items in a list of these messages. The number is encoded as one byte.
const MAX_COUNT: usize = u8::MAX as usize;
