//! The ports that a session listens on.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use eepkit_link::streams::RouterStream;
use tokio::sync::Notify;

use crate::error::ListenError;

/// The listeners of a session, by port. Port 0 stands for all ports without their own listener. At
/// most [`MAX_PORTS`].
#[derive(Debug, Default)]
pub(crate) struct Listeners(HashMap<u16, Listening>);

#[derive(Debug)]
struct Listening {
    backlog: usize,
    incoming: Arc<Notify>,
    /// Streams that the router made, at most `backlog`.
    queue: VecDeque<RouterStream>,
}

impl Listeners {
    /// Checks that another listener can be added.
    pub(crate) fn check(&self, port: u16, backlog: usize) -> Result<(), ListenError> {
        if !(1..=MAX_BACKLOG).contains(&backlog) {
            return Err(ListenError::Backlog(backlog));
        }
        if self.0.contains_key(&port) {
            return Err(ListenError::InUse(port));
        }
        if self.0.len() >= MAX_PORTS {
            return Err(ListenError::TooMany(MAX_PORTS));
        }
        Ok(())
    }

    /// Adds a listener. Returns the notification of incoming streams.
    pub(super) fn add(&mut self, port: u16, backlog: usize) -> Arc<Notify> {
        let incoming = Arc::new(Notify::new());
        let listening = Listening {
            backlog,
            incoming: incoming.clone(),
            queue: VecDeque::new(),
        };
        self.0.insert(port, listening);
        incoming
    }

    pub(super) fn remove(&mut self, port: u16) {
        self.0.remove(&port);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ports with their backlogs.
    pub(super) fn ports(&self) -> impl Iterator<Item = (u16, usize)> {
        self.0.iter().map(|(port, one)| (*port, one.backlog))
    }

    /// The next stream that the router made for a port.
    pub(crate) fn pop(&mut self, port: u16) -> Option<RouterStream> {
        self.0.get_mut(&port)?.queue.pop_front()
    }

    /// Queues a stream that the router made at the listener of its port, else at that of all ports.
    /// If the router does not report the port, the only listener receives the stream. If there is
    /// no listener, or its queue is full, the stream is closed.
    pub(crate) fn on_incoming(&mut self, stream: RouterStream) {
        let alone = match (stream.local_port, self.0.len()) {
            (0, 1) => self.0.keys().next().copied(),
            _ => None,
        };
        let ports = [Some(stream.local_port), Some(0), alone];
        let port = ports
            .into_iter()
            .flatten()
            .find(|port| self.0.contains_key(port));
        if let Some(listening) = port.and_then(|port| self.0.get_mut(&port))
            && listening.queue.len() < listening.backlog
        {
            listening.queue.push_back(stream);
            listening.incoming.notify_waiters();
        }
    }

    /// Drops the streams that the router made, because its link is lost.
    pub(super) fn clear_queues(&mut self) {
        for listening in self.0.values_mut() {
            listening.queue.clear();
        }
    }

    /// Wakes every listener, which then checks for streams and for the end of the session.
    pub(super) fn notify(&self) {
        for listening in self.0.values() {
            listening.incoming.notify_waiters();
        }
    }
}

/// The most streams that wait to be accepted on one port. Chosen because each holds received data:
/// 4,096 streams with their first packet use about 8 MiB.
const MAX_BACKLOG: usize = 4096;

/// Ports with a listener in one session. Chosen far above the number that services use. A program
/// that needs more can listen on port 0 and dispatch by
/// [`Stream::local_port`](crate::Stream::local_port).
const MAX_PORTS: usize = 1024;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eepkit_wire::{PrivateKeys, SignatureType};
    use rand::{SeedableRng as _, rngs::StdRng};
    use tokio::io::duplex;

    use super::*;

    fn stream(local_port: u16) -> RouterStream {
        let mut rng = StdRng::seed_from_u64(1);
        let keys = PrivateKeys::generate(SignatureType::ED25519, &mut rng).expect("keys");
        RouterStream {
            socket: Box::new(duplex(1).0),
            begun: Bytes::new(),
            peer: keys.destination().clone(),
            peer_port: 0,
            local_port,
        }
    }

    #[test]
    fn the_listener_of_a_port_has_precedence_over_that_of_all_ports() {
        let mut listeners = Listeners::default();
        listeners.add(0, 5);
        listeners.add(80, 5);
        listeners.on_incoming(stream(80));
        listeners.on_incoming(stream(81));
        assert_eq!(listeners.pop(80).expect("queued").local_port, 80);
        assert_eq!(listeners.pop(0).expect("queued").local_port, 81);
    }

    #[test]
    fn a_stream_without_a_port_goes_to_the_only_listener() {
        let mut listeners = Listeners::default();
        listeners.add(80, 5);
        listeners.on_incoming(stream(0));
        assert!(listeners.pop(80).is_some());
        listeners.add(81, 5);
        listeners.on_incoming(stream(0));
        assert!(listeners.pop(80).is_none() && listeners.pop(81).is_none());
    }

    #[test]
    fn streams_beyond_the_backlog_are_dropped() {
        let mut listeners = Listeners::default();
        listeners.add(80, 2);
        for _ in 0..3 {
            listeners.on_incoming(stream(80));
        }
        let accepted = std::iter::from_fn(|| listeners.pop(80)).count();
        assert_eq!(accepted, 2);
    }

    #[test]
    fn ports_and_backlogs_are_limited() {
        let mut listeners = Listeners::default();
        assert_eq!(listeners.check(1, 0), Err(ListenError::Backlog(0)));
        assert_eq!(listeners.check(1, 4097), Err(ListenError::Backlog(4097)));
        for port in 0..1024 {
            assert_eq!(listeners.check(port, 1), Ok(()));
            listeners.add(port, 1);
        }
        assert_eq!(listeners.check(7, 1), Err(ListenError::InUse(7)));
        assert_eq!(listeners.check(5000, 1), Err(ListenError::TooMany(1024)));
    }
}
