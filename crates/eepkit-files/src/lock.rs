//! Lock files.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::{FileId, operation};

/// A locked file. Other programs, and other locks of this process, cannot lock it.
///
/// Dropping the lock removes the file. The operating system releases the lock when the process ends,
/// however it ends. A file that remains then does not count as locked.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// Holds the lock until it is closed.
    file: File,
}

impl Lock {
    /// Creates and locks the file. Returns `None` if it is locked already.
    ///
    /// # Errors
    ///
    /// Any error of the system.
    pub fn acquire(path: &Path) -> io::Result<Option<Self>> {
        // The previous owner may remove the file between the two steps. The lock of a file without
        // a name excludes nobody.
        for _ in 0..ATTEMPTS {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = operation("open the lock file", || options.open(path))?;
            match operation("lock", || match file.try_lock() {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => Err(error),
            })? {
                false => return Ok(None),
                true => {
                    let lock = Self {
                        path: path.to_owned(),
                        file,
                    };
                    if lock.is_named()? {
                        return Ok(Some(lock));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether the path still refers to the locked file.
    fn is_named(&self) -> io::Result<bool> {
        let own = operation("look at the lock file", || self.file.metadata())?;
        Ok(FileId::at(&self.path)? == Some(FileId::of(&own)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Errors leave a file that is not locked, which the next owner uses.
        if let Ok(true) = self.is_named() {
            let _ = crate::remove(&self.path);
        }
    }
}

/// The number of attempts to lock a file that is being removed. Chosen because each attempt fails
/// only if another program ends in the same microsecond.
const ATTEMPTS: usize = 16;
