//! Connections of programs whose bytes pass through an IRC filter.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use eepkit_irc::{ClientFilter, ServerFilter};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::relaying::Abort;
use crate::{relay::Prefixed, serve::Socket};

/// Filters what a program and its peer exchange.
pub(crate) trait Filter: Send + Unpin {
    /// Filters bytes of the program.
    fn of_program(&mut self, bytes: &[u8], output: &mut Vec<u8>);

    /// Filters bytes of the peer.
    ///
    /// # Errors
    ///
    /// What the peer gets before its stream is closed.
    fn of_peer(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Result<(), Vec<u8>>;

    /// Whether the peer has time for as long as it likes.
    fn is_settled(&self) -> bool {
        true
    }
}

/// The filter of a program that is an IRC client.
impl Filter for ClientFilter {
    fn of_program(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        self.receive_from_client(bytes, output);
    }

    fn of_peer(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Result<(), Vec<u8>> {
        self.receive_from_server(bytes, output);
        Ok(())
    }
}

/// The filter of a program that is an IRC server.
impl Filter for ServerFilter {
    fn of_program(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        output.extend_from_slice(bytes);
    }

    fn of_peer(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Result<(), Vec<u8>> {
        self.receive(bytes, output)
            .map_err(|error| Self::refusal(&error.to_string()))
    }

    fn is_settled(&self) -> bool {
        self.is_registered()
    }
}

/// The connection of a program. Reading returns the filtered bytes of the program, writing filters
/// bytes of the peer.
pub(crate) struct Filtered<F, S = Prefixed<Socket>> {
    socket: S,
    filter: F,
    /// Filtered bytes of the program that were not read.
    of_program: Pending,
    /// Filtered bytes of the peer that were not written.
    of_peer: Pending,
    /// Set when the filter has refused the peer. Then the program is not read or written any more.
    is_refused: bool,
    /// The time limit of the peer until the filter is settled.
    limit: Option<Pin<Box<Sleep>>>,
    buffer: Vec<u8>,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    start: usize,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Removes bytes. The allocation is kept.
    fn take(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }
}

impl<F: Filter, S: AsyncRead + AsyncWrite + Unpin> Filtered<F, S> {
    /// Filters a connection. A peer for which the filter is not settled within `limit` is refused.
    pub(crate) fn new(socket: S, filter: F, limit: Option<Duration>) -> Self {
        Self {
            socket,
            filter,
            of_program: Pending::default(),
            of_peer: Pending::default(),
            is_refused: false,
            limit: limit.map(|limit| Box::pin(sleep(limit))),
            buffer: vec![0; BUFFER],
        }
    }

    fn refuse(&mut self, refusal: Vec<u8>) {
        self.is_refused = true;
        self.of_program.bytes.extend(refusal);
        self.of_peer = Pending::default();
    }

    fn check_limit(&mut self, cx: &mut Context<'_>) {
        if self.filter.is_settled() {
            self.limit = None;
        }
        if let Some(limit) = &mut self.limit
            && limit.as_mut().poll(cx).is_ready()
        {
            self.limit = None;
            self.refuse(ServerFilter::refusal(
                "no registration within the time limit",
            ));
        }
    }

    /// Writes the pending bytes of the peer to the program.
    fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.of_peer.rest().is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(cx, self.of_peer.rest());
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.of_peer.take(count),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<F: Filter, S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Filtered<F, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        output: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.check_limit(cx);
        loop {
            let rest = this.of_program.rest();
            if !rest.is_empty() {
                let count = rest.len().min(output.remaining());
                output.put_slice(&rest[..count]);
                this.of_program.take(count);
                return Poll::Ready(Ok(()));
            }
            if this.is_refused {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut this.buffer);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.filter
                .of_program(buffer.filled(), &mut this.of_program.bytes);
        }
    }
}

impl<F: Filter, S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Filtered<F, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_pass(cx))?;
        if this.is_refused {
            return Poll::Ready(Ok(bytes.len()));
        }
        let bytes = &bytes[..bytes.len().min(BUFFER)];
        if let Err(refusal) = this.filter.of_peer(bytes, &mut this.of_peer.bytes) {
            this.refuse(refusal);
        }
        // What the program does not accept now is written before the next bytes.
        let _ = this.poll_pass(cx)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pass(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pass(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<F: Filter> Abort for Filtered<F> {
    fn abort(self) {
        self.socket.into_inner().abort();
    }
}

/// Chosen as several hundred IRC messages.
const BUFFER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn both_directions_are_filtered_whatever_the_pieces() {
        let (mut program, socket) = duplex(7);
        let mut local = Filtered::new(socket, ClientFilter::new(), None);
        let expected_sent = b"NICK me\r\nUSER me hostname localhost :R\r\n";
        let expected_received = b":s 001 me :Welcome\r\nERROR\r\n";
        let of_program = async {
            let lines = b"NICK me\r\nUSER me host srv :R\r\nXYZZY\r\n";
            program.write_all(lines).await.expect("written");
            let mut received = vec![0; expected_received.len()];
            program.read_exact(&mut received).await.expect("received");
            received
        };
        let of_peer = async {
            let mut sent = vec![0; expected_sent.len()];
            local.read_exact(&mut sent).await.expect("read");
            let lines = b":s 001 me :Welcome\r\n:s XYZZY\r\nERROR\r\n";
            // The last line of the program is read and dropped meanwhile.
            let (mut reader, mut writer) = tokio::io::split(local);
            let writing = async {
                writer.write_all(lines).await.expect("written");
                writer.flush().await.expect("flushed");
            };
            let mut nothing = [0; 1];
            tokio::select! {
                () = writing => {}
                _ = reader.read(&mut nothing) => panic!("a line passed that must not"),
            }
            sent
        };
        let (received, sent) = tokio::join!(of_program, of_peer);
        assert_eq!(sent, expected_sent);
        assert_eq!(received, expected_received);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_register_in_time_gets_a_reason() {
        let (_program, socket) = duplex(1000);
        let filter = ServerFilter::new(eepkit_irc::Method::User, "x.b32.i2p");
        let mut local = Filtered::new(socket, filter, Some(Duration::from_secs(30)));
        local.write_all(b"NICK me\r\n").await.expect("written");
        let mut said = Vec::new();
        local.read_to_end(&mut said).await.expect("closed");
        assert!(said.starts_with(b":ircserver.i2p 499 "), "{said:?}");
        // What the peer still sends goes nowhere.
        local
            .write_all(b"USER a b c d\r\n")
            .await
            .expect("accepted");
    }
}
