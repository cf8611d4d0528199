//! The sections and keys that an import writes.

use super::draft::quoted;

pub(super) const CLIENT: &str = "client-tunnel";
pub(super) const SERVER: &str = "server-tunnel";
pub(super) const HTTP_PROXY: &str = "http-proxy";
pub(super) const HTTP_SERVER: &str = "http-server-tunnel";
pub(super) const SOCKS: &str = "socks";
pub(super) const IRC_CLIENT: &str = "irc-client";
pub(super) const IRC_SERVER: &str = "irc-server";
pub(super) const UDP_CLIENT: &str = "udp-client";
pub(super) const UDP_SERVER: &str = "udp-server";
pub(super) const STREAMR_CLIENT: &str = "streamr-client";
pub(super) const STREAMR_SERVER: &str = "streamr-server";

/// Whether tunnels of a kind have a destination to which peers connect.
pub(super) fn is_server(kind: &str) -> bool {
    matches!(
        kind,
        SERVER | HTTP_SERVER | IRC_SERVER | UDP_SERVER | STREAMR_SERVER
    )
}

/// Whether tunnels of a kind are proxies.
pub(super) fn is_proxy(kind: &str) -> bool {
    matches!(kind, HTTP_PROXY | SOCKS)
}

/// Settings of Java I2P's HTTP servers, and the keys that they become.
pub(super) const JAVA_HTTP_SERVER: &[(&str, &str, Form)] = &[
    ("rejectInproxy", "reject_inproxy", Form::Flag),
    ("rejectReferer", "reject_referer", Form::Flag),
    ("userAgentRejectList", "reject_user_agents", Form::List),
    ("maxPosts", "max_posts", Form::Count),
    ("maxTotalPosts", "max_total_posts", Form::Count),
    ("postCheckTime", "post_window", Form::Seconds),
    ("postBanTime", "post_ban", Form::Seconds),
    ("postTotalBanTime", "post_total_ban", Form::Seconds),
];

/// How a value of Java I2P becomes one of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Flag,
    Count,
    Seconds,
    List,
}

impl Form {
    /// The value in the syntax of TOML; `None` if it is off.
    pub(super) fn value(self, text: &str) -> Option<String> {
        let count = || text.parse::<u32>().ok().filter(|count| *count > 0);
        match self {
            Self::Flag => Some(text.eq_ignore_ascii_case("true").to_string()),
            Self::Count => count().map(|count| count.to_string()),
            Self::Seconds => count().map(|seconds| quoted(&format!("{seconds}s"))),
            Self::List => {
                let words = text
                    .split(',')
                    .map(str::trim)
                    .filter(|word| !word.is_empty());
                Some(format!(
                    "[{}]",
                    words.map(quoted).collect::<Vec<_>>().join(", ")
                ))
            }
        }
    }
}
