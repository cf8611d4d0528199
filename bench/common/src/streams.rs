//! Sessions and streams of the library, and transfers over any connection.

use std::time::Duration;

use eepkit::{ConnectError, Error, ErrorKind, Router, Session, Stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};

use crate::{Failed, LIMIT, Outcome, RETRY};

/// The tunnels of each session. Three in each direction, because i2pd publishes a lease set only if
/// an outbound tunnel is up when an inbound one is built, and with three there always is one.
#[derive(Debug, Clone, Copy)]
pub struct Tunnels {
    /// Hops of each tunnel.
    pub hops: u8,
}

const QUANTITY: u8 = 3;

/// Chosen above the number of streams in every measurement.
const STREAMS: u16 = 50_000;

/// Chosen as the largest, because a thousand streams may be opened at once.
const BACKLOG: usize = 4096;

impl Tunnels {
    /// The session options, with the same names in eepkit and i2pd. i2pd ignores the last two.
    #[must_use]
    pub fn to_options(self) -> [(&'static str, String); 7] {
        [
            ("inbound.length", self.hops.to_string()),
            ("outbound.length", self.hops.to_string()),
            ("inbound.quantity", QUANTITY.to_string()),
            ("outbound.quantity", QUANTITY.to_string()),
            ("i2cp.leaseSetEncType", "4".to_owned()),
            ("i2p.streaming.maxConcurrentStreams", STREAMS.to_string()),
            (
                "i2p.streaming.maxConcurrentStreamsPerPeer",
                STREAMS.to_string(),
            ),
        ]
    }

    /// The options in one text, with this text after each.
    #[must_use]
    pub fn to_text(self, end: &str) -> String {
        let options = self.to_options().into_iter();
        options
            .map(|(key, value)| format!("{key}={value}{end}"))
            .collect()
    }

    /// Opens a session of the library.
    ///
    /// # Errors
    ///
    /// If it does not open within [`LIMIT`].
    pub async fn open(self, router: &Router) -> Outcome<Session> {
        let builder = router.session().open_timeout(LIMIT);
        let mut builder = builder.backlog(BACKLOG);
        for (key, value) in self.to_options() {
            builder = builder.option(key, value);
        }
        Ok(builder.open().await?)
    }
}

/// Opens a stream. Retries for [`LIMIT`] while the network has no lease set of the peer.
///
/// # Errors
///
/// As [`Session::connect`].
pub async fn connect(session: &Session, to: &str) -> Result<Stream, ConnectError> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match session.connect(to).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let kind = Error::from(error.clone()).kind();
                if kind != ErrorKind::LeaseSetNotFound || Instant::now() > deadline {
                    return Err(error);
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// A connection of any kind.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Sends this number of bytes. Returns the time from the first byte written to the last byte read.
///
/// # Errors
///
/// If a side fails or ends early, or if [`LIMIT`] expires.
pub async fn transfer(mut here: impl Io, mut there: impl Io, len: usize) -> Outcome<Duration> {
    let began = Instant::now();
    let send = async {
        let chunk = vec![0x5a; 64 * 1024];
        let mut left = len;
        while left > 0 {
            let now = left.min(chunk.len());
            here.write_all(&chunk[..now]).await?;
            left -= now;
        }
        here.flush().await?;
        Ok::<(), Failed>(())
    };
    let receive = async {
        let mut chunk = vec![0; 64 * 1024];
        let mut left = len;
        while left > 0 {
            match there.read(&mut chunk).await? {
                0 => return Err(format!("{left} bytes did not arrive").into()),
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    };
    timeout(LIMIT, async { tokio::try_join!(send, receive) }).await??;
    Ok(began.elapsed())
}
