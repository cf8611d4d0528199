//! What the headers of an HTTP message say about its connection and its length.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE},
};

/// Whether others could understand the length of a message in another way (RFC 9112, section 6.3).
/// hyper refuses lengths that are no numbers or differ, and codings of which the last is not
/// `chunked`.
pub(crate) fn is_ambiguous(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return false;
    };
    let is_chunked = coding
        .as_bytes()
        .trim_ascii()
        .eq_ignore_ascii_case(b"chunked");
    !is_chunked || codings.next().is_some() || headers.contains_key(CONTENT_LENGTH)
}

/// The protocol that a client wants to change to.
pub(crate) fn wanted_upgrade(headers: &HeaderMap) -> Option<&HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let is_wanted = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    is_wanted.then_some(protocol)
}

/// The headers that the connection header names.
pub(crate) fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect()
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Whether a version can change its protocol.
pub(crate) fn can_upgrade(version: Version) -> bool {
    version == Version::HTTP_11
}

/// Chosen as more than any site sends.
pub(crate) const MAX_HEADERS: usize = 128;
/// Source: the limit of Java's proxy for requests.
pub(crate) const MAX_HEADER_SIZE: usize = 64 * 1024;
/// The size of hyper's buffer. It must contain the largest header.
pub(crate) const MAX_BUFFER: usize = 2 * MAX_HEADER_SIZE;
