//! Helpers that several test modules use.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use eepkit_wire::{Hash, Lease, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// A time in November 2023.
pub(crate) const UNIX_NOW: Duration = Duration::from_secs(1_700_000_000);

pub(crate) fn rng() -> ChaCha20Rng {
    rng_of(7)
}

pub(crate) fn rng_of(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn keys() -> Arc<PrivateKeys> {
    keys_of(SignatureType::ED25519, 1)
}

pub(crate) fn keys_of(kind: SignatureType, seed: u64) -> Arc<PrivateKeys> {
    Arc::new(PrivateKeys::generate(kind, &mut rng_of(seed)).expect("a type that can be made"))
}

pub(crate) fn offline_keys() -> Arc<PrivateKeys> {
    let expires = u32::try_from(UNIX_NOW.as_secs()).expect("fits") + 86_400;
    let keys = keys().with_transient(expires, SignatureType::ECDSA_SHA256_P256, &mut rng());
    Arc::new(keys.expect("types that can be made"))
}

/// A lease that ends this number of seconds after [`UNIX_NOW`].
pub(crate) fn lease(tunnel: u32, seconds: u64) -> Lease {
    let end = (UNIX_NOW.as_secs() + seconds) * 1000;
    Lease {
        gateway: Hash::new([0x0a; 32]),
        tunnel,
        end,
    }
}

/// An arbitrary instant; tests use only differences to it.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no other way to make an Instant; tests count from it"
)]
pub(crate) fn some_instant() -> Instant {
    Instant::now()
}
