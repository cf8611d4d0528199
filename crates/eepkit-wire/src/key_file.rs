//! Reading and writing private key files.

use std::{
    io,
    path::{Path, PathBuf},
};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    base64,
    codec::Codec as _,
    destination::Destination,
    private_keys::{KeyError, PrivateKeys},
    signature_error::SignatureError,
    signature_type::SignatureType,
};

impl PrivateKeys {
    /// Reads a private key file. The file is binary, the format of i2pd and Java I2P, or base64,
    /// the format of SAM.
    ///
    /// Base64 is accepted as people and other programs store it: with or without padding, in lines
    /// of any length, with a byte order mark, and in I2P's, the standard or the URL-safe alphabet.
    /// These never contradict each other.
    ///
    /// Blocks while it reads.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is too long, or is not a private key file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let key = |source| KeyFileError::Key {
            path: path.to_owned(),
            source,
        };
        match eepkit_files::read_secret(path, MAX_FILE) {
            Ok(bytes) => Self::from_file_bytes(&bytes).map_err(key),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(key(KeyError::TooLong))
            }
            Err(source) => Err(KeyFileError::io(path, source)),
        }
    }

    /// Decodes the content of a private key file, in the forms of [`PrivateKeys::load`].
    ///
    /// # Errors
    ///
    /// If it is not the content of a private key file.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        parse(bytes)
    }

    /// Reads a private key file. If it does not exist, generates keys with a signing key of type
    /// `kind` and writes them. Returns the keys, and whether they are new.
    ///
    /// Of several programs that do this at the same time, one writes the file, and all of them
    /// return the keys in it.
    ///
    /// Blocks while it reads and writes.
    ///
    /// # Errors
    ///
    /// As for [`PrivateKeys::load`] and [`PrivateKeys::create`], and [`KeyFileError::Generate`] if
    /// there are no new keys of this type.
    pub fn load_or_create<R: CryptoRng + ?Sized>(
        path: impl AsRef<Path>,
        kind: SignatureType,
        rng: &mut R,
    ) -> Result<(Self, bool), KeyFileError> {
        let path = path.as_ref();
        match Self::load(path) {
            Err(error) if error.is_not_found() => {}
            result => return result.map(|keys| (keys, false)),
        }
        let keys = Self::generate(kind, rng).map_err(KeyFileError::Generate)?;
        match keys.create(path) {
            Ok(()) => Ok((keys, true)),
            // Another program was faster, or the path is a symbolic link to nothing.
            Err(created) if created.is_already_there() => match Self::load(path) {
                Err(error) if error.is_not_found() => Err(created),
                result => result.map(|keys| (keys, false)),
            },
            Err(error) => Err(error),
        }
    }

    /// Writes a private key file in the binary format. A file that exists is never changed: of
    /// several programs that create one file at the same time, exactly one succeeds.
    ///
    /// On Unix only its owner can read the file, which is complete from the moment at which it has
    /// its name.
    ///
    /// Blocks while it writes.
    ///
    /// # Errors
    ///
    /// If the file exists ([`KeyFileError::is_already_there`]), or if the directory does not exist
    /// or cannot be written to.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<(), KeyFileError> {
        let path = path.as_ref();
        eepkit_files::create(path, &self.to_bytes())
            .map_err(|source| KeyFileError::io(path, source))
    }

    /// Writes a private key file in the binary format. An existing file is replaced: its destination
    /// is lost. See [`PrivateKeys::create`].
    ///
    /// The replacement is atomic, even if the machine stops in between: the file is written under
    /// another name in the same directory, flushed to disk and renamed. On Unix only its owner can
    /// read it, from its creation on.
    ///
    /// Blocks while it writes.
    ///
    /// # Errors
    ///
    /// If the directory does not exist or cannot be written to. An existing file is then unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), KeyFileError> {
        let path = path.as_ref();
        eepkit_files::replace(path, &self.to_bytes())
            .map_err(|source| KeyFileError::io(path, source))
    }
}

/// The reason why a private key file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// An operation of the file system failed.
    #[error("private key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error that the system reported.
        source: io::Error,
    },
    /// The file is not a private key file.
    #[error("private key file {}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: KeyError,
    },
    /// New keys could not be generated.
    #[error("cannot generate keys: {0}")]
    Generate(#[source] SignatureError),
}

impl KeyFileError {
    /// Whether the file does not exist, so that the caller can create a new key.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether a file was not written because it exists.
    pub fn is_already_there(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
    }

    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Decodes a private key file of either format.
fn parse(bytes: &[u8]) -> Result<PrivateKeys, KeyError> {
    if bytes.is_empty() {
        return Err(KeyError::Empty);
    }
    if !is_text(bytes) {
        return PrivateKeys::from_bytes(bytes).map_err(|error| named(error, bytes));
    }
    let decoded = decode_text(bytes)?;
    PrivateKeys::from_bytes(&decoded).map_err(|error| match named(error, &decoded) {
        KeyError::Decode(_) => KeyError::Characters,
        error => error,
    })
}

/// Replaces an error of decoding by a more exact one, if the bytes are of another known kind.
fn named(error: KeyError, bytes: &[u8]) -> KeyError {
    match Destination::from_bytes(bytes) {
        Ok(_) => KeyError::Public,
        Err(_) => error,
    }
}

/// Whether a file is text. Of the random bytes in a binary key file, two of five are printable
/// characters.
fn is_text(bytes: &[u8]) -> bool {
    let printable = |b: &&u8| b.is_ascii_graphic() || b.is_ascii_whitespace();
    is_utf16(bytes) || bytes.iter().filter(printable).count() >= bytes.len() / 8 * 7
}

/// Whether a file begins with the byte order mark of UTF-16. A binary key file may begin with the
/// same bytes, but a text in UTF-16 has zeros in half of its bytes.
fn is_utf16(bytes: &[u8]) -> bool {
    let zeros = bytes.iter().filter(|byte| **byte == 0).count();
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) && zeros >= bytes.len() / 3
}

/// Decodes base64 in any alphabet, without regard to white space and missing padding.
fn decode_text(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if is_utf16(bytes) {
        return Err(KeyError::Utf16);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err(KeyError::Empty);
    }
    if bytes.trim_ascii_start().starts_with(b"-----") {
        return Err(KeyError::Pem);
    }
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() + 3));
    let mut padded = false;
    let mut place = Place::default();
    for &byte in bytes {
        place.advance(byte);
        let symbol = match byte {
            b'+' => '-',
            b'/' | b'_' => '~',
            b'-' | b'~' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte),
            b'=' => {
                padded = true;
                continue;
            }
            _ if byte.is_ascii_whitespace() => continue,
            _ => return Err(place.error()),
        };
        if padded {
            return Err(KeyError::Continued {
                line: place.line,
                column: place.column,
            });
        }
        text.push(symbol);
    }
    match text.len() % 4 {
        1 => return Err(KeyError::Characters),
        2 => text.push_str("=="),
        3 => text.push('='),
        _ => {}
    }
    base64::decode_secret(&text).map_err(|_| KeyError::Characters)
}

/// A place in a text, counted from 1.
#[derive(Default)]
struct Place {
    line: usize,
    column: usize,
    /// Whether the previous byte ended a line.
    ended: bool,
}

impl Place {
    fn advance(&mut self, byte: u8) {
        if self.ended || self.line == 0 {
            self.line += 1;
            self.column = 0;
        }
        // The further bytes of a character in UTF-8 take no place.
        if byte & 0xc0 != 0x80 {
            self.column += 1;
        }
        self.ended = byte == b'\n';
    }

    fn error(&self) -> KeyError {
        KeyError::Character {
            line: self.line,
            column: self.column,
        }
    }
}

/// The longest file that is read, in bytes. Chosen because base64 is longer by one third, and lines
/// and white space add to it.
const MAX_FILE: usize = PrivateKeys::MAX_LENGTH * 2;

#[cfg(test)]
mod tests;
