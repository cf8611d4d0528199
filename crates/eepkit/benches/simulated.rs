//! Measures the library on the simulated network: goodput relative to the rate of the link,
//! processor time per MiB, memory of idle streams, and the rate at which streams open.
//!
//! Network time is virtual, and processor time is real. Run with `cargo bench -p eepkit`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench program prints, and measures real time"
)]

use std::time::{Duration, Instant};

use eepkit::{
    Preset, Router, Session, Stream,
    sim::{SimNet, netem::Rate},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn main() {
    // `cargo test --benches` only checks that the bench runs.
    let short = std::env::args().any(|argument| argument == "--test");
    println!("goodput of one stream; rate and goodput in KiB/s, processor time in ms per MiB");
    println!(
        "{:>8} {:>8} {:>6} {:>6} {:>8} {:>6} {:>8}",
        "link", "rate", "delay", "loss", "goodput", "share", "cpu"
    );
    for over_i2cp in [false, true] {
        for (rate, delay, loss) in [
            (256, 250, 0.0),
            (256, 250, 0.01),
            (1024, 250, 0.0),
            (1024, 250, 0.01),
            (1024, 250, 0.05),
            (4096, 100, 0.0),
            (16_384, 20, 0.0),
        ] {
            let mib = if short { 1 } else { (rate / 16).clamp(16, 256) };
            in_virtual_time(goodput(over_i2cp, rate, delay, loss, mib));
        }
    }
    let streams = if short { 50 } else { 10_000 };
    in_virtual_time(idle_streams(streams));
    in_virtual_time(openings(streams));
}

fn in_virtual_time(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(work);
}

async fn session(net: &SimNet, over_i2cp: bool, preset: Preset) -> Session {
    let router = if over_i2cp {
        Router::new(net.i2cp_router())
    } else {
        Router::new(net.router())
    };
    router
        .session()
        .preset(preset)
        .tunnel_quantity(1)
        .open()
        .await
        .expect("a session opens")
}

async fn goodput(over_i2cp: bool, rate: u64, delay_ms: u64, loss: f64, mib: u64) {
    let net = SimNet::builder()
        .delay(Duration::from_millis(delay_ms))
        .loss(loss)
        .rate(Rate::kib_per_second(rate))
        .start();
    let server = session(&net, over_i2cp, Preset::Bulk).await;
    let client = session(&net, over_i2cp, Preset::Bulk).await;
    let listener = server.listen(0).expect("free");
    let (near, far) = tokio::join!(client.connect(server.destination()), listener.accept());
    let (mut near, mut far) = (near.expect("connects"), far.expect("accepts"));

    let (virtual_begin, real_begin) = (tokio::time::Instant::now(), Instant::now());
    let sending = async {
        let chunk = vec![0x55; 64 * 1024];
        for _ in 0..mib * 16 {
            near.write_all(&chunk).await.expect("writes");
        }
        near.shutdown().await.expect("shuts down");
    };
    let (received, ()) = tokio::join!(drain(&mut far), sending);
    let (took, cpu) = (virtual_begin.elapsed(), real_begin.elapsed());

    let goodput = received as f64 / 1024.0 / took.as_secs_f64();
    println!(
        "{:>8} {:>8} {:>4}ms {:>5}% {:>8.0} {:>5.0}% {:>8.1}",
        if over_i2cp { "i2cp" } else { "direct" },
        rate,
        delay_ms,
        loss * 100.0,
        goodput,
        goodput / rate as f64 * 100.0,
        cpu.as_secs_f64() * 1000.0 / mib as f64,
    );
    net.stop();
}

async fn drain(stream: &mut Stream) -> u64 {
    let mut chunk = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        match stream.read(&mut chunk).await.expect("reads") {
            0 => return total,
            count => total += count as u64,
        }
    }
}

/// Opens streams, transfers one byte over each, and measures their memory while they are idle.
async fn idle_streams(count: u64) {
    let net = SimNet::builder().delay(Duration::from_millis(10)).start();
    let (server, client) = (
        session(&net, false, Preset::Server).await,
        session(&net, false, Preset::Server).await,
    );
    let listener = server.listen_with(0, 4096).expect("free");
    let before = resident_bytes();
    let mut ends = Vec::new();
    for _ in 0..count {
        ends.push(exchange(&client, &server, &listener).await);
    }
    // Longer than retransmissions and delayed acknowledgements take.
    tokio::time::sleep(Duration::from_secs(60)).await;
    match (before, resident_bytes()) {
        (Some(before), Some(after)) => println!(
            "memory of an idle stream: {:.1} KiB for each end ({count} streams)",
            after.saturating_sub(before) as f64 / 1024.0 / (2 * count) as f64,
        ),
        _ => println!("memory of an idle stream: not measured on this system"),
    }
    net.stop();
}

async fn openings(count: u64) {
    let net = SimNet::builder().start();
    let (server, client) = (
        session(&net, false, Preset::Server).await,
        session(&net, false, Preset::Server).await,
    );
    let listener = server.listen_with(0, 4096).expect("free");
    let begin = Instant::now();
    for _ in 0..count {
        drop(exchange(&client, &server, &listener).await);
    }
    let took = begin.elapsed();
    println!(
        "streams opened, used for one byte and closed: {:.0} per second of processor time, both ends",
        count as f64 / took.as_secs_f64(),
    );
    net.stop();
}

async fn exchange(
    client: &Session,
    server: &Session,
    listener: &eepkit::Listener,
) -> (Stream, Stream) {
    let (near, far) = tokio::join!(client.connect(server.destination()), listener.accept());
    let (mut near, mut far) = (near.expect("connects"), far.expect("accepts"));
    near.write_u8(1).await.expect("writes");
    near.flush().await.expect("flushes");
    far.read_u8().await.expect("reads");
    (near, far)
}

/// Resident memory of this process, on systems with `/proc`.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
