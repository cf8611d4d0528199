//! Copying in one direction.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The state of one direction.
///
/// It holds a buffer only while the writer does not accept what was read. An idle connection
/// therefore has no buffers.
#[derive(Default)]
pub(super) struct Copy {
    /// What was read and not yet written, and the part of it that was written.
    rest: Vec<u8>,
    written: usize,
    has_unflushed: bool,
    has_read_all: bool,
    is_done: bool,
}

impl Copy {
    /// Copies at most `size` bytes at a time until the reader ends, and shuts down the writer.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        size: usize,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.is_done {
            ready!(self.poll_rest(cx, writer))?;
            if self.has_read_all {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                self.is_done = true;
                break;
            }
            let moved = with_buffer(size, |buffer| self.poll_move(cx, reader, writer, buffer));
            if moved.is_pending() && self.has_unflushed {
                ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                self.has_unflushed = false;
            }
            ready!(moved)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and writes as much as the writer accepts.
    fn poll_move<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        buffer: &mut [u8],
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(reader).poll_read(cx, &mut buffer))?;
        let mut read = buffer.filled();
        self.has_read_all = read.is_empty();
        while !read.is_empty() {
            let written = match Pin::new(&mut *writer).poll_write(cx, read) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.rest.extend_from_slice(read);
                    return Poll::Pending;
                }
            };
            read = &read[accepted(written)?..];
            self.has_unflushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what an earlier call could not write.
    fn poll_rest<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.rest.get(self.written..).filter(|it| !it.is_empty()) {
            let written = ready!(Pin::new(&mut *writer).poll_write(cx, rest))?;
            self.written += accepted(written)?;
            self.has_unflushed = true;
        }
        self.rest = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

fn accepted(written: usize) -> io::Result<usize> {
    match written {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

/// Calls a function with a buffer of this size, which all connections of a thread share.
fn with_buffer<T>(size: usize, function: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut buffer = BUFFER.take();
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let result = function(&mut buffer[..size]);
    BUFFER.set(buffer);
    result
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::timeout,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_buffer_exists_only_while_the_writer_is_blocked() {
        let (mut source, mut reader) = duplex(64);
        let (mut writer, mut sink) = duplex(16);
        let mut copy = Copy::default();
        let copied = async |copy: &mut Copy, reader: &mut _, writer: &mut _| {
            let copying = poll_fn(|cx| copy.poll(cx, reader, writer, 1024));
            timeout(Duration::from_millis(1), copying).await
        };

        source.write_all(&[7; 40]).await.expect("there is room");
        assert!(copied(&mut copy, &mut reader, &mut writer).await.is_err());
        assert_eq!(copy.rest.len() - copy.written, 24);

        let mut received = vec![0; 16];
        sink.read_exact(&mut received).await.expect("was written");
        assert!(copied(&mut copy, &mut reader, &mut writer).await.is_err());
        sink.read_exact(&mut received).await.expect("was written");
        assert!(copied(&mut copy, &mut reader, &mut writer).await.is_err());
        assert_eq!(copy.rest.capacity(), 0);

        drop(source);
        let ended = copied(&mut copy, &mut reader, &mut writer).await;
        assert!(matches!(ended, Ok(Ok(()))));
        received.clear();
        sink.read_to_end(&mut received).await.expect("it has ended");
        assert_eq!(received, [7; 8]);
    }
}
