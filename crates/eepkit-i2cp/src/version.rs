//! API versions, which state which messages the other side of a connection supports.

use std::{fmt, str::FromStr};

/// An I2CP API version such as 0.9.66.
///
/// Routers report their API version, not their program version (I2CP, "Version Notes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ApiVersion {
    parts: [u16; 4],
}

impl ApiVersion {
    /// The version that this library implements and sends in GetDate.
    ///
    /// i2pd before 2.58 reports this version back as its own. It must therefore stay below 0.9.67;
    /// see `dont_publish_value` in `quirks.rs`.
    pub const OURS: Self = Self::new(0, 9, 66);

    /// The version assumed for a router that sends none: such a router is 0.8.6 or older.
    pub const UNREPORTED: Self = Self::new(0, 8, 6);

    /// The first version with authentication in GetDate, and with HostLookup.
    pub const HOST_LOOKUP: Self = Self::new(0, 9, 11);

    /// The first version with several sessions on one connection.
    pub const SUBSESSIONS: Self = Self::new(0, 9, 21);

    /// The first version in which a nonzero nonce requests a MessageStatus for one message although
    /// the reliability is `none`.
    pub const STATUS_PER_MESSAGE: Self = Self::new(0, 9, 14);

    /// The first version with CreateLeaseSet2.
    pub const LEASE_SET_2: Self = Self::new(0, 9, 39);

    /// The first version with BlindingInfo.
    pub const BLINDING_INFO: Self = Self::new(0, 9, 43);

    /// The first version with HostLookup types 2 to 4, which fetch the lease set.
    pub const LEASE_SET_LOOKUP: Self = Self::new(0, 9, 66);

    /// The version `major.minor.micro`.
    pub const fn new(major: u16, minor: u16, micro: u16) -> Self {
        Self {
            parts: [major, minor, micro, 0],
        }
    }
}

impl FromStr for ApiVersion {
    type Err = ParseVersionError;

    /// Parses two to four numbers separated by dots. Ignores a suffix of a number, such as `-rc` or
    /// `beta`.
    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        let mut parts = [0; 4];
        let mut count = 0;
        for (slot, part) in parts.iter_mut().zip(text.trim().split('.')) {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            *slot = part[..digits].parse().map_err(|_| ParseVersionError)?;
            count += 1;
        }
        if count < 2 {
            Err(ParseVersionError)
        } else {
            Ok(Self { parts })
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, micro, build] = self.parts;
        write!(f, "{major}.{minor}.{micro}")?;
        if build != 0 {
            write!(f, ".{build}")?;
        }
        Ok(())
    }
}

/// The text is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not an API version such as 0.9.66")]
pub struct ParseVersionError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number_and_not_as_text() {
        let old: ApiVersion = "0.9.9".parse().expect("valid");
        let new: ApiVersion = "0.9.66".parse().expect("valid");
        assert!(old < new);
        assert!(new < "0.9.66.1".parse().expect("valid"));
        assert!(new < "1.0".parse().expect("valid"));
        assert_eq!(new, "0.9.66-2-rc".parse().expect("valid"));
        assert_eq!(new.to_string(), "0.9.66");
    }

    #[test]
    fn text_that_is_not_a_version_is_rejected() {
        for text in ["", "9", ".", "a.b", "0.x", "0.99999999999"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text:?}");
        }
    }
}
