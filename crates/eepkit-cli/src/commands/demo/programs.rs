//! The two programs of the demo.
//!
//! The server has a port for each part of the demo. It echoes, counts the received bytes, or sends
//! the requested number of bytes.

use std::{fmt, io, time::Duration};

use eepkit::{Listener, Stream};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
    time::Instant,
};

/// The server echoes the received data.
pub(super) const ECHO_PORT: u16 = 1;
/// The server counts the received bytes and answers with the count.
pub(super) const SINK_PORT: u16 = 2;
/// The server sends the number of bytes that the client requests.
pub(super) const SOURCE_PORT: u16 = 3;

/// The text that arrived at each end.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) at_server: String,
    pub(super) at_client: String,
}

/// The running server and the text that it received. Dropping it stops the server.
#[derive(Debug)]
pub(super) struct Watched {
    heard: mpsc::Receiver<String>,
    _server: JoinSet<()>,
}

impl Watched {
    /// Starts the server.
    pub(super) fn serve(listener: Listener) -> Self {
        let (tell, heard) = mpsc::channel(1);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut streams = JoinSet::new();
            while let Ok(stream) = listener.accept().await {
                let tell = tell.clone();
                // If a stream fails, the client detects this and reports it.
                streams.spawn(async move {
                    let _ = serve(stream, tell).await;
                });
            }
        });
        Self {
            heard,
            _server: server,
        }
    }
}

async fn serve(mut stream: Stream, tell: mpsc::Sender<String>) -> io::Result<()> {
    match stream.local_port() {
        ECHO_PORT => {
            let mut buffer = [0; 1024];
            loop {
                let count = stream.read(&mut buffer).await?;
                if count == 0 {
                    break;
                }
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                // Only the first text is used.
                let _ = tell.try_send(text);
                stream.write_all(&buffer[..count]).await?;
                stream.flush().await?;
            }
        }
        SINK_PORT => {
            let count = drain(&mut stream).await?;
            stream.write_u64(count).await?;
        }
        SOURCE_PORT => {
            let wanted = stream.read_u64().await?;
            flood(&mut stream, wanted).await?;
        }
        _ => stream.reset(),
    }
    stream.shutdown().await
}

/// The client of the developer guide: sends a greeting and reads the echo.
pub(super) async fn say_hello(stream: &mut Stream, watched: &mut Watched) -> io::Result<Echo> {
    const HELLO: &[u8] = b"Hello I2P!";

    stream.write_all(HELLO).await?;
    stream.flush().await?;
    let mut answer = [0; HELLO.len()];
    stream.read_exact(&mut answer).await?;
    let at_server = watched
        .heard
        .recv()
        .await
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Echo {
        at_server,
        at_client: String::from_utf8_lossy(&answer).into_owned(),
    })
}

/// The size and duration of a transfer in one direction.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Transfer {
    bytes: u64,
    seconds: f64,
    /// Millions of bytes.
    megabytes_per_second: f64,
}

impl Transfer {
    fn new(bytes: u64, time: Duration) -> Self {
        let seconds = time.as_secs_f64().max(f64::MIN_POSITIVE);
        Self {
            bytes,
            seconds,
            megabytes_per_second: bytes as f64 / 1e6 / seconds,
        }
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bytes,
            seconds,
            megabytes_per_second,
        } = self;
        let bytes = crate::ui::bytes(*bytes);
        write!(
            f,
            "{megabytes_per_second:.1} MB/s ({bytes} in {seconds:.1} s)"
        )
    }
}

/// Sends data, and waits until the server has confirmed that it has read everything.
pub(super) async fn send_to_server(stream: &mut Stream, bytes: u64) -> io::Result<Transfer> {
    let started = Instant::now();
    let sent = flood(stream, bytes).await?;
    stream.shutdown().await?;
    let counted = stream.read_u64().await?;
    if counted != sent {
        return Err(io::Error::other(format!(
            "sent {sent} bytes, the server got {counted}"
        )));
    }
    Ok(Transfer::new(sent, started.elapsed()))
}

/// Requests data from the server, and reads all of it.
pub(super) async fn receive_from_server(stream: &mut Stream, bytes: u64) -> io::Result<Transfer> {
    let started = Instant::now();
    stream.write_u64(bytes).await?;
    stream.shutdown().await?;
    let received = drain(stream).await?;
    Ok(Transfer::new(received, started.elapsed()))
}

/// Writes incompressible bytes for a limited time.
async fn flood(stream: &mut Stream, bytes: u64) -> io::Result<u64> {
    let chunk = noise();
    let end = Instant::now() + FLOOD_LIMIT;
    let mut sent = 0;
    while sent < bytes && Instant::now() < end {
        let length = usize::try_from(bytes - sent)
            .unwrap_or(usize::MAX)
            .min(chunk.len());
        stream.write_all(&chunk[..length]).await?;
        sent += length as u64;
    }
    Ok(sent)
}

async fn drain(stream: &mut Stream) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut received = 0;
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(received);
        }
        received += count as u64;
    }
}

fn noise() -> Vec<u8> {
    use rand::{Rng, SeedableRng};

    let mut chunk = vec![0; CHUNK_BYTES];
    rand::rngs::StdRng::seed_from_u64(1).fill_bytes(&mut chunk);
    chunk
}

/// Chosen as several packets per write.
const CHUNK_BYTES: usize = 64 * 1024;

/// The maximum duration of sending in a transfer. Chosen so that the demo is short on a slow
/// machine, too. The data sent until then is enough for a measurement.
const FLOOD_LIMIT: Duration = Duration::from_secs(8);
