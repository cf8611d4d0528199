//! Addresses of routers as people write them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
};

use super::I2cpRouter;

impl FromStr for I2cpRouter {
    type Err = AddressError;

    /// Reads one of
    ///
    /// * `i2cp://HOST:PORT`, TCP;
    /// * `i2cps://HOST:PORT`, TLS; `?certificate=FILE` names the router's certificate (PEM or
    ///   DER), and may be left out on loopback only;
    /// * `i2cp+unix:PATH`, a Unix socket.
    ///
    /// HOST is an IP address or `localhost`: every other name would have to be looked up, which
    /// tells others about it. In the first two, `USER:PASSWORD@` may stand before it. PORT is 7654
    /// where it is left out.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("i2cp+unix:") {
            return unix(path);
        }
        let (secure, rest) = match (text.strip_prefix("i2cp://"), text.strip_prefix("i2cps://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(AddressError::Form),
        };
        let (rest, query) = rest
            .split_once('?')
            .map_or((rest, None), |(a, b)| (a, Some(b)));
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (
                Some(login.split_once(':').ok_or(AddressError::Form)?),
                place,
            ),
            None => (None, rest),
        };
        let at = socket_address(place, DEFAULT_PORT)?;
        let router = match (secure, query) {
            (true, query) => tls(at, query)?,
            (false, None) => Self::tcp(at),
            (false, Some(_)) => return Err(AddressError::Form),
        };
        Ok(match login {
            Some((user, password)) => router.login(user, password),
            None => router,
        })
    }
}

/// Reads `HOST:PORT` or `HOST`, which has the default port then.
pub(in crate::link) fn socket_address(
    place: &str,
    default_port: u16,
) -> Result<SocketAddr, AddressError> {
    if let Ok(at) = place.parse() {
        return Ok(at);
    }
    if let Ok(ip) = place.trim_start_matches('[').trim_end_matches(']').parse() {
        return Ok(SocketAddr::new(ip, default_port));
    }
    let (host, port) = place.rsplit_once(':').unwrap_or((place, ""));
    let port = match port {
        "" => default_port,
        port => port.parse().map_err(|_| AddressError::Port(shown(port)))?,
    };
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    Err(if host.is_empty() {
        AddressError::Form
    } else {
        AddressError::Host(shown(host))
    })
}

#[cfg(unix)]
fn unix(path: &str) -> Result<I2cpRouter, AddressError> {
    if path.is_empty() {
        Err(AddressError::Form)
    } else {
        Ok(I2cpRouter::unix(path))
    }
}

#[cfg(not(unix))]
fn unix(_: &str) -> Result<I2cpRouter, AddressError> {
    Err(AddressError::Unsupported("Unix sockets"))
}

#[cfg(feature = "tls")]
fn tls(at: SocketAddr, query: Option<&str>) -> Result<I2cpRouter, AddressError> {
    use super::Trust;
    let trust = match query.map(|query| query.strip_prefix("certificate=")) {
        None => Trust::OnLoopback,
        Some(Some(file)) if !file.is_empty() => Trust::from_file(file)?,
        Some(_) => return Err(AddressError::Form),
    };
    Ok(I2cpRouter::tls(at, trust))
}

#[cfg(not(feature = "tls"))]
fn tls(_: SocketAddr, _: Option<&str>) -> Result<I2cpRouter, AddressError> {
    Err(AddressError::Unsupported("TLS"))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// Why a text is not the address of a router. Passwords are not repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It has another form.
    #[error(
        "an address is i2cp://HOST:PORT, i2cps://HOST:PORT, i2cp+unix:PATH, sam://HOST:PORT or \
         sam+tls://HOST:PORT"
    )]
    Form,
    /// The host is a name.
    #[error(
        "{0:?} is not an IP address: names are not looked up, because that tells others; use the \
         number, or localhost"
    )]
    Host(String),
    /// The port is no number.
    #[error("{0:?} is not a port: it is a number from 0 to 65535")]
    Port(String),
    /// The certificate cannot be read.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Certificate(#[from] super::CertificateError),
    /// This build or system cannot do it.
    #[error("this build has no support for {0}")]
    Unsupported(&'static str),
}

/// Where routers listen for I2CP by default (I2CP overview).
const DEFAULT_PORT: u16 = 7654;

/// Chosen so that a message fits a line.
const SHOWN_CHARS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Connector;

    fn name(text: &str) -> String {
        text.parse::<I2cpRouter>().expect(text).name()
    }

    fn error(text: &str) -> String {
        text.parse::<I2cpRouter>().expect_err(text).to_string()
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(name("i2cp://127.0.0.1:7655"), "i2cp://127.0.0.1:7655");
        assert_eq!(name("i2cp://127.0.0.1"), "i2cp://127.0.0.1:7654");
        assert_eq!(name("i2cp://LocalHost:1/"), "i2cp://127.0.0.1:1");
        assert_eq!(name("i2cp://localhost"), "i2cp://127.0.0.1:7654");
        assert_eq!(name("i2cp://[::1]:7654"), "i2cp://[::1]:7654");
        assert_eq!(name("i2cp://[::1]"), "i2cp://[::1]:7654");
        assert_eq!(
            name(" i2cp://me:p@ss@10.0.0.1:7654 "),
            "i2cp://10.0.0.1:7654"
        );
    }

    #[cfg(unix)]
    #[test]
    fn unix_sockets_are_read() {
        assert_eq!(name("i2cp+unix:/run/i2cp.sock"), "i2cp+unix:/run/i2cp.sock");
        error("i2cp+unix:");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_addresses_are_read() {
        assert_eq!(name("i2cps://127.0.0.1:7654"), "i2cps://127.0.0.1:7654");
        assert!(
            error("i2cps://127.0.0.1:7654?certificate=/no/such/file").contains("/no/such/file")
        );
        error("i2cps://127.0.0.1:7654?other=1");
    }

    #[test]
    fn names_are_not_looked_up() {
        let message = error("i2cp://router.example:7654");
        assert!(
            message.contains("\"router.example\" is not an IP address"),
            "{message}"
        );
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "7654",
            "127.0.0.1:7654",
            "sam://127.0.0.1:7656",
            "i2cp://",
            "i2cp://:1",
        ] {
            assert!(error(text).starts_with("an address is"), "{text}");
        }
        assert!(error("i2cp://127.0.0.1:70000").contains("70000"));
        error("i2cp://127.0.0.1:7654?certificate=x");
    }

    #[test]
    fn passwords_are_not_repeated() {
        for text in [
            "i2cp://me:sesame@host:1",
            "i2cp://sesame@127.0.0.1:1",
            "x://me:sesame@h",
        ] {
            assert!(!error(text).contains("sesame"), "{text}");
        }
        let router: I2cpRouter = "i2cp://me:sesame@127.0.0.1:1".parse().expect("valid");
        assert!(!format!("{router:?}").contains("sesame"));
    }
}
