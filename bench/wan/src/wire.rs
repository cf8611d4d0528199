//! The protocol between the measuring process and its agents in the namespaces: a line of JSON for
//! each request and each reply.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

/// The SAM address of every router in its namespace.
pub(crate) const SAM: SocketAddr = SocketAddr::new(LOCALHOST, 7656);

/// The I2CP address of every router in its namespace.
pub(crate) const I2CP: SocketAddr = SocketAddr::new(LOCALHOST, 7654);

const LOCALHOST: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// The number of a session of an agent, chosen by the requester.
pub(crate) type Slot = u32;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Returned with each reply.
    pub(crate) id: u64,
    pub(crate) ask: Ask,
}

/// The requests to an agent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Opens a session: [`Answer::Opened`] when it has tunnels.
    Open {
        slot: Slot,
        kind: SessionKind,
        plan: SessionPlan,
    },
    /// Accepts one stream and reads this many bytes: [`Answer::Listening`], then repeatedly
    /// [`Answer::Progress`], then [`Answer::Received`].
    Receive {
        slot: Slot,
        bytes: u64,
        limit: Duration,
    },
    /// Opens a stream and writes this many bytes: [`Answer::Sent`] when all are written. The stream
    /// stays open until the request is released.
    Send {
        slot: Slot,
        /// Destination in base64.
        to: String,
        bytes: u64,
        seed: u64,
        limit: Duration,
    },
    /// Releases the request with this number: [`Answer::Released`].
    Release { request: u64 },
    /// Sends datagrams until the window is 0: [`Answer::RawSent`].
    RawSend { slot: Slot, to: String },
    /// Sets the number of datagrams in flight of [`Ask::RawSend`]: [`Answer::Noted`].
    RawWindow { slot: Slot, window: u64 },
    /// Reports the newest datagram that arrived to [`Ask::RawSend`]: [`Answer::Noted`].
    RawCame { slot: Slot, newest: u64 },
    /// Counts datagrams, and sends some back to `back`, until the request is released:
    /// [`Answer::RawCount`].
    RawWatch { slot: Slot, back: String },
    /// Sends a datagram per second until one comes back: [`Answer::Noted`].
    ProbeGreet { slot: Slot, to: String },
    /// Sends datagrams at a fixed rate: [`Answer::ProbeSent`].
    ProbeSend {
        slot: Slot,
        to: String,
        probe: ProbePlan,
    },
    /// Returns the arrivals since the last such request, and records further ones:
    /// [`Answer::ProbeArrived`].
    ProbeTake { slot: Slot },
    /// Ends a session: [`Answer::Closed`].
    Close { slot: Slot },
}

/// The protocol of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SessionKind {
    /// The router's streams, over SAM.
    Theirs,
    /// Our streams, over I2CP.
    Ours,
    /// Raw datagrams, over I2CP.
    Raw,
}

/// The parameters of a session.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SessionPlan {
    /// Whether the router is emissary's, rather than i2pd's.
    pub(crate) emissary: bool,
    pub(crate) hops: u8,
    pub(crate) inbound: u8,
    pub(crate) outbound: u8,
    /// The most payload of a packet of our streams, if limited.
    pub(crate) packet: Option<u16>,
    /// The time limit for opening it.
    pub(crate) limit: Duration,
}

/// Datagrams at a fixed rate.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ProbePlan {
    /// The number of the first datagram.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Bytes of each.
    pub(crate) size: usize,
    /// Datagrams that are sent at once, and the time from one burst to the next.
    pub(crate) burst: u64,
    pub(crate) interval: Duration,
    /// Datagrams after which the sender publishes its lease set again.
    pub(crate) republish: Option<u64>,
}

/// A reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// The number of the request.
    pub(crate) id: u64,
    pub(crate) answer: Answer,
}

/// The answers of an agent. Times are since the Unix epoch.
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
        /// Samples of the state of our streaming.
        samples: Vec<Sample>,
    },
    RawSent,
    Noted,
    RawCount(RawCount),
    ProbeSent {
        /// The times at which the link accepted the datagrams, in order, microseconds.
        times: Vec<u64>,
    },
    ProbeArrived {
        /// Number and time of each datagram, in the order of arrival, microseconds.
        arrivals: Vec<(u64, u64)>,
    },
    Closed,
    Failed {
        why: String,
    },
}

/// The result of a receiver.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Received {
    /// SHA-256 of all bytes, in hexadecimal.
    pub(crate) sha256: String,
    /// Times and the number of bytes that had arrived, in steps of 0.1 s and at the end.
    pub(crate) series: Vec<(Duration, u64)>,
}

/// The result of a sender.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// SHA-256 of all bytes, in hexadecimal.
    pub(crate) sha256: String,
    /// When it began to connect.
    pub(crate) began: Duration,
    /// When the stream was open.
    pub(crate) connected: Duration,
}

/// A sample of the state of a stream of ours.
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

/// Datagrams that arrived since the session was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RawCount {
    pub(crate) messages: u64,
    /// The number of the newest; they are counted from 1.
    pub(crate) newest: u64,
}
