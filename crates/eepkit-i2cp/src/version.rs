//! API versions, by which the two sides of a connection know what the other understands.

use std::{fmt, str::FromStr};

/// An I2CP API version such as 0.9.66.
///
/// Routers report this, not their own version (I2CP, "Version Notes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ApiVersion {
    parts: [u16; 4],
}

impl ApiVersion {
    /// What this library implements, sent in GetDate. Some routers send it back as theirs; see
    /// `quirks.rs` before raising it.
    pub const OURS: Self = Self::new(0, 9, 66);

    /// A router that sends no version is 0.8.6 or older.
    pub const UNTOLD: Self = Self::new(0, 8, 6);

    /// Authentication in GetDate; HostLookup.
    pub const HOST_LOOKUP: Self = Self::new(0, 9, 11);

    /// Several sessions on one connection.
    pub const SUBSESSIONS: Self = Self::new(0, 9, 21);

    /// A nonzero nonce asks for the fate of one message where reliability is `none`.
    pub const STATUS_PER_MESSAGE: Self = Self::new(0, 9, 14);

    /// CreateLeaseSet2.
    pub const LEASE_SET_2: Self = Self::new(0, 9, 39);

    /// BlindingInfo.
    pub const BLINDING_INFO: Self = Self::new(0, 9, 43);

    /// HostLookup types 2 to 4, which fetch the lease set.
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

    /// Reads up to four numbers; what follows the digits of a part (`-rc`, `beta`) is ignored.
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
    fn compares_by_number_not_by_text() {
        let old: ApiVersion = "0.9.9".parse().expect("valid");
        let new: ApiVersion = "0.9.66".parse().expect("valid");
        assert!(old < new);
        assert!(new < "0.9.66.1".parse().expect("valid"));
        assert!(new < "1.0".parse().expect("valid"));
        assert_eq!(new, "0.9.66-2-rc".parse().expect("valid"));
        assert_eq!(new.to_string(), "0.9.66");
    }

    #[test]
    fn rejects_what_is_not_a_version() {
        for text in ["", "9", ".", "a.b", "0.x", "0.99999999999"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text:?}");
        }
    }
}
