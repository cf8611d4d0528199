//! Measures a transfer between two sessions on real routers in this process. The routers are
//! reached in memory and over TCP.
//!
//! Run with `cargo bench -p eepkit --bench devnet`. Prints MB/s of application data and the median
//! round-trip time.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::time::Duration;

use eepkit::{Devnet, Preset, Router, Session};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

/// Bytes of each transfer. Chosen so that a transfer takes seconds.
const TRANSFER: usize = 16 * 1024 * 1024;

/// Transfers of each kind. They alternate, because throughput varies with the tunnels.
const ROUNDS: usize = 5;

/// Round trips from which the median is computed.
const ROUND_TRIPS: usize = 200;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let net = Devnet::start(8).await?;
    for round in 0..ROUNDS {
        let (first, second) = (net.router(0), net.router(1));
        let memory = [Router::new(first.clone()), Router::new(second.clone())];
        let over_tcp = |router: &eepkit::DevnetRouter| {
            let address = router.i2cp_addr().ok_or("the network offers I2CP")?;
            Ok::<_, Box<dyn std::error::Error>>(Router::attach(&format!("i2cp://{address}"))?)
        };
        let tcp = [over_tcp(&first)?, over_tcp(&second)?];
        for (name, [client, server]) in [("memory", memory), ("TCP", tcp)] {
            let (rate, round_trip) = measure(&client, &server).await?;
            println!("{round}: {name:<7} {rate:6.2} MB/s, round trip {round_trip:?}");
        }
    }
    net.stop().await;
    Ok(())
}

async fn session(router: &Router) -> Result<Session, eepkit::Error> {
    let builder = router.session().preset(Preset::Test).tunnel_length(2);
    Ok(builder.open().await?)
}

/// MB/s of one transfer, and the median round trip of a byte.
async fn measure(
    client: &Router,
    server: &Router,
) -> Result<(f64, Duration), Box<dyn std::error::Error>> {
    let (client, server) = (session(client).await?, session(server).await?);
    let listener = server.listen(80)?;
    let serving = tokio::spawn(async move {
        let mut stream = listener.accept().await?;
        let mut byte = [0];
        for _ in 0..ROUND_TRIPS {
            stream.read_exact(&mut byte).await?;
            stream.write_all(&byte).await?;
            stream.flush().await?;
        }
        let mut buffer = vec![0; 64 * 1024];
        while stream.read(&mut buffer).await? != 0 {}
        stream.write_all(b"!").await?;
        stream.shutdown().await
    });

    let mut stream = client.connect((server.destination(), 80)).await?;
    let mut byte = [0];
    let mut round_trips = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        stream.write_all(b"?").await?;
        stream.flush().await?;
        stream.read_exact(&mut byte).await?;
        round_trips.push(began.elapsed());
    }
    round_trips.sort();

    let data = vec![7; TRANSFER];
    let began = Instant::now();
    stream.write_all(&data).await?;
    stream.shutdown().await?;
    stream.read_exact(&mut byte).await?;
    let rate = TRANSFER as f64 / began.elapsed().as_secs_f64() / 1e6;
    serving.await??;
    client.close().await;
    server.close().await;
    Ok((rate, round_trips[ROUND_TRIPS / 2]))
}
