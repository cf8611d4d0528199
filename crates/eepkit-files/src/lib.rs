//! Files that survive crashes, full disks and other programs.
//!
//! All files that eepkit writes are written by this crate:
//!
//! * [`create`] and [`replace`] write a file under a temporary name in the same directory, flush it,
//!   rename it and flush the directory. After a crash, a power failure or an error, the path has
//!   either the old or the new content.
//! * [`create`] never replaces a file: of several programs that create one path at the same time,
//!   exactly one succeeds.
//! * [`Lock`] excludes other programs and removes its file at the end.
//! * [`Temporary`] is a file without a name.
//! * [`FileId`] detects that a path refers to another file than before, so that nothing of another
//!   program is removed.
//!
//! Each call of the operating system is an [`operation`]. With the feature `faults`, tests make any
//! of them fail: see `faults`.
//!
//! All functions block. Errors have the kind that the operating system reported.

#[cfg(feature = "faults")]
pub mod faults;
mod identity;
mod lock;
mod read;
mod temporary;
mod write;

use std::{fs, io, path::Path};

pub use self::{
    identity::FileId,
    lock::Lock,
    read::{exists, read, read_secret, read_text},
    temporary::Temporary,
    write::{create, replace, replace_with},
};

/// Makes a call of the operating system. Under test, the call may be replaced by a fault.
///
/// `name` describes the call in the list of operations that a test gets.
///
/// # Errors
///
/// The error of the call, or the injected one.
pub fn operation<T>(name: &'static str, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    #[cfg(feature = "faults")]
    faults::step(name)?;
    #[cfg(not(feature = "faults"))]
    let _: &str = name;
    call()
}

/// Creates a directory, and its parents, which only its owner can access. A directory that exists
/// keeps its permissions and owner.
///
/// # Errors
///
/// [`io::ErrorKind::PermissionDenied`] if the directory exists and every user can write to it,
/// because any user could then replace the files in it. [`io::ErrorKind::NotADirectory`] if the path
/// refers to something else.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    match operation("look at the directory", || fs::metadata(path)) {
        Ok(found) if !found.is_dir() => Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            "there is a file at this path that is not a directory",
        )),
        Ok(found) => refuse_writable_by_all(&found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            operation("create the directory", || builder.create(path))
        }
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn refuse_writable_by_all(directory: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    if directory.permissions().mode() & 0o002 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "every user can write to this directory, so that any of them could replace the files in it; \
         use chmod o-w, or choose another directory",
    ))
}

/// Does nothing: permissions are not a mode on this system.
#[cfg(not(unix))]
fn refuse_writable_by_all(_: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// Removes a file.
///
/// # Errors
///
/// Any error of the system.
pub fn remove(path: &Path) -> io::Result<()> {
    operation("remove", || fs::remove_file(path))
}

/// The permissions of a file as an octal number, if they allow users other than its owner to read
/// it. `None` if they do not, on systems whose permissions are not a mode, and if the file cannot be
/// examined.
pub fn mode_open_to_others(path: &Path) -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        let found = operation("look at the permissions", || fs::metadata(path)).ok()?;
        let mode = found.permissions().mode() & 0o7777;
        // A pipe or a terminal stores nothing.
        (found.is_file() && mode & 0o044 != 0).then_some(mode)
    }
    #[cfg(not(unix))]
    {
        let _: &Path = path;
        None
    }
}

#[cfg(test)]
mod tests;
