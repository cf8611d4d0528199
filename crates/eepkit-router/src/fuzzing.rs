//! The functions of the fuzz targets. Each accepts any bytes, and panics if it finds a bug.

pub use crate::{reseed::su3::fuzzing::su3, storage::fuzzing::state};
