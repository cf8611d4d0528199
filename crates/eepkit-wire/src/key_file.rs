//! Reading and writing private key files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use zeroize::Zeroizing;

use crate::private_keys::{KeyError, PrivateKeys};

impl PrivateKeys {
    /// Reads a private key file. The file is binary, the format of i2pd and Java I2P, or base64,
    /// the format of SAM.
    ///
    /// Blocks while it reads.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is too long, or is not a private key file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let io = |source| KeyFileError::io(path, source);
        // Base64 is longer by one third, and a line end may follow.
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

    /// Writes a private key file in the binary format. An existing file is replaced.
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
        write_private(path, &self.to_bytes()).map_err(|source| KeyFileError::io(path, source))
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
}

impl KeyFileError {
    /// Whether the file does not exist, so that the caller can create a new key.
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

/// The text of a base64 key file, without surrounding white space. `None` if the file is binary: a
/// binary key file has hundreds of random bytes, which are never all in the base64 alphabet.
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
        // The first error is reported. An error of removing the file is ignored.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(directory)
}

/// Creates a temporary file in the directory of the key file, which only the owner can read.
fn create_temporary(directory: &Path, name: &std::ffi::OsStr) -> io::Result<(PathBuf, File)> {
    /// Makes names unique among the threads of this process. The process id makes them unique among
    /// processes.
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    /// The largest number of further names that are tried. Chosen because a name can only exist
    /// already if a process with the same id has crashed.
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

/// Flushes the directory, so that the renamed file survives a power failure.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Does nothing: directories cannot be opened as files on this system, and the file system orders
/// renames itself.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
