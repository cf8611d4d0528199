//! Statistics that every service for local programs has.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use crate::{serve::Handle, service::Statistic};

/// Counts the streams, the bytes and the dropped datagrams of programs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    streams: AtomicUsize,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    datagrams_dropped: AtomicU64,
}

impl Counters {
    /// Counts a stream until the guard is dropped.
    pub(crate) fn count_stream(self: &Arc<Self>) -> CountedStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        CountedStream(self.clone())
    }

    /// Counts bytes that programs have sent into streams and received from them.
    pub(crate) fn count_bytes(&self, sent: u64, received: u64) {
        self.bytes_sent.fetch_add(sent, Ordering::Relaxed);
        self.bytes_received.fetch_add(received, Ordering::Relaxed);
    }

    /// Counts a datagram that was dropped.
    pub(crate) fn count_dropped(&self) {
        self.datagrams_dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes_received(&self) -> u64 {
        self.bytes_received.load(Ordering::Relaxed)
    }

    pub(crate) fn datagrams_dropped(&self) -> u64 {
        self.datagrams_dropped.load(Ordering::Relaxed)
    }

    /// The statistics of connections, sessions, streams and bytes.
    pub(crate) fn statistics(&self, server: &Handle, sessions: usize) -> Vec<Statistic> {
        vec![
            Statistic::gauge(
                "connections",
                "Connections of programs",
                server.connections(),
            ),
            Statistic::gauge("sessions", "Sessions of programs", sessions),
            Statistic::gauge("streams", "Streams of programs", self.streams()),
            Statistic::counter(
                "connections_refused_total",
                "Connections refused because there were too many",
                server.refused(),
            ),
            Statistic::counter(
                "bytes_sent_total",
                "Bytes from programs into streams that have ended",
                self.bytes_sent(),
            ),
            Statistic::counter(
                "bytes_received_total",
                "Bytes to programs from streams that have ended",
                self.bytes_received(),
            ),
        ]
    }

    /// The statistic of dropped datagrams.
    pub(crate) fn datagram_statistic(&self) -> Statistic {
        Statistic::counter(
            "datagrams_dropped_total",
            "Datagrams of programs that were not sent",
            self.datagrams_dropped(),
        )
    }
}

/// A stream that is counted until this value is dropped.
#[derive(Debug)]
pub(crate) struct CountedStream(Arc<Counters>);

impl Drop for CountedStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
