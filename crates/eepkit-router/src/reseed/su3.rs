//! The subset of signed update files that reseeding needs.
//!
//! An SU3 file has a header, a content and a signature over both (software updates specification,
//! section "SU3 File Specification"). Reseed hosts sign with RSA of 4096 bits over SHA-512.

#[cfg(any(test, feature = "_fuzzing"))]
pub(crate) mod fuzzing;

use std::io::{Cursor, Read};

use eepkit_wire::{DecodeError, Reader, Signature, SignatureType};
use zip::ZipArchive;

use super::signers::{SIGNATURE_TYPE, Signers};

/// The largest accepted file, in bytes. Chosen because real files have 50,000 to 150,000 bytes.
pub(super) const MAX_FILE: usize = 1024 * 1024;

/// The maximum number of router infos in one file. Chosen because real files have 75 to 100.
const MAX_ENTRIES: usize = 500;

/// The largest router info, in bytes. Chosen because real ones have 1,000 to 3,000 bytes.
const MAX_ROUTER_INFO: u64 = 16 * 1024;

const MAGIC: &[u8; 6] = b"I2Psu3";
const FILE_TYPE_ZIP: u8 = 0;
const CONTENT_TYPE_RESEED: u8 = 3;

/// The reason why a reseed file was rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Su3Error {
    /// The file is not an SU3 file.
    #[error("it is not an SU3 file")]
    NotSu3,
    /// The file ends too early, or data follows its signature.
    #[error("its length does not agree with its header")]
    Length,
    /// The content is not a list of routers.
    #[error("it holds no router infos (file type {file_type}, content type {content_type})")]
    Content {
        /// The kind of file: 0 is a zip archive.
        file_type: u8,
        /// The purpose of the file: 3 is reseeding.
        content_type: u8,
    },
    /// The signature type is not the one of reseed hosts.
    #[error("its signature is of type {0}, not 6 (RSA-SHA512-4096)")]
    SignatureType(u16),
    /// The signer is not trusted.
    #[error("{0} is not a known signer of router lists")]
    UnknownSigner(String),
    /// The signature is invalid: the file was modified or damaged.
    #[error("the signature of {0} is wrong")]
    BadSignature(String),
    /// The archive in the file cannot be read, or exceeds a limit.
    #[error("its archive cannot be used: {0}")]
    Archive(String),
}

/// The content of a file whose signature was verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    pub(super) signer: String,
    /// Router infos, unparsed.
    pub(super) routers: Vec<Vec<u8>>,
}

/// Opens a file. The signature is verified before the archive is unpacked.
pub(super) fn open(file: &[u8], signers: &Signers) -> Result<Bundle, Su3Error> {
    let parts = Parts::split(file)?;
    if (parts.file_type, parts.content_type) != (FILE_TYPE_ZIP, CONTENT_TYPE_RESEED) {
        return Err(Su3Error::Content {
            file_type: parts.file_type,
            content_type: parts.content_type,
        });
    }
    if parts.signature_type != SIGNATURE_TYPE {
        return Err(Su3Error::SignatureType(parts.signature_type.0));
    }
    let signer = printable(parts.signer);
    let Some(key) = signers.key(&signer) else {
        return Err(Su3Error::UnknownSigner(signer));
    };
    let verified = Signature::new(SIGNATURE_TYPE, parts.signature)
        .is_ok_and(|signature| key.verify_update_file(parts.signed, &signature).is_ok());
    if !verified {
        return Err(Su3Error::BadSignature(signer));
    }
    let routers = unpack(parts.content)?;
    Ok(Bundle { signer, routers })
}

/// The fields of a file, which are not validated.
struct Parts<'a> {
    signature_type: SignatureType,
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
        // A mismatch of the total length means that bytes are missing or left over.
        Self::read(&mut Reader::new(file)).map_err(|_| Su3Error::Length)
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = r.position();
        r.take(MAGIC.len(), "magic")?;
        r.u16("unused byte and file format version")?;
        let signature_type = SignatureType(r.u16("signature type")?);
        let signature_length = usize::from(r.u16("signature length")?);
        let [_, version_length, _, signer_length] = r.array("lengths")?;
        let content_length = r.u64("content length")?;
        let [_, file_type, _, content_type] = r.array("file and content type")?;
        r.take(12, "unused bytes")?;
        r.take(usize::from(version_length), "version")?;
        let signer = r.take(usize::from(signer_length), "signer")?;
        // A length that does not fit is longer than any file.
        let content_length = usize::try_from(content_length).unwrap_or(usize::MAX);
        let content = r.take(content_length, "content")?;
        let signed = r.taken_since(start);
        let signature = r.take(signature_length, "signature")?;
        r.finish("update file")?;
        Ok(Self {
            signature_type,
            file_type,
            content_type,
            signer,
            content,
            signed,
            signature,
        })
    }
}

/// Converts the name of a signer to text without control characters, because error messages contain
/// it. No certificate has such a name.
fn printable(name: &[u8]) -> String {
    let replaced = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    String::from_utf8_lossy(name)
        .chars()
        .map(replaced)
        .collect()
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
        // The size in the archive's directory may be wrong, so it is not used.
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
