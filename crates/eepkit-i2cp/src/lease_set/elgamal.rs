//! ElGamal key pairs for the encryption keys of lease sets.
//!
//! This module only creates key pairs. The router encrypts and decrypts.

use crypto_bigint::{
    Odd, U2048,
    modular::{FixedMontyForm, FixedMontyParams},
};
use eepkit_wire::{
    DecodeError, EncryptionKeyPair, EncryptionPrivateKey, EncryptionPublicKey, EncryptionType,
    Zeroizing, rand_core::CryptoRng,
};

/// Generates a key pair.
pub(super) fn generate<R: CryptoRng + ?Sized>(
    rng: &mut R,
) -> Result<EncryptionKeyPair, DecodeError> {
    let mut exponent = Zeroizing::new([0; LEN]);
    rng.fill_bytes(exponent.as_mut_slice());
    // The exponent has one bit less than the modulus, so it is smaller than the modulus.
    exponent[0] &= 0x7f;
    from_private(EncryptionPrivateKey::new(
        EncryptionType::ELGAMAL,
        exponent.as_slice(),
    )?)
}

/// Computes the key pair of a private key.
pub(super) fn from_private(key: EncryptionPrivateKey) -> Result<EncryptionKeyPair, DecodeError> {
    let mut bytes = Zeroizing::new([0; LEN]);
    // `EncryptionPrivateKey::new` checks the length for the type.
    bytes.copy_from_slice(key.as_bytes());
    let exponent = Zeroizing::new(U2048::from_be_slice(bytes.as_slice()));
    let params = FixedMontyParams::new(MODULUS);
    let base = FixedMontyForm::new(&U2048::from_u8(GENERATOR), &params);
    let public = base.pow(&exponent).retrieve().to_be_bytes();
    EncryptionKeyPair::new(
        EncryptionPublicKey::new(EncryptionType::ELGAMAL, public.as_ref())?,
        key,
    )
}

/// The length of a key, in bytes.
const LEN: usize = 256;

/// Generator of the group (cryptography specification, "ElGamal encryption").
const GENERATOR: u8 = 2;

/// Modulus of the group: the 2048-bit prime of RFC 3526, section 3.
const MODULUS: Odd<U2048> = Odd::<U2048>::from_be_hex(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
     020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
     4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
     98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
     9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
     E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718\
     3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
);
