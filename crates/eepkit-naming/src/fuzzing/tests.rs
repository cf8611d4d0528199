//! Runs the functions of the fuzz targets with a stable compiler, on arbitrary bytes and on
//! modified examples.

use eepkit_wire::{PrivateKeys, SignatureType};
use proptest::{collection::vec, prelude::*, sample::Index};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{Action, Properties, Record};

/// Valid input for the parsers.
fn examples() -> Vec<Vec<u8>> {
    let [old, new] = [1, 2].map(|seed| {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        PrivateKeys::generate(SignatureType::ED25519, rng).unwrap()
    });
    let name: HostName = "a.i2p".parse().unwrap();
    let base64 = old.destination().to_base64();
    let add = format!("a.i2p={base64}\n# comment\n");
    let action = Action::ChangeDestination {
        old_destination: old.destination().clone(),
    };
    let change = Command::new(name.clone(), new.destination().clone(), action)
        .with_date(1_600_000_000)
        .sign(&new, Some(&old))
        .unwrap();
    let remove = Command::new(name.clone(), new.destination().clone(), Action::Remove)
        .sign(&new, None)
        .unwrap();
    let mut entry = Entry::with_properties(
        old.destination().clone(),
        Properties::parse("a=1#notes=x").unwrap(),
    );
    entry.add(Record::new(new.destination().clone()));
    let conflict = Conflict {
        name,
        destination: new.destination().clone(),
        source: "s".to_owned(),
        seen: 5,
    };
    vec![
        blockfile::tests::example(),
        b"\x02\x00a.i2p=x".to_vec(),
        format!("{add}{change}\n{remove}\n").into_bytes(),
        format!("{remove}\r\n{change}\r\n{add}").into_bytes(),
        "bücher.i2p.alt".as_bytes().to_vec(),
        b"www.xn--bcher-kva.i2p".to_vec(),
        format!(
            "a.i2p,{}",
            old.destination().to_b32().replace(".b32.i2p", "")
        )
        .into_bytes(),
        entry.to_bytes(),
        conflict.to_bytes(),
        vec![0, 0, 0, 1, 5, 20, 3, 0, 4, 0, 5, 255, 3, 2, 4, 1, 1, 0],
        format!("http://a.i2p/x?y=1&i2paddresshelper={base64}").into_bytes(),
        SubscriptionUrl::DEFAULT.as_bytes().to_vec(),
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

#[test]
fn a_label_that_is_punycode_of_punycode_is_shown_in_ascii() {
    host_name(b"wwww.xn--becr.i.u.xn--becr.iw.xn--xn--h01bcr.l2iur.i2p");
}

#[test]
fn a_name_of_two_directions_is_shown_in_ascii() {
    host_name(b"ww.7xn--bcwww.xn--lnb.n--h.i2p");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_target_fails_on_arbitrary_bytes(data in vec(any::<u8>(), 0..1_000)) {
        for (_, run) in TARGETS {
            run(&data);
        }
    }

    #[test]
    fn no_target_fails_on_text(text in "[a-zA-Z2-7éп=~.,;#!?&%/:\n -]{0,300}(\\.i2p)?") {
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
