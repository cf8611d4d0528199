//! The number of uses of a session.

use crate::sync::{AtomicBool, AtomicU64, Notify, Ordering, fence};

/// Counts uses, and wakes the task that waits for the next one. At most one task waits.
///
/// Counting is cheap while nobody waits, because every packet is a use.
#[derive(Debug)]
pub(crate) struct Uses {
    count: AtomicU64,
    /// Whether a task waits for the next use.
    waited_for: AtomicBool,
    used: Notify,
}

impl Uses {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            waited_for: AtomicBool::new(false),
            used: Notify::new(),
        }
    }

    /// Counts a use.
    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        // Together with the fence of `after`: of the two tasks, at least one observes what the other
        // has written.
        fence(Ordering::SeqCst);
        if self.waited_for.load(Ordering::Relaxed) {
            self.used.notify_one();
        }
    }

    /// The number of uses so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until there were more than `uses`. Cancel safe.
    pub(crate) async fn after(&self, uses: u64) {
        self.waited_for.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while self.count() <= uses {
            self.used.notified().await;
        }
        self.waited_for.store(false, Ordering::Relaxed);
    }
}
