//! Copies bytes in both directions between two connections.
//!
//! [`relay`] does what [`tokio::io::copy_bidirectional`] does, and uses it: it copies with
//! backpressure, and passes the end of one direction on while the other continues. It adds what
//! services need: it reports which side failed, counts bytes while it runs, ends idle connections,
//! and can end when one direction has.
//!
//! [`relay_stream`] relays between a local connection and an I2P stream, and resets the stream when
//! the local connection breaks.

mod observed;
mod prefixed;
mod stream;

use std::{
    future::poll_fn,
    io,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
    time::Duration,
};

use observed::{Observed, Shared};
pub use prefixed::Prefixed;
pub use stream::relay_stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    time::{Instant, sleep},
};

/// Relays between `a` and `b` until both directions have ended, one side fails, or a limit of
/// `options` is reached.
///
/// The end of what one side sends shuts the other side down for writing; the opposite direction
/// continues. Bytes are read only as fast as the other side takes them.
///
/// `traffic` counts bytes while the relay runs, also if the future is dropped.
///
/// # Cancel safety
///
/// Dropping the future loses the bytes that were read from one side and not yet written to the
/// other, at most [`Options::buffer`] in each direction.
pub async fn relay<A, B>(a: &mut A, b: &mut B, options: &Options, traffic: &Traffic) -> Report
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let shared = Shared::new(traffic);
    let end = {
        let mut a = Observed::new(a, Side::A, &shared);
        let mut b = Observed::new(b, Side::B, &shared).close_after(options.close_b_after);
        let copying = copy_bidirectional_with_sizes(&mut a, &mut b, options.buffer, options.buffer);
        let mut copying = std::pin::pin!(copying);
        let mut timer = std::pin::pin!(sleep(Duration::ZERO));
        poll_fn(|cx| {
            if let Poll::Ready(result) = copying.as_mut().poll(cx) {
                return Poll::Ready(match (result, shared.failed()) {
                    (Ok(_), _) => End::Clean,
                    (Err(error), failed) => {
                        // Each error came through a side, which noted it.
                        let (side, operation) = failed.unwrap_or((Side::A, Operation::Write));
                        End::Failed {
                            side,
                            operation,
                            error,
                        }
                    }
                });
            }
            if options.is_satisfied(&shared) {
                return Poll::Ready(End::OneDirection);
            }
            while let Some(deadline) = options.deadline(&shared) {
                if deadline <= Instant::now() {
                    return Poll::Ready(End::Idle);
                }
                timer.as_mut().reset(deadline);
                if timer.as_mut().poll(cx).is_pending() {
                    break;
                }
            }
            Poll::Pending
        })
        .await
    };
    Report {
        end,
        a_ended: shared.a_to_b.is_closed(),
        b_ended: shared.b_to_a.is_closed(),
        a_to_b: traffic.a_to_b(),
        b_to_a: traffic.b_to_a(),
    }
}

/// How a relay works. The default has no time limit, ends when both directions have ended, and
/// uses buffers of 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    idle: Option<Duration>,
    half_closed: Option<Duration>,
    close_b_after: Option<Duration>,
    until: Until,
    buffer: usize,
    reset_on_drop: bool,
}

impl Options {
    /// The default options.
    pub fn new() -> Self {
        Self {
            idle: None,
            half_closed: None,
            close_b_after: None,
            until: Until::BothEnd,
            buffer: BUFFER,
            reset_on_drop: false,
        }
    }

    /// Ends the relay when no byte was read or written in either direction for this long.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = Some(limit);
        self
    }

    /// Ends the relay when one direction has ended and the other has moved no byte for this long.
    #[must_use]
    pub fn half_closed(mut self, limit: Duration) -> Self {
        self.half_closed = Some(limit);
        self
    }

    /// Passes the end of what A sends on to B only once B has sent nothing for this long. For a B
    /// that drops what it still has to send when it learns that A has ended.
    #[must_use]
    pub fn close_b_after(mut self, quiet: Duration) -> Self {
        self.close_b_after = Some(quiet);
        self
    }

    /// Which directions have to end before the relay does.
    #[must_use]
    pub fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// The size of the buffer of each direction in bytes, from 1 KiB to 1 MiB. Values beyond are
    /// set to the nearest.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes.clamp(MIN_BUFFER, MAX_BUFFER);
        self
    }

    /// Resets the stream of [`relay_stream`] also if its future is dropped, or if the relay ends
    /// because of a limit. By default, the stream is then closed.
    #[must_use]
    pub fn reset_on_drop(mut self) -> Self {
        self.reset_on_drop = true;
        self
    }

    fn is_satisfied(&self, shared: &Shared<'_>) -> bool {
        match self.until {
            // Copying ends by itself then.
            Until::BothEnd => false,
            Until::AEnds => shared.a_to_b.is_closed(),
            Until::BEnds => shared.b_to_a.is_closed(),
        }
    }

    /// When the relay ends unless a byte moves before.
    fn deadline(&self, shared: &Shared<'_>) -> Option<Instant> {
        let (up, down) = (&shared.a_to_b, &shared.b_to_a);
        let idle = self
            .idle
            .map(|limit| up.moved_at().max(down.moved_at()) + limit);
        let left = match (up.closed_at(), down.closed_at()) {
            (Some(closed), None) => Some(closed.max(down.moved_at())),
            (None, Some(closed)) => Some(closed.max(up.moved_at())),
            _ => None,
        };
        let half_closed = left.zip(self.half_closed).map(|(at, limit)| at + limit);
        idle.into_iter().chain(half_closed).min()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Which directions have to end before a relay does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Both.
    BothEnd,
    /// What A sends. What B still sends is not waited for.
    AEnds,
    /// What B sends. What A still sends is not waited for.
    BEnds,
}

/// Bytes that a relay has written to each side; it can be read while the relay runs.
#[derive(Debug, Default)]
pub struct Traffic {
    a_to_b: AtomicU64,
    b_to_a: AtomicU64,
}

impl Traffic {
    /// No bytes.
    pub const fn new() -> Self {
        Self {
            a_to_b: AtomicU64::new(0),
            b_to_a: AtomicU64::new(0),
        }
    }

    /// Bytes of A that were written to B.
    pub fn a_to_b(&self) -> u64 {
        self.a_to_b.load(Ordering::Relaxed)
    }

    /// Bytes of B that were written to A.
    pub fn b_to_a(&self) -> u64 {
        self.b_to_a.load(Ordering::Relaxed)
    }
}

/// How a relay ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// Why it ended.
    pub end: End,
    /// Whether A sent its end, and B was told.
    pub a_ended: bool,
    /// Whether B sent its end, and A was told.
    pub b_ended: bool,
    /// Bytes of A that were written to B.
    pub a_to_b: u64,
    /// Bytes of B that were written to A.
    pub b_to_a: u64,
}

impl Report {
    /// Whether nothing was lost: both directions ended, or the one that [`Options::until`] names.
    pub fn is_clean(&self) -> bool {
        matches!(self.end, End::Clean | End::OneDirection)
    }

    /// The side that failed, if one did.
    pub fn failed_side(&self) -> Option<Side> {
        match self.end {
            End::Failed { side, .. } => Some(side),
            _ => None,
        }
    }
}

/// Why a relay ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// Both directions ended.
    Clean,
    /// The direction ended that [`Options::until`] names. The other may not have.
    OneDirection,
    /// A time limit of the options passed without a byte.
    Idle,
    /// A side failed, for example because its peer reset it. Bytes may be lost in both directions.
    Failed {
        /// The side.
        side: Side,
        /// What was tried.
        operation: Operation,
        /// Why it failed.
        error: io::Error,
    },
}

/// One of the two sides of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first argument of [`relay`]: by convention the local connection.
    A,
    /// The second: by convention the I2P stream.
    B,
}

/// What was done with a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reading from it.
    Read,
    /// Writing to it, or closing it for writing.
    Write,
}

/// Chosen as some forty packets of the streaming protocol: smaller buffers cost more wake-ups per
/// byte, larger ones cost memory per connection.
const BUFFER: usize = 64 * 1024;
const MIN_BUFFER: usize = 1024;
const MAX_BUFFER: usize = 1 << 20;

#[cfg(test)]
mod tests;
