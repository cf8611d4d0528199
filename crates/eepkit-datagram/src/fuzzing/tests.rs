//! Runs the functions of the fuzz targets with a stable compiler, on arbitrary bytes and on
//! modified examples.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::Dialect;

/// Valid input for the targets.
fn examples() -> Vec<Vec<u8>> {
    let to = Hash::of(b"receiver");
    let mut options = Mapping::new();
    options.insert("a", "b").unwrap();
    let mut examples = vec![b"\0\0\0\0raw".to_vec(), b"\x0f\0\x01\0hello".to_vec()];
    for offline in [false, true] {
        let keys = keys(offline);
        for dialect in [Dialect::Specified, Dialect::I2pd, Dialect::Emissary] {
            for format in Format::ALL {
                let mut sender = Sender::new(&keys).with_dialect(dialect);
                if format.has_options() {
                    sender = sender.with_options(&options);
                }
                examples.extend(sender.seal(format, &to, b"hello").map(Vec::from));
            }
        }
    }
    examples
}

#[test]
fn no_target_fails_on_valid_input() {
    for example in examples() {
        for (_, run) in TARGETS {
            run(&example);
        }
    }
}

/// The sender is then another destination, with the same key.
#[test]
fn a_datagram1_whose_key_type_was_changed_is_of_the_same_key() {
    seal(b"\x05\x84\x01\x0c\x84\x01\x24\x0b");
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

    #[test]
    fn a_changed_packet_is_not_authenticated_with_other_content(
        choice in 0..16_u8,
        at in 0..600_u16,
        change in 1_u8..,
        payload in vec(any::<u8>(), 0..100),
    ) {
        let [low, high] = at.to_le_bytes();
        seal(&[&[choice, low, high, change], &*payload].concat());
    }
}
