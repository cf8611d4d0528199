//! Bodies of requests and responses.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_compression::tokio::bufread::GzipDecoder;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, sleep_until};
use tokio_util::io::{ReaderStream, StreamReader};

/// A body of any kind.
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The reason why a body ended early.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body in memory.
pub(crate) fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// The body of a request while it is sent to a site. Reports its progress.
pub(crate) fn upload(body: Incoming, progress: &Progress) -> Body {
    let progress = progress.clone();
    Upload {
        inner: body,
        progress,
    }
    .boxed_unsync()
}

/// The body of a response while it is sent to a program. Sets `failed` if it ends early, and `abandoned`
/// if the program does not read all of it.
pub(crate) fn download(
    body: Incoming,
    failed: &Arc<AtomicBool>,
    abandoned: Arc<AtomicBool>,
) -> Body {
    Download {
        has_ended: body.is_end_stream(),
        inner: body,
        failed: failed.clone(),
        abandoned,
    }
    .boxed_unsync()
}

/// The content of a body that is compressed with gzip. It is decompressed in small pieces as the
/// program reads them, so that a small response that becomes a large one takes no memory.
pub(crate) fn gunzip(body: Body, failed: &Arc<AtomicBool>) -> Body {
    let reader = StreamReader::new(body.into_data_stream().map_err(std::io::Error::other));
    let mut decoder = GzipDecoder::new(reader);
    decoder.multiple_members(true);
    let frames = ReaderStream::with_capacity(decoder, CHUNK).map_ok(Frame::data);
    let failed = failed.clone();
    let frames = frames.map_err(move |error| {
        failed.store(true, Ordering::Relaxed);
        BodyError::from(error)
    });
    StreamBody::new(frames).boxed_unsync()
}

/// When the last part of a body was read.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there was no progress for `limit`.
    pub(crate) async fn stalled(&self, limit: Duration) {
        loop {
            let deadline = self.last() + limit;
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

struct Upload {
    inner: Incoming,
    progress: Progress,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_ready() {
            self.progress.set();
        }
        polled.map_err(BodyError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

struct Download {
    inner: Incoming,
    has_ended: bool,
    failed: Arc<AtomicBool>,
    abandoned: Arc<AtomicBool>,
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.has_ended = true,
            Poll::Ready(Some(Err(_))) => self.failed.store(true, Ordering::Relaxed),
            Poll::Ready(Some(Ok(_))) => self.has_ended = self.inner.is_end_stream(),
            Poll::Pending => {}
        }
        polled.map_err(BodyError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.has_ended {
            self.abandoned.store(true, Ordering::Relaxed);
        }
    }
}

/// The size of a piece of decompressed content.
const CHUNK: usize = 16 * 1024;
