//! Functions that the fuzz targets call. Each accepts arbitrary bytes, and panics if it finds a
//! bug.

use bytes::Bytes;
use eepkit_wire::{Hash, Mapping, PrivateKeys, SignatureType};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{Datagram, Datagram2, Datagram3, Dialects, Format, Receiver, Sender};

/// The function of a fuzz target.
pub type Target = fn(&[u8]);

/// All targets with their names.
pub const TARGETS: [(&str, Target); 2] = [("datagram_open", open), ("datagram_seal", seal)];

/// Opens a packet in every format, and checks that a sender is authenticated only in formats with a
/// signature.
pub fn open(data: &[u8]) {
    let packet = Bytes::copy_from_slice(data);
    let receiver = Receiver::new(Hash::of(b"receiver")).with_dialects(Dialects::ALL);
    for format in Format::ALL {
        match receiver.open(format, &packet, NOW) {
            Ok(Datagram::Anonymous(datagram)) => assert_eq!(datagram.payload, packet),
            Ok(Datagram::Authenticated(datagram)) => {
                assert!(format.is_authenticated());
                assert!(packet.ends_with(datagram.payload()) || format == Format::Datagram2);
            }
            Ok(Datagram::Claimed(datagram)) => {
                let (from, options) = (datagram.claimed_sender().hash(), datagram.options());
                assert!(packet.starts_with(from.as_bytes()));
                // A parsed packet is the same after encoding it, unless it is too long to be sent.
                if let Ok(again) = Datagram3::seal(&from, options, datagram.payload()) {
                    assert_eq!(Datagram3::parse(&again.into()), Ok(datagram));
                }
            }
            Err(_) => {}
        }
    }
    if let Ok(read) = Datagram2::parse(&packet) {
        assert!(packet.starts_with(read.claimed_sender().as_bytes()));
    }
}

/// Checks that a packet that was changed in transit either has its original content or is not
/// authenticated.
///
/// The first four bytes of the input select format, keys, options and the change. The rest is the
/// payload.
pub fn seal(data: &[u8]) {
    let Some((&[choice, low, high, change], payload)) = data.split_first_chunk() else {
        return;
    };
    let format = Format::ALL[usize::from(choice % 4)];
    let keys = keys(choice & 4 != 0 && format.takes_offline_keys());
    let mut options = Mapping::new();
    if choice & 8 != 0 && format.has_options() {
        let value = format!("{change}");
        assert!(options.insert("key", value).is_ok());
    }
    let to = Hash::of(b"receiver");
    let sender = Sender::new(&keys).with_options(&options);
    let Ok(packet) = sender.seal(format, &to, payload) else {
        assert!(payload.len() > format.max_payload_len(&keys) - 64);
        return;
    };
    let mut changed = packet.to_vec();
    let at = usize::from(u16::from_le_bytes([low, high]));
    if let Some(byte) = changed.get_mut(at) {
        *byte ^= change;
    }
    let opened = Receiver::new(to).open(format, &changed.clone().into(), NOW);
    if changed == packet {
        assert_eq!(
            opened.as_ref().map(Datagram::payload),
            Ok(&Bytes::copy_from_slice(payload))
        );
    }
    if let Ok(Datagram::Authenticated(datagram)) = opened {
        assert_eq!(datagram.payload().as_ref(), payload);
        assert_eq!(datagram.options(), &options);
        // Datagram1 does not sign the type of the key, and RedDSA verifies signatures of EdDSA.
        let key = datagram.sender().signing_key();
        assert_eq!(key.as_bytes(), keys.destination().signing_key().as_bytes());
    }
}

/// The sender's keys.
fn keys(offline: bool) -> PrivateKeys {
    let rng = &mut ChaCha20Rng::seed_from_u64(5);
    let kind = SignatureType::ED25519;
    PrivateKeys::generate(kind, rng)
        .and_then(|keys| match offline {
            true => keys.with_transient(u32::MAX, kind, rng),
            false => Ok(keys),
        })
        .expect("keys of this type can be made")
}

/// The time of the tests, in seconds since the epoch.
const NOW: u32 = 1_700_000_000;

#[cfg(test)]
mod tests;
