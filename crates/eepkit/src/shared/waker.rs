//! How the driver of a session is woken.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};

/// The waker of a session's driver. It has a lock of its own, which is held for an assignment at most, so
/// that the driver can be woken with and without the lock of the session.
#[derive(Debug, Default)]
pub(crate) struct DriverWaker(Mutex<Option<Waker>>);

impl DriverWaker {
    /// Sets who is woken. The driver calls it at the beginning of each poll: what happens after that wakes
    /// it again.
    pub(crate) fn register(&self, waker: &Waker) {
        match &mut *self.lock() {
            Some(current) => current.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Wakes the driver, once for each time that it registered.
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
