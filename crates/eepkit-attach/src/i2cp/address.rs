//! Textual addresses of I2CP routers.

use std::str::FromStr;

use super::I2cpRouter;
use crate::address::{Parts, RouterAddressError, Scheme};

impl FromStr for I2cpRouter {
    type Err = RouterAddressError;

    /// Parses one of these forms:
    ///
    /// * `i2cp://HOST:PORT`, TCP;
    /// * `i2cps://HOST:PORT`, TLS; `?certificate=FILE` names the router's certificate (PEM or DER),
    ///   and is optional only on loopback;
    /// * `i2cp+unix:PATH`, a Unix socket.
    ///
    /// HOST is an IP address or `localhost`. Other names are refused, because looking them up would
    /// reveal them to others. The first two forms may have `USER:PASSWORD@` before HOST. The
    /// default PORT is 7654.
    fn from_str(text: &str) -> Result<Self, RouterAddressError> {
        let socket = match SCHEME.parse(text)? {
            #[cfg(unix)]
            Parts::Unix(path) => return Ok(Self::unix(path)),
            Parts::Socket(socket) => socket,
        };
        if !socket.query.is_empty() {
            return Err(RouterAddressError::Form);
        }
        #[cfg(feature = "tls")]
        let router = match socket.trust {
            Some(trust) => Self::tls(socket.at, trust),
            None => Self::tcp(socket.at),
        };
        #[cfg(not(feature = "tls"))]
        let router = Self::tcp(socket.at);
        Ok(match socket.login {
            Some((user, password)) => router.login(user, password),
            None => router,
        })
    }
}

/// The default port of routers for I2CP (I2CP overview).
const SCHEME: Scheme = Scheme {
    plain: "i2cp://",
    secure: "i2cps://",
    unix: "i2cp+unix:",
    default_port: 7654,
};

#[cfg(test)]
mod tests {
    use super::*;
    use eepkit_link::Connector;

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
