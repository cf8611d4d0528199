//! Messages about the connection and the router: dates, bandwidth limits, reports of abuse.

use std::fmt;

use eepkit_wire::{Codec, DecodeError, Mapping, Reader};

use super::fields::{SessionId, Text};

/// The first message of a client, with its API version and its login.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GetDate {
    /// The client's API version; clients of 0.8.6 and older send none.
    pub version: Option<Text>,
    /// `i2cp.username` and `i2cp.password`, if the router requires them.
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
    /// The router's time, in milliseconds since 1970.
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

/// Bandwidth limits of the client and the router. A value of 0 means that the router does not
/// report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BandwidthLimits {
    /// Limit for traffic to this client, in KB per second.
    pub client_inbound: u32,
    /// Limit for traffic from this client, in KB per second.
    pub client_outbound: u32,
    /// Limit for inbound traffic of the router, in KB per second.
    pub router_inbound: u32,
    /// Limit for inbound bursts of the router, in KB per second.
    pub router_inbound_burst: u32,
    /// Limit for outbound traffic of the router, in KB per second.
    pub router_outbound: u32,
    /// Limit for outbound bursts of the router, in KB per second.
    pub router_outbound_burst: u32,
    /// The longest duration of a burst, in seconds.
    pub router_burst_time: u32,
    /// Fields that the specification does not define.
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

/// A report of abuse by a message. No known implementation sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportAbuse {
    /// The session.
    pub session: SessionId,
    /// The severity, from 0 (lowest) to 255 (highest).
    pub severity: u8,
    /// A description of the abuse.
    pub reason: Text,
    /// The id of the message.
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
