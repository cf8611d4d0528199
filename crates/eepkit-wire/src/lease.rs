//! Leases, the inbound tunnels of a destination with their expirations.

use crate::{
    codec::{Codec, DecodeError, Reader},
    hash::Hash,
};

/// An inbound tunnel of a destination: its gateway router, its tunnel id, and its expiration.
///
/// [`Codec`] implements the old encoding with a date in milliseconds (44 bytes), which lease sets
/// of type 1 and I2CP's requests use. [`Lease::encode_short`] implements the encoding of lease sets
/// of type 3, with seconds (40 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// The hash of the gateway's router identity.
    pub gateway: Hash,
    /// The tunnel id at the gateway.
    pub tunnel: u32,
    /// The time at which the tunnel expires, in milliseconds since the epoch.
    pub end: u64,
}

/// Identifies a lease by its gateway router and tunnel id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId {
    /// The hash of the gateway's router identity.
    pub gateway: Hash,
    /// The tunnel id at the gateway.
    pub tunnel: u32,
}

impl LeaseId {
    /// The identifier of `lease`.
    pub const fn of(lease: &Lease) -> Self {
        Self {
            gateway: lease.gateway,
            tunnel: lease.tunnel,
        }
    }
}

impl Lease {
    /// The largest number of leases in a lease set: common structures specification, sections
    /// "LeaseSet" and "LeaseSet2".
    pub const MAX_IN_SET: usize = 16;

    /// Appends the encoding with seconds.
    ///
    /// The expiration is rounded down, so that peers do not use an expired tunnel. An expiration
    /// after the year 2106 is replaced by the largest possible value.
    pub fn encode_short(&self, out: &mut Vec<u8>) {
        self.gateway.encode(out);
        out.extend_from_slice(&self.tunnel.to_be_bytes());
        let seconds = u32::try_from(self.end / 1_000).unwrap_or(u32::MAX);
        out.extend_from_slice(&seconds.to_be_bytes());
    }

    /// Decodes the encoding with seconds.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] if fewer than 40 bytes are left.
    pub fn read_short(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            gateway: Hash::read(r)?,
            tunnel: r.u32("lease")?,
            end: u64::from(r.u32("lease")?) * 1_000,
        })
    }
}

impl Codec for Lease {
    fn encode(&self, out: &mut Vec<u8>) {
        self.gateway.encode(out);
        out.extend_from_slice(&self.tunnel.to_be_bytes());
        out.extend_from_slice(&self.end.to_be_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            gateway: Hash::read(r)?,
            tunnel: r.u32("lease")?,
            end: r.u64("lease")?,
        })
    }
}

/// Decodes the number of leases in a lease set.
pub(crate) fn read_count(r: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let count = usize::from(r.u8("number of leases")?);
    if count > Lease::MAX_IN_SET {
        return Err(DecodeError::TooLong {
            what: "list of leases",
            length: count,
            limit: Lease::MAX_IN_SET,
        });
    }
    Ok(count)
}
