//! The format Datagram1 (repliable datagram): destination, signature, payload.

use bytes::Bytes;
use eepkit_wire::{
    Codec as _, DecodeError, Destination, Hash, Mapping, PrivateKeys, Reader, Signature,
    SignatureType,
};

use crate::{
    dialect::Dialect,
    error::{SealError, UnsealError},
    format::Format,
    length::check_length,
    received::Authenticated,
    room::check_room,
};

/// A packet of the format Datagram1 that was parsed and not verified yet: datagram specification,
/// "Datagram1 (Repliable)".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram1 {
    from: Destination,
    signature: Signature,
    payload: Bytes,
}

impl Datagram1 {
    /// Makes a packet with `payload`, signed with `keys`.
    ///
    /// # Errors
    ///
    /// [`SealError::OfflineKeys`] if the keys are offline keys, [`SealError::TooLong`] if the
    /// payload is too long.
    pub fn seal(keys: &PrivateKeys, payload: &[u8]) -> Result<Vec<u8>, SealError> {
        if keys.offline().is_some() {
            return Err(SealError::OfflineKeys(Format::Datagram1));
        }
        check_room(Format::Datagram1, keys, payload.len())?;
        let from = keys.destination();
        let signature = match is_hashed(from) {
            true => keys.sign(Hash::of(payload).as_bytes()),
            false => keys.sign(payload),
        };
        let length = from.as_bytes().len() + signature.as_bytes().len() + payload.len();
        let mut out = Vec::with_capacity(length);
        from.encode(&mut out);
        signature.encode(&mut out);
        out.extend_from_slice(payload);
        Ok(out)
    }

    /// Parses a packet.
    ///
    /// # Errors
    ///
    /// If the packet is truncated or too long, or the type of the sender's key is unknown.
    pub fn parse(packet: &Bytes) -> Result<Self, DecodeError> {
        check_length(packet)?;
        let mut r = Reader::new(packet);
        let from = Destination::read(&mut r)?;
        let signature = Signature::read(&mut r, from.signature_type())?;
        Ok(Self {
            from,
            signature,
            payload: packet.slice(r.position()..),
        })
    }

    /// The sender that the packet claims. Nothing is proven before [`Datagram1::verify`].
    pub fn claimed_sender(&self) -> &Destination {
        &self.from
    }

    /// Verifies the signature.
    ///
    /// # Errors
    ///
    /// [`UnsealError::Signature`] if the signature is wrong.
    pub fn verify(self) -> Result<Authenticated, UnsealError> {
        let key = self.from.signing_key();
        match is_hashed(&self.from) {
            true => key.verify(Hash::of(&self.payload).as_bytes(), &self.signature)?,
            false => key.verify(&self.payload, &self.signature)?,
        }
        Ok(Authenticated {
            from: self.from,
            format: Format::Datagram1,
            dialect: Dialect::Specified,
            options: Mapping::new(),
            payload: self.payload,
        })
    }
}

/// Whether the signature covers the SHA-256 hash of the payload instead of the payload. This is so
/// for DSA-SHA1 keys only.
fn is_hashed(from: &Destination) -> bool {
    from.signature_type() == SignatureType::DSA_SHA1
}

#[cfg(test)]
mod tests;
