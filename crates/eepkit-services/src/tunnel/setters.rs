//! What the configurations of tunnels have in common: their setters, and the part of
//! [`Definition`](crate::service::Definition) that is the same for all.
//!
//! The macros are called in `impl` blocks. The types that their signatures name must be in scope.

/// The setters of every tunnel, over the fields `name` and `session`.
macro_rules! tunnel_setters {
    () => {
        /// Sets the name, which is also that of the session in the router's console.
        #[must_use]
        pub fn name(mut self, name: impl Into<String>) -> Self {
            self.name = Some(name.into());
            self
        }

        /// Uses the destination of a private key file, which is created if it does not exist. By
        /// default the destination is new at each start. Tunnels with the same file that were launched
        /// with clones of the same [`Context`] share a session. Those for peers each need a port of
        /// their own.
        #[must_use]
        pub fn keys(mut self, file: impl Into<PathBuf>) -> Self {
            self.session.keys = Some(file.into());
            self
        }

        /// Sets an option of the session. An invalid value is an error at the start.
        #[must_use]
        pub fn option(mut self, key: &str, value: impl std::fmt::Display) -> Self {
            self.session.options.push(key, value.to_string());
            self
        }
    };
}
pub(crate) use tunnel_setters;

/// The setters of tunnels for local programs, over the fields `local`, `session`, `destinations`,
/// `connect_timeout` and `idle_timeout`.
macro_rules! outgoing_setters {
    () => {
        /// Listens on these TCP addresses. With port 0 the system selects a port; see
        /// [`ClientTunnel::tcp_addrs`].
        #[must_use]
        pub fn listen(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
            self.local.listen = addresses.into_iter().collect();
            self
        }

        /// Also listens on a Unix socket. Only the user of this process can connect.
        #[must_use]
        pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
            self.local.listen_unix.push(path.into());
            self
        }

        /// Adds a destination. Each connection reaches one of them, chosen at random. If it cannot be
        /// reached, the others are tried.
        #[must_use]
        pub fn destination(mut self, address: Address) -> Self {
            self.destinations.push(address);
            self
        }

        /// Shares the session with the other tunnels of this group, which were launched with clones of
        /// the same [`Context`].
        #[must_use]
        pub fn shared(mut self, group: impl Into<String>) -> Self {
            self.session.shared = Some(group.into());
            self
        }

        /// Opens the session with the first connection.
        #[must_use]
        pub fn delay_open(mut self) -> Self {
            self.session.delay_open = true;
            self
        }

        /// Closes the session after this time without traffic, until the next connection. With
        /// `new_keys` it comes back with a new destination.
        #[must_use]
        pub fn close_idle(mut self, after: Duration, new_keys: bool) -> Self {
            (self.session.close_idle, self.session.new_keys) = (Some(after), new_keys);
            self
        }

        /// Keeps this number of tunnels in each direction after this time without traffic.
        #[must_use]
        pub fn reduce_idle(mut self, after: Duration, tunnels: usize) -> Self {
            self.session.reduce_idle = Some(after);
            self.session.reduce_quantity = Some(tunnels);
            self
        }

        /// Sets the time limit for reaching one destination, which includes the time until the session
        /// is ready; 60 s by default.
        #[must_use]
        pub fn connect_timeout(mut self, limit: Duration) -> Self {
            self.connect_timeout = limit;
            self
        }

        /// Sets the maximum number of connections of local programs; 4096 by default.
        #[must_use]
        pub fn max_connections(mut self, limit: usize) -> Self {
            self.local.max_connections = limit;
            self
        }

        /// Ends connections on which no byte moves for this time. By default there is no limit.
        #[must_use]
        pub fn idle_timeout(mut self, limit: Duration) -> Self {
            self.idle_timeout = Some(limit);
            self
        }
    };
}
pub(crate) use outgoing_setters;

/// The setters of tunnels for peers, over the fields `incoming` and `session`.
macro_rules! incoming_setters {
    () => {
        /// Accepts streams to this port of the destination only. By default those to all ports are
        /// accepted.
        #[must_use]
        pub fn port(mut self, port: u16) -> Self {
            self.incoming.port = Some(port);
            self
        }

        /// Connects peers with this local server.
        #[must_use]
        pub fn target(mut self, target: Target) -> Self {
            self.incoming.target.target = Some(target);
            self
        }

        /// Connects streams to this port of the destination with this local server.
        #[must_use]
        pub fn target_for_port(mut self, port: u16, target: Target) -> Self {
            self.incoming.target.targets.0.push((port, target));
            self
        }

        /// Verifies the certificates of targets with TLS: they must be in this PEM file. By default any
        /// certificate is accepted, and only of targets on this machine.
        #[must_use]
        pub fn trust(mut self, file: impl Into<PathBuf>) -> Self {
            self.incoming.target.trust = Some(file.into());
            self
        }

        /// Connects with the target from an address in 127.0.0.0/8 for each peer.
        #[must_use]
        pub fn unique_local(mut self) -> Self {
            self.incoming.target.unique_local = true;
            self
        }

        /// Also leads from the destination of this private key file to the same server.
        #[must_use]
        pub fn alternative_keys(mut self, file: impl Into<PathBuf>) -> Self {
            self.incoming.alternative_keys.push(file.into());
            self
        }

        /// Allows only these peers.
        #[must_use]
        pub fn allow(mut self, peers: impl IntoIterator<Item = Address>) -> Self {
            self.incoming.admission.allow.extend(peers);
            self
        }

        /// Denies these peers.
        #[must_use]
        pub fn deny(mut self, peers: impl IntoIterator<Item = Address>) -> Self {
            self.incoming.admission.deny.extend(peers);
            self
        }

        /// Applies the rules of a filter file, in the language of Java I2P's access filters.
        #[must_use]
        pub fn filter(mut self, file: impl Into<PathBuf>) -> Self {
            self.incoming.admission.filter = Some(file.into());
            self
        }

        /// Limits the new streams of one peer in a minute. The option `ban` has the time for which a
        /// peer that exceeds it is refused.
        #[must_use]
        pub fn peer_per_minute(mut self, streams: usize, ban: Option<Duration>) -> Self {
            self.incoming.admission.per_peer.minute = Some(streams);
            self.incoming.admission.ban = ban;
            self
        }

        /// Limits the open streams, of all peers and of each.
        #[must_use]
        pub fn max_streams(mut self, all: usize, of_a_peer: usize) -> Self {
            self.incoming.admission.max_streams = all;
            self.incoming.admission.max_peer_streams = of_a_peer;
            self
        }

        /// Ends connections on which no byte moves for this time. By default there is no limit.
        #[must_use]
        pub fn idle_timeout(mut self, limit: Duration) -> Self {
            self.incoming.idle_timeout = Some(limit);
            self
        }

        /// Keeps this number of tunnels in each direction after this time without traffic.
        #[must_use]
        pub fn reduce_idle(mut self, after: Duration, tunnels: usize) -> Self {
            self.session.reduce_idle = Some(after);
            self.session.reduce_quantity = Some(tunnels);
            self
        }

        /// Applies a preset to the session; [`Preset::Server`] by default.
        #[must_use]
        pub fn preset(mut self, preset: Preset) -> Self {
            self.session.preset = preset;
            self
        }
    };
}
pub(crate) use incoming_setters;

/// The members of `Definition` that are the same for every tunnel, over the fields `name` and
/// `enabled`: its kind, its title and its table of options.
macro_rules! tunnel_definition {
    ($kind:literal, $title:literal, $table:ident) => {
        const KIND: &'static str = $kind;
        const TITLE: &'static str = $title;
        const BY_DEFAULT: bool = false;
        const WITHOUT_FILE: bool = false;

        fn table() -> &'static Table<Self> {
            &$table
        }

        fn name(&self) -> Option<&str> {
            self.name.as_deref()
        }

        fn is_enabled(&self) -> bool {
            self.enabled
        }
    };
}
pub(crate) use tunnel_definition;
