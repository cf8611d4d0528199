//! The identity of a file.

use std::{fs, io, path::Path};

use crate::operation;

/// The identity of a file, to detect that a path refers to another file than before.
///
/// On systems other than Unix, all files of the same length count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The identity of the file at a path. Symbolic links are not followed. `None` if there is no
    /// file.
    ///
    /// # Errors
    ///
    /// Any error of the system other than that there is no file.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        match operation("look at the file", || fs::symlink_metadata(path)) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The identity of the file with this metadata.
    #[cfg(unix)]
    pub fn of(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;

        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// The identity of the file with this metadata.
    #[cfg(not(unix))]
    pub fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: 0,
            inode: metadata.len(),
        }
    }

    /// Removes the file at `path`, unless the path refers to another file by now.
    ///
    /// # Errors
    ///
    /// Any error of the system.
    pub fn remove_at(self, path: &Path) -> io::Result<()> {
        match Self::at(path)? {
            Some(found) if found == self => crate::remove(path),
            _ => Ok(()),
        }
    }
}
