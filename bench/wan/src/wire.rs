//! What the measuring process and its agents in the namespaces say to each other: a line of JSON
//! for each request and each reply.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

/// Where every router offers SAM in its namespace.
pub(crate) const SAM: SocketAddr = SocketAddr::new(LOCALHOST, 7656);

/// Where every router offers I2CP in its namespace.
pub(crate) const I2CP: SocketAddr = SocketAddr::new(LOCALHOST, 7654);

const LOCALHOST: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Names a session of an agent; chosen by who asks for it.
pub(crate) type Slot = u32;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Returned with each reply.
    pub(crate) id: u64,
    pub(crate) ask: Ask,
}

/// What an agent can be asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// A session: [`Answer::Opened`] when it has tunnels.
    Open {
        slot: Slot,
        kind: SessionKind,
        plan: SessionPlan,
    },
    /// Takes one stream and reads so many bytes: [`Answer::Listening`], [`Answer::Progress`] now
    /// and then, [`Answer::Received`].
    Receive {
        slot: Slot,
        bytes: u64,
        limit: Duration,
    },
    /// Opens a stream and writes so many bytes: [`Answer::Sent`] when all are written. The stream
    /// stays open until it is released.
    Send {
        slot: Slot,
        /// Destination in base64.
        to: String,
        bytes: u64,
        seed: u64,
        limit: Duration,
    },
    /// Gives up what the request with this number is at: [`Answer::Released`].
    Release { request: u64 },
    /// Sends datagrams until the window is 0: [`Answer::RawSent`].
    RawSend { slot: Slot, to: String },
    /// How many datagrams may be on their way, for [`Ask::RawSend`]: [`Answer::Noted`].
    RawWindow { slot: Slot, window: u64 },
    /// The newest datagram that came, for [`Ask::RawSend`]: [`Answer::Noted`].
    RawCame { slot: Slot, newest: u64 },
    /// Tells what datagrams come, and sends one to `back` now and then, until released:
    /// [`Answer::RawCount`].
    RawWatch { slot: Slot, back: String },
    /// Ends a session: [`Answer::Closed`].
    Close { slot: Slot },
}

/// Whose protocol a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SessionKind {
    /// The router's streams, over SAM.
    Theirs,
    /// Our streams, over I2CP.
    Ours,
    /// Datagrams without anything around them, over I2CP.
    Raw,
}

/// How a session shall be.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SessionPlan {
    /// Whether the router is emissary's, rather than i2pd's.
    pub(crate) emissary: bool,
    pub(crate) hops: u8,
    pub(crate) inbound: u8,
    pub(crate) outbound: u8,
    /// How long it may take to open.
    pub(crate) limit: Duration,
}

/// A reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// That of the request.
    pub(crate) id: u64,
    pub(crate) answer: Answer,
}

/// What an agent answers. Times are since the Unix epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Opened {
        /// In base64.
        destination: String,
    },
    Listening,
    Progress {
        bytes: u64,
    },
    Received(Received),
    Sent(Sent),
    Released {
        /// What our streaming told of itself.
        samples: Vec<Sample>,
    },
    RawSent,
    Noted,
    RawCount(RawCount),
    Closed,
    Failed {
        why: String,
    },
}

/// What a receiver got.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Received {
    /// Of all bytes, in hexadecimal.
    pub(crate) sha256: String,
    /// When how many bytes had come, in steps of a tenth of a second, the last at the end.
    pub(crate) series: Vec<(Duration, u64)>,
}

/// What a sender did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Of all bytes, in hexadecimal.
    pub(crate) sha256: String,
    /// When it began to connect.
    pub(crate) began: Duration,
    /// When there was a stream.
    pub(crate) connected: Duration,
}

/// What our streaming tells of a stream at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) rto_ms: f64,
    pub(crate) window: u32,
    pub(crate) in_flight: u32,
    /// Packets per second.
    pub(crate) pacing: Option<f64>,
    pub(crate) mtu: usize,
    pub(crate) unsent: usize,
    pub(crate) choked: bool,
    pub(crate) sent: u64,
    pub(crate) resent: u64,
    pub(crate) received: u64,
}

/// Datagrams that came since the session was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RawCount {
    pub(crate) messages: u64,
    /// The number of the newest; they are counted from 1.
    pub(crate) newest: u64,
}
