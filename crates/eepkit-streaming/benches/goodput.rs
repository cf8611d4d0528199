//! Goodput over emulated links, in virtual time, against what the links allow.
//!
//! Prints a table; nothing here depends on the machine but how long it takes.

use std::time::Duration;

use eepkit_streaming::{
    EndpointConfig,
    testing::{LinkConfig, Pair, Transfer},
};

/// A path: round-trip time in milliseconds, packets per second, share of loss, packets that queue, and
/// what else is the matter with it.
struct Row {
    name: &'static str,
    rtt: u64,
    rate: Option<f64>,
    loss: f64,
    queue: usize,
    reorder: u64,
}

const ROWS: [Row; 11] = [
    row("A  .5 s, unlimited", 520, None, 0.0, 250, 0),
    row("B  .3 s, 1 MB/s", 300, Some(486.0), 0.0, 250, 0),
    row("C   1 s, 1 MB/s", 1000, Some(486.0), 0.0, 250, 0),
    row("D   1 s, 1 MB/s, 1 %", 1000, Some(486.0), 0.01, 250, 0),
    row("E   1 s, 1 MB/s, 2 %", 1000, Some(486.0), 0.02, 250, 0),
    row("F   1 s, 1 MB/s, 5 %", 1000, Some(486.0), 0.05, 250, 0),
    row("G   3 s, 256 KB/s, 2 %", 3000, Some(124.0), 0.02, 250, 0),
    row(
        "H  as D, reordering 200 ms",
        1000,
        Some(486.0),
        0.01,
        250,
        200,
    ),
    row("I   1 s, 4 MB/s, .5 %", 1000, Some(1944.0), 0.005, 250, 0),
    row(
        "J   1 s, 100 KB/s, 1 %, queue 30",
        1000,
        Some(48.6),
        0.01,
        30,
        0,
    ),
    row("K  as C, queue 40", 1000, Some(486.0), 0.0, 40, 0),
];

const fn row(
    name: &'static str,
    rtt: u64,
    rate: Option<f64>,
    loss: f64,
    queue: usize,
    reorder: u64,
) -> Row {
    Row {
        name,
        rtt,
        rate,
        loss,
        queue,
        reorder,
    }
}

fn link(row: &Row) -> LinkConfig {
    let mut link = LinkConfig::delay(Duration::from_millis(row.rtt / 2))
        .jitter(Duration::from_millis(10))
        .loss(row.loss);
    link.rate = row.rate;
    link.queue = row.queue;
    if row.reorder > 0 {
        link = link.reorder(1.0, Duration::from_millis(row.reorder));
    }
    link
}

/// Bytes per second over a minute, share of packets sent again, and the longest wait in the queue
/// after the first 15 seconds.
fn measure(row: &Row, seed: u8) -> (f64, f64, Duration) {
    let mut pair = Pair::with_config(
        link(row),
        EndpointConfig::default(),
        EndpointConfig::default(),
        seed,
    );
    // Only the way there is narrow.
    pair.ba.config.rate = None;
    let (a, b) = pair.connect();
    let mut transfer = Transfer::new(u64::MAX);
    let span = Duration::from_secs(60);
    let began = pair.now;
    let mut settled = false;
    pair.run_until(span, |pair| {
        if !settled && pair.now >= began + span / 4 {
            settled = true;
            pair.ab.longest_wait = Duration::ZERO;
        }
        transfer.write(&mut pair.a.endpoint, pair.now, a);
        transfer.read(&mut pair.b.endpoint, pair.now, b);
        false
    });
    let info = pair.a.endpoint.info(a);
    let resent = info.map_or(0.0, |info| {
        info.packets_resent as f64 / info.packets_sent.max(1) as f64
    });
    (
        transfer.received as f64 / span.as_secs_f64(),
        resent,
        pair.ab.longest_wait,
    )
}

#[expect(clippy::print_stdout, reason = "the table is the result")]
fn main() {
    println!(
        "{:<34} {:>8} {:>8} {:>8} {:>10}",
        "path", "MB/s", "of limit", "resent", "queue"
    );
    for row in &ROWS {
        let runs: Vec<_> = (1..=3).map(|seed| measure(row, seed)).collect();
        let count = runs.len() as f64;
        let rate = runs.iter().map(|run| run.0).sum::<f64>() / count;
        let resent = runs.iter().map(|run| run.1).sum::<f64>() / count;
        let queue = runs.iter().map(|run| run.2).max().unwrap_or_default();
        let limit = row.rate.map(|packets| packets * 1812.0 * (1.0 - row.loss));
        let share = match limit {
            Some(limit) => format!("{:.0} %", 100.0 * rate / limit),
            None => String::from("-"),
        };
        println!(
            "{:<34} {:>8.3} {share:>8} {:>6.1} % {:>7} ms",
            row.name,
            rate / 1e6,
            100.0 * resent,
            queue.as_millis()
        );
    }
}
