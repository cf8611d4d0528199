//! Signed update files, as far as reseeding needs them.
//!
//! An SU3 file is a header, a content and a signature over both (specification "Software
//! updates", "SU3 File Specification"). Reseed hosts sign with RSA of 4096 bits over SHA-512, the
//! hash padded as in PKCS#1 v1.5 but without the algorithm identifier.

use std::io::{Cursor, Read};

use crypto_bigint::{
    BoxedUint, Odd,
    modular::{BoxedMontyForm, BoxedMontyParams},
};
use sha2::{Digest, Sha512};
use zip::ZipArchive;

use super::signers::Signers;

/// Largest file that is taken, bytes. Real ones have 50 to 150 thousand.
pub(super) const MAX_FILE: usize = 1024 * 1024;

/// Most router infos that are taken out of one file. Real ones have 75 to 100.
const MAX_ENTRIES: usize = 500;

/// Largest router info, bytes. Real ones have one to three thousand.
const MAX_ROUTER_INFO: u64 = 16 * 1024;

const MAGIC: &[u8; 6] = b"I2Psu3";
/// Signature type RSA-SHA512-4096, and the length of its keys and signatures.
const RSA_SHA512_4096: u16 = 6;
pub(super) const RSA_LENGTH: usize = 512;
const FILE_TYPE_ZIP: u8 = 0;
const CONTENT_TYPE_RESEED: u8 = 3;
/// The header up to the version string.
const HEADER: usize = 40;
/// The public exponent of every signer.
const EXPONENT: u32 = 65_537;

/// Why a file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Su3Error {
    /// It is no SU3 file.
    #[error("it is not an SU3 file")]
    NotSu3,
    /// It ends too early, or something follows its end.
    #[error("its length does not agree with its header")]
    Length,
    /// It is something else than a list of routers.
    #[error("it holds no router infos (file type {file_type}, content type {content_type})")]
    Content {
        /// The kind of file: 0 is a zip archive.
        file_type: u8,
        /// What the file is for: 3 is reseeding.
        content_type: u8,
    },
    /// Its signature is of another type than reseed hosts use.
    #[error("its signature is of type {0}, not 6 (RSA-SHA512-4096)")]
    SignatureType(u16),
    /// Nobody here knows who signed it.
    #[error("{0} is not a known signer of router lists")]
    UnknownSigner(String),
    /// The signature is wrong: the file was tampered with or damaged.
    #[error("the signature of {0} is wrong")]
    BadSignature(String),
    /// The archive in it cannot be read, or is out of all proportion.
    #[error("its archive cannot be used: {0}")]
    Archive(String),
}

/// A file whose signature was checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    pub(super) signer: String,
    /// Router infos, unparsed.
    pub(super) routers: Vec<Vec<u8>>,
}

/// Opens a file: first the signature is checked, then the archive is unpacked.
pub(super) fn open(file: &[u8], signers: &Signers) -> Result<Bundle, Su3Error> {
    let parts = Parts::split(file)?;
    if (parts.file_type, parts.content_type) != (FILE_TYPE_ZIP, CONTENT_TYPE_RESEED) {
        return Err(Su3Error::Content {
            file_type: parts.file_type,
            content_type: parts.content_type,
        });
    }
    if parts.signature_type != RSA_SHA512_4096 {
        return Err(Su3Error::SignatureType(parts.signature_type));
    }
    let signer = String::from_utf8_lossy(parts.signer).into_owned();
    let Some(key) = signers.key(&signer) else {
        return Err(Su3Error::UnknownSigner(signer));
    };
    if !verify(key, parts.signed, parts.signature) {
        return Err(Su3Error::BadSignature(signer));
    }
    let routers = unpack(parts.content)?;
    Ok(Bundle { signer, routers })
}

struct Parts<'a> {
    signature_type: u16,
    file_type: u8,
    content_type: u8,
    signer: &'a [u8],
    content: &'a [u8],
    signed: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn split(file: &'a [u8]) -> Result<Self, Su3Error> {
        if !file.starts_with(MAGIC) {
            return Err(Su3Error::NotSu3);
        }
        let (header, rest) = file.split_first_chunk::<HEADER>().ok_or(Su3Error::Length)?;
        let version_length = usize::from(header[13]);
        let signer_length = usize::from(header[15]);
        let signature_length = usize::from(u16::from_be_bytes([header[10], header[11]]));
        let mut content_length = [0; 8];
        content_length.copy_from_slice(&header[16..24]);
        let content_length =
            usize::try_from(u64::from_be_bytes(content_length)).map_err(|_| Su3Error::Length)?;

        let (_version, rest) = rest
            .split_at_checked(version_length)
            .ok_or(Su3Error::Length)?;
        let (signer, rest) = rest
            .split_at_checked(signer_length)
            .ok_or(Su3Error::Length)?;
        let (content, signature) = rest
            .split_at_checked(content_length)
            .ok_or(Su3Error::Length)?;
        if signature.len() != signature_length {
            return Err(Su3Error::Length);
        }
        Ok(Self {
            signature_type: u16::from_be_bytes([header[8], header[9]]),
            file_type: header[25],
            content_type: header[27],
            signer,
            content,
            signed: &file[..file.len() - signature_length],
            signature,
        })
    }
}

/// Compares the whole padded hash, rather than parsing it, so that nothing can hide in it.
fn verify(modulus: &[u8; RSA_LENGTH], signed: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = <&[u8; RSA_LENGTH]>::try_from(signature) else {
        return false;
    };
    let modulus = BoxedUint::from_be_slice_vartime(modulus);
    let signature = BoxedUint::from_be_slice_vartime(signature);
    if signature >= modulus {
        return false;
    }
    let Some(modulus) = Option::<Odd<BoxedUint>>::from(Odd::new(modulus)) else {
        return false;
    };
    let params = BoxedMontyParams::new_vartime(modulus);
    let message = BoxedMontyForm::new(signature, &params)
        .pow_bounded_exp(
            &BoxedUint::from(EXPONENT),
            u32::BITS - EXPONENT.leading_zeros(),
        )
        .retrieve()
        .to_be_bytes();
    *message == *padded(signed)
}

/// The hash of `signed` as it is signed: RFC 8017, section 9.2, but for the `DigestInfo`.
fn padded(signed: &[u8]) -> Vec<u8> {
    let hash = Sha512::digest(signed);
    let mut message = vec![0x00, 0x01];
    message.resize(RSA_LENGTH - hash.len() - 1, 0xff);
    message.push(0x00);
    message.extend_from_slice(&hash);
    message
}

fn unpack(archive: &[u8]) -> Result<Vec<Vec<u8>>, Su3Error> {
    let fail = |error: &dyn std::fmt::Display| Su3Error::Archive(error.to_string());
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|error| fail(&error))?;
    if archive.len() > MAX_ENTRIES {
        return Err(fail(&format_args!("it has {} files", archive.len())));
    }
    let mut routers = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| fail(&error))?;
        if !entry.is_file() {
            continue;
        }
        // The size in the directory of the archive is a claim; this limit is kept.
        let mut info = Vec::new();
        entry
            .take(MAX_ROUTER_INFO + 1)
            .read_to_end(&mut info)
            .map_err(|error| fail(&error))?;
        if info.len() as u64 > MAX_ROUTER_INFO {
            return Err(fail(&"it has a file too large for a router info"));
        }
        routers.push(info);
    }
    Ok(routers)
}
