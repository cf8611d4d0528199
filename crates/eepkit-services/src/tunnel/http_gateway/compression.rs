//! Compression of responses for the proxies of peers, with the encoding `x-i2p-gzip` of Java I2P.

use std::{
    io::Write as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE},
};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::web::body::{Body, BodyError};

/// Whether the proxy of a peer decompresses `x-i2p-gzip`.
pub(super) fn is_wanted(request: &HeaderMap) -> bool {
    let values = request.get_all("x-accept-encoding").iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_ours = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(CODING));
            let is_refused = parts.any(|part| matches!(part, "q=0" | "q=0.0"));
            is_ours && !is_refused
        })
}

/// Compresses the body of a response, if that is useful.
pub(super) fn compress(response: Response<Body>) -> Response<Body> {
    if !is_useful(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let coding = HeaderValue::from_static(CODING);
    parts.headers.insert(CONTENT_ENCODING, coding);
    let body = Compressed {
        inner: body,
        encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())),
        is_flushed: true,
    };
    Response::from_parts(parts, body.boxed_unsync())
}

fn is_useful(response: &Response<Body>) -> bool {
    let headers = response.headers();
    let has_content = !matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
    );
    let is_long = match response.body().size_hint().exact() {
        Some(length) => length >= MIN_LENGTH,
        None => true,
    };
    let is_text = headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().to_ascii_lowercase();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        let kind = kind.trim_ascii();
        kind.starts_with(b"text/")
            || TEXTS.contains(&kind)
            || kind.ends_with(b"+xml")
            || kind.ends_with(b"+json")
    });
    let keeps = headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.windows(12).any(|part| part == b"no-transform")
    });
    let is_whole = !headers.contains_key(CONTENT_ENCODING) && !headers.contains_key(CONTENT_RANGE);
    has_content && is_long && is_text && is_whole && !keeps
}

/// A body that is compressed while it is read. What has arrived is passed on when the rest has to be
/// waited for.
struct Compressed {
    inner: Body,
    /// `None` after the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Whether all that has arrived was passed on.
    is_flushed: bool,
}

impl Compressed {
    /// The compressed bytes that are ready.
    fn ready(encoder: &mut GzEncoder<Vec<u8>>) -> Option<Frame<Bytes>> {
        let bytes = std::mem::take(encoder.get_mut());
        (!bytes.is_empty()).then(|| Frame::data(Bytes::from(bytes)))
    }
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            let Some(encoder) = &mut this.encoder else {
                return Poll::Ready(None);
            };
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers concern the connection with the server.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    encoder.write_all(&data)?;
                    this.is_flushed = false;
                    if encoder.get_ref().len() >= CHUNK {
                        return Poll::Ready(Self::ready(encoder).map(Ok));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => {
                    let rest = this.encoder.take().map(GzEncoder::finish);
                    let rest = rest.transpose()?.unwrap_or_default();
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from(rest)))));
                }
                Poll::Pending if this.is_flushed => return Poll::Pending,
                Poll::Pending => {
                    encoder.flush()?;
                    this.is_flushed = true;
                    if let Some(frame) = Self::ready(encoder) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The encoding, which only proxies of I2P use.
const CODING: &str = "x-i2p-gzip";
/// The length in bytes from which a body is compressed. Source: Java I2P, whose limit is the content
/// of one message.
const MIN_LENGTH: u64 = 1300;
/// Types of text besides `text/*`.
const TEXTS: [&[u8]; 6] = [
    b"application/javascript",
    b"application/json",
    b"application/rss",
    b"application/x-javascript",
    b"application/xhtml",
    b"application/xml",
];
/// The size of a part that is passed on. Chosen as that of the pieces that are decompressed at a time.
const CHUNK: usize = 16 * 1024;
