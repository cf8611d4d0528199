//! The maker of lease sets, which the client creates and signs.
//!
//! A router requests a lease set whenever its inbound tunnels change. The client signs it, because
//! the router never gets the signing key. The encryption keys stay the same for the life of a
//! session on the router, because peers continue to encrypt messages to them.

mod elgamal;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit_wire::{
    Codec, EncryptionKeyPair, EncryptionPrivateKey, EncryptionType, Lease, LeaseSet,
    LeaseSet2Builder, LeaseSetError, Mapping, PrivateKeys, StoreType, Zeroizing, base64,
    rand_core::CryptoRng,
};

use crate::options::{Options, SessionOptionError};

/// A signed lease set for the router, with the private keys that the router needs for decryption.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedLeaseSet {
    /// The type of the lease set.
    pub store_type: StoreType,
    /// The encoded lease set, with its signature.
    pub bytes: Bytes,
    /// The private keys of its encryption keys, in the same order.
    pub keys: Vec<EncryptionPrivateKey>,
}

impl fmt::Debug for SignedLeaseSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedLeaseSet")
            .field("store_type", &self.store_type)
            .field("len", &self.bytes.len())
            .field("keys", &self.keys.len())
            .finish()
    }
}

/// Creates the lease sets of one destination.
///
/// The options are read once, by [`LeaseSetMaker::new`]: the encryption types
/// (`i2cp.leaseSetEncType`), given encryption keys (`i2cp.leaseSetPrivateKey`), the type of the
/// lease set (`i2cp.leaseSetType`), whether it is published in the network database
/// (`i2cp.dontPublishLeaseSet`), and its options mapping (`i2cp.leaseSetOption.N`).
pub struct LeaseSetMaker {
    keys: Arc<PrivateKeys>,
    store_type: StoreType,
    encryption: Vec<EncryptionKeyPair>,
    /// The types of the keys that the options contain.
    given: Vec<EncryptionType>,
    options: Mapping,
    unpublished: bool,
    last_published: u32,
}

impl LeaseSetMaker {
    /// Reads the options, and generates the encryption keys that they do not contain.
    ///
    /// # Errors
    ///
    /// If the type of the lease set or of a key is not supported, a key is not valid for its type,
    /// or options contradict each other.
    pub fn new<R: CryptoRng + ?Sized>(
        keys: Arc<PrivateKeys>,
        options: &Options,
        rng: &mut R,
    ) -> Result<Self, SessionOptionError> {
        let store_type = store_type(&keys, options)?;
        let given = given_keys(options)?;
        let mut encryption = Vec::new();
        for kind in options.encryption_types() {
            let given = given.iter().find(|key| key.encryption_type() == kind);
            encryption.push(match given {
                Some(key) => key_pair(key.clone())?,
                None => generate(kind, rng)?,
            });
        }
        let mut entries = Mapping::new();
        for (key, value) in options.lease_set_options() {
            if store_type == StoreType::LeaseSet {
                return Err(SessionOptionError::new(
                    LEASE_SET_TYPE,
                    "1",
                    "3, with i2cp.leaseSetOption",
                ));
            }
            entries.insert(key, value).map_err(|error| {
                SessionOptionError::new(
                    "i2cp.leaseSetOption",
                    key,
                    format_args!("an entry of a mapping ({error})"),
                )
            })?;
        }
        Ok(Self {
            keys,
            store_type,
            encryption,
            given: given
                .iter()
                .map(EncryptionPrivateKey::encryption_type)
                .collect(),
            options: entries,
            unpublished: options.dont_publish_lease_set(),
            last_published: 0,
        })
    }

    /// Generates new encryption keys, except for those that the options contain. To be called for
    /// each new session on a router.
    ///
    /// The router has lost its encryption sessions with all peers. i2pd and Java I2P identify an
    /// encryption session by the key of the peer, so with new keys they begin a new one. With the
    /// same keys, i2pd 2.45 to 2.58 continues to use the lost session for up to two minutes.
    pub fn renew_keys<R: CryptoRng + ?Sized>(&mut self, rng: &mut R) {
        for pair in &mut self.encryption {
            let kind = pair.private_key().encryption_type();
            if !self.given.contains(&kind)
                && let Ok(new) = generate(kind, rng)
            {
                *pair = new;
            }
        }
    }

    /// Creates and signs a lease set for these tunnels. `unix_now` is the time since 1970 on the
    /// router's clock, which is the clock of the leases.
    ///
    /// Tunnels that have ended are left out. If there are more than 16 others, the 16 that expire
    /// last are used.
    ///
    /// The publication time is at least one second after that of the previous lease set, because
    /// the network database replaces a lease set only with a newer one. The exception is a clock
    /// that was set back by more than a minute: routers refuse lease sets of the future, so the
    /// publication time is then that of the corrected clock.
    ///
    /// # Errors
    ///
    /// If there is no tunnel, if all tunnels have ended, or if the transient key has expired.
    pub fn make(
        &mut self,
        leases: &[Lease],
        unix_now: Duration,
    ) -> Result<SignedLeaseSet, MakeError> {
        let now = u32::try_from(unix_now.as_secs()).unwrap_or(u32::MAX);
        if let Some(ago) = self.transient_key_expired(now) {
            return Err(MakeError::TransientKeyExpired { ago });
        }
        let last_end = leases
            .iter()
            .map(|lease| lease.end / 1000)
            .max()
            .ok_or(MakeError::NoTunnels)?;
        if last_end <= u64::from(now) {
            let ago = u64::from(now).saturating_sub(last_end);
            return Err(MakeError::Ended { ago });
        }
        let mut leases = leases.to_vec();
        leases.retain(|lease| lease.end / 1000 > u64::from(now));
        leases.sort_by_key(|lease| std::cmp::Reverse(lease.end));
        leases.truncate(Lease::MAX_IN_SET);
        let bytes = match self.store_type {
            StoreType::LeaseSet => self.make_version_1(&leases)?,
            _ => self.make_version_2(leases, last_end, now)?,
        };
        Ok(SignedLeaseSet {
            store_type: self.store_type,
            bytes,
            keys: self
                .encryption
                .iter()
                .map(|pair| pair.private_key().clone())
                .collect(),
        })
    }

    /// The private encryption keys in the format of `i2cp.leaseSetPrivateKey`. An application can
    /// store them, to use the same keys after a restart.
    pub fn private_keys(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for pair in &self.encryption {
            if !text.is_empty() {
                text.push(',');
            }
            let key = Zeroizing::new(base64::encode(pair.private_key().as_bytes()));
            text.push_str(&pair.encryption_type().0.to_string());
            text.push(':');
            text.push_str(&key);
        }
        text
    }

    fn make_version_1(&self, leases: &[Lease]) -> Result<Bytes, MakeError> {
        let none = LeaseSetError::KeyCount { max: 1, got: 0 };
        let key = self.encryption.first().ok_or(none)?.public_key();
        // The revocation key is unused. The destination's own signing key has the right type.
        let revocation_key = self.keys.destination().signing_key();
        let lease_set = LeaseSet::sign(&self.keys, key, revocation_key, leases)?;
        Ok(lease_set.to_bytes().into())
    }

    fn make_version_2(
        &mut self,
        leases: Vec<Lease>,
        last_end: u64,
        now: u32,
    ) -> Result<Bytes, MakeError> {
        let published = self.publication_time(now, last_end);
        // Nobody accepts a lease set after the transient key that signed it has expired.
        let offline = self.keys.offline();
        let end = offline.map_or(last_end, |keys| last_end.min(keys.expires().into()));
        let lifetime = end.saturating_sub(u64::from(published));
        let mut builder = LeaseSet2Builder::new(
            published,
            u16::try_from(lifetime).unwrap_or(u16::MAX),
            self.encryption
                .iter()
                .map(|pair| pair.public_key().clone())
                .collect(),
            leases,
        );
        builder.unpublished = self.unpublished;
        builder.options = self.options.clone();
        let lease_set = builder.sign(&self.keys)?;
        self.last_published = published;
        Ok(lease_set.to_bytes().into())
    }

    /// The publication time of the next lease set, in seconds since 1970. The lease set ends at
    /// `end`, which is after `now`.
    fn publication_time(&self, now: u32, end: u64) -> u32 {
        let next = self.last_published.saturating_add(1).max(now);
        let ahead = next.saturating_sub(now);
        if ahead > MAX_AHEAD_S || u64::from(next) >= end {
            return now;
        }
        next
    }

    /// The time since the transient key of offline keys expired, in seconds; `None` if it is valid
    /// or there is none.
    fn transient_key_expired(&self, now: u32) -> Option<u64> {
        let expires = self.keys.offline()?.expires();
        now.checked_sub(expires).map(u64::from)
    }
}

impl fmt::Debug for LeaseSetMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseSetMaker")
            .field("destination", self.keys.destination())
            .field("store_type", &self.store_type)
            .field("last_published", &self.last_published)
            .finish_non_exhaustive()
    }
}

/// The reason why a lease set cannot be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// There is no tunnel.
    #[error("a lease set needs at least one tunnel")]
    NoTunnels,
    /// All tunnels have ended.
    #[error("the last tunnel ended {ago} seconds ago")]
    Ended {
        /// The time since the last tunnel ended, in seconds.
        ago: u64,
    },
    /// The transient key of the offline keys has expired. Only new offline keys help.
    #[error("the transient key of the destination expired {ago} seconds ago")]
    TransientKeyExpired {
        /// The time since the key expired, in seconds.
        ago: u64,
    },
    /// The tunnels, keys and options do not form a valid lease set.
    #[error(transparent)]
    Parts(#[from] LeaseSetError),
}

/// The type of lease set in the options.
///
/// # Errors
///
/// If the type is not supported, or contradicts the keys or other options.
fn store_type(keys: &PrivateKeys, options: &Options) -> Result<StoreType, SessionOptionError> {
    let code = options.lease_set_type();
    let refused = |allowed: &str| {
        Err(SessionOptionError::new(
            LEASE_SET_TYPE,
            &code.to_string(),
            allowed,
        ))
    };
    match StoreType::from_code(code) {
        Some(StoreType::LeaseSet2) => Ok(StoreType::LeaseSet2),
        Some(StoreType::LeaseSet) if keys.offline().is_some() => refused("3, with offline keys"),
        Some(StoreType::LeaseSet) if options.encryption_types() != [EncryptionType::ELGAMAL] => {
            refused("3, unless i2cp.leaseSetEncType is 0 alone")
        }
        Some(StoreType::LeaseSet) => Ok(StoreType::LeaseSet),
        // Encrypted and meta lease sets are not implemented.
        _ => refused("3 or 1"),
    }
}

/// The keys of `i2cp.leaseSetPrivateKey`.
fn given_keys(options: &Options) -> Result<Vec<EncryptionPrivateKey>, SessionOptionError> {
    let Some(text) = options.get(PRIVATE_KEY) else {
        return Ok(Vec::new());
    };
    text.split(',')
        .map(|key| {
            key.trim().parse().map_err(|error| {
                SessionOptionError::new(PRIVATE_KEY, "", format_args!("[type:]base64 ({error})"))
            })
        })
        .collect()
}

fn key_pair(key: EncryptionPrivateKey) -> Result<EncryptionKeyPair, SessionOptionError> {
    let kind = key.encryption_type();
    let pair = match kind {
        EncryptionType::ELGAMAL => elgamal::from_private(key),
        _ => EncryptionKeyPair::from_private(key),
    };
    pair.map_err(|_| unsupported(kind))
}

fn generate<R: CryptoRng + ?Sized>(
    kind: EncryptionType,
    rng: &mut R,
) -> Result<EncryptionKeyPair, SessionOptionError> {
    let pair = match kind {
        EncryptionType::ELGAMAL => elgamal::generate(rng),
        _ => EncryptionKeyPair::generate(kind, rng),
    };
    pair.map_err(|_| unsupported(kind))
}

fn unsupported(kind: EncryptionType) -> SessionOptionError {
    let allowed = "4 (X25519), 5 to 7 (with ML-KEM) or 0 (ElGamal)";
    SessionOptionError::new("i2cp.leaseSetEncType", &kind.0.to_string(), allowed)
}

/// How far a publication time may be ahead of the clock, in seconds. Chosen as the difference of
/// clocks that routers accept. It is reached by a burst of lease sets within a second, and by a
/// clock that was set back.
const MAX_AHEAD_S: u32 = 60;

const LEASE_SET_TYPE: &str = "i2cp.leaseSetType";
const PRIVATE_KEY: &str = "i2cp.leaseSetPrivateKey";
