use eepkit_wire::{LeaseSet2, LeaseSetFlags, SignatureType};

use super::*;
use crate::testing::{UNIX_NOW, keys, keys_of, lease, offline_keys, rng, rng_of};

fn options(pairs: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    for (key, value) in pairs {
        options.set(key, value).expect("valid");
    }
    options
}

fn maker(pairs: &[(&str, &str)]) -> LeaseSetMaker {
    LeaseSetMaker::new(keys(), &options(pairs), &mut rng()).expect("valid options")
}

fn version_2(made: &SignedLeaseSet) -> LeaseSet2 {
    assert_eq!(made.store_type, StoreType::LeaseSet2);
    let lease_set = LeaseSet2::from_bytes(&made.bytes).expect("valid");
    lease_set
        .verify(u32::try_from(UNIX_NOW.as_secs()).expect("fits"))
        .expect("signed");
    lease_set
}

#[test]
fn the_default_is_a_published_x25519_lease_set() {
    let made = maker(&[])
        .make(&[lease(1, 600), lease(2, 500)], UNIX_NOW)
        .expect("made");
    let lease_set = version_2(&made);
    assert_eq!(lease_set.destination(), keys().destination());
    assert_eq!(u64::from(lease_set.published()), UNIX_NOW.as_secs());
    assert_eq!(u64::from(lease_set.expires()), UNIX_NOW.as_secs() + 600);
    assert!(!lease_set.flags().contains(LeaseSetFlags::UNPUBLISHED));
    assert_eq!(lease_set.leases().len(), 2);
    let kinds: Vec<_> = lease_set
        .encryption_keys()
        .iter()
        .map(|key| key.encryption_type())
        .collect();
    assert_eq!(kinds, [EncryptionType::X25519]);
    let pair = EncryptionKeyPair::from_private(made.keys[0].clone()).expect("valid");
    assert_eq!(pair.public_key(), &lease_set.encryption_keys()[0]);
}

#[test]
fn keys_stay_the_same_and_the_publication_time_increases() {
    let mut maker = maker(&[]);
    let first = maker.make(&[lease(1, 600)], UNIX_NOW).expect("made");
    let second = maker.make(&[lease(2, 600)], UNIX_NOW).expect("made");
    let third = maker
        .make(
            &[lease(2, 600)],
            UNIX_NOW.saturating_sub(Duration::from_secs(9)),
        )
        .expect("made");
    assert_eq!(first.keys, second.keys);
    let published = [first, second, third].map(|made| version_2(&made).published());
    assert_eq!(published[1], published[0] + 1);
    assert_eq!(published[2], published[1] + 1);
}

#[test]
fn new_keys_replace_the_generated_ones_and_keep_the_given_ones() {
    let mut rng = rng_of(99);
    let mut generated = maker(&[("i2cp.leaseSetEncType", "6,4")]);
    let before = generated.private_keys();
    generated.renew_keys(&mut rng);
    assert_ne!(generated.private_keys().as_str(), before.as_str());
    generated
        .make(&[lease(1, 600)], UNIX_NOW)
        .expect("the new keys work");

    let mut given = maker(&[
        ("i2cp.leaseSetEncType", "6,4"),
        ("i2cp.leaseSetPrivateKey", &before),
    ]);
    given.renew_keys(&mut rng);
    assert_eq!(given.private_keys().as_str(), before.as_str());
}

#[test]
fn keys_are_in_the_order_of_preference() {
    let made = maker(&[("i2cp.leaseSetEncType", "6,4,0")])
        .make(&[lease(1, 600)], UNIX_NOW)
        .expect("made");
    let lease_set = version_2(&made);
    let public: Vec<u16> = lease_set
        .encryption_keys()
        .iter()
        .map(|key| key.encryption_type().0)
        .collect();
    let private: Vec<u16> = made
        .keys
        .iter()
        .map(|key| key.encryption_type().0)
        .collect();
    assert_eq!(public, [6, 4, 0]);
    assert_eq!(private, public);
}

#[test]
fn private_keys_can_be_stored_and_used_again() {
    let first = maker(&[("i2cp.leaseSetEncType", "4,0")]);
    let kept = first.private_keys();
    let mut options = options(&[("i2cp.leaseSetEncType", "4,0")]);
    options
        .set("i2cp.leaseSetPrivateKey", &kept)
        .expect("valid");
    let second = LeaseSetMaker::new(keys(), &options, &mut rng_of(99)).expect("valid");
    assert_eq!(first.encryption, second.encryption);
}

#[test]
fn an_unpublished_lease_set_has_its_flag_and_contains_service_records() {
    let made = maker(&[
        ("i2cp.dontPublishLeaseSet", "true"),
        (
            "i2cp.leaseSetOption.0",
            "_smtp._tcp=1 86400 0 0 25 x.b32.i2p",
        ),
    ])
    .make(&[lease(1, 600)], UNIX_NOW)
    .expect("made");
    let lease_set = version_2(&made);
    assert!(lease_set.flags().contains(LeaseSetFlags::UNPUBLISHED));
    assert_eq!(
        lease_set.options().get("_smtp._tcp"),
        Some("1 86400 0 0 25 x.b32.i2p")
    );
}

#[test]
fn offline_keys_sign_with_the_transient_key() {
    let mut maker = LeaseSetMaker::new(offline_keys(), &Options::new(), &mut rng()).expect("valid");
    let made = maker.make(&[lease(1, 600)], UNIX_NOW).expect("made");
    let lease_set = version_2(&made);
    let transient = lease_set.offline().expect("offline").transient();
    assert_eq!(transient.signature_type(), SignatureType::ECDSA_SHA256_P256);
}

#[test]
fn a_version_1_lease_set_can_be_created() {
    let keys = keys_of(SignatureType::DSA_SHA1, 5);
    let options = options(&[("i2cp.leaseSetType", "1"), ("i2cp.leaseSetEncType", "0")]);
    let mut maker = LeaseSetMaker::new(Arc::clone(&keys), &options, &mut rng()).expect("valid");
    let made = maker.make(&[lease(1, 600)], UNIX_NOW).expect("made");
    assert_eq!(made.store_type, StoreType::LeaseSet);
    let lease_set = LeaseSet::from_bytes(&made.bytes).expect("valid");
    lease_set.verify().expect("signed");
    let pair = elgamal::from_private(made.keys[0].clone()).expect("valid");
    assert_eq!(pair.public_key(), lease_set.encryption_key());
}

#[test]
fn elgamal_public_keys_are_powers_of_two_in_the_group() {
    let mut private = [0; 256];
    private[255] = 10;
    let key = EncryptionPrivateKey::new(EncryptionType::ELGAMAL, &private).expect("valid");
    let pair = elgamal::from_private(key).expect("valid");
    let mut expected = [0; 256];
    expected[254] = 4;
    assert_eq!(pair.public_key().as_bytes(), expected, "2^10 = 1024");
}

#[test]
fn errors_name_the_option_that_cannot_be_applied() {
    let refused = |keys: Arc<PrivateKeys>, pairs: &[(&str, &str)]| {
        LeaseSetMaker::new(keys, &options(pairs), &mut rng())
            .expect_err("cannot be made")
            .key
    };
    assert_eq!(
        refused(keys(), &[("i2cp.leaseSetType", "5")]),
        "i2cp.leaseSetType"
    );
    assert_eq!(
        refused(keys(), &[("i2cp.leaseSetType", "7")]),
        "i2cp.leaseSetType"
    );
    assert_eq!(
        refused(keys(), &[("i2cp.leaseSetType", "1")]),
        "i2cp.leaseSetType"
    );
    assert_eq!(
        refused(
            offline_keys(),
            &[("i2cp.leaseSetType", "1"), ("i2cp.leaseSetEncType", "0")]
        ),
        "i2cp.leaseSetType"
    );
    assert_eq!(
        refused(keys(), &[("i2cp.leaseSetEncType", "1")]),
        "i2cp.leaseSetEncType"
    );
    assert_eq!(
        refused(keys(), &[("i2cp.leaseSetEncType", "999")]),
        "i2cp.leaseSetEncType"
    );
    assert_eq!(
        refused(keys(), &[("i2cp.leaseSetPrivateKey", "4:AAAA")]),
        "i2cp.leaseSetPrivateKey"
    );
}

#[test]
fn a_lease_set_needs_a_tunnel_that_has_not_expired() {
    let mut maker = maker(&[]);
    assert_eq!(maker.make(&[], UNIX_NOW), Err(MakeError::NoTunnels));
    let later = UNIX_NOW + Duration::from_secs(3600);
    assert_eq!(
        maker.make(&[lease(1, 600)], later),
        Err(MakeError::Ended { ago: 3000 })
    );
    maker
        .make(&[lease(1, 600)], UNIX_NOW)
        .expect("a failure does not change the maker");
}

#[test]
fn tunnels_that_have_ended_are_left_out() {
    let later = UNIX_NOW + Duration::from_secs(300);
    let made = maker(&[])
        .make(&[lease(1, 300), lease(2, 301), lease(3, 10)], later)
        .expect("made");
    let tunnels: Vec<u32> = version_2(&made).leases().iter().map(|l| l.tunnel).collect();
    assert_eq!(tunnels, [2]);
}

#[test]
fn a_clock_that_was_set_back_an_hour_does_not_prevent_lease_sets() {
    let mut maker = maker(&[]);
    maker.make(&[lease(1, 600)], UNIX_NOW).expect("made");
    let hour = Duration::from_secs(3600);
    let earlier = UNIX_NOW.saturating_sub(hour);
    let mut tunnel = lease(1, 600);
    tunnel.end -= 3_600_000;
    let made = maker.make(&[tunnel], earlier).expect("made");
    assert_eq!(
        u64::from(version_2(&made).published()),
        earlier.as_secs(),
        "routers refuse lease sets of the future"
    );
}

#[test]
fn a_burst_of_requests_does_not_move_the_publication_time_past_the_tunnels() {
    let mut maker = maker(&[]);
    for n in 0..2_000 {
        let made = maker.make(&[lease(1, 600)], UNIX_NOW).expect("made");
        let published = u64::from(version_2(&made).published());
        assert!(
            published <= UNIX_NOW.as_secs() + 60,
            "{published} after {n}"
        );
    }
    // The last second before the end of the tunnel is reached as well.
    let late = UNIX_NOW + Duration::from_secs(599);
    maker.make(&[lease(1, 600)], late).expect("made");
    maker.make(&[lease(1, 600)], late).expect("made");
}

#[test]
fn an_expired_transient_key_is_named_as_the_reason() {
    let keys = offline_keys();
    let expires = keys.offline().expect("offline").expires();
    let mut maker = LeaseSetMaker::new(keys, &Options::new(), &mut rng()).expect("valid");
    let later = Duration::from_secs(u64::from(expires) + 5);
    let error = maker.make(&[lease(1, 600)], later).expect_err("expired");
    assert_eq!(error, MakeError::TransientKeyExpired { ago: 5 });
}

#[test]
fn of_too_many_tunnels_those_that_expire_last_are_used() {
    let leases: Vec<Lease> = (1..=20).map(|n| lease(n, u64::from(n) * 10)).collect();
    let made = maker(&[]).make(&leases, UNIX_NOW).expect("made");
    let lease_set = version_2(&made);
    assert_eq!(lease_set.leases().len(), 16);
    assert!(lease_set.leases().iter().all(|lease| lease.tunnel > 4));
}

#[test]
fn debug_output_contains_no_private_keys() {
    let mut maker = maker(&[]);
    let made = maker.make(&[lease(1, 600)], UNIX_NOW).expect("made");
    assert_eq!(
        format!("{made:?}"),
        format!(
            "SignedLeaseSet {{ store_type: LeaseSet2, len: {}, keys: 1 }}",
            made.bytes.len()
        )
    );
    assert!(!format!("{maker:?}").contains("EncryptionKey"));
}
