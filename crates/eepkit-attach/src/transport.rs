//! What a connection to a router runs over.

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
    InProcess(Arc<dyn Fn() -> BoxFuture<io::Result<Connection>> + Send + Sync>),
}

impl Transport {
    pub(crate) fn in_process<F, Fut, S>(connect: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: Duplex,
    {
        Self::InProcess(Arc::new(move || {
            let connecting = connect();
            Box::pin(async move { Ok(Box::new(connecting.await?) as Connection) })
        }))
    }

    pub(crate) fn is_in_process(&self) -> bool {
        matches!(self, Self::InProcess(_))
    }

    /// Makes a connection. Nothing is looked up: addresses are numbers.
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
            Self::InProcess(connect) => connect().await.map_err(|_| LinkError::Stopped),
        }
    }
}

async fn tcp(at: SocketAddr) -> io::Result<PromptTcp> {
    let stream = TcpStream::connect(at).await?;
    // Messages are written whole, so waiting for more to send only costs time.
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
            Self::InProcess(_) => "InProcess",
        })
    }
}
