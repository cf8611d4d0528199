//! Argon2id password hashes, with reused memory.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{PasswordHasher as _, phc::PasswordHash},
};
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::UserError;

/// Hashes a password with a fresh salt.
pub(super) fn hash(password: &str) -> Result<String, UserError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|_| UserError::Hash)
}

/// Verifies passwords. Each verification needs 19 MiB for some milliseconds. The memory is kept for
/// the next verification, because allocators would otherwise keep it for each thread that ever used
/// it.
pub(super) struct Hasher {
    /// The largest accepted product of memory, in KiB, and passes.
    max_work: usize,
    permits: Arc<Semaphore>,
    /// Memory for at most [`MAX_HASHING`] verifications.
    buffers: Mutex<Vec<Vec<Block>>>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self::with_max_work(MAX_WORK)
    }
}

impl Hasher {
    /// Creates a hasher that verifies no hash which needs more than this product of memory, in KiB,
    /// and passes.
    pub(super) fn with_max_work(max_work: usize) -> Self {
        Self {
            max_work,
            permits: Arc::new(Semaphore::new(MAX_HASHING)),
            buffers: Mutex::default(),
        }
    }

    /// Waits for the permission to hash a password.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.ok()
    }

    /// Whether the hash, a PHC string, is that of `password`.
    pub(super) fn verify(&self, password: &str, hash: &str) -> bool {
        self.try_verify(password, hash).unwrap_or(false)
    }

    fn try_verify(&self, password: &str, hash: &str) -> Option<bool> {
        let hash = PasswordHash::new(hash).ok()?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = match hash.version {
            Some(version) => Version::try_from(version).ok()?,
            None => Version::default(),
        };
        let params = Params::try_from(&hash).ok()?;
        let blocks = params.block_count();
        let passes = usize::try_from(params.t_cost()).unwrap_or(usize::MAX);
        if blocks > MAX_BLOCKS || blocks.saturating_mul(passes) > self.max_work {
            return None;
        }
        let (salt, expected) = (hash.salt?, hash.hash?);
        let mut buffer = self.take();
        buffer.resize(blocks, Block::new());
        let mut out = vec![0; expected.as_bytes().len()];
        let hashed = Argon2::new(algorithm, version, params).hash_password_into_with_memory(
            password.as_bytes(),
            salt.as_ref(),
            &mut out,
            &mut buffer,
        );
        self.put(buffer);
        hashed.ok()?;
        Some(out.ct_eq(expected.as_bytes()).into())
    }

    fn take(&self) -> Vec<Block> {
        self.lock().pop().unwrap_or_default()
    }

    fn put(&self, buffer: Vec<Block>) {
        let mut buffers = self.lock();
        if buffers.len() < MAX_HASHING {
            buffers.push(buffer);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("buffers", &self.lock().len())
            .finish_non_exhaustive()
    }
}

/// The maximum number of concurrent verifications. Chosen because each takes 19 MiB for some
/// milliseconds.
const MAX_HASHING: usize = 2;

/// The maximum memory of a stored hash, in KiB. Chosen as the largest value that RFC 9106
/// recommends for hosts with little memory.
const MAX_BLOCKS: usize = 64 * 1024;

/// The maximum work of a stored hash, as the product of its memory in KiB and its passes. Chosen as
/// that of four passes over [`MAX_BLOCKS`], which take less than a second. RFC 9106 recommends three.
/// A hash with billions of passes would occupy a permit for years.
const MAX_WORK: usize = 4 * MAX_BLOCKS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_only_its_password_and_memory_is_reused() {
        let hasher = Hasher::default();
        let hash = hash("sesame").expect("hashed");
        for _ in 0..3 {
            assert!(hasher.verify("sesame", &hash));
            assert!(!hasher.verify("Sesame", &hash));
        }
        assert_eq!(hasher.lock().len(), 1);
    }

    #[test]
    fn hashes_of_other_programs_are_verified() {
        // RFC 9106 contains no PHC string. This one is from test.c of the reference implementation.
        let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$\
                    nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let hasher = Hasher::default();
        assert!(hasher.verify("password", hash));
        assert!(!hasher.verify("differentpassword", hash));
    }

    #[test]
    fn invalid_and_too_expensive_hashes_match_no_password() {
        let hasher = Hasher::default();
        for hash in [
            "",
            "$argon2id$",
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$AAAA",
            "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$\
             nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=8,t=4294967295,p=1$c29tZXNhbHQ$\
             nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ] {
            assert!(!hasher.verify("password", hash), "{hash}");
        }
        assert!(hasher.lock().is_empty());
    }
}
