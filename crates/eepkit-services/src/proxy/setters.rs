//! The setters that the configurations of proxies have in common.

/// The setters of every proxy, over the field `proxy`. The types that their signatures name must be in
/// scope.
macro_rules! proxy_setters {
    () => {
        /// Listens on these addresses instead of the default one. With port 0 the system selects a
        /// port; see `tcp_addrs` of the running proxy.
        #[must_use]
        pub fn listen(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
            self.proxy.listen = addresses.into_iter().collect();
            self
        }

        /// Also listens on a Unix socket. Only the user of this process can connect.
        #[must_use]
        pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
            self.proxy.listen_unix.push(path.into());
            self
        }

        /// Requires a name and a password of this file of users.
        #[must_use]
        pub fn require_users(mut self, file: impl Into<PathBuf>) -> Self {
            self.proxy.users = Some(file.into());
            self.proxy.require_password = true;
            self
        }

        /// Sets whether programs with different names or passwords use different destinations; true by
        /// default.
        #[must_use]
        pub fn isolate(mut self, isolate: bool) -> Self {
            self.proxy.isolate = isolate;
            self
        }

        /// Sets the time limit for opening a stream, which includes the time until the router is ready;
        /// 60 s by default.
        #[must_use]
        pub fn connect_timeout(mut self, limit: Duration) -> Self {
            self.proxy.connect_timeout = limit;
            self
        }

        /// Uses the destination of a private key file for programs that are not isolated. The file is
        /// created if it does not exist. Tunnels with the same file share the session.
        #[must_use]
        pub fn keys(mut self, file: impl Into<PathBuf>) -> Self {
            self.proxy.keys = Some(file.into());
            self
        }

        /// Shares the session of programs that are not isolated with the tunnels and proxies of this
        /// group, which were launched with clones of the same [`Context`].
        #[must_use]
        pub fn shared(mut self, group: impl Into<String>) -> Self {
            self.proxy.shared = Some(group.into());
            self
        }

        /// Sets an option of every session. An invalid value causes every connection to fail.
        #[must_use]
        pub fn option(mut self, key: &str, value: impl std::fmt::Display) -> Self {
            self.proxy.options.push(key, value.to_string());
            self
        }

        /// Sets the maximum number of connections, and of sessions of isolated users.
        #[must_use]
        pub fn limits(mut self, connections: usize, sessions: usize) -> Self {
            (self.proxy.max_connections, self.proxy.max_sessions) = (connections, sessions);
            self
        }
    };
}
pub(crate) use proxy_setters;
