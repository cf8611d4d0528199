//! Connects a stream to an input and an output, as netcat does.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use eepkit::Stream;
use eepkit_services::relay::{End, Operation, Options, Report, Side, Traffic, Until, relay_stream};
use tokio::io::{AsyncRead, AsyncWrite, join};

/// The end of the connection that failed.
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

/// Copies `input` to the stream and the stream to `output` until `until` is satisfied. A is the
/// input, B the stream. `traffic` counts bytes also if this fails.
///
/// Unless the stream ends normally it is reset, so that the peer does not treat partial data as
/// complete.
///
/// # Cancel safety
///
/// Dropping the future resets the stream.
pub(crate) async fn join_stream(
    stream: Stream,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    until: Until,
    traffic: &Traffic,
) -> Result<(), PipeError> {
    let options = Options::new().until(until).reset_on_drop();
    let mut local = join(input, output);
    outcome(relay_stream(&mut local, stream, &options, traffic).await)
}

fn outcome(report: Report) -> Result<(), PipeError> {
    match report.end {
        End::Failed {
            side,
            operation,
            error,
        } => Err(match (side, operation) {
            (Side::A, Operation::Read) => PipeError::Input(error),
            (Side::A, Operation::Write) => PipeError::Output(error),
            (Side::B, _) => PipeError::Peer(error),
        }),
        _ => Ok(()),
    }
}

/// The standard input of a command. Dropping it closes it. If the command has closed its input, the
/// remaining data is discarded.
pub(crate) struct CommandInput<W>(Option<W>);

impl<W> CommandInput<W> {
    pub(crate) fn new(input: W) -> Self {
        Self(Some(input))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for CommandInput<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(input) = &mut self.0 else {
            return Poll::Ready(Ok(buf.len()));
        };
        let written = Pin::new(input).poll_write(cx, buf);
        written.map(|result| or_if_closed(result, buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(input) = &mut self.0 else {
            return Poll::Ready(Ok(()));
        };
        let flushed = Pin::new(input).poll_flush(cx);
        flushed.map(|result| or_if_closed(result, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(self.as_mut().poll_flush(cx));
        self.0 = None;
        Poll::Ready(flushed)
    }
}

fn or_if_closed<T>(result: io::Result<T>, otherwise: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(otherwise),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use eepkit_services::relay::relay;
    use tokio::io::{AsyncWriteExt as _, duplex, empty};

    use super::*;

    #[tokio::test]
    async fn a_command_need_not_read_its_input() {
        let (mut stream, mut peer) = duplex(1024);
        let (command, unread) = duplex(1024);
        drop(unread);
        peer.write_all(b"nobody reads this").await.expect("open");
        let traffic = Traffic::new();
        let mut local = join(&b"the date"[..], CommandInput::new(command));
        let options = Options::new().until(Until::AEnds);

        let result = outcome(relay(&mut local, &mut stream, &options, &traffic).await);

        assert!(result.is_ok(), "{result:?}");
        assert_eq!(traffic.a_to_b(), 8);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_gets_the_end_of_its_input() {
        let mut child = tokio::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("cat runs");
        let output = child.stdout.take().expect("piped");
        let input = CommandInput::new(child.stdin.take().expect("piped"));
        let (mut stream, mut peer) = duplex(1024);
        peer.write_all(b"meow").await.expect("open");
        peer.shutdown().await.expect("open");
        let options = Options::new().until(Until::AEnds);
        let (mut local, traffic) = (join(output, input), Traffic::new());
        let relaying = relay(&mut local, &mut stream, &options, &traffic);
        let report = tokio::time::timeout(std::time::Duration::from_secs(30), relaying).await;
        assert!(report.expect("cat ends").is_clean());
        assert_eq!((traffic.a_to_b(), traffic.b_to_a()), (4, 4));
    }

    #[tokio::test]
    async fn a_closed_output_differs_from_a_broken_stream() {
        let (mut stream, mut peer) = duplex(1024);
        let (output, gone) = duplex(1024);
        drop(gone);
        peer.write_all(b"x").await.expect("open");
        let mut local = join(empty(), output);

        let report = relay(&mut local, &mut stream, &Options::new(), &Traffic::new()).await;

        let result = outcome(report);
        assert!(matches!(result, Err(PipeError::Output(_))), "{result:?}");
    }
}
