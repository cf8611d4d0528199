//! The I2P streaming protocol as a state machine without I/O.
//!
//! The caller drives an [`Endpoint`]. Packets and time are its inputs; packets, events and the next
//! deadline are its outputs. An endpoint contains the streams of one destination. Each stream has
//! its own reliability. Round-trip time, congestion control, pacing and loss detection belong to
//! the path to a peer, and all streams to the peer share them.
//!
//! The wire format is that of the streaming specification; [`packet`] decodes and encodes it. Where
//! the specification is silent or implementations differ, the module documents its decision with
//! the reason. Behaviour of a single implementation is defined in one module, with a test.

pub mod congestion;
pub mod packet;

mod ack;
mod config;
mod connection;
mod endpoint;
mod error;
mod fingerprint;
mod info;
mod kind;
mod leases;
mod loss;
mod mtu;
mod pacing;
mod packet_size;
mod path;
mod path_state;
mod path_table;
mod peer;
mod rate_limiter;
mod ready;
mod reassembly;
mod received;
mod rtt;
mod send_buffer;
mod sent_packet;
mod seq;
mod silence;
mod stats;
mod timer;
mod tunnels;

pub use config::options::{OPTIONS, OptionInfo};
pub use config::{
    Access, EndpointConfig, InactivityAction, LimitAction, Profile, RateLimits, StreamConfig,
};
pub use endpoint::{Endpoint, Event, Incoming, Output, PingId, Read, StreamId, Transmit};
pub use error::{CloseReason, ConnectionError, DialError, PortError, StreamOptionError};
pub use info::{Ports, StreamInfo};
pub use kind::PeerKind;
pub use path::{Path, PathId, PeerLease, TunnelId};
pub use received::{Received, Verification, Verified};
pub use stats::Stats;
