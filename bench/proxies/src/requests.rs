//! Requests per second, their latency, and many at once.

use std::time::Duration;

use eepkit_bench_common::{LIMIT, Outcome, RETRY, Report, processes, say};
use tokio::time::{Instant, sleep};

use crate::{
    args::Options,
    load::{Load, Requests},
    network::{Column, Setup, Subject},
    site::{HELD, HOLD},
};

/// The rows of the report, in order.
pub(crate) const ROWS: [&str; 15] = [
    ALONE[0],
    ALONE[1],
    KEPT[0],
    KEPT[1],
    KEPT[2],
    CPU,
    OWN_CPU,
    NEW[0],
    NEW[1],
    NEW[2],
    HELD_AT_ONCE,
    BURST_FAILED,
    BURST_TIME,
    BURST_P99,
    BURST_MEMORY,
];

const ALONE: [&str; 2] = [
    "one program: latency p50, ms",
    "one program: latency p99, ms",
];
const KEPT: [&str; 3] = [
    "kept connections: requests/s",
    "kept connections: latency p50, ms",
    "kept connections: latency p99, ms",
];
const NEW: [&str; 3] = [
    "new connections: requests/s",
    "new connections: latency p50, ms",
    "new connections: latency p99, ms",
];
const CPU: &str = "processor time of all processes, ms/request";
const OWN_CPU: &str = "of this, without the routers, ms/request";
const HELD_AT_ONCE: &str = "burst: most requests in progress at the site";
const BURST_FAILED: &str = "burst: failed requests";
const BURST_TIME: &str = "burst: time until the last response, without that of the site, s";
const BURST_P99: &str = "burst: latency p99, without that of the site, ms";
const BURST_MEMORY: &str = "burst: memory per request, KiB";

/// Waits until every implementation reaches the site.
pub(crate) async fn until_ready(setup: &Setup, options: &Options) -> Outcome<()> {
    for subject in &setup.subjects {
        say(&format!("waiting for {}", subject.column));
        let deadline = Instant::now() + LIMIT;
        while let Err(error) = load(setup, subject, options).once().await {
            if Instant::now() > deadline {
                return Err(format!("{}: {error}", subject.column).into());
            }
            sleep(RETRY).await;
        }
    }
    Ok(())
}

/// Measures requests in rounds. Each round has every implementation.
pub(crate) async fn rates(report: &mut Report, setup: &Setup, options: &Options) {
    let time = Duration::from_secs(options.seconds.into());
    for round in 1..=options.rounds {
        for subject in &setup.subjects {
            let (column, load) = (subject.column as usize, load(setup, subject, options));
            say(&format!("requests: {}, round {round}", subject.column));
            let alone = load.run(1, time).await;
            add_latencies(report, ALONE, column, &alone);

            let before = [processes::cpu_of_all(), subject.own_cpu()];
            let kept = load.run(options.programs, time).await;
            let after = [processes::cpu_of_all(), subject.own_cpu()];
            report.add_rate(KEPT[0], column, kept.rate());
            add_latencies(report, [KEPT[1], KEPT[2]], column, &kept);
            for ((row, before), after) in [CPU, OWN_CPU].into_iter().zip(before).zip(after) {
                let cost = after.and_then(|after| Ok(after.saturating_sub(before?)));
                let count = kept.succeeded().max(1) as f64;
                report.add(
                    row,
                    column,
                    cost.map(|cost| cost.as_secs_f64() * 1e3 / count),
                );
            }

            let load = Load {
                keep_alive: false,
                ..load
            };
            let new = load.run(options.programs, time).await;
            report.add_rate(NEW[0], column, new.rate());
            add_latencies(report, [NEW[1], NEW[2]], column, &new);
        }
    }
}

/// Measures many requests at once, in rounds.
pub(crate) async fn bursts(report: &mut Report, setup: &Setup, options: &Options) {
    // Each takes a time that the number of requests determines.
    for round in 1..=options.rounds.min(MAX_BURSTS) {
        for subject in &setup.subjects {
            say(&format!("burst: {}, round {round}", subject.column));
            let column = subject.column as usize;
            let load = Load {
                path: HELD,
                keep_alive: false,
                ..load(setup, subject, options)
            };
            let before = subject.memory();
            setup.site.take_most();
            let running = load.burst(options.burst);
            let mut running = std::pin::pin!(running);
            let mut most = before.as_ref().copied().unwrap_or_default();
            let requests = loop {
                tokio::select! {
                    requests = &mut running => break requests,
                    () = sleep(SAMPLE) => {
                        most = most.max(subject.memory().unwrap_or_default());
                    }
                }
            };
            let held = setup.site.take_most();
            report.add(HELD_AT_ONCE, column, Ok(held as f64));
            report.add(BURST_FAILED, column, Ok(requests.failed.into()));
            let elapsed = requests.elapsed.saturating_sub(HOLD).as_secs_f64();
            report.add(BURST_TIME, column, Ok(elapsed));
            let held_ms = HOLD.as_secs_f64() * 1e3;
            let latency = requests.quantile(0.99).map(|latency| latency - held_ms);
            report.add(BURST_P99, column, latency);
            let grown = before.map(|before| most.saturating_sub(before));
            // The first burst leaves memory with the allocator.
            if round == 1 && subject.column != Column::Library {
                let each = |grown| grown as f64 / 1024.0 / f64::from(options.burst);
                report.add(BURST_MEMORY, column, grown.map(each));
            }
        }
    }
}

fn add_latencies(report: &mut Report, rows: [&'static str; 2], column: usize, requests: &Requests) {
    report.add(rows[0], column, requests.quantile(0.5));
    report.add(rows[1], column, requests.quantile(0.99));
}

fn load(setup: &Setup, subject: &Subject, options: &Options) -> Load {
    Load {
        route: subject.route.clone(),
        host: setup.site.host(),
        path: "/",
        response: options.response,
        keep_alive: true,
    }
}

/// Chosen so that all bursts take less than a minute.
const MAX_BURSTS: u16 = 3;

/// How often the memory of processes is sampled.
const SAMPLE: Duration = Duration::from_millis(100);
