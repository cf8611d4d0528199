//! The configuration of other programs, turned into that of this one.

mod sam;

pub(crate) use sam::Imported;
