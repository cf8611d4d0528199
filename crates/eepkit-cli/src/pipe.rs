//! Joins a stream with an input and an output, as netcat does.

use std::{fmt, io};

use eepkit::{Stream, WriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// When a joined stream is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Both directions are at their end.
    BothEnd,
    /// The peer's direction is at its end. For a terminal: its input never ends by itself.
    PeerEnds,
    /// Our direction is at its end. For a command: who has written everything and gone has read
    /// what it wanted.
    InputEnds,
}

/// Bytes that went each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// Which of the four ends failed.
#[derive(Debug)]
pub(crate) enum PipeError {
    /// The input could not be read.
    Input(io::Error),
    /// The output could not be written.
    Output(io::Error),
    /// The stream failed.
    Peer(io::Error),
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input(_) => "cannot read the input",
            Self::Output(_) => "cannot write the output",
            Self::Peer(_) => "the stream failed",
        })
    }
}

impl std::error::Error for PipeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(error) | Self::Output(error) | Self::Peer(error) => Some(error),
        }
    }
}

/// Joins a stream with `input` and `output`, as [`join`] does.
///
/// Unless it comes to a good end the stream is reset, so that the peer does not take a part for the
/// whole.
///
/// # Cancel safety
///
/// Dropping the future resets the stream.
pub(crate) async fn join_stream(
    stream: Stream,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    until: Until,
    totals: &mut Totals,
) -> Result<(), PipeError> {
    let (reader, writer) = stream.into_split();
    let mut writer = ResetOnDrop {
        writer,
        armed: true,
    };
    join((reader, &mut writer.writer), input, output, until, totals).await?;
    writer.armed = false;
    Ok(())
}

struct ResetOnDrop {
    writer: WriteHalf,
    armed: bool,
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.writer.reset();
        }
    }
}

/// Copies `input` to the stream and the stream to `output`, both at once.
///
/// The end of the input closes our direction of the stream and leaves the other open. Nothing is
/// read faster than the other end takes it. Returns when `until` says so, or at the first failure;
/// what was copied until then is in `totals` either way.
///
/// # Cancel safety
///
/// Dropping the future loses what was read and not yet written.
async fn join(
    stream: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    until: Until,
    totals: &mut Totals,
) -> Result<(), PipeError> {
    let (reader, writer) = stream;
    let Totals { sent, received } = totals;
    let mut up = std::pin::pin!(send(input, writer, sent));
    let mut down = std::pin::pin!(receive(reader, output, until, received));
    let (mut up_ended, mut down_ended) = (false, false);
    loop {
        tokio::select! {
            result = &mut up, if !up_ended => {
                result?;
                up_ended = true;
            }
            result = &mut down, if !down_ended => {
                result?;
                down_ended = true;
            }
        }
        let done = match until {
            Until::BothEnd => up_ended && down_ended,
            Until::PeerEnds => down_ended,
            Until::InputEnds => up_ended,
        };
        if done {
            return Ok(());
        }
    }
}

async fn send(
    mut input: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    sent: &mut u64,
) -> Result<(), PipeError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = input.read(&mut buffer).await.map_err(PipeError::Input)?;
        if count == 0 {
            return writer.shutdown().await.map_err(PipeError::Peer);
        }
        writer
            .write_all(&buffer[..count])
            .await
            .map_err(PipeError::Peer)?;
        // Less than was asked for means that the input pauses: the peer should see what there is.
        if count < buffer.len() {
            writer.flush().await.map_err(PipeError::Peer)?;
        }
        *sent += count as u64;
    }
}

async fn receive(
    mut reader: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
    until: Until,
    received: &mut u64,
) -> Result<(), PipeError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = reader.read(&mut buffer).await.map_err(PipeError::Peer)?;
        if count == 0 {
            // Closes the standard input of a command; on our own standard output it only flushes.
            return finish_output(output.shutdown().await, until);
        }
        let written = async {
            output.write_all(&buffer[..count]).await?;
            // Who looks on wants to see each answer when it comes.
            output.flush().await
        };
        if let Err(error) = written.await {
            return finish_output(Err(error), until);
        }
        *received += count as u64;
    }
}

/// A command that does not read its input to the end is no failure.
fn finish_output(result: io::Result<()>, until: Until) -> Result<(), PipeError> {
    match result {
        Err(error) if until == Until::InputEnds && error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(())
        }
        result => result.map_err(PipeError::Output),
    }
}

/// Chosen as several streaming messages, so that one read of a fast input fills more than one.
const BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{DuplexStream, duplex, empty, sink, split};

    use super::*;

    async fn joined(
        peer: DuplexStream,
        input: &[u8],
        until: Until,
    ) -> (Result<(), PipeError>, Vec<u8>, Totals) {
        let mut output = Vec::new();
        let mut totals = Totals::default();
        let result = join(split(peer), input, &mut output, until, &mut totals).await;
        (result, output, totals)
    }

    #[tokio::test]
    async fn the_end_of_input_leaves_the_other_direction_open() {
        let (ours, mut peer) = duplex(1024);
        let peer_side = async move {
            let mut question = Vec::new();
            peer.read_to_end(&mut question).await.expect("readable");
            peer.write_all(&question.repeat(2)).await.expect("writable");
        };

        let ((result, output, totals), ()) =
            tokio::join!(joined(ours, b"twice ", Until::BothEnd), peer_side);

        assert!(result.is_ok());
        assert_eq!(output, b"twice twice ");
        assert_eq!(
            totals,
            Totals {
                sent: 6,
                received: 12
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn input_is_sent_on_after_the_peer_has_ended() {
        let (ours, mut peer) = duplex(1024);
        let (mut late, input) = duplex(1024);
        let ours = tokio::spawn(async move {
            let mut totals = Totals::default();
            let result = join(split(ours), input, sink(), Until::BothEnd, &mut totals).await;
            (result, totals)
        });
        peer.shutdown().await.expect("open");
        tokio::time::sleep(Duration::from_secs(60)).await;
        late.write_all(b"late").await.expect("open");
        drop(late);

        let (result, totals) = ours.await.expect("no panic");

        assert!(result.is_ok());
        assert_eq!(
            totals,
            Totals {
                sent: 4,
                received: 0
            }
        );
    }

    #[tokio::test]
    async fn a_terminal_does_not_wait_for_its_own_end() {
        let (ours, peer) = duplex(1024);
        let (_terminal, input) = duplex(1024);
        drop(peer);
        let mut totals = Totals::default();

        let result = join(split(ours), input, sink(), Until::PeerEnds, &mut totals).await;

        assert!(result.is_ok());
    }

    #[tokio::test]
    async fn a_command_need_not_read_its_input() {
        let (ours, mut peer) = duplex(1024);
        let (command, unread) = duplex(1024);
        drop(unread);
        peer.write_all(b"nobody reads this").await.expect("open");
        let mut totals = Totals::default();

        let result = join(
            split(ours),
            &b"the date"[..],
            command,
            Until::InputEnds,
            &mut totals,
        )
        .await;

        assert!(result.is_ok(), "{result:?}");
        assert_eq!(totals.sent, 8);
    }

    #[tokio::test]
    async fn an_output_that_went_away_is_told_apart() {
        let (ours, mut peer) = duplex(1024);
        let (output, gone) = duplex(1024);
        drop(gone);
        peer.write_all(b"x").await.expect("open");
        let mut totals = Totals::default();

        let result = join(split(ours), empty(), output, Until::BothEnd, &mut totals).await;

        assert!(matches!(result, Err(PipeError::Output(_))), "{result:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_read_faster_than_the_peer_takes_it() {
        let (ours, _peer) = duplex(1024);
        let (mut fast, input) = duplex(1024);
        let ours = tokio::spawn(async move {
            let mut totals = Totals::default();
            join(split(ours), input, sink(), Until::BothEnd, &mut totals).await
        });

        let flood = async {
            let mut taken = 0;
            while fast.write_all(&[0; 1024]).await.is_ok() {
                taken += 1024;
            }
            taken
        };
        let endless = tokio::time::timeout(Duration::from_millis(200), flood).await;

        assert!(
            endless.is_err(),
            "the peer reads nothing, but all was taken"
        );
        ours.abort();
    }
}
