//! The streams of a session that its router makes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use eepkit_link::streams::Opener;
use slotmap::SlotMap;

use super::waker::DriverWaker;
use crate::{error::StreamError, socket::Socket};

slotmap::new_key_type! {
    /// Names a stream that the router made.
    pub(crate) struct SocketKey;
}

/// Streams that the router makes, of one link. Bounded by the number of connections that the
/// process may open.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Opens streams on the link, if the router makes them.
    opener: Option<Arc<dyn Opener>>,
    open: SlotMap<SocketKey, Arc<Socket>>,
    draining: Arc<DrainCount>,
}

#[derive(Debug)]
struct DrainCount {
    count: AtomicUsize,
    driver: Arc<DriverWaker>,
}

/// Held while a closed stream still delivers written data. The session does not end before it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Draining(Arc<DrainCount>);

impl Sockets {
    pub(super) fn new(driver: Arc<DriverWaker>) -> Self {
        Self {
            opener: None,
            open: SlotMap::with_key(),
            draining: Arc::new(DrainCount {
                count: AtomicUsize::new(0),
                driver,
            }),
        }
    }

    pub(crate) fn opener(&self) -> Option<Arc<dyn Opener>> {
        self.opener.clone()
    }

    pub(super) fn set_opener(&mut self, opener: Option<Arc<dyn Opener>>) {
        self.opener = opener;
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Adds a stream, until it is closed or the link is lost. `None` if the link is lost already.
    pub(super) fn add(&mut self, socket: &Arc<Socket>) -> Option<SocketKey> {
        self.opener.as_ref()?;
        Some(self.open.insert(socket.clone()))
    }

    /// Removes a stream that its owner has closed. Returns `None` if the stream has ended.
    /// Otherwise the caller must hold the returned guard until all written data is delivered.
    pub(crate) fn remove(&mut self, key: SocketKey) -> Option<Draining> {
        self.open.remove(key)?;
        Some(Draining::new(&self.draining))
    }

    /// Removes all streams. The caller must close each of them.
    pub(super) fn drain(&mut self) -> Vec<(Arc<Socket>, Draining)> {
        self.open
            .drain()
            .map(|(_, socket)| (socket, Draining::new(&self.draining)))
            .collect()
    }

    /// Whether closed streams still deliver written data.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.count.load(Ordering::Acquire) > 0
    }

    /// Ends all streams, because their link is lost or the session has ended.
    pub(super) fn end(&mut self, why: &StreamError) {
        self.opener = None;
        for (_, socket) in self.open.drain() {
            socket.end(why.clone());
        }
    }
}

impl Draining {
    fn new(count: &Arc<DrainCount>) -> Self {
        count.count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.driver.wake();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eepkit_link::{
        BoxFuture,
        streams::{RouterStream, StreamOpenError, Target},
    };
    use tokio::io::duplex;

    use super::*;

    #[derive(Debug)]
    struct Never;

    impl Opener for Never {
        fn open(&self, _: Target) -> BoxFuture<Result<RouterStream, StreamOpenError>> {
            Box::pin(std::future::pending())
        }
    }

    fn socket() -> Arc<Socket> {
        Arc::new(Socket::new(Box::new(duplex(1).0), Bytes::new()))
    }

    fn sockets() -> Sockets {
        let mut sockets = Sockets::new(Arc::default());
        sockets.set_opener(Some(Arc::new(Never)));
        sockets
    }

    #[test]
    fn a_closed_stream_counts_as_draining_until_its_guard_is_dropped() {
        let mut sockets = sockets();
        let key = sockets.add(&socket()).expect("a link");
        assert!(!sockets.is_draining());
        let draining = sockets.remove(key).expect("open");
        assert!(sockets.is_draining());
        assert!(sockets.remove(key).is_none());
        drop(draining);
        assert!(!sockets.is_draining());
    }

    #[test]
    fn a_lost_link_ends_its_streams_and_accepts_no_more() {
        let mut sockets = sockets();
        let key = sockets.add(&socket()).expect("a link");
        sockets.end(&StreamError::SessionClosed);
        assert!(sockets.remove(key).is_none());
        assert!(sockets.add(&socket()).is_none());
    }
}
