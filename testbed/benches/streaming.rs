//! The cost of packets, signatures and streams.

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use eepkit_streaming::{
    Ports, StreamConfig,
    packet::{Flags, Packet, Repr},
};
use eepkit_testbed::{LinkConfig, Pair, Transfer, UNIX_START, keys};

fn data_packet(payload: &[u8]) -> Repr<'_> {
    Repr {
        send_id: 1,
        recv_id: 2,
        seq: 3,
        ack_through: 4,
        delay: Some(0),
        payload,
        ..Repr::default()
    }
}

fn packets(c: &mut Criterion) {
    let payload = [7; 1812];
    let repr = data_packet(&payload);
    let mut encoded = Vec::new();
    repr.encode(&mut encoded);
    let mut group = c.benchmark_group("packet");
    group.throughput(Throughput::Bytes(encoded.len() as u64));
    group.bench_function("encode", |b| {
        let mut out = Vec::with_capacity(2048);
        b.iter(|| {
            out.clear();
            black_box(&repr).encode(&mut out);
        });
    });
    group.bench_function("decode", |b| {
        b.iter(|| Packet::parse(black_box(&encoded)).map(|packet| packet.payload().len()))
    });
    group.finish();

    let keys = keys(1);
    let syn = Repr {
        recv_id: 2,
        flags: Flags::SYN | Flags::NO_ACK,
        nacks: &[0; 8],
        from: Some(keys.destination()),
        max_size: Some(1812),
        ..Repr::default()
    };
    let signed = syn.sign(&keys);
    let unix_now = u32::try_from(UNIX_START.as_secs()).unwrap_or(0);
    let mut group = c.benchmark_group("first packet");
    group.bench_function("sign", |b| b.iter(|| black_box(&syn).sign(&keys)));
    group.bench_function("parse and verify", |b| {
        b.iter(|| {
            Packet::parse(black_box(&signed)).map(|packet| packet.verify(None, unix_now).is_ok())
        });
    });
    group.finish();
}

/// Packets through both endpoints with about 512 in flight: the rate is 1024 packets per second,
/// the RTT half a second.
fn pair_of_machines(c: &mut Criterion) {
    const PACKETS: u64 = 5_000;
    let mut group = c.benchmark_group("pair");
    group
        .throughput(Throughput::Elements(PACKETS))
        .sample_size(10);
    group.bench_function("packet through both, 512 in flight", |b| {
        b.iter_batched(
            || {
                let mut pair =
                    Pair::new(LinkConfig::delay(Duration::from_millis(250)).rate(1024.0, 500));
                let ids = pair.connect();
                pair.transfer(ids, 8 << 20, Duration::from_secs(100));
                (pair, ids)
            },
            |(mut pair, ids)| {
                pair.transfer(ids, PACKETS * 1812, Duration::from_secs(100));
                pair
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn opening(c: &mut Criterion) {
    let mut group = c.benchmark_group("streams");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    group.bench_function("open, 1 KB each way, close", |b| {
        let mut pair = Pair::new(LinkConfig::delay(Duration::from_millis(50)));
        b.iter(|| {
            let (a, b) = pair.connect();
            pair.transfer((a, b), 1024, Duration::from_secs(10));
            let mut back = Transfer::new(1024);
            pair.run_until(Duration::from_secs(10), |pair| {
                back.write(&mut pair.b.endpoint, pair.now, b);
                back.read(&mut pair.a.endpoint, pair.now, a);
                back.received == back.length
            });
            pair.a.endpoint.release(pair.now, a);
            pair.b.endpoint.release(pair.now, b);
            pair.run(Duration::from_secs(1));
        });
    });
    group.bench_function("connect only", |b| {
        let mut pair = Pair::new(LinkConfig::delay(Duration::from_millis(50)));
        let to = pair.address_b();
        b.iter(|| {
            let id =
                pair.a
                    .endpoint
                    .connect(pair.now, &to, Ports::default(), &StreamConfig::default());
            pair.drain();
            if let Ok(id) = id {
                pair.a.endpoint.reset(pair.now, id);
                pair.a.endpoint.release(pair.now, id);
            }
            pair.drain();
            pair.ab.clear();
        });
    });
    group.finish();
}

criterion_group!(benches, packets, pair_of_machines, opening);
criterion_main!(benches);
