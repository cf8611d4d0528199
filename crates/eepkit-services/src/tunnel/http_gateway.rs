//! Passes the HTTP requests of peers to a local web server, and filters both directions.
//!
//! hyper parses each message and writes a new one, so that nothing of the framing of one side reaches
//! the other. `docs/tunnels.md` has what happens to headers.

mod compression;
mod headers;
mod hosts;
mod posts;
mod visit;

use std::{sync::Arc, time::Duration};

use eepkit::Stream;
use http::{Method, StatusCode};

use self::posts::{Posts, PostsConfig};
pub(crate) use self::{headers::markdown, hosts::PortHosts};
use super::incoming::Incoming;
use crate::options::{Access, Flag, Opt};

/// What a gateway changes and refuses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GatewayConfig {
    pub(crate) host: Option<String>,
    pub(crate) hosts: PortHosts,
    pub(crate) compress: bool,
    pub(crate) peer_headers: bool,
    pub(crate) reject_inproxy: bool,
    pub(crate) reject_referer: bool,
    pub(crate) reject_user_agents: Vec<String>,
    pub(crate) posts: PostsConfig,
    pub(crate) response_timeout: Duration,
}

impl GatewayConfig {
    /// The defaults: nothing is refused.
    pub(crate) fn new() -> Self {
        Self {
            host: None,
            hosts: PortHosts::default(),
            compress: true,
            peer_headers: true,
            reject_inproxy: false,
            reject_referer: false,
            reject_user_agents: Vec::new(),
            posts: PostsConfig::new(),
            response_timeout: RESPONSE_TIMEOUT,
        }
    }

    /// Checks the combination of options.
    ///
    /// # Errors
    ///
    /// A sentence that describes the conflict.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if let Some(host) = &self.host {
            hosts::check_host(host).map_err(|why| format!("host {why}"))?;
        }
        self.hosts.validate()
    }
}

/// A gateway to the targets of a tunnel.
pub(crate) struct Gateway {
    config: GatewayConfig,
    posts: Posts,
}

impl Gateway {
    pub(crate) fn new(config: GatewayConfig) -> Self {
        Self {
            posts: Posts::new(config.posts.clone()),
            config,
        }
    }

    /// Serves the requests of a stream. A stream to port 443 carries TLS, and reaches only a target
    /// of its own, unchanged.
    pub(crate) async fn serve(&self, tunnel: &Arc<Incoming>, stream: Stream) {
        match stream.local_port() {
            HTTPS if tunnel.has_target_for(HTTPS) => tunnel.join(stream).await,
            HTTPS => stream.reset(),
            _ => visit::serve(self, tunnel, stream).await,
        }
    }

    /// Answers a stream that is one too many.
    pub(crate) async fn refuse(&self, stream: Stream) {
        match stream.local_port() {
            HTTPS => stream.reset(),
            _ => visit::refuse(stream).await,
        }
    }
}

/// Why a request is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    /// The request is not valid, or others could understand it in another way.
    BadRequest,
    /// The request is for a proxy.
    NotAProxy,
    /// The request comes from a proxy that is reachable from the public Internet.
    Inproxy,
    /// The request comes from a page of another site.
    Referer,
    /// The program of the peer is not welcome.
    UserAgent,
    /// Too many uploads, for this time to come.
    TooManyPosts(Duration),
    /// The server cannot be reached.
    Down,
    /// The server did not answer in time.
    Slow,
    /// The answer of the server is not valid, or incomplete.
    BadResponse,
}

impl Problem {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NotAProxy => StatusCode::METHOD_NOT_ALLOWED,
            Self::Inproxy | Self::Referer | Self::UserAgent => StatusCode::FORBIDDEN,
            Self::TooManyPosts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Down => StatusCode::SERVICE_UNAVAILABLE,
            Self::Slow => StatusCode::GATEWAY_TIMEOUT,
            Self::BadResponse => StatusCode::BAD_GATEWAY,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not valid.\n",
            Self::NotAProxy => "This is not a proxy.\n",
            Self::Inproxy => "This site is not available over proxies of the public Internet.\n",
            Self::Referer => "This site cannot be reached by links of other sites.\n",
            Self::UserAgent => "This site is not available for this program.\n",
            Self::TooManyPosts(_) => "Too many uploads. Try again later.\n",
            Self::Down => "The web server of this site is down.\n",
            Self::Slow => "The web server of this site did not answer in time.\n",
            Self::BadResponse => "The web server of this site sent no valid answer.\n",
        }
    }
}

/// Whether a request uploads something.
fn is_upload(method: &Method) -> bool {
    *method == Method::POST || *method == Method::PUT
}

pub(crate) const fn host<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "host",
        access,
        "The Host header that the server receives.\n\
         Default: the one of the request, which a peer can choose.",
    )
    .example("\"www.example.i2p\"")
    .flag(Flag::new("host", "HOST"))
}

pub(crate) const fn hosts<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "hosts",
        access,
        "Host headers by port of the destination.\n\
         Requests to other ports get host.",
    )
    .example("{ 81 = \"forum.example.i2p\" }")
}

pub(crate) const fn compress<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "compress",
        access,
        "Whether texts are compressed for peers whose proxy accepts x-i2p-gzip.\n\
         What the server has compressed passes unchanged.",
    )
}

pub(crate) const fn peer_headers<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "peer_headers",
        access,
        "Whether requests get X-I2P-DestHash, X-I2P-DestB32 and X-I2P-DestB64, the destination of the peer.\n\
         Those of the peer itself are dropped in any case.",
    )
}

pub(crate) const fn reject_inproxy<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "reject_inproxy",
        access,
        "Refuse requests with Forwarded or X-Forwarded headers, which proxies to the public Internet add.",
    )
}

pub(crate) const fn reject_referer<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "reject_referer",
        access,
        "Refuse requests whose Referer is a URL with a host.\n\
         Proxies of I2P send the path only.",
    )
}

pub(crate) const fn reject_user_agents<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "reject_user_agents",
        access,
        "Refuse requests whose User-Agent contains one of these texts; none stands for a missing one.\n\
         The User-Agent of proxies of I2P is always accepted.",
    )
}

pub(crate) const fn max_posts<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "max_posts",
        access,
        "Maximum number of POST and PUT requests of one peer in post_window.\n\
         Default: no limit.",
    )
    .example("6")
}

pub(crate) const fn max_total_posts<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "max_total_posts",
        access,
        "Maximum number of POST and PUT requests of all peers in post_window.\n\
         Default: no limit.",
    )
    .example("20")
}

pub(crate) const fn post_window<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "post_window",
        access,
        "The time in which POST and PUT requests are counted.",
    )
}

pub(crate) const fn post_ban<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "post_ban",
        access,
        "How long the uploads of a peer that exceeds max_posts are refused.",
    )
}

pub(crate) const fn post_total_ban<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "post_total_ban",
        access,
        "How long all uploads are refused after max_total_posts was exceeded.",
    )
}

pub(crate) const fn response_timeout<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "response_timeout",
        access,
        "Maximum time to wait for the answer of the server, from the last byte of the request.",
    )
}

/// The port of HTTPS, whose content cannot be filtered.
const HTTPS: u16 = 443;
/// Source: the default of Java's tunnels.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(300);
