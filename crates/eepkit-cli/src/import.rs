//! Converts the configuration of other programs to that of eepkit.

mod sam;

pub(crate) use sam::Imported;
