//! Names and passwords for outproxies.

use std::{fmt, path::Path};

use data_encoding::BASE64;
use eepkit_wire::Zeroizing;
use http::HeaderValue;

use crate::options::{Access, Form, Input, Mistake, Opt, Value};

/// The logins at outproxies, by the text of their address in `outproxies`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Logins(Vec<(String, Login)>);

/// A name and a password at an outproxy. The debug output has neither.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    user: String,
    password: Zeroizing<String>,
}

impl Login {
    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: Zeroizing::new(password.to_owned()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':')?;
        Some(Self::new(user, password)).filter(Self::is_valid)
    }

    /// Whether the login can be sent (RFC 1929, RFC 7617).
    fn is_valid(&self) -> bool {
        let is_text = |text: &str| text.len() <= 255 && !text.chars().any(char::is_control);
        let has_name = !self.user.is_empty() && !self.user.contains(':');
        has_name && is_text(&self.user) && is_text(&self.password)
    }

    /// For SOCKS 5; `None` if the login is not valid.
    pub(crate) fn credentials(&self) -> Option<eepkit_socks::Credentials> {
        eepkit_socks::Credentials::new(self.user.as_bytes(), self.password.as_bytes())
    }

    /// The value of `Proxy-Authorization`.
    pub(crate) fn basic(&self) -> HeaderValue {
        let pair = Zeroizing::new(format!("{}:{}", self.user, *self.password));
        let text = format!("Basic {}", BASE64.encode(pair.as_bytes()));
        // Base64 is always valid there.
        let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Logins {
    /// Adds the login at an outproxy.
    pub(crate) fn push(&mut self, outproxy: &str, login: Login) {
        self.0.push((outproxy.to_owned(), login));
    }

    /// The login at an outproxy.
    pub(crate) fn at(&self, outproxy: &str) -> Option<&Login> {
        let found = self.0.iter().find(|(address, _)| address == outproxy);
        found.map(|(_, login)| login)
    }

    /// Checks that each login is for one of these outproxies, and that these are on I2P.
    ///
    /// # Errors
    ///
    /// A sentence that describes the mistake. It contains no login.
    pub(crate) fn check_with(&self, outproxies: &[String]) -> Result<(), String> {
        for outproxy in outproxies {
            if let Err(error) = outproxy.parse::<eepkit::Address>() {
                return Err(format!(
                    "the outproxy {outproxy:?} is no address on I2P: {error}"
                ));
            }
        }
        for (address, login) in &self.0 {
            if !outproxies.contains(address) {
                return Err(format!(
                    "outproxy_logins has {address:?}, which is not one of outproxies"
                ));
            }
            if !login.is_valid() {
                return Err(format!(
                    "the login at {address:?} cannot be sent: the name is not empty and has no colon, \
                     and both have at most 255 bytes and no control characters"
                ));
            }
        }
        Ok(())
    }
}

impl Value for Logins {
    const FORM: Form = Form::Pairs;

    fn read(input: &Input<'_>, _directory: &Path) -> Result<Self, Mistake> {
        let mut logins = Self::default();
        for (address, value) in input.pairs("{ \"exit.i2p:8888\" = \"NAME:PASSWORD\" }")? {
            let login = match value.value {
                Input::Text(text) => Login::parse(text),
                _ => None,
            };
            let why = format!("the login at {address} must be a text \"NAME:PASSWORD\"");
            let login = login.ok_or_else(|| Mistake::sentence(why).at(value.at))?;
            logins.push(address, login);
        }
        Ok(logins)
    }

    fn write(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let pairs = self.0.iter().map(|(address, login)| {
            let text = format!("{}:{}", login.user, *login.password);
            format!(
                "{} = {}",
                toml::Value::from(address.as_str()),
                toml::Value::from(text)
            )
        });
        Some(format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", ")))
    }

    fn check(text: &str) -> Result<(), String> {
        let login = text
            .split_once('=')
            .and_then(|(_, login)| Login::parse(login));
        login
            .map(drop)
            .ok_or_else(|| "expected ADDRESS=NAME:PASSWORD".to_owned())
    }
}

pub(crate) const fn outproxy_logins<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "outproxy_logins",
        access,
        "Names and passwords at outproxies, by their address as in outproxies.\n\
         Default: no login.",
    )
    .example("{ \"exit.i2p:8888\" = \"name:password\" }")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_has_a_name_and_a_password() {
        let login = Login::parse("ann:se:same").expect("valid");
        assert_eq!(login.basic(), "Basic YW5uOnNlOnNhbWU=");
        let credentials = login.credentials().expect("short");
        assert_eq!(credentials.user(), b"ann");
        assert_eq!(credentials.password(), b"se:same");
        assert!(Login::parse("ann:").is_some());
        let long = format!("{}:x", "n".repeat(256));
        for wrong in ["", "ann", ":x", "a\nb:x", "ann:\r\n", &long] {
            assert!(Login::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_login_is_for_one_of_the_outproxies_and_is_not_shown() {
        let mut logins = Logins::default();
        logins.push("exit.i2p:8888", Login::parse("ann:sesame").expect("valid"));
        let shown = format!("{logins:?}");
        assert!(
            !shown.contains("ann") && !shown.contains("sesame"),
            "{shown}"
        );
        assert!(logins.check_with(&["exit.i2p:8888".to_owned()]).is_ok());
        assert!(logins.at("exit.i2p:8888").is_some());
        for others in [&["exit.i2p".to_owned()][..], &[]] {
            let why = logins.check_with(others).expect_err("another one");
            assert!(!why.contains("sesame"), "{why}");
        }
        assert!(logins.at("exit.i2p").is_none());
    }
}
