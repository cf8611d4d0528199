//! A web site made of the files of a folder.
//!
//! [`Site`] answers `GET` and `HEAD` with the files of a folder: with ranges, conditional requests
//! and `index.html` for directories. Answers contain neither a date nor the name of a program.
//!
//! Only files in the folder are published. Names that begin with a dot are not, nor are symbolic
//! links that lead out of the folder. A program that may change the folder while it is published
//! can still publish any file that this process can read.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use eepkit_services::site::{MAX_CONNECTIONS, Site};
//!
//! let router = eepkit::Router::attach("i2cp://127.0.0.1:7654")?;
//! let session = router.session().open().await?;
//! let site = Site::open("public")?;
//! println!("http://{}/", session.destination().to_b32());
//! let server = eepkit::serve(session.listen(0)?, site)
//!     .max_streams(MAX_CONNECTIONS)
//!     .start();
//! server.finished().await;
//! # Ok(())
//! # }
//! ```

mod path;
mod service;

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use eepkit::{Handler, Stream};
use eepkit_wire::Hash;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower_http::services::ServeDir;
use tower_service::Service as _;

pub use self::service::{SiteConfig, SiteServer};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A web site made of the files of a folder: a [`Handler`] of [`eepkit::serve`].
#[derive(Debug, Clone)]
pub struct Site {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The canonical path of the folder.
    root: PathBuf,
    files: ServeDir,
    /// Connections end after their current request.
    closing: CancellationToken,
    /// The number of connections of each peer.
    peers: Mutex<HashMap<Hash, usize>>,
}

/// The folder of a [`Site`] cannot be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The folder cannot be read.
    #[error("cannot publish {}: {error}", path.display())]
    Read {
        /// The path as it was given.
        path: PathBuf,
        /// The reason.
        #[source]
        error: io::Error,
    },
    /// The path does not lead to a folder.
    #[error("cannot publish {}: it is not a folder", .0.display())]
    NotAFolder(PathBuf),
}

impl Site {
    /// Prepares to publish a folder.
    ///
    /// # Errors
    ///
    /// [`SiteError`] if the path does not lead to a folder that can be read.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, SiteError> {
        let path = root.as_ref();
        let read = |error| SiteError::Read {
            path: path.to_owned(),
            error,
        };
        let root = path.canonicalize().map_err(read)?;
        if !root.is_dir() {
            return Err(SiteError::NotAFolder(path.to_owned()));
        }
        // The permission to list the folder is not needed later, but its lack is an oversight.
        std::fs::read_dir(&root).map_err(read)?;
        Ok(Self {
            shared: Arc::new(Shared {
                files: ServeDir::new(&root),
                root,
                closing: CancellationToken::new(),
                peers: Mutex::default(),
            }),
        })
    }

    /// Whether the folder has a start page, `index.html`.
    pub fn has_start_page(&self) -> bool {
        self.shared.root.join("index.html").is_file()
    }

    /// Counts a connection of a peer, unless it has too many.
    fn place(&self, peer: Hash) -> Option<Place> {
        let mut peers = self.shared.peers();
        let count = peers.entry(peer).or_default();
        if *count >= MAX_PEER_CONNECTIONS {
            return None;
        }
        *count += 1;
        Some(Place {
            peer,
            shared: self.shared.clone(),
        })
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let head = request.method() == Method::HEAD;
        if !head && request.method() != Method::GET {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, false);
            let methods = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, methods);
            return Ok(response);
        }
        let root = self.shared.root.clone();
        let target = request.uri().path().to_owned();
        // The file system may block.
        let published = tokio::task::spawn_blocking(move || path::is_published(&root, &target));
        if !published.await.unwrap_or(false) {
            return Ok(plain(StatusCode::NOT_FOUND, head));
        }
        let result = self.shared.files.clone().call(request).await;
        let response = result.unwrap_or_else(|never| match never {});
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let mut error = plain(status, head);
            keep(
                response.headers(),
                error.headers_mut(),
                header::CONTENT_RANGE,
            );
            return Ok(error);
        }
        Ok(response.map(BodyExt::boxed_unsync))
    }
}

/// Streams of one peer beyond 16 are reset.
impl Handler for Site {
    async fn handle(&self, stream: Stream) -> io::Result<()> {
        let Some(_place) = self.place(stream.peer().hash()) else {
            return Err(io::Error::other("the peer has too many streams"));
        };
        // A peer that does not read must not occupy a place for ever.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(STALL_TIMEOUT));
        let io = TokioIo::new(Box::pin(stream));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .auto_date_header(false)
            // A peer may close its direction after the request, as netcat does.
            .half_close(true)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(io, service_fn(|request| self.respond(request)));
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.shared.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        result.map_err(io::Error::other)
    }

    async fn shutdown(&self) {
        self.shared.closing.cancel();
    }
}

impl Shared {
    fn peers(&self) -> std::sync::MutexGuard<'_, HashMap<Hash, usize>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is counted.
#[derive(Debug)]
struct Place {
    peer: Hash,
    shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = self.shared.peers();
        if let Some(count) = peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

/// An answer that consists of the name of its status.
fn plain(status: StatusCode, head: bool) -> Response<Body> {
    let text = match status.canonical_reason() {
        Some(reason) => format!("{} {reason}\n", status.as_str()),
        None => format!("{}\n", status.as_str()),
    };
    let length = HeaderValue::from(text.len());
    let body = if head {
        Bytes::new()
    } else {
        Bytes::from(text)
    };
    let mut response = Response::new(
        Full::new(body)
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

fn keep(from: &HeaderMap, to: &mut HeaderMap, name: header::HeaderName) {
    if let Some(value) = from.get(&name) {
        to.insert(name, value.clone());
    }
}

/// The connections to serve at the same time by default. Chosen because each takes buffers of up to
/// 64 KiB.
pub const MAX_CONNECTIONS: usize = 256;
/// Connections of one peer. Chosen above the six connections that browsers open per host.
const MAX_PEER_CONNECTIONS: usize = 16;
/// The longest time without a complete request. Chosen because round trips take seconds, and a user
/// reads a page for longer than a connection needs to stay open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// The longest time in which a peer takes nothing of an answer. Chosen above the time that a stream
/// needs to notice that its peer has vanished.
const STALL_TIMEOUT: Duration = Duration::from_secs(240);
/// Header fields of a request. Chosen because browsers send about fifteen.
const MAX_HEADERS: usize = 64;
/// Bytes of the head of a request, and of buffers. Chosen as twice the 16 KiB of the usual servers.
const MAX_HEAD: usize = 32 * 1024;
