//! Streaming packets: reading without copying, writing, signing, checking signatures.
//!
//! Layout (streaming specification, "Packet Format"), big-endian:
//!
//! ```text
//! send id 4 | receive id 4 | sequence number 4 | ack through 4 | n 1 | NACKs 4n
//! resend delay 1 | flags 2 | option size 2 | options | payload
//! ```
//!
//! The send id is the number that the receiver of the packet chose for the stream, the receive id
//! the one its sender chose. Options stand in the order delay, destination, maximum size, offline
//! signature, signature. There is no length field and no checksum; the layers below have both.

use std::{fmt, ops::Range};

use eepkit_wire::{
    Codec, DecodeError, Destination, Hash, OfflineSignature, PrivateKeys, Reader, Signature,
    SignatureError, SigningPublicKey,
};

/// What a packet is and which options it carries: streaming specification, "Flags and Option Data
/// Fields". Unknown bits are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// Opens a stream, or answers that.
    pub const SYN: Self = Self(1);
    /// Nothing follows this packet in its direction.
    pub const CLOSE: Self = Self(1 << 1);
    /// The stream is over, and packets in flight are discarded.
    pub const RESET: Self = Self(1 << 2);
    /// A signature is included.
    pub const SIGNATURE: Self = Self(1 << 3);
    /// Asks for signatures on all packets; no implementation supports it.
    pub const SIGNATURE_REQUESTED: Self = Self(1 << 4);
    /// The sender's destination is included.
    pub const FROM: Self = Self(1 << 5);
    /// A delay in milliseconds is included; 0 asks for an acknowledgement at once, more than 60,000
    /// means choking.
    pub const DELAY: Self = Self(1 << 6);
    /// The largest payload that the sender wants to receive is included.
    pub const MAX_SIZE: Self = Self(1 << 7);
    /// Unused.
    pub const INTERACTIVE: Self = Self(1 << 8);
    /// A ping or a pong.
    pub const ECHO: Self = Self(1 << 9);
    /// The field "ack through" means nothing.
    pub const NO_ACK: Self = Self(1 << 10);
    /// An offline signature is included.
    pub const OFFLINE: Self = Self(1 << 11);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Opens a stream, or answers that.
    pub const fn is_syn(self) -> bool {
        self.contains(Self::SYN)
    }

    /// Nothing follows.
    pub const fn is_close(self) -> bool {
        self.contains(Self::CLOSE)
    }

    /// The stream is over.
    pub const fn is_reset(self) -> bool {
        self.contains(Self::RESET)
    }

    /// A ping or a pong.
    pub const fn is_echo(self) -> bool {
        self.contains(Self::ECHO)
    }

    /// The field "ack through" means nothing.
    pub const fn is_no_ack(self) -> bool {
        self.contains(Self::NO_ACK)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 12] = [
            "SYN",
            "CLOSE",
            "RESET",
            "SIGNATURE",
            "SIGNATURE_REQUESTED",
            "FROM",
            "DELAY",
            "MAX_SIZE",
            "INTERACTIVE",
            "ECHO",
            "NO_ACK",
            "OFFLINE",
        ];
        let mut set = f.debug_set();
        for (bit, name) in NAMES.iter().enumerate() {
            if self.0 >> bit & 1 == 1 {
                set.entry(&format_args!("{name}"));
            }
        }
        set.finish()
    }
}

/// A packet as it was received, borrowed.
///
/// Everything but the signed part of the options has been checked for length; no accessor panics.
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
    /// Where the offline signature and the signature are.
    signed_options: Range<usize>,
    payload: usize,
}

impl<'a> Packet<'a> {
    /// Reads a packet that fills `bytes`.
    ///
    /// Options that the flags do not announce are skipped, as later versions may add some.
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
        let flags = Flags(r.u16("flags")?);
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

    /// The stream as its receiver numbers it; 0 where the sender does not know that number yet.
    pub const fn send_id(&self) -> u32 {
        self.send_id
    }

    /// The stream as its sender numbers it.
    pub const fn recv_id(&self) -> u32 {
        self.recv_id
    }

    /// The sequence number. 0 without SYN is a plain acknowledgement.
    pub const fn seq(&self) -> u32 {
        self.seq
    }

    /// The highest sequence number received, unless NO_ACK is set.
    pub const fn ack_through(&self) -> u32 {
        self.ack_through
    }

    /// How many NACKs there are.
    pub const fn nack_count(&self) -> usize {
        self.nacks.len() / 4
    }

    /// Sequence numbers below [`Packet::ack_through`] that are missing, as they were sent: nothing
    /// is promised about their order.
    pub fn nacks(&self) -> impl Iterator<Item = u32> + 'a {
        let (words, _) = self.nacks.as_chunks::<4>();
        words.iter().map(|word| u32::from_be_bytes(*word))
    }

    /// The destination that the first packet of a stream names in place of NACKs, if it does:
    /// streaming specification, "Replay Prevention".
    pub fn replay_guard(&self) -> Option<Hash> {
        <[u8; 32]>::try_from(self.nacks).ok().map(Hash::from)
    }

    /// After how many seconds the sender will send this again; ignored by everyone.
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

    /// The sender, by its own account; see [`Packet::verify`].
    pub const fn from(&self) -> Option<&Destination> {
        self.from.as_ref()
    }

    /// The largest payload in bytes that the sender wants.
    pub const fn max_size(&self) -> Option<u16> {
        self.max_size
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.payload..).unwrap_or_default()
    }

    /// Where the payload begins, in bytes from the start of the packet.
    pub const fn payload_start(&self) -> usize {
        self.payload
    }

    /// Whether the packet has a signature.
    pub const fn is_signed(&self) -> bool {
        self.flags.contains(Flags::SIGNATURE)
    }

    /// Whether this is the packet in `bytes`, and no copy of it.
    pub(crate) fn is_of(&self, bytes: &[u8]) -> bool {
        std::ptr::eq(self.bytes, bytes)
    }

    /// Checks the signature and returns who made it.
    ///
    /// `known` is the peer of the stream once that is established; a destination in the packet must
    /// then be the same. An offline signature is checked against the clock; without a destination
    /// beside it (i2pd's CLOSE) it needs `known`.
    ///
    /// # Errors
    ///
    /// There is no signature, or no key to check it with, or it is wrong.
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

/// A peer and the key it signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The peer.
    pub destination: Destination,
    /// The key that signs for the peer, where its own is kept off line.
    pub transient: Option<SigningPublicKey>,
}

impl Identity {
    /// A peer that signs with its own key, as far as known.
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
    /// There is no signature where one is required.
    #[error("the packet is not signed")]
    NotSigned,
    /// There is a signature, but the signer is unknown.
    #[error("the packet does not say who signed it")]
    UnknownSender,
    /// The signer is not the peer of the stream.
    #[error("the packet comes from somebody else than the peer of its stream")]
    OtherSender,
    /// The signature or offline signature is cut off or of an unknown type.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The signature is wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// A packet to be written.
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
    /// At most 255; more are left out.
    pub nacks: &'a [u32],
    /// See [`Packet::resend_delay`].
    pub resend_delay: u8,
    /// SYN, CLOSE, RESET, ECHO and NO_ACK; flags of options follow from the options.
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
    /// Appends the packet, unsigned, to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_with(None, 0, out);
    }

    /// The packet signed with `keys`, with their offline signature where they have one.
    pub fn sign(&self, keys: &PrivateKeys) -> Vec<u8> {
        let kind = keys.signature_type();
        let length = kind.signature_len().unwrap_or(0);
        let offline = keys.offline().map(|offline| {
            let mut bytes = Vec::new();
            offline.encode(&mut bytes);
            bytes
        });
        let mut out = Vec::with_capacity(
            MIN_HEADER + self.nacks.len() * 4 + 512 + length + self.payload.len(),
        );
        let place = self.encode_with(offline.as_deref(), length, &mut out);
        let signature = keys.sign(&out);
        if let (Some(place), bytes) = (out.get_mut(place), signature.as_bytes())
            && place.len() == bytes.len()
        {
            place.copy_from_slice(bytes);
        }
        out
    }

    /// Writes the packet with `signature` zero bytes for a signature; returns where they are.
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
        let options = [
            (Flags::DELAY, self.delay.is_some()),
            (Flags::FROM, self.from.is_some()),
            (Flags::MAX_SIZE, self.max_size.is_some()),
            (Flags::OFFLINE, offline.is_some()),
            (Flags::SIGNATURE, signature > 0),
        ];
        for (flag, present) in options {
            if present {
                flags = flags.with(flag);
            }
        }
        out.extend_from_slice(&flags.0.to_be_bytes());
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
        // Options are bounded far below 64 KiB by the key types that exist.
        let size = u16::try_from(out.len() - size_at - 2).unwrap_or(u16::MAX);
        out[size_at..size_at + 2].copy_from_slice(&size.to_be_bytes());
        out.extend_from_slice(self.payload);
        signature_at - start..signature_at - start + signature
    }
}

/// The header of a data packet without options, or with the delay option only, on the stack.
#[derive(Debug)]
pub(crate) struct DataHeader {
    bytes: [u8; MIN_HEADER + 2],
    length: usize,
}

impl DataHeader {
    pub(crate) fn new(
        send_id: u32,
        recv_id: u32,
        seq: u32,
        ack: Option<u32>,
        delay: Option<u16>,
    ) -> Self {
        let mut bytes = [0; MIN_HEADER + 2];
        bytes[..4].copy_from_slice(&send_id.to_be_bytes());
        bytes[4..8].copy_from_slice(&recv_id.to_be_bytes());
        bytes[8..12].copy_from_slice(&seq.to_be_bytes());
        bytes[12..16].copy_from_slice(&ack.unwrap_or(0).to_be_bytes());
        // No NACKs, no resend delay.
        let mut flags = Flags::default();
        if ack.is_none() {
            flags = flags.with(Flags::NO_ACK);
        }
        let mut length = MIN_HEADER;
        if let Some(delay) = delay {
            flags = flags.with(Flags::DELAY);
            bytes[20..22].copy_from_slice(&2_u16.to_be_bytes());
            bytes[22..24].copy_from_slice(&delay.to_be_bytes());
            length += 2;
        }
        bytes[18..20].copy_from_slice(&flags.0.to_be_bytes());
        Self { bytes, length }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The NACK words of a first packet (SYN), which hold the hash of its receiver instead of NACKs. A
/// packet that was made for another destination is recognised by them.
pub fn replay_guard(receiver: &Hash) -> [u32; 8] {
    let mut words = [0; 8];
    let (chunks, _) = receiver.as_bytes().as_chunks::<4>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_be_bytes(*chunk);
    }
    words
}

/// Bytes of a header without NACKs and options: streaming specification, "Packet Format".
pub(crate) const MIN_HEADER: usize = 22;
/// Stands in for the signature while it is checked; the longest is that of RSA with 4096 bits.
static ZEROS: [u8; 512] = [0; 512];

#[cfg(test)]
mod tests;
