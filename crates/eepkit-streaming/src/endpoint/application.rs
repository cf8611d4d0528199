//! The methods of an endpoint for the application.

use std::{sync::Arc, time::Instant};

use eepkit_wire::Destination;

use super::{Endpoint, Incoming, Read, StreamId, entries::StreamEntry, listener::Listener};
use crate::{
    CloseReason, ConnectionError, DialError, PortError, StreamConfig,
    connection::{Connection, Cx, Handle, Opening, Phase},
    info::{Ports, StreamInfo},
    packet::Identity,
    peer::Peer,
    stats::Stats,
};
#[cfg(doc)]
use crate::{EndpointConfig, Event, Transmit};

impl Endpoint {
    /// Opens a stream to `to`. [`Event::Connected`] or [`Event::Closed`] follows. Data may be
    /// written at once.
    ///
    /// # Errors
    ///
    /// [`DialError`] if there are too many streams, if the signature type of the peer is not
    /// supported, or if the endpoint was closed.
    pub fn connect(
        &mut self,
        now: Instant,
        to: &Destination,
        ports: Ports,
        config: &StreamConfig,
    ) -> Result<StreamId, DialError> {
        let now = self.advance(now);
        if self.closing {
            return Err(DialError::EndpointClosed);
        }
        if !to.signature_type().is_supported() {
            return Err(DialError::UnsupportedPeer(to.signature_type()));
        }
        let limit = self.config.stream_limit();
        if self.streams.len() >= limit {
            return Err(DialError::TooManyStreams { limit });
        }
        let limit = self.config.peer_limit();
        if self.streams_with(&to.hash()) >= limit {
            return Err(DialError::TooManyWithPeer { limit });
        }
        let peer = self.peer_key(now, to, config);
        let local_id = self.new_local_id();
        let id = self.add_stream(
            now,
            peer,
            Opening {
                initiator: true,
                local_id,
                remote_id: 0,
                local_port: ports.local,
                remote_port: ports.remote,
                config: Arc::new(config.clone()),
                identity: Identity::new(to.clone()),
            },
        );
        self.with_stream(now, id.0, |connection, cx, _| connection.open(cx.now));
        Ok(id)
    }

    /// Listens on `port`; 0 stands for all ports without another listener. At most `backlog`
    /// streams, 1 to 4096, wait to be accepted.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the port is in use, if there are too many listeners, or if the endpoint was
    /// closed.
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<(), PortError> {
        if self.closing {
            return Err(PortError::EndpointClosed);
        }
        if self.listeners.contains_key(&port) {
            return Err(PortError::PortTaken(port));
        }
        if self.listeners.len() >= MAX_LISTENERS {
            return Err(PortError::TooManyListeners(MAX_LISTENERS));
        }
        self.listeners.insert(port, Listener::new(backlog));
        Ok(())
    }

    /// Stops listening. Streams that wait to be accepted are refused.
    pub fn unlisten(&mut self, now: Instant, port: u16) {
        let now = self.advance(now);
        let Some(listener) = self.listeners.remove(&port) else {
            return;
        };
        for id in listener.into_queue() {
            self.end_stream(now, id, CloseReason::NotAccepted);
        }
    }

    /// Accepts a stream that waits at the listener of `port`. `None` if there is none.
    pub fn accept(&mut self, now: Instant, port: u16) -> Option<Incoming> {
        let now = self.advance(now);
        while let Some(id) = self.listeners.get_mut(&port)?.pop() {
            let Some(StreamEntry { connection, .. }) = self.streams.get(id.0) else {
                continue;
            };
            if connection.phase != Phase::Offered {
                continue;
            }
            let incoming = Incoming {
                id,
                peer: connection.identity().destination.clone(),
                local_port: connection.local_port,
                remote_port: connection.remote_port,
            };
            self.with_stream(now, id.0, |connection, cx, _| connection.accept(cx.now));
            return Some(incoming);
        }
        None
    }

    /// Reads between one and `max` bytes that arrived in order, without copying.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] if the stream does not exist, or if it ended other than by the close of
    /// the peer, which is [`Read::End`].
    pub fn read(
        &mut self,
        now: Instant,
        id: StreamId,
        max: usize,
    ) -> Result<Read, ConnectionError> {
        self.on_stream(now, id, |connection, cx, peer| {
            connection.read(cx.now, max, &peer.rtt)
        })
        .and_then(|read| {
            Ok(match read? {
                Some(data) if data.is_empty() => Read::End,
                Some(data) => Read::Data(data),
                None => Read::Pending,
            })
        })
    }

    /// Writes as much of `data` as there is room for, and returns the number of bytes.
    /// [`Event::Writable`] follows if it is less than all.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`] if the stream has ended, was shut down, has no sequence numbers left, or
    /// does not exist.
    pub fn write(
        &mut self,
        now: Instant,
        id: StreamId,
        data: &[u8],
    ) -> Result<usize, ConnectionError> {
        self.on_stream(now, id, |connection, cx, _| connection.write(cx.now, data))?
    }

    /// Sends written data without waiting for more.
    pub fn flush(&mut self, now: Instant, id: StreamId) {
        // A stream that does not exist has nothing to flush.
        let _ = self.on_stream(now, id, |connection, _, _| connection.flush());
    }

    /// Whether the peer has acknowledged all data written so far; true for unknown streams.
    /// [`Event::Flushed`] is reported when it becomes true.
    pub fn is_acked(&self, id: StreamId) -> bool {
        self.streams
            .get(id.0)
            .is_none_or(|entry| entry.connection.is_acked())
    }

    /// Closes the writing direction after the written data. The peer can still send.
    ///
    /// i2pd closes both directions when it receives this. If the peer may be i2pd, wait for its
    /// answer first.
    pub fn shutdown(&mut self, now: Instant, id: StreamId) {
        // A stream that does not exist is shut down already.
        let _ = self.on_stream(now, id, |connection, _, _| connection.shutdown());
    }

    /// Resets the stream. Unsent and unread data is discarded.
    pub fn reset(&mut self, now: Instant, id: StreamId) {
        self.end_stream(now, id, CloseReason::LocalReset);
    }

    fn end_stream(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        // A stream that does not exist has ended already.
        let _ = self.on_stream(now, id, |connection, _, peer| {
            connection.reset(peer, reason)
        });
    }

    /// Releases a stream whose handle the application has dropped. Written data is still sent, and
    /// the stream is closed in the background within the linger time of its configuration. The id
    /// is not valid any more.
    pub fn release(&mut self, now: Instant, id: StreamId) {
        // A stream that does not exist is released already.
        let _ = self.on_stream(now, id, |connection, cx, peer| {
            connection.release(cx.now, peer)
        });
    }

    fn on_stream<T>(
        &mut self,
        now: Instant,
        id: StreamId,
        work: impl FnOnce(&mut Connection, &mut Cx<'_>, &mut Peer) -> T,
    ) -> Result<T, ConnectionError> {
        let now = self.advance(now);
        let known = self
            .streams
            .get(id.0)
            .is_some_and(|entry| entry.connection.handle != Handle::Released);
        if !known {
            return Err(ConnectionError::Unknown);
        }
        self.with_stream(now, id.0, work)
            .ok_or(ConnectionError::Unknown)
    }

    /// The state of a stream. `None` if it does not exist.
    pub fn info(&self, id: StreamId) -> Option<StreamInfo> {
        let StreamEntry {
            connection, peer, ..
        } = self.streams.get(id.0)?;
        let peer = &self.peers.get(*peer)?.peer;
        Some(connection.info(peer))
    }

    /// Counters of dropped and refused packets and streams.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The number of streams, including those that close in the background.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Closes all streams as [`Endpoint::shutdown`] does, and accepts and opens no new ones.
    /// Streams that have not finished after their linger time are reset. [`Endpoint::is_idle`]
    /// returns whether all streams have ended.
    pub fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        self.closing = true;
        let mut ports: Vec<_> = self.listeners.keys().copied().collect();
        ports.sort_unstable();
        for port in ports {
            self.unlisten(now, port);
        }
        for key in self.streams.keys().collect::<Vec<_>>() {
            self.with_stream(now, key, |connection, cx, peer| {
                connection.close_all(cx.now, peer);
            });
        }
    }

    /// Resets every stream that has not ended. Called after [`Endpoint::close`], when its time
    /// limit has passed, or when all written data has arrived and only peers still write.
    pub fn abort(&mut self, now: Instant) {
        let now = self.advance(now);
        for key in self.streams.keys().collect::<Vec<_>>() {
            self.with_stream(now, key, |connection, _, peer| {
                connection.reset(peer, CloseReason::EndpointClosed)
            });
            if let Some(entry) = self.streams.get(key) {
                self.ended.insert(now, &entry.connection);
            }
        }
    }

    /// Whether peers have acknowledged all written data, and no packet waits to be sent.
    pub fn is_delivered(&self) -> bool {
        self.transmits.is_empty()
            && self.control.is_empty()
            && self.streams.values().all(|StreamEntry { connection, .. }| {
                (connection.is_over() || connection.is_acked()) && !connection.wants_control()
            })
    }

    /// Whether all streams have ended, and no packet waits to be sent.
    pub fn is_idle(&self) -> bool {
        self.transmits.is_empty()
            && self.control.is_empty()
            && !self.ended.repeats()
            && self.streams.values().all(|StreamEntry { connection, .. }| {
                connection.is_over() && !connection.wants_control()
            })
    }
}

/// The most listeners. Chosen far above the number that applications use.
const MAX_LISTENERS: usize = 1024;
