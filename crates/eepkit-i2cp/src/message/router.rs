//! Messages about the connection and the router: dates, limits, complaints.

use std::fmt;

use eepkit_wire::{Codec, DecodeError, Mapping, Reader};

use super::fields::{SessionId, Text};

/// The first message of a client: which API it speaks, and who it is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GetDate {
    /// The client's API version; clients of 0.8.6 and older send none.
    pub version: Option<Text>,
    /// `i2cp.username` and `i2cp.password`, where the router asks for them.
    pub login: Mapping,
}

impl Codec for GetDate {
    fn encode(&self, out: &mut Vec<u8>) {
        let Some(version) = &self.version else { return };
        version.encode(out);
        if !self.login.is_empty() {
            self.login.encode(out);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.is_empty() {
            return Ok(Self::default());
        }
        let version = Some(Text::read(r)?);
        let login = if r.is_empty() {
            Mapping::default()
        } else {
            Mapping::read(r)?
        };
        Ok(Self { version, login })
    }
}

impl fmt::Debug for GetDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetDate")
            .field("version", &self.version)
            .field("has_login", &!self.login.is_empty())
            .finish()
    }
}

/// The router's time and API version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDate {
    /// Milliseconds since 1970.
    pub date: u64,
    /// The router's API version; routers of 0.8.6 and older send none.
    pub version: Option<Text>,
}

impl Codec for SetDate {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.date.to_be_bytes());
        if let Some(version) = &self.version {
            version.encode(out);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let date = r.u64("date")?;
        let version = if r.is_empty() {
            None
        } else {
            Some(Text::read(r)?)
        };
        Ok(Self { date, version })
    }
}

/// How much the router passes on; any of it may be 0 for "not told".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BandwidthLimits {
    /// To this client, KB per second.
    pub client_inbound: u32,
    /// From this client, KB per second.
    pub client_outbound: u32,
    /// Into the router, KB per second.
    pub router_inbound: u32,
    /// Into the router for a short time, KB per second.
    pub router_inbound_burst: u32,
    /// Out of the router, KB per second.
    pub router_outbound: u32,
    /// Out of the router for a short time, KB per second.
    pub router_outbound_burst: u32,
    /// How long a burst may last, seconds.
    pub router_burst_time: u32,
    /// Not defined.
    pub undefined: [u32; 9],
}

impl Codec for BandwidthLimits {
    fn encode(&self, out: &mut Vec<u8>) {
        let defined = [
            self.client_inbound,
            self.client_outbound,
            self.router_inbound,
            self.router_inbound_burst,
            self.router_outbound,
            self.router_outbound_burst,
            self.router_burst_time,
        ];
        for limit in defined.iter().chain(&self.undefined) {
            out.extend_from_slice(&limit.to_be_bytes());
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut next = || r.u32("bandwidth limit");
        let mut limits = Self {
            client_inbound: next()?,
            client_outbound: next()?,
            router_inbound: next()?,
            router_inbound_burst: next()?,
            router_outbound: next()?,
            router_outbound_burst: next()?,
            router_burst_time: next()?,
            undefined: [0; 9],
        };
        for slot in &mut limits.undefined {
            *slot = next()?;
        }
        Ok(limits)
    }
}

/// A complaint about a message. Specified, never seen in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportAbuse {
    /// The session.
    pub session: SessionId,
    /// 0 is least, 255 most abusive.
    pub severity: u8,
    /// The complaint.
    pub reason: Text,
    /// The message it is about.
    pub message: u32,
}

impl Codec for ReportAbuse {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        out.push(self.severity);
        self.reason.encode(out);
        out.extend_from_slice(&self.message.to_be_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            session: SessionId::read(r)?,
            severity: r.u8("severity")?,
            reason: Text::read(r)?,
            message: r.u32("message id")?,
        })
    }
}
