//! Idle connections through tunnels, and the memory of each.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use eepkit::{Router, sim::SimNet};
use eepkit_bench_common::{Failed, Io, LIMIT, Outcome, Report, Tunnels, processes, say};
use eepkit_services::service::Context;
use futures_util::future::try_join_all;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{
    bytes::Pair,
    network::{Column, Setup},
    services::{Services, first_line, piped, serve_until_end},
};

/// The rows of the report, in order.
pub(crate) const ROWS: [&str; 4] = [COUNT, RATE, MEMORY, CPU];

const COUNT: &str = "idle connections";
const RATE: &str = "idle connections: opened and used, 1/s";
const MEMORY: &str = "idle connections: memory of both ends of each, KiB";
const CPU: &str = "idle connections: processor time, % of one core";

/// Open files of the process with most of them: both ends of the local connections.
pub(crate) const FILES_PER_CONNECTION: u64 = 2;

/// Measures idle connections over all implementations of a network.
pub(crate) async fn on(report: &mut Report, setup: &Setup, count: u32, seconds: u16) {
    for subject in &setup.subjects {
        // The memory of the library includes that of this program.
        if subject.column != Column::Library {
            say(&format!("idle connections: {}", subject.column));
            let figures = measure(&subject.pair, &subject.pids, count, seconds).await;
            add(report, subject.column, figures);
        }
    }
}

/// Measures idle connections on the simulated network: over our tunnels, and of the library alone,
/// each in a process of its own.
pub(crate) async fn simulated(report: &mut Report, count: u32, seconds: u16) -> Outcome<()> {
    say("idle connections: the library");
    let mut library = start(count, seconds, None)?;
    let line = timeout(LIMIT, first_line(&mut library)).await??;
    let figures: Result<Vec<f64>, _> = line.split(' ').map(str::parse).collect();
    for (row, figure) in ROWS.into_iter().zip(figures?) {
        report.add(row, Column::Library as usize, Ok(figure));
    }

    say("idle connections: ours");
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut ours = start(count, seconds, Some(server.local_addr()?))?;
    let entry = timeout(LIMIT, first_line(&mut ours)).await??.parse()?;
    let pids: Vec<u32> = ours.id().into_iter().collect();
    let figures = measure(&Pair::Tunnels(entry, server), &pids, count, seconds).await;
    add(report, Column::Ours, figures);
    Ok(())
}

fn start(count: u32, seconds: u16, target: Option<SocketAddr>) -> Outcome<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("idle");
    command.args([count.to_string(), seconds.to_string()]);
    command.args(target.map(|target| target.to_string()));
    piped(command)
}

/// The main function of the process with the simulated network. Prints the address of the client
/// tunnel, or the figures of the library.
pub(crate) async fn serve(count: u32, seconds: u16, target: Option<SocketAddr>) -> Outcome<()> {
    let net = SimNet::builder().delay(Duration::ZERO).start();
    let routers = [0, 1].map(|_| Router::new(net.i2cp_router()));
    let tunnels = Tunnels { hops: 2 };
    if let Some(target) = target {
        let contexts = routers.map(Context::new);
        let services = Services::start(&contexts, target, tunnels).await?;
        return serve_until_end(&services.addresses().tunnel.to_string()).await;
    }
    let (from, to) = tokio::try_join!(tunnels.open(&routers[0]), tunnels.open(&routers[1]))?;
    let pair = Pair::streams(from, &to)?;
    let figures = measure(&pair, &[process::id()], count, seconds).await?;
    serve_until_end(&figures.map(|figure| figure.to_string()).join(" ")).await
}

fn add(report: &mut Report, column: Column, figures: Outcome<[f64; 4]>) {
    match figures {
        Ok(figures) => {
            for (row, figure) in ROWS.into_iter().zip(figures) {
                report.add(row, column as usize, Ok(figure));
            }
        }
        Err(error) => report.add(COUNT, column as usize, Err(error)),
    }
}

/// Opens connections and keeps them. Returns the figures of [`ROWS`].
async fn measure(pair: &Pair, pids: &[u32], count: u32, seconds: u16) -> Outcome<[f64; 4]> {
    let memory = || -> Outcome<u64> { pids.iter().map(|pid| processes::memory(*pid)).sum() };
    let cpu = || -> Outcome<Duration> { pids.iter().map(|pid| processes::cpu(*pid)).sum() };
    // Until acknowledgements are sent and buffers returned.
    let settle = Duration::from_secs(seconds.into());
    // The first ones also cause permanent costs: buffers of the allocator, threads.
    let mut kept = vec![pair.until_open().await?];
    open(pair, WARM, &mut kept).await?;
    sleep(settle).await;
    let before = memory()?;
    let began = Instant::now();
    open(pair, count, &mut kept).await?;
    let opening = began.elapsed();
    sleep(settle).await;
    let grown = memory()?.saturating_sub(before);
    let began = (cpu()?, Instant::now());
    sleep(settle).await;
    let used = cpu()?.saturating_sub(began.0).as_secs_f64();
    let each = f64::from(count);
    Ok([
        each,
        each / opening.as_secs_f64(),
        grown as f64 / 1024.0 / each,
        100.0 * used / began.1.elapsed().as_secs_f64(),
    ])
}

/// Opens this number of connections, several at a time.
async fn open(pair: &Pair, count: u32, kept: &mut Vec<Ends>) -> Outcome<()> {
    let left = AtomicU32::new(count);
    let opening = (0..AT_ONCE).map(|_| async {
        let mut opened = Vec::new();
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
        {
            opened.push(timeout(LIMIT, pair.open()).await??);
        }
        Ok::<_, Failed>(opened)
    });
    for opened in try_join_all(opening).await? {
        kept.extend(opened);
    }
    Ok(())
}

type Ends = (Box<dyn Io>, Box<dyn Io>);

/// Connections that are opened concurrently.
const AT_ONCE: u32 = 32;

/// Connections before the measurement.
const WARM: u32 = 50;
