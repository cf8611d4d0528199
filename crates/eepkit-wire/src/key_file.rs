//! Private keys on disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use zeroize::Zeroizing;

use crate::private_keys::{KeyError, PrivateKeys};

impl PrivateKeys {
    /// Reads a private key file: binary, as i2pd and Java I2P write it, or the base64 text of it,
    /// as SAM gives it.
    ///
    /// Blocks while it reads.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is longer than any key file, or is not one.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let io = |source| KeyFileError::io(path, source);
        // Base64 is a third longer, and a line end may follow.
        let limit = Self::MAX_LENGTH * 2;
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
        let file = File::open(path).map_err(io)?;
        file.take(limit as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        let keys = match text_of(&bytes) {
            Some(text) => Self::from_base64(text),
            None => Self::from_bytes(&bytes),
        };
        keys.map_err(|source| KeyFileError::Key {
            path: path.to_owned(),
            source,
        })
    }

    /// Writes a private key file in the binary form, replacing what is there.
    ///
    /// The file appears complete or not at all, also when the machine stops in between: it is
    /// written under another name in the same directory, flushed and renamed. On Unix only its
    /// owner can read it, from the moment it is made.
    ///
    /// Blocks while it writes.
    ///
    /// # Errors
    ///
    /// The directory is missing or cannot be written to. The old file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), KeyFileError> {
        let path = path.as_ref();
        write_private(path, &self.to_bytes()).map_err(|source| KeyFileError::io(path, source))
    }
}

/// Why a private key file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file system refused.
    #[error("private key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is there, but not a private key file.
    #[error("private key file {}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
}

impl KeyFileError {
    /// Whether there is no such file, so that a new key may be made.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// The text of a file that is base64 with white space around it. A binary key file has hundreds of
/// random bytes, which are never all of that alphabet.
fn text_of(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'~' | b'='))
        .then_some(text)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path does not name a file")
    })?;
    let (temporary, mut file) = create_temporary(directory, name)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(directory)
}

/// A new file beside the one to be written, which only the owner can read.
fn create_temporary(directory: &Path, name: &std::ffi::OsStr) -> io::Result<(PathBuf, File)> {
    /// Tells threads of this process apart; the process id tells processes apart.
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    /// Chosen because names clash only with leftovers of a crashed process of the same id.
    const ATTEMPTS: u32 = 16;

    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut attempt = 0;
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{number}.tmp", std::process::id()));
        let temporary = directory.join(temporary);
        match options.open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes the new name survive a power failure.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Directories cannot be opened as files here; the file system orders renames itself.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
