//! Router addresses, the transports over which a router can be reached.

use std::{fmt, net::IpAddr};

use crate::{
    base64,
    codec::{Codec, DecodeError, Reader, encode_string},
    mapping::Mapping,
};

/// The address of a router for one transport: common structures specification, section
/// "RouterAddress".
///
/// The meaning of the options depends on the transport. The accessors cover the options that NTCP2
/// and SSU2 share. [`RouterAddress::options`] contains all of them. An option that cannot be parsed
/// is treated as absent, because one unknown address must not make the router unusable.
///
/// `Debug` prints no IP address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RouterAddress {
    cost: u8,
    expiration: u64,
    /// At most 255 bytes.
    transport: String,
    options: Mapping,
}

impl RouterAddress {
    /// Creates an address for a transport, such as `NTCP2` or `SSU2`.
    ///
    /// Routers try the address with the lowest cost first. They publish costs from 3 to 14.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLong`] if the name of the transport has more than 255 bytes.
    pub fn new(
        transport: impl Into<String>,
        cost: u8,
        options: Mapping,
    ) -> Result<Self, DecodeError> {
        let transport = transport.into();
        if transport.len() > Mapping::MAX_STRING {
            return Err(DecodeError::TooLong {
                what: TRANSPORT,
                length: transport.len(),
                limit: Mapping::MAX_STRING,
            });
        }
        Ok(Self {
            cost,
            expiration: 0,
            transport,
            options,
        })
    }

    /// The transport, such as `NTCP2` or `SSU2`.
    pub fn transport(&self) -> &str {
        &self.transport
    }

    /// The relative cost; 0 is the lowest.
    pub fn cost(&self) -> u8 {
        self.cost
    }

    /// The expiration in milliseconds since the epoch. Routers write 0 and ignore it.
    pub fn expiration(&self) -> u64 {
        self.expiration
    }

    /// All options of the address.
    pub fn options(&self) -> &Mapping {
        &self.options
    }

    /// The IP address (`host`). `None` if the router publishes no address for incoming connections,
    /// or a host name, because host names are never resolved.
    pub fn host(&self) -> Option<IpAddr> {
        self.options.get("host")?.parse().ok()
    }

    /// The port (`port`). `None` if it is 0 or not a port.
    pub fn port(&self) -> Option<u16> {
        let port = self.options.get("port")?.parse().ok()?;
        (port != 0).then_some(port)
    }

    /// The static X25519 key of the transport's handshake (`s`).
    pub fn static_key(&self) -> Option<[u8; 32]> {
        base64::decode(self.options.get("s")?).ok()?.try_into().ok()
    }

    /// The capabilities of the address (`caps`), one character each, such as `4` for IPv4. Empty if
    /// the option is missing.
    pub fn capabilities(&self) -> &str {
        self.options.get("caps").unwrap_or_default()
    }
}

impl Codec for RouterAddress {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.cost);
        out.extend_from_slice(&self.expiration.to_be_bytes());
        encode_string(out, TRANSPORT, &self.transport).expect("checked by the constructor");
        self.options.encode(out);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            cost: r.u8("router address")?,
            expiration: r.u64("router address")?,
            transport: r.string(TRANSPORT)?.to_owned(),
            options: Mapping::read(r)?,
        })
    }
}

impl fmt::Debug for RouterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterAddress")
            .field("transport", &self.transport)
            .field("cost", &self.cost)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

const TRANSPORT: &str = "transport of a router address";

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn address(options: &[(&str, &str)]) -> RouterAddress {
        let mut mapping = Mapping::new();
        for (key, value) in options {
            mapping.insert(*key, *value).unwrap();
        }
        RouterAddress::new("NTCP2", 3, mapping).unwrap()
    }

    #[test]
    fn a_published_address_contains_host_port_and_key() {
        let key = base64::encode(&[7; 32]);
        let address = address(&[
            ("caps", "4"),
            ("host", "192.0.2.1"),
            ("port", "12345"),
            ("s", &key),
        ]);
        assert_eq!(address.host(), Some(Ipv4Addr::new(192, 0, 2, 1).into()));
        assert_eq!(address.port(), Some(12_345));
        assert_eq!(address.static_key(), Some([7; 32]));
        assert_eq!(address.capabilities(), "4");
        assert_eq!(address.transport(), "NTCP2");
        assert_eq!((address.cost(), address.expiration()), (3, 0));
    }

    #[test]
    fn ipv6_addresses_are_parsed() {
        let address = address(&[("host", "2001:db8::1")]);
        let expected = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        assert_eq!(address.host(), Some(expected.into()));
    }

    #[test]
    fn invalid_options_are_treated_as_absent() {
        let wrong = address(&[("host", "example.com"), ("port", "0"), ("s", "AAAA")]);
        for address in [address(&[]), wrong] {
            assert_eq!(address.host(), None);
            assert_eq!(address.port(), None);
            assert_eq!(address.static_key(), None);
            assert_eq!(address.capabilities(), "");
        }
        assert_eq!(address(&[("port", "65536")]).port(), None);
    }

    #[test]
    fn the_name_of_a_transport_has_a_limit() {
        let name = "x".repeat(256);
        assert!(RouterAddress::new(&name[1..], 0, Mapping::new()).is_ok());
        assert!(matches!(
            RouterAddress::new(name, 0, Mapping::new()),
            Err(DecodeError::TooLong { length: 256, .. })
        ));
    }

    #[test]
    fn debug_output_contains_no_ip_address() {
        let text = format!("{:?}", address(&[("host", "192.0.2.1")]));
        assert!(!text.contains("192.0.2.1"), "{text}");
    }
}
