//! First contact with a peer: one stream opens, the others wait for its answer.
//!
//! What a router sends before the peer's first answer begins a session of encryption each time, with
//! keys and lease set along, and not all routers bear several: i2pd peers from 2.55 on take one every
//! 200 ms, and i2pd itself, over I2CP, sends none but the first. Later ones would go again after a
//! time-out; so they wait for a round trip instead.

use std::time::{Duration, Instant};

use super::Endpoint;
use crate::{
    connection::{Connection, Turn},
    peer::Peer,
};

impl Endpoint {
    /// Whether the first packet of a stream has to wait for the answer to another's.
    pub(super) fn is_gated(&mut self, now: Instant, slot: u32) -> bool {
        let Some((generation, connection)) = self.streams.entry_mut(slot) else {
            return false;
        };
        if connection.turn == Turn::Came || !connection.is_about_to_open() {
            return false;
        }
        let Some(peer) = self.peers.at_mut(connection.peer) else {
            return false;
        };
        if is_met(now, peer) {
            return false;
        }
        match peer.first_contact.first {
            None => {
                peer.first_contact.first = Some((slot, generation));
                false
            }
            Some(first) if first == (slot, generation) => false,
            Some(_) => {
                if connection.turn != Turn::Waits {
                    connection.turn = Turn::Waits;
                    peer.first_contact.waiting.push((slot, generation));
                }
                true
            }
        }
    }

    /// Lets go what waited for a stream, if that is answered, over, or has waited for too long.
    pub(super) fn release_gated(&mut self, slot: u32, generation: u32) {
        let Some((_, connection)) = self.streams.entry_mut(slot) else {
            return;
        };
        if connection.is_opening_for_the_first_time() {
            return;
        }
        let Some(peer) = self.peers.at_mut(connection.peer) else {
            return;
        };
        if peer.first_contact.first != Some((slot, generation)) {
            return;
        }
        for (slot, generation) in std::mem::take(&mut peer.first_contact).waiting {
            if let Some(connection) = self.streams.get_mut(slot, generation) {
                connection.turn = Turn::Came;
                self.list_control(slot);
            }
        }
    }

    fn list_control(&mut self, slot: u32) {
        if let Some((_, connection)) = self.streams.entry_mut(slot)
            && connection.wants_control()
            && !connection.listed_control
        {
            connection.listed_control = true;
            self.control.push_back(slot);
        }
    }
}

/// Whether a peer was heard of so lately that routers still have a session of encryption with it.
fn is_met(now: Instant, peer: &Peer) -> bool {
    let silence = |heard| now.saturating_duration_since(heard);
    peer.heard.is_some_and(|heard| silence(heard) < MET)
}

impl Connection {
    /// Whether its very first packet is next.
    fn is_about_to_open(&self) -> bool {
        self.is_opening_for_the_first_time() && self.packets_sent == 0
    }
}

/// i2pd begins another session of encryption after 90 s of silence.
const MET: Duration = Duration::from_secs(80);
