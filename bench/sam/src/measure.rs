//! The measurements and their order.

use std::{
    net::Ipv4Addr,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use eepkit::{Router, sim::SimNet};
use eepkit_bench_common::{
    Failed, Io, LIMIT, Outcome, RETRY, Report, Tunnels, processes, say, transfer,
};
use eepkit_interop::I2pdNet;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    args::{Measurement, Network, Options},
    bridge::{self, BridgeProcess, Place},
    pair::{End, Mail, Party, Way},
    report::{Column, Row, new_report},
    sam::SamSession,
};

/// Routers of the i2pd network: four floodfills, one for each end, and some for hops.
const ROUTERS: usize = 8;

/// The number of streams that are opened concurrently.
const AT_ONCE: usize = 16;

/// The time limit for opening one. Chosen because a packet that is lost twice costs about ten
/// seconds.
const STREAM_LIMIT: Duration = Duration::from_secs(20);

/// Datagrams in flight. Chosen because it is more than the BDP of a path without delay, and less
/// than fits the socket buffers.
const IN_FLIGHT: usize = 64;

/// Datagrams in flight are declared lost if none arrives for this time.
const LOST_AFTER: Duration = Duration::from_millis(500);

const MEBIBYTE: usize = 1 << 20;
const DATAGRAM: usize = 1024;

/// A thousand waiting sockets have two ends each in one process.
const FILES: u64 = 20_000;

/// Runs all requested measurements.
pub(crate) async fn run(options: &Options) -> Outcome<()> {
    processes::raise_file_limit(FILES);
    for network in &options.networks {
        let report = match network {
            Network::I2pd => i2pd(options).await?,
            Network::Sim => sim(options).await?,
        };
        report.print();
    }
    Ok(())
}

/// Measures library, bridge and i2pd's bridge over the same i2pd routers.
async fn i2pd(options: &Options) -> Outcome<Report> {
    say("starting a network of i2pd routers");
    let net = I2pdNet::start(ROUTERS).await?;
    let ends = &net.routers()[ROUTERS - 2..];
    let addresses: Vec<_> = ends
        .iter()
        .map(|router| format!("i2cp://{}", router.i2cp()))
        .collect();
    let bridges = BridgeProcess::start(&addresses).await?;
    let routers = [
        Router::attach(&addresses[0])?,
        Router::attach(&addresses[1])?,
    ];
    let theirs = [0, 1].map(|index| Place {
        tcp: ends[index].sam(),
        udp: ends[index].sam_udp(),
    });
    let ways = [
        Subject::new(Column::Library, Way::Library(routers), None),
        Subject::new(
            Column::Bridge,
            Way::Sam([bridges.places[0], bridges.places[1]]),
            bridges.id(),
        ),
        Subject::new(Column::I2pd, Way::Sam(theirs), ends[1].id()),
    ];
    measure("i2pd's routers", &ways, options).await
}

/// Measures library and bridge in this process, on a network with little cost of its own.
async fn sim(options: &Options) -> Outcome<Report> {
    let net = SimNet::builder().delay(Duration::ZERO).start();
    let router = Router::new(net.i2cp_router());
    let (_one, first) = bridge::start(router.clone()).await?;
    let (_another, second) = bridge::start(Router::new(net.i2cp_router())).await?;
    let other = Router::new(net.i2cp_router());
    let ways = [
        Subject::new(Column::Library, Way::Library([router, other]), None),
        Subject::new(
            Column::Bridge,
            Way::Sam([first, second]),
            Some(process::id()),
        ),
    ];
    measure("the simulated network", &ways, options).await
}

/// A compared implementation, its name, and the process of the receiver's bridge.
struct Subject {
    column: Column,
    way: Way,
    pid: Option<u32>,
}

impl Subject {
    fn new(column: Column, way: Way, pid: Option<u32>) -> Self {
        Self { column, way, pid }
    }

    /// Processor time so far of this process and the one of our bridges.
    fn cpu(&self) -> Outcome<Duration> {
        let me = process::id();
        let bridge = match self.pid {
            Some(pid) if pid != me && self.column == Column::Bridge => processes::cpu(pid)?,
            _ => Duration::ZERO,
        };
        Ok(processes::cpu(me)? + bridge)
    }
}

async fn measure(title: &'static str, ways: &[Subject], options: &Options) -> Outcome<Report> {
    let mut report = new_report(title);
    let tunnels = Tunnels { hops: options.hops };
    let both = [Measurement::Bytes, Measurement::Streams];
    if both.iter().any(|measurement| options.wants(*measurement)) {
        say("opening sessions");
        let mut pairs = Vec::new();
        for subject in ways {
            let open = |end| subject.way.session(end, tunnels);
            let (from, to) = tokio::try_join!(open(End::Sender), open(End::Receiver))?;
            pairs.push((subject, from, to));
        }
        if options.wants(Measurement::Bytes) {
            bytes(&mut report, &pairs, options).await;
        }
        if options.wants(Measurement::Streams) {
            for (subject, from, to) in &pairs {
                say(&format!("streams: {}", subject.column));
                let rate = streams(from, to, options.streams).await;
                report.add_rate(Row::Streams.name(), subject.column as usize, rate);
            }
        }
    }
    for subject in ways {
        if options.wants(Measurement::Sessions) {
            say(&format!("sessions: {}", subject.column));
            let rate = sessions(&subject.way, tunnels, options.sessions).await;
            report.add_rate(Row::Sessions.name(), subject.column as usize, rate);
        }
        if options.wants(Measurement::Accepts) && matches!(subject.way, Way::Sam(_)) {
            say(&format!("accepts: {}", subject.column));
            accepts(&mut report, subject, tunnels, options.accepts).await;
        }
        if options.wants(Measurement::Datagrams) {
            say(&format!("datagrams: {}", subject.column));
            datagrams(&mut report, subject, tunnels, options.datagrams).await;
        }
    }
    Ok(report)
}

/// Alternates the transfers, so that other load of the machine affects all of them equally.
async fn bytes(report: &mut Report, pairs: &[(&Subject, Party, Party)], options: &Options) {
    let len = usize::from(options.mebibytes) * MEBIBYTE;
    for (subject, from, to) in pairs {
        // Later streams of a session use its path state, so the first one is not counted.
        if let Err(error) = measured(from, to, len / 8).await {
            say(&format!("bytes: {}: {error}", subject.column));
        }
    }
    for round in 1..=options.rounds {
        for (subject, from, to) in pairs {
            say(&format!("bytes: {}, round {round}", subject.column));
            let before = [processes::cpu_of_all(), subject.cpu()];
            let time = measured(from, to, len).await;
            let after = [processes::cpu_of_all(), subject.cpu()];
            let mebibytes = f64::from(options.mebibytes);
            let rate = time.map(|time| mebibytes / time.as_secs_f64());
            // The cost of a failed transfer is not recorded.
            if rate.is_ok() {
                for ((row, before), after) in
                    [Row::Cpu, Row::OwnCpu].into_iter().zip(before).zip(after)
                {
                    let cost = after.and_then(|after| Ok(after.saturating_sub(before?)));
                    let cost = cost.map(|cost| cost.as_secs_f64() * 1e3 / mebibytes);
                    report.add(row.name(), subject.column as usize, cost);
                }
            }
            report.add_rate(Row::Bytes.name(), subject.column as usize, rate);
        }
    }
}

/// Opens a stream, and measures a transfer over it.
async fn measured(from: &Party, to: &Party, len: usize) -> Outcome<Duration> {
    let destination = to.destination();
    let waiting = to.accept().await?;
    let (here, there) = timeout(LIMIT, async {
        tokio::try_join!(from.connect(&destination), waiting.accepted())
    })
    .await??;
    transfer(here, there, len).await
}

/// Streams per second: opened, used for a byte in each direction, and closed, several at a time.
async fn streams(from: &Party, to: &Party, count: u16) -> Outcome<f64> {
    let destination: Arc<str> = to.destination().into();
    let _server = serve(to).await?;
    let left = Arc::new(Semaphore::new(count.into()));
    let mut clients = JoinSet::new();
    let began = Instant::now();
    for _ in 0..AT_ONCE {
        let (party, left, destination) = (from.clone(), left.clone(), destination.clone());
        clients.spawn(async move {
            let mut used = 0_u16;
            while let Ok(permit) = left.try_acquire() {
                permit.forget();
                match timeout(STREAM_LIMIT, there_and_back(&party, &destination)).await {
                    Ok(Ok(())) => used += 1,
                    Ok(Err(error)) => say(&format!("a stream: {error}")),
                    Err(_) => say("a stream took too long"),
                }
            }
            used
        });
    }
    let mut used = 0;
    while let Some(client) = clients.join_next().await {
        used += client?;
    }
    Ok(f64::from(used) / began.elapsed().as_secs_f64())
}

/// Answers all incoming streams until the value is dropped.
async fn serve(party: &Party) -> Outcome<JoinSet<()>> {
    let mut servers = JoinSet::new();
    match party.clone() {
        Party::Library(session, listener) => {
            servers.spawn(async move {
                while let Ok(stream) = listener.accept().await {
                    tokio::spawn(answer(stream));
                }
                drop(session);
            });
        }
        // i2pd accepts only one waiting client at a time, and streams fail with it.
        Party::Sam(session) => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let forwarding = session.forward(listener.local_addr()?.port()).await?;
            servers.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(answer(stream));
                }
                drop(forwarding);
            });
        }
    }
    Ok(servers)
}

/// Sends a byte back, and waits until the other end closes.
async fn answer(mut stream: impl Io) {
    let mut byte = [0];
    if stream.read_exact(&mut byte).await.is_ok() {
        let _ = stream.write_all(&byte).await;
        let _ = stream.flush().await;
        let _ = timeout(STREAM_LIMIT, stream.read(&mut byte)).await;
    }
}

/// Opens a stream and sends a byte there and back.
async fn there_and_back(party: &Party, destination: &str) -> Outcome<()> {
    let mut stream = party.connect(destination).await?;
    let mut byte = [7];
    stream.write_all(&byte).await?;
    stream.flush().await?;
    stream.read_exact(&mut byte).await?;
    Ok(())
}

/// Sessions per second, all opened at once.
async fn sessions(way: &Way, tunnels: Tunnels, count: u16) -> Outcome<f64> {
    let began = Instant::now();
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let way = way.clone();
        opening.spawn(async move { way.session(End::Sender, tunnels).await });
    }
    let mut open = Vec::new();
    while let Some(session) = opening.join_next().await {
        open.push(session??);
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Sockets that wait for streams of one session: how many the bridge accepts, how fast, and the
/// memory of each.
async fn accepts(report: &mut Report, subject: &Subject, tunnels: Tunnels, count: u16) {
    let result = async {
        let session = match subject.way.session(End::Receiver, tunnels).await? {
            Party::Sam(session) => session,
            Party::Library(..) => return Err(Failed::from("no bridge")),
        };
        let pid = subject.pid.ok_or("no process")?;
        // The first ones also cause permanent costs: buffers of the allocator, threads.
        let warm = wait_on(&session, 16).await;
        drop(warm);
        sleep(RETRY).await;
        let before = processes::memory(pid)?;
        let began = Instant::now();
        let waiting = wait_on(&session, count).await;
        let elapsed = began.elapsed();
        let grown = processes::memory(pid)?.saturating_sub(before);
        Ok((waiting.len(), elapsed, grown))
    };
    match result.await {
        Ok((taken, elapsed, grown)) if taken > 0 => {
            let taken = taken as f64;
            report.add(Row::Accepts.name(), subject.column as usize, Ok(taken));
            let rate = taken / elapsed.as_secs_f64();
            report.add(Row::AcceptRate.name(), subject.column as usize, Ok(rate));
            let each = grown as f64 / 1024.0 / taken;
            report.add(Row::AcceptMemory.name(), subject.column as usize, Ok(each));
        }
        Ok(_) => report.add(
            Row::Accepts.name(),
            subject.column as usize,
            Err("none".into()),
        ),
        Err(error) => report.add(Row::Accepts.name(), subject.column as usize, Err(error)),
    }
}

/// As many sockets as the bridge accepts, up to `count`.
async fn wait_on(session: &SamSession, count: u16) -> Vec<crate::sam::Accepting> {
    let mut waiting = Vec::new();
    for _ in 0..count {
        match session.accept().await {
            Ok(accepting) => waiting.push(accepting),
            Err(_) => break,
        }
    }
    waiting
}

/// Datagrams per second that arrive, and the share that does not.
async fn datagrams(report: &mut Report, subject: &Subject, tunnels: Tunnels, count: u32) {
    let open = |end| subject.way.datagrams(end, tunnels);
    let result = async {
        let (from, to) = tokio::try_join!(open(End::Sender), open(End::Receiver))?;
        flood(from, to, count).await
    };
    match result.await {
        Ok((arrived, time)) => {
            let rate = arrived as f64 / time.as_secs_f64();
            report.add(Row::Datagrams.name(), subject.column as usize, Ok(rate));
            let lost = 100.0 * (1.0 - arrived as f64 / f64::from(count));
            report.add(
                Row::DatagramsLost.name(),
                subject.column as usize,
                Ok(lost.max(0.0)),
            );
        }
        Err(error) => report.add_rate(Row::Datagrams.name(), subject.column as usize, Err(error)),
    }
}

/// Sends one datagram in each direction until both arrive. The first ones wait for look-ups, and
/// routers begin an encryption session with each message until one came back.
async fn introduce(from: &Mail, to: &Mail, payload: &[u8]) -> Outcome<()> {
    let deadline = Instant::now() + LIMIT;
    for (here, there) in [(from, to), (to, from)] {
        loop {
            here.send(&there.destination(), payload).await?;
            if timeout(RETRY, there.receive()).await.is_ok() {
                break;
            }
            if Instant::now() > deadline {
                return Err("no datagram arrives".into());
            }
        }
        while timeout(RETRY, there.receive()).await.is_ok() {}
    }
    Ok(())
}

async fn flood(from: Mail, to: Mail, count: u32) -> Outcome<(u64, Duration)> {
    let destination = to.destination();
    let payload = vec![0x5a; DATAGRAM];
    introduce(&from, &to, &payload).await?;

    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let arrived = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let receiving = tokio::spawn({
        let (room, arrived) = (room.clone(), arrived.clone());
        async move {
            let mut last = Instant::now();
            while let Ok(Ok(len)) = timeout(4 * LOST_AFTER, to.receive()).await {
                debug_assert_eq!(len, DATAGRAM);
                arrived.fetch_add(1, Ordering::Relaxed);
                last = Instant::now();
                room.add_permits(1);
            }
            last
        }
    });
    for _ in 0..count {
        match timeout(LOST_AFTER, room.acquire()).await {
            Ok(permit) => permit?.forget(),
            // Nothing arrives: all in flight are lost.
            Err(_) => room.add_permits(IN_FLIGHT - 1),
        }
        from.send(&destination, &payload).await?;
    }
    let last = receiving.await?;
    Ok((arrived.load(Ordering::Relaxed), last - began))
}
