//! Hostile peers and hostile routers: what they cost, and what others notice.
//!
//! While one side misbehaves, an honest peer exchanges small messages with the same session. The
//! tests compare its 99th percentile with that of a quiet network, and limit memory, processor time
//! and file descriptors.
//!
//! A separate test program, because it measures the whole process.
#![cfg(target_os = "linux")]
#![expect(
    clippy::print_stdout,
    reason = "the figures of a run, with --nocapture"
)]

mod attackers;
mod cost;

use std::{future::Future, pin::Pin, time::Duration};

use eepkit::{
    ConnectOptions, Format, Listener, Preset, Router, Session, Stream,
    sim::{Builder, SimNet},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep},
};

use attackers::{Attacker, HostileRouter, Misbehaviour, raw_packet};
use cost::{Cost, MEMORY};

/// A network with a victim that echoes what streams carry, and an honest peer.
struct World {
    net: SimNet,
    victim: Session,
    honest: Session,
}

impl World {
    async fn new() -> Self {
        let net = Builder::new().delay(Duration::from_millis(50)).start();
        let victim = open(&net, 1).await;
        let honest = open(&net, 2).await;
        echo_all(victim.listen(80).expect("free"));
        Self {
            net,
            victim,
            honest,
        }
    }

    /// The 99th percentile of the round trips of an honest stream during `DURATION`.
    async fn honest_percentile(&self) -> Duration {
        let to = (self.victim.destination(), 80);
        let mut stream = self.honest.connect(to).await.expect("connects");
        let began = Instant::now();
        let mut times = Vec::new();
        while began.elapsed() < DURATION {
            let sent = Instant::now();
            stream.write_all(&[7; 100]).await.expect("is open");
            stream.flush().await.expect("is open");
            stream.read_exact(&mut [0; 100]).await.expect("is open");
            times.push(sent.elapsed());
            sleep(Duration::from_millis(100)).await;
        }
        times.sort_unstable();
        times[times.len() * 99 / 100]
    }
}

async fn open(net: &SimNet, seed: u64) -> Session {
    let router = Router::new(net.i2cp_router());
    let builder = router.session().preset(Preset::Test).seed(seed);
    builder.open().await.expect("opens")
}

fn echo_all(listener: Listener) {
    tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.into_split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
}

type Attack = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

const ATTACKS: [(&str, Attack); 10] = [
    ("first packets", |world| Box::pin(first_packets(world))),
    ("replayed packets", |world| {
        Box::pin(replayed_packets(world))
    }),
    ("forged packets", |world| Box::pin(forged_packets(world))),
    ("lists of missing packets", |world| {
        Box::pin(missing_lists(world))
    }),
    ("random bytes", |world| Box::pin(random_bytes(world))),
    ("streams that are never read", |world| {
        Box::pin(never_read(world))
    }),
    ("resets", |world| Box::pin(resets(world))),
    ("idle streams", |world| Box::pin(idle_streams(world))),
    ("datagrams", |world| Box::pin(datagrams(world))),
    ("pings", |world| Box::pin(pings(world))),
];

#[tokio::test(start_paused = true)]
async fn hostile_peers_cost_little_and_others_do_not_notice() {
    let quiet = World::new().await.honest_percentile().await;
    for (name, attack) in ATTACKS {
        let world = World::new().await;
        let cost = Cost::begin();
        let honest = world.honest_percentile();
        let (during, ()) = tokio::join!(honest, attack(&world));
        let memory = match name {
            // What is received and not read is limited for each session, and there are two.
            "streams that are never read" => 512 << 20,
            _ => MEMORY,
        };
        cost.check(name, memory);
        assert!(during <= quiet * 3 / 2, "{name}: {during:?}, not {quiet:?}");
        let after = world.honest_percentile().await;
        assert!(after <= quiet * 3 / 2, "after {name}: {after:?}");
    }
}

/// Streams of many destinations whose answers nobody reads.
async fn first_packets(world: &World) {
    for number in 0..40 {
        let mut attacker = Attacker::open(&world.net, 100 + number).await;
        for _ in 0..50 {
            let packet = attacker.first_packet(world.victim.destination(), 80);
            attacker.send(world.victim.destination(), packet).await;
        }
        sleep(DURATION / 40).await;
    }
}

async fn replayed_packets(world: &World) {
    let mut attacker = Attacker::open(&world.net, 100).await;
    let packet = attacker.first_packet(world.victim.destination(), 80);
    for _ in 0..100 {
        for _ in 0..100 {
            attacker
                .send(world.victim.destination(), packet.clone())
                .await;
        }
        sleep(DURATION / 100).await;
    }
}

async fn forged_packets(world: &World) {
    let mut attacker = Attacker::open(&world.net, 100).await;
    let packet = attacker.first_packet(world.victim.destination(), 80);
    for round in 0..100 {
        for number in 0..30 {
            let mut forged = packet.to_vec();
            let at = (round * 30 + number) * 7 % forged.len();
            forged[at] ^= 1 << (number % 8);
            attacker
                .send(world.victim.destination(), forged.into())
                .await;
        }
        sleep(DURATION / 100).await;
    }
}

/// Packets for streams that do not exist, which declare everything lost.
async fn missing_lists(world: &World) {
    let mut attacker = Attacker::open(&world.net, 100).await;
    for round in 0..100_u32 {
        for number in 0..100 {
            let packet = raw_packet(round * 100 + number, 255);
            attacker.send(world.victim.destination(), packet).await;
        }
        sleep(DURATION / 100).await;
    }
}

async fn random_bytes(world: &World) {
    let mut attacker = Attacker::open(&world.net, 100).await;
    for round in 0..100_u64 {
        for number in 0..100 {
            let bytes = attackers::noise(round * 100 + number);
            attacker.send(world.victim.destination(), bytes).await;
        }
        sleep(DURATION / 100).await;
    }
}

/// The victim writes, and the attacker does not read.
async fn never_read(world: &World) {
    let attacker = open(&world.net, 100).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let to = (world.victim.destination(), 80);
        let stream = attacker.connect(to).await.expect("connects");
        let (reader, mut writer) = stream.into_split();
        let writing = tokio::spawn(async move {
            let block = vec![1; 64 * 1024];
            while writer.write_all(&block).await.is_ok() {}
        });
        held.push((reader, writing));
    }
    sleep(DURATION).await;
    for (_, writing) in held {
        writing.abort();
    }
}

async fn resets(world: &World) {
    let attacker = open(&world.net, 100).await;
    let connect = || attacker.connect((world.victim.destination(), 80));
    drop(connect().await.expect("connects"));
    for _ in 0..40 {
        let opening = (0..20).map(|_| connect());
        for stream in futures_util::future::join_all(opening).await {
            stream.as_ref().map(Stream::reset).expect("connects");
        }
        sleep(DURATION / 80).await;
    }
}

async fn idle_streams(world: &World) {
    let attacker = open(&world.net, 100).await;
    let options = ConnectOptions::new();
    let connect = || attacker.connect_with((world.victim.destination(), 80), &options);
    let first = connect().await.expect("connects");
    let opening = (0..1000).map(|_| connect());
    let held = futures_util::future::join_all(opening).await;
    assert!(held.iter().all(Result::is_ok));
    sleep(DURATION / 2).await;
    drop((first, held));
}

async fn datagrams(world: &World) {
    let bound = world.victim.datagrams(Format::Datagram1).bind(7);
    let _unread = bound.expect("free");
    let attacker = open(&world.net, 100).await;
    let socket = attacker.datagrams(Format::Datagram1).bind(7).expect("free");
    for round in 0..100 {
        for number in 0..60 {
            // Every other one is for a port that nobody uses.
            let to = (world.victim.destination(), 7 + number % 2);
            let payload = vec![round; 8000];
            socket.send_to(&payload, to).await.expect("is sent");
        }
        sleep(DURATION / 100).await;
    }
}

async fn pings(world: &World) {
    let attacker = open(&world.net, 100).await;
    for _ in 0..20 {
        let pinging = (0..200).map(|_| attacker.ping(world.victim.destination()));
        // Not all are answered.
        futures_util::future::join_all(pinging).await;
        sleep(DURATION / 20).await;
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_routers_cost_little_and_others_do_not_notice() {
    let quiet = World::new().await.honest_percentile().await;
    for misbehaviour in Misbehaviour::ALL {
        let world = World::new().await;
        let name = format!("{misbehaviour:?}");
        let cost = Cost::begin();
        let hostile = HostileRouter::new(misbehaviour);
        let router = Router::new(hostile.connector());
        let session = router.session().preset(Preset::Test).start();
        let session = session.expect("valid options");
        let during = world.honest_percentile().await;
        cost.check(&name, MEMORY);
        assert!(during <= quiet * 3 / 2, "{name}: {during:?}, not {quiet:?}");
        // Attempts have growing pauses, whatever the router does.
        assert!(
            hostile.connections() <= 8,
            "{name}: {}",
            hostile.connections()
        );
        let closing = tokio::time::timeout(Duration::from_secs(60), session.close());
        assert!(closing.await.is_ok(), "{name}");
    }
}

/// The time of one attack.
const DURATION: Duration = Duration::from_secs(20);
