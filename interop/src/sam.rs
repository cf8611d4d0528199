//! A minimal SAM 3.1 client for the streams of another router.
//!
//! It shares no code with eepkit, so that the same error cannot be on both sides.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};

/// The longest line of a router, in bytes. Chosen because a SESSION STATUS with private keys is
/// below 2 KiB.
const MAX_LINE: usize = 8 * 1024;

/// The delay before a failed request is repeated.
const RETRY: Duration = Duration::from_millis(500);

/// A SAM session of style STREAM with a new destination. Dropping the value ends it.
#[derive(Debug)]
pub struct SamSession {
    at: SocketAddr,
    id: String,
    destination: String,
    control: TcpStream,
}

impl SamSession {
    /// Creates a session. `options` are the rest of the command: SIGNATURE_TYPE, and session
    /// options such as `inbound.length=2`. Returns when the router reports that the session has
    /// tunnels.
    ///
    /// # Errors
    ///
    /// The router's answer, and `TimedOut` when there is none before `limit`.
    pub async fn create(at: SocketAddr, options: &str, limit: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + limit;
        let id = next_id();
        let create = format!("SESSION CREATE STYLE=STREAM ID={id} DESTINATION=TRANSIENT {options}");
        bounded(deadline, "SESSION CREATE", async {
            let (mut control, reply) = sam_command(at, &create).await?;
            expect_ok(&reply)?;
            control.write_all(b"NAMING LOOKUP NAME=ME\n").await?;
            let reply = read_line(&mut control).await?;
            let destination = value(&reply, "VALUE")
                .ok_or_else(|| refused(&reply))?
                .to_owned();
            Ok(Self {
                at,
                id,
                destination,
                control,
            })
        })
        .await
    }

    /// The destination in I2P's base64.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Opens a stream to a destination in base64. Retries while the router does not find the peer's
    /// lease set, which may not have been published yet when both are new.
    ///
    /// # Errors
    ///
    /// The router's last answer, and `TimedOut` when there is none before `limit`.
    pub async fn connect(&self, to: &str, limit: Duration) -> io::Result<TcpStream> {
        let deadline = Instant::now() + limit;
        let connect = format!(
            "STREAM CONNECT ID={} DESTINATION={to} SILENT=false",
            self.id
        );
        bounded(deadline, "STREAM CONNECT", async {
            loop {
                let (stream, reply) = sam_command(self.at, &connect).await?;
                match expect_ok(&reply) {
                    Ok(()) => return Ok(stream),
                    Err(_)
                        if reply.contains("CANT_REACH_PEER")
                            && Instant::now() + RETRY < deadline =>
                    {
                        sleep(RETRY).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    /// Starts to accept one stream. When this returns, the accept is pending in the router, so that
    /// a peer may connect.
    ///
    /// # Errors
    ///
    /// The router's answer.
    pub async fn accept(&self) -> io::Result<Accepting> {
        let accept = format!("STREAM ACCEPT ID={} SILENT=false", self.id);
        let (stream, reply) = sam_command(self.at, &accept).await?;
        expect_ok(&reply)?;
        Ok(Accepting { stream })
    }

    /// Resolves a name in the router.
    ///
    /// # Errors
    ///
    /// The router's answer.
    pub async fn lookup(&mut self, name: &str) -> io::Result<String> {
        let command = format!("NAMING LOOKUP NAME={name}\n");
        self.control.write_all(command.as_bytes()).await?;
        let reply = read_line(&mut self.control).await?;
        value(&reply, "VALUE")
            .map(str::to_owned)
            .ok_or_else(|| refused(&reply))
    }
}

/// A pending accept.
#[derive(Debug)]
pub struct Accepting {
    stream: TcpStream,
}

impl Accepting {
    /// Returns the stream, and the destination of the peer in base64.
    ///
    /// # Errors
    ///
    /// `TimedOut` when no peer connects before `limit`, or the error of the socket.
    pub async fn accepted(mut self, limit: Duration) -> io::Result<(TcpStream, String)> {
        bounded(Instant::now() + limit, "STREAM ACCEPT", async {
            let line = read_line(&mut self.stream).await?;
            // Since SAM 3.2 the line contains the ports after the destination.
            let peer = line.split(' ').next().unwrap_or_default().to_owned();
            Ok((self.stream, peer))
        })
        .await
    }
}

/// Connects, sends HELLO and one command. Returns the socket and the line of the answer.
///
/// # Errors
///
/// When the router does not support SAM 3.1, or the error of the socket.
pub async fn sam_command(at: SocketAddr, command: &str) -> io::Result<(TcpStream, String)> {
    let mut socket = TcpStream::connect(at).await?;
    socket.set_nodelay(true)?;
    socket.write_all(b"HELLO VERSION MIN=3.1 MAX=3.1\n").await?;
    expect_ok(&read_line(&mut socket).await?)?;
    socket.write_all(format!("{command}\n").as_bytes()).await?;
    let reply = read_line(&mut socket).await?;
    Ok((socket, reply))
}

/// Returns an ID that no other session has.
pub(crate) fn next_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("interop-{}-{number}", std::process::id())
}

/// Reads up to a newline and no further, because data may follow.
pub(crate) async fn read_line(socket: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match socket.read_u8().await? {
            b'\n' => break,
            _ if line.len() == MAX_LINE => return Err(io::Error::other("a line without an end")),
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(io::Error::other)
}

/// Returns the value of `key=value` in an answer.
pub(crate) fn value<'a>(reply: &'a str, key: &str) -> Option<&'a str> {
    reply
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

pub(crate) fn expect_ok(reply: &str) -> io::Result<()> {
    if value(reply, "RESULT") == Some("OK") {
        Ok(())
    } else {
        Err(refused(reply))
    }
}

pub(crate) fn refused(reply: &str) -> io::Error {
    io::Error::other(format!("the router answered: {}", reply.trim_end()))
}

async fn bounded<T>(
    deadline: Instant,
    what: &str,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout_at(deadline, work).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer to {what}"),
        ))
    })
}
