//! Protocol versions and their negotiation.

use std::{fmt, str::FromStr};

/// A version of SAM 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// 3.0: one socket per stream, datagrams over UDP.
    V3_0,
    /// 3.1: SIGNATURE_TYPE, RAW SEND, HELLO without MIN and MAX.
    V3_1,
    /// 3.2: ports and protocols, users, TLS, UTF-8, PING, QUIT, concurrent accepts.
    V3_2,
    /// 3.3: PRIMARY sessions, options per datagram.
    V3_3,
}

impl Version {
    /// All versions, the oldest first.
    pub const ALL: [Self; 4] = [Self::V3_0, Self::V3_1, Self::V3_2, Self::V3_3];

    /// The newest version.
    pub const NEWEST: Self = Self::V3_3;

    /// The version as it appears on the wire, such as `3.1`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V3_0 => "3.0",
            Self::V3_1 => "3.1",
            Self::V3_2 => "3.2",
            Self::V3_3 => "3.3",
        }
    }

    /// Whether the ports of peers are sent: since 3.2.
    pub fn has_ports(self) -> bool {
        self >= Self::V3_2
    }

    /// Whether a backslash escapes a quote: since 3.2.
    pub fn has_escapes(self) -> bool {
        self >= Self::V3_2
    }

    /// Whether text may contain characters other than ASCII: since 3.2.
    pub fn has_utf8(self) -> bool {
        self >= Self::V3_2
    }

    /// Returns the highest version that both sides support.
    ///
    /// `min` and `max` are the client's limits as received: two numbers, or only the first (`3` is
    /// 3.0). `None` is no limit.
    ///
    /// # Errors
    ///
    /// [`NegotiationError::Malformed`] if a limit is not a version, [`NegotiationError::NoVersion`]
    /// if no supported version is within the limits.
    pub fn negotiate(min: Option<&str>, max: Option<&str>) -> Result<Self, NegotiationError> {
        let min = min.map_or(Ok((0, 0)), numbers)?;
        let max = max.map_or(Ok((u32::MAX, u32::MAX)), numbers)?;
        Self::ALL
            .into_iter()
            .rev()
            .find(|version| (min..=max).contains(&(3, *version as u32)))
            .ok_or(NegotiationError::NoVersion)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let numbers = numbers(text).map_err(|_| UnknownVersion)?;
        Self::ALL
            .into_iter()
            .find(|version| (3, *version as u32) == numbers)
            .ok_or(UnknownVersion)
    }
}

/// A version of SAM before 3: one socket carries every stream of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OlderVersion {
    /// 1.0: the socket is the only flow control.
    V1_0,
    /// 2.0: each stream has flow control in both directions.
    V2_0,
}

impl OlderVersion {
    /// All versions, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_0, Self::V2_0];

    /// The version as it appears on the wire, such as `1.0`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V2_0 => "2.0",
        }
    }

    /// Whether streams have flow control: since 2.0.
    pub fn has_flow_control(self) -> bool {
        self >= Self::V2_0
    }

    /// Returns the highest version within the limits of a client, which are as in
    /// [`Version::negotiate`].
    ///
    /// # Errors
    ///
    /// As for [`Version::negotiate`].
    pub fn negotiate(min: Option<&str>, max: Option<&str>) -> Result<Self, NegotiationError> {
        let min = min.map_or(Ok((0, 0)), numbers)?;
        let max = max.map_or(Ok((u32::MAX, u32::MAX)), numbers)?;
        Self::ALL
            .into_iter()
            .rev()
            .find(|version| (min..=max).contains(&(*version as u32 + 1, 0)))
            .ok_or(NegotiationError::NoVersion)
    }
}

impl fmt::Display for OlderVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OlderVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let numbers = numbers(text).map_err(|_| UnknownVersion)?;
        Self::ALL
            .into_iter()
            .find(|version| (*version as u32 + 1, 0) == numbers)
            .ok_or(UnknownVersion)
    }
}

/// The reason why the two sides have no version in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// A limit does not consist of one or two numbers.
    #[error("MIN and MAX are versions such as 3.1")]
    Malformed,
    /// No supported version is within the limits.
    #[error("no version from 3.0 to 3.3 is between MIN and MAX")]
    NoVersion,
}

/// The text is not a supported version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not a supported version of SAM")]
pub struct UnknownVersion;

/// Parses `3.1` or `3`. Numbers that do not fit become the maximum.
fn numbers(text: &str) -> Result<(u32, u32), NegotiationError> {
    let number = |digits: &str| {
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NegotiationError::Malformed);
        }
        Ok(digits.parse().unwrap_or(u32::MAX))
    };
    match text.split_once('.') {
        None => Ok((number(text)?, 0)),
        Some((major, minor)) => Ok((number(major)?, number(minor)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_within_the_limits_is_selected() {
        let cases = [
            (None, None, "3.3"),
            (Some("3.0"), Some("3.0"), "3.0"),
            (Some("3.1"), Some("3.1"), "3.1"),
            (Some("3.0"), Some("3.2"), "3.2"),
            (Some("3.1"), None, "3.3"),
            (None, Some("3.1"), "3.1"),
            (Some("3"), Some("3"), "3.0"),
            (Some("3"), None, "3.3"),
            (Some("1.0"), Some("3.9"), "3.3"),
            (Some("2.0"), Some("99.99"), "3.3"),
            (Some("3.00"), Some("99999999999999.1"), "3.3"),
        ];
        for (min, max, expected) in cases {
            let chosen = Version::negotiate(min, max).expect("there is one");
            assert_eq!(chosen.as_str(), expected, "{min:?} {max:?}");
        }
    }

    #[test]
    fn unsupported_and_malformed_versions_are_refused() {
        for (min, max) in [
            ("3.4", "3.9"),
            ("1.0", "2.0"),
            ("3.3", "3.0"),
            ("4.0", "5.0"),
        ] {
            assert_eq!(
                Version::negotiate(Some(min), Some(max)),
                Err(NegotiationError::NoVersion)
            );
        }
        for text in ["", "x", "3.", ".1", "3.x", "3.1.1", "-3", "+3", " 3.1"] {
            assert_eq!(
                Version::negotiate(Some(text), None),
                Err(NegotiationError::Malformed),
                "{text:?}"
            );
        }
    }

    #[test]
    fn versions_round_trip() {
        for version in Version::ALL {
            assert_eq!(version.as_str().parse(), Ok(version));
        }
        assert_eq!("3.4".parse::<Version>(), Err(UnknownVersion));
        for version in OlderVersion::ALL {
            assert_eq!(version.as_str().parse(), Ok(version));
            assert_eq!(version.as_str().parse::<Version>(), Err(UnknownVersion));
        }
        assert_eq!("3.0".parse::<OlderVersion>(), Err(UnknownVersion));
    }

    #[test]
    fn the_highest_older_version_within_the_limits_is_selected() {
        for (min, max, expected) in [
            (Some("1.0"), Some("1.0"), Ok(OlderVersion::V1_0)),
            (Some("1.0"), Some("2.0"), Ok(OlderVersion::V2_0)),
            (Some("1"), Some("1.9"), Ok(OlderVersion::V1_0)),
            (None, Some("2"), Ok(OlderVersion::V2_0)),
            (Some("2.1"), Some("2.9"), Err(NegotiationError::NoVersion)),
            (Some("x"), None, Err(NegotiationError::Malformed)),
        ] {
            assert_eq!(
                OlderVersion::negotiate(min, max),
                expected,
                "{min:?} {max:?}"
            );
        }
    }
}
