//! How one datagram is sent.

use std::time::Duration;

use eepkit_datagram::Dialect;
use eepkit_wire::Mapping;

/// How one datagram is sent; the default leaves each choice to the socket, the session and the
/// router.
#[derive(Debug, Clone, Default)]
pub struct DatagramOptions {
    pub(super) timeout: Option<Duration>,
    pub(super) expiry: Option<Duration>,
    pub(super) from_port: Option<u16>,
    pub(super) protocol: Option<u8>,
    pub(super) compress: Option<bool>,
    pub(super) omit_lease_set: bool,
    pub(super) tag_threshold: Option<u8>,
    pub(super) tags_to_send: Option<u8>,
    pub(super) options: Mapping,
    pub(super) dialect: Dialect,
}

impl DatagramOptions {
    /// Options that use the socket's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Time limit for sending: the look-up, waiting for tunnels and waiting for room in the queue.
    /// The default is that of look-ups,
    /// [`SessionBuilder::lookup_timeout`](crate::SessionBuilder::lookup_timeout).
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// The lifetime of the datagram. After that time this side drops it, and the router may drop
    /// it. 60 s by default. i2pd and emissary ignore it for datagrams that they have accepted.
    #[must_use]
    pub fn expiry(mut self, limit: Duration) -> Self {
        self.expiry = Some(limit);
        self
    }

    /// The port it comes from; the socket's by default.
    #[must_use]
    pub fn from_port(mut self, port: u16) -> Self {
        self.from_port = Some(port);
        self
    }

    /// The I2CP protocol number, 1 to 254 but not 6; the socket's by default.
    #[must_use]
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Whether the payload is deflated if that makes it shorter. By default it is with formats
    /// that carry a destination, and with the others unless the session says `i2cp.gzip=false`.
    /// Turn it off for raw payloads that are dense or encrypted.
    #[must_use]
    pub fn compress(mut self, deflate: bool) -> Self {
        self.compress = Some(deflate);
        self
    }

    /// Asks the router not to bundle this session's lease set, which saves bytes. A peer that does
    /// not have the lease set must look it up before it can answer.
    ///
    /// Bit 8 of the flags of SendMessageExpires. i2pd and emissary ignore it.
    #[must_use]
    pub fn omit_lease_set(mut self, omit: bool) -> Self {
        self.omit_lease_set = omit;
        self
    }

    /// Below how many unused session tags new ones are sent: for peers with ElGamal only, and as a
    /// router that knows the flag does it.
    #[must_use]
    pub fn tag_threshold(mut self, tags: u8) -> Self {
        self.tag_threshold = Some(tags);
        self
    }

    /// How many session tags are sent: as [`DatagramOptions::tag_threshold`].
    #[must_use]
    pub fn tags_to_send(mut self, tags: u8) -> Self {
        self.tags_to_send = Some(tags);
        self
    }

    /// Options in the datagram itself, for the peer's application: in Datagram2 and 3.
    #[must_use]
    pub fn options(mut self, options: Mapping) -> Self {
        self.options = options;
        self
    }

    /// Writes Datagram2 in the dialect of other software, for peers that accept nothing else; as
    /// specified by default. i2pd also accepts the specified form if it knows the lease set of this
    /// session; emissary accepts no form.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }
}
