//! Connections that become streams.

use std::time::Duration;

use bytes::Bytes;
use eepkit::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::trace;

use super::shared::Shared;
use crate::{
    reading::{Gate, Gated},
    relay::{Options, Prefixed, Report, Side, Traffic, relay_stream},
    serve::Socket,
};

/// Relays between a socket and a stream until one of them, the session or the bridge ends. `early`
/// contains the bytes that were already read from the socket. Nothing is written to the socket
/// before `gate` opens.
///
/// A stream that fails aborts the socket, so that the client does not mistake partial data for all of
/// it. A socket that fails resets the stream.
pub(super) async fn join(
    shared: &Shared,
    socket: Socket,
    stream: Stream,
    early: Bytes,
    gate: Gate,
    token: &CancellationToken,
) {
    let mut socket = Prefixed::new(early, Gated::new(socket, gate));
    let report = carry(shared, &mut socket, stream, token).await;
    if report.is_some_and(|report| report.failed_side() == Some(Side::B)) {
        socket.into_inner().opened().await.abort();
    }
}

/// Relays between a local connection and a stream until one of them, the session or the bridge ends.
/// Returns `None` if the session or the bridge has ended first.
pub(super) async fn carry<S>(
    shared: &Shared,
    local: &mut S,
    stream: Stream,
    token: &CancellationToken,
) -> Option<Report>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _counted = shared.counters.count_stream();
    let over = async {
        token.cancelled().await;
        // A client may close all its sockets right after its last write.
        sleep(LAST_WORDS).await;
    };
    let options = Options::new().half_closed(HALF_CLOSED);
    let traffic = Traffic::new();
    let report = tokio::select! {
        report = relay_stream(local, stream, &options, &traffic) => {
            trace!(?report, "a stream of a client of SAM ended");
            Some(report)
        }
        () = over => None,
        () = shared.server.closing().cancelled() => None,
    };
    shared
        .counters
        .count_bytes(traffic.a_to_b(), traffic.b_to_a());
    report
}

/// The time limit for the silence of one direction after the other was closed. A client that has
/// exited closes its direction in the same way as one that waits for an answer. Chosen as the time
/// that a stream may be idle in Java I2P by default.
pub(super) const HALF_CLOSED: Duration = Duration::from_secs(90);

/// The time limit for reading data of a client after its session has ended. Chosen because the data
/// is already in the socket's buffer, and a session should be closed within a second.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(200);
