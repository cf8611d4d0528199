//! The tables of streams and peers.

use std::time::Instant;

use super::{
    first_contact::FirstContact,
    keys::{PeerKey, StreamKey},
};
use crate::{connection::Connection, peer::Peer, ready::Ready};

/// A stream and its place in the endpoint's queues.
#[derive(Debug)]
pub(super) struct StreamEntry {
    pub(super) connection: Box<Connection>,
    pub(super) peer: PeerKey,
    pub(super) gate: Gate,
    pub(super) in_control: bool,
    pub(super) in_ready: bool,
    pub(super) in_noticed: bool,
    /// When the endpoint's timer for this stream is due.
    pub(super) wake: Option<Instant>,
    /// Its share of the endpoint's receive memory.
    pub(super) receive_cost: usize,
}

impl StreamEntry {
    pub(super) fn new(connection: Connection, peer: PeerKey) -> Self {
        Self {
            connection: Box::new(connection),
            peer,
            gate: Gate::default(),
            in_control: false,
            in_ready: false,
            in_noticed: false,
            wake: None,
            receive_cost: 0,
        }
    }
}

/// A stream at the first-contact gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Gate {
    /// The gate was not checked yet.
    #[default]
    Ahead,
    /// The stream waits for another stream to the same peer.
    Waiting,
    Passed,
}

/// A peer and its place in the endpoint's queues.
#[derive(Debug)]
pub(super) struct PeerEntry {
    pub(super) peer: Peer,
    pub(super) first_contact: FirstContact,
    /// Streams with data to send.
    pub(super) ready: Ready<StreamKey>,
    pub(super) in_active: bool,
    /// When the endpoint's timer for this peer is due.
    pub(super) wake: Option<Instant>,
}

impl PeerEntry {
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            first_contact: FirstContact::default(),
            ready: Ready::default(),
            in_active: false,
            wake: None,
        }
    }
}

/// The owner of a timer of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    Stream(StreamKey),
    Peer(PeerKey),
}
