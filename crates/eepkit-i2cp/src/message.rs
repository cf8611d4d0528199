//! The messages of I2CP, in both directions.
//!
//! Source: the I2CP specification (API 0.9.66), "Messages". Client and router use the same types:
//! the sender of a message encodes it, the receiver decodes it.

mod blinding;
mod delivery;
mod fields;
mod lease_set;
mod lookup;
mod router;
mod session;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use eepkit_wire::{Codec, DecodeError, Hash, Lease, Reader};

use crate::frame::{MAX_BODY_LEN, write_frame};

pub use blinding::{BlindingInfo, ClientAuthentication, Endpoint};
pub(crate) use delivery::FramedSend;
pub use delivery::{
    DeliveryStatus, MessagePayload, MessageStatus, SendFlags, SendMessage, SendMessageExpires,
};
pub use fields::{SessionId, Text};
pub use lease_set::{CreateLeaseSet, CreateLeaseSet2, LeaseSetKey, RequestLeaseSet};
pub use lookup::{DestReply, HostLookup, HostReply, HostResult, LookupKey};
pub use router::{BandwidthLimits, GetDate, ReportAbuse, SetDate};
pub use session::{ConfigError, SessionConfig, SessionStatus};

/// The number of a message type on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageType(pub u8);

impl MessageType {
    /// Client to router.
    pub const CREATE_SESSION: Self = Self(1);
    /// Client to router.
    pub const RECONFIGURE_SESSION: Self = Self(2);
    /// Client to router.
    pub const DESTROY_SESSION: Self = Self(3);
    /// Client to router; for version 1 lease sets.
    pub const CREATE_LEASE_SET: Self = Self(4);
    /// Client to router.
    pub const SEND_MESSAGE: Self = Self(5);
    /// Client to router; only without fast receive.
    pub const RECEIVE_MESSAGE_BEGIN: Self = Self(6);
    /// Client to router; only without fast receive.
    pub const RECEIVE_MESSAGE_END: Self = Self(7);
    /// Client to router.
    pub const GET_BANDWIDTH_LIMITS: Self = Self(8);
    /// Router to client.
    pub const SESSION_STATUS: Self = Self(20);
    /// Router to client; sent only to clients before 0.9.7.
    pub const REQUEST_LEASE_SET: Self = Self(21);
    /// Router to client.
    pub const MESSAGE_STATUS: Self = Self(22);
    /// Router to client.
    pub const BANDWIDTH_LIMITS: Self = Self(23);
    /// Both directions; no known implementation sends it.
    pub const REPORT_ABUSE: Self = Self(29);
    /// Both directions.
    pub const DISCONNECT: Self = Self(30);
    /// Router to client.
    pub const MESSAGE_PAYLOAD: Self = Self(31);
    /// Client to router.
    pub const GET_DATE: Self = Self(32);
    /// Router to client.
    pub const SET_DATE: Self = Self(33);
    /// Client to router; used before 0.9.11.
    pub const DEST_LOOKUP: Self = Self(34);
    /// Router to client.
    pub const DEST_REPLY: Self = Self(35);
    /// Client to router.
    pub const SEND_MESSAGE_EXPIRES: Self = Self(36);
    /// Router to client.
    pub const REQUEST_VARIABLE_LEASE_SET: Self = Self(37);
    /// Client to router.
    pub const HOST_LOOKUP: Self = Self(38);
    /// Router to client.
    pub const HOST_REPLY: Self = Self(39);
    /// Removed from the protocol: an early form of CreateLeaseSet2, in 0.9.38 only.
    pub const CREATE_LEASE_SET_2_ABANDONED: Self = Self(40);
    /// Client to router.
    pub const CREATE_LEASE_SET_2: Self = Self(41);
    /// Client to router.
    pub const BLINDING_INFO: Self = Self(42);
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Opens a session.
    CreateSession(SessionConfig),
    /// Changes the options of a session.
    ReconfigureSession {
        /// The session.
        session: SessionId,
        /// Its destination and the options that change.
        config: SessionConfig,
    },
    /// Ends a session.
    DestroySession(SessionId),
    /// The version 1 lease set that the router requested.
    CreateLeaseSet(CreateLeaseSet),
    /// The lease set that the router requested.
    CreateLeaseSet2(CreateLeaseSet2),
    /// Sends a message to a peer, with the router's default lifetime.
    SendMessage(SendMessage),
    /// Sends a message to a peer, with flags and a deadline.
    SendMessageExpires(SendMessageExpires),
    /// Requests a message that the router announced.
    ReceiveMessageBegin {
        /// The session.
        session: SessionId,
        /// The id that the router gave to the message.
        message: u32,
    },
    /// Confirms that an announced message has arrived.
    ReceiveMessageEnd {
        /// The session.
        session: SessionId,
        /// The id that the router gave to the message.
        message: u32,
    },
    /// Requests [`Message::BandwidthLimits`].
    GetBandwidthLimits,
    /// A session was opened, changed, refused or ended.
    SessionStatus {
        /// The session.
        session: SessionId,
        /// The new status.
        status: SessionStatus,
    },
    /// Requests a signed lease set for these tunnels, which all expire at the same time.
    RequestLeaseSet(RequestLeaseSet),
    /// Requests a signed lease set for these tunnels.
    RequestVariableLeaseSet {
        /// The session.
        session: SessionId,
        /// The tunnels, at most 255.
        leases: Vec<Lease>,
    },
    /// Reports the delivery status of a sent message, or announces a received one.
    MessageStatus(MessageStatus),
    /// Bandwidth limits of the client and the router.
    BandwidthLimits(BandwidthLimits),
    /// A report of abuse. No known implementation sends it.
    ReportAbuse(ReportAbuse),
    /// Ends the connection, with a reason.
    Disconnect(Text),
    /// A message from a peer.
    MessagePayload(MessagePayload),
    /// The first message of a client.
    GetDate(GetDate),
    /// The first message of a router; later, the router's corrected time.
    SetDate(SetDate),
    /// Looks up the destination with this hash.
    DestLookup(Hash),
    /// The answer to [`Message::DestLookup`].
    DestReply(DestReply),
    /// Looks up a destination by hash or by host name.
    HostLookup(HostLookup),
    /// The answer to [`Message::HostLookup`].
    HostReply(HostReply),
    /// The parameters that the router needs to reach a blinded destination.
    BlindingInfo(BlindingInfo),
}

impl Message {
    /// The type of the message on the wire.
    pub fn kind(&self) -> MessageType {
        match self {
            Self::CreateSession(_) => MessageType::CREATE_SESSION,
            Self::ReconfigureSession { .. } => MessageType::RECONFIGURE_SESSION,
            Self::DestroySession(_) => MessageType::DESTROY_SESSION,
            Self::CreateLeaseSet(_) => MessageType::CREATE_LEASE_SET,
            Self::CreateLeaseSet2(_) => MessageType::CREATE_LEASE_SET_2,
            Self::SendMessage(_) => MessageType::SEND_MESSAGE,
            Self::SendMessageExpires(_) => MessageType::SEND_MESSAGE_EXPIRES,
            Self::ReceiveMessageBegin { .. } => MessageType::RECEIVE_MESSAGE_BEGIN,
            Self::ReceiveMessageEnd { .. } => MessageType::RECEIVE_MESSAGE_END,
            Self::GetBandwidthLimits => MessageType::GET_BANDWIDTH_LIMITS,
            Self::SessionStatus { .. } => MessageType::SESSION_STATUS,
            Self::RequestLeaseSet(_) => MessageType::REQUEST_LEASE_SET,
            Self::RequestVariableLeaseSet { .. } => MessageType::REQUEST_VARIABLE_LEASE_SET,
            Self::MessageStatus(_) => MessageType::MESSAGE_STATUS,
            Self::BandwidthLimits(_) => MessageType::BANDWIDTH_LIMITS,
            Self::ReportAbuse(_) => MessageType::REPORT_ABUSE,
            Self::Disconnect(_) => MessageType::DISCONNECT,
            Self::MessagePayload(_) => MessageType::MESSAGE_PAYLOAD,
            Self::GetDate(_) => MessageType::GET_DATE,
            Self::SetDate(_) => MessageType::SET_DATE,
            Self::DestLookup(_) => MessageType::DEST_LOOKUP,
            Self::DestReply(_) => MessageType::DEST_REPLY,
            Self::HostLookup(_) => MessageType::HOST_LOOKUP,
            Self::HostReply(_) => MessageType::HOST_REPLY,
            Self::BlindingInfo(_) => MessageType::BLINDING_INFO,
        }
    }

    /// Appends the frame, header and body, to `out`.
    ///
    /// # Errors
    ///
    /// If the body would be longer than [`MAX_BODY_LEN`]. `out` is then unchanged.
    pub fn encode_frame(&self, out: &mut Vec<u8>) -> Result<(), MessageTooLong> {
        let kind = self.kind();
        write_frame(kind.0, out, |out| self.encode_body(out))
            .map_err(|length| MessageTooLong { kind, length })
    }

    /// The frame, header and body.
    ///
    /// # Errors
    ///
    /// As [`Message::encode_frame`].
    pub fn to_frame(&self) -> Result<Vec<u8>, MessageTooLong> {
        let mut out = Vec::new();
        self.encode_frame(&mut out)?;
        Ok(out)
    }

    /// Appends the body to `out`.
    pub fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::CreateSession(config) => config.encode(out),
            Self::ReconfigureSession { session, config } => {
                session.encode(out);
                config.encode(out);
            }
            Self::DestroySession(session) => session.encode(out),
            Self::CreateLeaseSet(message) => message.encode(out),
            Self::CreateLeaseSet2(message) => message.encode(out),
            Self::SendMessage(message) => message.encode(out),
            Self::SendMessageExpires(message) => message.encode(out),
            Self::ReceiveMessageBegin { session, message }
            | Self::ReceiveMessageEnd { session, message } => {
                session.encode(out);
                out.extend_from_slice(&message.to_be_bytes());
            }
            Self::GetBandwidthLimits => {}
            Self::SessionStatus { session, status } => {
                session.encode(out);
                out.push(status.0);
            }
            Self::RequestLeaseSet(message) => message.encode(out),
            Self::RequestVariableLeaseSet { session, leases } => {
                session.encode(out);
                lease_set::encode_leases(leases, out);
            }
            Self::MessageStatus(message) => message.encode(out),
            Self::BandwidthLimits(message) => message.encode(out),
            Self::ReportAbuse(message) => message.encode(out),
            Self::Disconnect(reason) => reason.encode(out),
            Self::MessagePayload(message) => message.encode(out),
            Self::GetDate(message) => message.encode(out),
            Self::SetDate(message) => message.encode(out),
            Self::DestLookup(hash) => hash.encode(out),
            Self::DestReply(message) => message.encode(out),
            Self::HostLookup(message) => message.encode(out),
            Self::HostReply(message) => message.encode(out),
            Self::BlindingInfo(message) => message.encode(out),
        }
    }

    /// Decodes the body of a frame. Returns `None` if the message type is unknown, which is not an
    /// error.
    ///
    /// Payloads share the memory of `body`.
    ///
    /// # Errors
    ///
    /// If the body is not valid for the message type, or has trailing bytes.
    pub fn decode(kind: MessageType, body: &Bytes) -> Result<Option<Self>, DecodeError> {
        let mut r = Reader::new(body);
        let message = match kind {
            MessageType::CREATE_SESSION => Self::CreateSession(SessionConfig::read(&mut r)?),
            MessageType::RECONFIGURE_SESSION => Self::ReconfigureSession {
                session: SessionId::read(&mut r)?,
                config: SessionConfig::read(&mut r)?,
            },
            MessageType::DESTROY_SESSION => Self::DestroySession(SessionId::read(&mut r)?),
            MessageType::CREATE_LEASE_SET => Self::CreateLeaseSet(CreateLeaseSet::read(&mut r)?),
            MessageType::CREATE_LEASE_SET_2 => {
                Self::CreateLeaseSet2(CreateLeaseSet2::read(&mut r)?)
            }
            MessageType::SEND_MESSAGE => Self::SendMessage(SendMessage::read(&mut r, body)?),
            MessageType::SEND_MESSAGE_EXPIRES => {
                Self::SendMessageExpires(SendMessageExpires::read(&mut r, body)?)
            }
            MessageType::RECEIVE_MESSAGE_BEGIN => Self::ReceiveMessageBegin {
                session: SessionId::read(&mut r)?,
                message: r.u32("message id")?,
            },
            MessageType::RECEIVE_MESSAGE_END => Self::ReceiveMessageEnd {
                session: SessionId::read(&mut r)?,
                message: r.u32("message id")?,
            },
            MessageType::GET_BANDWIDTH_LIMITS => Self::GetBandwidthLimits,
            MessageType::SESSION_STATUS => Self::SessionStatus {
                session: SessionId::read(&mut r)?,
                status: SessionStatus(r.u8("session status")?),
            },
            MessageType::REQUEST_LEASE_SET => Self::RequestLeaseSet(RequestLeaseSet::read(&mut r)?),
            MessageType::REQUEST_VARIABLE_LEASE_SET => Self::RequestVariableLeaseSet {
                session: SessionId::read(&mut r)?,
                leases: lease_set::read_leases(&mut r)?,
            },
            MessageType::MESSAGE_STATUS => Self::MessageStatus(MessageStatus::read(&mut r)?),
            MessageType::BANDWIDTH_LIMITS => Self::BandwidthLimits(BandwidthLimits::read(&mut r)?),
            MessageType::REPORT_ABUSE => Self::ReportAbuse(ReportAbuse::read(&mut r)?),
            MessageType::DISCONNECT => Self::Disconnect(Text::read(&mut r)?),
            MessageType::MESSAGE_PAYLOAD => {
                Self::MessagePayload(MessagePayload::read(&mut r, body)?)
            }
            MessageType::GET_DATE => Self::GetDate(GetDate::read(&mut r)?),
            MessageType::SET_DATE => Self::SetDate(SetDate::read(&mut r)?),
            MessageType::DEST_LOOKUP => Self::DestLookup(Hash::read(&mut r)?),
            MessageType::DEST_REPLY => Self::DestReply(DestReply::read(&mut r)?),
            MessageType::HOST_LOOKUP => Self::HostLookup(HostLookup::read(&mut r)?),
            MessageType::HOST_REPLY => Self::HostReply(HostReply::read(&mut r)?),
            MessageType::BLINDING_INFO => Self::BlindingInfo(BlindingInfo::read(&mut r)?),
            _ => return Ok(None),
        };
        r.finish("i2cp message")?;
        Ok(Some(message))
    }
}

/// A message is too long for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a message of type {} has {length} bytes, the limit is {MAX_BODY_LEN}", kind.0)]
pub struct MessageTooLong {
    /// The type of the message.
    pub kind: MessageType,
    /// The length that its body would have, in bytes.
    pub length: usize,
}
