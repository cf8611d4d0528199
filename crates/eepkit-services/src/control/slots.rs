//! The slots of connections to the control socket: how many may wait for a request, and how many
//! requests may be in progress.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The slots of a socket.
#[derive(Debug)]
pub(super) struct Slots {
    waiting: Mutex<Waiting>,
    requests: Arc<Semaphore>,
}

/// The connections that have sent no complete request, the one that waits for longest first.
#[derive(Debug, Default)]
struct Waiting {
    list: VecDeque<(u64, Arc<Notify>)>,
    next: u64,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
        }
    }
}

impl Slots {
    /// Adds a connection that waits for a request. If too many wait, the one that waits for longest
    /// must end, so that connections without requests do not exclude others.
    pub(super) fn wait(self: &Arc<Self>) -> Slot {
        let evicted = Arc::new(Notify::new());
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.list.push_back((number, evicted.clone()));
        if waiting.list.len() > MAX_WAITING
            && let Some((_, oldest)) = waiting.list.pop_front()
        {
            oldest.notify_one();
        }
        drop(waiting);
        Slot {
            slots: self.clone(),
            number,
            evicted,
        }
    }

    /// The slot of a request that is not answered at once. `None` if there are too many.
    pub(super) fn request(&self) -> Option<OwnedSemaphorePermit> {
        self.requests.clone().try_acquire_owned().ok()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of a connection that waits for a request.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    number: u64,
    evicted: Arc<Notify>,
}

impl Slot {
    /// Waits until the connection must end. Cancel safe.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let list = &mut self.slots.waiting().list;
        if let Ok(at) = list.binary_search_by_key(&self.number, |(number, _)| *number) {
            list.remove(at);
        }
    }
}

/// The maximum number of connections that wait for a request. Chosen above the number that the
/// accept loop takes from the system before other tasks run (128), so that a client that sends its
/// request at once is never evicted.
pub(super) const MAX_WAITING: usize = 192;

/// The maximum number of requests in progress, besides those that are answered at once. Chosen
/// because each client has one, and a user has a few clients.
pub(super) const MAX_REQUESTS: usize = 64;
