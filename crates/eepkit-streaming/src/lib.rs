//! The I2P streaming protocol as a state machine without I/O.
//!
//! [`Endpoint`] is all there is to drive: packets and time go in, packets, events and the next
//! deadline come out. It holds the streams of one destination; reliability belongs to the stream,
//! round-trip time, congestion control, pacing and loss detection belong to the path to a peer and
//! are shared by all streams to it.
//!
//! The wire format is that of the streaming specification; [`packet`] reads and writes it. Where the
//! specification is silent or implementations differ, the module that decides says what it does and
//! why; what is peculiar to one implementation is in one module with a test.

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
