//! Transfers while tunnels fail, expire and are replaced.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eepkit::{
    Session, SessionBuilder, Stream,
    sim::{Builder, Happening, SimNet, netem::Rate},
};
use eepkit_link::{Direction, TunnelId};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::lab::{Lab, Link, join, pattern, within};

/// The progress of a transfer.
#[derive(Debug, Clone, Copy)]
struct Progress {
    received: u64,
    /// When data was last read, and the longest time without data.
    last: Instant,
    longest_pause: Duration,
    /// The smallest cwnd of the sender since the start of the interval.
    cwnd: u32,
}

/// A transfer that continues until it is stopped.
struct Bulk {
    /// Both ends, which stay open as long as the transfer.
    _sessions: [Session; 2],
    progress: Arc<Mutex<Progress>>,
    over: Arc<AtomicBool>,
    writing: JoinHandle<u64>,
    reading: JoinHandle<u64>,
}

impl Bulk {
    async fn start(lab: &Lab, change: impl Fn(SessionBuilder) -> SessionBuilder) -> Self {
        let server = change(lab.builder()).open().await.expect("opens");
        let client = change(lab.builder()).open().await.expect("opens");
        let listener = server.listen(0).expect("free");
        let (near, far) = join(&client, server.destination(), &listener).await;
        let progress = Arc::new(Mutex::new(Progress {
            received: 0,
            last: Instant::now(),
            longest_pause: Duration::ZERO,
            cwnd: u32::MAX,
        }));
        let over = Arc::new(AtomicBool::new(false));
        Self {
            _sessions: [client, server],
            writing: tokio::spawn(write(near, progress.clone(), over.clone())),
            reading: tokio::spawn(read(far, progress.clone())),
            progress,
            over,
        }
    }

    /// Waits for `span`. Returns the progress in it, and the bytes per second that arrived.
    async fn run(&self, span: Duration) -> (Progress, f64) {
        let before = {
            let mut progress = self.progress.lock().expect("no panic");
            progress.longest_pause = Duration::ZERO;
            progress.cwnd = u32::MAX;
            progress.received
        };
        sleep(span).await;
        let mut progress = *self.progress.lock().expect("no panic");
        progress.longest_pause = progress.longest_pause.max(progress.last.elapsed());
        let bytes = progress.received - before;
        (progress, bytes as f64 / span.as_secs_f64())
    }

    /// Ends the transfer, and checks that all written data has arrived.
    async fn finish(self) {
        self.over.store(true, Ordering::Relaxed);
        let (written, received) = within(Duration::from_secs(120), async {
            (
                self.writing.await.expect("writes"),
                self.reading.await.expect("reads"),
            )
        })
        .await;
        assert_eq!(written, received);
    }
}

/// The server has spoken to nobody, so that it has measured no round trip.
#[tokio::test(start_paused = true)]
async fn an_answer_reaches_a_client_with_one_lease_that_works() {
    for works in 0..3 {
        let lab = Lab::new(Link::Direct);
        let open = || lab.builder().tunnel_quantity(3).open();
        let client = open().await.expect("opens");
        let server = open().await.expect("opens");
        let leases = lab.net.tunnels(client.destination());
        let inbound = leases.iter().filter(|t| t.direction == Direction::Inbound);
        for (index, tunnel) in inbound.enumerate() {
            if index != works {
                assert!(lab.net.blackhole(tunnel.id));
            }
        }
        let listener = server.listen(1).expect("free");
        let joining = join(&client, (server.destination(), 1), &listener);
        within(Duration::from_secs(45), joining).await;
    }
}

async fn write(mut to: Stream, progress: Arc<Mutex<Progress>>, over: Arc<AtomicBool>) -> u64 {
    let mut at = 0;
    while !over.load(Ordering::Relaxed) {
        let chunk: Vec<u8> = (at..at + CHUNK).map(pattern).collect();
        to.write_all(&chunk).await.expect("sends");
        at += CHUNK;
        let cwnd = to.info().map_or(0, |info| info.cwnd);
        let mut progress = progress.lock().expect("no panic");
        progress.cwnd = progress.cwnd.min(cwnd);
    }
    to.shutdown().await.expect("shuts down");
    at
}

async fn read(mut from: Stream, progress: Arc<Mutex<Progress>>) -> u64 {
    let mut chunk = vec![0; 64 * 1024];
    let mut at = 0;
    loop {
        let count = from.read(&mut chunk).await.expect("receives");
        if count == 0 {
            return at;
        }
        let expected = (at..).map(pattern);
        assert!(chunk[..count].iter().copied().eq(expected.take(count)));
        at += count as u64;
        let mut progress = progress.lock().expect("no panic");
        let now = Instant::now();
        progress.longest_pause = progress.longest_pause.max(now - progress.last);
        progress.last = now;
        progress.received = at;
    }
}

/// 500 kB/s over each path, and a round-trip time of 0.6 s.
fn network() -> Builder {
    SimNet::builder()
        .seed(11)
        .delay(Duration::from_millis(300))
        .rate(Rate::bytes_per_second(500_000))
        .lookup_time(Duration::from_millis(500))
        .log(1000)
}

/// The tunnel of this direction that carried most of the recent packets with data.
fn in_use(net: &SimNet, direction: Direction) -> TunnelId {
    busiest(net, direction, |bytes| bytes > 1000)
}

/// The tunnel of this direction that carried most of the recent packets of this size.
fn busiest(net: &SimNet, direction: Direction, counts: impl Fn(usize) -> bool) -> TunnelId {
    let mut packets: HashMap<TunnelId, u32> = HashMap::new();
    for entry in net.take_log() {
        let (path, bytes) = match entry.what {
            Happening::Left {
                outbound, bytes, ..
            } if direction == Direction::Outbound => (outbound, bytes),
            Happening::Delivered { inbound, bytes, .. } if direction == Direction::Inbound => {
                (inbound, bytes)
            }
            _ => continue,
        };
        if counts(bytes) {
            *packets.entry(path).or_default() += 1;
        }
    }
    let busiest = packets.into_iter().max_by_key(|(_, count)| *count);
    busiest.expect("something was sent").0
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_goes_silent_stops_a_transfer_for_less_than_two_seconds() {
    let directions = [Direction::Outbound, Direction::Inbound];
    for (direction, seed) in directions.into_iter().flat_map(|one| [(one, 1), (one, 2)]) {
        let lab = Lab::of(Link::Direct, network().seed(seed));
        let bulk = Bulk::start(&lab, |session| session.tunnel_quantity(2)).await;
        let (_, before) = bulk.run(Duration::from_secs(20)).await;
        let (usual, _) = bulk.run(Duration::from_secs(5)).await;
        assert!(lab.net.blackhole(in_use(&lab.net, direction)));
        let (progress, _) = bulk.run(Duration::from_secs(5)).await;
        let pause = progress.longest_pause;
        assert!(
            pause < Duration::from_secs(2),
            "{direction:?}: {progress:?}"
        );
        assert!(
            progress.cwnd > usual.cwnd / 2,
            "{direction:?}: {} after {}",
            progress.cwnd,
            usual.cwnd
        );
        let (_, after) = bulk.run(Duration::from_secs(10)).await;
        assert!(after > 0.9 * before, "{direction:?}: {after} of {before}");
        bulk.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn tunnels_that_end_are_replaced_without_loss_of_speed() {
    let mut speeds = Vec::new();
    for lifetime in [LONG, LONG / 5] {
        let lab = Lab::of(
            Link::Direct,
            network()
                .rate(Rate::bytes_per_second(100_000))
                .tunnel_lifetime(lifetime)
                .build_time(Duration::from_secs(2)),
        );
        let bulk = Bulk::start(&lab, |session| session.tunnel_quantity(2)).await;
        let (_, _) = bulk.run(Duration::from_secs(20)).await;
        let built = lab.net.stats().tunnels_built;
        let (progress, speed) = bulk.run(LONG * 4 / 5).await;
        if lifetime < LONG {
            assert!(lab.net.stats().tunnels_built >= built + 2 * 2 * 3);
        }
        let pause = progress.longest_pause;
        assert!(pause < Duration::from_millis(500), "{pause:?}");
        speeds.push(speed);
        bulk.finish().await;
    }
    assert!(speeds[1] > 0.995 * speeds[0], "{speeds:?}");
}

#[tokio::test(start_paused = true)]
async fn without_paths_a_missing_lease_causes_a_look_up_and_cwnd_is_kept() {
    let lab = Lab::of(Link::I2cp, network());
    let bulk = Bulk::start(&lab, |session| session).await;
    bulk.run(Duration::from_secs(20)).await;
    let (usual, before) = bulk.run(Duration::from_secs(5)).await;
    let lookups = lab.net.stats().lookups;
    // The server builds another tunnel, but the client's router still sends to the old one.
    assert!(lab.net.kill_tunnel(in_use(&lab.net, Direction::Inbound)));
    let (progress, _) = bulk.run(Duration::from_secs(10)).await;
    assert_eq!(lab.net.stats().lookups, lookups + 1);
    let pause = progress.longest_pause;
    assert!(pause < Duration::from_secs(5), "{pause:?}");
    assert!(
        progress.cwnd > usual.cwnd / 2,
        "{} after {}",
        progress.cwnd,
        usual.cwnd
    );
    let (_, after) = bulk.run(Duration::from_secs(10)).await;
    assert!(after > 0.9 * before, "{after} of {before}");
    bulk.finish().await;
}

/// Routers use a path for two minutes, and choose another if a lease set is not confirmed.
#[tokio::test(start_paused = true)]
async fn a_router_that_keeps_a_failed_path_is_made_to_choose_another() {
    let is_data = |bytes: usize| bytes > 1000;
    let is_answer = |bytes: usize| bytes < 200;
    for (direction, seed) in [Direction::Outbound, Direction::Inbound]
        .into_iter()
        .flat_map(|one| [11, 12, 13].map(|seed| (one, seed)))
    {
        for carries in [is_data as fn(usize) -> bool, is_answer] {
            let lab = Lab::of(Link::I2cp, network().seed(seed));
            let bulk = Bulk::start(&lab, |session| session.tunnel_quantity(3)).await;
            bulk.run(Duration::from_secs(20)).await;
            assert!(lab.net.blackhole(busiest(&lab.net, direction, carries)));
            let (progress, _) = bulk.run(Duration::from_secs(40)).await;
            let pause = progress.longest_pause;
            let case = (direction, seed, carries(0));
            assert!(pause < Duration::from_secs(30), "{case:?}: {pause:?}");
            bulk.finish().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn several_active_paths_add_up_their_bandwidth() {
    let mut speeds = Vec::new();
    for paths in [1, 3] {
        let lab = Lab::of(
            Link::Direct,
            network().rate(Rate::bytes_per_second(100_000)),
        );
        let bulk = Bulk::start(&lab, move |session| {
            session
                .tunnel_quantity(3)
                .streaming(move |config| config.with_max_paths(paths))
        })
        .await;
        bulk.run(Duration::from_secs(20)).await;
        let (_, speed) = bulk.run(Duration::from_secs(60)).await;
        speeds.push(speed);
        if paths > 1 {
            assert!(lab.net.blackhole(in_use(&lab.net, Direction::Outbound)));
            let (progress, _) = bulk.run(Duration::from_secs(10)).await;
            let pause = progress.longest_pause;
            assert!(pause < Duration::from_secs(2), "{pause:?}");
        }
        bulk.finish().await;
    }
    assert!(speeds[1] > 2.7 * speeds[0], "{speeds:?}");
}

#[tokio::test(start_paused = true)]
async fn the_send_rate_of_a_session_is_limited() {
    let lab = Lab::of(Link::Direct, network());
    let bulk = Bulk::start(&lab, |session| {
        session.streaming(|config| config.with_max_send_rate(Some(50_000)))
    })
    .await;
    bulk.run(Duration::from_secs(20)).await;
    let (_, speed) = bulk.run(Duration::from_secs(60)).await;
    assert!((45_000.0..50_000.0).contains(&speed), "{speed}");
    bulk.finish().await;
}

const CHUNK: u64 = 16 * 1024;
/// A lifetime of tunnels that is longer than the test.
const LONG: Duration = Duration::from_secs(600);
