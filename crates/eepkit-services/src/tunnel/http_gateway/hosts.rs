//! The `Host` header by port of the destination.

use std::path::Path;

use http::HeaderValue;

use crate::options::{Form, Input, Mistake, Value};

/// The values of `Host` by port of the destination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PortHosts(Vec<(u16, String)>);

impl PortHosts {
    pub(crate) fn push(&mut self, port: u16, host: String) {
        self.0.push((port, host));
    }

    /// The value for requests to a port.
    pub(crate) fn of(&self, port: u16) -> Option<&str> {
        let found = self.0.iter().find(|(one, _)| *one == port);
        found.map(|(_, host)| host.as_str())
    }

    /// Checks the values.
    ///
    /// # Errors
    ///
    /// A sentence that describes the mistake.
    pub(crate) fn validate(&self) -> Result<(), String> {
        for (index, (port, host)) in self.0.iter().enumerate() {
            if *port == 0 {
                return Err("hosts: 0 is not a port (1 to 65535)".to_owned());
            }
            if self.0.iter().take(index).any(|(other, _)| other == port) {
                return Err(format!("hosts has port {port} twice"));
            }
            check_host(host).map_err(|why| format!("the host of port {port} {why}"))?;
        }
        Ok(())
    }
}

/// Checks a value of `Host`.
///
/// # Errors
///
/// The end of a sentence that describes the mistake.
pub(super) fn check_host(host: &str) -> Result<(), String> {
    let is_valid = !host.is_empty()
        && HeaderValue::from_str(host).is_ok()
        && host.parse::<http::uri::Authority>().is_ok()
        && !host.contains('@');
    match is_valid {
        true => Ok(()),
        false => Err(format!("cannot be {host:?}: expected HOST or HOST:PORT")),
    }
}

impl Value for PortHosts {
    const FORM: Form = Form::Pairs;

    fn read(input: &Input<'_>, _directory: &Path) -> Result<Self, Mistake> {
        let Input::Pairs(pairs) = input else {
            return Err(Mistake::expected("a table: { 81 = \"forum.i2p\" }"));
        };
        let mut hosts = Self::default();
        for (key, value) in pairs {
            let wrong = |why| Mistake::sentence(why).at(value.at);
            let port = key.parse().ok().filter(|port| *port > 0);
            let port = port.ok_or_else(|| wrong(format!("{key:?} is not a port (1 to 65535)")))?;
            let Input::Text(host) = value.value else {
                return Err(wrong(format!("the host of port {key} is a text in quotes")));
            };
            hosts.push(port, host.to_owned());
        }
        Ok(hosts)
    }

    fn write(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let pairs = self.0.iter().map(|(port, host)| {
            let host = toml::Value::from(host.as_str());
            format!("{port} = {host}")
        });
        Some(format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", ")))
    }

    fn check(text: &str) -> Result<(), String> {
        let pair = text.split_once('=');
        let port = pair.and_then(|(port, _)| port.trim().parse::<u16>().ok());
        port.map(drop)
            .ok_or_else(|| "expected PORT=HOST".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_has_one_valid_host() {
        let hosts = |pairs: &[(u16, &str)]| {
            let pairs = pairs.iter().map(|(port, host)| (*port, (*host).to_owned()));
            PortHosts(pairs.collect())
        };
        assert_eq!(hosts(&[(81, "a.i2p"), (82, "b.i2p:1")]).validate(), Ok(()));
        for wrong in [
            &[(0, "a.i2p")][..],
            &[(81, "a.i2p"), (81, "b.i2p")],
            &[(81, "")],
            &[(81, "a@b.i2p")],
            &[(81, "a b")],
            &[(81, "a\r\nb")],
        ] {
            assert!(hosts(wrong).validate().is_err(), "{wrong:?}");
        }
        let two = hosts(&[(81, "a.i2p"), (82, "b.i2p")]);
        assert_eq!((two.of(82), two.of(80)), (Some("b.i2p"), None));
    }
}
