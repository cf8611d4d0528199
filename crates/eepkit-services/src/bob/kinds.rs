//! What the tunnels of BOB do with the connections of programs, and with the streams of peers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use eepkit::{Address, AddressError, ConnectOptions, Host, Stream};
use eepkit_bob::TargetReader;
use eepkit_sam::server::Config;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout},
};

use crate::{
    errors::{Attempt, sam_failure},
    reading::{Ends, Gate},
    relay::Prefixed,
    serve::{Connection, Socket, close_gently},
    tunnel::{
        incoming::{Incoming, Remote},
        outgoing::{Local, Outgoing},
    },
};

/// Connects each program with the destination that it names in its first line.
pub(super) struct Outward {
    /// The time limit for a stream, which includes the time until the session is ready.
    pub(super) connect_timeout: Duration,
}

/// Why a program gets no stream.
enum Failed {
    /// It has closed its connection, or sent nothing in time.
    Gone,
    /// It gets this text.
    Why(String),
}

impl Local for Outward {
    async fn serve(&self, tunnel: &Outgoing, connection: Connection) {
        let mut socket = connection.socket;
        let opened = tokio::select! {
            opened = self.open(tunnel, &mut socket) => opened,
            () = tunnel.server.closing().cancelled() => return socket.abort(),
        };
        match opened {
            Ok((stream, rest)) => tunnel.relay(socket, rest, stream).await,
            Err(Failed::Gone) => {}
            Err(Failed::Why(why)) => {
                tunnel.log_failure(&why);
                // The words of Java I2P.
                let line = format!("ERROR {why}\r\n");
                if let Ok(Ok(())) = timeout(WRITE_LIMIT, socket.write_all(line.as_bytes())).await {
                    close_gently(&mut socket).await;
                }
            }
        }
    }
}

impl Outward {
    /// Reads the first line and opens a stream. Also returns the bytes after the line.
    async fn open(
        &self,
        tunnel: &Outgoing,
        socket: &mut Socket,
    ) -> Result<(Stream, Bytes), Failed> {
        let reading = timeout(LINE_LIMIT, read_target(socket)).await;
        let (target, rest) = reading.map_err(|_| Failed::Gone)??;
        let why = |error: eepkit::Error| {
            Failed::Why(sam_failure(Attempt::Connect, error).message.into_owned())
        };
        let target = host(target).map_err(|error| why(error.into()))?;
        let used = tunnel.session.get().map_err(|error| why(error.into()))?;
        let options = ConnectOptions::new().timeout(self.connect_timeout);
        let connecting = used.session().connect_with(Address::new(target), &options);
        let stream = connecting.await.map_err(|error| why(error.into()))?;
        Ok((stream, rest))
    }
}

async fn read_target(socket: &mut Socket) -> Result<(eepkit_wire::Host, Bytes), Failed> {
    let mut reader = TargetReader::new();
    let mut buffer = vec![0; READ];
    loop {
        let count = match socket.read(&mut buffer).await {
            Ok(count) if count > 0 => count,
            _ => return Err(Failed::Gone),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        match reader.push(bytes) {
            Ok(None) => {}
            Ok(Some((target, rest))) => return Ok((target, rest.into())),
            Err(error) => return Err(Failed::Why(error.to_string())),
        }
    }
}

/// Connects each stream with the local server, after a line with the destination of the peer.
pub(super) struct Inward {
    /// Whether the line is omitted.
    pub(super) quiet: bool,
}

impl Remote for Inward {
    async fn serve(&self, tunnel: &Arc<Incoming>, stream: Stream) {
        if self.quiet {
            return tunnel.join(stream).await;
        }
        let connecting = tunnel.connect(stream.local_port(), stream.peer().hash());
        let Some(mut socket) = connecting.await else {
            return stream.reset();
        };
        let line = format!("{}\n", stream.peer().to_base64());
        let Ok(Ok(())) = timeout(WRITE_LIMIT, socket.write_all(line.as_bytes())).await else {
            return stream.reset();
        };
        // txi2p loses what it reads together with the line.
        let ends = match &socket {
            Socket::Tcp(socket) => Ends::of(socket),
            _ => None,
        };
        let pause = Config::default().pause(ends.is_some());
        let gate = Gate {
            ends,
            sent: line.len() as u64,
            latest: Instant::now() + pause,
        };
        gate.pass().await;
        tunnel
            .relay(Prefixed::new(Bytes::new(), socket), stream)
            .await;
    }
}

/// A destination in any of its forms, as an address of the library.
pub(super) fn host(host: eepkit_wire::Host) -> Result<Host, AddressError> {
    match host {
        eepkit_wire::Host::Destination(destination) => Ok(Host::Destination(destination)),
        eepkit_wire::Host::Hash(hash) => Ok(Host::Hash(hash)),
        eepkit_wire::Host::Name(name) => Ok(Host::Name(name)),
        _ => Err(AddressError::EncryptedLeaseSet),
    }
}

/// The size of a read, in bytes. Chosen as longer than a destination.
const READ: usize = 4096;

/// The time limit for the first line. Chosen because a person may type it.
const LINE_LIMIT: Duration = Duration::from_secs(120);

/// The time limit for a program to read a line.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
