//! Shared by the tests: a network, sessions on it, and data whose content can be checked.

use std::{cell::Cell, time::Duration};

use eepkit::{
    Error, IntoAddress, Listener, Preset, Router, Session, SessionBuilder, Stream,
    sim::{Builder, SimNet},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How sessions reach the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Direct,
    I2cp,
}

/// Runs each named test over both kinds of link, with the clock paused.
macro_rules! over_both_links {
    ($($name:ident),* $(,)?) => {
        mod direct {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name(crate::lab::Link::Direct).await;
                }
            )*
        }
        mod i2cp {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name(crate::lab::Link::I2cp).await;
                }
            )*
        }
    };
}
pub(crate) use over_both_links;

/// A network, with one kind of link to it.
pub(crate) struct Lab {
    pub(crate) net: SimNet,
    link: Link,
    seed: Cell<u64>,
}

impl Lab {
    /// A network with a one-way delay of 50 ms and no other impairment.
    pub(crate) fn new(link: Link) -> Self {
        Self::of(link, SimNet::builder().delay(Duration::from_millis(50)))
    }

    pub(crate) fn of(link: Link, builder: Builder) -> Self {
        Self {
            net: builder.start(),
            link,
            seed: Cell::new(0),
        }
    }

    pub(crate) fn router(&self) -> Router {
        match self.link {
            Link::Direct => Router::new(self.net.router()),
            Link::I2cp => Router::new(self.net.i2cp_router()),
        }
    }

    pub(crate) fn builder(&self) -> SessionBuilder {
        self.seed.set(self.seed.get() + 1);
        self.router()
            .session()
            .preset(Preset::Test)
            .seed(self.seed.get())
    }

    pub(crate) async fn session(&self) -> Session {
        self.builder().open().await.expect("a session opens")
    }

    /// Two sessions.
    pub(crate) async fn pair(&self) -> (Session, Session) {
        (self.session().await, self.session().await)
    }

    /// Two sessions with a stream between them.
    pub(crate) async fn stream(&self) -> Ends {
        let (client, server) = self.pair().await;
        let listener = server.listen(1).expect("the port is free");
        let (near, far) = join(&client, (server.destination(), 1), &listener).await;
        Ends {
            client,
            server,
            near,
            far,
        }
    }
}

/// Both ends of a stream between two sessions. `client` connected, and `server` accepted.
pub(crate) struct Ends {
    pub(crate) client: Session,
    pub(crate) server: Session,
    pub(crate) near: Stream,
    pub(crate) far: Stream,
}

/// Opens a stream and accepts it. Returns the end that connected, and the end that accepted.
pub(crate) async fn join(from: &Session, to: impl IntoAddress, at: &Listener) -> (Stream, Stream) {
    // If one side fails, the other must not wait.
    let connecting = async { from.connect(to).await.map_err(Error::from) };
    let accepting = async { at.accept().await.map_err(Error::from) };
    tokio::try_join!(connecting, accepting).expect("the peer accepts")
}

/// Fails the test if `work` takes longer than `limit` of virtual time.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, work).await {
        Ok(value) => value,
        Err(_) => panic!("not done after {limit:?}"),
    }
}

/// The byte at position `at` of the data that [`send`] writes and [`receive`] expects.
pub(crate) fn pattern(at: u64) -> u8 {
    // Its period is neither the packet size nor a power of two, so that reordering is detected.
    ((at ^ (at >> 8) ^ (at >> 16)).wrapping_mul(167) % 251) as u8
}

/// Writes `len` bytes that [`receive`] can check.
pub(crate) async fn send(to: &mut (impl AsyncWrite + Unpin), len: u64) -> std::io::Result<()> {
    let mut chunk = vec![0; 64 * 1024];
    let mut at = 0;
    while at < len {
        let count = (len - at).min(chunk.len() as u64) as usize;
        for (offset, byte) in chunk[..count].iter_mut().enumerate() {
            *byte = pattern(at + offset as u64);
        }
        to.write_all(&chunk[..count]).await?;
        at += count as u64;
    }
    to.flush().await
}

/// Reads to the end, checks every byte, and returns the number of bytes.
pub(crate) async fn receive(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<u64> {
    let mut chunk = vec![0; 64 * 1024];
    let mut at = 0;
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(at);
        }
        for (offset, &byte) in chunk[..count].iter().enumerate() {
            let place = at + offset as u64;
            assert_eq!(byte, pattern(place), "byte {place} is wrong");
        }
        at += count as u64;
    }
}
