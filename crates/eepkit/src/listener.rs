//! Listeners: streams that peers open to this session.

use std::{
    fmt,
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::Instant,
};

use crate::{
    error::{AcceptError, ListenError},
    shared::Handle,
    socket_addr::I2pSocketAddr,
    stream::Stream,
};

/// Accepts the streams that peers open to one port of a session, or to all ports without another
/// listener. Returned by [`Session::listen`](crate::Session::listen).
///
/// A listener survives a reconnect of its session. While the session is being restored, accepting
/// waits.
/// The peer receives an answer when its stream is accepted. Streams wait in the queue for at most
/// ten seconds, and the backlog limits their number; streams beyond these limits are refused.
/// Dropping the listener frees the port and refuses the queued streams.
///
/// Over SAM the router answers the peer before the stream is accepted here, and streams beyond the
/// backlog are closed. Bridges before 3.2 and i2pd do not report the port: their streams go to the
/// listener of port 0, or to the only listener.
///
/// Several tasks may accept from one listener through a shared reference. A listener implements
/// [`futures_core::Stream`] with [`Stream`]s as items; it ends when the session is closed.
/// [`serve`](crate::serve()) runs an accept loop with a handler for each stream.
pub struct Listener {
    handle: Arc<Handle>,
    port: u16,
    incoming: Arc<Notify>,
    next: Next,
}

/// The state of the listener as a [`futures_core::Stream`].
enum Next {
    Look,
    Wait(Pin<Box<OwnedNotified>>),
    End,
}

impl Listener {
    /// Starts listening, at once if the session has a link, and else as soon as it has one.
    pub(crate) fn new(handle: Arc<Handle>, port: u16, backlog: usize) -> Result<Self, ListenError> {
        let incoming = handle.shared.lock("listen").listen(port, backlog)?;
        Ok(Self {
            handle,
            port,
            incoming,
            next: Next::Look,
        })
    }

    /// The port; 0 stands for all ports without another listener.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The session's destination and the port of the listener.
    pub fn local_addr(&self) -> I2pSocketAddr {
        let destination = self.handle.shared.keys.destination();
        I2pSocketAddr::new(destination.clone(), self.port)
    }

    /// Accepts the next stream that a peer opened. [`Stream::peer_addr`] returns the peer, and
    /// [`Stream::local_addr`] the port to which the stream was opened.
    ///
    /// There is no time limit: the call waits until the session ends.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] if the session has ended. Every later call fails as well.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a stream that was not returned stays in the queue.
    pub async fn accept(&self) -> Result<Stream, AcceptError> {
        loop {
            let mut notified = std::pin::pin!(self.incoming.notified());
            // Registered before looking, so that a stream that comes in between is not missed.
            notified.as_mut().enable();
            if let Some(result) = self.try_accept().transpose() {
                return result;
            }
            notified.await;
        }
    }

    /// Accepts the next stream in the queue without waiting. `None` if the queue is empty.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] if the session has ended.
    pub fn try_accept(&self) -> Result<Option<Stream>, AcceptError> {
        let mut core = self.handle.shared.lock("accept");
        if let Some(error) = core.lifecycle.accept_error() {
            return Err(error);
        }
        let epoch = core.lifecycle.epoch();
        if let Some(stream) = core.listeners.pop(self.port) {
            drop(core);
            // `None` if the link, and the stream with it, was lost after the lock was released.
            return Ok(Stream::of_router(&self.handle, epoch, stream));
        }
        let Some(endpoint) = &mut core.endpoint else {
            return Ok(None);
        };
        let Some(incoming) = endpoint.accept(Instant::now().into_std(), self.port) else {
            return Ok(None);
        };
        core.streams.add_accepted(incoming.id);
        // The endpoint answers the peer now that the stream is accepted.
        core.wake_driver();
        drop(core);
        Ok(Some(Stream::new(
            self.handle.clone(),
            epoch,
            incoming.id,
            incoming.peer,
            incoming.local_port,
            incoming.remote_port,
            &self.handle.shared.config.stream,
        )))
    }
}

/// Yields the streams that [`Listener::accept`] returns. If the session fails, the last item is an
/// error. If the session is closed, the stream ends without an error.
impl futures_core::Stream for Listener {
    type Item = Result<Stream, AcceptError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let mut notified = match std::mem::replace(&mut self.next, Next::Look) {
                Next::End => {
                    self.next = Next::End;
                    return Poll::Ready(None);
                }
                Next::Wait(mut notified) => {
                    if notified.as_mut().poll(cx).is_pending() {
                        self.next = Next::Wait(notified);
                        return Poll::Pending;
                    }
                    continue;
                }
                Next::Look => Box::pin(self.incoming.clone().notified_owned()),
            };
            // Registered before looking, so that a stream that comes in between is not missed.
            notified.as_mut().enable();
            match self.try_accept() {
                Ok(Some(stream)) => return Poll::Ready(Some(Ok(stream))),
                Ok(None) => self.next = Next::Wait(notified),
                Err(error) => {
                    self.next = Next::End;
                    return Poll::Ready(match error {
                        AcceptError::Closed => None,
                        failed => Some(Err(failed)),
                    });
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.handle.shared.lock("listen").unlisten(self.port);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
