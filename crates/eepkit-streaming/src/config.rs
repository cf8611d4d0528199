//! Configuration of streams and endpoints.
//!
//! Defaults are those of the streaming documentation ("Options and Defaults"), unless a setting
//! documents another default with the reason. [`EndpointConfig::set`] accepts the options under the
//! names of that documentation; [`OPTIONS`](options::OPTIONS) lists them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use eepkit_wire::Hash;

use crate::{
    StreamOptionError,
    congestion::{ControllerFactory, CwndLimits, DelayTargetConfig},
    kind::OUR_RESEND_DELAY,
    mtu::{MAX_MTU, MIN_MTU},
};

pub(crate) mod options;

/// Defines a setter and a getter for each field of a configuration.
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
        /// How long a new stream waits for its first data before it sends SYN without data. Data, a
        /// flush or a shutdown end the wait. Default zero, which sends SYN at once.
        copy connect_delay, with_connect_delay: Duration;
        /// Time limit for connecting. `None` means that retransmissions end the attempt. Default 60
        /// s, as in Java. The documentation states 5 minutes, which is longer than users wait.
        copy connect_timeout, with_connect_timeout: Option<Duration>;
        /// The most bytes that are written and not sent yet. Default 65,536.
        copy send_buffer, with_send_buffer: usize;
        /// The largest payload of a packet in bytes, 512 to 16,384. The smaller value of both sides
        /// applies. Default 1812, which fits two tunnel messages, and which the documentation
        /// recommends for current encryption types; its general default is 1730. Only 1812, plus a
        /// multiple of 996, fills all tunnel messages of a packet. Only this library with the same
        /// setting accepts more than 1812 bytes. Such packets are not sent while many messages are
        /// lost.
        copy max_message_size, with_max_message_size: u16;
        /// The initial cwnd in packets, before the first RTT sample, 1 to 64. Default 24, as many as
        /// a new encryption session has tags. The default of the documentation, 6, needs two
        /// more round trips. At most six packets are sent before the peer has answered.
        copy initial_window, with_initial_window: u32;
        /// The largest cwnd in packets, 1 to 8000. Default 4096. The default of the documentation,
        /// 128, limits a stream to 0.2 MB/s at a round-trip time of one second. For peers that
        /// accept fewer packets, their limit applies.
        copy max_window, with_max_window: u32;
        /// Slows exponential cwnd growth, at least 1. Default 1.
        copy slow_start_factor, with_slow_start_factor: f64;
        /// Slows cwnd growth after slow start or Startup, with every congestion control; at least
        /// 1. Default 1.
        copy avoidance_factor, with_avoidance_factor: f64;
        /// Retransmission timeout before the round-trip time is known. Default 9 s.
        copy initial_rto, with_initial_rto: Duration;
        /// The largest delay of an acknowledgement before the first RTT sample. Default 100 ms. The
        /// documentation states 750 ms, but such a delay in the first rounds slows the peer's slow
        /// start.
        copy initial_ack_delay, with_initial_ack_delay: Duration;
        /// The resend delay byte of all packets except resets and pings, in seconds. It does not
        /// change when the first packet is retransmitted; peers use it to recognise
        /// implementations. Default 1, the value of Java.
        copy initial_resend_delay, with_initial_resend_delay: u8;
        /// The number of consecutive timeouts without an answer after which the stream fails. Each
        /// timeout is twice as long as the one before. During long timeouts, probes are sent.
        /// Default 8.
        copy max_resends, with_max_resends: u32;
        /// Time before `inactivity_action`. Default 90 s. A peer that vanished is noticed after
        /// twice this time with [`InactivityAction::Send`].
        copy inactivity_timeout, with_inactivity_timeout: Duration;
        /// The action on an idle stream. Default [`InactivityAction::Send`].
        copy inactivity_action, with_inactivity_action: InactivityAction;
        /// Whether throughput or latency is optimized. Default [`Profile::Bulk`].
        copy profile, with_profile: Profile;
        /// Time limit for a read, which the driver applies. Default `None`, no limit.
        copy read_timeout, with_read_timeout: Option<Duration>;
        /// Time limit for a write, which the driver applies. Default `None`, no limit.
        copy write_timeout, with_write_timeout: Option<Duration>;
        /// Time limit for a stream to finish after its handle was dropped. After it, the stream is
        /// reset. Default 60 s. Java waits up to 5 minutes.
        copy linger, with_linger: Duration;
        /// The initial size of the receive buffer in bytes, for data that was received and not
        /// read. Default 512 KiB. The buffer grows with the rate of the reader up to
        /// `max_receive_buffer`. When the buffer is full, the peer is choked. Packets that are in
        /// flight then are still accepted, up to 950 KiB more within `max_receive_buffer`.
        copy receive_buffer, with_receive_buffer: usize;
        /// The largest size of the receive buffer of a stream, in bytes. Default 16 MiB.
        copy max_receive_buffer, with_max_receive_buffer: usize;
        /// The largest rate of data to one peer, in bytes per second. Default `None`, no limit.
        copy max_outbound_speed, with_max_outbound_speed: Option<u64>;
        /// Whether the packets of this stream are deflated. Default false, because most data is
        /// compressed or encrypted already. As in Java, the first packet is deflated if it carries
        /// more than 50 bytes of data; resets and pings never are.
        copy compress, with_compress: bool;
        /// The congestion control of new peers. Default [`DelayTargetConfig`].
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
            initial_window: 24,
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
            congestion: Arc::new(DelayTargetConfig::default()),
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

/// The action on a stream that is idle for the inactivity timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InactivityAction {
    /// No action.
    Nothing,
    /// Ends the stream with [`crate::CloseReason::Inactive`], if it neither sent nor received a
    /// packet for that time.
    Disconnect,
    /// Asks the peer for a sign of life, if nothing was received for that time. If nothing is
    /// received for the same time again, ends the stream with [`crate::CloseReason::Inactive`].
    ///
    /// The packet has the next sequence number and no data, as Java's inactivity packet has, so that
    /// every implementation acknowledges it. It also keeps the encryption sessions of the routers.
    Send,
}

/// The use of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Optimizes throughput: small writes wait a few milliseconds for more data.
    Bulk,
    /// Optimizes latency: small writes are sent at once, and acknowledgements are delayed less.
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
    pub(crate) max_streams_per_peer: usize,
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
        /// The configuration of incoming streams, and the default for outgoing ones.
        by_ref stream, with_stream: StreamConfig;
        /// Whether pings are answered. Default true.
        copy answer_pings, with_answer_pings: bool;
        /// Whether only packets with the protocol number of streaming are accepted. If false,
        /// packets with protocol number 0 are accepted too. The driver calls
        /// [`EndpointConfig::accepts_protocol`]. Default true.
        copy enforce_protocol, with_enforce_protocol: bool;
        /// The most streams at a time, incoming and outgoing together. 0 means the fixed limit of
        /// 65,536. Default 0.
        copy max_concurrent_streams, with_max_concurrent_streams: usize;
        /// The most streams at a time with one peer, incoming and outgoing together. 0 means as
        /// many as with all peers. Default 4,096, so that one peer cannot use up the streams of a
        /// session.
        copy max_streams_per_peer, with_max_streams_per_peer: usize;
        /// Rate limits of incoming streams of one peer; 0 means no limit. Default no limits.
        copy per_peer, with_per_peer: RateLimits;
        /// Rate limits of incoming streams of all peers; 0 means no limit. Default no limits.
        copy total, with_total: RateLimits;
        /// The response to an incoming stream beyond a limit. Default [`LimitAction::Reset`].
        by_ref limit_action, with_limit_action: LimitAction;
        /// Which peers may connect. Default [`Access::Everyone`].
        by_ref access, with_access: Access;
        /// Peers that may never connect, even if `access` allows them. Default empty.
        by_ref blacklist, with_blacklist: HashSet<Hash>;
        /// How long an incoming stream waits to be accepted before it is refused. Default 10 s, as
        /// in i2pd. Java waits 3 s.
        copy accept_timeout, with_accept_timeout: Duration;
        /// Memory for received data of all streams, in bytes. Default 256 MiB.
        copy receive_memory, with_receive_memory: usize;
        /// Factor applied to the measured values of a peer when streams to it start again
        /// after a pause, 0 to 1. Default 0.75.
        copy window_dampening, with_window_dampening: f64;
        /// Number of paths that carry the packets of a peer at once, 1 to 4, on a link that exposes
        /// its tunnels. Applies to peers that are contacted later. Default 1.
        ///
        /// With several paths, the throughput of tunnels that are the bottleneck adds up. There are
        /// three drawbacks. Packets arrive out of order, and some peers have little buffer for
        /// them. If the paths share a bottleneck, this session takes several shares of its
        /// capacity. The transfer is visible to the hops of several tunnels, so an operator of hops
        /// in two of them can correlate the tunnels by time and volume.
        copy max_paths, with_max_paths: u8;
        /// The largest rate of streaming packets to all peers together, in bytes per second. Data
        /// waits for this limit. Acknowledgements and packets that open or end a stream do not
        /// wait, but are counted. Default `None`, no limit.
        ///
        /// Congestion control works per peer. If many paths share the same first hops or a slow
        /// uplink, this limit prevents that they fill it together.
        copy max_send_rate, with_max_send_rate: Option<u64>;
        /// Whether the driver does not log refused streams. Default false.
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
            max_streams_per_peer: MAX_STREAMS_PER_PEER,
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
    /// [`StreamOptionError`] if the value is invalid or out of range, if this library refuses the
    /// option, or if there is no such option.
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
        // The access list must be set before the options that enable it.
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

    /// Whether packets with this I2CP protocol number are streaming packets: 6, and 0 if
    /// `enforce_protocol` is false.
    pub const fn accepts_protocol(&self, protocol: u8) -> bool {
        protocol == 6 || (protocol == 0 && !self.enforce_protocol)
    }

    pub(crate) fn peer_limit(&self) -> usize {
        match self.max_streams_per_peer {
            0 => self.stream_limit(),
            limit => limit.min(self.stream_limit()),
        }
    }

    pub(crate) fn stream_limit(&self) -> usize {
        match self.max_concurrent_streams {
            0 => MAX_STREAMS,
            limit => limit.min(MAX_STREAMS),
        }
    }
}

/// Limits of new incoming streams per time span; 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    pub(crate) per_minute: u32,
    pub(crate) per_hour: u32,
    pub(crate) per_day: u32,
}

settings! {
    RateLimits {
        /// The most streams in a minute. Default 0, no limit.
        copy per_minute, with_per_minute: u32;
        /// The most streams in an hour. Default 0, no limit.
        copy per_hour, with_per_hour: u32;
        /// The most streams in a day. Default 0, no limit.
        copy per_day, with_per_day: u32;
    }
}

/// The response to an incoming stream beyond a limit. Beyond three times a limit there is no
/// response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitAction {
    /// Sends a reset.
    Reset,
    /// Sends nothing.
    Drop,
    /// Sends an HTTP response 429. On port 443 sends a reset, because an HTTPS client cannot read
    /// the response.
    Http,
    /// Sends this text and closes the stream.
    Custom(String),
}

/// Which peers may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// All peers.
    Everyone,
    /// Only the listed peers.
    Only(HashSet<Hash>),
    /// All peers except the listed ones.
    AllBut(HashSet<Hash>),
    /// All peers. The list is stored, and no rule is enabled.
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

/// The largest initial cwnd. Chosen because a larger burst overfills the queues of slow hops.
pub(crate) const MAX_INITIAL_WINDOW: u32 = 64;
/// The largest cwnd. Chosen below the largest span that the reassembly of this crate accepts.
pub(crate) const MAX_WINDOW: u32 = 8000;
/// The most streams of an endpoint, which bounds the memory for stream state.
const MAX_STREAMS: usize = 65_536;

/// The default of the most streams with one peer. Chosen as a sixteenth of all streams, above what
/// a busy proxy opens to one server.
const MAX_STREAMS_PER_PEER: usize = 4096;
