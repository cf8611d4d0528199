//! Connections that become streams.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use eepkit::Stream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::trace;

use super::{
    reading::{Gate, Gated},
    shared::{Counted, Shared},
};
use crate::{
    relay::{Options, Prefixed, Traffic, relay_stream},
    serve::Socket,
};

/// Relays between a socket and a stream until one of them, the session or the bridge ends. `early`
/// is what was read of the socket already; nothing is written to it before `gate` opens.
pub(super) async fn join(
    shared: &Shared,
    socket: Socket,
    stream: Stream,
    early: Bytes,
    gate: Gate,
    token: &CancellationToken,
) {
    let counters = &shared.counters;
    let _counted = Counted::new(&counters.streams);
    let over = async {
        token.cancelled().await;
        // A client may close everything at once, right after its last words.
        sleep(LAST_WORDS).await;
    };
    let mut socket = Prefixed::new(early, Gated::new(socket, gate));
    let options = Options::new().half_closed(HALF_CLOSED);
    let traffic = Traffic::new();
    tokio::select! {
        report = relay_stream(&mut socket, stream, &options, &traffic) => {
            trace!(?report, "a stream of a client of SAM ended");
        }
        () = over => {}
        () = shared.server.closing().cancelled() => {}
    }
    let (sent, received) = (traffic.a_to_b(), traffic.b_to_a());
    counters.bytes_sent.fetch_add(sent, Ordering::Relaxed);
    counters
        .bytes_received
        .fetch_add(received, Ordering::Relaxed);
}

/// How long one direction may stay silent after the other was closed. A client that is gone has
/// closed its direction in just the same way as one that waits for an answer. Chosen so that an
/// answer may take as long as a stream may be idle in Java I2P by default.
const HALF_CLOSED: Duration = Duration::from_secs(90);

/// How long data that a client wrote to a stream is still read once its session is over. Chosen
/// because the data is in the socket's buffer already, and a session should be gone within a second.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(200);
