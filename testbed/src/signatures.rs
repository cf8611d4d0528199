//! Signatures and checks that are made once for each packet.
//!
//! A run of a fuzz target begins with the same handshakes as the run before. The results of both
//! operations depend on the packet and the keys only, so a run that repeats a packet gets the result
//! of the earlier run. Signatures otherwise take most of the time of a run.

use std::{cell::RefCell, collections::HashMap, time::Instant};

use bytes::Bytes;
use eepkit_streaming::{Endpoint, Received, Transmit, Verified};
use eepkit_wire::{Hash, PrivateKeys};

/// Signs a packet as [`Transmit::sign`] does.
pub(crate) fn sign(transmit: &mut Transmit, keys: &PrivateKeys) {
    let unsigned = (keys.destination().hash(), transmit.packet.clone());
    let known = SIGNED.with_borrow(|signed| signed.get(&unsigned).cloned());
    if let Some(packet) = known {
        // The place of the signature stays in `transmit`, and nothing uses it any more.
        transmit.packet = packet;
        return;
    }
    transmit.sign(keys);
    if transmit.packet != unsigned.1 {
        SIGNED.with_borrow_mut(|signed| insert(signed, unsigned, transmit.packet.clone()));
    }
}

/// Passes a packet to an endpoint as [`Endpoint::handle_packet`] does.
pub(crate) fn receive(endpoint: &mut Endpoint, now: Instant, received: Received) {
    let packet = received.packet.clone();
    let Some(verification) = endpoint.receive(now, received) else {
        return;
    };
    // If it was checked against another peer, the endpoint checks it again.
    let known = CHECKED.with_borrow(|checked| checked.get(&packet).cloned());
    let verified = known.unwrap_or_else(|| {
        let verified = verification.check();
        CHECKED.with_borrow_mut(|checked| insert(checked, packet, verified.clone()));
        verified
    });
    endpoint.receive_verified(now, verified);
}

fn insert<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= MAX {
        map.clear();
    }
    map.insert(key, value);
}

thread_local! {
    static SIGNED: RefCell<HashMap<(Hash, Bytes), Bytes>> = RefCell::default();
    static CHECKED: RefCell<HashMap<Bytes, Verified>> = RefCell::default();
}

/// The most packets that are remembered. Chosen as about a megabyte.
const MAX: usize = 1024;
