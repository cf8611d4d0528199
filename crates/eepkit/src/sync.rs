//! The primitives of what tasks share without a lock of the session.
//!
//! The test `interleavings` compiles the modules that use them with those of loom.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

pub(crate) use tokio::sync::Notify;
