//! Leases: the tunnels that lead to a destination, and until when.

use crate::{
    codec::{Codec, DecodeError, Reader},
    hash::Hash,
};

/// A way in to a destination: a tunnel that starts at a gateway router, and its end.
///
/// [`Codec`] is the old form with a date in milliseconds (44 bytes), as lease sets of type 1 and
/// I2CP's requests hold it; [`Lease::encode_short`] is the form of lease sets of type 3, with
/// seconds (40 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// Hash of the gateway's router identity.
    pub gateway: Hash,
    /// Tunnel number at the gateway.
    pub tunnel: u32,
    /// When the tunnel ends, in milliseconds since the epoch.
    pub end: u64,
}

/// Names a lease: the gateway router and the tunnel there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId {
    /// Hash of the gateway's router identity.
    pub gateway: Hash,
    /// Tunnel number at the gateway.
    pub tunnel: u32,
}

impl LeaseId {
    /// The name of `lease`.
    pub const fn of(lease: &Lease) -> Self {
        Self {
            gateway: lease.gateway,
            tunnel: lease.tunnel,
        }
    }
}

impl Lease {
    /// Most leases in a lease set: common structures specification, sections "LeaseSet" and
    /// "LeaseSet2".
    pub const MAX_IN_SET: usize = 16;

    /// Appends the form with seconds. The end is rounded down, so that nobody uses a tunnel that
    /// is gone; an end after the year 2106 becomes the last one that fits.
    pub fn encode_short(&self, out: &mut Vec<u8>) {
        self.gateway.encode(out);
        out.extend_from_slice(&self.tunnel.to_be_bytes());
        let seconds = u32::try_from(self.end / 1_000).unwrap_or(u32::MAX);
        out.extend_from_slice(&seconds.to_be_bytes());
    }

    /// Reads the form with seconds.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MissingData`] when fewer than 40 bytes are left.
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

/// Reads the number of leases in a set.
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
