//! How a bridge behaves.

use std::{net::SocketAddr, time::Duration};

use eepkit_wire::SignatureType;

use crate::version::Version;

/// How a bridge behaves; the same for all its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The newest version that is spoken; 3.3 by default.
    pub max_version: Version,
    /// Signature type of new destinations where the client asks for none. Ed25519 by default; the
    /// specification says DSA_SHA1, which is "not what you want" and which few routers take.
    pub default_signature_type: SignatureType,
    /// How long a client may take to say HELLO; 60 s by default, as in Java I2P.
    pub hello_timeout: Duration,
    /// How long a client may take from HELLO to its first command. No limit by default, because
    /// clients keep sockets at hand for later look-ups.
    pub command_timeout: Option<Duration>,
    /// After how long without a word a client of 3.2 or newer is sent a PING on a socket that is no
    /// stream, and how long it may take to answer. Not by default: there are clients of 3.3 that
    /// do not answer.
    pub ping_after: Option<Duration>,
    /// Pause between a line and what must not be read together with it: 20 ms by default. There
    /// are clients that read a line with a single read and lose what follows it.
    ///
    /// It is for clients of which nobody tells when they read; see [`Config::patience`].
    pub gap: Duration,
    /// How long such a pause may be where the driver sees when the client has read the line, which
    /// ends it ([`Connection::handle_read`](super::Connection::handle_read)); 500 ms by default.
    pub patience: Duration,
    /// Whether streams and datagrams may be forwarded to any numeric address. Not by default: to
    /// the client's own and to loopback addresses only, because whoever reaches the bridge could
    /// have it connect to anywhere else.
    pub forward_anywhere: bool,
    /// Whether clients may change users with AUTH; true by default.
    pub auth_commands: bool,
    /// The addresses at which the bridge takes datagrams by UDP; none if it does not.
    pub udp: Vec<SocketAddr>,
    /// The most sessions at once, subsessions not counted; 128 by default. Each costs the router
    /// several tunnels.
    pub max_sessions: usize,
    /// The most subsessions of one primary session; 64 by default.
    pub max_subsessions: usize,
    /// The most sockets that wait at once for a stream of one session; 1,024 by default.
    pub max_accepts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_version: Version::NEWEST,
            default_signature_type: SignatureType::ED25519,
            hello_timeout: Duration::from_secs(60),
            command_timeout: None,
            ping_after: None,
            gap: Duration::from_millis(20),
            patience: Duration::from_millis(500),
            forward_anywhere: false,
            auth_commands: true,
            udp: Vec::new(),
            max_sessions: 128,
            max_subsessions: 64,
            max_accepts: 1024,
        }
    }
}

impl Config {
    /// How long what must not be read together with a line waits at most; `seen` says whether the
    /// driver sees when the client reads.
    pub fn pause(&self, seen: bool) -> Duration {
        if seen { self.patience } else { self.gap }
    }
}
