//! Downloads that resume. The server offers the files of a directory. The client continues where a
//! connection failed, and verifies the complete file.
//!
//! A request is the line `GET OFFSET NAME`. The response is the line `OK SIZE SHA256` and the bytes
//! from the offset on, or the line `ERR MESSAGE`.

use std::{
    io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use eepkit::{Address, ConnectError, Handler, Session, Stream};
use sha2::{Digest as _, Sha256};
use tokio::{
    fs::{self, File, OpenOptions},
    io::{
        AsyncBufReadExt as _, AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, BufReader,
    },
    time::{sleep, timeout},
};

/// Offers the files of a directory: a [`Handler`] for [`eepkit::serve`].
#[derive(Debug, Clone)]
pub struct Offer {
    directory: PathBuf,
}

impl Offer {
    /// Offers the regular files directly in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    async fn open(&self, name: &str) -> Result<File, &'static str> {
        let mut components = Path::new(name).components();
        let (Some(Component::Normal(name)), None) = (components.next(), components.next()) else {
            return Err("a name has no directories");
        };
        let path = self.directory.join(name);
        let is_file = fs::symlink_metadata(&path)
            .await
            .is_ok_and(|meta| meta.is_file());
        if !is_file {
            return Err("no such file");
        }
        File::open(path)
            .await
            .map_err(|_| "the file cannot be read")
    }
}

impl Handler for Offer {
    async fn handle(&self, stream: Stream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let line = read_line(&mut stream).await?;
        let mut words = line.splitn(3, ' ');
        let request = (
            words.next(),
            words.next().map(str::parse::<u64>),
            words.next(),
        );
        let (Some("GET"), Some(Ok(offset)), Some(name)) = request else {
            return stream
                .write_all(b"ERR the request is GET OFFSET NAME\n")
                .await;
        };
        let mut file = match self.open(name).await {
            Ok(file) => file,
            Err(why) => {
                stream.write_all(format!("ERR {why}\n").as_bytes()).await?;
                return stream.shutdown().await;
            }
        };
        let (size, digest) = digest(&mut file).await?;
        let head = format!("OK {size} {digest}\n");
        stream.write_all(head.as_bytes()).await?;
        file.seek(io::SeekFrom::Start(offset.min(size))).await?;
        tokio::io::copy(&mut file, &mut stream).await?;
        stream.shutdown().await
    }
}

/// The progress of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are stored.
    pub stored: u64,
    /// The size of the file in bytes.
    pub size: u64,
    /// The number of connections so far, including this one.
    pub connections: u32,
}

/// The reason why a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server cannot be reached, and another attempt would not change that.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused the request.
    #[error("the server refused the request: {0}")]
    Refused(String),
    /// The server does not use this protocol.
    #[error("the server answered with {0:?}, which is not this protocol")]
    Protocol(String),
    /// The digest of the received file differs from the announced one.
    #[error("the received file is damaged; it was deleted")]
    Damaged,
    /// The file cannot be stored.
    #[error("cannot store the file: {0}")]
    Store(#[source] io::Error),
    /// Too many consecutive connections transferred no data.
    #[error("{0} consecutive connections transferred no data; the last one ended with: {1}")]
    GaveUp(u32, String),
}

/// Downloads `name` from `server` into `target`. The received part is stored in a file beside it,
/// with `.part` appended. The next call continues from it.
///
/// # Errors
///
/// See [`FetchError`].
///
/// # Cancel safety
///
/// Dropping the future keeps the received part.
pub async fn fetch(
    session: &Session,
    server: &Address,
    name: &str,
    target: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<(), FetchError> {
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut connections = 0;
    let mut fruitless = 0;
    loop {
        let before = fs::metadata(&part).await.map_or(0, |meta| meta.len());
        connections += 1;
        let why = match session.connect(server.clone()).await {
            Ok(stream) => {
                let show = |stored, size| {
                    progress(Progress {
                        stored,
                        size,
                        connections,
                    });
                };
                match receive(stream, name, &part, before, show).await {
                    Ok(expected) => return finish(&part, target, &expected).await,
                    Err(Broken::For(error)) => return Err(error),
                    Err(Broken::ForNow(error)) => error.to_string(),
                }
            }
            Err(error) if error.kind().is_transient() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        let after = fs::metadata(&part).await.map_or(0, |meta| meta.len());
        fruitless = if after > before { 0 } else { fruitless + 1 };
        if fruitless == MAX_FRUITLESS {
            return Err(FetchError::GaveUp(fruitless, why));
        }
        sleep(PAUSE).await;
    }
}

enum Broken {
    /// Another connection may succeed.
    ForNow(io::Error),
    For(FetchError),
}

/// Receives the data after the first `offset` bytes. Returns the digest of the whole file.
async fn receive(
    stream: Stream,
    name: &str,
    part: &Path,
    offset: u64,
    mut show: impl FnMut(u64, u64),
) -> Result<String, Broken> {
    let store = |error| Broken::For(FetchError::Store(error));
    let mut stream = BufReader::new(stream);
    let request = format!("GET {offset} {name}\n");
    let asking = async {
        stream.write_all(request.as_bytes()).await?;
        read_line(&mut stream).await
    };
    let head = in_time(asking).await.map_err(Broken::ForNow)?;
    let (size, digest) = match head.split(' ').collect::<Vec<_>>()[..] {
        ["OK", size, digest] if size.parse::<u64>().is_ok() => (size.parse().unwrap_or(0), digest),
        ["ERR", ..] => {
            let why = head.trim_start_matches("ERR ").to_owned();
            return Err(Broken::For(FetchError::Refused(why)));
        }
        _ => return Err(Broken::For(FetchError::Protocol(head))),
    };
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .append(true)
        .open(part)
        .await
        .map_err(store)?;
    let mut stored = offset;
    let mut buffer = vec![0; BUFFER];
    show(stored, size);
    while stored < size {
        let read = in_time(stream.read(&mut buffer)).await;
        let bytes = match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        // The received data counts even if the connection fails now.
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                file.flush().await.map_err(store)?;
                return Err(Broken::ForNow(error));
            }
        };
        file.write_all(&buffer[..bytes]).await.map_err(store)?;
        stored += u64::try_from(bytes).unwrap_or(u64::MAX);
        show(stored, size);
    }
    file.flush().await.map_err(store)?;
    file.sync_all().await.map_err(store)?;
    Ok(digest.to_owned())
}

async fn finish(part: &Path, target: &Path, expected: &str) -> Result<(), FetchError> {
    let mut file = File::open(part).await.map_err(FetchError::Store)?;
    let (_, found) = digest(&mut file).await.map_err(FetchError::Store)?;
    if found != expected {
        fs::remove_file(part).await.map_err(FetchError::Store)?;
        return Err(FetchError::Damaged);
    }
    fs::rename(part, target).await.map_err(FetchError::Store)
}

/// Returns the size of a file and its SHA-256 in hexadecimal digits.
async fn digest(file: &mut File) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        let bytes = file.read(&mut buffer).await?;
        if bytes == 0 {
            break;
        }
        hash.update(&buffer[..bytes]);
        size += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
    let digits = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((size, digits))
}

async fn read_line(stream: &mut BufReader<Stream>) -> io::Result<String> {
    let mut line = String::new();
    (&mut *stream).take(MAX_LINE).read_line(&mut line).await?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the line does not end",
        )),
    }
}

/// Applies a time limit to a step, because a lost peer never sends anything again.
async fn in_time<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(STALL, step)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The maximum length of a line in bytes.
const MAX_LINE: u64 = 4096;
/// The number of bytes per read.
const BUFFER: usize = 64 * 1024;
/// The time after which an idle connection is closed. Chosen above the time that a stream needs to
/// migrate to another path.
const STALL: Duration = Duration::from_secs(90);
/// The pause between two connections.
const PAUSE: Duration = Duration::from_secs(2);
/// The number of consecutive connections without data after which the download fails.
const MAX_FRUITLESS: u32 = 10;
