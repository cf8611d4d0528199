//! Bytes per second through a pair of tunnels, and their cost.

use std::{net::SocketAddr, time::Duration};

use eepkit::{Listener, Session};
use eepkit_bench_common::{
    Failed, Io, LIMIT, Outcome, RETRY, Report, connect, processes, say, transfer,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};

use crate::{
    args::Options,
    network::{Setup, Subject},
};

/// Two ends of connections.
pub(crate) enum Pair {
    /// Streams of the library.
    Streams(Session, Listener, String),
    /// Tunnels, from this address to this local server.
    Tunnels(SocketAddr, TcpListener),
}

/// The rows of the report, in order.
pub(crate) const ROWS: [&str; 3] = [RATE, CPU, OWN_CPU];

const RATE: &str = "one connection through tunnels, MiB/s";
const CPU: &str = "processor time of all processes, ms/MiB";
const OWN_CPU: &str = "of this, without the routers, ms/MiB";

const MEBIBYTE: usize = 1 << 20;

impl Pair {
    /// Streams between sessions. The listener has the port 0.
    pub(crate) fn streams(from: Session, to: &Session) -> Outcome<Self> {
        let listener = to.listen(0)?;
        Ok(Self::Streams(from, listener, to.destination().to_base64()))
    }

    /// Opens a connection, and exchanges a byte in each direction. Of concurrent calls, each returns
    /// some two ends.
    pub(crate) async fn open(&self) -> Outcome<(Box<dyn Io>, Box<dyn Io>)> {
        let here = async {
            let mut here = self.connect().await?;
            // i2pd opens a stream when it has the first byte.
            here.write_all(&[1]).await?;
            here.flush().await?;
            here.read_u8().await?;
            Ok::<_, Failed>(here)
        };
        let there = async {
            let mut there = self.accept().await?;
            there.read_u8().await?;
            there.write_all(&[2]).await?;
            there.flush().await?;
            Ok(there)
        };
        tokio::try_join!(here, there)
    }

    async fn connect(&self) -> Outcome<Box<dyn Io>> {
        Ok(match self {
            Self::Streams(session, _, destination) => {
                Box::new(connect(session, destination).await?)
            }
            Self::Tunnels(entry, _) => {
                let socket = TcpStream::connect(entry).await?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
        })
    }

    async fn accept(&self) -> Outcome<Box<dyn Io>> {
        Ok(match self {
            Self::Streams(_, listener, _) => Box::new(listener.accept().await?),
            Self::Tunnels(_, server) => {
                let (socket, _) = server.accept().await?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
        })
    }

    /// Opens a connection, within [`LIMIT`], as often as that takes.
    pub(crate) async fn until_open(&self) -> Outcome<(Box<dyn Io>, Box<dyn Io>)> {
        let deadline = Instant::now() + LIMIT;
        loop {
            // Connections of earlier attempts.
            while timeout(Duration::from_millis(1), self.accept())
                .await
                .is_ok()
            {}
            match timeout(ATTEMPT, self.open()).await {
                Ok(Ok(both)) => return Ok(both),
                Ok(Err(error)) if Instant::now() > deadline => return Err(error),
                Err(_) if Instant::now() > deadline => return Err("no connection opens".into()),
                _ => sleep(RETRY).await,
            }
        }
    }
}

/// Alternates the transfers, so that other load of the machine affects all of them equally.
pub(crate) async fn rates(report: &mut Report, setup: &Setup, options: &Options) {
    let len = usize::from(options.mebibytes) * MEBIBYTE;
    for subject in &setup.subjects {
        say(&format!("bytes: {}", subject.column));
        // Later streams of a session use its path state, so the first one is not counted.
        if let Err(error) = measured(&subject.pair, len / 8).await {
            say(&format!("bytes: {}: {error}", subject.column));
        }
    }
    for round in 1..=options.rounds {
        for subject in &setup.subjects {
            say(&format!("bytes: {}, round {round}", subject.column));
            one(report, subject, len).await;
        }
    }
}

async fn one(report: &mut Report, subject: &Subject, len: usize) {
    let column = subject.column as usize;
    let before = [processes::cpu_of_all(), subject.own_cpu()];
    let rate = measured(&subject.pair, len).await;
    let after = [processes::cpu_of_all(), subject.own_cpu()];
    let mebibytes = (len / MEBIBYTE) as f64;
    // The cost of a failed transfer is not recorded.
    if rate.is_ok() {
        for ((row, before), after) in [CPU, OWN_CPU].into_iter().zip(before).zip(after) {
            let cost = after.and_then(|after| Ok(after.saturating_sub(before?)));
            report.add(
                row,
                column,
                cost.map(|cost| cost.as_secs_f64() * 1e3 / mebibytes),
            );
        }
    }
    report.add_rate(RATE, column, rate);
}

/// The rate of a transfer over a new connection, in MiB/s.
async fn measured(pair: &Pair, len: usize) -> Outcome<f64> {
    let (here, there) = pair.until_open().await?;
    let time = transfer(here, there, len).await?;
    Ok((len as f64 / MEBIBYTE as f64) / time.as_secs_f64())
}

/// The time limit for opening a connection once. Chosen as longer than a look-up takes.
const ATTEMPT: Duration = Duration::from_secs(30);
