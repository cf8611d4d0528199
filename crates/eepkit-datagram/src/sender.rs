//! The sender, which makes packets of any format.

use bytes::Bytes;
use eepkit_wire::{Hash, Mapping, PrivateKeys};

use crate::{
    datagram1::Datagram1, datagram2::Datagram2, datagram3::Datagram3, dialect::Dialect,
    error::SealError, format::Format, room::check_room,
};

/// The sending side of a destination: makes and signs packets.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    keys: &'a PrivateKeys,
    options: Option<&'a Mapping>,
    dialect: Dialect,
}

impl<'a> Sender<'a> {
    /// Creates the sender with these keys. It makes packets as specified, without options.
    pub const fn new(keys: &'a PrivateKeys) -> Self {
        Self {
            keys,
            options: None,
            dialect: Dialect::Specified,
        }
    }

    /// Sets the options of packets.
    #[must_use]
    pub const fn with_options(self, options: &'a Mapping) -> Self {
        Self {
            options: Some(options),
            ..self
        }
    }

    /// Sets the dialect of Datagram2, for receivers that accept only this dialect.
    #[must_use]
    pub const fn with_dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// Makes a packet for the destination with the hash `to`.
    ///
    /// # Errors
    ///
    /// [`SealError`] if the payload is too long, or if there are options or offline keys and the
    /// format does not support them.
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
