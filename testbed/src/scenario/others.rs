//! Rows of the table in which the peer or a competing flow is another implementation.

use std::time::Duration;

use super::{Effort, Measured, Row, Unit};
use crate::{
    LinkConfig, Loss,
    foreign::{Network, Party, Plan, Software},
};

/// The rows.
pub const ROWS: &[Row] = &[
    row(
        "16",
        "1 s, 1 MB/s: of i2pd's share beside ours",
        Unit::Kept,
        60.0,
        |effort| beside(effort, Software::I2pd, 0.0),
    ),
    row(
        "16",
        "1 s, 1 MB/s, 1 %: of i2pd's beside ours",
        Unit::Kept,
        60.0,
        |effort| beside(effort, Software::I2pd, 0.01),
    ),
    row(
        "16",
        "1 s, 1 MB/s: of Java's share beside ours",
        Unit::Kept,
        60.0,
        |effort| beside(effort, Software::Java, 0.0),
    ),
    row(
        "16",
        "1 s, 1 MB/s: of emissary's beside ours",
        Unit::Kept,
        60.0,
        |effort| beside(effort, Software::Emissary, 0.0),
    ),
    Row {
        others: ["", "0.037", ""],
        limit: Some(0.46),
        ..row(
            "17",
            ".5 s, 1 %: Java to ours",
            Unit::Goodput,
            0.08,
            |effort| transfer(effort, Software::Java.into(), Party::ours()),
        )
    },
    Row {
        others: ["0.3", "0.037", ""],
        limit: Some(0.45),
        ..row(
            "18",
            ".5 s, 1 %: ours to Java",
            Unit::Goodput,
            0.30,
            |effort| transfer(effort, Party::ours(), Software::Java.into()),
        )
    },
    row(
        "M",
        "ours to i2pd, of i2pd to i2pd, worst of 4",
        Unit::Kept,
        100.0,
        |effort| to_them(effort, Software::I2pd),
    ),
    row(
        "M",
        "ours to Java, of Java to Java, worst of 4",
        Unit::Kept,
        100.0,
        |effort| to_them(effort, Software::Java),
    ),
    row(
        "M",
        "ours to emissary, of its own, worst of 4",
        Unit::Kept,
        100.0,
        |effort| to_them(effort, Software::Emissary),
    ),
    row(
        "M",
        "i2pd to ours, of i2pd to i2pd, worst of 4",
        Unit::Kept,
        100.0,
        |effort| to_us(effort, Software::I2pd),
    ),
    row(
        "M",
        "Java to ours, of Java to Java, worst of 4",
        Unit::Kept,
        100.0,
        |effort| to_us(effort, Software::Java),
    ),
    row(
        "M",
        "emissary to ours, of its own, worst of 4",
        Unit::Kept,
        100.0,
        |effort| to_us(effort, Software::Emissary),
    ),
    row(
        "MS",
        "16 KiB to 1 MiB to i2pd: own in %",
        Unit::Kept,
        100.0,
        |effort| short(effort, Software::I2pd, true),
    ),
    row(
        "MS",
        "16 KiB to 1 MiB to Java: own in %",
        Unit::Kept,
        100.0,
        |effort| short(effort, Software::Java, true),
    ),
    row(
        "MS",
        "16 KiB to 1 MiB to emissary: own in %",
        Unit::Kept,
        100.0,
        |effort| short(effort, Software::Emissary, true),
    ),
    row(
        "MS",
        "16 KiB to 1 MiB from i2pd: own in %",
        Unit::Kept,
        99.0,
        |effort| short(effort, Software::I2pd, false),
    ),
    row(
        "MS",
        "16 KiB to 1 MiB from Java: own in %",
        Unit::Kept,
        99.0,
        |effort| short(effort, Software::Java, false),
    ),
    row(
        "MS",
        "16 KiB to 1 MiB from emissary: own in %",
        Unit::Kept,
        99.0,
        |effort| short(effort, Software::Emissary, false),
    ),
];

const fn row(
    number: &'static str,
    scenario: &'static str,
    unit: Unit,
    target: f64,
    run: fn(Effort) -> Measured,
) -> Row {
    Row {
        number,
        scenario,
        unit,
        limit: None,
        others: ["", "", ""],
        target,
        run,
    }
}

/// A path of the matrix.
#[derive(Debug, Clone)]
pub struct Path {
    /// Its name.
    pub name: &'static str,
    /// The link in both directions; only the forward one has a rate limit.
    pub link: LinkConfig,
}

/// The paths over which every sender is combined with every receiver.
pub fn paths() -> [Path; 4] {
    let long = |rtt_ms: u64, jitter_ms: u64| {
        LinkConfig::delay(Duration::from_millis(rtt_ms / 2))
            .jitter(Duration::from_millis(jitter_ms))
    };
    [
        Path {
            name: ".52 s, no limit",
            link: long(520, 10),
        },
        Path {
            name: ".5 s, no limit, 1 %",
            link: long(500, 20).loss(0.01),
        },
        Path {
            name: "1 s, 1 MB/s",
            link: long(1000, 20).rate(NARROW, QUEUE),
        },
        Path {
            name: "1 s, 1 MB/s, 1 %",
            link: long(1000, 20).loss(0.01).rate(NARROW, QUEUE),
        },
    ]
}

/// Bytes per second over `span`, including the handshake, and the share of retransmissions. The
/// handshake has no loss, because a loss there would take seconds and distort the result.
pub fn goodput(from: &Party, to: &Party, link: &LinkConfig, span: Duration, seed: u64) -> Bulk {
    let mut network = Network::narrow(link.clone(), seed);
    network.configure(|config| config.loss = Loss::NONE);
    network.add(Plan::new(from.clone(), to.clone()));
    network.run(link.delay * 2 + OPENING);
    network.configure(|config| config.loss = link.loss);
    network.run(span.saturating_sub(network.elapsed()));
    let flow = &network.flows[0];
    let (sent, resent) = flow.sent();
    Bulk {
        rate: flow.received as f64 / span.as_secs_f64(),
        resent: resent as f64 / sent.max(1) as f64,
    }
}

/// The result of one sender with one receiver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bulk {
    /// Bytes per second.
    pub rate: f64,
    /// Share of retransmissions.
    pub resent: f64,
}

/// As [`goodput`] over a minute, as the mean of several runs.
pub fn mean_goodput(from: &Party, to: &Party, link: &LinkConfig, seeds: u64) -> Bulk {
    let runs: Vec<_> = (1..=seeds)
        .map(|seed| goodput(from, to, link, SPAN / 2, seed))
        .collect();
    let count = runs.len().max(1) as f64;
    Bulk {
        rate: runs.iter().map(|run| run.rate).sum::<f64>() / count,
        resent: runs.iter().map(|run| run.resent).sum::<f64>() / count,
    }
}

fn seeds(effort: Effort, link: &LinkConfig) -> u64 {
    // Runs with loss vary more.
    let most = if link.loss == Loss::NONE { 1 } else { 3 };
    most * u64::from(effort.seeds)
}

fn transfer(effort: Effort, from: Party, to: Party) -> Measured {
    let [_, lossy, ..] = paths();
    let runs: Vec<_> = (1..=seeds(effort, &lossy.link))
        .map(|seed| goodput(&from, &to, &lossy.link, SPAN, seed))
        .collect();
    let mean = |get: fn(&Bulk) -> f64| runs.iter().map(get).sum::<f64>() / runs.len() as f64;
    Measured {
        value: mean(|run| run.rate) / 1e6,
        resent: Some(100.0 * mean(|run| run.resent)),
        ..Measured::default()
    }
}

fn to_them(effort: Effort, software: Software) -> Measured {
    worst(effort, software, (Party::ours(), software.into()))
}

fn to_us(effort: Effort, software: Software) -> Measured {
    worst(effort, software, (software.into(), Party::ours()))
}

/// The smallest goodput between two parties over all paths, in per cent of that of the software
/// with itself.
fn worst(effort: Effort, software: Software, (from, to): (Party, Party)) -> Measured {
    let ratio = |path: &Path| {
        let seeds = seeds(effort, &path.link);
        let theirs = Party::from(software);
        let own = mean_goodput(&theirs, &theirs, &path.link, seeds);
        let with_us = mean_goodput(&from, &to, &path.link, seeds);
        100.0 * with_us.rate / own.rate
    };
    Measured {
        value: paths().iter().map(ratio).fold(f64::INFINITY, f64::min),
        ..Measured::default()
    }
}

/// The smallest ratio, in per cent, of two durations for a message: of the software with itself,
/// and of the software with this library. The minimum is over two paths and three lengths.
fn short(effort: Effort, software: Software, ours_sends: bool) -> Measured {
    let theirs = Party::from(software);
    let (from, to) = if ours_sends {
        (Party::ours(), theirs.clone())
    } else {
        (theirs.clone(), Party::ours())
    };
    let [_, _, plain, lossy] = paths();
    let mut worst = f64::INFINITY;
    for path in [plain, lossy] {
        for length in [16_384, 102_400, 1_048_576] {
            let mean = |from: &Party, to: &Party| {
                let runs = 8 * u64::from(effort.seeds);
                let times = (1..=runs).map(|seed| completion(from, to, &path.link, length, seed));
                times.sum::<Duration>().as_secs_f64() / runs as f64
            };
            worst = worst.min(100.0 * mean(&theirs, &theirs) / mean(&from, &to));
        }
    }
    Measured {
        value: worst,
        ..Measured::default()
    }
}

/// The time from the first packet until the last of `length` bytes has arrived; at most five
/// minutes.
pub fn completion(from: &Party, to: &Party, link: &LinkConfig, length: u64, seed: u64) -> Duration {
    let mut network = Network::narrow(link.clone(), seed);
    network.add(Plan::new(from.clone(), to.clone()).length(length));
    network.run_until(MAX_DURATION, |network| network.flows[0].completed.is_some());
    network.flows[0].completed.unwrap_or(MAX_DURATION)
}

/// Every sender with every receiver over every path: MB/s, and retransmissions in per cent.
pub fn matrix(seeds: u64) -> String {
    let mut parties = vec![("ours", Party::ours())];
    parties.extend([
        ("i2pd", Software::I2pd.into()),
        ("Java", Software::Java.into()),
        ("emissary", Software::Emissary.into()),
    ]);
    let mut out = String::new();
    for path in paths() {
        out.push_str(&format!("{:<22}", path.name));
        for (name, _) in &parties {
            out.push_str(&format!("{:>16}", format!("to {name}")));
        }
        out.push('\n');
        for (name, from) in &parties {
            out.push_str(&format!("{:>22}", format!("from {name}")));
            for (_, to) in &parties {
                let bulk = mean_goodput(from, to, &path.link, seeds);
                let (rate, resent) = (bulk.rate / 1e6, 100.0 * bulk.resent);
                out.push_str(&format!("{:>16}", format!("{rate:.3} {resent:4.1} %")));
            }
            out.push('\n');
        }
    }
    out
}

/// The goodput of a flow of the software that shares a path with a flow of this library. It is in
/// per cent of half the path, or of its goodput with a second flow of the software if that is less.
/// The mean of two runs; in each run, a different flow begins two seconds later.
fn beside(effort: Effort, software: Software, loss: f64) -> Measured {
    let [.., path, _] = paths();
    let path = Path {
        link: path.link.loss(loss),
        ..path
    };
    let fair = NARROW * 1812.0 / 2.0;
    let mut kept = 0.0;
    let mut waits = Vec::new();
    for seed in 1..=u64::from(effort.seeds) {
        let (alike, _) = shares(&path.link, [software.into(), software.into()], seed);
        let fair = fair.min(f64::midpoint(alike[0], alike[1]));
        let (first, waited) = shares(&path.link, [software.into(), Party::ours()], seed);
        waits.push(waited);
        let (second, waited) = shares(&path.link, [Party::ours(), software.into()], seed);
        waits.push(waited);
        kept += 100.0 * f64::midpoint(first[0], second[1]) / fair;
    }
    let ms = |get: fn(&(Duration, Duration)) -> Duration| {
        let sum: Duration = waits.iter().map(get).sum();
        sum.as_secs_f64() * 1e3 / waits.len() as f64
    };
    Measured {
        value: kept / f64::from(effort.seeds),
        queue: Some(ms(|waits| waits.0)),
        queue_p95: Some(ms(|waits| waits.1)),
        ..Measured::default()
    }
}

/// Bytes per second of two flows, each between two ends of the same implementation, over the third
/// and fourth minute; and the mean and the 95th percentile of the queueing delay at the bottleneck.
pub fn shares(
    link: &LinkConfig,
    parties: [Party; 2],
    seed: u64,
) -> ([f64; 2], (Duration, Duration)) {
    let mut network = Network::narrow(link.clone(), seed);
    for (party, begins) in parties.into_iter().zip([Duration::ZERO, GAP]) {
        network.add(Plan::new(party.clone(), party).begins(begins));
    }
    network.run(SPAN / 2);
    let before = [network.flows[0].received, network.flows[1].received];
    network.take_waits();
    network.run(SPAN);
    let rate =
        |index: usize| (network.flows[index].received - before[index]) as f64 / SPAN.as_secs_f64();
    let rates = [rate(0), rate(1)];
    let waits = network.take_waits();
    (rates, (waits.mean(), waits.percentile(95)))
}

const SPAN: Duration = Duration::from_secs(120);
const MAX_DURATION: Duration = Duration::from_secs(300);
const GAP: Duration = Duration::from_secs(2);
/// Java delays its answer by up to half a second.
const OPENING: Duration = Duration::from_millis(600);
/// Full packets per second at 1 MB/s on the wire.
const NARROW: f64 = 1e6 / 2056.0;
const QUEUE: usize = 250;
