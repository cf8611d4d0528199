//! Pings: measure the round-trip time to a peer without a stream.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use eepkit_link::Layer;
use eepkit_streaming::{PingId, Ports};
use tokio::time::{Instant, timeout_at};

use crate::{
    address::Address,
    error::{LookupError, OpenError, PingError},
    lookup,
    shared::{Gone, Shared},
    supervisor,
};

/// Options of a ping; for [`Session::ping_with`](crate::Session::ping_with).
#[derive(Debug, Clone)]
pub struct PingOptions {
    payload: Bytes,
    timeout: Duration,
}

impl Default for PingOptions {
    fn default() -> Self {
        Self {
            payload: Bytes::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

impl PingOptions {
    /// No payload, and a time limit of 30 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that the peer echoes, at most 32; empty by default. An answer with other bytes is
    /// ignored.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Time limit for the whole operation: the look-up, waiting for tunnels and waiting for the
    /// answer. 30 s by default.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }
}

/// Pings `to`; see [`crate::Session::ping`].
pub(crate) async fn ping(
    shared: &Arc<Shared>,
    to: Address,
    options: &PingOptions,
) -> Result<Duration, PingError> {
    let (payload, limit) = (&options.payload[..], options.timeout);
    if payload.len() > MAX_PAYLOAD_LEN {
        return Err(PingError::TooLong {
            len: payload.len(),
            limit: MAX_PAYLOAD_LEN,
        });
    }
    if shared.layer == Layer::Streams {
        return Err(PingError::Unsupported);
    }
    let deadline = Instant::now() + limit;
    let left = || deadline.saturating_duration_since(Instant::now());

    supervisor::wait_ready(shared, left())
        .await
        .map_err(|error| match error {
            OpenError::Timeout { .. } | OpenError::NoTunnels(_) => {
                PingError::NoTunnels(shared.timed_out(limit))
            }
            OpenError::Closed => PingError::Closed,
            error => PingError::Offline(error),
        })?;
    let peer = lookup::resolve(shared, &to.host, left())
        .await
        .map_err(|error| match error {
            LookupError::Closed => PingError::Closed,
            other => PingError::Lookup(other),
        })?;

    let pending = {
        let mut core = shared.lock("ping");
        if let Some(limit) = core.pings.full() {
            return Err(PingError::TooMany(limit));
        }
        let epoch = core.lifecycle.epoch();
        let ports = Ports {
            local: 0,
            remote: to.port,
        };
        let endpoint = core.endpoint().ok_or(PingError::Closed)?;
        let id = endpoint.ping(Instant::now().into_std(), &peer, ports, payload, left());
        core.pings.add(id);
        core.wake_driver();
        Pending { shared, epoch, id }
    };
    match timeout_at(deadline, pending.answer(payload)).await {
        Ok(Ok(Some(rtt))) => Ok(rtt),
        Ok(Ok(None)) | Err(_) => Err(PingError::Timeout(shared.timed_out(limit))),
        Ok(Err(Gone::Lost(reason))) => Err(PingError::SessionLost(reason)),
        Ok(Err(Gone::Ended)) => Err(PingError::Closed),
    }
}

/// An unanswered ping. Dropping it discards the answer.
struct Pending<'a> {
    shared: &'a Shared,
    epoch: u64,
    id: PingId,
}

impl Pending<'_> {
    /// The round-trip time. `None` after the timeout of the endpoint, or if the answer contains
    /// other bytes.
    async fn answer(&self, payload: &[u8]) -> Result<Option<Duration>, Gone> {
        poll_fn(|cx| {
            let mut core = self.shared.lock("ping");
            if let Err(gone) = core.endpoint_of(self.epoch) {
                return Poll::Ready(Err(gone));
            }
            core.pings.poll_answer(self.id, cx).map(|answer| {
                // Peers before API 0.9.18 do not echo the payload, and an empty one is a prefix.
                let ours = answer.filter(|(_, echoed)| payload.starts_with(echoed));
                Ok(ours.map(|(rtt, _)| rtt))
            })
        })
        .await
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut core = self.shared.lock("ping");
        if core.lifecycle.epoch() == self.epoch {
            core.pings.remove(self.id);
        }
    }
}

/// Peers echo at most 32 bytes (streaming specification, ECHO flag, API 0.9.18).
const MAX_PAYLOAD_LEN: usize = 32;

/// See [`PingOptions::timeout`]. Chosen as the time of a look-up (20 s) and a slow round trip.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
