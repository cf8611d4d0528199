//! Textual addresses of SAM bridges.

use std::{net::SocketAddr, str::FromStr};

use super::SamRouter;
use crate::address::{self, Parts, RouterAddressError, Scheme};

impl FromStr for SamRouter {
    type Err = RouterAddressError;

    /// Parses one of these forms:
    ///
    /// * `sam://HOST:PORT`, TCP;
    /// * `sam+tls://HOST:PORT`, TLS; `?certificate=FILE` names the bridge's certificate (PEM or
    ///   DER), and is optional only on loopback;
    /// * `sam+unix:PATH`, a Unix socket.
    ///
    /// HOST is an IP address or `localhost`. Other names are refused, because looking them up would
    /// reveal them to others. The first two forms may have `USER:PASSWORD@` before HOST. The
    /// default PORT is 7656. `?udp=PORT` is the UDP port of the bridge, by default 7655.
    fn from_str(text: &str) -> Result<Self, RouterAddressError> {
        let socket = match SCHEME.parse(text)? {
            #[cfg(unix)]
            Parts::Unix(path) => return Ok(Self::unix(path)),
            Parts::Socket(socket) => socket,
        };
        #[cfg(feature = "tls")]
        let mut router = match socket.trust {
            Some(trust) => Self::tls(socket.at, trust),
            None => Self::tcp(socket.at),
        };
        #[cfg(not(feature = "tls"))]
        let mut router = Self::tcp(socket.at);
        for (key, value) in socket.query {
            match key {
                "udp" => {
                    let port = address::port(value)?;
                    router = router.udp(SocketAddr::new(socket.at.ip(), port));
                }
                _ => return Err(RouterAddressError::Form),
            }
        }
        Ok(match socket.login {
            Some((user, password)) => router.login(user, password),
            None => router,
        })
    }
}

/// The default port of bridges (SAM V3, "Version 3 Definitions").
const SCHEME: Scheme = Scheme {
    plain: "sam://",
    secure: "sam+tls://",
    unix: "sam+unix:",
    default_port: 7656,
};

#[cfg(test)]
mod tests {
    use super::*;
    use eepkit_link::Connector;

    fn name(text: &str) -> String {
        text.parse::<SamRouter>().expect(text).name()
    }

    fn error(text: &str) -> String {
        text.parse::<SamRouter>().expect_err(text).to_string()
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(name("sam://127.0.0.1:7666"), "sam://127.0.0.1:7666");
        assert_eq!(name("sam://127.0.0.1"), "sam://127.0.0.1:7656");
        assert_eq!(name("sam://localhost/"), "sam://127.0.0.1:7656");
        assert_eq!(name("sam://[::1]"), "sam://[::1]:7656");
        assert_eq!(name(" sam://me:p@ss@10.0.0.1 "), "sam://10.0.0.1:7656");
        let router: SamRouter = "sam://127.0.0.1:1?udp=2".parse().expect("valid");
        assert_eq!(router.udp, Some(([127, 0, 0, 1], 2).into()));
        let router: SamRouter = "sam://127.0.0.1:1".parse().expect("valid");
        assert_eq!(router.udp, Some(([127, 0, 0, 1], 7655).into()));
    }

    #[cfg(unix)]
    #[test]
    fn unix_sockets_are_read() {
        assert_eq!(name("sam+unix:/run/sam.sock"), "sam+unix:/run/sam.sock");
        error("sam+unix:");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_addresses_are_read() {
        assert_eq!(name("sam+tls://127.0.0.1"), "sam+tls://127.0.0.1:7656");
        assert!(error("sam+tls://127.0.0.1?certificate=/no/file").contains("/no/file"));
    }

    #[test]
    fn other_forms_are_refused_and_names_are_not_looked_up() {
        for text in [
            "",
            "7656",
            "i2cp://127.0.0.1:7654",
            "sam://",
            "sam://me@127.0.0.1",
            "sam://127.0.0.1?certificate=x",
            "sam://127.0.0.1?other=1",
        ] {
            assert!(error(text).starts_with("an address is"), "{text}");
        }
        assert!(error("sam://router.example").contains("not an IP address"));
        assert!(error("sam://127.0.0.1?udp=x").contains("is not a port"));
    }

    #[test]
    fn passwords_are_not_repeated() {
        for text in ["sam://me:sesame@host:1", "sam://sesame@127.0.0.1:1"] {
            assert!(!error(text).contains("sesame"), "{text}");
        }
        let router: SamRouter = "sam://me:sesame@127.0.0.1".parse().expect("valid");
        assert!(!format!("{router:?}").contains("sesame"));
    }
}
