//! Classification of the hosts to which local programs want to connect.

use std::net::IpAddr;

use eepkit_wire::is_public_ip;

/// A host by the network that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A host on I2P: a name, or a base32 address. In lower case.
    I2p(String),
    /// A host on the local machine or in the local network. It must never be reached through a
    /// proxy, and its name must not leave the machine.
    Local,
    /// A host on the public Internet: a name or an IP address. It must only be reached through an
    /// outproxy.
    Clearnet(String),
}

impl Target {
    /// Classifies a host from a request. The name is not resolved.
    pub(crate) fn of(host: &str) -> Self {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        // Some registries sell names below `.i2p.alt`, which Java I2P accepts as well.
        let host = host
            .strip_suffix(".i2p.alt")
            .map_or_else(|| host.clone(), |name| format!("{name}.i2p"));
        if host.ends_with(".i2p") {
            return Self::I2p(host);
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Self::of_ip(ip);
        }
        let last = host.rsplit('.').next().unwrap_or_default();
        let is_local = !host.contains('.')
            || LOCAL_SUFFIXES.contains(&last)
            // Resolvers take a name whose last label is a number for an IPv4 address (WHATWG URL,
            // section 3.5): `127.1`, `0x7f.1`, `2130706433`.
            || last.starts_with("0x")
            || last.bytes().all(|byte| byte.is_ascii_digit())
            // A port or an IPv6 address cannot be part of a name.
            || host.contains([':', '/', '@', '%', '[', ']']);
        match is_local {
            true => Self::Local,
            false => Self::Clearnet(host),
        }
    }

    /// Classifies an IP address.
    pub(crate) fn of_ip(ip: IpAddr) -> Self {
        match is_public_ip(ip) {
            true => Self::Clearnet(ip.to_canonical().to_string()),
            false => Self::Local,
        }
    }
}

/// Suffixes of names that never exist on the public Internet (RFC 6761, RFC 6762, RFC 8375, RFC
/// 9476), and those of other networks, which an outproxy cannot reach either.
const LOCAL_SUFFIXES: [&str; 11] = [
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home",
    "arpa",
    "invalid",
    "test",
    "example",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_i2p_are_recognised_in_any_spelling() {
        for (host, name) in [
            ("site.i2p", "site.i2p"),
            ("SITE.I2P", "site.i2p"),
            ("site.i2p.", "site.i2p"),
            ("site.i2p.alt", "site.i2p"),
            ("a.b.site.i2p", "a.b.site.i2p"),
        ] {
            assert_eq!(Target::of(host), Target::I2p(name.to_owned()), "{host}");
        }
    }

    #[test]
    fn no_spelling_of_a_local_address_leaves_the_machine() {
        for host in [
            "",
            "localhost",
            "LOCALHOST.",
            "router",
            "printer.local",
            "a.localhost",
            "nas.lan",
            "x.home.arpa",
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.0x1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fe80::1%eth0",
            "fc00::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "a.b:80",
            "user@site.com",
        ] {
            assert_eq!(Target::of(host), Target::Local, "{host}");
        }
    }

    #[test]
    fn the_public_internet_is_clearnet() {
        for host in [
            "example.com",
            "127.evil.com",
            "i2p.net",
            "xi2p",
            "1.1.1.1",
            "2606:4700::1",
        ] {
            let expected = match host {
                "xi2p" => Target::Local,
                host => Target::Clearnet(host.to_owned()),
            };
            assert_eq!(Target::of(host), expected, "{host}");
        }
    }
}
