//! Datagram2: destination, flags, options, offline signature, payload, signature.

use std::{fmt, ops::Range};

use bytes::Bytes;
use eepkit_wire::{
    Codec as _, DecodeError, Destination, Hash, Mapping, OfflineSignature, PrivateKeys, Reader,
    Signature, SignatureError,
};

use crate::{
    Authenticated, Format, SealError, UnsealError,
    header::{Flags, encode_options, options_len, wrong_version},
    receiver::check_length,
    sender::check_room,
};

/// A packet of the format Datagram2 that was read and not checked yet: datagram specification,
/// "Datagram2".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram2 {
    packet: Bytes,
    from: Destination,
    /// Whether the bytes of the flags came in the order of [`Dialect::Emissary`].
    swapped: bool,
    options: Mapping,
    offline: Option<OfflineSignature>,
    /// From the flags to the end of the payload: what is signed, behind the hash.
    signed: Range<usize>,
    payload: Range<usize>,
    signature: Signature,
}

/// How the sender of a Datagram2 understands the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// As it is written: the hash of the receiver is signed along.
    #[default]
    Specified,
    /// i2pd 2.58 signs its own hash in place of the receiver's. Such a packet is right for
    /// every receiver.
    I2pd,
    /// emissary-core 0.4.0 writes the two bytes of the flags in the other order. It takes no
    /// Datagram2 itself: in this dialect, one ends its session with a panic.
    Emissary,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Specified => "the specification",
            Self::I2pd => "i2pd",
            Self::Emissary => "emissary",
        })
    }
}

/// Which dialects of Datagram2 are taken beside the specified one; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Dialects {
    /// Take [`Dialect::I2pd`]. Whoever got such a packet can send it on to this receiver, as with
    /// Datagram1.
    pub i2pd: bool,
    /// Take [`Dialect::Emissary`]. Nothing is lost by that.
    pub emissary: bool,
}

impl Dialects {
    /// What is specified and nothing else.
    pub const NONE: Self = Self {
        i2pd: false,
        emissary: false,
    };

    /// Every dialect there is.
    pub const ALL: Self = Self {
        i2pd: true,
        emissary: true,
    };
}

impl Datagram2 {
    /// Writes a packet with `payload` by the owner of `keys` for the destination with the hash
    /// `to`.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLong`].
    pub fn seal(
        keys: &PrivateKeys,
        to: &Hash,
        options: &Mapping,
        payload: &[u8],
        dialect: Dialect,
    ) -> Result<Vec<u8>, SealError> {
        let len = options_len(options) + payload.len();
        check_room(Format::Datagram2, keys, len)?;
        let from = keys.destination();
        let mut out = Vec::with_capacity(Format::Datagram2.overhead(keys) + len);
        from.encode(&mut out);
        let flags = Flags::new(VERSION, options, keys.offline().is_some());
        match dialect {
            Dialect::Emissary => flags.swapped().encode(&mut out),
            _ => flags.encode(&mut out),
        }
        encode_options(options, &mut out);
        if let Some(offline) = keys.offline() {
            offline.encode(&mut out);
        }
        out.extend_from_slice(payload);
        let prelude = match dialect {
            Dialect::I2pd => &from.hash(),
            _ => to,
        };
        let signed = &out[from.as_bytes().len()..];
        let signature = keys.sign_parts(&[prelude.as_bytes(), signed]);
        signature.encode(&mut out);
        Ok(out)
    }

    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// It ends early, is too long, is of another version, or keys are of an unknown type.
    pub fn parse(packet: &Bytes) -> Result<Self, DecodeError> {
        check_length(packet)?;
        let mut r = Reader::new(packet);
        let from = Destination::read(&mut r)?;
        let start = r.position();
        let mut flags = Flags::read(&mut r)?;
        let swapped = flags.version() != VERSION && flags.swapped().version() == VERSION;
        if swapped {
            flags = flags.swapped();
        }
        if flags.version() != VERSION {
            return Err(wrong_version("Datagram2"));
        }
        let options = flags.read_options(&mut r)?;
        let offline = match flags.has_offline_signature() {
            true => Some(OfflineSignature::read(&mut r, from.signature_type())?),
            false => None,
        };
        let signer = offline.as_ref().map(OfflineSignature::transient);
        let kind = signer
            .unwrap_or_else(|| from.signing_key())
            .signature_type();
        // The signature is what is last; only its type tells where it begins.
        let length = kind.signature_len().ok_or(DecodeError::UnsupportedType {
            what: "signature type",
            code: kind.0,
        })?;
        let rest = r.left().checked_sub(length);
        let payload_len = rest.ok_or(DecodeError::MissingData("signature"))?;
        let begin = r.position();
        r.take(payload_len, "payload")?;
        let payload = begin..r.position();
        let signature = Signature::read(&mut r, kind)?;
        Ok(Self {
            packet: packet.clone(),
            from,
            swapped,
            options,
            offline,
            signed: start..payload.end,
            payload,
            signature,
        })
    }

    /// Who it says sent it. Nothing is proven before [`Datagram2::verify`].
    pub fn claimed_sender(&self) -> &Destination {
        &self.from
    }

    /// Checks that the sender signed this for the destination with the hash `receiver`, where it
    /// is now `now`, in seconds since the epoch. Signatures that only `dialects` make right are
    /// taken, too.
    ///
    /// # Errors
    ///
    /// [`UnsealError::Signature`] when it is not right, an offline signature is not or has expired;
    /// [`UnsealError::Dialect`] when it is right in a dialect that is not taken.
    pub fn verify(
        self,
        receiver: &Hash,
        now: u32,
        dialects: Dialects,
    ) -> Result<Authenticated, UnsealError> {
        if let Some(offline) = &self.offline {
            offline.verify(&self.from, now)?;
        }
        let dialect = match self.check(receiver) {
            Ok(()) if self.swapped => Dialect::Emissary,
            Ok(()) => Dialect::Specified,
            // A sender that writes to itself signs the same in both.
            Err(wrong) if self.swapped || *receiver == self.from.hash() => return Err(wrong.into()),
            Err(wrong) => match self.check(&self.from.hash()) {
                Ok(()) => Dialect::I2pd,
                Err(_) => return Err(wrong.into()),
            },
        };
        let taken = match dialect {
            Dialect::Specified => true,
            Dialect::I2pd => dialects.i2pd,
            Dialect::Emissary => dialects.emissary,
        };
        if !taken {
            return Err(UnsealError::Dialect(dialect));
        }
        Ok(Authenticated {
            from: self.from,
            format: Format::Datagram2,
            dialect,
            options: self.options,
            payload: self.packet.slice(self.payload),
        })
    }

    /// Checks the signature with this hash before what is signed.
    fn check(&self, prelude: &Hash) -> Result<(), SignatureError> {
        let signer = self.offline.as_ref().map(OfflineSignature::transient);
        let signed = &self.packet[self.signed.clone()];
        signer
            .unwrap_or_else(|| self.from.signing_key())
            .verify_parts(&[prelude.as_bytes(), signed], &self.signature)
    }
}

const VERSION: u16 = 2;

#[cfg(test)]
mod tests;
