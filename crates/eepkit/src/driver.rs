//! Drives one link: transfers packets between the endpoint of a session and its router.
//!
//! One task polls the driver (see [`crate::supervisor`]). Each poll performs a bounded number of
//! steps and then yields to the executor. While the link accepts nothing, the driver does not poll
//! the endpoint for packets, so that written data stays in the send buffers of the streams.
//!
//! The driver locks the session for one batch of events or packets at a time. Slow operations run
//! without the lock: decoding and encoding messages, verifying signatures of received packets, and
//! signing lease sets. An application that writes to a stream therefore waits for one batch at
//! most.

mod datagrams;
mod events;
mod lookups;
mod packets;
mod renewal;

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use eepkit_i2cp::LeaseSetMaker;
use eepkit_link::{self as link, Event, Link, LostReason};
use eepkit_streaming::{Received, Transmit};
use eepkit_wire::{Destination, Hash};
use tokio::time::{Instant, Sleep, sleep_until};

use renewal::Published;

use crate::{
    credits::Credits,
    error::OpenError,
    shared::{Core, Ending, Shared},
};

/// Drives one link until it breaks or the session ends.
pub(crate) struct Driver<'a> {
    shared: Arc<Shared>,
    link: Box<dyn Link>,
    maker: &'a mut LeaseSetMaker,
    credits: Credits,
    /// Events of the link that are not handled yet; one batch at most.
    events: VecDeque<Event>,
    /// Packets that wait for the link or for credits; one batch at most.
    held: VecDeque<Transmit>,
    /// First packets of streams that the link dropped because their path had expired. They are sent
    /// over another path. Bounded by `fates`.
    again: VecDeque<Transmit>,
    /// Packets from the session's destination to itself, which do not pass through the router.
    looped: VecDeque<Received>,
    /// Submitted packets on which the link may report, in ascending order of tokens.
    fates: VecDeque<(u64, Fate)>,
    /// Look-ups of lease sets that the endpoint requested, by id. The endpoint bounds their number.
    lookups: HashMap<u32, Hash>,
    next_token: u64,
    /// The lease set that was published last.
    published: Option<Published>,
    /// When it was last published again for another path to a peer.
    republished: Option<Instant>,
    /// When the last packet was submitted to the link.
    last_sent: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    became_ready: bool,
    /// Whether a peer is to be renewed before the next packets are sent.
    renews: bool,
    /// Whether this poll sends datagrams before stream packets. It alternates, so that neither
    /// starves the other.
    datagrams_first: bool,
}

/// The recipient of a submitted packet, and a copy of the packet if it opens a stream.
#[derive(Debug)]
struct Fate {
    to: Destination,
    /// The packet, if it opens a stream.
    first: Option<Transmit>,
}

/// Why the driver stopped.
#[derive(Debug)]
pub(crate) enum End {
    /// The session was closed.
    Closed,
    /// The session was idle and is closed until it is used again.
    Idle {
        /// The number of uses so far.
        uses: u64,
    },
    /// The link broke.
    Lost(LostReason),
    /// The router refused the session after the link was established.
    Refused(link::LinkError),
    /// No link can serve this session.
    Unusable(OpenError),
}

impl<'a> Driver<'a> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        link: Box<dyn Link>,
        maker: &'a mut LeaseSetMaker,
    ) -> Self {
        Self {
            shared,
            link,
            maker,
            credits: Credits::default(),
            events: VecDeque::new(),
            held: VecDeque::new(),
            again: VecDeque::new(),
            looped: VecDeque::new(),
            fates: VecDeque::new(),
            lookups: HashMap::new(),
            next_token: 0,
            published: None,
            republished: None,
            last_sent: None,
            timer: Box::pin(sleep_until(Instant::now())),
            became_ready: false,
            renews: false,
            datagrams_first: false,
        }
    }

    /// Whether the session became ready on this link.
    pub(crate) fn became_ready(&self) -> bool {
        self.became_ready
    }

    /// Performs all work that is currently possible, up to a bound.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let shared = self.shared.clone();
        shared.driver.register(cx.waker());
        let more_events = match self.take_events(cx) {
            Ok(more) => more,
            Err(end) => return Poll::Ready(end),
        };
        if let Err(end) = self.keep_found_path() {
            return Poll::Ready(end);
        }
        self.submit_commands(cx);
        self.datagrams_first = !self.datagrams_first;
        let mut more_packets = false;
        if self.datagrams_first {
            more_packets |= self.send_datagrams(cx);
        }
        more_packets |= self.move_packets(cx);
        if !self.datagrams_first {
            more_packets |= self.send_datagrams(cx);
        }
        if self.is_flushed(&mut shared.lock("close")) {
            // Streams that are still open have been reset; this sends the resets to their peers.
            more_packets |= self.move_packets(cx);
        }
        if self.is_finished(&shared.lock("close")) {
            return Poll::Ready(End::Closed);
        }
        if more_events || more_packets {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn submit_commands(&mut self, cx: &mut Context<'_>) {
        let shared = self.shared.clone();
        let waiting = || !shared.lock("commands").commands.is_empty();
        while waiting() && self.link.poll_ready(cx).is_ready() {
            let command = shared.lock("commands").commands.pop();
            if let Some(command) = command {
                self.link.submit(command);
            }
        }
    }

    /// Removes and returns the record of a packet on which the link reports.
    fn fate(&mut self, token: u64) -> Option<Fate> {
        let at = self.fates.binary_search_by_key(&token, |(token, _)| *token);
        Some(self.fates.remove(at.ok()?)?.1)
    }

    /// Sets the timer to `at`, or to the end of flushing if that is sooner. Returns whether that
    /// instant has passed already.
    fn sleep(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> bool {
        let ends = {
            let core = self.shared.lock("timer");
            match *core.lifecycle.ending() {
                Ending::Flushing(end) => {
                    [Some(end), self.farewell().filter(|_| self.is_silent(&core))]
                }
                _ => [None, None],
            }
        };
        let Some(wake_at) = [at].into_iter().chain(ends).flatten().min() else {
            return false;
        };
        if self.timer.deadline() != wake_at {
            self.timer.as_mut().reset(wake_at);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    /// Returns whether the session is closing and either all data is acknowledged or the time for
    /// it is over. In that case, resets the streams that are still open.
    fn is_flushed(&self, core: &mut Core) -> bool {
        let Ending::Flushing(end) = *core.lifecycle.ending() else {
            return false;
        };
        let (now, none_wait) = (Instant::now(), self.none_wait());
        let Some(endpoint) = &mut core.endpoint else {
            return false;
        };
        let flushed = end <= now || (none_wait && endpoint.is_delivered());
        if flushed {
            endpoint.abort(now.into_std());
        }
        flushed
    }

    /// Whether the session is closing and either nothing is left to send or the time for it is
    /// over.
    fn is_finished(&self, core: &Core) -> bool {
        match *core.lifecycle.ending() {
            Ending::No => false,
            Ending::Over(_) => true,
            Ending::Flushing(end) => {
                let now = Instant::now();
                (self.is_silent(core) && self.farewell().is_none_or(|at| at <= now)) || end <= now
            }
        }
    }

    /// Whether nothing is left to send.
    fn is_silent(&self, core: &Core) -> bool {
        self.none_wait()
            && !core.sockets.is_draining()
            && core.datagrams.is_idle()
            && core.endpoint.as_ref().is_none_or(|one| one.is_idle())
    }

    /// The earliest end of the session after its last packet.
    fn farewell(&self) -> Option<Instant> {
        self.last_sent.map(|at| at + FAREWELL)
    }

    /// Whether no packet waits in the driver.
    fn none_wait(&self) -> bool {
        self.held.is_empty() && self.again.is_empty() && self.looped.is_empty()
    }
}

/// How long the session stays open after its last packet. When a session ends, the router drops the
/// packets that it has not sent. The last packet closes a stream; if it is lost, the peer waits for
/// its own time limit. Chosen as several times the time in which a busy router sends a packet.
const FAREWELL: Duration = Duration::from_millis(200);

/// Batches of events and of packets in one poll. Chosen, with the size of a batch, so that a poll
/// ends after about a millisecond and does not delay other tasks of the executor for longer.
const BATCHES_PER_POLL: usize = 8;
