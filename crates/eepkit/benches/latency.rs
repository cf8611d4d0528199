//! Measures how much a bulk stream delays a small write on another stream of the same session.
//!
//! A stream writes 64 bytes every two milliseconds, first alone and then while another stream of
//! the same session sends as fast as it can. The bench reports the duration of the write, which
//! includes the wait for the lock of the session, and the time until the peer has read the bytes.
//! The simulated network has a delay of one millisecond and no rate limit. It runs in real time.
//!
//! Run with `cargo bench -p eepkit --bench latency`. With `--features lock_tracking` the bench also
//! reports the hold times of the session locks, by purpose.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench program prints, and measures real time"
)]

use std::time::{Duration, Instant};

use eepkit::{Preset, Router, Session, Stream, sim::SimNet};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
    time::MissedTickBehavior,
};

fn main() {
    // `cargo test --benches` only checks that the bench runs.
    let short = std::env::args().any(|argument| argument == "--test");
    let samples = if short { 20 } else { 3000 };
    println!("small writes of one stream, in microseconds");
    println!(
        "{:>8} {:>8} {:>9} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "link", "beside", "what", "p50", "p90", "p99", "p99.9", "max"
    );
    for over_i2cp in [false, true] {
        for bulk in [false, true] {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(measure(over_i2cp, bulk, samples));
            runtime.shutdown_background();
        }
    }
}

async fn measure(over_i2cp: bool, bulk: bool, samples: usize) {
    let net = SimNet::builder().delay(Duration::from_millis(1)).start();
    let server = session(&net, over_i2cp).await;
    let client = session(&net, over_i2cp).await;
    let listener = server.listen(0).expect("free");
    let (near, far) = tokio::join!(client.connect(server.destination()), listener.accept());
    let (near, far) = (near.expect("connects"), far.expect("accepts"));
    let sending = if bulk {
        let (near, far) = tokio::join!(client.connect(server.destination()), listener.accept());
        Some(send_bulk(near.expect("connects"), far.expect("accepts")))
    } else {
        None
    };
    // Time for the bulk stream to leave Startup.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let start = Instant::now();
    let receiving = tokio::spawn(receive(far, start, samples));
    let writes = tokio::spawn(write(near, start, samples))
        .await
        .expect("no panic");
    let deliveries = receiving.await.expect("no panic");
    let bytes = sending.map(|(task, bytes)| {
        task.abort();
        bytes.load(std::sync::atomic::Ordering::Relaxed)
    });

    let link = if over_i2cp { "i2cp" } else { "direct" };
    let beside = if bulk { "bulk" } else { "nothing" };
    report(link, beside, "write", writes);
    report(link, beside, "delivery", deliveries);
    if let Some(bytes) = bytes {
        let rate = bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
        println!("{link:>8} {beside:>8} the bulk stream moved {rate:.1} MB/s");
    }
    report_locks();
    net.stop();
}

#[cfg(feature = "lock_tracking")]
fn report_locks() {
    for holds in eepkit::lock_tracking::take() {
        let micros = |time: Duration| time.as_nanos() as f64 / 1000.0;
        println!(
            "    lock held {:>9} times for {:<12} p99 {:>7.1} max {:>7.1} total {:>7.0} ms",
            holds.count,
            holds.purpose,
            micros(holds.quantile(0.99)),
            micros(holds.longest),
            micros(holds.total) / 1000.0,
        );
    }
}

#[cfg(not(feature = "lock_tracking"))]
fn report_locks() {}

async fn session(net: &SimNet, over_i2cp: bool) -> Session {
    let router = if over_i2cp {
        Router::new(net.i2cp_router())
    } else {
        Router::new(net.router())
    };
    router
        .session()
        .preset(Preset::Bulk)
        .tunnel_quantity(1)
        .open()
        .await
        .expect("a session opens")
}

type Counter = std::sync::Arc<std::sync::atomic::AtomicU64>;

fn send_bulk(mut near: Stream, mut far: Stream) -> (JoinHandle<()>, Counter) {
    let counter = Counter::default();
    let received = counter.clone();
    let task = tokio::spawn(async move {
        let sending = async {
            let chunk = vec![0x55; 64 * 1024];
            while near.write_all(&chunk).await.is_ok() {}
        };
        let receiving = async {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(count) = far.read(&mut chunk).await {
                received.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed);
            }
        };
        tokio::join!(sending, receiving);
    });
    (task, counter)
}

/// Writes its current time at intervals. Returns the durations of the writes.
async fn write(mut near: Stream, start: Instant, samples: usize) -> Vec<Duration> {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        ticks.tick().await;
        let mut message = [0; MESSAGE];
        let began = start.elapsed();
        let nanos = u64::try_from(began.as_nanos()).expect("below centuries");
        message[..8].copy_from_slice(&nanos.to_be_bytes());
        near.write_all(&message).await.expect("writes");
        near.flush().await.expect("flushes");
        times.push(start.elapsed().saturating_sub(began));
    }
    near.shutdown().await.expect("shuts down");
    times
}

async fn receive(mut far: Stream, start: Instant, samples: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let mut message = [0; MESSAGE];
        far.read_exact(&mut message).await.expect("reads");
        let mut nanos = [0; 8];
        nanos.copy_from_slice(&message[..8]);
        let sent = Duration::from_nanos(u64::from_be_bytes(nanos));
        times.push(start.elapsed().saturating_sub(sent));
    }
    times
}

fn report(link: &str, beside: &str, what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times[index.min(times.len() - 1)].as_nanos() as f64 / 1000.0
    };
    println!(
        "{link:>8} {beside:>8} {what:>9} {:>7.0} {:>7.0} {:>7.0} {:>7.0} {:>7.0}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// Bytes of a small write.
const MESSAGE: usize = 64;
