//! Headers: what a site receives of a request, and a program of a response.
//!
//! The headers of a request are written in one order and spelling, which do not depend on the
//! program: `Host`, the others by name, and the headers of the proxy. The tables below are the
//! source of the table in `docs/http-proxy.md`.

use std::fmt::Write as _;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{
        ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, REFERER,
        TRANSFER_ENCODING, UPGRADE, USER_AGENT,
    },
};

use super::HttpProxyConfig;
use crate::{
    user_agent::I2P_USER_AGENT,
    web::message::{nominated, wanted_upgrade},
};

/// What happens to a header of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// It is for the proxy, or concerns only the connection with it.
    Consumed,
    /// It differs from program to program, or names other sites.
    Dropped,
    /// It gets another value.
    Replaced,
    /// It passes unchanged.
    Passed,
}

impl Rule {
    /// The text in the documentation.
    const fn text(self) -> &'static str {
        match self {
            Self::Consumed => "not sent: it concerns the connection with the proxy",
            Self::Dropped => "dropped",
            Self::Replaced => "replaced",
            Self::Passed => "passed",
        }
    }
}

/// A row of the table of request headers. Names that end with `*` are prefixes. The first match
/// counts. All other headers pass.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) rule: Rule,
    pub(super) note: &'static str,
}

const fn row(name: &'static str, rule: Rule, note: &'static str) -> Row {
    Row { name, rule, note }
}

/// The rules for headers of requests.
pub(super) const REQUEST: &[Row] = &[
    row(
        "host",
        Rule::Replaced,
        "the base32 address of the destination, with the port unless it is 80; the requested name \
         with `send_host_name`",
    ),
    row(
        "user-agent",
        Rule::Replaced,
        "`MYOB/6.66 (AN/ON)`; unchanged with `send_user_agent`",
    ),
    row("accept-encoding", Rule::Passed, ""),
    row(
        "accept",
        Rule::Replaced,
        "one value for pages, images and style sheets each; others pass; unchanged with `send_accept`",
    ),
    row("accept-*", Rule::Dropped, "passed with `send_accept`"),
    row(
        "referer",
        Rule::Replaced,
        "path and query if it is of the same site, else dropped; unchanged with `send_referer`",
    ),
    row(
        "origin",
        Rule::Replaced,
        "the new `Host` if it is of the same site, else `null`; unchanged with `send_referer`",
    ),
    row(
        "authorization",
        Rule::Passed,
        "dropped for NTLM, Negotiate and Kerberos, which name the user's machine",
    ),
    row(
        "upgrade",
        Rule::Passed,
        "only with `Connection: upgrade`, for WebSocket",
    ),
    row(
        "connection",
        Rule::Replaced,
        "`keep-alive` for GET and HEAD, `upgrade`, or `close`; the headers that it names are dropped",
    ),
    row("keep-alive", Rule::Consumed, ""),
    row("proxy-*", Rule::Consumed, ""),
    row("te", Rule::Consumed, ""),
    row("trailer", Rule::Consumed, ""),
    row(
        "transfer-encoding",
        Rule::Replaced,
        "`chunked` if the length of the body is unknown",
    ),
    row(
        "expect",
        Rule::Consumed,
        "the proxy asks for the body itself",
    ),
    row("http2-settings", Rule::Consumed, ""),
    row(
        "tor-stream-isolation",
        Rule::Consumed,
        "it selects the destination",
    ),
    row("x-accept-encoding", Rule::Replaced, "the value of Java I2P"),
    row(
        "x-i2p-*",
        Rule::Dropped,
        "only the server's router may set them",
    ),
    row("x-eepkit-*", Rule::Dropped, ""),
    row("via", Rule::Dropped, ""),
    row("from", Rule::Dropped, ""),
    row("forwarded*", Rule::Dropped, ""),
    row("x-forwarded*", Rule::Dropped, ""),
    row("x-real-ip", Rule::Dropped, ""),
    row("x-client-ip", Rule::Dropped, ""),
    row("x-cluster-client-ip", Rule::Dropped, ""),
    row("client-ip", Rule::Dropped, ""),
    row("true-client-ip", Rule::Dropped, ""),
    row("cf-*", Rule::Dropped, ""),
    row(
        "x-requested-with",
        Rule::Passed,
        "only `XMLHttpRequest`, because others name an application",
    ),
    row("dnt", Rule::Dropped, ""),
    row("sec-gpc", Rule::Dropped, ""),
    row("sec-ch-*", Rule::Dropped, ""),
    row("device-memory", Rule::Dropped, ""),
    row("dpr", Rule::Dropped, ""),
    row("viewport-width", Rule::Dropped, ""),
    row("width", Rule::Dropped, ""),
    row("downlink", Rule::Dropped, ""),
    row("ect", Rule::Dropped, ""),
    row("rtt", Rule::Dropped, ""),
    row("save-data", Rule::Dropped, ""),
    row("alt-used", Rule::Dropped, "it names a host"),
];

/// The rules as a table in Markdown, for the documentation.
pub(super) fn markdown() -> String {
    let mut table =
        String::from("| header of a request | what happens | details |\n|---|---|---|\n");
    for Row { name, rule, note } in REQUEST {
        let _ = writeln!(table, "| `{name}` | {} | {note} |", rule.text());
    }
    table.push_str("| all others | passed | |\n");
    table
}

/// The rule for a header of a request, by its name in lower case.
fn rule_of(name: &str) -> (Rule, bool) {
    for row in REQUEST {
        let matches = match row.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => row.name == name,
        };
        if matches {
            return (row.rule, true);
        }
    }
    (Rule::Passed, false)
}

/// The site that a request goes to.
pub(super) struct Site<'a> {
    /// The host and the port of the URL, as a program writes them in `Referer` and `Origin`.
    pub(super) named: &'a str,
    /// The value of `Host`.
    pub(super) host: &'a str,
    /// Whether the request goes to an outproxy.
    pub(super) is_clearnet: bool,
}

/// The headers that a site receives.
pub(super) fn for_site(
    config: &HttpProxyConfig,
    method: &Method,
    given: &HeaderMap,
    site: &Site<'_>,
    body: Length,
) -> HeaderMap {
    let upgrade = wanted_upgrade(given);
    let nominated = nominated(given);
    let mut sorted: Vec<(&HeaderName, HeaderValue)> = Vec::with_capacity(given.len() + 4);
    for (name, value) in given {
        let is_first = sorted.last().is_none_or(|(last, _)| *last != name);
        match rule_of(name.as_str()).0 {
            Rule::Consumed | Rule::Dropped if !(config.send_accept && is_accept(name)) => {}
            // What the connection header names concerns only the connection with the proxy. It
            // must not remove what the proxy relies on.
            Rule::Passed if nominated.contains(name) && name != UPGRADE => {}
            _ => {
                let kept = match *name {
                    // These have one value each.
                    ACCEPT | REFERER | ORIGIN if !is_first => None,
                    _ => value_for(config, given, name, value, site, upgrade.is_some()),
                };
                sorted.extend(kept.map(|value| (name, value)));
            }
        }
    }
    sorted.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    let mut headers = HeaderMap::with_capacity(sorted.len() + 6);
    let host = HeaderValue::from_str(site.host);
    headers.insert(HOST, host.unwrap_or_else(|_| HeaderValue::from_static("")));
    for (name, value) in sorted {
        headers.append(name.clone(), value);
    }
    match body {
        Length::Empty => {}
        Length::Known(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Length::Unknown => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    if !site.is_clearnet {
        let value = HeaderValue::from_static(X_ACCEPT_ENCODING);
        headers.insert("x-accept-encoding", value);
    }
    if !config.send_user_agent {
        let value = match site.is_clearnet {
            true => CLEARNET_USER_AGENT,
            false => I2P_USER_AGENT,
        };
        headers.insert(USER_AGENT, HeaderValue::from_static(value));
    }
    let connection = match (
        upgrade.is_some(),
        *method == Method::GET || *method == Method::HEAD,
    ) {
        (true, _) => "upgrade",
        (false, true) => "keep-alive",
        (false, false) => "close",
    };
    headers.insert(CONNECTION, HeaderValue::from_static(connection));
    headers
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

/// The value of a header for the site, or `None` if it is not sent.
fn value_for(
    config: &HttpProxyConfig,
    given: &HeaderMap,
    name: &HeaderName,
    value: &HeaderValue,
    site: &Site<'_>,
    is_upgrade: bool,
) -> Option<HeaderValue> {
    let text = || value.to_str().unwrap_or_default();
    match *name {
        HOST | CONNECTION | TRANSFER_ENCODING | CONTENT_LENGTH => None,
        USER_AGENT => config.send_user_agent.then(|| value.clone()),
        ACCEPT if !config.send_accept => Some(accept(value)),
        REFERER if !config.send_referer => {
            referer(text(), site).and_then(|path| HeaderValue::from_str(path).ok())
        }
        ORIGIN if !config.send_referer => Some(origin(text(), site)),
        AUTHORIZATION => {
            let scheme = text().split(' ').next().unwrap_or_default();
            let names_machine = ["ntlm", "negotiate", "kerberos"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known));
            (!names_machine).then(|| value.clone())
        }
        UPGRADE => is_upgrade.then(|| value.clone()),
        _ if *name == "x-requested-with" => {
            let is_common = text().eq_ignore_ascii_case("XMLHttpRequest");
            is_common.then(|| value.clone())
        }
        _ if *name == "x-accept-encoding" => None,
        _ => {
            debug_assert!(given.contains_key(name));
            Some(value.clone())
        }
    }
}

fn is_accept(name: &HeaderName) -> bool {
    name.as_str().starts_with("accept-")
}

/// A common value for the kind of resource that a program expects. Source: Java's proxy, whose
/// users must not be told apart from ours.
fn accept(value: &HeaderValue) -> HeaderValue {
    let lower = value.as_bytes().to_ascii_lowercase();
    let contains = |word: &str| {
        lower
            .windows(word.len())
            .any(|window| window == word.as_bytes())
    };
    match (
        contains("text/html"),
        contains("text/css"),
        contains("image"),
    ) {
        (true, _, _) => HeaderValue::from_static(ACCEPT_PAGE),
        (false, false, true) => HeaderValue::from_static(ACCEPT_IMAGE),
        (false, true, false) => HeaderValue::from_static(ACCEPT_STYLE),
        _ => value.clone(),
    }
}

/// The path and query of a referer of the same site.
fn referer<'a>(text: &'a str, site: &Site<'_>) -> Option<&'a str> {
    let text = text.split('#').next().unwrap_or_default();
    if text.starts_with('/') && !text.starts_with("//") {
        return Some(text);
    }
    let rest = text.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    match is_same(authority, site.named) {
        true if path.starts_with('/') => Some(path),
        true => Some("/"),
        false => None,
    }
}

/// The origin for the site: its own, or none.
fn origin(text: &str, site: &Site<'_>) -> HeaderValue {
    let authority = text.strip_prefix("http://").unwrap_or_default();
    let own = format!("http://{}", site.host);
    match is_same(authority, site.named) {
        true => HeaderValue::from_str(&own).unwrap_or_else(|_| HeaderValue::from_static("null")),
        false => HeaderValue::from_static("null"),
    }
}

/// Whether two hosts with ports are the same.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix(":80").unwrap_or(&text).to_owned()
    };
    !one.is_empty() && plain(one) == plain(other)
}

/// The headers that a program receives of a response. `is_upgrade` is whether the protocol changes.
pub(super) fn for_program(headers: &mut HeaderMap, is_upgrade: bool) {
    let nominated = nominated(headers);
    let upgrade = headers.get(UPGRADE).cloned();
    for name in nominated {
        headers.remove(name);
    }
    let dropped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            RESPONSE
                .iter()
                .any(|dropped| match dropped.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => *dropped == name,
                })
        })
        .cloned()
        .collect();
    for name in dropped {
        headers.remove(name);
    }
    remove_wide_cookies(headers);
    if is_upgrade {
        headers.extend(upgrade.map(|protocol| (UPGRADE, protocol)));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Removes cookies that would be sent to other sites.
fn remove_wide_cookies(headers: &mut HeaderMap) {
    use http::header::SET_COOKIE;

    let is_wide = |value: &HeaderValue| {
        let lower = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        lower.split(';').skip(1).any(|attribute| {
            let Some((key, domain)) = attribute.split_once('=') else {
                return false;
            };
            let domain = domain.trim().trim_matches(['.', '"']);
            key.trim() == "domain" && ["i2p", "b32.i2p", "i2p.alt", "alt"].contains(&domain)
        })
    };
    let kept: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter(|value| !is_wide(value))
        .cloned()
        .collect();
    if kept.len() == headers.get_all(SET_COOKIE).iter().count() {
        return;
    }
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// Headers of responses that programs do not receive. Names that end with `*` are prefixes.
pub(super) const RESPONSE: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy*",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "alt-svc",
    "x-eepkit-*",
];

/// The request for an outproxy, whose target is the whole URL.
pub(super) fn absolute(host: &str, path: &str) -> Option<Uri> {
    format!("http://{host}{path}").parse().ok()
}

/// Chosen as that of Tor Browser, which most users of anonymous networks have.
pub(super) const CLEARNET_USER_AGENT: &str =
    "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0";
/// Source: Java's proxy.
pub(super) const X_ACCEPT_ENCODING: &str =
    "x-i2p-gzip;q=1.0, identity;q=0.5, deflate;q=0, gzip;q=0, *;q=0";
const ACCEPT_PAGE: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const ACCEPT_IMAGE: &str = "image/webp,image/apng,image/*,*/*;q=0.8";
const ACCEPT_STYLE: &str = "text/css,*/*;q=0.1";

#[cfg(test)]
mod tests;
