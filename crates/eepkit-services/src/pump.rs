//! Joins a socket and a stream of I2P: bytes both ways, with backpressure.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use eepkit::{PeerKind, Stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::sleep,
};

/// How many bytes went each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moved {
    pub(crate) to_peer: u64,
    pub(crate) to_client: u64,
}

/// Moves bytes until both sides have closed, one of them fails, or one has closed and the other
/// says nothing for [`HALF_CLOSED`].
///
/// `early` goes to the peer first, and nothing goes to the client before `gate` is done. What one side
/// closes is closed towards the other, whose bytes still come through. A socket that breaks resets
/// the stream, so that the peer does not take half of something for the whole.
///
/// i2pd closes both directions as soon as it learns that its peer has closed one, and drops what it
/// had not sent yet. So it is told only once nothing came from it for [`QUIET`].
///
/// Dropping the future closes both.
pub(crate) async fn join<S>(
    socket: S,
    stream: Stream,
    early: Bytes,
    gate: impl Future<Output = ()>,
) -> Moved
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let cuts_answers_off = stream
        .info()
        .is_some_and(|info| info.peer_kind == PeerKind::I2pd);
    let (socket_read, mut socket_write) = tokio::io::split(socket);
    let (mut stream_read, stream_write) = stream.into_split();
    let to_peer = AtomicU64::new(0);
    let to_client = AtomicU64::new(0);

    let outgoing = async {
        let mut socket_read = socket_read;
        let mut stream_write = stream_write;
        let result = async {
            if !early.is_empty() {
                stream_write.write_all(&early).await?;
                stream_write.flush().await?;
                to_peer.fetch_add(early.len() as u64, Ordering::Relaxed);
            }
            let open = std::future::ready(());
            copy(&mut socket_read, &mut stream_write, &to_peer, open).await?;
            if cuts_answers_off {
                until_quiet(&to_client).await;
            }
            stream_write.shutdown().await?;
            Ok(())
        }
        .await;
        if let Err(End::Read(error)) = &result {
            tracing::trace!(%error, "a client's socket broke");
            stream_write.reset();
        }
        result.is_ok()
    };
    let incoming = async {
        let result: Result<(), End> = async {
            copy(&mut stream_read, &mut socket_write, &to_client, gate).await?;
            socket_write.shutdown().await?;
            Ok(())
        }
        .await;
        result.is_ok()
    };
    tokio::pin!(outgoing);
    tokio::pin!(incoming);
    // Once one direction has ended well, the other goes on for as long as it moves.
    tokio::select! {
        whole = &mut outgoing => {
            if whole {
                while_moving(incoming, &to_client).await;
            }
        }
        whole = &mut incoming => {
            if whole {
                while_moving(outgoing, &to_peer).await;
            }
        }
    }
    Moved {
        to_peer: to_peer.load(Ordering::Relaxed),
        to_client: to_client.load(Ordering::Relaxed),
    }
}

/// Which side ended copying.
enum End {
    Read(io::Error),
    Write,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Write
    }
}

/// Copies until the reader ends; writes nothing before `gate` is done.
async fn copy<R, W>(
    reader: &mut R,
    writer: &mut W,
    moved: &AtomicU64,
    gate: impl Future<Output = ()>,
) -> Result<(), End>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = BytesMut::new();
    let mut gate = std::pin::pin!(gate);
    let mut is_open = false;
    // Nothing was written that could wait for company.
    let mut flushed = true;
    loop {
        buffer.clear();
        buffer.reserve(BUFFER);
        let more = tokio::select! {
            biased;
            count = reader.read_buf(&mut buffer) => Some(count),
            () = std::future::ready(()), if !flushed => None,
        };
        let Some(count) = more else {
            // That was all there is for now.
            writer.flush().await?;
            flushed = true;
            continue;
        };
        let count = count.map_err(End::Read)?;
        if count == 0 {
            return Ok(());
        }
        if !is_open {
            // Only now, when most likely nothing has to wait any more.
            gate.as_mut().await;
            is_open = true;
        }
        writer.write_all(&buffer).await?;
        flushed = false;
        moved.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Waits until `moved` has not risen for [`QUIET`].
async fn until_quiet(moved: &AtomicU64) {
    loop {
        let before = moved.load(Ordering::Relaxed);
        sleep(QUIET).await;
        if moved.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

/// Waits for `work` for as long as `moved` rises.
async fn while_moving(work: impl Future<Output = bool>, moved: &AtomicU64) {
    tokio::pin!(work);
    loop {
        let before = moved.load(Ordering::Relaxed);
        tokio::select! {
            _ = &mut work => return,
            () = sleep(HALF_CLOSED) => {
                if moved.load(Ordering::Relaxed) == before {
                    return;
                }
            }
        }
    }
}

/// Bytes that are read at a time. Chosen as some forty packets of streaming: fewer cost more turns
/// for each, more cost memory for each stream.
const BUFFER: usize = 64 * 1024;

/// How long one direction may stay silent after the other was closed. A client that is gone has
/// closed its direction in just the same way as one that waits for an answer; chosen so that an
/// answer may take as long as a stream may be idle in Java I2P by default.
const HALF_CLOSED: Duration = Duration::from_secs(90);

/// How long i2pd may say nothing until an answer is taken for complete. Chosen as a few round trips.
const QUIET: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn quiet_begins_with_the_last_byte() {
        let moved = AtomicU64::new(0);
        let began = Instant::now();
        let moving = async {
            for _ in 0..4 {
                sleep(Duration::from_secs(3)).await;
                moved.fetch_add(1, Ordering::Relaxed);
            }
        };
        tokio::join!(until_quiet(&moved), moving);
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(12) + QUIET, "{took:?}");
        assert!(took <= Duration::from_secs(12) + QUIET * 2, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_direction_that_stands_still_is_given_up() {
        let moved = AtomicU64::new(0);
        let began = Instant::now();
        while_moving(std::future::pending(), &moved).await;
        assert_eq!(began.elapsed(), HALF_CLOSED);
    }
}
