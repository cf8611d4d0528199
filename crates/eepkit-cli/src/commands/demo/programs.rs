//! The two programs of the demo.
//!
//! The server serves a port for each thing that is shown: it echoes, counts what it gets, or sends
//! as much as it is asked for.

use std::{fmt, io, time::Duration};

use eepkit::{Listener, Stream};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
    time::Instant,
};

/// The server gives back what it gets.
pub(super) const ECHO_PORT: u16 = 1;
/// The server counts what it gets and answers with the number.
pub(super) const SINK_PORT: u16 = 2;
/// The server sends as much as the client asks for.
pub(super) const SOURCE_PORT: u16 = 3;

/// What was heard at both ends.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) at_server: String,
    pub(super) at_client: String,
}

/// The server, as the audience sees it. Dropping it stops the server.
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
                // A stream that fails is noticed by the client, which reports it.
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
                // Only the first is waited for.
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

/// The client of the developer guide: says hello and reads what comes back.
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

/// How fast so many bytes went one way.
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

/// Sends, and waits until the server has said that it has read everything.
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

/// Asks the server to send, and reads everything.
pub(super) async fn receive_from_server(stream: &mut Stream, bytes: u64) -> io::Result<Transfer> {
    let started = Instant::now();
    stream.write_u64(bytes).await?;
    stream.shutdown().await?;
    let received = drain(stream).await?;
    Ok(Transfer::new(received, started.elapsed()))
}

/// Writes bytes that cannot be compressed, for a limited time.
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

/// Chosen as several packets at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a transfer sends at most. Chosen so that the demo is not long on a slow machine either:
/// what was sent until then is measurement enough.
const FLOOD_LIMIT: Duration = Duration::from_secs(8);
