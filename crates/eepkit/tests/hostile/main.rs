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
mod established;

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
use established::{Forged, Tap, forgeries};

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

const ATTACKS: [(&str, Attack); 13] = [
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
    ("data beyond the window", |world| {
        Box::pin(data_beyond_the_window(world))
    }),
    ("acknowledgements of what has not arrived", |world| {
        Box::pin(early_acknowledgements(world))
    }),
    ("chokes", |world| Box::pin(chokes(world))),
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

/// A stream of a hostile peer, which sends what it likes for it.
struct HostileStream {
    attacker: Attacker,
    tap: Tap,
    stream: Stream,
}

impl HostileStream {
    async fn open(world: &World) -> Self {
        let tap = Tap::new(world.net.router());
        let builder = Router::new(tap.clone()).session();
        let peer = builder.preset(Preset::Test).seed(100).open().await;
        let to = (world.victim.destination(), 80);
        let mut stream = peer.expect("opens").connect(to).await.expect("connects");
        exchange(&mut stream, 1).await;
        Self {
            attacker: Attacker::open(&world.net, 101).await,
            tap,
            stream,
        }
    }

    /// Sends a packet to the victim, with the ids of the stream.
    async fn send(&mut self, world: &World, mut packet: Forged<'_>) {
        let ids = self.tap.last();
        (packet.to, packet.from) = (ids.to, ids.from);
        let to = world.victim.destination();
        self.attacker.send(to, packet.bytes()).await;
    }
}

/// All the data that a window might have, but for its first packet.
async fn data_beyond_the_window(world: &World) {
    let mut hostile = HostileStream::open(world).await;
    let first = hostile.tap.last().seq + 2;
    for round in 0..200 {
        for number in 0..100 {
            let packet = Forged {
                seq: first + round * 100 + number,
                payload: vec![1; 1700],
                ..Forged::default()
            };
            hostile.send(world, packet).await;
        }
        sleep(DURATION / 200).await;
    }
}

/// Acknowledges all that the victim may send, so that it sends as fast as it can.
async fn early_acknowledgements(world: &World) {
    let mut hostile = HostileStream::open(world).await;
    let first = hostile.tap.last().seq + 1;
    for round in 0..2000 {
        // The victim returns it.
        let data = Forged {
            seq: first + round,
            payload: vec![1; 1700],
            ..Forged::default()
        };
        hostile.send(world, data).await;
        for ack_through in 0..4 {
            let packet = Forged {
                ack_through: first + round + ack_through,
                ..Forged::default()
            };
            hostile.send(world, packet).await;
        }
        sleep(DURATION / 2000).await;
    }
}

/// Asks to stop and to continue in turn.
async fn chokes(world: &World) {
    let mut hostile = HostileStream::open(world).await;
    for round in 0..2000 {
        let data = Forged {
            seq: hostile.tap.last().seq + 1 + round / 10,
            ack_through: 1,
            delay: Some(if round % 2 == 0 { 61_000 } else { 0 }),
            payload: vec![1; 100],
            ..Forged::default()
        };
        hostile.send(world, data).await;
        sleep(DURATION / 2000).await;
    }
    hostile.stream.reset();
}

/// Sends data that the victim returns.
async fn exchange(stream: &mut Stream, round: u8) {
    let data: Vec<u8> = (0..20_000_u32).map(|at| (at % 251) as u8 ^ round).collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        writer.write_all(&data).await.expect("is open");
        writer.flush().await.expect("is open");
    };
    let mut answer = vec![0; data.len()];
    let both = async { tokio::join!(writing, reader.read_exact(&mut answer)) };
    let done = tokio::time::timeout(Duration::from_secs(60), both).await;
    let ((), read) = done.expect("the stream works");
    read.expect("is open");
    assert!(answer == data, "the answer differs");
}

#[tokio::test(start_paused = true)]
async fn forged_packets_have_no_effect_on_an_open_stream() {
    let world = World::new().await;
    let tap = Tap::new(world.net.router());
    let builder = Router::new(tap.clone()).session();
    let honest = builder.preset(Preset::Test).seed(7).open().await;
    let honest = honest.expect("opens");
    let to = (world.victim.destination(), 80);
    let mut stream = honest.connect(to).await.expect("connects");
    exchange(&mut stream, 0).await;
    let mut attacker = Attacker::open(&world.net, 200).await;
    let first = tap.first();
    let keys = attacker.keys();
    let count = forgeries(tap.last(), &first, &keys).len();
    for number in 0..count {
        // To the victim, and then to the honest peer.
        for reversed in [false, true] {
            let (ids, to) = match reversed {
                false => (tap.last(), world.victim.destination()),
                true => (tap.last().reversed(), honest.destination()),
            };
            let (name, packets) = forgeries(ids, &first, &keys).swap_remove(number);
            println!("{name}: {} packets", packets.len());
            let cost = Cost::begin();
            for _ in 0..10 {
                for packet in &packets {
                    attacker.send(to, packet.clone()).await;
                }
                sleep(Duration::from_millis(20)).await;
            }
            sleep(Duration::from_secs(1)).await;
            exchange(&mut stream, number as u8).await;
            cost.check(name, MEMORY);
        }
    }
    // The end of the stream is that of its peer.
    stream.shutdown().await.expect("is open");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("is open");
    assert!(rest.is_empty(), "{} bytes", rest.len());
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
