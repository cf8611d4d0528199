//! DSA with SHA-1 over the fixed 1024-bit group of I2P, which destinations before 2015 used.

use std::sync::LazyLock;

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use dsa::{Components, Signature, SigningKey, VerifyingKey, signature::hazmat::PrehashVerifier};
use rand_core::CryptoRng;
use sha1::Sha1;
use zeroize::Zeroizing;

use super::digest;
use crate::signature_error::SignatureError;

const PUBLIC_LEN: usize = 128;
const PRIVATE_LEN: usize = 20;

pub(crate) fn verify(key: &[u8], parts: &[&[u8]], signature: &[u8]) -> Result<(), SignatureError> {
    let key = verifying_key(key)?;
    let (r, s) = signature.split_at(signature.len() / 2);
    let signature =
        Signature::from_components(number(r), number(s)).ok_or(SignatureError::Wrong)?;
    key.verify_prehash(&digest::<Sha1>(parts), &signature)
        .map_err(|_| SignatureError::Wrong)
}

#[derive(Clone)]
pub(crate) struct Signer {
    key: SigningKey,
}

impl Signer {
    pub(crate) fn new(private: &[u8]) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_components(GROUP.clone(), public_number(private))
            .and_then(|public| SigningKey::from_components(public, number(private)))
            .map_err(|_| SignatureError::BadPrivateKey)?;
        Ok(Self { key })
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        fixed(self.key.verifying_key().y(), PUBLIC_LEN)
    }

    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        let signature = self
            .key
            .sign_prehashed_rfc6979::<Sha1>(&digest::<Sha1>(parts))
            .expect("fails only if a component is zero, for one of 2^160 messages");
        let mut out = fixed(signature.r(), PRIVATE_LEN);
        out.extend_from_slice(&fixed(signature.s(), PRIVATE_LEN));
        out
    }
}

/// Generates a private key: a random number from 1 to q - 1. Other random numbers are discarded.
pub(crate) fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Zeroizing<Vec<u8>> {
    let mut private = Zeroizing::new(vec![0; PRIVATE_LEN]);
    loop {
        rng.fill_bytes(&mut private);
        // About two of three random numbers are below q. The timing of the comparison reveals only
        // that the returned key is in range.
        if private.as_slice() < Q.as_slice() && private.iter().any(|&b| b != 0) {
            return private;
        }
    }
}

fn verifying_key(key: &[u8]) -> Result<VerifyingKey, SignatureError> {
    VerifyingKey::from_components(GROUP.clone(), number(key))
        .map_err(|_| SignatureError::BadPublicKey)
}

/// g^x mod p.
fn public_number(private: &[u8]) -> BoxedUint {
    let params = BoxedMontyParams::new(GROUP.p().clone());
    BoxedMontyForm::new((**GROUP.g()).clone(), &params)
        .pow(&number(private))
        .retrieve()
}

fn number(bytes: &[u8]) -> BoxedUint {
    // The precision has the length of the bytes, so nothing is truncated.
    BoxedUint::from_be_slice_truncated(bytes, 8 * bytes.len() as u32)
}

/// The number in big-endian order, with leading zeros up to `length` bytes.
fn fixed(number: &BoxedUint, length: usize) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let mut out = vec![0; length.saturating_sub(bytes.len())];
    out.extend_from_slice(&bytes[bytes.len().saturating_sub(length)..]);
    out
}

static GROUP: LazyLock<Components> = LazyLock::new(|| {
    let p = Odd::new(number(&P)).expect("the prime of I2P's group is odd");
    Components::from_components(p.get(), number(&Q), number(&G))
        .expect("the group of I2P has 1024 and 160 bits")
});

// Source of the group: cryptography specification, section "DSA".

const P: [u8; 128] = hex(
    "9c05b2aa960d9b97b8931963c9cc9e8c3026e9b8ed92fad0a69cc886d5bf8015\
    fcadae31a0ad18fab3f01b00a358de237655c4964afaa2b337e96ad316b9fb1c\
    c564b5aec5b69a9ff6c3e4548707fef8503d91dd8602e867e6d35d2235c1869c\
    e2479c3b9d5401de04e0727fb33d6511285d4cf29538d9e3b6051f5b22cc1c93",
);

const Q: [u8; 20] = hex("a5dfc28fef4ca1e286744cd8eed9d29d684046b7");

const G: [u8; 128] = hex(
    "0c1f4d27d40093b429e962d7223824e0bbc47e7c832a39236fc683af84889581\
    075ff9082ed32353d4374d7301cda1d23c431f4698599dda02451824ff369752\
    593647cc3ddc197de985e43d136cdcfc6bd5409cd2f450821142a5e6f8eb1c3a\
    b5d0484b8129fcf17bce4f7f33321c3cb3dbb14a905e7b2b3e93be4708cbcc82",
);

/// Decodes hexadecimal text at compile time.
const fn hex<const N: usize>(text: &str) -> [u8; N] {
    const fn digit(c: u8) -> u8 {
        match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => panic!("not a hexadecimal digit"),
        }
    }
    let text = text.as_bytes();
    assert!(text.len() == 2 * N, "wrong number of digits");
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        out[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
        i += 1;
    }
    out
}
