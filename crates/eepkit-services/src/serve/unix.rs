//! Files of Unix sockets.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use eepkit_files::operation;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// Binds a socket to which only the user of this process can connect.
///
/// An unused socket file is replaced. Any other file is an error.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = operation("make a socket", || {
        Socket::new(Domain::UNIX, Type::STREAM, None)
    })?;
    let address = SockAddr::unix(path)?;
    operation("bind", || socket.bind(&address))?;
    let bound = operation("look at the socket", || fs::symlink_metadata(path))?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: Identity::of(&bound),
    };
    // Clients can connect only after `listen`.
    operation("set the permissions", || {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
    })?;
    operation("listen", || socket.listen(BACKLOG))?;
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// Removes an unused socket file.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Some(found) = metadata(path)? else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file at this path that is not a socket",
        ));
    }
    if is_in_use(path)? {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another program listens there",
        ));
    }
    // Another process may have replaced the file since it was checked. It removes and binds within
    // microseconds, so this race is unlikely.
    match metadata(path)? {
        Some(now) if Identity::of(&now) == Identity::of(&found) => eepkit_files::remove(path),
        Some(_) => Err(io::ErrorKind::AddrInUse.into()),
        None => Ok(()),
    }
}

fn metadata(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match operation("look at the file", || fs::symlink_metadata(path)) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a process may be listening on a socket file. Only a refused connection proves that no
/// process listens. A full queue, a socket of another type and a lack of permission do not.
fn is_in_use(path: &Path) -> io::Result<bool> {
    let socket = operation("make a socket", || {
        Socket::new(Domain::UNIX, Type::STREAM, None)
    })?;
    // With a full queue, a blocking connect would wait.
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    match operation("connect", || socket.connect(&address)) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        _ => Ok(true),
    }
}

/// The file of a bound socket. Dropping it removes the file, unless the path refers to another file
/// by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = matches!(
            metadata(&self.path),
            Ok(Some(found)) if Identity::of(&found).is_same_file(self.identity)
        );
        if is_ours {
            // Another process may have removed it already.
            let _ = eepkit_files::remove(&self.path);
        }
    }
}

/// The identity of a file, to distinguish it from others at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    /// Inode numbers of removed files are reused. The time of the last change distinguishes such
    /// files.
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Permissions and names of a file may change, which changes its change time.
    fn is_same_file(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// The number of clients that wait to be accepted. Chosen as in the standard library.
const BACKLOG: i32 = 128;

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use eepkit_files::faults;

    use super::*;

    fn dir() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("service.sock");
        (dir, path)
    }

    fn refused(path: &Path) -> io::ErrorKind {
        bind(path).map(drop).expect_err("refused").kind()
    }

    #[tokio::test]
    async fn only_the_owner_can_connect_and_the_file_is_removed_with_the_socket() {
        let (_dir, path) = dir();
        let (_listener, file) = bind(&path).expect("free");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(&path).expect("it listens");
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn an_unused_socket_file_is_replaced() {
        let (_dir, path) = dir();
        drop(std::os::unix::net::UnixListener::bind(&path).expect("free"));
        assert!(path.exists(), "left over");
        let (_listener, _file) = bind(&path).expect("replaced");
        UnixStream::connect(&path).expect("it listens");
    }

    #[tokio::test]
    async fn a_socket_file_in_use_is_kept_even_with_a_full_queue() {
        let (_dir, path) = dir();
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket
            .bind(&SockAddr::unix(&path).expect("a path"))
            .expect("free");
        socket.listen(0).expect("bound");
        let _waiting = UnixStream::connect(&path).expect("it listens");
        for _ in 0..3 {
            assert_eq!(refused(&path), io::ErrorKind::AddrInUse);
        }
        assert!(path.exists());
    }

    #[tokio::test]
    async fn other_files_are_never_replaced() {
        let (dir, path) = dir();
        fs::write(&path, "notes").expect("written");
        assert_eq!(refused(&path), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("kept"), "notes");

        let directory = dir.path().join("directory");
        fs::create_dir(&directory).expect("made");
        assert_eq!(refused(&directory), io::ErrorKind::AlreadyExists);

        // A symbolic link is not followed, because its target may be anything.
        let stale = dir.path().join("stale");
        drop(std::os::unix::net::UnixListener::bind(&stale).expect("free"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&stale, &link).expect("made");
        assert_eq!(refused(&link), io::ErrorKind::AlreadyExists);

        let datagrams = dir.path().join("datagrams");
        let _socket = UnixDatagram::bind(&datagrams).expect("free");
        assert_eq!(refused(&datagrams), io::ErrorKind::AddrInUse);
        for kept in [directory, link, stale, datagrams] {
            assert!(fs::symlink_metadata(&kept).is_ok(), "{}", kept.display());
        }
    }

    #[tokio::test]
    async fn a_fault_at_any_point_neither_removes_a_used_socket_nor_prevents_the_next_start() {
        for used in [false, true] {
            faults::at_every_point(
                || {
                    let (dir, path) = dir();
                    let listener = std::os::unix::net::UnixListener::bind(&path).expect("free");
                    (dir, path, used.then_some(listener))
                },
                |(_, path, _)| bind(path).map(drop),
                |(_, path, _), result, fault| {
                    if used {
                        result.expect_err("another program listens there");
                        UnixStream::connect(path).expect("it still listens");
                    } else {
                        drop(bind(path).unwrap_or_else(|error| panic!("{fault:?}: {error}")));
                        assert!(!path.exists(), "{fault:?}");
                    }
                },
            );
        }
    }

    #[tokio::test]
    async fn a_fault_at_any_point_does_not_remove_the_file_of_somebody_else() {
        faults::at_every_point(
            || {
                let (dir, path) = dir();
                fs::write(&path, "notes").expect("written");
                (dir, path)
            },
            |(_, path)| bind(path).map(drop),
            |(_, path), result, fault| {
                result.expect_err("not a socket");
                let found = fs::read_to_string(path).expect("kept");
                assert_eq!(found, "notes", "{fault:?}");
            },
        );
    }

    #[tokio::test]
    async fn a_file_that_replaced_the_socket_is_kept() {
        let (_dir, path) = dir();
        let (_listener, file) = bind(&path).expect("free");
        let moved = path.with_extension("moved");
        fs::rename(&path, &moved).expect("moved");
        fs::write(&path, "notes").expect("written");
        drop(file);
        assert_eq!(fs::read_to_string(&path).expect("kept"), "notes");
    }
}
