//! Streaming packets: decoding without copying, encoding, signing, and verifying signatures.
//!
//! Layout (streaming specification, "Packet Format"), big-endian:
//!
//! ```text
//! send id 4 | receive id 4 | sequence number 4 | ack through 4 | n 1 | NACKs 4n
//! resend delay 1 | flags 2 | option size 2 | options | payload
//! ```
//!
//! The send id is the number that the receiver of the packet chose for the stream. The receive id
//! is the number that its sender chose. The order of options is delay, destination, maximum size,
//! offline signature, signature. There is no length field and no checksum, because the layers below
//! have both.

use std::ops::Range;

use bitflags::bitflags;
use bytes::{Bytes, BytesMut};
use eepkit_wire::{
    Codec, DecodeError, Destination, Hash, OfflineSignature, PrivateKeys, Reader, Signature,
    SignatureError, SigningPublicKey,
};

bitflags! {
    /// The flags of a packet: its type and its options (streaming specification, "Flags and Option
    /// Data Fields"). Unknown bits are kept.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u16 {
        /// Opens a stream, or answers the packet that opened it.
        const SYN = 1;
        /// Ends one direction of the stream: no data follows this packet.
        const CLOSE = 1 << 1;
        /// Ends the stream at once. Packets in flight are discarded.
        const RESET = 1 << 2;
        /// A signature is included.
        const SIGNATURE = 1 << 3;
        /// Requests signatures on all packets. No implementation supports it.
        const SIGNATURE_REQUESTED = 1 << 4;
        /// The sender's destination is included.
        const FROM = 1 << 5;
        /// A delay in milliseconds is included. 0 requests an acknowledgement at once. More than
        /// 60,000 means choking.
        const DELAY = 1 << 6;
        /// The largest payload that the sender wants to receive is included.
        const MAX_SIZE = 1 << 7;
        /// Unused.
        const INTERACTIVE = 1 << 8;
        /// A ping or a pong.
        const ECHO = 1 << 9;
        /// The field "ack through" is not valid.
        const NO_ACK = 1 << 10;
        /// An offline signature is included.
        const OFFLINE = 1 << 11;
        const _ = !0;
    }
}

impl Flags {
    /// Whether the packet opens a stream, or answers the packet that opened it.
    pub const fn is_syn(self) -> bool {
        self.contains(Self::SYN)
    }

    /// Whether the packet ends one direction of the stream.
    pub const fn is_close(self) -> bool {
        self.contains(Self::CLOSE)
    }

    /// Whether the packet ends the stream at once.
    pub const fn is_reset(self) -> bool {
        self.contains(Self::RESET)
    }

    /// Whether the packet is a ping or a pong.
    pub const fn is_echo(self) -> bool {
        self.contains(Self::ECHO)
    }

    /// Whether the field "ack through" is not valid.
    pub const fn is_no_ack(self) -> bool {
        self.contains(Self::NO_ACK)
    }
}

/// A received packet, which borrows its bytes.
///
/// [`Packet::parse`] has checked all lengths, except those of the signature options. No accessor
/// panics.
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    send_id: u32,
    recv_id: u32,
    seq: u32,
    ack_through: u32,
    nacks: &'a [u8],
    resend_delay: u8,
    flags: Flags,
    delay: Option<u16>,
    from: Option<Destination>,
    max_size: Option<u16>,
    /// The position of the offline signature and the signature.
    signed_options: Range<usize>,
    payload: usize,
}

impl<'a> Packet<'a> {
    /// Decodes a packet that fills `bytes`.
    ///
    /// Options without a flag are skipped, because later versions may add options.
    ///
    /// # Errors
    ///
    /// The packet ends early, or its destination is malformed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let send_id = r.u32("stream id")?;
        let recv_id = r.u32("stream id")?;
        let seq = r.u32("sequence number")?;
        let ack_through = r.u32("acknowledgement")?;
        let nacks = usize::from(r.u8("nack count")?);
        let nacks = r.take(nacks * 4, "nacks")?;
        let resend_delay = r.u8("resend delay")?;
        let flags = Flags::from_bits_retain(r.u16("flags")?);
        let option_size = usize::from(r.u16("option size")?);
        let options_start = r.position();
        let options = r.take(option_size, "options")?;
        let payload = r.position();
        let mut options = Reader::new(options);
        let mut number =
            |flag: Flags, what| flags.contains(flag).then(|| options.u16(what)).transpose();
        let delay = number(Flags::DELAY, "delay")?;
        let from = flags
            .contains(Flags::FROM)
            .then(|| Destination::read(&mut options))
            .transpose()?;
        let mut number =
            |flag: Flags, what| flags.contains(flag).then(|| options.u16(what)).transpose();
        let max_size = number(Flags::MAX_SIZE, "maximum size")?;
        Ok(Self {
            bytes,
            send_id,
            recv_id,
            seq,
            ack_through,
            nacks,
            resend_delay,
            flags,
            delay,
            from,
            max_size,
            signed_options: options_start + options.position()..payload,
            payload,
        })
    }

    /// The id of the stream that the receiver of the packet chose; 0 if its sender has not received
    /// that id yet.
    pub const fn send_id(&self) -> u32 {
        self.send_id
    }

    /// The id of the stream that the sender of the packet chose.
    pub const fn recv_id(&self) -> u32 {
        self.recv_id
    }

    /// The sequence number. A packet with number 0 and without SYN is a plain acknowledgement.
    pub const fn seq(&self) -> u32 {
        self.seq
    }

    /// The highest sequence number received, unless NO_ACK is set.
    pub const fn ack_through(&self) -> u32 {
        self.ack_through
    }

    /// The number of NACKs.
    pub const fn nack_count(&self) -> usize {
        self.nacks.len() / 4
    }

    /// The missing sequence numbers below [`Packet::ack_through`], in the order of the packet. They
    /// may be unsorted.
    pub fn nacks(&self) -> impl Iterator<Item = u32> + 'a {
        let (words, _) = self.nacks.as_chunks::<4>();
        words.iter().map(|word| u32::from_be_bytes(*word))
    }

    /// The hash of the receiver, which the first packet of a stream may have in place of NACKs
    /// (streaming specification, "Replay Prevention").
    pub fn replay_guard(&self) -> Option<Hash> {
        <[u8; 32]>::try_from(self.nacks).ok().map(Hash::from)
    }

    /// The number of seconds after which the sender retransmits the packet. All implementations
    /// ignore it.
    pub const fn resend_delay(&self) -> u8 {
        self.resend_delay
    }

    /// The flags.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// The delay option in milliseconds.
    pub const fn delay(&self) -> Option<u16> {
        self.delay
    }

    /// The claimed sender, which [`Packet::verify`] verifies.
    pub const fn from(&self) -> Option<&Destination> {
        self.from.as_ref()
    }

    /// The largest payload that the sender accepts, in bytes.
    pub const fn max_size(&self) -> Option<u16> {
        self.max_size
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.payload..).unwrap_or_default()
    }

    /// The position of the payload, in bytes from the start of the packet.
    pub const fn payload_start(&self) -> usize {
        self.payload
    }

    /// Whether the packet has a signature.
    pub const fn is_signed(&self) -> bool {
        self.flags.contains(Flags::SIGNATURE)
    }

    /// Whether the packet borrows exactly `bytes`, and not a copy of them.
    pub(crate) fn is_of(&self, bytes: &[u8]) -> bool {
        std::ptr::eq(self.bytes, bytes)
    }

    /// Verifies the signature and returns the signer.
    ///
    /// `known` is the peer of the stream, once the stream is established. A destination in the
    /// packet must then be that of the peer. An offline signature must not have expired at
    /// `unix_now`, in seconds since the epoch. An offline signature without a destination in the
    /// packet (i2pd's CLOSE) requires `known`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if the packet has no signature, if its key is unknown, or if the signature
    /// is invalid.
    pub fn verify(&self, known: Option<&Identity>, unix_now: u32) -> Result<Identity, VerifyError> {
        if !self.flags.contains(Flags::SIGNATURE) {
            return Err(VerifyError::NotSigned);
        }
        let destination = match (&self.from, known) {
            (Some(from), Some(known)) if *from != known.destination => {
                return Err(VerifyError::OtherSender);
            }
            (Some(from), _) => from,
            (None, Some(known)) => &known.destination,
            (None, None) => return Err(VerifyError::UnknownSender),
        };
        let start = self.signed_options.start;
        let options = self
            .bytes
            .get(self.signed_options.clone())
            .unwrap_or_default();
        let mut r = Reader::new(options);
        let transient = if self.flags.contains(Flags::OFFLINE) {
            let offline = OfflineSignature::read(&mut r, destination.signature_type())?;
            offline.verify(destination, unix_now)?;
            Some(offline.transient().clone())
        } else {
            known.and_then(|known| known.transient.clone())
        };
        let key = transient
            .as_ref()
            .unwrap_or_else(|| destination.signing_key());
        let signature_start = start + r.position();
        let signature = Signature::read(&mut r, key.signature_type())?;
        let signature_end = start + r.position();
        let zeros = ZEROS
            .get(..signature_end - signature_start)
            .ok_or(VerifyError::NotSigned)?;
        let before = self.bytes.get(..signature_start).unwrap_or_default();
        let after = self.bytes.get(signature_end..).unwrap_or_default();
        key.verify_parts(&[before, zeros, after], &signature)?;
        Ok(Identity {
            destination: destination.clone(),
            transient,
        })
    }
}

/// A peer and its signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The peer.
    pub destination: Destination,
    /// The transient signing key, if the key of the destination is kept offline.
    pub transient: Option<SigningPublicKey>,
}

impl Identity {
    /// A peer that signs with the key of its destination.
    pub const fn new(destination: Destination) -> Self {
        Self {
            destination,
            transient: None,
        }
    }
}

/// Why the sender of a packet could not be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The packet has no signature, and one is required.
    #[error("the packet is not signed")]
    NotSigned,
    /// The packet has a signature, but does not state its signer.
    #[error("the packet does not state its signer")]
    UnknownSender,
    /// The signer is not the peer of the stream.
    #[error("the sender of the packet is not the peer of its stream")]
    OtherSender,
    /// The signature or offline signature is truncated or of an unknown type.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The signature is invalid.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// A packet to be encoded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Repr<'a> {
    /// See [`Packet::send_id`].
    pub send_id: u32,
    /// See [`Packet::recv_id`].
    pub recv_id: u32,
    /// See [`Packet::seq`].
    pub seq: u32,
    /// See [`Packet::ack_through`].
    pub ack_through: u32,
    /// The missing sequence numbers. Only the first 255 are encoded.
    pub nacks: &'a [u32],
    /// See [`Packet::resend_delay`].
    pub resend_delay: u8,
    /// SYN, CLOSE, RESET, ECHO and NO_ACK. The flags of options are set from the options.
    pub flags: Flags,
    /// The delay option in milliseconds.
    pub delay: Option<u16>,
    /// The destination to include.
    pub from: Option<&'a Destination>,
    /// The maximum size to include, in bytes.
    pub max_size: Option<u16>,
    /// The payload.
    pub payload: &'a [u8],
}

impl Repr<'_> {
    /// Appends the packet to `out`, without a signature.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_with(None, 0, out);
    }

    /// Encodes the packet and signs it with `keys`. Includes their offline signature, if there is
    /// one.
    pub fn sign(&self, keys: &PrivateKeys) -> Vec<u8> {
        let (bytes, place) = self.encode_unsigned(keys);
        sign(bytes.into(), place, keys).into()
    }

    /// Encodes the packet as [`Repr::sign`] does, without making the signature.
    pub(crate) fn unsigned(&self, keys: &PrivateKeys) -> Encoded {
        let (bytes, place) = self.encode_unsigned(keys);
        Encoded {
            bytes: bytes.into(),
            unsigned: Some(place),
        }
    }

    /// Encodes the packet with zero bytes in place of the signature of `keys`. Returns their
    /// position, too.
    fn encode_unsigned(&self, keys: &PrivateKeys) -> (Vec<u8>, Range<usize>) {
        let length = keys.signature_type().signature_len().unwrap_or(0);
        let offline = keys.offline().map(|offline| {
            let mut bytes = Vec::new();
            offline.encode(&mut bytes);
            bytes
        });
        let mut out = Vec::with_capacity(
            MIN_HEADER + self.nacks.len() * 4 + 512 + length + self.payload.len(),
        );
        let place = self.encode_with(offline.as_deref(), length, &mut out);
        (out, place)
    }

    /// Appends the packet with `signature` zero bytes in place of a signature. Returns their
    /// position.
    fn encode_with(
        &self,
        offline: Option<&[u8]>,
        signature: usize,
        out: &mut Vec<u8>,
    ) -> Range<usize> {
        let start = out.len();
        let nacks = &self.nacks[..self.nacks.len().min(255)];
        out.extend_from_slice(&self.send_id.to_be_bytes());
        out.extend_from_slice(&self.recv_id.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.ack_through.to_be_bytes());
        out.push(u8::try_from(nacks.len()).unwrap_or(u8::MAX));
        for nack in nacks {
            out.extend_from_slice(&nack.to_be_bytes());
        }
        out.push(self.resend_delay);
        let mut flags = self.flags;
        for (flag, present) in [
            (Flags::DELAY, self.delay.is_some()),
            (Flags::FROM, self.from.is_some()),
            (Flags::MAX_SIZE, self.max_size.is_some()),
            (Flags::OFFLINE, offline.is_some()),
            (Flags::SIGNATURE, signature > 0),
        ] {
            if present {
                flags |= flag;
            }
        }
        out.extend_from_slice(&flags.bits().to_be_bytes());
        let size_at = out.len();
        out.extend_from_slice(&[0; 2]);
        if let Some(delay) = self.delay {
            out.extend_from_slice(&delay.to_be_bytes());
        }
        if let Some(from) = self.from {
            from.encode(out);
        }
        if let Some(max_size) = self.max_size {
            out.extend_from_slice(&max_size.to_be_bytes());
        }
        out.extend_from_slice(offline.unwrap_or_default());
        let signature_at = out.len();
        out.resize(signature_at + signature, 0);
        // With all existing key types, the options are far shorter than 64 KiB.
        let size = u16::try_from(out.len() - size_at - 2).unwrap_or(u16::MAX);
        out[size_at..size_at + 2].copy_from_slice(&size.to_be_bytes());
        out.extend_from_slice(self.payload);
        signature_at - start..signature_at - start + signature
    }
}

/// An encoded packet. Its signature may be missing: signing takes longer than everything else, and
/// needs no state of the endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    /// The place of the missing signature.
    pub(crate) unsigned: Option<Range<usize>>,
}

/// Writes the signature of a packet that has zero bytes in its place.
pub(crate) fn sign(packet: Bytes, place: Range<usize>, keys: &PrivateKeys) -> Bytes {
    let signature = keys.sign(&packet);
    let mut bytes = BytesMut::from(packet);
    if let (Some(place), signature) = (bytes.get_mut(place), signature.as_bytes())
        && place.len() == signature.len()
    {
        place.copy_from_slice(signature);
    }
    bytes.freeze()
}

impl From<Bytes> for Encoded {
    /// A packet without a signature.
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            unsigned: None,
        }
    }
}

impl From<Vec<u8>> for Encoded {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

/// The header of a data packet without options, or with only the delay option.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DataHeader {
    pub(crate) send_id: u32,
    pub(crate) recv_id: u32,
    pub(crate) seq: u32,
    pub(crate) ack: Option<u32>,
    pub(crate) resend_delay: u8,
    pub(crate) delay: Option<u16>,
}

impl DataHeader {
    pub(crate) fn encode(&self) -> EncodedHeader {
        let mut bytes = [0; MIN_HEADER + 2];
        bytes[..4].copy_from_slice(&self.send_id.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.recv_id.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.seq.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.ack.unwrap_or(0).to_be_bytes());
        // No NACKs.
        bytes[17] = self.resend_delay;
        let mut flags = Flags::default();
        if self.ack.is_none() {
            flags |= Flags::NO_ACK;
        }
        let mut length = MIN_HEADER;
        if let Some(delay) = self.delay {
            flags |= Flags::DELAY;
            bytes[20..22].copy_from_slice(&2_u16.to_be_bytes());
            bytes[22..24].copy_from_slice(&delay.to_be_bytes());
            length += 2;
        }
        bytes[18..20].copy_from_slice(&flags.bits().to_be_bytes());
        EncodedHeader { bytes, length }
    }
}

/// An encoded [`DataHeader`], on the stack.
#[derive(Debug)]
pub(crate) struct EncodedHeader {
    bytes: [u8; MIN_HEADER + 2],
    length: usize,
}

impl EncodedHeader {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The NACK words of a first packet (SYN): the hash of its receiver in place of NACKs. A receiver
/// rejects a packet with the hash of another destination.
pub fn replay_guard(receiver: &Hash) -> [u32; 8] {
    let mut words = [0; 8];
    let (chunks, _) = receiver.as_bytes().as_chunks::<4>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_be_bytes(*chunk);
    }
    words
}

/// Bytes of a header without NACKs and options (streaming specification, "Packet Format").
pub(crate) const MIN_HEADER: usize = 22;
/// Replaces the signature while it is verified. The longest signature is that of RSA with 4096
/// bits.
static ZEROS: [u8; 512] = [0; 512];

#[cfg(test)]
mod tests;
