//! Copying between a local connection and a stream, in every kind of tunnel.

use std::{sync::Arc, time::Duration};

use eepkit::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::{
    counters::Counters,
    relay::{Options, Prefixed, Traffic, relay_stream},
    serve::Socket,
};

/// Copies until both directions have ended, one side fails, or the tunnel stops. A failure of one
/// side is passed on to the other as a reset.
///
/// `idle` ends a connection on which no byte moves for this time.
pub(crate) async fn relay(
    mut local: impl AsyncRead + AsyncWrite + Abort + Unpin,
    stream: Stream,
    idle: Option<Duration>,
    counters: &Arc<Counters>,
    closing: &CancellationToken,
) {
    let traffic = Traffic::default();
    let counted = counters.count_stream();
    let mut options = Options::new().half_closed(HALF_CLOSED).reset_on_drop();
    if let Some(limit) = idle {
        options = options.idle(limit);
    }
    let report = tokio::select! {
        report = relay_stream(&mut local, stream, &options, &traffic) => Some(report),
        () = closing.cancelled() => None,
    };
    counters.count_bytes(traffic.a_to_b(), traffic.b_to_a());
    drop(counted);
    // A failure of the stream must not look like its end. After a clean end, the relay has shut down
    // both sides.
    if report.is_none_or(|report| !report.is_clean()) {
        local.abort();
    }
}

/// A local connection that can be reset.
pub(crate) trait Abort {
    /// Resets the connection.
    fn abort(self);
}

impl Abort for Prefixed<Socket> {
    fn abort(self) {
        self.into_inner().abort();
    }
}

/// How long one direction may stay open without data after the other has ended. Chosen because a
/// program that has gone leaves the same state as one that waits for a long answer.
const HALF_CLOSED: Duration = Duration::from_secs(3600);
