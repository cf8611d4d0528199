//! Pings that wait for an answer.

use std::{
    collections::HashMap,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use eepkit_streaming::{Event, PingId};

/// The pings of a session. At most [`MAX_PINGS`].
#[derive(Debug, Default)]
pub(crate) struct Pings(HashMap<PingId, Ping>);

#[derive(Debug, Default)]
struct Ping {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// The round-trip time and the payload of the answer; `None` when none came in time.
pub(crate) type Answer = Option<(Duration, Bytes)>;

impl Pings {
    /// The limit of waiting pings, if it is reached.
    pub(crate) fn full(&self) -> Option<usize> {
        (self.0.len() >= MAX_PINGS).then_some(MAX_PINGS)
    }

    pub(crate) fn add(&mut self, id: PingId) {
        self.0.insert(id, Ping::default());
    }

    pub(crate) fn remove(&mut self, id: PingId) {
        self.0.remove(&id);
    }

    pub(crate) fn poll_answer(&mut self, id: PingId, cx: &Context<'_>) -> Poll<Answer> {
        let ping = self.0.entry(id).or_default();
        match &ping.answer {
            Some(answer) => Poll::Ready(answer.clone()),
            None => {
                ping.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn on_event(&mut self, event: Event) {
        let (id, answer) = match event {
            Event::Pong { id, rtt, payload } => (id, Some((rtt, payload))),
            Event::PingTimeout(id) => (id, None),
            _ => return,
        };
        if let Some(ping) = self.0.get_mut(&id) {
            ping.answer = Some(answer);
            if let Some(waker) = ping.waker.take() {
                waker.wake();
            }
        }
    }

    /// Removes all pings and wakes their waiters, which then read the reason from the lifecycle.
    pub(super) fn clear(&mut self) {
        for (_, mut ping) in self.0.drain() {
            if let Some(waker) = ping.waker.take() {
                waker.wake();
            }
        }
    }
}

/// The most pings that wait at a time. The endpoint has the same limit.
const MAX_PINGS: usize = 256;
