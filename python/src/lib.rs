//! The compiled part of the Python package `eepkit`: the module `eepkit._native`.
//!
//! Functions that wait take a callable `done` and return an [`Operation`](runtime::Operation)
//! at once. The callable gets a result or an exception, on a thread of its own. Streams cross the
//! border as file descriptors: one end of a pair of Unix sockets, whose other end a task of the
//! runtime relays. So no byte of a stream needs the lock of the interpreter.
//!
//! The functions in Python turn this into interfaces: `eepkit` for asyncio, `eepkit.sync` for
//! threads.

#[cfg(not(unix))]
compile_error!(
    "the Python package needs pairs of Unix sockets, so it does not run on this system yet"
);

mod carrier;
mod datagrams;
mod failure;
mod keys;
mod names;
mod router;
mod runtime;
mod sam;
mod session;
mod status;

use std::ffi::OsString;

use pyo3::prelude::*;

/// The module `eepkit._native`.
#[pymodule(gil_used = false)]
mod _native {
    use super::*;
    #[pymodule_export]
    use super::{
        carrier::Connection,
        datagrams::{DatagramSocket, Received},
        keys::{Destination, PrivateKeys},
        names::AddressBook,
        program,
        router::{Devnet, Router, attach_or_start, devnet, embedded},
        runtime::{Operation, stop},
        sam::{SamBridge, sam_bridge},
        session::{Listener, Session, open_session},
        status::{RouterWatch, SessionWatch, Status},
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("KINDS", failure::kinds())
    }
}

/// Runs the program `eepkit` with these arguments, of which the first is its name. Returns its exit
/// code.
#[pyfunction]
fn program(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| eepkit_cli::run(arguments))
}
