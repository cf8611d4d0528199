//! One side of a relay, with a record of its activity.

use std::{
    io,
    pin::Pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{Operation, Side, Traffic};

/// The state that both sides and the relay share. Only one task uses it. It is atomic so that the
/// task may move between threads.
pub(super) struct Shared<'a> {
    pub(super) a_to_b: Direction<'a>,
    pub(super) b_to_a: Direction<'a>,
    failed: Mutex<Option<(Side, Operation)>>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(traffic: &'a Traffic) -> Self {
        let began = Instant::now();
        Self {
            a_to_b: Direction::new(&traffic.a_to_b, began),
            b_to_a: Direction::new(&traffic.b_to_a, began),
            failed: Mutex::new(None),
        }
    }

    /// The side that failed first.
    pub(super) fn failed(&self) -> Option<(Side, Operation)> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, side: Side, operation: Operation) {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert((side, operation));
    }
}

/// One direction.
pub(super) struct Direction<'a> {
    bytes: &'a AtomicU64,
    began: Instant,
    /// Milliseconds from the start to the last byte.
    moved: AtomicU64,
    /// Milliseconds from the start until the end was passed on, or [`OPEN`].
    closed: AtomicU64,
}

impl<'a> Direction<'a> {
    fn new(bytes: &'a AtomicU64, began: Instant) -> Self {
        Self {
            bytes,
            began,
            moved: AtomicU64::new(0),
            closed: AtomicU64::new(OPEN),
        }
    }

    /// The time when the last byte was read or written, or the start of the relay.
    pub(super) fn moved_at(&self) -> Instant {
        self.began + Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }

    pub(super) fn closed_at(&self) -> Option<Instant> {
        match self.closed.load(Ordering::Relaxed) {
            OPEN => None,
            millis => Some(self.began + Duration::from_millis(millis)),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed_at().is_some()
    }

    fn note_move(&self) {
        self.moved.store(self.now(), Ordering::Relaxed);
    }

    fn note_close(&self) {
        self.closed.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(OPEN - 1)
    }
}

const OPEN: u64 = u64::MAX;

/// A side of a relay.
pub(super) struct Observed<'a, S> {
    inner: &'a mut S,
    side: Side,
    shared: &'a Shared<'a>,
    /// The time that the side must be silent before it is closed for writing.
    quiet: Option<Duration>,
    closing: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<'a, S> Observed<'a, S> {
    pub(super) fn new(inner: &'a mut S, side: Side, shared: &'a Shared<'a>) -> Self {
        Self {
            inner,
            side,
            shared,
            quiet: None,
            closing: None,
        }
    }

    pub(super) fn close_after(mut self, quiet: Option<Duration>) -> Self {
        self.quiet = quiet;
        self
    }

    /// The direction that starts at this side.
    fn outgoing(&self) -> &'a Direction<'a> {
        match self.side {
            Side::A => &self.shared.a_to_b,
            Side::B => &self.shared.b_to_a,
        }
    }

    /// The direction that ends at this side.
    fn incoming(&self) -> &'a Direction<'a> {
        match self.side {
            Side::A => &self.shared.b_to_a,
            Side::B => &self.shared.a_to_b,
        }
    }

    fn note<T>(&self, operation: Operation, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.shared.fail(self.side, operation);
        }
        result
    }

    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let outgoing = self.outgoing();
        let Some(quiet) = self.quiet else {
            return Poll::Ready(());
        };
        let (began, timer) = self.closing.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + quiet)))
        });
        loop {
            let until = outgoing.moved_at().max(*began) + quiet;
            if outgoing.is_closed() || until <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
            ready!(timer.as_mut().poll(cx));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut *self.inner).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.outgoing().note_move();
        }
        Poll::Ready(self.note(Operation::Read, result))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut *self.inner).poll_write(cx, buf));
        match result {
            // The copying future returns this as an error.
            Ok(0) => self.shared.fail(self.side, Operation::Write),
            Ok(count) => {
                let incoming = self.incoming();
                incoming.bytes.fetch_add(count as u64, Ordering::Relaxed);
                incoming.note_move();
            }
            Err(_) => {}
        }
        Poll::Ready(self.note(Operation::Write, result))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut *self.inner).poll_flush(cx));
        Poll::Ready(self.note(Operation::Write, result))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_quiet(cx));
        let result = ready!(Pin::new(&mut *self.inner).poll_shutdown(cx));
        if result.is_ok() {
            self.incoming().note_close();
        }
        Poll::Ready(self.note(Operation::Write, result))
    }
}
