//! Values of arguments, which are parsed and validated before anything is started.

use std::{path::Path, str::FromStr};

use clap::ValueEnum;
use eepkit::Format;
use eepkit_services::options::Element;

/// A datagram format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatagramFormat {
    /// Datagram1.
    #[value(name = "1")]
    One,
    /// Datagram2.
    #[value(name = "2")]
    Two,
    /// Datagram3.
    #[value(name = "3")]
    Three,
    /// Only the payload.
    Raw,
}

impl DatagramFormat {
    pub(crate) fn format(self) -> Format {
        match self {
            Self::One => Format::Datagram1,
            Self::Two => Format::Datagram2,
            Self::Three => Format::Datagram3,
            Self::Raw => Format::Raw,
        }
    }

    /// The name of the format on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
            Self::Three => "3",
            Self::Raw => "raw",
        }
    }
}

/// A number for each direction: `2` for both, or `2,3` for inbound and outbound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InOut {
    pub(crate) inbound: u8,
    pub(crate) outbound: u8,
}

impl FromStr for InOut {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.trim()
                .parse::<u8>()
                .map_err(|_| format!("{text:?} is not a number; expected N, or IN,OUT"))
        };
        match text.split_once(',') {
            Some((inbound, outbound)) => Ok(Self {
                inbound: number(inbound)?,
                outbound: number(outbound)?,
            }),
            None => number(text).map(|both| Self {
                inbound: both,
                outbound: both,
            }),
        }
    }
}

/// Hops of a tunnel. I2CP allows 0 to 7.
pub(crate) fn tunnel_length(text: &str) -> Result<InOut, String> {
    in_range(text.parse()?, 0, 7)
}

/// Tunnels of a session. I2CP allows 1 to 16.
pub(crate) fn tunnel_quantity(text: &str) -> Result<InOut, String> {
    in_range(text.parse()?, 1, 16)
}

fn in_range(value: InOut, least: u8, most: u8) -> Result<InOut, String> {
    let good = |number| (least..=most).contains(&number);
    if good(value.inbound) && good(value.outbound) {
        Ok(value)
    } else {
        Err(format!("must be {least} to {most}"))
    }
}

/// The router to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RouterChoice {
    /// A router in this process, on the live network.
    Embedded,
    /// A running router, by its I2CP or SAM address.
    Attached(String),
}

impl FromStr for RouterChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            EMBEDDED => Ok(Self::Embedded),
            _ if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) => {
                Ok(Self::Attached(text.to_owned()))
            }
            _ => Err("expected `embedded`, `i2cp://HOST:PORT` or `sam://HOST:PORT`".to_owned()),
        }
    }
}

impl Element for RouterChoice {
    fn parse(text: &str, _directory: &Path) -> Result<Self, String> {
        text.parse()
    }

    fn text(&self) -> String {
        match self {
            Self::Embedded => EMBEDDED.to_owned(),
            Self::Attached(address) => address.clone(),
        }
    }
}

const EMBEDDED: &str = "embedded";

/// The prefixes of router addresses.
const SCHEMES: [&str; 3] = ["i2cp://", "sam://", "sam+tls://"];

/// `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok(Self {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            }),
            _ => Err("expected KEY=VALUE, as in inbound.length=2".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_for_both_directions() {
        assert_eq!(
            "2".parse(),
            Ok(InOut {
                inbound: 2,
                outbound: 2
            })
        );
        assert_eq!(
            "2,3".parse(),
            Ok(InOut {
                inbound: 2,
                outbound: 3
            })
        );
        assert!("2,".parse::<InOut>().is_err());
        assert!("2,3,4".parse::<InOut>().is_err());
    }

    #[test]
    fn numbers_of_tunnels_are_in_range() {
        assert!(tunnel_length("0").is_ok() && tunnel_length("7").is_ok());
        assert!(tunnel_length("8").is_err() && tunnel_length("2,8").is_err());
        assert!(tunnel_quantity("0").is_err() && tunnel_quantity("16").is_ok());
    }

    #[test]
    fn routers_are_embedded_or_have_an_address() {
        assert_eq!("embedded".parse(), Ok(RouterChoice::Embedded));
        assert_eq!(
            "i2cp://127.0.0.1:7655".parse(),
            Ok(RouterChoice::Attached("i2cp://127.0.0.1:7655".to_owned()))
        );
        for text in ["sam://127.0.0.1", "sam+tls://me:p@127.0.0.1:1?udp=2"] {
            assert_eq!(text.parse(), Ok(RouterChoice::Attached(text.to_owned())));
        }
        for text in ["", "127.0.0.1:7654", "http://127.0.0.1:7657", "Embedded"] {
            assert!(text.parse::<RouterChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn options_have_a_key_and_a_value() {
        let option = |key: &str, value: &str| {
            Ok(KeyValue {
                key: key.to_owned(),
                value: value.to_owned(),
            })
        };
        assert_eq!("inbound.length=2".parse(), option("inbound.length", "2"));
        assert_eq!("a = b=c ".parse(), option("a", "b=c"));
        assert_eq!("a=".parse(), option("a", ""));
        assert!("a".parse::<KeyValue>().is_err() && "=b".parse::<KeyValue>().is_err());
    }
}
