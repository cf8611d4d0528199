//! Copies bytes in both directions between two connections.
//!
//! The function [`relay`] copies with backpressure, and passes the end of one direction on while the
//! other continues, as [`tokio::io::copy_bidirectional`] does. In addition, it reports which side
//! failed, counts bytes while it runs, ends idle connections, and can end when one direction has
//! ended. Connections have a buffer only while one side does not accept what the other has sent.
//!
//! [`relay_stream`] relays between a local connection and an I2P stream, and resets the stream if
//! the local connection fails.

mod copy;
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

use copy::Copy;
use observed::{Observed, Shared};
pub use prefixed::Prefixed;
pub use stream::relay_stream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep},
};

/// Relays between `a` and `b` until both directions have ended, one side fails, or a limit of
/// `options` is reached.
///
/// When one side ends its sending direction, the other side is shut down for writing, and the
/// opposite direction continues. Bytes are read only as fast as the other side accepts them.
///
/// `traffic` counts bytes while the relay runs, even if the future is dropped.
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
        let (mut up, mut down) = (Copy::default(), Copy::default());
        let mut timer = std::pin::pin!(sleep(Duration::ZERO));
        poll_fn(|cx| {
            let up = up.poll(cx, &mut a, &mut b, options.buffer);
            let down = match &up {
                Poll::Ready(Err(_)) => Poll::Pending,
                _ => down.poll(cx, &mut b, &mut a, options.buffer),
            };
            match (up, down) {
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Clean),
                (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                    // The failing side has recorded its error.
                    let (side, operation) = shared.failed().unwrap_or((Side::A, Operation::Write));
                    return Poll::Ready(End::Failed {
                        side,
                        operation,
                        error,
                    });
                }
                _ => {}
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

/// Options of a relay. By default there is no time limit, the relay ends when both directions have
/// ended, and buffers have 64 KiB.
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
    /// Creates the default options.
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

    /// Ends the relay when no byte was read or written in either direction for this time.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.idle = Some(limit);
        self
    }

    /// Ends the relay when one direction has ended and no byte was moved in the other for this
    /// time.
    #[must_use]
    pub fn half_closed(mut self, limit: Duration) -> Self {
        self.half_closed = Some(limit);
        self
    }

    /// Delays passing the end of A on to B until B has sent nothing for this time. Needed if B
    /// drops unsent data when A ends.
    #[must_use]
    pub fn close_b_after(mut self, quiet: Duration) -> Self {
        self.close_b_after = Some(quiet);
        self
    }

    /// Selects the directions that must end before the relay ends.
    #[must_use]
    pub fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// Sets the size of the buffer of each direction in bytes, from 1 KiB to 1 MiB. Values outside
    /// of the range are clamped.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes.clamp(MIN_BUFFER, MAX_BUFFER);
        self
    }

    /// Also resets the stream of [`relay_stream`] if the future is dropped or a time limit ends the
    /// relay. By default, the stream is closed in these cases.
    #[must_use]
    pub fn reset_on_drop(mut self) -> Self {
        self.reset_on_drop = true;
        self
    }

    fn is_satisfied(&self, shared: &Shared<'_>) -> bool {
        match self.until {
            // Without a limit, only the copying ends the relay.
            Until::BothEnd => false,
            Until::AEnds => shared.a_to_b.is_closed(),
            Until::BEnds => shared.b_to_a.is_closed(),
        }
    }

    /// The time at which the relay ends if no byte is moved before.
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

/// The directions that must end before a relay ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Both directions.
    BothEnd,
    /// The direction from A to B. The relay does not wait for the other.
    AEnds,
    /// The direction from B to A. The relay does not wait for the other.
    BEnds,
}

/// The number of bytes that a relay has written to each side. It can be read while the relay runs.
#[derive(Debug, Default)]
pub struct Traffic {
    a_to_b: AtomicU64,
    b_to_a: AtomicU64,
}

impl Traffic {
    /// Creates counters at zero.
    pub const fn new() -> Self {
        Self {
            a_to_b: AtomicU64::new(0),
            b_to_a: AtomicU64::new(0),
        }
    }

    /// Bytes from A that were written to B.
    pub fn a_to_b(&self) -> u64 {
        self.a_to_b.load(Ordering::Relaxed)
    }

    /// Bytes from B that were written to A.
    pub fn b_to_a(&self) -> u64 {
        self.b_to_a.load(Ordering::Relaxed)
    }
}

/// The result of a relay.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The reason why the relay ended.
    pub end: End,
    /// Whether A ended its sending direction, and the end was passed on to B.
    pub a_ended: bool,
    /// Whether B ended its sending direction, and the end was passed on to A.
    pub b_ended: bool,
    /// Bytes from A that were written to B.
    pub a_to_b: u64,
    /// Bytes from B that were written to A.
    pub b_to_a: u64,
}

impl Report {
    /// Whether no data was lost: both directions ended, or the one that [`Options::until`] selects.
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

/// The reason why a relay ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// Both directions ended.
    Clean,
    /// The direction that [`Options::until`] selects ended. The other may still be open.
    OneDirection,
    /// A time limit of the options expired.
    Idle,
    /// A side failed, for example because its peer reset it. Data may be lost in both directions.
    Failed {
        /// The side.
        side: Side,
        /// The operation that failed.
        operation: Operation,
        /// The cause.
        error: io::Error,
    },
}

/// A side of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first argument of [`relay`]: by convention the local connection.
    A,
    /// The second argument: by convention the I2P stream.
    B,
}

/// An operation on a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reading from it.
    Read,
    /// Writing to it, or closing it for writing.
    Write,
}

/// The default size of a buffer. Chosen as about forty packets of the streaming protocol: smaller
/// buffers need more wake-ups per byte, larger ones need more memory per blocked connection.
const BUFFER: usize = 64 * 1024;
const MIN_BUFFER: usize = 1024;
const MAX_BUFFER: usize = 1 << 20;

#[cfg(test)]
mod tests;
