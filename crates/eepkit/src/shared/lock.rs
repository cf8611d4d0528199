//! The lock of a session.
//!
//! Each acquisition names its purpose. With the feature `lock_tracking`, the time for which the
//! lock is held is recorded under that name, and a hold of more than a millisecond is logged as a
//! warning. Without the feature, the name is ignored.

pub(super) use imp::Mutex;

pub(crate) use imp::Guard;

#[cfg(not(feature = "lock_tracking"))]
mod imp {
    use std::sync::{MutexGuard, PoisonError};

    pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self, _purpose: &'static str) -> Guard<'_, T> {
            // A panic under the lock is a bug of ours; the other streams need not die of it.
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[cfg(feature = "lock_tracking")]
mod imp {
    use std::{
        ops::{Deref, DerefMut},
        sync::{MutexGuard, PoisonError},
        time::{Duration, Instant},
    };

    use tracing::warn;

    use crate::lock_tracking;

    /// Holds the lock, and records the hold time when it is dropped.
    #[derive(Debug)]
    pub(crate) struct Guard<'a, T> {
        guard: MutexGuard<'a, T>,
        purpose: &'static str,
        since: Instant,
    }

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    #[expect(clippy::disallowed_methods, reason = "locks are held in real time")]
    fn now() -> Instant {
        Instant::now()
    }

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self, purpose: &'static str) -> Guard<'_, T> {
            // A panic under the lock is a bug of ours; the other streams need not die of it.
            let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Guard {
                guard,
                purpose,
                since: now(),
            }
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    impl<T> Drop for Guard<'_, T> {
        fn drop(&mut self) {
            let held = now().saturating_duration_since(self.since);
            lock_tracking::record(self.purpose, held);
            if held > LONGEST_HOLD {
                let (purpose, micros) = (self.purpose, held.as_micros());
                warn!(purpose, micros, "the lock of a session was held for long");
            }
        }
    }

    /// Chosen because a task that runs for longer without yielding delays the other tasks of its
    /// thread. A task that holds a lock delays tasks of other threads as well.
    const LONGEST_HOLD: Duration = Duration::from_millis(1);
}
