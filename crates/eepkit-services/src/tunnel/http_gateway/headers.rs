//! Headers: what the server receives of a request, and a peer of a response.

use std::fmt::Write as _;

use eepkit::Destination;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, HOST, REFERER, TRANSFER_ENCODING, UPGRADE, USER_AGENT},
};

use super::{GatewayConfig, Problem};
use crate::{
    user_agent::I2P_USER_AGENT,
    web::message::{nominated, wanted_upgrade},
};

/// Headers of requests that the server does not receive from the peer, and the reason. Names that end
/// with `*` are prefixes.
const REQUEST: &[(&str, &str)] = &[
    ("connection", CONNECTION_ONLY),
    ("keep-alive", CONNECTION_ONLY),
    ("proxy-*", CONNECTION_ONLY),
    ("te", CONNECTION_ONLY),
    ("trailer", CONNECTION_ONLY),
    ("transfer-encoding", CONNECTION_ONLY),
    ("expect", "the tunnel asks for the body itself"),
    ("http2-settings", CONNECTION_ONLY),
    (
        "x-accept-encoding",
        "it is for the tunnel, which compresses",
    ),
    ("x-i2p-*", "only the tunnel may set them"),
    ("x-forwarded*", UNVERIFIED),
    ("forwarded*", UNVERIFIED),
    ("x-real-ip", UNVERIFIED),
    ("x-client-ip", UNVERIFIED),
    ("x-cluster-client-ip", UNVERIFIED),
    ("client-ip", UNVERIFIED),
    ("true-client-ip", UNVERIFIED),
    ("cf-connecting-ip", UNVERIFIED),
];

/// Headers of responses that peers do not receive.
const RESPONSE: &[(&str, &str)] = &[
    ("connection", CONNECTION_ONLY),
    ("keep-alive", CONNECTION_ONLY),
    ("proxy*", CONNECTION_ONLY),
    ("te", CONNECTION_ONLY),
    ("trailer", CONNECTION_ONLY),
    ("transfer-encoding", CONNECTION_ONLY),
    ("date", "it shows the clock of the server"),
    ("server", SOFTWARE),
    ("x-powered-by", SOFTWARE),
    ("x-runtime", SOFTWARE),
    ("x-aspnet*", SOFTWARE),
    ("x-generator", SOFTWARE),
    ("x-served-by", SOFTWARE),
    ("via", SOFTWARE),
    ("alt-svc", "it names a host of the public Internet"),
    ("x-i2p-*", "they name a peer"),
];

const CONNECTION_ONLY: &str = "it concerns one connection";
const UNVERIFIED: &str = "a peer could pretend to be someone else";
const SOFTWARE: &str = "it names software";

/// The rules as a table in Markdown, for the documentation.
pub(crate) fn markdown() -> String {
    let mut table = String::from("| message | header | why it is dropped |\n|---|---|---|\n");
    for (message, rows) in [("request", REQUEST), ("response", RESPONSE)] {
        for (name, why) in rows {
            let _ = writeln!(table, "| {message} | `{name}` | {why} |");
        }
    }
    table
}

/// Whether a request comes from a peer or a page that the configuration refuses.
pub(super) fn refused(config: &GatewayConfig, headers: &HeaderMap) -> Option<Problem> {
    let is_forwarded = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-forwarded") || name.starts_with("forwarded")
    };
    if config.reject_inproxy && headers.keys().any(is_forwarded) {
        return Some(Problem::Inproxy);
    }
    let has_host = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.starts_with(b"//") || value.windows(3).any(|part| part == b"://")
    };
    if config.reject_referer && headers.get_all(REFERER).iter().any(has_host) {
        return Some(Problem::Referer);
    }
    let agent = headers
        .get(USER_AGENT)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let is_rejected = |text: &String| match agent {
        b"" => text == "none",
        agent => contains(agent, text.as_bytes()),
    };
    if agent != I2P_USER_AGENT.as_bytes() && config.reject_user_agents.iter().any(is_rejected) {
        return Some(Problem::UserAgent);
    }
    None
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// The length of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// There is no body, and no header about it.
    Empty,
    /// In bytes.
    Known(u64),
    /// It is sent in chunks.
    Unknown,
}

/// The headers that the server receives.
pub(super) fn for_target(
    config: &GatewayConfig,
    given: &HeaderMap,
    peer: &Destination,
    port: u16,
    length: Length,
) -> HeaderMap {
    let upgrade = wanted_upgrade(given).cloned();
    let nominated = nominated(given);
    let mut headers = HeaderMap::with_capacity(given.len() + 6);
    for (name, value) in given {
        let is_kept = !matches!(*name, UPGRADE | CONTENT_LENGTH)
            && !matches(REQUEST, name)
            // A header that the peer names here must not remove what the server relies on.
            && (*name == HOST || !nominated.contains(name));
        if is_kept {
            headers.append(name.clone(), value.clone());
        }
    }
    let host = config.hosts.of(port).or(config.host.as_deref());
    if let Some(Ok(host)) = host.map(HeaderValue::from_str) {
        headers.insert(HOST, host);
    }
    match length {
        Length::Empty => {}
        Length::Known(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Length::Unknown => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    if config.peer_headers {
        let hash = peer.hash();
        for (name, value) in [
            ("x-i2p-desthash", hash.to_base64()),
            ("x-i2p-destb64", peer.to_base64()),
            ("x-i2p-destb32", hash.to_b32()),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    headers
}

/// Removes the headers of a response that a peer does not receive.
pub(super) fn for_peer(headers: &mut HeaderMap, is_upgrade: bool) {
    let upgrade = headers.get(UPGRADE).cloned();
    for name in nominated(headers) {
        headers.remove(name);
    }
    headers.remove(UPGRADE);
    let dropped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| matches(RESPONSE, name))
        .cloned()
        .collect();
    for name in dropped {
        headers.remove(name);
    }
    if is_upgrade {
        headers.extend(upgrade.map(|protocol| (UPGRADE, protocol)));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

fn matches(rows: &[(&str, &str)], name: &HeaderName) -> bool {
    rows.iter().any(|(row, _)| match row.strip_suffix('*') {
        Some(prefix) => name.as_str().starts_with(prefix),
        None => *row == name.as_str(),
    })
}
