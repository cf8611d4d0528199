//! A relay between a local connection and an I2P stream.

use std::time::Duration;

use eepkit::{PeerKind, Stream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Options, Report, Side, Traffic, relay};

/// Relays between a local connection, which is A, and an I2P stream, which is B.
///
/// If the local connection fails, the stream is reset, so that the peer does not mistake partial
/// data for all of it. If the stream fails, the report contains the failure, and the caller decides
/// whether to abort the local connection.
///
/// i2pd closes both directions as soon as its peer has closed one, and drops its unsent data.
/// Therefore the end is passed on to i2pd only after it has sent nothing for five seconds.
///
/// # Cancel safety
///
/// Dropping the future closes the stream, or resets it with [`Options::reset_on_drop`].
pub async fn relay_stream<S>(
    local: &mut S,
    stream: Stream,
    options: &Options,
    traffic: &Traffic,
) -> Report
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let drops_answers = stream
        .info()
        .is_some_and(|info| info.peer_kind == PeerKind::I2pd);
    let options = match drops_answers {
        true => options.clone().close_b_after(I2PD_QUIET),
        false => options.clone(),
    };
    let mut guard = ResetOnDrop {
        stream,
        armed: options.reset_on_drop,
    };
    let report = relay(local, &mut guard.stream, &options, traffic).await;
    guard.armed = match report.failed_side() {
        Some(Side::A) => true,
        Some(Side::B) => false,
        None => options.reset_on_drop && !report.is_clean(),
    };
    report
}

struct ResetOnDrop {
    stream: Stream,
    armed: bool,
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.stream.reset();
        }
    }
}

/// The silence of i2pd after which its answer is considered complete. Chosen as a few round trips.
const I2PD_QUIET: Duration = Duration::from_secs(5);
