//! Datagrams on the sockets between a client and its bridge.

use std::time::Duration;

use bytes::Bytes;
use eepkit_wire::{Destination, Hash, base64};

use crate::{
    message::{LineBuilder, Message, ParamError, Params, Syntax},
    style::Style,
    version::Version,
};

/// Options of a single datagram that override those of its session. Source: specification, "Sending
/// Repliable or Raw Datagrams".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendOptions {
    /// The source port.
    pub from_port: Option<u16>,
    /// The destination port.
    pub to_port: Option<u16>,
    /// The I2CP protocol number; for raw datagrams only.
    pub protocol: Option<u8>,
    /// The number of session tags to send with the datagram.
    pub send_tags: Option<u16>,
    /// The number of session tags below which more are sent.
    pub tag_threshold: Option<u16>,
    /// The time after which routers may drop the datagram; seconds on the wire.
    pub expires: Option<Duration>,
    /// Whether to send the sender's lease set with the datagram.
    pub send_lease_set: Option<bool>,
}

impl SendOptions {
    /// Reads the options from the pairs of a line. Other pairs are ignored.
    ///
    /// # Errors
    ///
    /// [`ParamError`] if a value is out of range.
    pub fn from_params(params: &Params) -> Result<Self, ParamError> {
        let seconds: Option<u32> = params.number("EXPIRES", "a number of seconds")?;
        let send_lease_set = match params.value("SEND_LEASESET") {
            Some(_) => Some(params.flag("SEND_LEASESET", true)?),
            None => None,
        };
        Ok(Self {
            from_port: params.port("FROM_PORT")?,
            to_port: params.port("TO_PORT")?,
            protocol: params.number("PROTOCOL", "a number from 0 to 255")?,
            send_tags: params.number("SEND_TAGS", "a number from 0 to 65535")?,
            tag_threshold: params.number("TAG_THRESHOLD", "a number from 0 to 65535")?,
            expires: seconds.map(|seconds| Duration::from_secs(seconds.into())),
            send_lease_set,
        })
    }

    /// Appends the options to a line.
    pub fn add_to(&self, line: LineBuilder) -> LineBuilder {
        line.pair_if("FROM_PORT", self.from_port)
            .pair_if("TO_PORT", self.to_port)
            .pair_if("PROTOCOL", self.protocol)
            .pair_if("SEND_TAGS", self.send_tags)
            .pair_if("TAG_THRESHOLD", self.tag_threshold)
            .pair_if("EXPIRES", self.expires.map(|time| time.as_secs()))
            .pair_if("SEND_LEASESET", self.send_lease_set)
    }
}

/// The first line of a packet to the bridge's UDP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendHeader {
    /// The protocol version of the line.
    pub version: Version,
    /// The ID of the session that sends the datagram.
    pub id: String,
    /// The receiver, in any form that names a destination.
    pub to: String,
    /// The options that override those of the session.
    pub options: SendOptions,
}

impl SendHeader {
    /// Parses the first line of a packet, and returns it with the payload after it.
    ///
    /// # Errors
    ///
    /// [`PacketError`]. The bridge sends no answers over UDP, so it only counts these errors.
    pub fn parse(packet: &[u8]) -> Result<(Self, &[u8]), PacketError> {
        let (line, payload) = first_line(packet)?;
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().filter(|word| !word.is_empty());
        let version = word().ok_or(PacketError::Header)?;
        let version = version.parse().map_err(|_| PacketError::Version)?;
        let id = word().ok_or(PacketError::Header)?;
        let to = word().ok_or(PacketError::Header)?;
        // yosemite 0.7 writes values without keys. Java I2P and i2pd ignore them too.
        let pairs: Vec<&str> = word()
            .unwrap_or_default()
            .split(' ')
            .filter(|word| word.contains('='))
            .collect();
        let params = Message::parse_params(&pairs.join(" "), Syntax::CURRENT)
            .map_err(|_| PacketError::Header)?;
        let header = Self {
            version,
            id: id.to_owned(),
            to: to.to_owned(),
            options: SendOptions::from_params(&params)?,
        };
        Ok((header, payload))
    }

    /// Formats the packet: this first line and the payload.
    pub fn to_packet(&self, payload: &[u8]) -> Vec<u8> {
        let words = format!("{} {} {}", self.version, self.id, self.to);
        let mut packet = self
            .options
            .add_to(LineBuilder::new(&words))
            .finish()
            .into_bytes();
        packet.extend_from_slice(payload);
        packet
    }
}

/// The sender of a datagram.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sender {
    /// The datagram has no sender.
    Unknown,
    /// The destination that signed the datagram.
    Verified(Destination),
    /// The hash of a destination. It is not authenticated.
    Claimed(Hash),
}

impl Sender {
    /// The text form: a destination, or for Datagram3 the 44 characters of a hash.
    fn to_text(&self) -> Option<String> {
        match self {
            Self::Unknown => None,
            Self::Verified(destination) => Some(destination.to_base64()),
            Self::Claimed(hash) => Some(hash.to_base64()),
        }
    }

    fn parse(text: &str) -> Result<Self, PacketError> {
        if text.len() == HASH_CHARS {
            let bytes = base64::decode(text).map_err(|_| PacketError::Sender)?;
            let hash: [u8; 32] = bytes.try_into().map_err(|_| PacketError::Sender)?;
            return Ok(Self::Claimed(Hash::from(hash)));
        }
        Destination::from_base64(text)
            .map(Self::Verified)
            .map_err(|_| PacketError::Sender)
    }
}

/// A datagram received by a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The sender.
    pub sender: Sender,
    /// The source port.
    pub from_port: u16,
    /// The destination port.
    pub to_port: u16,
    /// The I2CP protocol number.
    pub protocol: u8,
    /// The payload.
    pub payload: Bytes,
}

impl Received {
    /// Formats the line and the payload that deliver the datagram on a control socket of protocol
    /// version `version`.
    pub fn to_control(&self, style: Style, version: Version) -> Vec<u8> {
        let ports = version.has_ports();
        let sender = self.sender.to_text();
        let raw = style == Style::Raw;
        let words = if raw {
            "RAW RECEIVED"
        } else {
            "DATAGRAM RECEIVED"
        };
        let mut packet = LineBuilder::new(words)
            .pair_if("DESTINATION", sender.filter(|_| !raw))
            .pair("SIZE", self.payload.len())
            .pair_if("FROM_PORT", ports.then_some(self.from_port))
            .pair_if("TO_PORT", ports.then_some(self.to_port))
            .pair_if("PROTOCOL", (ports && raw).then_some(self.protocol))
            .finish()
            .into_bytes();
        packet.extend_from_slice(&self.payload);
        packet
    }

    /// Formats the UDP packet that forwards the datagram, for a session whose control socket has
    /// protocol version `version`. `header` selects whether a raw datagram has a first line.
    pub fn to_packet(&self, style: Style, version: Version, header: bool) -> Vec<u8> {
        let ports = version.has_ports();
        let mut packet = if style == Style::Raw {
            match header {
                true => format!(
                    "FROM_PORT={} TO_PORT={} PROTOCOL={}\n",
                    self.from_port, self.to_port, self.protocol
                ),
                false => String::new(),
            }
        } else {
            LineBuilder::new(&self.sender.to_text().unwrap_or_default())
                .pair_if("FROM_PORT", ports.then_some(self.from_port))
                .pair_if("TO_PORT", ports.then_some(self.to_port))
                .finish()
        }
        .into_bytes();
        packet.extend_from_slice(&self.payload);
        packet
    }

    /// Parses a packet that a bridge forwarded to a session of `style`. `header` is whether the
    /// session requested a first line for raw datagrams.
    ///
    /// # Errors
    ///
    /// [`PacketError`].
    pub fn from_packet(style: Style, header: bool, packet: &Bytes) -> Result<Self, PacketError> {
        let protocol = style
            .protocol()
            .unwrap_or(crate::style::DEFAULT_RAW_PROTOCOL);
        if style == Style::Raw && !header {
            return Ok(Self {
                sender: Sender::Unknown,
                from_port: 0,
                to_port: 0,
                protocol,
                payload: packet.clone(),
            });
        }
        let (line, payload) = first_line(packet)?;
        let (sender, pairs) = if style == Style::Raw {
            (Sender::Unknown, line)
        } else {
            let (sender, pairs) = line.split_once(' ').unwrap_or((line, ""));
            (Sender::parse(sender)?, pairs)
        };
        let params =
            Message::parse_params(pairs, Syntax::CURRENT).map_err(|_| PacketError::Header)?;
        Ok(Self {
            sender,
            from_port: params.port("FROM_PORT")?.unwrap_or(0),
            to_port: params.port("TO_PORT")?.unwrap_or(0),
            protocol: params
                .number("PROTOCOL", "a number from 0 to 255")?
                .unwrap_or(protocol),
            payload: packet.slice_ref(payload),
        })
    }

    /// Parses `DATAGRAM RECEIVED` or `RAW RECEIVED`, and returns it with the number of payload
    /// bytes that follow. The payload of the result is empty.
    ///
    /// # Errors
    ///
    /// [`PacketError`].
    pub fn from_control(message: &Message) -> Result<(Self, usize), PacketError> {
        let params = &message.params;
        let sender = match params.value("DESTINATION") {
            Some(text) => Sender::parse(text)?,
            None => Sender::Unknown,
        };
        let size = params
            .number("SIZE", "a number of bytes")?
            .filter(|size| *size <= MAX_PACKET)
            .ok_or(PacketError::Header)?;
        let received = Self {
            sender,
            from_port: params.port("FROM_PORT")?.unwrap_or(0),
            to_port: params.port("TO_PORT")?.unwrap_or(0),
            protocol: params
                .number("PROTOCOL", "a number from 0 to 255")?
                .unwrap_or(crate::style::DEFAULT_RAW_PROTOCOL),
            payload: Bytes::new(),
        };
        Ok((received, size))
    }
}

/// The reason why a packet or a line with a datagram cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The first line is missing, is not text, or lacks required words.
    #[error("the first line of the packet is wrong")]
    Header,
    /// The first line does not begin with a version of SAM 3.
    #[error("the packet does not begin with a version of SAM 3")]
    Version,
    /// The sender is neither a destination nor a hash.
    #[error("the sender of the datagram is not a destination")]
    Sender,
    /// A value of the first line is invalid.
    #[error(transparent)]
    Param(#[from] ParamError),
}

fn first_line(packet: &[u8]) -> Result<(&str, &[u8]), PacketError> {
    let end = packet
        .iter()
        .take(MAX_HEADER)
        .position(|byte| *byte == b'\n')
        .ok_or(PacketError::Header)?;
    let (line, payload) = packet.split_at(end);
    let line = std::str::from_utf8(line).map_err(|_| PacketError::Header)?;
    if line.chars().any(char::is_control) {
        return Err(PacketError::Header);
    }
    Ok((line, payload.get(1..).unwrap_or_default()))
}

/// The length of a hash in base64, with padding.
const HASH_CHARS: usize = 44;

/// The longest first line of a packet, in bytes. Chosen because the longest destination, with an
/// RSA 4096 key, has about 1,050 characters, and an ID has up to 256. Java I2P reads 2,048 bytes.
const MAX_HEADER: usize = 4096;

/// The largest datagram, in bytes: that of a UDP packet.
const MAX_PACKET: usize = 65_535;

#[cfg(test)]
mod tests;
