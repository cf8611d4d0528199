//! Configuration of streams and endpoints.
//!
//! Defaults are those of the streaming documentation ("Options and Defaults") unless the field says
//! otherwise and why. [`EndpointConfig::set`] takes the options by the names used there; see
//! [`OPTIONS`](options::OPTIONS) for all of them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use eepkit_wire::Hash;

use crate::{
    StreamOptionError,
    congestion::{BandwidthConfig, ControllerFactory, CwndLimits},
    kind::OUR_RESEND_DELAY,
    mtu::{MAX_MTU, MIN_MTU},
};

pub(crate) mod options;

/// Makes a setter and a getter for each field of a configuration.
macro_rules! settings {
    ($owner:ident { $($(#[$doc:meta])* $kind:ident $field:ident, $with:ident: $type:ty;)* }) => {
        impl $owner {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $with(mut self, value: $type) -> Self {
                    self.$field = value;
                    self
                }

                settings!(@getter $kind $owner $field, $with: $type);
            )*
        }
    };
    (@getter copy $owner:ident $field:ident, $with:ident: $type:ty) => {
        #[doc = concat!("The value set by [`", stringify!($owner), "::", stringify!($with), "`].")]
        pub const fn $field(&self) -> $type {
            self.$field
        }
    };
    (@getter by_ref $owner:ident $field:ident, $with:ident: $type:ty) => {
        #[doc = concat!("The value set by [`", stringify!($owner), "::", stringify!($with), "`].")]
        pub const fn $field(&self) -> &$type {
            &self.$field
        }
    };
}

/// The configuration of a stream. Each setting has a setter `with_...` and a getter.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    pub(crate) connect_delay: Duration,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) send_buffer: usize,
    pub(crate) max_message_size: u16,
    pub(crate) initial_window: u32,
    pub(crate) max_window: u32,
    pub(crate) slow_start_factor: f64,
    pub(crate) avoidance_factor: f64,
    pub(crate) initial_rto: Duration,
    pub(crate) initial_ack_delay: Duration,
    pub(crate) initial_resend_delay: u8,
    pub(crate) max_resends: u32,
    pub(crate) inactivity_timeout: Duration,
    pub(crate) inactivity_action: InactivityAction,
    pub(crate) profile: Profile,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) linger: Duration,
    pub(crate) receive_buffer: usize,
    pub(crate) max_receive_buffer: usize,
    pub(crate) max_outbound_speed: Option<u64>,
    pub(crate) compress: bool,
    pub(crate) congestion: Arc<dyn ControllerFactory>,
}

settings! {
    StreamConfig {
        /// How long an opened stream waits for its first data before it sends SYN without. Zero sends
        /// at once. Default zero. Data, a flush or a shutdown end the wait.
        copy connect_delay, with_connect_delay: Duration;
        /// How long an attempt to connect may take. Default 60 s, as Java has it; the documentation
        /// says 5 minutes, which is longer than people wait. `None` tries until the resends are used up.
        copy connect_timeout, with_connect_timeout: Option<Duration>;
        /// How much data, in bytes, may be written that was never sent. Default 65,536.
        copy send_buffer, with_send_buffer: usize;
        /// Largest payload of a packet in bytes, 512 to 16,384; the lesser of both sides' counts.
        /// Default 1812, which the documentation recommends for the encryption that sessions use today
        /// and which fits two tunnel messages; its general default is 1730. Only 1812 and 996 more or a
        /// multiple of it fill the tunnel messages that they take. Larger packets than 1812, which only a
        /// peer of our own kind with the same setting takes, are not sent while many messages are lost.
        copy max_message_size, with_max_message_size: u16;
        /// The initial cwnd in packets, before the path is measured, 1 to 64. Default 16, which a
        /// new session's 24 tags allow; the documentation's 6 cost one more round trip. At most six
        /// of them leave before the peer has answered.
        copy initial_window, with_initial_window: u32;
        /// Packets in flight at most, 1 to 8000. Default 4096; the documentation's 128 limits a
        /// stream to 0.2 MB/s at a round trip of one second. Peers with smaller limits get less.
        copy max_window, with_max_window: u32;
        /// Slows exponential cwnd growth, at least 1. Default 1.
        copy slow_start_factor, with_slow_start_factor: f64;
        /// Slows cwnd growth after slow start or Startup, with every congestion control; at least
        /// 1. Default 1.
        copy avoidance_factor, with_avoidance_factor: f64;
        /// Retransmission timeout before the round-trip time is known. Default 9 s.
        copy initial_rto, with_initial_rto: Duration;
        /// The longest that an acknowledgement is held back before the round-trip time is known. Default
        /// 100 ms; the documentation says 750, but waiting so long in the first rounds slows the peer's
        /// start more than the saved packets are worth.
        copy initial_ack_delay, with_initial_ack_delay: Duration;
        /// Value of the resend delay byte in the first packet, in seconds. Default 1, as Java's, though the
        /// packet is sent again after three: peers recognise one another by it.
        copy initial_resend_delay, with_initial_resend_delay: u8;
        /// How many timeouts without any answer, each twice as long as the last, before the stream fails.
        /// Default 8. Long ones are filled with probes.
        copy max_resends, with_max_resends: u32;
        /// Idle time after which `inactivity_action` is taken. Default 90 s.
        copy inactivity_timeout, with_inactivity_timeout: Duration;
        /// What happens to an idle stream. Default [`InactivityAction::Send`].
        copy inactivity_action, with_inactivity_action: InactivityAction;
        /// What to optimise for. Default [`Profile::Bulk`].
        copy profile, with_profile: Profile;
        /// How long a read may wait; the machine never waits, the driver above it does. Default `None`.
        copy read_timeout, with_read_timeout: Option<Duration>;
        /// How long a write may wait, likewise. Default `None`.
        copy write_timeout, with_write_timeout: Option<Duration>;
        /// How long a stream whose handle was dropped may take to send the rest. Default 60 s; Java
        /// takes up to 5 minutes. Then it is reset.
        copy linger, with_linger: Duration;
        /// Memory, in bytes, for data that was received and not read, to begin with. Default 512
        /// KiB. It grows with the speed of the reader up to `max_receive_buffer`. A peer that has
        /// sent so much is choked; what it has in flight is still accepted, up to 950 KiB more
        /// within `max_receive_buffer`.
        copy receive_buffer, with_receive_buffer: usize;
        /// The most that the receive buffer of a stream grows to, in bytes. Default 16 MiB.
        copy max_receive_buffer, with_max_receive_buffer: usize;
        /// Bytes per second that may be sent to one peer. Default `None`.
        copy max_outbound_speed, with_max_outbound_speed: Option<u64>;
        /// Whether deflating the packets of this stream may pay off. Default false: most of what is sent
        /// is compressed or encrypted already. The first packet is always marked so, because
        /// destinations compress well.
        copy compress, with_compress: bool;
        /// The congestion control of new peers. Default [`BandwidthConfig`].
        by_ref congestion, with_congestion: Arc<dyn ControllerFactory>;
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            connect_delay: Duration::ZERO,
            connect_timeout: Some(Duration::from_secs(60)),
            send_buffer: 65_536,
            max_message_size: 1812,
            initial_window: 16,
            max_window: 4096,
            slow_start_factor: 1.0,
            avoidance_factor: 1.0,
            initial_rto: Duration::from_secs(9),
            initial_ack_delay: Duration::from_millis(100),
            initial_resend_delay: OUR_RESEND_DELAY,
            max_resends: 8,
            inactivity_timeout: Duration::from_secs(90),
            inactivity_action: InactivityAction::Send,
            profile: Profile::Bulk,
            read_timeout: None,
            write_timeout: None,
            linger: Duration::from_secs(60),
            receive_buffer: 512 << 10,
            max_receive_buffer: 16 << 20,
            max_outbound_speed: None,
            compress: false,
            congestion: Arc::new(BandwidthConfig::default()),
        }
    }
}

impl StreamConfig {
    pub(crate) fn cwnd_limits(&self) -> CwndLimits {
        CwndLimits {
            initial: self.initial_window.clamp(1, MAX_INITIAL_WINDOW),
            max: self.max_window.clamp(1, MAX_WINDOW),
            slow_start_factor: self.slow_start_factor,
            avoidance_factor: self.avoidance_factor,
        }
    }

    pub(crate) fn mtu(&self) -> usize {
        usize::from(self.max_message_size.clamp(MIN_MTU, MAX_MTU))
    }
}

/// What happens to a stream on which nothing was sent or received for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InactivityAction {
    /// Nothing.
    Nothing,
    /// It ends with [`crate::CloseReason::Inactive`].
    Disconnect,
    /// An acknowledgement is repeated, so that the routers between keep their sessions.
    Send,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Throughput: small writes wait a few milliseconds for more data.
    Bulk,
    /// Latency: nothing waits, and acknowledgements are asked for with every write.
    Interactive,
}

/// The configuration of all streams of a destination together. Each setting has a setter `with_...`
/// and a getter.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    pub(crate) stream: StreamConfig,
    pub(crate) answer_pings: bool,
    pub(crate) enforce_protocol: bool,
    pub(crate) max_concurrent_streams: usize,
    pub(crate) per_peer: RateLimits,
    pub(crate) total: RateLimits,
    pub(crate) limit_action: LimitAction,
    pub(crate) access: Access,
    pub(crate) blacklist: HashSet<Hash>,
    pub(crate) accept_timeout: Duration,
    pub(crate) receive_memory: usize,
    pub(crate) window_dampening: f64,
    pub(crate) max_paths: u8,
    pub(crate) max_send_rate: Option<u64>,
    pub(crate) disable_reject_logging: bool,
}

settings! {
    EndpointConfig {
        /// For incoming streams, and the default for outgoing ones.
        by_ref stream, with_stream: StreamConfig;
        /// Whether pings are answered. Default true.
        copy answer_pings, with_answer_pings: bool;
        /// Whether only packets marked as streaming are taken, or unmarked ones too. The driver asks
        /// [`EndpointConfig::accepts_protocol`]. Default true.
        copy enforce_protocol, with_enforce_protocol: bool;
        /// Streams at once, incoming and outgoing together; 0 is no limit but the fixed one of 65,536.
        /// Default 0.
        copy max_concurrent_streams, with_max_concurrent_streams: usize;
        /// Incoming streams of one peer; 0 is no limit. Default none.
        copy per_peer, with_per_peer: RateLimits;
        /// Incoming streams of all peers; 0 is no limit. Default none.
        copy total, with_total: RateLimits;
        /// What an incoming stream beyond a limit gets. Default [`LimitAction::Reset`].
        by_ref limit_action, with_limit_action: LimitAction;
        /// Who may connect. Default [`Access::Everyone`].
        by_ref access, with_access: Access;
        /// Who may never connect, whatever `access` says. Default empty.
        by_ref blacklist, with_blacklist: HashSet<Hash>;
        /// How long an incoming stream waits to be accepted before it is refused. Default 10 s, as
        /// i2pd; Java waits 3 s.
        copy accept_timeout, with_accept_timeout: Duration;
        /// Memory for received data of all streams, in bytes. Default 256 MiB.
        copy receive_memory, with_receive_memory: usize;
        /// Factor applied to the measured values of a peer when streams to it start again
        /// after a pause, 0 to 1. Default 0.75.
        copy window_dampening, with_window_dampening: f64;
        /// Number of paths that carry the packets of a peer at once, 1 to 4, on a link that exposes its
        /// tunnels. Applies to peers that are contacted later. Default 1.
        ///
        /// With several paths, the throughput of tunnels that are the bottleneck adds up. There are three
        /// drawbacks. Packets arrive out of order, which some peers have little buffer for. A bottleneck that
        /// the paths share gives this session several shares of its capacity. The transfer is visible to the
        /// hops of several tunnels: whoever runs hops of two of them can correlate the tunnels by time and
        /// volume.
        copy max_paths, with_max_paths: u8;
        /// Bytes of streaming packets per second that are sent to all peers together. Data waits for this
        /// limit. Acknowledgements and packets that open or end a stream do not wait, but are counted.
        /// Default `None`.
        ///
        /// Congestion control works per peer. If many paths begin with the same first hops or a slow line,
        /// this limit keeps them from filling it together.
        copy max_send_rate, with_max_send_rate: Option<u64>;
        /// Whether the driver should stay quiet about refused streams. Default false.
        copy disable_reject_logging, with_disable_reject_logging: bool;
    }
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            stream: StreamConfig::default(),
            answer_pings: true,
            enforce_protocol: true,
            max_concurrent_streams: 0,
            per_peer: RateLimits::default(),
            total: RateLimits::default(),
            limit_action: LimitAction::Reset,
            access: Access::Everyone,
            blacklist: HashSet::new(),
            accept_timeout: Duration::from_secs(10),
            receive_memory: 256 << 20,
            window_dampening: 0.75,
            max_paths: 1,
            max_send_rate: None,
            disable_reject_logging: false,
        }
    }
}

impl EndpointConfig {
    /// Changes the settings of incoming streams, which are the default for outgoing ones.
    #[must_use]
    pub fn change_stream(mut self, change: impl FnOnce(StreamConfig) -> StreamConfig) -> Self {
        self.stream = change(self.stream);
        self
    }

    /// Sets an option by its I2P name; see [`OPTIONS`](crate::OPTIONS).
    ///
    /// # Errors
    ///
    /// The value is not of the right kind or range, the option is refused here (for which the error
    /// gives the reason), or there is none of this name.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), StreamOptionError> {
        options::set(self, key, value)
    }

    /// Applies every streaming option in `options` and skips all others, such as tunnel lengths.
    ///
    /// # Errors
    ///
    /// As [`EndpointConfig::set`], for the first option that fails.
    pub fn from_options<'a>(
        options: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, StreamOptionError> {
        let mut config = Self::default();
        // The access list means nothing before it is known whether it allows or denies.
        let mut options: Vec<_> = options.into_iter().collect();
        options.sort_by_key(|(key, _)| *key != "i2cp.accessList");
        for (key, value) in options {
            match config.set(key, value) {
                Err(StreamOptionError::Unknown(_)) if !key.starts_with("i2p.streaming.") => {}
                outcome => outcome?,
            }
        }
        Ok(config)
    }

    /// Whether packets with this I2CP protocol number are for streaming: 6, and 0 where
    /// `enforce_protocol` is off.
    pub const fn accepts_protocol(&self, protocol: u8) -> bool {
        protocol == 6 || (protocol == 0 && !self.enforce_protocol)
    }

    pub(crate) fn stream_limit(&self) -> usize {
        match self.max_concurrent_streams {
            0 => MAX_STREAMS,
            limit => limit.min(MAX_STREAMS),
        }
    }
}

/// Limits of new incoming streams per span of time; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// In a minute.
    pub per_minute: u32,
    /// In an hour.
    pub per_hour: u32,
    /// In a day.
    pub per_day: u32,
}

/// What an incoming stream beyond a limit gets. Far beyond the limit, nothing is answered at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitAction {
    /// A reset.
    Reset,
    /// No answer.
    Drop,
    /// An HTTP response 429; a reset on port 443, where nobody could read it.
    Http,
    /// This text, then the end of the stream.
    Custom(String),
}

/// Which peers may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// All.
    Everyone,
    /// Only these.
    Only(HashSet<Hash>),
    /// All but these.
    AllBut(HashSet<Hash>),
    /// These are listed, and neither rule is switched on.
    Unused(HashSet<Hash>),
}

impl Access {
    pub(crate) fn admits(&self, peer: &Hash) -> bool {
        match self {
            Self::Everyone | Self::Unused(_) => true,
            Self::Only(list) => list.contains(peer),
            Self::AllBut(list) => !list.contains(peer),
        }
    }
}

/// Below the number of tags that a new session's first reply provides for.
pub(crate) const MAX_INITIAL_WINDOW: u32 = 64;
/// Below what the peer's reassembly takes in.
pub(crate) const MAX_WINDOW: u32 = 8000;
/// Bounds the memory for stream state; a destination with more streams needs a second one.
const MAX_STREAMS: usize = 65_536;
