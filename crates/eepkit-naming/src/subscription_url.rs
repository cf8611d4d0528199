//! Addresses of subscriptions.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use eepkit_wire::{Address, Host};

use crate::host_name::HostName;

/// The address of a subscription: `http://name.i2p/path` or `file:///path`.
///
/// Nothing else is fetched: no clearnet host, and no other scheme. The host is a name or a base32
/// address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubscriptionUrl {
    text: Box<str>,
    place: Place,
}

/// Where a subscription is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// A site on I2P.
    Site {
        /// The host; the port is 0 unless the address has one.
        address: Address,
        /// The path with the query, beginning with `/`.
        path: String,
    },
    /// A file on this computer.
    File(PathBuf),
}

impl SubscriptionUrl {
    /// The largest length, in bytes. Chosen as a usual limit of servers.
    pub const MAX_LENGTH: usize = 2048;

    /// The subscription that Java I2P has by default: naming specification, section "Incoming
    /// Subscriptions and Merging".
    pub const DEFAULT: &str = "http://i2p-projekt.i2p/hosts.txt";

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The address to which a site redirects with the header `Location`.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, SubscriptionUrlError> {
        let Place::Site { address, .. } = &self.place else {
            return Err(SubscriptionUrlError::Scheme);
        };
        let target: Self = match location.strip_prefix('/') {
            Some(rest) if !rest.starts_with('/') => {
                format!("http://{address}{location}").parse()?
            }
            _ => location.parse()?,
        };
        // A site must not make this program read local files.
        match target.place {
            Place::Site { .. } => Ok(target),
            Place::File(_) => Err(SubscriptionUrlError::Scheme),
        }
    }
}

impl FromStr for SubscriptionUrl {
    type Err = SubscriptionUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_LENGTH {
            return Err(SubscriptionUrlError::TooLong);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(SubscriptionUrlError::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(SubscriptionUrlError::Scheme)?;
        let place = match scheme.to_ascii_lowercase().as_str() {
            "http" => site(rest)?,
            "file" => {
                let path = Path::new(rest);
                if !path.is_absolute() {
                    return Err(SubscriptionUrlError::RelativeFile);
                }
                Place::File(path.to_owned())
            }
            _ => return Err(SubscriptionUrlError::Scheme),
        };
        let text = match &place {
            // The canonical form, so that a subscription is not added twice.
            Place::Site { address, path } => format!("http://{address}{path}"),
            Place::File(_) => format!("file://{rest}"),
        };
        let text = text.into();
        Ok(Self { text, place })
    }
}

impl fmt::Display for SubscriptionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// The reason why a text is not the address of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionUrlError {
    /// The scheme is not `http` or `file`.
    #[error("a subscription must begin with http:// and a host in .i2p, or with file:///")]
    Scheme,
    /// The host is not on I2P.
    #[error("the host of the subscription is not a name or b32 address in .i2p")]
    Host,
    /// The path of a file is relative.
    #[error("the path of a file subscription must be absolute, as in file:///home/me/hosts.txt")]
    RelativeFile,
    /// The text contains white space or control characters.
    #[error("the address of the subscription contains white space or control characters")]
    Character,
    /// The text is too long.
    #[error("the address of the subscription has more than 2048 bytes")]
    TooLong,
}

/// Parses the part after `http://`.
fn site(rest: &str) -> Result<Place, SubscriptionUrlError> {
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.rsplit_once(':') {
        None => (authority, 0),
        Some((host, port)) => (host, port.parse().map_err(|_| SubscriptionUrlError::Host)?),
    };
    let host = match host.parse() {
        Ok(host @ (Host::Hash(_) | Host::Blinded(_))) => host,
        // Names are parsed as users type them. A destination has no place in a URL.
        _ => {
            let name: HostName = host.parse().map_err(|_| SubscriptionUrlError::Host)?;
            Host::Name(name.as_str().to_owned())
        }
    };
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    Ok(Place::Site {
        address: Address::new(host).with_port(port),
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, SubscriptionUrlError> {
        text.parse().map(|url: SubscriptionUrl| url.to_string())
    }

    #[test]
    fn sites_on_i2p_and_files_are_accepted() {
        let hash = format!("http://{}.b32.i2p/h", "a".repeat(52));
        for (text, url) in [
            (SubscriptionUrl::DEFAULT, SubscriptionUrl::DEFAULT),
            ("HTTP://Stats.I2P/Hosts.txt", "http://stats.i2p/Hosts.txt"),
            ("http://stats.i2p", "http://stats.i2p/"),
            ("http://stats.i2p?x=1", "http://stats.i2p/?x=1"),
            ("http://a.i2p:81/h#part", "http://a.i2p:81/h"),
            ("http://bücher.i2p/h", "http://xn--bcher-kva.i2p/h"),
            ("file:///tmp/hosts.txt", "file:///tmp/hosts.txt"),
            (&hash, &hash),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(url));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("http://a.i2p/{}", "x".repeat(2048));
        let destination = format!("http://{}/", "A".repeat(516));
        for text in [
            "",
            "stats.i2p/hosts.txt",
            "https://stats.i2p/",
            "ftp://stats.i2p/",
            "http://example.com/hosts.txt",
            "http://127.0.0.1/hosts.txt",
            "http://stats.i2p@example.com/",
            "http://user@stats.i2p/",
            "http://stats.i2p.example.com/",
            "http://stats.i2p:99999/",
            "http:///hosts.txt",
            "http://stats.i2p/a b",
            "http://stats.i2p/a\r\nHost: b",
            "file://hosts.txt",
            "file://host/../etc",
            &long,
            &destination,
        ] {
            assert!(parse(text).is_err(), "{text:.60}");
        }
    }

    #[test]
    fn redirects_stay_on_i2p() {
        let url: SubscriptionUrl = "http://a.i2p:81/x/hosts.txt".parse().unwrap();
        let to = |location: &str| url.redirected(location).map(|url| url.to_string());
        assert_eq!(to("/new.txt").as_deref(), Ok("http://a.i2p:81/new.txt"));
        assert_eq!(to("http://b.i2p/h").as_deref(), Ok("http://b.i2p/h"));
        for location in [
            "http://example.com/h",
            "//example.com/h",
            "https://b.i2p/h",
            "file:///etc/passwd",
            "new.txt",
            "",
        ] {
            assert!(to(location).is_err(), "{location}");
        }
    }
}
