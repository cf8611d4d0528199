//! Router implementations that this crate can run. Each submodule is the only code that knows its
//! implementation.

pub mod emissary;
