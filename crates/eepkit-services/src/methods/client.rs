//! The client side of the control socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    time::timeout,
};

use super::protocol::{ControlError, MAX_REPLY, Reply, Request};

/// A connection to the control socket of a running program.
#[derive(Debug)]
pub struct Client {
    #[cfg(unix)]
    socket: BufReader<tokio::net::UnixStream>,
    last_id: u64,
}

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No program listens on the socket.
    #[error("no program listens at {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The program closed the connection before it answered.
    #[error("the program closed the connection")]
    Closed,
    /// Reading or writing failed.
    #[error("the connection to the program failed")]
    Io(#[from] io::Error),
    /// The program sent something that is not a reply.
    #[error("the program's answer cannot be understood: {0}")]
    Protocol(String),
    /// The program did not answer in time.
    #[error("the program did not answer within {0:?}")]
    Timeout(Duration),
    /// The program reported an error.
    #[error(transparent)]
    Refused(#[from] ControlError),
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotRunning`] if nobody listens there, and [`ClientError::Io`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    #[cfg(unix)]
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        match tokio::net::UnixStream::connect(path).await {
            Ok(socket) => Ok(Self {
                socket: BufReader::new(socket),
                last_id: 0,
            }),
            Err(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Err(ClientError::NotRunning {
                    path: path.to_owned(),
                    source,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Control sockets are Unix sockets, which this system does not have.
    #[cfg(not(unix))]
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        let _ = path;
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    /// Calls a method and returns its result. Events are ignored.
    ///
    /// # Errors
    ///
    /// [`ClientError`], within `limit`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connection is in an undefined state and should be dropped.
    pub async fn call(
        &mut self,
        method: &str,
        params: Value,
        limit: Duration,
    ) -> Result<Value, ClientError> {
        let calling = async {
            self.start(method, params).await?;
            loop {
                let reply = self.next_reply().await?;
                if let Some(result) = reply.result {
                    return Ok(result);
                }
            }
        };
        timeout(limit, calling)
            .await
            .unwrap_or(Err(ClientError::Timeout(limit)))
    }

    /// Sends a request. [`Client::next_event`] returns its events.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    ///
    /// # Cancel safety
    ///
    /// As for [`Client::call`].
    pub async fn start(&mut self, method: &str, params: Value) -> Result<(), ClientError> {
        self.last_id += 1;
        let request = Request {
            id: self.last_id,
            method: method.to_owned(),
            params,
        };
        let mut line = serde_json::to_vec(&request)
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        line.push(b'\n');
        self.send(&line).await?;
        Ok(())
    }

    /// Waits for the next event of the request. `None` if the request has ended.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. There is no time limit.
    ///
    /// # Cancel safety
    ///
    /// As for [`Client::call`].
    pub async fn next_event(&mut self) -> Result<Option<Value>, ClientError> {
        match self.next_reply().await {
            Ok(reply) => Ok(reply.event),
            Err(ClientError::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the next reply to the last request.
    async fn next_reply(&mut self) -> Result<Reply, ClientError> {
        loop {
            let line = self.receive().await?.ok_or(ClientError::Closed)?;
            let reply: Reply = serde_json::from_slice(&line)
                .map_err(|error| ClientError::Protocol(error.to_string()))?;
            if let Some(error) = reply.error {
                return Err(error.into());
            }
            if reply.id == Some(self.last_id) {
                return Ok(reply);
            }
        }
    }

    #[cfg(unix)]
    async fn send(&mut self, line: &[u8]) -> io::Result<()> {
        self.socket.get_mut().write_all(line).await
    }

    #[cfg(unix)]
    async fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        read_line(&mut self.socket).await
    }

    #[cfg(not(unix))]
    async fn send(&mut self, _line: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(unix))]
    async fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Reads a line of at most [`MAX_REPLY`] bytes. `None` at the end of the connection.
async fn read_line(socket: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_REPLY).unwrap_or(u64::MAX);
    socket.take(limit).read_until(b'\n', &mut line).await?;
    match line.last() {
        Some(b'\n') => Ok(Some(line)),
        None => Ok(None),
        // The connection broke in the middle of a line, or the line is too long.
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
