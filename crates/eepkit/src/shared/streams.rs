//! The wakers of tasks that wait for streams of the endpoint.

use std::{
    collections::HashMap,
    task::{Context, Waker},
};

use eepkit_streaming::{CloseReason, Event, StreamId};
use eepkit_wire::Hash;

/// The streams of a link that have a handle. The endpoint limits their number.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: HashMap<StreamId, Slot>,
    /// Streams whose peer has not answered yet.
    attempts: HashMap<StreamId, Attempt>,
}

/// The wakers of one stream. There is one for each direction, because a stream has one reader and
/// one writer at a time.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) connected: bool,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) connect: Option<Waker>,
    pub(crate) read: Option<Waker>,
    pub(crate) write: Option<Waker>,
    pub(crate) acked: Option<Waker>,
}

/// What the link reported about the first packets of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    to: Hash,
    /// How often the link reported that the peer has no lease set.
    pub(crate) not_found: u8,
    pub(crate) incompatible: bool,
}

impl Streams {
    /// Adds a stream that a peer opened.
    pub(crate) fn add_accepted(&mut self, id: StreamId) {
        let slot = Slot {
            connected: true,
            ..Slot::default()
        };
        self.slots.insert(id, slot);
    }

    /// Adds a stream that is being opened to `to`. The caller must call [`Streams::end_attempt`]
    /// later.
    pub(crate) fn add_attempt(&mut self, id: StreamId, to: Hash) {
        self.slots.insert(id, Slot::default());
        let attempt = Attempt {
            to,
            not_found: 0,
            incompatible: false,
        };
        self.attempts.insert(id, attempt);
    }

    /// Stops recording reports about the first packets of a stream.
    pub(crate) fn end_attempt(&mut self, id: StreamId) {
        self.attempts.remove(&id);
    }

    pub(crate) fn attempt(&self, id: StreamId) -> Option<Attempt> {
        self.attempts.get(&id).copied()
    }

    pub(crate) fn slot(&self, id: StreamId) -> Option<&Slot> {
        self.slots.get(&id)
    }

    pub(crate) fn remove(&mut self, id: StreamId) {
        self.slots.remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Stores a waker for the next event of a stream, and replaces the previous one.
    pub(crate) fn park(
        &mut self,
        id: StreamId,
        cx: &Context<'_>,
        which: impl FnOnce(&mut Slot) -> &mut Option<Waker>,
    ) {
        let waker = which(self.slots.entry(id).or_default());
        match waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    /// Wakes the task that waits for an event of the endpoint.
    pub(super) fn on_event(&mut self, event: &Event) {
        let (Event::Connected(id)
        | Event::Readable(id)
        | Event::Writable(id)
        | Event::Flushed(id)
        | Event::Closed { id, .. }) = event
        else {
            return;
        };
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        match event {
            Event::Connected(_) => {
                slot.connected = true;
                wake(&mut slot.connect);
            }
            Event::Readable(_) => wake(&mut slot.read),
            Event::Writable(_) => wake(&mut slot.write),
            Event::Flushed(_) => wake(&mut slot.acked),
            Event::Closed { reason, .. } => {
                slot.closed = Some(*reason);
                slot.wake();
            }
            _ => {}
        }
    }

    /// Records a report of the link about a packet to `to`, for all streams that are being opened
    /// to that peer.
    pub(crate) fn on_attempt(&mut self, to: &Hash, note: impl Fn(&mut Attempt)) {
        for (id, attempt) in self.attempts.iter_mut().filter(|(_, one)| one.to == *to) {
            note(attempt);
            if let Some(slot) = self.slots.get_mut(id) {
                wake(&mut slot.connect);
            }
        }
    }

    /// Removes all streams and wakes their waiters, which then read the reason from the lifecycle.
    pub(super) fn clear(&mut self) {
        self.attempts.clear();
        for (_, mut slot) in self.slots.drain() {
            slot.wake();
        }
    }
}

impl Slot {
    fn wake(&mut self) {
        wake(&mut self.connect);
        wake(&mut self.read);
        wake(&mut self.write);
        wake(&mut self.acked);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
