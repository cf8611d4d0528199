//! The transports of connections to routers.

mod prompt;
#[cfg(feature = "tls")]
mod tls;

#[cfg(unix)]
use std::path::PathBuf;
use std::{fmt, future::Future, io, net::SocketAddr, sync::Arc};

use eepkit_link::{BoxFuture, LinkError, streams::Duplex};
use tokio::net::TcpStream;

use prompt::PromptTcp;
#[cfg(feature = "tls")]
pub use tls::{CertificateError, Trust};

/// A connection to a router.
pub(crate) type Connection = Box<dyn Duplex>;

#[derive(Clone)]
pub(crate) enum Transport {
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf),
    #[cfg(feature = "tls")]
    Tls {
        at: SocketAddr,
        trust: Trust,
    },
    InProcess {
        connect: Arc<dyn Fn() -> BoxFuture<io::Result<Connection>> + Send + Sync>,
        stopped: Stopped,
    },
}

/// Whether a router in this process has stopped permanently. Called after a connection to it has
/// ended or could not be opened.
pub(crate) type Stopped = Arc<dyn Fn() -> bool + Send + Sync>;

impl Transport {
    pub(crate) fn in_process<F, Fut, S>(connect: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: Duplex,
    {
        Self::InProcess {
            connect: Arc::new(move || {
                let connecting = connect();
                Box::pin(async move { Ok(Box::new(connecting.await?) as Connection) })
            }),
            stopped: Arc::new(|| true),
        }
    }

    /// Replaces the rule by which an in-process router counts as stopped. No effect on others.
    pub(crate) fn set_stopped(&mut self, rule: Stopped) {
        if let Self::InProcess { stopped, .. } = self {
            *stopped = rule;
        }
    }

    /// Returns the rule by which the router counts as stopped after the end of a connection. A
    /// router outside this process never does, because only the end of the connection is known.
    pub(crate) fn stopped(&self) -> Stopped {
        match self {
            Self::InProcess { stopped, .. } => Arc::clone(stopped),
            _ => Arc::new(|| false),
        }
    }

    /// Opens a connection. Addresses are numeric, so no name is looked up.
    pub(crate) async fn connect(&self, name: &str) -> Result<Connection, LinkError> {
        let unreachable = |source| LinkError::Unreachable {
            at: name.to_owned(),
            source,
        };
        match self {
            Self::Tcp(at) => Ok(Box::new(tcp(*at).await.map_err(unreachable)?)),
            #[cfg(unix)]
            Self::Unix(path) => {
                let connecting = tokio::net::UnixStream::connect(path);
                Ok(Box::new(connecting.await.map_err(unreachable)?))
            }
            #[cfg(feature = "tls")]
            Self::Tls { at, trust } => {
                let stream = tcp(*at).await.map_err(unreachable)?;
                match tls::handshake(*at, trust, stream).await {
                    Ok(stream) => Ok(Box::new(stream)),
                    Err(error) => Err(LinkError::NotARouter {
                        at: name.to_owned(),
                        why: format!("the TLS handshake failed: {error}"),
                    }),
                }
            }
            Self::InProcess { connect, stopped } => connect().await.map_err(|error| {
                if stopped() {
                    LinkError::Stopped
                } else {
                    unreachable(error)
                }
            }),
        }
    }
}

async fn tcp(at: SocketAddr) -> io::Result<PromptTcp> {
    let stream = TcpStream::connect(at).await?;
    // Messages are written whole, so Nagle's algorithm would only add delay.
    stream.set_nodelay(true)?;
    Ok(PromptTcp::new(stream))
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            #[cfg(unix)]
            Self::Unix(_) => "Unix",
            #[cfg(feature = "tls")]
            Self::Tls { .. } => "Tls",
            Self::InProcess { .. } => "InProcess",
        })
    }
}
