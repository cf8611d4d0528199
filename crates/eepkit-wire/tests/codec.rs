//! The same six tests for every structure: bytes as specified, round trip, truncation, trailing
//! data, flipped bits, arbitrary bytes.

#![allow(
    clippy::unwrap_used,
    reason = "a test may panic, and so may its helpers"
)]

use eepkit_wire::{
    Certificate, Codec, DecodeError, Destination, EncryptionPrivateKey, EncryptionPublicKey,
    EncryptionType, Hash, KeyCertificate, Lease, LeaseSet, LeaseSet2, LeaseSet2Builder, Mapping,
    OfflineSignature, PrivateKeys, Reader, RouterAddress, RouterIdentity, RouterInfo,
    RouterInfoBuilder, Signature, SignatureType, SigningPublicKey, StoreType, gzip,
};
use hex_literal::hex;
use proptest::{collection::vec, prelude::*};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// Defines the tests of one structure.
///
/// `sample` encodes to exactly `bytes`. `any` generates values for the round trip. `encode` and
/// `decode` are the functions under test; `decode` must refuse trailing data.
macro_rules! codec_tests {
    (
        $name:ident,
        sample: $sample:expr,
        bytes: $bytes:expr,
        any: $any:expr,
        encode: $encode:expr,
        decode: $decode:expr $(,)?
    ) => {
        mod $name {
            use super::*;

            #[test]
            fn has_the_bytes_of_the_specification() {
                let bytes: Vec<u8> = $bytes;
                assert_eq!($encode(&$sample), bytes);
                assert_eq!($decode(&bytes).unwrap(), $sample);
            }

            #[test]
            fn is_refused_when_truncated() {
                let bytes: Vec<u8> = $bytes;
                for length in 0..bytes.len() {
                    assert!($decode(&bytes[..length]).is_err(), "{length} bytes");
                }
            }

            #[test]
            fn is_refused_with_trailing_data() {
                let mut bytes: Vec<u8> = $bytes;
                bytes.push(0);
                assert!($decode(&bytes).is_err());
            }

            #[test]
            fn never_panics_on_a_flipped_bit() {
                let mut bytes: Vec<u8> = $bytes;
                for bit in 0..8 * bytes.len() {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    if let Ok(value) = $decode(&bytes) {
                        assert_eq!($decode(&$encode(&value)).unwrap(), value);
                    }
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(64))]

                #[test]
                fn is_the_same_after_a_round_trip(value in $any) {
                    prop_assert_eq!($decode(&$encode(&value)).unwrap(), value);
                }

                #[test]
                fn never_panics_on_arbitrary_bytes(bytes in vec(any::<u8>(), 0..1_200)) {
                    let _ = $decode(&bytes);
                }
            }
        }
    };

    ($name:ident: $type:ty, sample: $sample:expr, bytes: $bytes:expr, any: $any:expr $(,)?) => {
        codec_tests!(
            $name,
            sample: $sample,
            bytes: $bytes,
            any: $any,
            encode: |value: &$type| value.to_bytes(),
            decode: <$type>::from_bytes,
        );
    };
}

codec_tests!(
    hash: Hash,
    sample: Hash::new([7; 32]),
    bytes: vec![7; 32],
    any: any::<[u8; 32]>().prop_map(Hash::new),
);

codec_tests!(
    signature_type: SignatureType,
    sample: SignatureType::REDDSA,
    bytes: hex!("00 0b").to_vec(),
    any: any::<u16>().prop_map(SignatureType),
);

codec_tests!(
    encryption_type: EncryptionType,
    sample: EncryptionType::MLKEM768_X25519,
    bytes: hex!("00 06").to_vec(),
    any: any::<u16>().prop_map(EncryptionType),
);

codec_tests!(
    store_type: StoreType,
    sample: StoreType::LeaseSet2,
    bytes: vec![3],
    any: prop::sample::select(vec![
        StoreType::LeaseSet,
        StoreType::LeaseSet2,
        StoreType::Encrypted,
        StoreType::Meta,
    ]),
);

codec_tests!(
    null_certificate: Certificate,
    sample: Certificate::Null,
    bytes: hex!("00 0000").to_vec(),
    any: Just(Certificate::Null),
);

codec_tests!(
    key_certificate: Certificate,
    sample: Certificate::Key(KeyCertificate {
        signature_type: SignatureType::ECDSA_SHA512_P521,
        encryption_type: EncryptionType::ELGAMAL,
        excess: hex!("aabbccdd").into(),
    }),
    // type, length, signature type, encryption type, key bytes after the first 128
    bytes: hex!("05 0008 0003 0000 aabbccdd").to_vec(),
    any: (12u16.., any::<u16>(), vec(any::<u8>(), 0..300)).prop_map(
        |(signature, encryption, excess)| {
            Certificate::Key(KeyCertificate {
                signature_type: SignatureType(signature),
                encryption_type: EncryptionType(encryption),
                excess: excess.into(),
            })
        },
    ),
);

codec_tests!(
    other_certificate: Certificate,
    sample: Certificate::Other { kind: 1, payload: b"1:20".as_slice().into() },
    bytes: hex!("01 0004 313a3230").to_vec(),
    any: (6u8.., vec(any::<u8>(), 0..300))
        .prop_map(|(kind, payload)| Certificate::Other { kind, payload: payload.into() }),
);

codec_tests!(
    destination: Destination,
    sample: Destination::new(&key(7, 32), &[0xcc; 32]).unwrap(),
    // padding, key, certificate
    bytes: [&[0xcc; 352][..], &[7; 32], &hex!("05 0004 0007 0000")].concat(),
    any: any_destination(),
);

codec_tests!(
    dsa_destination: Destination,
    sample: Destination::new(&key(0, 128), &[0xcc; 32]).unwrap(),
    bytes: [&[0xcc; 256][..], &[0; 128], &hex!("00 0000")].concat(),
    any: any_destination(),
);

codec_tests!(
    destination_with_a_key_longer_than_its_field: Destination,
    sample: Destination::new(&key(4, 256), &[0xcc; 32]).unwrap(),
    bytes: [&[0xcc; 256][..], &[4; 128], &hex!("05 0084 0004 0000"), &[4; 128]].concat(),
    any: any_destination(),
);

codec_tests!(
    lease: Lease,
    sample: Lease { gateway: Hash::new([1; 32]), tunnel: 0x0203_0405, end: 0x0607_0809_0a0b_0c0d },
    bytes: [&[1; 32][..], &hex!("02030405 060708090a0b0c0d")].concat(),
    any: any_lease(),
);

codec_tests!(
    short_lease,
    sample: Lease { gateway: Hash::new([1; 32]), tunnel: 0x0203_0405, end: 0x6543_2100 * 1_000 },
    bytes: [&[1; 32][..], &hex!("02030405 65432100")].concat(),
    any: any_short_lease(),
    encode: |lease: &Lease| {
        let mut out = Vec::new();
        lease.encode_short(&mut out);
        out
    },
    decode: |bytes: &[u8]| strictly(bytes, Lease::read_short),
);

codec_tests!(
    mapping: Mapping,
    sample: mapping(&[("b", "2"), ("a", "eins;=")]),
    // length of the mapping; for each pair: length, key, =, length, value, ;
    bytes: hex!("0011 01 61 3d 06 65696e733b3d 3b 01 62 3d 01 32 3b").to_vec(),
    any: any_mapping(),
);

codec_tests!(
    empty_mapping: Mapping,
    sample: Mapping::new(),
    bytes: hex!("0000").to_vec(),
    any: Just(Mapping::new()),
);

codec_tests!(
    encryption_public_key: EncryptionPublicKey,
    sample: EncryptionPublicKey::new(EncryptionType::X25519, &[9; 32]).unwrap(),
    bytes: [&hex!("0004 0020")[..], &[9; 32]].concat(),
    any: any_encryption_key(),
);

codec_tests!(
    encryption_private_key: EncryptionPrivateKey,
    sample: EncryptionPrivateKey::new(EncryptionType::X25519, &[9; 32]).unwrap(),
    bytes: [&hex!("0004 0020")[..], &[9; 32]].concat(),
    any: any_encryption_key().prop_map(|key| {
        let length = key.encryption_type().private_len().unwrap_or(5);
        EncryptionPrivateKey::new(key.encryption_type(), &vec![1; length]).unwrap()
    }),
);

codec_tests!(
    signature,
    sample: Signature::new(SignatureType::DSA_SHA1, &[5; 40]).unwrap(),
    bytes: vec![5; 40],
    any: any::<[u8; 40]>()
        .prop_map(|bytes| Signature::new(SignatureType::DSA_SHA1, &bytes).unwrap()),
    encode: |signature: &Signature| {
        let mut out = Vec::new();
        signature.encode(&mut out);
        out
    },
    decode: |bytes: &[u8]| strictly(bytes, |r| Signature::read(r, SignatureType::DSA_SHA1)),
);

codec_tests!(
    signing_public_key,
    sample: key(1, 64),
    bytes: vec![1; 64],
    any: any::<[u8; 32]>()
        .prop_map(|half| SigningPublicKey::new(SignatureType(1), &[half, half].concat()).unwrap()),
    encode: |key: &SigningPublicKey| {
        let mut out = Vec::new();
        key.encode(&mut out);
        out
    },
    decode: |bytes: &[u8]| strictly(bytes, |r| SigningPublicKey::read(r, SignatureType(1))),
);

codec_tests!(
    offline_signature,
    sample: OfflineSignature::new(
        0x6543_2100,
        key(7, 32),
        Signature::new(SignatureType::ECDSA_SHA256_P256, &[3; 64]).unwrap(),
    ),
    // expires, type of the transient key, the key, signature
    bytes: [&hex!("65432100 0007")[..], &[7; 32], &[3; 64]].concat(),
    any: (any::<u32>(), any::<u8>()).prop_map(|(expires, byte)| OfflineSignature::new(
        expires,
        key(11, 32),
        Signature::new(SignatureType::ECDSA_SHA256_P256, &[byte; 64]).unwrap(),
    )),
    encode: |offline: &OfflineSignature| {
        let mut out = Vec::new();
        offline.encode(&mut out);
        out
    },
    decode: |bytes: &[u8]| strictly(bytes, |r| {
        OfflineSignature::read(r, SignatureType::ECDSA_SHA256_P256)
    }),
);

codec_tests!(
    private_keys,
    sample: keys(),
    // destination, private encryption key, private signing key
    bytes: [
        keys().destination().as_bytes(),
        keys().encryption_private_key(),
        keys().signing_key().as_bytes(),
    ]
    .concat(),
    any: any::<[u8; 32]>().prop_map(|seed| {
        PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha20Rng::from_seed(seed)).unwrap()
    }),
    encode: |keys: &PrivateKeys| keys.to_bytes().to_vec(),
    decode: PrivateKeys::from_bytes,
);

codec_tests!(
    offline_private_keys,
    sample: offline_keys(),
    // destination, private encryption key, zeros instead of the private signing key, offline
    // signature, private transient key
    bytes: {
        let keys = offline_keys();
        let mut offline = Vec::new();
        keys.offline().unwrap().encode(&mut offline);
        [
            keys.destination().as_bytes(),
            keys.encryption_private_key(),
            &[0; 32],
            &offline,
            keys.signing_key().as_bytes(),
        ]
        .concat()
    },
    any: any::<[u8; 32]>().prop_map(|seed| {
        let rng = &mut ChaCha20Rng::from_seed(seed);
        keys().with_transient(1, SignatureType::REDDSA, rng).unwrap()
    }),
    encode: |keys: &PrivateKeys| keys.to_bytes().to_vec(),
    decode: PrivateKeys::from_bytes,
);

codec_tests!(
    lease_set: LeaseSet,
    sample: lease_set(),
    // destination, encryption key, revocation key, number of leases, leases, signature
    bytes: {
        let signed = [
            keys().destination().as_bytes(),
            &[8; 256],
            &[7; 32],
            &[1],
            &[1; 32],
            &hex!("00000002 0000000000000003"),
        ]
        .concat();
        let signature = keys().sign(&signed);
        [&signed, signature.as_bytes()].concat()
    },
    any: vec(any_lease(), 0..=16).prop_map(|leases| {
        LeaseSet::sign(&keys(), &elgamal(), &key(7, 32), &leases).unwrap()
    }),
);

codec_tests!(
    lease_set2: LeaseSet2,
    sample: lease_set2(offline_keys()),
    // destination, published, lifetime, flags, offline signature, options, number of keys, keys,
    // number of leases, leases, signature
    bytes: {
        let keys = offline_keys();
        let mut offline = Vec::new();
        keys.offline().unwrap().encode(&mut offline);
        let signed = [
            keys.destination().as_bytes(),
            &hex!("65000000 0294 0003"),
            &offline,
            &hex!("0006 01 6b 3d 01 76 3b"),
            &[2],
            &hex!("0004 0020"),
            &[9; 32],
            &hex!("0000 0100"),
            &[8; 256],
            &[1],
            &[1; 32],
            &hex!("00000002 00000003"),
        ]
        .concat();
        let signature = keys.sign(&[&[3], &signed[..]].concat());
        [&signed, signature.as_bytes()].concat()
    },
    any: (any::<u32>(), any::<u16>(), any_mapping(), vec(any_short_lease(), 0..=16)).prop_map(
        |(published, lifetime, options, leases)| {
            let mut builder = LeaseSet2Builder::new(published, lifetime, vec![elgamal()], leases);
            builder.options = options;
            builder.sign(&keys()).unwrap()
        },
    ),
);

codec_tests!(
    router_identity: RouterIdentity,
    sample: router_identity(),
    // encryption key, padding, signing key, certificate
    bytes: [
        &[9; 32][..],
        &[0xcc; 320],
        keys().signing_key().public_key().as_bytes(),
        &hex!("05 0004 0007 0004"),
    ]
    .concat(),
    any: any_router_identity(),
);

codec_tests!(
    old_router_identity: RouterIdentity,
    sample: RouterIdentity::new(&elgamal(), &key(0, 128), &[0xcc; 32]).unwrap(),
    bytes: [&[8; 256][..], &[0; 128], &hex!("00 0000")].concat(),
    any: any_router_identity(),
);

codec_tests!(
    router_address: RouterAddress,
    sample: router_address(),
    // cost, expiration, transport, options
    bytes: hex!("03 0000000000000000 05 4e54435032 000a 04 706f7274 3d 02 3939 3b").to_vec(),
    any: any_router_address(),
);

codec_tests!(
    router_info: RouterInfo,
    sample: router_info(0x0102_0304_0506_0708, vec![router_address()], mapping(&[("netId", "2")])),
    // identity, published, number of addresses, addresses, number of peers, options, signature
    bytes: {
        let signed = [
            router_identity().as_bytes(),
            &hex!("0102030405060708"),
            &[1],
            &router_address().to_bytes(),
            &[0],
            &hex!("000a 05 6e65744964 3d 01 32 3b"),
        ]
        .concat();
        let signature = keys().signing_key().sign(&signed);
        [&signed, signature.as_bytes()].concat()
    },
    any: (any::<u64>(), vec(any_router_address(), 0..4), any_mapping())
        .prop_map(|(published, addresses, options)| router_info(published, addresses, options)),
);

codec_tests!(
    gzip_frame,
    sample: (gzip::Header { protocol: 6, from_port: 0x0102, to_port: 0x0304 }, b"hello".to_vec()),
    // magic, method, flags; ports; extra flags, protocol; last stored block, length, complement;
    // body; CRC-32, length
    bytes: hex!("1f8b 08 00 0102 0304 02 06 01 0500 faff 68656c6c6f 86a61036 05000000").to_vec(),
    any: (any::<(u8, u16, u16)>(), vec(any::<u8>(), 0..70_000)).prop_map(
        |((protocol, from_port, to_port), body)| {
            (gzip::Header { protocol, from_port, to_port }, body)
        },
    ),
    encode: |(header, body): &(gzip::Header, Vec<u8>)| gzip::encode(*header, body, false),
    decode: unframed,
);

codec_tests!(
    deflated_gzip_frame,
    sample: (gzip::Header { protocol: 17, from_port: 1, to_port: 2 }, vec![b'a'; 300]),
    bytes: gzip::encode(
        gzip::Header { protocol: 17, from_port: 1, to_port: 2 },
        &[b'a'; 300],
        true,
    ),
    any: (any::<(u8, u16, u16)>(), vec(0..4u8, 0..5_000)).prop_map(
        |((protocol, from_port, to_port), body)| {
            (gzip::Header { protocol, from_port, to_port }, body)
        },
    ),
    encode: |(header, body): &(gzip::Header, Vec<u8>)| gzip::encode(*header, body, true),
    decode: unframed,
);

fn unframed(bytes: &[u8]) -> Result<(gzip::Header, Vec<u8>), DecodeError> {
    gzip::decode(bytes, 100_000).map(|(header, body)| (header, body.into_owned()))
}

fn strictly<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut r = Reader::new(bytes);
    let value = read(&mut r)?;
    r.finish("value")?;
    Ok(value)
}

/// A key of this type. All of its bytes are the number of the type.
fn key(kind: u16, length: usize) -> SigningPublicKey {
    SigningPublicKey::new(SignatureType(kind), &vec![kind as u8; length]).unwrap()
}

fn keys() -> PrivateKeys {
    PrivateKeys::generate(SignatureType::ED25519, &mut ChaCha20Rng::from_seed([1; 32])).unwrap()
}

fn offline_keys() -> PrivateKeys {
    let rng = &mut ChaCha20Rng::from_seed([2; 32]);
    keys()
        .with_transient(0x7fff_ffff, SignatureType::ED25519, rng)
        .unwrap()
}

fn elgamal() -> EncryptionPublicKey {
    EncryptionPublicKey::new(EncryptionType::ELGAMAL, &[8; 256]).unwrap()
}

fn lease_set() -> LeaseSet {
    let lease = Lease {
        gateway: Hash::new([1; 32]),
        tunnel: 2,
        end: 3,
    };
    LeaseSet::sign(&keys(), &elgamal(), &key(7, 32), &[lease]).unwrap()
}

fn lease_set2(keys: PrivateKeys) -> LeaseSet2 {
    let x25519 = EncryptionPublicKey::new(EncryptionType::X25519, &[9; 32]).unwrap();
    let lease = Lease {
        gateway: Hash::new([1; 32]),
        tunnel: 2,
        end: 3_999,
    };
    let mut builder = LeaseSet2Builder::new(0x6500_0000, 660, vec![x25519, elgamal()], vec![lease]);
    builder.unpublished = true;
    builder.options = mapping(&[("k", "v")]);
    builder.sign(&keys).unwrap()
}

fn router_identity() -> RouterIdentity {
    let x25519 = EncryptionPublicKey::new(EncryptionType::X25519, &[9; 32]).unwrap();
    RouterIdentity::new(&x25519, keys().signing_key().public_key(), &[0xcc; 32]).unwrap()
}

fn router_address() -> RouterAddress {
    RouterAddress::new("NTCP2", 3, mapping(&[("port", "99")])).unwrap()
}

fn router_info(published: u64, addresses: Vec<RouterAddress>, options: Mapping) -> RouterInfo {
    let builder = RouterInfoBuilder {
        published,
        addresses,
        options,
    };
    builder
        .sign(&router_identity(), keys().signing_key())
        .unwrap()
}

fn mapping(pairs: &[(&str, &str)]) -> Mapping {
    let mut mapping = Mapping::new();
    for (key, value) in pairs {
        mapping.insert(*key, *value).unwrap();
    }
    mapping
}

fn any_destination() -> impl Strategy<Value = Destination> {
    let kind = prop::sample::select(vec![0u16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    (kind, any::<[u8; 32]>(), any::<u8>()).prop_map(|(kind, padding, byte)| {
        let kind = SignatureType(kind);
        let bytes = vec![byte; kind.public_len().unwrap()];
        Destination::new(&SigningPublicKey::new(kind, &bytes).unwrap(), &padding).unwrap()
    })
}

fn any_router_identity() -> impl Strategy<Value = RouterIdentity> {
    (0..12u16, 0..8u16, any::<[u8; 32]>()).prop_map(|(signature, encryption, padding)| {
        let encryption = EncryptionType(encryption);
        let bytes = vec![1; encryption.public_len().unwrap()];
        let encryption = EncryptionPublicKey::new(encryption, &bytes).unwrap();
        let length = SignatureType(signature).public_len().unwrap();
        RouterIdentity::new(&encryption, &key(signature, length), &padding).unwrap()
    })
}

fn any_router_address() -> impl Strategy<Value = RouterAddress> {
    (".{0,40}", any::<u8>(), any_mapping()).prop_map(|(transport, cost, options)| {
        RouterAddress::new(transport, cost, options).unwrap()
    })
}

fn any_lease() -> impl Strategy<Value = Lease> {
    any::<([u8; 32], u32, u64)>().prop_map(|(gateway, tunnel, end)| Lease {
        gateway: Hash::new(gateway),
        tunnel,
        end,
    })
}

fn any_short_lease() -> impl Strategy<Value = Lease> {
    any::<([u8; 32], u32, u32)>().prop_map(|(gateway, tunnel, end)| Lease {
        gateway: Hash::new(gateway),
        tunnel,
        end: u64::from(end) * 1_000,
    })
}

fn any_mapping() -> impl Strategy<Value = Mapping> {
    vec((".{0,40}", ".{0,40}"), 0..20).prop_map(|pairs| {
        let mut mapping = Mapping::new();
        for (key, value) in pairs {
            mapping.insert(key, value).unwrap();
        }
        mapping
    })
}

fn any_encryption_key() -> impl Strategy<Value = EncryptionPublicKey> {
    (any::<bool>(), 0..20u16).prop_map(|(low, kind)| {
        let kind = EncryptionType(if low { kind % 8 } else { kind });
        let length = kind.public_len().unwrap_or(5);
        EncryptionPublicKey::new(kind, &vec![kind.0 as u8; length]).unwrap()
    })
}
