//! Passwords as Java I2P keeps them.

use eepkit_wire::{Hash, base64};

/// A salted hash of Java I2P: `.shash` in its configuration files.
///
/// It is weak: a thousand rounds of SHA-256 and hardly any memory. It is supported only so that users
/// keep their passwords when they come from Java I2P.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct JavaHash {
    salt: [u8; SALT],
    hash: [u8; HASH],
}

impl JavaHash {
    /// Reads the base64 of salt and hash.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = base64::decode(text).ok()?;
        let (salt, hash) = bytes.split_at_checked(SALT)?;
        Some(Self {
            salt: salt.try_into().ok()?,
            hash: hash.try_into().ok()?,
        })
    }

    /// Whether this password has the hash.
    pub(super) fn is_of(&self, password: &str) -> bool {
        let mut hash = Hash::of(&[&self.salt[..], password.as_bytes()].concat());
        for _ in 1..ROUNDS {
            hash = Hash::of(hash.as_bytes());
        }
        // Without stopping at the first byte that differs.
        let differing = hash.as_bytes().iter().zip(self.hash);
        differing.fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

/// Bytes of salt, bytes of hash, and how often SHA-256 is taken: Java I2P's `PasswordManager` and
/// `KeyGenerator`.
const SALT: usize = 16;
const HASH: usize = 32;
const ROUNDS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by another program, after the description: salt 0x00 to 0x0f, password `sésame`.
    const OTHERS: &str = "AAECAwQFBgcICQoLDA0OD-SAyCqVBiD41fc5exhKbuYMzpxHAxJDrA8ep0~cE8KM";

    #[test]
    fn a_hash_of_another_program_is_that_of_its_password_alone() {
        let hash = JavaHash::parse(OTHERS).expect("a salted hash");
        assert!(hash.is_of("sésame"));
        for wrong in ["", "sesame", "sésame ", "Sésame"] {
            assert!(!hash.is_of(wrong), "{wrong}");
        }
    }

    #[test]
    fn other_texts_are_no_hashes() {
        let short = base64::encode(&[0; SALT + HASH - 1]);
        let long = base64::encode(&[0; SALT + HASH + 1]);
        for text in ["", "AAAA", "!", &short, &long, &OTHERS[1..]] {
            assert!(JavaHash::parse(text).is_none(), "{text}");
        }
    }
}
