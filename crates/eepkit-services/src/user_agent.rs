//! The header `User-Agent` of requests to sites.

/// Source: Java's proxy. All users of I2P should have the same.
pub(crate) const I2P_USER_AGENT: &str = "MYOB/6.66 (AN/ON)";
