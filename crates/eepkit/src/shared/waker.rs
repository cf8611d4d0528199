//! Wakes the driver of a session.

use std::{sync::PoisonError, task::Waker};

use crate::sync::{Mutex, MutexGuard};

/// The waker of a session's driver. It has its own lock, so that the driver can be woken with and
/// without the lock of the session. The lock is held for one assignment at most.
#[derive(Debug, Default)]
pub(crate) struct DriverWaker(Mutex<Option<Waker>>);

impl DriverWaker {
    /// Sets the waker. The driver calls it at the beginning of each poll, so that every later
    /// change wakes the driver again.
    pub(crate) fn register(&self, waker: &Waker) {
        match &mut *self.lock() {
            Some(current) => current.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Wakes the driver, at most once per call of [`DriverWaker::register`].
    pub(crate) fn wake(&self) {
        let waker = self.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        // Cloning a waker does not panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
