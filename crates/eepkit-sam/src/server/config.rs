//! Configuration of a bridge.

use std::{net::SocketAddr, time::Duration};

use eepkit_wire::SignatureType;

use crate::version::Version;

/// The configuration of a bridge; the same for all its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The newest supported version; 3.3 by default.
    pub max_version: Version,
    /// Whether clients may use versions 1.0 and 2.0; false by default, because only programs that
    /// nobody maintains need them.
    pub older_versions: bool,
    /// The signature type of new destinations if the client requests none. Ed25519 by default: the
    /// default of the specification, DSA_SHA1, is "not what you want" by its own words, and few
    /// routers accept it.
    pub default_signature_type: SignatureType,
    /// The time limit for HELLO; 60 s by default, as in Java I2P.
    pub hello_timeout: Duration,
    /// The time limit from HELLO to the first command. `None` by default, because clients keep idle
    /// sockets for later look-ups.
    pub command_timeout: Option<Duration>,
    /// The idle time after which a client of 3.2 or newer gets a PING on a socket that is not a
    /// stream, and the time limit for its PONG. `None` by default, because some clients of 3.3 do
    /// not answer.
    pub ping_after: Option<Duration>,
    /// The pause between a line and bytes that must not be read together with it; 20 ms by default.
    /// Some clients read a line with a single read, and lose what follows it.
    ///
    /// It applies if the driver cannot observe when the client reads. See also
    /// [`Config::max_line_pause`].
    pub line_pause: Duration,
    /// The maximum length of such a pause if the driver observes when the client reads; 500 ms by
    /// default. Reading ends the pause
    /// ([`Connection::handle_read`](super::Connection::handle_read)).
    pub max_line_pause: Duration,
    /// Whether streams and datagrams may be forwarded to any numeric address. False by default:
    /// only the client's own address and loopback addresses are allowed, because otherwise whoever
    /// reaches the bridge could make it connect to any host.
    pub forward_anywhere: bool,
    /// Whether clients may change users with AUTH; true by default.
    pub auth_commands: bool,
    /// The addresses at which the bridge receives datagrams over UDP; empty by default.
    pub udp: Vec<SocketAddr>,
    /// The maximum number of sessions, without subsessions; 128 by default. Each session uses
    /// several tunnels of the router.
    pub max_sessions: usize,
    /// The maximum number of sessions of one client, without subsessions. A client is the user that
    /// logged in; without a login, the address it connects from. `None` by default, which is three
    /// quarters of [`Config::max_sessions`], so that one client does not exclude all others.
    pub max_sessions_per_client: Option<usize>,
    /// The maximum number of subsessions of a primary session; 64 by default.
    pub max_subsessions: usize,
    /// The maximum number of sockets that wait for a stream of one session; 1,024 by default.
    pub max_accepts: usize,
    /// The maximum number of streams of a session of version 1.0 or 2.0; 128 by default. Each has
    /// buffers of up to 64 KiB in each direction, and all of them share one socket.
    pub max_older_streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_version: Version::NEWEST,
            older_versions: false,
            default_signature_type: SignatureType::ED25519,
            hello_timeout: Duration::from_secs(60),
            command_timeout: None,
            ping_after: None,
            line_pause: Duration::from_millis(20),
            max_line_pause: Duration::from_millis(500),
            forward_anywhere: false,
            auth_commands: true,
            udp: Vec::new(),
            max_sessions: 128,
            max_sessions_per_client: None,
            max_subsessions: 64,
            max_accepts: 1024,
            max_older_streams: 128,
        }
    }
}

impl Config {
    /// The maximum number of sessions of one client, at least 1.
    pub fn sessions_per_client(&self) -> usize {
        let default = || self.max_sessions - self.max_sessions / 4;
        self.max_sessions_per_client.unwrap_or_else(default).max(1)
    }

    /// The maximum pause after a line. `seen` is whether the driver observes when the client reads.
    pub fn pause(&self, seen: bool) -> Duration {
        if seen {
            self.max_line_pause
        } else {
            self.line_pause
        }
    }
}
