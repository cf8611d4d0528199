//! The local side of tunnels for local programs: where they listen.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    options::{Access, Flag, Opt},
    serve::{Endpoint, Listeners},
    service::ServiceError,
    tls::{self, Identity},
};

/// Where a tunnel listens for local programs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LocalConfig {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) listen_unix: Vec<PathBuf>,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) max_connections: usize,
}

impl LocalConfig {
    /// The defaults: no address, no TLS.
    pub(crate) fn new() -> Self {
        Self {
            listen: Vec::new(),
            listen_unix: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            max_connections: MAX_CONNECTIONS,
        }
    }

    /// Checks the combination of options.
    ///
    /// # Errors
    ///
    /// A sentence that describes the conflict.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.listen.is_empty() && self.listen_unix.is_empty() {
            return Err(
                "needs an address for local programs: listen = \"127.0.0.1:PORT\"".to_owned(),
            );
        }
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err("tls_certificate and tls_key need each other".to_owned());
        }
        Ok(())
    }

    /// The certificate and key of TLS, if programs use it.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if a file cannot be used.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, ServiceError> {
        let (Some(certificate), Some(key)) = (&self.tls_certificate, &self.tls_key) else {
            return Ok(None);
        };
        Ok(Some(Identity::new(tls::server(certificate, key)?)))
    }

    /// Binds the addresses.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] if one cannot be bound.
    pub(crate) async fn bind(
        &self,
        identity: Option<&Identity>,
    ) -> Result<Listeners, ServiceError> {
        let tcp = self.listen.iter().copied().map(|address| match identity {
            Some(identity) => Endpoint::Tls(address, identity.clone()),
            None => Endpoint::Tcp(address),
        });
        let unix = self.listen_unix.iter().cloned().map(Endpoint::Unix);
        let listeners = Listeners::bind(tcp.chain(unix)).await?;
        match listeners.is_empty() {
            true => Err(ServiceError::NoAddress),
            false => Ok(listeners),
        }
    }
}

pub(crate) const fn listen<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "listen",
        access,
        "TCP addresses for local programs.\n\
         Whoever can connect can use the tunnel. With port 0 the system selects a port.",
    )
    .example("[\"127.0.0.1:6668\"]")
    .flag(Flag::new("listen", "IP:PORT").short('l'))
}

pub(crate) const fn listen_unix<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "listen_unix",
        access,
        "Paths of Unix sockets, to which only the user of this process can connect.\n\
         An unused socket file is replaced; any other file is an error.",
    )
    .flag(Flag::new("unix", "PATH"))
}

pub(crate) const fn tls_certificate<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "tls_certificate",
        access,
        "Certificate chain (PEM) with which local programs use TLS on the TCP addresses.\n\
         Default: no TLS. Needs tls_key.",
    )
    .example("\"cert.pem\"")
}

pub(crate) const fn tls_key<C>(access: Access<C>) -> Opt<C> {
    Opt::new("tls_key", access, "Private key (PEM) of the certificate.").example("\"key.pem\"")
}

pub(crate) const fn max_connections<C>(access: Access<C>) -> Opt<C> {
    Opt::new(
        "max_connections",
        access,
        "Maximum number of connections of local programs.",
    )
}

/// Chosen because an idle connection takes some kilobytes, and systems allow for about this many
/// files.
const MAX_CONNECTIONS: usize = 4096;
