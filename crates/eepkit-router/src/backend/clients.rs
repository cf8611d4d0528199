//! I2CP connections in memory between this process and a router in it.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::{
    io::DuplexStream,
    sync::mpsc::{self, error::TrySendError},
};

/// The buffer of a connection in each direction, in bytes. Chosen as four messages of the largest
/// size, so that a writer can fill one half while the reader empties the other.
const CONNECTION_BYTES: usize = 256 * 1024;

/// The maximum number of connections that wait for the router to accept them. Chosen as the usual
/// backlog of a listening socket.
const BACKLOG: usize = 128;

/// Makes connections to one router. Cheap to clone; does not keep the router running.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    connections: mpsc::Sender<DuplexStream>,
}

/// The router's end of the channel, which accepts the connections.
#[derive(Debug)]
pub(crate) struct ClientListener {
    connections: mpsc::Receiver<DuplexStream>,
}

/// Creates both ends. Dropping the listener, which a router does when it stops, closes the
/// connections that wait to be accepted.
pub(crate) fn channel() -> (Clients, ClientListener) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let clients = Clients {
        connections: sender,
    };
    let listener = ClientListener {
        connections: receiver,
    };
    (clients, listener)
}

impl Clients {
    /// Opens a connection. The router accepts it later.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` when the router has stopped or [`BACKLOG`] connections already wait to
    /// be accepted.
    pub(crate) fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(CONNECTION_BYTES);
        self.connections.try_send(theirs).map_err(|error| {
            let why = match error {
                TrySendError::Full(_) => "the router accepts no more connections",
                TrySendError::Closed(_) => "the router has stopped",
            };
            io::Error::new(io::ErrorKind::ConnectionRefused, why)
        })?;
        Ok(ours)
    }
}

impl ClientListener {
    /// Returns the next connection, or `None` once every [`Clients`] handle is dropped.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<DuplexStream>> {
        self.connections.poll_recv(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_pass_in_both_directions_and_dropping_an_end_ends_the_stream() {
        let (clients, mut listener) = channel();
        let mut ours = clients.connect().unwrap();
        let mut theirs = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();

        ours.write_all(b"question").await.unwrap();
        let mut buffer = [0; 8];
        theirs.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"question");
        theirs.write_all(b"answer").await.unwrap();
        drop(theirs);

        let mut rest = String::new();
        ours.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "answer");
    }

    #[tokio::test]
    async fn a_router_that_has_stopped_refuses_connections_and_ends_those_that_wait() {
        let (clients, listener) = channel();
        let mut waiting = clients.connect().unwrap();
        drop(listener);

        assert_eq!(waiting.read(&mut [0]).await.unwrap(), 0);
        let refused = clients.connect().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn connections_that_wait_to_be_accepted_are_limited() {
        let (clients, _listener) = channel();
        let waiting: Vec<_> = (0..BACKLOG).map(|_| clients.connect().unwrap()).collect();
        assert!(clients.connect().is_err());
        drop(waiting);
    }
}
