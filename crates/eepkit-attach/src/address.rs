//! The common part of the textual addresses of routers.

use std::net::{Ipv4Addr, SocketAddr};

#[cfg(feature = "tls")]
use crate::transport::Trust;

/// The prefixes of one kind of address.
pub(super) struct Scheme {
    /// TCP.
    pub(super) plain: &'static str,
    /// TLS.
    pub(super) secure: &'static str,
    /// A Unix socket. Its path follows.
    pub(super) unix: &'static str,
    pub(super) default_port: u16,
}

/// The parts of an address.
pub(super) enum Parts<'a> {
    #[cfg(unix)]
    Unix(&'a str),
    Socket(Socket<'a>),
}

/// `[USER:PASSWORD@]HOST[:PORT][/][?KEY=VALUE[&KEY=VALUE]...]`
pub(super) struct Socket<'a> {
    pub(super) at: SocketAddr,
    /// The trusted certificates, if the connection uses TLS.
    #[cfg(feature = "tls")]
    pub(super) trust: Option<Trust>,
    pub(super) login: Option<(&'a str, &'a str)>,
    /// Everything except `certificate`. No value is empty.
    pub(super) query: Vec<(&'a str, &'a str)>,
}

impl Scheme {
    pub(super) fn parse<'a>(&self, text: &'a str) -> Result<Parts<'a>, RouterAddressError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix(self.unix) {
            return unix(path);
        }
        let (secure, rest) = match (
            text.strip_prefix(self.plain),
            text.strip_prefix(self.secure),
        ) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(RouterAddressError::Form),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (
                Some(login.split_once(':').ok_or(RouterAddressError::Form)?),
                place,
            ),
            None => (None, rest),
        };
        let at = socket_address(place, self.default_port)?;
        let mut certificate = None;
        let mut others = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((_, "")) | None => return Err(RouterAddressError::Form),
                Some(("certificate", file)) if secure => certificate = Some(file),
                Some(pair) => others.push(pair),
            }
        }
        let trust = match secure {
            true => Some(trust(certificate)?),
            false => None,
        };
        #[cfg(not(feature = "tls"))]
        let _: Option<std::convert::Infallible> = trust;
        Ok(Parts::Socket(Socket {
            at,
            #[cfg(feature = "tls")]
            trust,
            login,
            query: others,
        }))
    }
}

#[cfg(unix)]
fn unix(path: &str) -> Result<Parts<'_>, RouterAddressError> {
    match path {
        "" => Err(RouterAddressError::Form),
        path => Ok(Parts::Unix(path)),
    }
}

#[cfg(not(unix))]
fn unix(_: &str) -> Result<Parts<'_>, RouterAddressError> {
    Err(RouterAddressError::Unsupported("Unix sockets"))
}

#[cfg(feature = "tls")]
fn trust(certificate: Option<&str>) -> Result<Trust, RouterAddressError> {
    match certificate {
        None => Ok(Trust::OnLoopback),
        Some(file) => Ok(Trust::from_file(file)?),
    }
}

#[cfg(not(feature = "tls"))]
fn trust(_: Option<&str>) -> Result<std::convert::Infallible, RouterAddressError> {
    Err(RouterAddressError::Unsupported("TLS"))
}

/// Parses `HOST:PORT`, or `HOST` with the default port.
fn socket_address(place: &str, default_port: u16) -> Result<SocketAddr, RouterAddressError> {
    if let Ok(at) = place.parse() {
        return Ok(at);
    }
    if let Ok(ip) = place.trim_start_matches('[').trim_end_matches(']').parse() {
        return Ok(SocketAddr::new(ip, default_port));
    }
    let (host, port) = place.rsplit_once(':').unwrap_or((place, ""));
    let port = match port {
        "" => default_port,
        text => self::port(text)?,
    };
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    Err(if host.is_empty() {
        RouterAddressError::Form
    } else {
        RouterAddressError::Host(shown(host))
    })
}

/// Parses a port.
pub(super) fn port(text: &str) -> Result<u16, RouterAddressError> {
    text.parse()
        .map_err(|_| RouterAddressError::Port(shown(text)))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// The reason why a text is not the address of a router. Contains no password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterAddressError {
    /// The text does not have the form of an address.
    #[error(
        "an address is i2cp://HOST:PORT, i2cps://HOST:PORT, i2cp+unix:PATH, sam://HOST:PORT or \
         sam+tls://HOST:PORT"
    )]
    Form,
    /// The host is a name.
    #[error(
        "{0:?} is not an IP address: names are not looked up, because that would reveal them; \
         use the IP address, or localhost"
    )]
    Host(String),
    /// The port is not a number.
    #[error("{0:?} is not a port: a port is a number from 0 to 65535")]
    Port(String),
    /// The certificate cannot be read.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Certificate(#[from] crate::transport::CertificateError),
    /// This build or system does not support the transport.
    #[error("this build has no support for {0}")]
    Unsupported(&'static str),
}

/// Chosen so that an error message fits on one line.
const SHOWN_CHARS: usize = 60;
