//! Versions of the protocol, and which of them two sides agree on.

use std::{fmt, str::FromStr};

/// A version of SAM 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// 3.0: streams on sockets of their own, datagrams by UDP.
    V3_0,
    /// 3.1: SIGNATURE_TYPE, RAW SEND, HELLO without MIN and MAX.
    V3_1,
    /// 3.2: ports and protocols, users, TLS, UTF-8, PING, QUIT, several accepts at once.
    V3_2,
    /// 3.3: PRIMARY sessions, options of single datagrams.
    V3_3,
}

impl Version {
    /// Every version, the oldest first.
    pub const ALL: [Self; 4] = [Self::V3_0, Self::V3_1, Self::V3_2, Self::V3_3];

    /// The newest version.
    pub const NEWEST: Self = Self::V3_3;

    /// The text of it, such as `3.1`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V3_0 => "3.0",
            Self::V3_1 => "3.1",
            Self::V3_2 => "3.2",
            Self::V3_3 => "3.3",
        }
    }

    /// Whether peers' ports are told: since 3.2.
    pub fn has_ports(self) -> bool {
        self >= Self::V3_2
    }

    /// Whether a backslash escapes a quote: since 3.2.
    pub fn has_escapes(self) -> bool {
        self >= Self::V3_2
    }

    /// Whether text may be more than ASCII: since 3.2.
    pub fn has_utf8(self) -> bool {
        self >= Self::V3_2
    }

    /// The highest version that both sides speak.
    ///
    /// `min` and `max` are the client's limits as it wrote them, two numbers or only the first
    /// (`3` is 3.0); an absent one is no limit.
    ///
    /// # Errors
    ///
    /// [`NegotiationError::Malformed`] when a limit is no version,
    /// [`NegotiationError::NoVersion`] when there is none between them.
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

/// Why two sides do not agree on a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// A limit is not one or two numbers.
    #[error("MIN and MAX are versions such as 3.1")]
    Malformed,
    /// No version lies between the limits.
    #[error("no version from 3.0 to 3.3 is between MIN and MAX")]
    NoVersion,
}

/// The text is no version of SAM 3 that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not a version from 3.0 to 3.3")]
pub struct UnknownVersion;

/// `3.1` or `3`. Numbers that no version will reach count as the greatest.
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
    fn the_highest_version_between_the_limits_wins() {
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
    fn versions_that_nobody_speaks_are_refused() {
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
    fn a_version_reads_as_it_is_written() {
        for version in Version::ALL {
            assert_eq!(version.as_str().parse(), Ok(version));
        }
        assert_eq!("3.4".parse::<Version>(), Err(UnknownVersion));
    }
}
