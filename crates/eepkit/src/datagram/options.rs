//! Options for sending one datagram.

use std::time::Duration;

use eepkit_datagram::Dialect;
use eepkit_wire::Mapping;

/// Options for sending one datagram. The defaults are those of the socket, the session and the
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

    /// The source port; that of the socket by default.
    #[must_use]
    pub fn from_port(mut self, port: u16) -> Self {
        self.from_port = Some(port);
        self
    }

    /// The I2CP protocol number, 1 to 254 except 6; that of the socket by default.
    #[must_use]
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Whether the payload is deflated if that makes it shorter. The default is true for formats
    /// that contain a destination. For other formats it is true unless the session has the option
    /// `i2cp.gzip=false`. Set it to false for raw payloads that are compressed or encrypted
    /// already.
    #[must_use]
    pub fn compress(mut self, deflate: bool) -> Self {
        self.compress = Some(deflate);
        self
    }

    /// Requests that the router does not bundle this session's lease set with the datagram, which
    /// saves bytes. A peer that does not have the lease set must look it up before it can answer.
    ///
    /// Bit 8 of the flags of SendMessageExpires. i2pd and emissary ignore it.
    #[must_use]
    pub fn omit_lease_set(mut self, omit: bool) -> Self {
        self.omit_lease_set = omit;
        self
    }

    /// The router sends new session tags if the number of unused ones is below this threshold. It
    /// applies only to peers with ElGamal encryption, and only if the router supports the flag.
    #[must_use]
    pub fn tag_threshold(mut self, tags: u8) -> Self {
        self.tag_threshold = Some(tags);
        self
    }

    /// The number of session tags that the router sends, under the conditions of
    /// [`DatagramOptions::tag_threshold`].
    #[must_use]
    pub fn tags_to_send(mut self, tags: u8) -> Self {
        self.tags_to_send = Some(tags);
        self
    }

    /// Options in the datagram itself, for the peer's application. Only Datagram2 and Datagram3
    /// have them; they are empty by default.
    #[must_use]
    pub fn options(mut self, options: Mapping) -> Self {
        self.options = options;
        self
    }

    /// Encodes Datagram2 in the dialect of other software, for peers that accept nothing else. The
    /// default is the specified form. i2pd also accepts the specified form if it has the lease set
    /// of this session. emissary accepts no form.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }
}
