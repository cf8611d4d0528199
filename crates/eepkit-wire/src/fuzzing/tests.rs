//! Runs the functions of the fuzz targets with a stable compiler, on arbitrary bytes and on
//! modified examples.

use proptest::{collection::vec, prelude::*, sample::Index};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    EncryptionKeyPair, EncryptionType, Hash, Lease, LeaseSet2Builder, RouterInfoBuilder,
    SignatureType,
};

/// Valid input for the parsers.
fn examples() -> Vec<Vec<u8>> {
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    let keys = PrivateKeys::generate(SignatureType::ED25519, rng).unwrap();
    let offline = keys
        .with_transient(u32::MAX, SignatureType::ED25519, rng)
        .unwrap();
    let encryption = EncryptionKeyPair::generate(EncryptionType::X25519, rng).unwrap();
    let lease = Lease {
        gateway: Hash::of(b"gateway"),
        tunnel: 1,
        end: 2_000,
    };
    let mut set = LeaseSet2Builder::new(1, 660, vec![encryption.public_key().clone()], vec![lease]);
    set.options.insert("key", "value").unwrap();
    let options = set.options.to_bytes();
    let blinded = BlindedAddress::new(
        keys.destination().signing_key().clone(),
        SignatureType::REDDSA,
    );
    let mut address = Mapping::new();
    address.insert("host", "192.0.2.1").unwrap();
    address.insert("port", "9111").unwrap();
    let address = RouterAddress::new("NTCP2", 3, address).unwrap();
    let router = RouterIdentity::new(
        encryption.public_key(),
        keys.signing_key().public_key(),
        &[7; 32],
    )
    .unwrap();
    let mut info = RouterInfoBuilder {
        addresses: vec![address.clone()],
        ..RouterInfoBuilder::default()
    };
    info.options.insert("netId", "2").unwrap();
    let info = info.sign(&router, keys.signing_key()).unwrap();
    vec![
        address.to_bytes(),
        router.to_bytes(),
        info.to_bytes(),
        keys.destination().to_bytes(),
        keys.destination().to_base64().into_bytes(),
        keys.destination().to_b32().into_bytes(),
        blinded.unwrap().to_b33().into_bytes(),
        b"stats.i2p".to_vec(),
        keys.to_bytes().to_vec(),
        offline.to_bytes().to_vec(),
        set.sign(&offline).unwrap().to_bytes(),
        options,
        gzip::encode(gzip::Header::default(), b"hello hello hello", false),
        gzip::encode(gzip::Header::default(), &[b'a'; 500], true),
        b"# comment\nkey=value\nother = value # comment\n".to_vec(),
    ]
}

#[test]
fn no_target_fails_on_valid_input() {
    for example in examples() {
        for (_, run) in TARGETS {
            run(&example);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_target_fails_on_arbitrary_bytes(data in vec(any::<u8>(), 0..2_000)) {
        for (_, run) in TARGETS {
            run(&data);
        }
    }

    #[test]
    fn no_target_fails_on_text(text in "[a-zA-Z2-7=~.;#\n -]{0,600}") {
        for (_, run) in TARGETS {
            run(text.as_bytes());
        }
    }

    #[test]
    fn no_target_fails_on_modified_input(
        which in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        length in prop::option::of(any::<Index>()),
    ) {
        let examples = examples();
        let mut data = which.get(&examples).clone();
        for (at, byte) in changes {
            *at.get_mut(&mut data) = byte;
        }
        if let Some(length) = length {
            data.truncate(length.index(data.len() + 1));
        }
        for (_, run) in TARGETS {
            run(&data);
        }
    }
}
