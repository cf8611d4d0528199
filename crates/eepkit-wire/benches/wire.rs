//! Benchmarks of the operations that a session performs for every packet or for every new peer.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eepkit_wire::{
    Codec, Destination, EncryptionKeyPair, EncryptionType, Hash, Lease, LeaseSet2,
    LeaseSet2Builder, PrivateKeys, SignatureType, gzip,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// The usual size of a streaming packet, in bytes.
const PACKET: usize = 1_730;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn keys(kind: SignatureType) -> PrivateKeys {
    PrivateKeys::generate(kind, &mut rng()).expect("keys of this type can be made")
}

fn signatures(c: &mut Criterion) {
    let message = [7; PACKET];
    let mut group = c.benchmark_group("signature");
    for kind in [
        SignatureType::ED25519,
        SignatureType::REDDSA,
        SignatureType::ECDSA_SHA256_P256,
        SignatureType::DSA_SHA1,
    ] {
        let keys = keys(kind);
        let signature = keys.sign(&message);
        let public = keys.destination().signing_key();
        group.bench_function(format!("sign {kind}"), |b| {
            b.iter(|| keys.sign(black_box(&message)));
        });
        group.bench_function(format!("verify {kind}"), |b| {
            b.iter(|| public.verify(black_box(&message), &signature));
        });
    }
    group.finish();
}

fn gzip_frames(c: &mut Criterion) {
    let header = gzip::Header {
        protocol: 6,
        from_port: 1,
        to_port: 2,
    };
    let body: Vec<u8> = b"<li><a href=\"/\">home</a></li>\n"
        .iter()
        .copied()
        .cycle()
        .take(PACKET)
        .collect();
    let mut group = c.benchmark_group("gzip");
    group.throughput(Throughput::Bytes(PACKET as u64));
    for (name, deflate) in [("stored", false), ("deflated", true)] {
        let frame = gzip::encode(header, &body, deflate);
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| gzip::encode(header, black_box(&body), deflate));
        });
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| gzip::decode(black_box(&frame), 65_536));
        });
    }
    group.finish();
}

fn structures(c: &mut Criterion) {
    let keys = keys(SignatureType::ED25519);
    let encryption = EncryptionKeyPair::generate(EncryptionType::X25519, &mut rng())
        .expect("keys of this type can be made");
    let lease = Lease {
        gateway: Hash::of(b"gateway"),
        tunnel: 1,
        end: 2_000,
    };
    let set = LeaseSet2Builder::new(
        1,
        660,
        vec![encryption.public_key().clone()],
        vec![lease; 6],
    );
    let set = set.sign(&keys).expect("keys and leases are within limits");
    let destination = keys.destination().to_bytes();
    let text = keys.destination().to_base64();

    let mut group = c.benchmark_group("structure");
    group.bench_function("read destination", |b| {
        b.iter(|| Destination::from_bytes(black_box(&destination)));
    });
    group.bench_function("read destination in base64", |b| {
        b.iter(|| Destination::from_base64(black_box(&text)));
    });
    group.bench_function("read lease set", |b| {
        b.iter(|| LeaseSet2::from_bytes(black_box(set.as_bytes())));
    });
    group.bench_function("verify lease set", |b| b.iter(|| set.verify(1)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = signatures, gzip_frames, structures
}
criterion_main!(benches);
