//! Writing packets of any format.

use bytes::Bytes;
use eepkit_wire::{Hash, Mapping, PrivateKeys};

use crate::{
    datagram1::Datagram1, datagram2::Datagram2, datagram3::Datagram3, dialect::Dialect,
    error::SealError, format::Format, room::check_room,
};

/// A destination that writes packets.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    keys: &'a PrivateKeys,
    options: Option<&'a Mapping>,
    dialect: Dialect,
}

impl<'a> Sender<'a> {
    /// The destination of these keys, which writes packets without options, as specified.
    pub const fn new(keys: &'a PrivateKeys) -> Self {
        Self {
            keys,
            options: None,
            dialect: Dialect::Specified,
        }
    }

    /// Writes packets with these options.
    #[must_use]
    pub const fn with_options(self, options: &'a Mapping) -> Self {
        Self {
            options: Some(options),
            ..self
        }
    }

    /// Writes Datagram2 for receivers that understand only this dialect.
    #[must_use]
    pub const fn with_dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Writes a packet for the destination with the hash `to`.
    ///
    /// # Errors
    ///
    /// [`SealError`] for payloads that are too long, and for options and offline keys where the
    /// format has no place for them.
    pub fn seal(&self, format: Format, to: &Hash, payload: &[u8]) -> Result<Bytes, SealError> {
        let none = Mapping::new();
        let options = self.options.unwrap_or(&none);
        if !format.has_options() && !options.is_empty() {
            return Err(SealError::Options(format));
        }
        Ok(match format {
            Format::Raw => {
                check_room(format, self.keys, payload.len())?;
                Bytes::copy_from_slice(payload)
            }
            Format::Datagram1 => Datagram1::seal(self.keys, payload)?.into(),
            Format::Datagram2 => {
                Datagram2::seal(self.keys, to, options, payload, self.dialect)?.into()
            }
            Format::Datagram3 => {
                Datagram3::seal(&self.keys.destination().hash(), options, payload)?.into()
            }
        })
    }
}
