//! I2CP, the protocol between an I2P client and its router: messages, framing, options, lease
//! sets and the client's session machine.
//!
//! The crate is sans-IO: bytes and time are arguments; bytes and events are results. A driver owns
//! the connection (TCP, TLS, Unix socket, memory) and the clock.
//!
//! * [`Session`] is the client's state machine. It exchanges versions with the router, opens a
//!   session, requests lease sets from its application, sends and receives messages, and looks up
//!   names.
//! * [`Message`] and [`FrameReader`] are the wire format for both sides: a simulated router decodes
//!   what the client encodes.
//! * [`Options`] holds the options of a session. [`OPTIONS`] is the table of their documented
//!   defaults and ranges.
//! * [`LeaseSetMaker`] makes the lease sets that a router requests.
//!
//! Source: the I2CP specification and overview, API 0.9.66. Differences between routers and the
//! specification are handled in one module, `quirks.rs`, and each has a test.

mod frame;
mod frame_reader;
#[cfg(any(test, feature = "_fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod lease_set;
mod message;
mod options;
mod output;
mod quirks;
mod session;
#[cfg(test)]
mod testing;
mod version;

pub use frame::{
    Frame, FrameError, HEADER_LEN, MAX_BODY_LEN, MAX_RECEIVED_BODY_LEN, PROTOCOL_BYTE,
};
pub use frame_reader::FrameReader;
pub use lease_set::{LeaseSetMaker, MakeError, SignedLeaseSet};
pub use message::{
    BandwidthLimits, BlindingInfo, ClientAuthentication, ConfigError, CreateLeaseSet,
    CreateLeaseSet2, DeliveryStatus, DestReply, Endpoint, GetDate, HostLookup, HostReply,
    HostResult, LeaseSetKey, LookupKey, Message, MessagePayload, MessageStatus, MessageTooLong,
    MessageType, ReportAbuse, RequestLeaseSet, SendFlags, SendMessage, SendMessageExpires,
    SessionConfig, SessionId, SessionStatus, SetDate, Text,
};
pub use options::{Allowed, Iter, OPTIONS, OptionSpec, Options, Sent, SessionOptionError, spec};
pub use quirks::{RENEWAL_SUFFIX, RouterKind};
pub use session::{
    Command, Config, Event, Found, Handle, Input, LookupFailure, LookupTarget, Outgoing, Output,
    Session, SessionCloseReason, UnreachableReason,
};
pub use version::{ApiVersion, ParseVersionError};
