//! The format Datagram2: destination, flags, options, offline signature, payload, signature.

use std::ops::Range;

use bytes::Bytes;
use eepkit_wire::{
    Codec as _, DecodeError, Destination, Hash, Mapping, OfflineSignature, PrivateKeys, Reader,
    Signature, SignatureError,
};

use crate::{
    dialect::{Dialect, Dialects},
    error::{SealError, UnsealError},
    format::Format,
    header::{Flags, encode_options, options_len, wrong_version},
    length::check_length,
    received::Authenticated,
    room::check_room,
};

/// A packet of the format Datagram2 that was parsed and not verified yet: datagram specification,
/// "Datagram2".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram2 {
    packet: Bytes,
    from: Destination,
    /// Whether the bytes of the flags were in the order of [`Dialect::Emissary`].
    swapped: bool,
    options: Mapping,
    offline: Option<OfflineSignature>,
    /// The signed part after the hash: from the flags to the end of the payload.
    signed: Range<usize>,
    payload: Range<usize>,
    signature: Signature,
}

impl Datagram2 {
    /// Makes a packet with `payload`, signed with `keys`, for the destination with the hash `to`.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLong`] if payload and options are too long.
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

    /// Parses a packet.
    ///
    /// # Errors
    ///
    /// If the packet is truncated or too long, has another version in its flags, or the type of a
    /// key is unknown.
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
        // The signature is the last field. Its type determines its length, and so the end of the
        // payload.
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

    /// The sender that the packet claims. Nothing is proven before [`Datagram2::verify`].
    pub fn claimed_sender(&self) -> &Destination {
        &self.from
    }

    /// Verifies that the sender signed this for the destination with the hash `receiver`, at the
    /// time `now` in seconds since the epoch. Signatures that are valid only in one of `dialects`
    /// are accepted too.
    ///
    /// # Errors
    ///
    /// [`UnsealError::Signature`] if the signature or the offline signature is wrong, or the
    /// offline signature has expired. [`UnsealError::Dialect`] if the signature is valid in a
    /// dialect that is not accepted.
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
            // If sender and receiver are the same destination, the specification and the dialect of
            // i2pd sign the same bytes.
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

    /// Verifies the signature over this hash and the signed part.
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
