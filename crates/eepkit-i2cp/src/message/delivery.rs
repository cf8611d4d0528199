//! Messages that contain application data, and their delivery status.

use std::fmt;

use bytes::Bytes;
use eepkit_wire::{Codec, DecodeError, Destination, Reader, gzip};

use super::fields::{SessionId, encode_payload, read_payload};

/// Sends a message to a peer, with the router's default lifetime.
#[derive(Clone, PartialEq, Eq)]
pub struct SendMessage {
    /// The session that sends the message.
    pub session: SessionId,
    /// The destination of the peer.
    pub to: Destination,
    /// The payload, with gzip framing.
    pub payload: Bytes,
    /// The nonce of the [`MessageStatus`]; 0 requests none.
    pub nonce: u32,
}

impl SendMessage {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        self.to.encode(out);
        encode_payload(&self.payload, out);
        out.extend_from_slice(&self.nonce.to_be_bytes());
    }

    pub(super) fn read(r: &mut Reader<'_>, body: &Bytes) -> Result<Self, DecodeError> {
        Ok(Self {
            session: SessionId::read(r)?,
            to: Destination::read(r)?,
            payload: read_payload(r, body)?,
            nonce: r.u32("nonce")?,
        })
    }
}

impl fmt::Debug for SendMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendMessage")
            .field("session", &self.session)
            .field("to", &self.to)
            .field("payload_len", &self.payload.len())
            .field("nonce", &self.nonce)
            .finish()
    }
}

/// Sends a message to a peer, with flags and a deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendMessageExpires {
    /// The message.
    pub message: SendMessage,
    /// Flags for the router.
    pub flags: SendFlags,
    /// The time after which the router may drop the message, in milliseconds since 1970. The lower
    /// 48 bits are sent.
    pub expires: u64,
}

impl SendMessageExpires {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.message.encode(out);
        encode_flags(self.flags, self.expires, out);
    }

    pub(super) fn read(r: &mut Reader<'_>, body: &Bytes) -> Result<Self, DecodeError> {
        let message = SendMessage::read(r, body)?;
        let flags = SendFlags(r.u16("flags")?);
        let [a, b, c, d, e, f] = r.array("expiration")?;
        Ok(Self {
            message,
            flags,
            expires: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
        })
    }
}

/// The body of SendMessageExpires with a payload that has no gzip framing yet.
///
/// It has the same encoding as [`SendMessageExpires`]. The framing is added while the message is
/// encoded, which saves a copy of the payload.
#[derive(Clone, Copy)]
pub(crate) struct FramedSend<'a> {
    pub(crate) session: SessionId,
    pub(crate) to: &'a Destination,
    pub(crate) header: gzip::Header,
    pub(crate) body: &'a [u8],
    pub(crate) compress: bool,
    pub(crate) nonce: u32,
    pub(crate) flags: SendFlags,
    pub(crate) expires: u64,
}

impl FramedSend<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        self.to.encode(out);
        let start = out.len();
        out.extend_from_slice(&[0xff; PAYLOAD_LENGTH]);
        gzip::encode_into(out, self.header, self.body, self.compress);
        // A payload whose length exceeds four bytes is also too long for a frame, which the caller
        // checks.
        let length = (out.len() - start - PAYLOAD_LENGTH) as u32;
        out[start..start + PAYLOAD_LENGTH].copy_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.nonce.to_be_bytes());
        encode_flags(self.flags, self.expires, out);
    }
}

/// Encodes the flags into the two upper bytes of an eight-byte date, as the specification defines.
fn encode_flags(flags: SendFlags, expires: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&flags.0.to_be_bytes());
    out.extend_from_slice(&expires.to_be_bytes()[2..]);
}

/// The size of the length field before a payload, in bytes.
const PAYLOAD_LENGTH: usize = 4;

/// The flags of SendMessageExpires. With the default, the router uses the settings of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SendFlags(pub u16);

impl SendFlags {
    /// Sets or clears the flag that the router must not bundle this session's lease set.
    #[must_use]
    pub fn with_omit_lease_set(self, omit: bool) -> Self {
        if omit {
            Self(self.0 | Self::OMIT_LEASE_SET)
        } else {
            Self(self.0 & !Self::OMIT_LEASE_SET)
        }
    }

    /// Sets the low-tag threshold: if fewer session tags are left, the router sends new ones.
    ///
    /// The value is rounded up to the next one that the protocol can express, at most 192. It has
    /// an effect for ElGamal peers only.
    #[must_use]
    pub fn with_tag_threshold(self, tags: u8) -> Self {
        Self(self.0 & !0x00f0 | code_of(&TAG_THRESHOLDS, tags) << 4)
    }

    /// Sets the number of session tags that the router sends at a time.
    ///
    /// The value is rounded up to the next one that the protocol can express, at most 160. It has
    /// an effect for ElGamal peers only.
    #[must_use]
    pub fn with_tags_to_send(self, tags: u8) -> Self {
        Self(self.0 & !0x000f | code_of(&TAGS_TO_SEND, tags))
    }

    /// Whether the router must not bundle the lease set.
    pub fn omit_lease_set(self) -> bool {
        self.0 & Self::OMIT_LEASE_SET != 0
    }

    /// The low-tag threshold, if it is set.
    pub fn tag_threshold(self) -> Option<u8> {
        value_of(&TAG_THRESHOLDS, self.0 >> 4 & 0xf)
    }

    /// The number of tags to send, if it is set.
    pub fn tags_to_send(self) -> Option<u8> {
        value_of(&TAGS_TO_SEND, self.0 & 0xf)
    }

    const OMIT_LEASE_SET: u16 = 1 << 8;
}

/// The code of the smallest listed value that is not below `tags`. Codes start at 1; code 0 selects
/// the setting of the session.
fn code_of(table: &[u8; 15], tags: u8) -> u16 {
    let index = table
        .iter()
        .position(|listed| *listed >= tags)
        .unwrap_or(table.len() - 1);
    index as u16 + 1
}

fn value_of(table: &[u8; 15], code: u16) -> Option<u8> {
    usize::from(code)
        .checked_sub(1)
        .and_then(|index| table.get(index).copied())
}

/// The delivery status of a message that was sent, or the announcement of a received one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageStatus {
    /// The session.
    pub session: SessionId,
    /// The id that the router gave to the message.
    pub message: u32,
    /// The status.
    pub status: DeliveryStatus,
    /// The length of the announced message, in bytes. Used only with
    /// [`DeliveryStatus::AVAILABLE`].
    pub size: u32,
    /// The nonce with which the message was sent.
    pub nonce: u32,
}

impl Codec for MessageStatus {
    fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        out.extend_from_slice(&self.message.to_be_bytes());
        out.push(self.status.0);
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&self.nonce.to_be_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            session: SessionId::read(r)?,
            message: r.u32("message id")?,
            status: DeliveryStatus(r.u8("message status")?),
            size: r.u32("message size")?,
            nonce: r.u32("nonce")?,
        })
    }
}

/// A status code of [`MessageStatus`]. Routers may use codes that are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryStatus(pub u8);

impl DeliveryStatus {
    /// A message from a peer can be requested.
    pub const AVAILABLE: Self = Self(0);
    /// The router accepted the message; another status follows.
    pub const ACCEPTED: Self = Self(1);
    /// Probably delivered.
    pub const BEST_EFFORT_SUCCESS: Self = Self(2);
    /// Probably not delivered.
    pub const BEST_EFFORT_FAILURE: Self = Self(3);
    /// Probably delivered.
    pub const GUARANTEED_SUCCESS: Self = Self(4);
    /// Not delivered, for an unspecified reason.
    pub const GUARANTEED_FAILURE: Self = Self(5);
    /// Delivered to a destination on the same router.
    pub const LOCAL_SUCCESS: Self = Self(6);
    /// Not delivered to a destination on the same router.
    pub const LOCAL_FAILURE: Self = Self(7);
    /// The router is not ready or is stopping.
    pub const ROUTER_FAILURE: Self = Self(8);
    /// The computer has no network.
    pub const NETWORK_FAILURE: Self = Self(9);
    /// The session does not exist.
    pub const BAD_SESSION: Self = Self(10);
    /// The payload is empty, too long or not valid.
    pub const BAD_MESSAGE: Self = Self(11);
    /// The flags or the expiration are not valid.
    pub const BAD_OPTIONS: Self = Self(12);
    /// A queue in the router was full.
    pub const OVERFLOW: Self = Self(13);
    /// The message expired before it was sent.
    pub const EXPIRED: Self = Self(14);
    /// This session has no valid lease set.
    pub const BAD_LOCAL_LEASE_SET: Self = Self(15);
    /// This session has no tunnels.
    pub const NO_LOCAL_TUNNELS: Self = Self(16);
    /// The session and the peer have no encryption type in common.
    pub const UNSUPPORTED_ENCRYPTION: Self = Self(17);
    /// The peer's destination is not valid or not supported.
    pub const BAD_DESTINATION: Self = Self(18);
    /// The peer's lease set is not valid or not supported.
    pub const BAD_LEASE_SET: Self = Self(19);
    /// The peer's lease set has expired, and no newer one was found.
    pub const EXPIRED_LEASE_SET: Self = Self(20);
    /// The peer's lease set was not found.
    pub const NO_LEASE_SET: Self = Self(21);
    /// The peer has a meta lease set, to which messages cannot be sent.
    pub const META_LEASE_SET: Self = Self(22);
    /// The session sent a message to itself.
    pub const LOOPBACK_DENIED: Self = Self(23);

    /// Whether the message was accepted or delivered. All other codes except
    /// [`DeliveryStatus::AVAILABLE`] report a failure.
    pub fn is_success(self) -> bool {
        matches!(
            self,
            Self::ACCEPTED
                | Self::BEST_EFFORT_SUCCESS
                | Self::GUARANTEED_SUCCESS
                | Self::LOCAL_SUCCESS
        )
    }
}

/// A message from a peer.
#[derive(Clone, PartialEq, Eq)]
pub struct MessagePayload {
    /// The session that receives the message.
    pub session: SessionId,
    /// The id that the router gave to the message.
    pub message: u32,
    /// The payload, with gzip framing.
    pub payload: Bytes,
}

impl MessagePayload {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.session.encode(out);
        out.extend_from_slice(&self.message.to_be_bytes());
        encode_payload(&self.payload, out);
    }

    pub(super) fn read(r: &mut Reader<'_>, body: &Bytes) -> Result<Self, DecodeError> {
        Ok(Self {
            session: SessionId::read(r)?,
            message: r.u32("message id")?,
            payload: read_payload(r, body)?,
        })
    }
}

impl fmt::Debug for MessagePayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessagePayload")
            .field("session", &self.session)
            .field("message", &self.message)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

/// Low-tag thresholds by code (I2CP, "Flags Field", bits 7-4).
const TAG_THRESHOLDS: [u8; 15] = [2, 3, 6, 9, 14, 20, 27, 35, 45, 57, 72, 92, 117, 147, 192];

/// Numbers of tags to send by code (I2CP, "Flags Field", bits 3-0).
const TAGS_TO_SEND: [u8; 15] = [2, 4, 6, 8, 12, 16, 24, 32, 40, 51, 64, 80, 100, 125, 160];
